//! The hub, told anything, where names have owners.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chatproto_fuzz::hub_accounts(input));
