//! A server that embeds the library's connections in a transport of its own follows every rule. The example
//! with blocking threads is judged as any server is.

use std::net::TcpListener;
use std::thread;

use crate::check;

#[path = "../../../chatproto/examples/threads.rs"]
#[expect(dead_code, reason = "the example has a main function of its own")]
mod threads;

#[test]
fn a_server_on_blocking_threads_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // it ends with the test program
    thread::spawn(move || threads::serve(&listener));
    // a machine that is busy needs patience
    let patience = ["--registration-deadline", "10s", "--timeout", "4s", "--quiet", "100ms"];
    let outcome = check(&[&["--server", &address], &patience[..]].concat());
    assert_eq!((outcome.code, outcome.broken()), (Some(0), vec![]), "{}", outcome.errors);
    assert!(outcome.with("pass").len() > 120, "part B is judged too");
}
