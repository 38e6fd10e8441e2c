//! The client's side of a WebSocket, told anything by a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::websocket_client(input));
