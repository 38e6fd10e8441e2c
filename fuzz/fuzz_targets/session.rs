//! The client's side of a connection, told anything by a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::session(input));
