//! However a stream is split into reads, the decoder says the same. The first byte of the input
//! chooses the splits, the rest is the stream.

#![no_main]

use chatproto::{DecodeError, Decoder, ErrorClass, Message};
use libfuzzer_sys::fuzz_target;

fn outcomes<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Message, DecodeError>> {
    let (mut decoder, mut outcomes) = (Decoder::new(4096), Vec::new());
    for mut read in reads {
        loop {
            match decoder.decode(&mut read) {
                Ok(Some(frame)) => outcomes.push(Ok(frame.message().to_owned())),
                Ok(None) => break,
                Err(error) => {
                    outcomes.push(Err(error));
                    if error.class() == ErrorClass::Framing {
                        return outcomes;
                    }
                }
            }
        }
    }
    outcomes.extend(decoder.finish().err().map(Err));
    outcomes
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, stream)) = input.split_first() else { return };
    let whole = outcomes(std::iter::once(stream));
    assert_eq!(outcomes(stream.chunks(1)), whole);
    assert_eq!(outcomes(stream.chunks(usize::from(seed) + 1)), whole);
});
