//! The C interface, called as C does.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::c_abi(input));
