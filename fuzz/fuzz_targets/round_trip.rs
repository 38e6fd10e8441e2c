//! What the decoder takes, both encoders write and the decoder takes again, with the same strings.

#![no_main]

use chatproto::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = Message::decode(input) else { return };
    for form in [message.to_json(), message.to_python_json()] {
        // Python's form can be six times as long as what was decoded
        if form.len() <= 65536 {
            assert_eq!(Message::decode(form.as_bytes()).as_ref(), Ok(&message), "{form}");
        }
    }
});
