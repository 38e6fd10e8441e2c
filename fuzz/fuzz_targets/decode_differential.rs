//! The decoder against an independent reading of the same bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::decode_differential(input));
