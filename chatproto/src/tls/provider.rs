//! The cryptography of every connection: ring's. It is given explicitly, since a program may have another
//! default.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
