//! The part of an address by which connections, requests and wrong tokens are counted.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

/// What counts as one address. Of IPv6 it is a network of 64 bits: the least that a subscriber has,
/// in which a host takes another address whenever it likes. Link-local addresses are all in one
/// such network, whatever host of the link they belong to: there each counts by itself.
pub(super) fn origin(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V6(host) if !host.is_unicast_link_local() => {
            Ipv6Net::new_assert(host, 64).trunc().into()
        }
        _ => address.into(),
    }
}
