//! Bytes through a TLS connection, without a socket: ciphertext in, plain text out.

use std::io::Read;

use rustls::{ConnectionCommon, Error, SideData};

/// What came out of some ciphertext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Bytes of plain text.
    pub(crate) length: usize,
    /// The peer has said that nothing more comes.
    pub(crate) is_closed: bool,
}

/// Decrypts `cipher` into `plain`. Everything that was decrypted before must have been taken, and
/// `plain` must be as long as `cipher` or longer: then what is left in the connection is no more
/// than one record, and always fits.
pub(crate) fn feed<Data: SideData>(
    tls: &mut ConnectionCommon<Data>,
    mut cipher: &[u8],
    plain: &mut [u8],
) -> Result<Fed, (usize, Error)> {
    let mut fed = Fed::default();
    while !cipher.is_empty() {
        // the end that a close_notify is; bytes behind it do not count
        match tls.read_tls(&mut cipher) {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return Err((fed.length, Error::PeerSentOversizedRecord)),
        }
        let state = tls.process_new_packets();
        fed.length += take(tls, &mut plain[fed.length..]);
        fed.is_closed = state.map_err(|error| (fed.length, error))?.peer_has_closed();
    }
    Ok(fed)
}

/// Takes plain text that was decrypted before.
pub(crate) fn take<Data: SideData>(tls: &mut ConnectionCommon<Data>, plain: &mut [u8]) -> usize {
    let mut length = 0;
    while length < plain.len() {
        match tls.reader().read(&mut plain[length..]) {
            Ok(count) if count > 0 => length += count,
            // there is none for now, or the end
            _ => break,
        }
    }
    length
}
