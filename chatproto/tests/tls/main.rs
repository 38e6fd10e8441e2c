//! TLS over sockets: servers and clients with certificates made for the test, among themselves and
//! with the `openssl` program, when all goes well and when it does not.

#[path = "../support/mod.rs"]
mod support;

mod adopted;
mod certificates;
mod certs;
mod clients;
mod handshake;
mod openssl;
mod peer;
mod proxy;
mod server;
mod traffic;
