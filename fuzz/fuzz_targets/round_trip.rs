//! What is encoded is decoded to the same, and what is decoded is encoded to the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::round_trip(input));
