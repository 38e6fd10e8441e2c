//! The frames of WebSocket against `tungstenite`, however they are split into reads.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::websocket_frames(input));
