//! The opening handshake against responses of every kind, in pieces.

use super::*;

const RIGHT: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
                     CONNECTION: keep-alive, Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The one whose key is the example of RFC 6455.
fn opening() -> Opening {
    Opening::with_nonce(&"ws://h:8080".parse().unwrap(), *b"the sample nonce")
}

/// The outcome of a response in pieces of this length, with the unread bytes.
fn outcome(response: &[u8], piece: usize) -> Result<Vec<u8>, OpeningError> {
    let (mut opening, mut left) = (opening(), response);
    while !left.is_empty() {
        let (mut now, later) = left.split_at(piece.min(left.len()));
        if opening.handle_input(&mut now)? {
            return Ok([now, later].concat());
        }
        assert!(now.is_empty(), "all of it was taken");
        left = later;
    }
    Err(opening.handle_end())
}

fn each_way(response: &str) -> Result<Vec<u8>, OpeningError> {
    let whole = outcome(response.as_bytes(), usize::MAX);
    for piece in [1, 2, 7, 100] {
        assert_eq!(outcome(response.as_bytes(), piece), whole, "{response} in {piece}s");
    }
    whole
}

#[test]
fn a_request_is_that_of_the_standard() {
    let expected = format!(
        "GET /ws HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: chatproto/{}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        crate::VERSION
    );
    assert_eq!(std::str::from_utf8(opening().request()).unwrap(), expected);
    let url = "ws://h".parse().unwrap();
    assert_ne!(Opening::new(&url).request(), Opening::new(&url).request(), "random keys");
}

#[test]
fn frames_follow_the_response() {
    assert_eq!(each_way(RIGHT), Ok(Vec::new()));
    assert_eq!(each_way(&format!("{RIGHT}\u{1}\r\n\r\nx")), Ok(b"\x01\r\n\r\nx".to_vec()));
}

#[test]
fn a_response_that_does_not_fit_is_refused() {
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (from, to, word) in [
        ("upgrade: WebSocket", "x: y", "Upgrade: websocket"),
        ("WebSocket", "h2c", "Upgrade: websocket"),
        ("CONNECTION: keep-alive, Upgrade", "Connection: close", "Connection: Upgrade"),
        ("s3pP", "s3pQ", "Sec-WebSocket-Accept"),
        (accept, "", "Sec-WebSocket-Accept"),
        (accept, &format!("{accept}{accept}Sec-WebSocket-Accept: x\r\n"), "Accept"),
        (accept, &format!("{accept}Sec-WebSocket-Extensions: x\r\n"), "extension"),
        (accept, &format!("{accept}Sec-WebSocket-Protocol: x\r\n"), "subprotocol"),
    ] {
        let error = each_way(&RIGHT.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn an_error_of_http_is_told_with_its_reason() {
    for (response, sentence) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such page.",
            "404 Not Found: no such page. (check the path of the URL)",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such page and more",
            "404 Not Found: no such page (check the path of the URL)",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "404 Not Found (check the path of the URL)",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\nno\tway\nhere", "403 Forbidden: no\u{FFFD}way"),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "403 Forbidden (ask the server's operator who may connect)",
        ),
        (
            "HTTP/1.1 421 Misdirected Request\r\n\r\n",
            "421 Misdirected Request (check the host name of the URL)",
        ),
        ("HTTP/1.1 403\r\n\r\nx", "403: x"),
        (
            "HTTP/1.1 421 Misdirected Request\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\n\r\n",
            "421 Misdirected Request: hello",
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: wss://h/ws\r\nContent-Length: 0\r\n\r\n",
            "301 Moved (use the URL wss://h/ws)",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<html>\n",
            "200 OK: <html> (check the path of the URL)",
        ),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503 Busy (try again later)"),
    ] {
        let error = each_way(response).unwrap_err().to_string();
        assert_eq!(error, format!("the server refused the WebSocket handshake with {sentence}"));
    }
}

#[test]
fn other_servers_are_told_apart() {
    for (response, word) in [
        ("{\"from\":{}}\n", "this port does not speak WebSocket (it answered: {\"from\":{}})"),
        ("SSH-2.0", "this port does not speak WebSocket (it answered: SSH-2.0)"),
        ("H", "closed the connection"),
        ("", "closed the connection"),
        ("HTTP/1.1 101 Switching", "closed the connection"),
        ("HTTP/1.1 1x1 Odd\r\n\r\n", "not valid HTTP"),
        ("HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "not valid HTTP"),
    ] {
        let error = each_way(response).unwrap_err().to_string();
        assert!(error.contains(word), "{response}: {error}");
    }
}

#[test]
fn a_response_without_an_end_is_bounded() {
    let endless = format!("HTTP/1.1 101 x\r\nx: {}", "y".repeat(2 * HEAD_MOST));
    assert_eq!(each_way(&endless), Err(OpeningError::TooLong));
    let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MOST + 1));
    assert_eq!(each_way(&many), Err(OpeningError::TooLong));
    let mut opening = opening();
    let _ = opening.handle_input(&mut endless.as_bytes());
    assert!(opening.response.capacity() <= HEAD_MOST);
    // the reason of an error is cut
    let long = format!("HTTP/1.1 403 x\r\n\r\n{}", "z".repeat(2 * HEAD_MOST));
    let Err(OpeningError::Refused { text, .. }) = each_way(&long) else { panic!() };
    assert_eq!(text, "z".repeat(TEXT_MOST));
    let long = "z".repeat(2 * HEAD_MOST);
    assert_eq!(each_way(&long), Err(OpeningError::NotHttp("z".repeat(TEXT_MOST))));
    // by its bytes, as they are counted before they are characters
    let (long, text) = ("\u{e9}".repeat(TEXT_MOST), "\u{e9}".repeat(TEXT_MOST / 2));
    assert_eq!(each_way(&long), Err(OpeningError::NotHttp(text.clone())));
    let Err(OpeningError::Refused { text: cut, .. }) =
        each_way(&format!("HTTP/1.1 403 x\r\n\r\n{long}"))
    else {
        panic!()
    };
    assert_eq!(cut, text);
}
