//! The options of a server.

use std::mem::size_of;
use std::path::Path;

use chatproto::{Limits, Rate};

use crate::ffi::Growing;
use crate::result::{chatproto_result, fail};
use crate::text::chatproto_str;
use crate::tls::{self, ServerTls};

use super::endpoint::chatproto_endpoint;

/// No bound, for `rate_per_second` of `chatproto_server_options`.
pub const CHATPROTO_UNLIMITED: u32 = 0xFFFF_FFFF;

/// How a server is to be. Take `chatproto_server_options_default` and change what is to be different:
/// everything that is 0, empty or NULL is the default. Only read by `chatproto_server_start`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chatproto_server_options {
    /// `sizeof (chatproto_server_options)`, so that the library knows the header it was compiled with.
    pub size: usize,
    /// Where to listen: a host and a port from 0 to 65535. Port 0 takes any free one. A port alone, such
    /// as `7000`, is one of 127.0.0.1; the port of a host alone is 65432. The name of a host is looked
    /// up, and the first of its addresses that can be listened on is taken. An incomplete IPv4 address,
    /// such as `0:7000`, is refused. Default `127.0.0.1:65432`.
    pub address: chatproto_str,
    /// Endpoints of the application's own.
    pub endpoints: *const chatproto_endpoint,
    /// The length of `endpoints`.
    pub endpoint_count: usize,
    /// The token with which a user becomes an admin, by `/admin`. Default: nobody can.
    pub admin_token: chatproto_str,
    /// Longest object in bytes. Default 64 KiB.
    pub max_frame: usize,
    /// Most connections at a time. Default: no bound.
    pub max_connections: usize,
    /// Most connections of one address that is not loopback, or of one IPv6 network of 64 bits.
    /// Default 64.
    pub max_per_address: usize,
    /// Messages a second that one connection may send in the long run. Above it, the server pauses
    /// reading; nothing is lost. Default 100. `CHATPROTO_UNLIMITED` turns off this limit and the
    /// limit of bytes, which is 192 KiB a second.
    pub rate_per_second: u32,
    /// Messages that it may send at once after it was quiet. Default twice the rate.
    pub rate_burst: u32,
    /// Event loops, each a thread. Default: one a core, four at most.
    pub threads: u32,
    /// Threads that run the endpoints. Default 4.
    pub worker_threads: u32,
    /// A connection that reads too slowly loses its oldest messages, and is told how many, instead
    /// of being closed.
    pub drop_oldest: bool,
    /// Everybody is told who comes and goes.
    pub announce: bool,
    /// With TLS, a client that sends a name in text is refused.
    pub tls_only: bool,
    /// Certificate, a PEM file, to speak TLS too, on the same port. Default: text only.
    pub tls_certificate_file: chatproto_str,
    /// Its private key, a PEM file without a password.
    pub tls_key_file: chatproto_str,
}

impl chatproto_server_options {
    /// The options of `chatproto_server_options_default` in the header.
    pub(super) const DEFAULT: chatproto_server_options = chatproto_server_options {
        size: size_of::<chatproto_server_options>(),
        address: chatproto_str::EMPTY,
        endpoints: std::ptr::null(),
        endpoint_count: 0,
        admin_token: chatproto_str::EMPTY,
        max_frame: 0,
        max_connections: 0,
        max_per_address: 0,
        rate_per_second: 0,
        rate_burst: 0,
        threads: 0,
        worker_threads: 0,
        drop_oldest: false,
        announce: false,
        tls_only: false,
        tls_certificate_file: chatproto_str::EMPTY,
        tls_key_file: chatproto_str::EMPTY,
    };

    /// The bounds of the core.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let set = |bound: &mut usize, value: usize| {
            if value > 0 {
                *bound = value;
            }
        };
        set(&mut limits.frame, self.max_frame);
        set(&mut limits.connections, self.max_connections);
        set(&mut limits.per_address, self.max_per_address);
        limits.rate = match (self.rate_per_second, self.rate_burst) {
            (CHATPROTO_UNLIMITED, _) => None,
            (0, 0) => limits.rate,
            (rate, burst) => {
                let per_second = if rate == 0 { 100 } else { rate };
                let burst = if burst == 0 { per_second.saturating_mul(2) } else { burst };
                Some(Rate { per_second, burst })
            }
        };
        // `CHATPROTO_UNLIMITED` turns off both rate limits
        limits.rate_bytes = limits.rate.and(limits.rate_bytes);
        limits
    }

    /// The settings of TLS; `None` without TLS.
    ///
    /// # Safety
    /// The strings of the options are as `chatproto_str` describes.
    pub(super) unsafe fn tls(&self) -> Result<Option<ServerTls>, chatproto_result> {
        // SAFETY: the caller's promise
        let text = |string: chatproto_str, name| unsafe { string.text(name) };
        let certificate = text(self.tls_certificate_file, "tls_certificate_file")?;
        let key = text(self.tls_key_file, "tls_key_file")?;
        match (certificate, key) {
            ("", "") if !self.tls_only => Ok(None),
            ("", _) | (_, "") => {
                let sentence =
                    format_args!("TLS needs both `tls_certificate_file` and `tls_key_file`");
                Err(fail(chatproto_result::InvalidArgument, sentence))
            }
            (certificate, key) => tls::server(Path::new(certificate), Path::new(key)).map(Some),
        }
    }
}

// SAFETY: `repr(C)`, with the size first
unsafe impl Growing for chatproto_server_options {
    const FIRST: usize = size_of::<chatproto_server_options>();
}
