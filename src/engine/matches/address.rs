//! Client addresses: single ones and CIDR blocks, IPv4 and IPv6.

use crate::engine::sorted::sort_by;
use std::net::{IpAddr, Ipv6Addr};

/// A set of addresses, kept as ranges that are sorted and do not touch, so that a lookup in any
/// number of blocks is one binary search.
///
/// IPv4 addresses stand in the IPv4-mapped block of IPv6 (RFC 4291, section 2.5.5.2): a client that
/// arrives as `::ffff:10.0.0.1` is the client `10.0.0.1`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    ranges: Box<[(u128, u128)]>,
}

impl Addresses {
    /// The set of all given addresses and blocks; the first that is neither is the error.
    pub(crate) fn compile<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Result<Self, String> {
        let mut ranges = texts
            .map(|text| {
                parse_block(text).ok_or_else(|| {
                    format!(
                        "{:?} is no address; accepted are addresses and CIDR blocks, \
                         as in `10.0.0.0/8` or `2001:db8::/32`",
                        String::from_utf8_lossy(text)
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        sort_by(&mut ranges, Ord::cmp);
        ranges.dedup_by(|next, previous| {
            let touches = next.0 <= previous.1.saturating_add(1);
            if touches {
                previous.1 = previous.1.max(next.1);
            }
            touches
        });
        Ok(Self { ranges: ranges.into() })
    }

    /// The first and the last address of each range, in ascending order.
    pub(crate) fn ranges(&self) -> &[(u128, u128)] {
        &self.ranges
    }

    /// Bytes that are the same for equal sets only.
    pub(crate) fn key(&self) -> Box<[u8]> {
        let ends = self.ranges.iter().flat_map(|(first, last)| [first, last]);
        ends.flat_map(|end| end.to_ne_bytes()).collect()
    }

    /// Where an address stands among the ranges.
    pub(crate) fn number(address: IpAddr) -> u128 {
        number(address)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.ranges.partition_point(|range| range.0 <= address);
        after
            .checked_sub(1)
            .and_then(|index| self.ranges.get(index))
            .is_some_and(|range| address <= range.1)
    }
}

/// An address as text, without port; IPv6 with or without brackets, a zone is ignored.
pub(crate) fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    text.parse().ok()
}

fn parse_block(text: &[u8]) -> Option<(u128, u128)> {
    let slash = text.iter().position(|byte| *byte == b'/');
    let address = parse(text.get(..slash.unwrap_or(text.len()))?)?;
    let first = number(address);
    // The number of bits behind the prefix, counted in IPv6.
    let free_bits = match slash {
        None => 0,
        Some(slash) => {
            let digits = text.get(slash + 1..)?;
            let sound = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let length: u32 = std::str::from_utf8(digits).ok().filter(|_| sound)?.parse().ok()?;
            let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
            bits.checked_sub(length)?
        }
    };
    let free = u128::MAX.checked_shr(128 - free_bits).unwrap_or(0);
    Some((first & !free, first | free))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_addresses() {
        let table: &[(&str, &str, bool)] = &[
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true), // bits behind the prefix do not count
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", true), // mapped
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("fe80::/10", "fe80::1%eth0", true),
            ("2001:db8::1/128", "[2001:db8::1]", true),
        ];
        for (block, address, holds) in table {
            let set = Addresses::compile([block.as_bytes()].into_iter());
            let address_parsed = parse(address.as_bytes());
            let contains = set.map(|set| address_parsed.map(|address| set.contains(address)));
            assert_eq!(contains, Ok(Some(*holds)), "{address} in {block}");
        }
    }

    #[test]
    fn many_blocks_are_one_set() {
        let blocks = ["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7", "172.16.0.0/12", "::1"];
        let set = Addresses::compile(blocks.iter().map(|block| block.as_bytes())).expect("a set");
        assert_eq!(set.ranges.len(), 3, "neighbours and overlaps are merged");
        for (address, holds) in
            [("10.0.0.200", true), ("10.0.1.0", false), ("172.31.255.255", true), ("::2", false)]
        {
            assert_eq!(set.contains(address.parse().expect("an address")), holds, "{address}");
        }
    }

    #[test]
    fn junk_is_no_block() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "a/8",
            "1.2.3.4/8/8",
        ] {
            assert!(Addresses::compile([text.as_bytes()].into_iter()).is_err(), "{text:?}");
        }
    }
}
