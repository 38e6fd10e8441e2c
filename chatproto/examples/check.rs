//! Are these bytes messages? Reads a stream of objects from standard input and says where it stops
//! being one: for groups that write their own client.
//!
//! `printf '{"from":{"name":"a","ip":"b"},"to":"c"}' | cargo run --example check`

use std::io::{self, Read};
use std::process::ExitCode;

use chatproto::{DecodeError, Decoder, ErrorClass};

fn main() -> io::Result<ExitCode> {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    let (mut good, mut bad) = (0, 0);
    let mut report = |error: DecodeError| {
        bad += 1;
        println!("byte {}: {error}", error.offset());
        error.class()
    };
    'stream: loop {
        let length = io::stdin().read(&mut buffer)?;
        if length == 0 {
            if let Err(error) = decoder.finish() {
                report(error);
            }
            break;
        }
        let mut input = &buffer[..length];
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    good += 1;
                    println!("{:?}", frame.message());
                }
                // after a schema error the next object is looked at; after this one nothing is
                Err(error) if report(error) == ErrorClass::Framing => break 'stream,
                Err(_) => {}
            }
        }
    }
    println!("{good} good, {bad} bad");
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
