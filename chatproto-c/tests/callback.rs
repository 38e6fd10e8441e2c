//! Callbacks that unwind: what a panic of one written in Rust does to the server and to the user.

use std::ffi::c_void;
use std::ptr;

use chatproto::Client;
use chatproto_c::result::chatproto_result;
use chatproto_c::server::endpoint::{
    chatproto_answer, chatproto_answer_text, chatproto_endpoint, chatproto_request,
};
use chatproto_c::server::{
    chatproto_server_free, chatproto_server_options, chatproto_server_port, chatproto_server_start,
};
use chatproto_c::text::chatproto_str;

unsafe extern "C-unwind" fn panics(
    _: *mut c_void,
    _: *const chatproto_request,
    _: *mut chatproto_answer,
) {
    panic!("on purpose");
}

unsafe extern "C-unwind" fn works(
    _: *mut c_void,
    _: *const chatproto_request,
    answer: *mut chatproto_answer,
) {
    // SAFETY: it is that of this callback
    let result = unsafe { chatproto_answer_text(answer, "it works".into()) };
    assert_eq!(result, chatproto_result::Ok);
}

#[test]
fn a_callback_that_panics_costs_its_own_answer() {
    let endpoint = |name: &'static str, handler| chatproto_endpoint {
        name: name.into(),
        help: "Of this test.".into(),
        handler: Some(handler),
        user_data: ptr::null_mut(),
    };
    let endpoints = [endpoint("/panics", panics as _), endpoint("/works", works as _)];
    let options = chatproto_server_options {
        size: size_of::<chatproto_server_options>(),
        address: "127.0.0.1:0".into(),
        endpoints: endpoints.as_ptr(),
        endpoint_count: endpoints.len(),
        admin_token: chatproto_str::EMPTY,
        max_frame: 0,
        max_connections: 0,
        max_per_address: 0,
        rate_per_second: 0,
        rate_burst: 0,
        threads: 1,
        worker_threads: 1,
        drop_oldest: false,
        announce: false,
        tls_only: false,
        tls_certificate_file: chatproto_str::EMPTY,
        tls_key_file: chatproto_str::EMPTY,
    };
    let (mut server, mut port) = (ptr::null_mut(), 0);
    // SAFETY: all of them are there, and the server is freed below
    unsafe {
        assert_eq!(chatproto_server_start(&options, &mut server), chatproto_result::Ok);
        assert_eq!(chatproto_server_port(server, &mut port), chatproto_result::Ok);
    }
    let mut client = Client::connect(("127.0.0.1", port), "alice").unwrap();
    for _ in 0..3 {
        client.send("/panics", "").unwrap();
        assert!(client.recv().unwrap().msg.starts_with('❌'));
        // on the one thread that endpoints have here
        client.send("/works", "").unwrap();
        assert_eq!(client.recv().unwrap().msg, "it works");
    }
    drop(client);
    // SAFETY: nobody uses it any more
    unsafe { chatproto_server_free(server) };
}
