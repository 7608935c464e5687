//! Addresses without what tells one subscriber from another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// /24 of IPv4, /48 of IPv6.
pub(super) fn cut(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3::4", "2001:db8:1::"),
            ("::1", "::"),
        ] {
            assert_eq!(cut(address.parse().unwrap()).to_string(), expected);
        }
    }
}
