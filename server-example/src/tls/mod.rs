//! TLS: what the server needs for it (options, files, what the log says), what the client trusts, and
//! the command `cert`, which makes a certificate where there is none.

pub(crate) mod cert;
mod options;
mod server;
mod x509;

pub(crate) use options::{TlsMode, TlsOptions};
pub(crate) use server::{Certificates, Material};
