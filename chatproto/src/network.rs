//! [`Network`]: an address or a range of addresses, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A range of addresses, such as `192.0.2.0/24`. One address is a range too. IPv4 addresses in the form of
/// IPv6 count as IPv4.
///
/// ```
/// use chatproto::network::Network;
///
/// let network: Network = "192.0.2.7/24".parse()?;
/// assert_eq!(network.to_string(), "192.0.2.0/24");
/// assert!(network.contains([192, 0, 2, 200].into()));
/// assert!(network.contains("::ffff:192.0.2.1".parse().unwrap()));
/// assert!(!network.contains([192, 0, 3, 1].into()));
///
/// let one: Network = "2001:db8::1".parse()?;
/// assert!(!one.contains("2001:db8::2".parse().unwrap()));
/// assert!("192.0.2.0/33".parse::<Network>().is_err());
/// # Ok::<(), chatproto::network::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a network, such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")]
pub struct NetworkError(());

impl Network {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    pub(crate) fn net(self) -> IpNet {
        self.0
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Network(address.to_canonical().into())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        range(text).map(Network).ok_or(NetworkError(()))
    }
}

impl fmt::Display for Network {
    /// One address is written without its prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

/// An address and the length of a prefix.
fn range(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    // a leading zero, which makes a number octal for some programs, is refused in either part
    let is_plain = prefix == "0" || !prefix.starts_with('0');
    let is_number = is_plain && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|_| is_number)?;
    IpNet::new(address.parse().ok()?, prefix).ok().map(canonical)
}

/// A network without the bits of its host. One of IPv4 in the form of IPv6 is one of IPv4, as the addresses
/// of its hosts are.
fn canonical(net: IpNet) -> IpNet {
    let net = net.trunc();
    let IpNet::V6(of_v6) = net else { return net };
    let of_v4 = of_v6.network().to_ipv4_mapped().zip(of_v6.prefix_len().checked_sub(96));
    of_v4.and_then(|(network, prefix)| IpNet::new(network.into(), prefix).ok()).unwrap_or(net)
}
