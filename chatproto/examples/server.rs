//! A server with an endpoint of its own, and a log of who comes and goes.
//!
//! `cargo run --example server`, then `/dice 20` from any client.

use std::hash::{BuildHasher, RandomState};

use chatproto::endpoint::Request;
use chatproto::hub::Event;
use chatproto::{PORT, Server, ServerError};

fn main() -> Result<(), ServerError> {
    let server = Server::builder()
        .endpoint("/dice", "Rolls a die with so many sides (6 if not said).", roll)?
        .observer(|event: &Event| match event {
            Event::Registered { name, online, .. } => eprintln!("+ {name} ({online} online)"),
            Event::Departed { name, reason, .. } => eprintln!("- {name}: {reason}"),
            _ => {}
        })
        .bind(([127, 0, 0, 1], PORT))?;
    println!("listening on {}", server.local_addr());
    server.run()
}

/// An `Err` is what the user is told.
fn roll(request: &Request) -> Result<String, String> {
    let sides = match request.arguments().next().transpose()? {
        None => 6,
        Some(sides) => sides.parse().map_err(|_| format!("{sides:?} is not a number of sides."))?,
    };
    if sides == 0 {
        return Err("a die has at least one side.".to_owned());
    }
    let random = RandomState::new().hash_one(sides);
    Ok(format!("{} rolls {} of {sides}.", request.user, random % sides + 1))
}
