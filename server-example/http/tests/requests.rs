//! Requests that the listener answers: its paths, the names that a request may use, and malformed ones.

mod common;

use common::{Http, request};
use server_example_http::axum::Router;
use server_example_http::axum::routing::post;

#[test]
fn paths_and_methods() {
    let http = Http::start();
    let mut client = http.connect();
    let welcome = client.get("/");
    assert_eq!(welcome.status, 200);
    assert!(welcome.body.contains("/ws?name=NAME") && welcome.body.ends_with('\n'));
    assert_eq!(welcome.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(welcome.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(welcome.header("server"), None);

    let nothing = client.get("/no/such/path?x=1");
    assert_eq!((nothing.status, &*nothing.body), (404, "There is nothing here: try /.\n"));
    assert_eq!(nothing.header("x-content-type-options"), Some("nosniff"));

    let wrong = client.request(&["DELETE / HTTP/1.1", "Host: localhost"]);
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(wrong.body, "This path does not take this method: see the Allow header.\n");
    // for the same connection
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_request_names_this_server() {
    let http = Http::with(|setup| setup.hosts = vec!["Chat.Example".parse().unwrap()]);
    for (lines, status) in [
        (&["GET / HTTP/1.1", "Host: localhost:8080"][..], 200),
        (&["GET / HTTP/1.1", "Host: 127.0.0.1"], 200),
        (&["GET / HTTP/1.1", "Host: [::1]:1"], 200),
        (&["GET / HTTP/1.1", "Host: chat.example:80"], 200),
        (&["GET / HTTP/1.1", "Host: evil.example"], 421),
        (&["GET / HTTP/1.1", "Host: localhost.evil.example"], 421),
        (&["GET /ws HTTP/1.1", "Host: evil.example"], 421),
        (&["GET / HTTP/1.1"], 400),
        (&["GET / HTTP/1.1", "Host: localhost", "Host: localhost"], 400),
        (&["GET / HTTP/1.1", "Host: a@localhost"], 400),
        (&["GET / HTTP/1.1", "Host: "], 400),
        (&["GET / HTTP/1.0"], 200),
        (&["GET / HTTP/1.0", "Host: evil.example"], 421),
        (&["GET http://localhost/ HTTP/1.1", "Host: localhost"], 200),
        (&["GET http://evil.example/ HTTP/1.1", "Host: localhost"], 400),
        (&["GET http://evil.example/ HTTP/1.1", "Host: evil.example"], 421),
        (&["CONNECT localhost:80 HTTP/1.1", "Host: localhost:80"], 404),
        (&["OPTIONS * HTTP/1.1", "Host: localhost"], 404),
    ] {
        let response = http.connect().request(lines);
        assert_eq!(response.status, status, "{lines:?}: {}", response.body);
        assert!(response.body.ends_with(['\n', '.']) || response.status == 200, "{lines:?}");
    }
}

#[test]
fn other_names_are_known_when_they_are_set() {
    let http = Http::start();
    let mut client = http.connect();
    let lines = ["GET / HTTP/1.1", "Host: chat.example"];
    let refused = client.request(&lines);
    assert_eq!(refused.status, 421);
    assert!(refused.body.contains("chat.example") && refused.body.contains("--http-host"));
    http.control.set_names(vec!["*.example".parse().unwrap()], Vec::new());
    assert_eq!(client.request(&lines).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let http = Http::start();
    let mut client = http.connect();
    let all: String = ["/", "/a", "/", "/b"]
        .map(|path| request(&[&format!("GET {path} HTTP/1.1"), "Host: localhost"]))
        .concat();
    client.send(all);
    assert_eq!([(); 4].map(|()| client.response().status), [200, 404, 200, 404]);
}

#[test]
fn heads_are_bounded() {
    let http = Http::start();
    let long = format!("X: {}", "x".repeat(20_000));
    let many: Vec<String> = (0..100).map(|number| format!("X{number}: x")).collect();
    let uri = format!("GET /{} HTTP/1.1", "x".repeat(20_000));
    let first = ["GET / HTTP/1.1", "Host: localhost"];
    for lines in [
        [&first[..], &[&long]].concat(),
        first.into_iter().chain(many.iter().map(String::as_str)).collect(),
        vec![&*uri, "Host: localhost"],
    ] {
        let mut client = http.connect();
        let status = client.request(&lines).status;
        assert!(matches!(status, 431 | 414), "{status}");
        assert!(client.is_ended());
    }
    // a moderate head is none of these
    let some = (0..40).map(|number| format!("X{number}: {}", "x".repeat(200)));
    let some: Vec<String> = some.collect();
    let lines: Vec<&str> = first.into_iter().chain(some.iter().map(String::as_str)).collect();
    assert_eq!(http.connect().request(&lines).status, 200);
}

#[test]
fn malformed_requests_are_refused_and_closed() {
    let http = Http::start();
    for bytes in [
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET / HTTP/9.9\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        "{\"from\":\"alice\"}\r\n\r\n",
    ] {
        let mut client = http.connect();
        client.send(bytes);
        assert_eq!(client.response().status, 400, "{bytes:?}");
        assert!(client.is_ended(), "{bytes:?}");
    }
}

#[test]
fn bodies_are_bounded() {
    let routes = Router::new().route("/echo", post(async |text: String| text));
    let http = Http::with(|setup| setup.routes = routes);
    let send = |length: usize| {
        let mut client = http.connect();
        let length = format!("Content-Length: {length}");
        client.send(request(&["POST /echo HTTP/1.1", "Host: localhost", &length]));
        client
    };
    let mut client = send(5);
    client.send("hello");
    assert_eq!(client.response().body, "hello");
    // the length alone tells
    assert_eq!(send(70_000).response().status, 413);

    // a body without a length is refused when it is too long
    let mut client = http.connect();
    let chunked = "Transfer-Encoding: chunked";
    client.send(request(&["POST /echo HTTP/1.1", "Host: localhost", chunked]));
    let chunk = format!("10000\r\n{}\r\n1\r\nx\r\n", "x".repeat(0x10000));
    client.send(chunk);
    assert_eq!(client.response().status, 413);
    assert!(client.is_ended());
}

#[test]
fn of_length_and_chunks_only_the_chunks_count() {
    let routes = Router::new().route("/echo", post(async |text: String| text));
    let http = Http::with(|setup| setup.routes = routes);
    let mut client = http.connect();
    let lines = ["POST /echo HTTP/1.1", "Host: localhost", "Content-Length: 6"];
    client.send(request(&[&lines[..], &["Transfer-Encoding: chunked"]].concat()));
    client.send("0\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, &*response.body), (200, ""));
    // a request behind it could be smuggled past a proxy that counts the length
    assert!(client.is_ended());
}
