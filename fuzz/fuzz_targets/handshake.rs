//! Registration against its table, however the bytes come.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::handshake(input));
