//! A bot that answers everybody who writes to it, with sending and receiving in two threads.
//!
//! `cargo run --example bot -- [ADDRESS:PORT]`

use std::env;
use std::sync::mpsc;
use std::thread;

use chatproto::{Client, ClientError, Message};

fn main() -> Result<(), ClientError> {
    let server = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:65432".to_owned());
    let (sender, receiver) = Client::connect(server, "parrot")?.split();
    let (todo, work) = mpsc::channel::<Message>();

    let answering = thread::spawn(move || {
        for message in work {
            let answer = format!("{}! {}!", message.msg, message.msg);
            sender.send(&message.from.name, &answer)?;
        }
        Ok(())
    });
    for message in receiver {
        let message = message?;
        // never answer the server, nor what was said to everybody: two bots would never stop
        if !message.is_from_server() && message.to == "parrot" && todo.send(message).is_err() {
            break;
        }
    }
    drop(todo);
    answering.join().expect("the thread does not panic")
}
