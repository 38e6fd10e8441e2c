//! The hub against its model.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::hub_operations(input));
