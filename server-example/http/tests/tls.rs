//! HTTPS and HTTP on one port, and another certificate while the listener runs.

mod common;

use common::{Certificate, Http};

#[test]
fn one_port_speaks_both() {
    let certificate = Certificate::new(&["localhost"]);
    let http = Http::with(|setup| setup.tls = Some(certificate.tls(false)));
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = certificate.connect(http.address, "localhost", alpn);
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.get("/nothing").status, 404);
    }
    assert_eq!(http.connect().get("/").status, 200);
}

#[test]
fn with_tls_only_plain_requests_are_told_so() {
    let certificate = Certificate::new(&["localhost"]);
    let http = Http::with(|setup| setup.tls = Some(certificate.tls(true)));
    assert_eq!(certificate.connect(http.address, "localhost", &[]).get("/").status, 200);
    for path in ["/", "/ws?name=alice", "/nothing"] {
        let mut client = http.connect();
        let refused = client.get(path);
        assert_eq!(refused.status, 426);
        assert!(refused.body.contains("https://"), "{}", refused.body);
        assert!(client.is_ended());
    }
}

#[test]
fn a_page_of_https_is_another_origin_than_one_of_http() {
    let certificate = Certificate::new(&["localhost"]);
    let http = Http::with(|setup| setup.tls = Some(certificate.tls(false)));
    for (origin, status) in [("https://localhost", 101), ("http://localhost", 403)] {
        let mut client = certificate.connect(http.address, "localhost", &["http/1.1"]);
        client.send(common::upgrade_with(&format!("Origin: {origin}")));
        assert_eq!(client.response().status, status, "{origin}");
    }
}

#[test]
fn another_certificate_and_its_names_are_for_new_connections() {
    let (old, new) = (Certificate::new(&["old.example"]), Certificate::new(&["new.example"]));
    let http = Http::with(|setup| setup.tls = Some(old.tls(false)));
    let get = |host: &str| ["GET / HTTP/1.1".to_owned(), format!("Host: {host}")];
    let status = |client: &mut common::Client<_>, host: &str| {
        let lines = get(host);
        client.request(&[&*lines[0], &*lines[1]]).status
    };
    let mut before = old.connect(http.address, "old.example", &[]);
    assert_eq!(status(&mut before, "old.example"), 200);
    assert_eq!(status(&mut before, "new.example"), 421);
    http.control.set_tls(new.tls(false));
    let mut after = new.connect(http.address, "new.example", &[]);
    assert_eq!(status(&mut after, "new.example"), 200);
    assert_eq!(status(&mut after, "old.example"), 421);
    // the old connection goes on, under the new names
    assert_eq!(status(&mut before, "new.example"), 200);
}
