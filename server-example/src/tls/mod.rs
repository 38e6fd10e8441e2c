//! TLS: what the server needs for it (options, files, what the log says), what the client trusts, and
//! the command `cert`, which makes a certificate where there is none.

pub(crate) mod cert;
mod client;
mod options;
mod server;

pub(crate) use client::ClientTlsOptions;
pub(crate) use options::TlsOptions;
pub(crate) use server::Material;
#[allow(unused_imports, reason = "for whoever loads the options again")]
pub(crate) use server::reload;
