//! The options of a client.

use std::ffi::c_int;
use std::mem::size_of;
use std::time::Duration;

use chatproto::Limits;
use chatproto::websocket::Url;

use crate::ffi::Growing;
use crate::result::{chatproto_result, fail};
use crate::text::chatproto_str;
use crate::tls::{self, ClientTls};

use super::connection::Settings;

/// How a client is to connect. Take `chatproto_client_options_default`, which sets the defaults, and
/// change what is to be different. Only read by `chatproto_client_connect_with`. Later versions may
/// have more members, whose zero is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_client_options {
    /// `sizeof (chatproto_client_options)`, so that the library knows the header it was compiled with.
    pub size: usize,
    /// How long connecting and registering may take: 0 does not wait, and a negative one waits for
    /// ever. Default 10,000.
    pub timeout_ms: c_int,
    /// TLS, with a server whose certificate is from an authority that the system trusts. A URL that begins
    /// with `wss://` turns it on too.
    pub tls: bool,
    /// TLS, with a server whose certificate is from an authority in this PEM file, or is in it itself.
    pub tls_ca_file: chatproto_str,
    /// TLS, with the server whose certificate has this SHA-256, in hexadecimal digits with or without
    /// colons, whatever its names and dates.
    pub tls_fingerprint: chatproto_str,
    /// The name that the certificate must be for. Default: the host of the address.
    pub tls_server_name: chatproto_str,
    /// The client's own certificate, a PEM file, for a server that asks for one.
    pub tls_certificate_file: chatproto_str,
    /// Its private key, a PEM file without a password.
    pub tls_key_file: chatproto_str,
    /// The longest message in bytes, in either direction, from 128 to 1 GiB; 0 is 64 KiB. Default 0.
    pub max_frame: usize,
    /// The connection is lost (`CHATPROTO_IO`) when the server's system was silent for so long: TCP
    /// keep-alive, and on Linux the TCP user time-out. 0 or less leaves both as the system has them.
    /// Default 90,000.
    pub keep_alive_ms: c_int,
    /// The client asks a server with `/ping` when nothing came for so long, while it waits for messages
    /// or is processed. The connection is lost (`CHATPROTO_IO`) if nothing comes for as long again. 0
    /// or less: no `/ping`s. Default 0.
    pub ping_interval_ms: c_int,
}

impl chatproto_client_options {
    /// What `chatproto_client_options_default` of the header gives.
    pub(crate) const DEFAULT: chatproto_client_options = chatproto_client_options {
        size: size_of::<chatproto_client_options>(),
        timeout_ms: 10_000,
        tls: false,
        tls_ca_file: chatproto_str::EMPTY,
        tls_fingerprint: chatproto_str::EMPTY,
        tls_server_name: chatproto_str::EMPTY,
        tls_certificate_file: chatproto_str::EMPTY,
        tls_key_file: chatproto_str::EMPTY,
        max_frame: 0,
        keep_alive_ms: 90_000,
        ping_interval_ms: 0,
    };

    /// Converts the numbers of the options to settings.
    pub(super) fn settings(&self) -> Result<Settings, chatproto_result> {
        let mut limits = Limits::default();
        if self.max_frame > 0 {
            limits.frame = self.max_frame;
        }
        limits.check().map_err(|_| {
            let most = 1 << 30;
            fail(
                chatproto_result::InvalidArgument,
                format_args!(
                    "`max_frame` is a number of bytes from 128 to {most}, not {}",
                    self.max_frame
                ),
            )
        })?;
        let above_zero = |ms: c_int| milliseconds(ms).filter(|time| !time.is_zero());
        Ok(Settings {
            timeout: milliseconds(self.timeout_ms),
            limits,
            keep_alive: above_zero(self.keep_alive_ms),
            ping_interval: above_zero(self.ping_interval_ms),
        })
    }

    /// The settings of TLS; `None` without TLS, which an option or the URL can ask for.
    ///
    /// # Safety
    /// The strings of the options are as `chatproto_str` describes.
    pub(super) unsafe fn tls(
        &self,
        url: Option<&Url>,
    ) -> Result<Option<ClientTls>, chatproto_result> {
        // SAFETY: the caller's promise
        let [ca, fingerprint, name, certificate, key] = unsafe {
            [
                self.tls_ca_file.text("tls_ca_file")?,
                self.tls_fingerprint.text("tls_fingerprint")?,
                self.tls_server_name.text("tls_server_name")?,
                self.tls_certificate_file.text("tls_certificate_file")?,
                self.tls_key_file.text("tls_key_file")?,
            ]
        };
        let is_asked = self.tls || [ca, fingerprint].iter().any(|text| !text.is_empty());
        if is_asked && url.is_some_and(|url| !url.is_secure()) {
            let sentence =
                format_args!("TLS was asked for, and ws:// is without TLS: write wss://");
            return Err(fail(chatproto_result::InvalidArgument, sentence));
        }
        if !is_asked && !url.is_some_and(Url::is_secure) {
            let others = [name, certificate, key];
            return if others.iter().all(|text| text.is_empty()) {
                Ok(None)
            } else {
                let sentence =
                    format_args!("options of TLS without `tls`, a CA file or a fingerprint");
                Err(fail(chatproto_result::InvalidArgument, sentence))
            };
        }
        if !ca.is_empty() && !fingerprint.is_empty() {
            let sentence = format_args!("`tls_ca_file` and `tls_fingerprint` exclude each other");
            return Err(fail(chatproto_result::InvalidArgument, sentence));
        }
        if certificate.is_empty() != key.is_empty() {
            let sentence = format_args!("`tls_certificate_file` and `tls_key_file` go together");
            return Err(fail(chatproto_result::InvalidArgument, sentence));
        }
        tls::client(ca, fingerprint, name, certificate, key).map(Some)
    }
}

// SAFETY: `repr(C)`, with the size first
unsafe impl Growing for chatproto_client_options {
    const FIRST: usize = size_of::<chatproto_client_options>();
}

/// A time in milliseconds; `None` if it is negative, which is for ever.
pub(super) fn milliseconds(ms: c_int) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}
