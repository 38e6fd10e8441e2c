//! Memory for frames that come in more than one read. A frame can have a password, so that its bytes are
//! overwritten before the memory is freed.
//!
//! The bytes of a read are borrowed. Their owner wipes them.

use std::ops::Deref;

use zeroize::Zeroize as _;

/// Longer frames have no password. To wipe them would cost a part of the time of decoding them.
const SECRET_MOST: usize = 8 << 10;

/// Bytes that grow as those of a vector do. The memory from which they move is wiped too.
#[derive(Clone, Debug)]
pub(super) struct WipedBytes(Vec<u8>);

/// Text that is wiped when it is dropped.
#[derive(Clone, Debug)]
pub(super) struct WipedText(String);

impl WipedBytes {
    pub(super) fn new(bytes: &[u8]) -> Self {
        WipedBytes(bytes.to_vec())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            let mut grown = Vec::with_capacity(length.max(2 * self.0.capacity()));
            grown.extend_from_slice(&self.0);
            wipe(&mut std::mem::replace(&mut self.0, grown));
        }
        self.0.extend_from_slice(bytes);
    }

    /// Drops the bytes from this length on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0[length..].zeroize();
        self.0.truncate(length);
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The bytes as text, or wiped if they are not UTF-8.
    pub(super) fn into_text(mut self) -> Option<WipedText> {
        let text = String::from_utf8(std::mem::take(&mut self.0));
        text.map_err(|error| wipe(&mut error.into_bytes())).ok().map(WipedText)
    }
}

impl Deref for WipedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for WipedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl Drop for WipedText {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

/// Overwrites the bytes at once, as `Vec::zeroize` does one by one. The capacity behind them has none: a frame
/// that becomes shorter is wiped there.
fn wipe(bytes: &mut [u8]) {
    if bytes.len() <= SECRET_MOST {
        bytes.zeroize();
    }
}
