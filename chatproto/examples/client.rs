//! Joins, says hello to everybody, and prints what comes.
//!
//! `cargo run --example client -- NAME [ADDRESS:PORT]`

use std::env;
use std::process::ExitCode;

use chatproto::{Client, ClientError};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprintln!("usage: client NAME [ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:65432".to_owned());
    match talk(&name, &server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn talk(name: &str, server: &str) -> Result<(), ClientError> {
    let mut client = Client::connect(server, name)?;
    println!("{}", client.welcome().msg);
    client.send("/shout", "hello, everybody")?;
    for message in client.messages() {
        let message = message?;
        // what others write may contain anything: {:?} keeps it off the terminal
        println!("{} to {}: {:?}", message.from.name, message.to, message.msg);
    }
    Ok(())
}
