//! However a stream is split into reads, the decoder says the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::decode_splits(input));
