//! Other addresses for publication: truncated, or keyed pseudonyms that keep prefixes together.
//!
//! The keyed form follows the idea of Crypto-PAn (Xu, Fan, Ammar, Moon, ICNP 2002): each bit is turned or not by a keyed function of the
//! bits before it, so that two addresses share as many leading bits after as before, and no two become one. Here bits that lead to
//! special-purpose space are never turned, so that it stays where it is and nothing else gets there; nor are those of prefixes that
//! are to stay as they are, which the targets are.

use std::net::{Ipv4Addr, Ipv6Addr};

use atlas::Prefix;
use sha2::{Digest, Sha256};

/// First bits of an IPv4-mapped address.
const MAPPED: u32 = 96;

/// How addresses are replaced.
#[derive(Clone, Debug)]
pub(crate) enum Addresses {
    /// The last byte of IPv4, the last ten bytes of IPv6 become zero, outside these prefixes.
    Truncated(Vec<Prefix>),
    /// A keyed permutation.
    Hashed(Permutation),
}

impl Addresses {
    /// The address in place of this one.
    pub(crate) fn of(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        match self {
            Addresses::Truncated(kept) if kept.iter().any(|prefix| prefix.contains(address)) => address,
            Addresses::Truncated(_) => {
                let len = if address.to_ipv4_mapped().is_some() {
                    96 + 24
                } else {
                    48
                };
                Prefix::of(address, len).base
            }
            Addresses::Hashed(permutation) => permutation.of(address),
        }
    }

    /// The prefix in place of this one.
    pub(crate) fn prefix(&mut self, prefix: Prefix) -> Prefix {
        match self {
            // Only the bits of the prefix matter.
            Addresses::Hashed(permutation) => {
                Prefix::of(permutation.moved(prefix.base, u32::from(prefix.len)), prefix.len)
            }
            Addresses::Truncated(_) => Prefix::of(self.of(prefix.base), prefix.len),
        }
    }
}

/// A permutation of the addresses of each family that keeps prefixes together.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    key: [u8; 32],
    /// Prefixes that keep their place; inside them addresses move.
    special: Vec<Prefix>,
    /// Prefixes in which nothing moves.
    kept: Vec<Prefix>,
    /// The last address, its turned bits, and up to which bit they are known: neighbours share most of the work.
    last: (u128, u128, u32),
}

impl Permutation {
    /// The permutation of a key that moves nothing inside the kept prefixes.
    pub(crate) fn new(key: [u8; 32], kept: &[Prefix]) -> Permutation {
        let host = |address: Ipv6Addr| Prefix::of(address, 128);
        let mut kept = kept.to_vec();
        // "No address" is no address in either family.
        kept.push(host(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()));
        kept.push(host(Ipv6Addr::UNSPECIFIED));
        let mut special: Vec<Prefix> = atlas::build::special()
            .into_iter()
            .map(|(prefix, _)| prefix)
            .collect();
        special.push(Prefix::of(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), MAPPED as u8));
        Permutation {
            key,
            special,
            kept,
            last: (0, 0, 0),
        }
    }

    /// The address in place of this one.
    pub(crate) fn of(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        self.moved(address, 128)
    }

    /// The same, where only the first so many bits are asked for.
    fn moved(&mut self, address: Ipv6Addr, wanted: u32) -> Ipv6Addr {
        let bits = address.to_bits();
        // Whether a bit is turned is decided by those before it: up to the first that differs, itself included, all is known.
        let known = ((bits ^ self.last.0).leading_zeros() + 1).min(self.last.2);
        let mask = u128::MAX.checked_shr(known).map_or(u128::MAX, |rest| !rest);
        let mut turned = self.last.1 & mask;
        for depth in known..wanted {
            let before = if depth == 0 {
                0
            } else {
                bits & !(u128::MAX >> depth)
            };
            if !self.stays(before, depth) && self.draw(before, depth) {
                turned |= 1 << (127 - depth);
            }
        }
        self.last = (bits, turned, known.max(wanted));
        Ipv6Addr::from_bits(bits ^ turned)
    }

    /// Whether the bit behind these leads to a prefix that keeps its place.
    fn stays(&self, before: u128, depth: u32) -> bool {
        let leads = |prefix: &Prefix| {
            u32::from(prefix.len) > depth && (prefix.base.to_bits() ^ before).leading_zeros() >= depth
        };
        let inside = |prefix: &Prefix| {
            let len = u32::from(prefix.len);
            len <= depth && (prefix.base.to_bits() ^ before).leading_zeros() >= len
        };
        self.special.iter().any(leads) || self.kept.iter().any(|prefix| leads(prefix) || inside(prefix))
    }

    fn draw(&self, before: u128, depth: u32) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(before.to_be_bytes());
        hash.update([depth as u8]);
        hash.finalize()[0] & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Ipv6Addr {
        text.parse::<Ipv4Addr>().unwrap().to_ipv6_mapped()
    }

    fn permutation(key: u8, kept: &[&str]) -> Permutation {
        let kept: Vec<Prefix> = kept.iter().map(|text| text.parse().unwrap()).collect();
        Permutation::new([key; 32], &kept)
    }

    #[test]
    fn shared_bits_stay_shared_and_no_two_become_one() {
        let mut permutation = permutation(1, &["203.1.2.3"]);
        let mut random = 7u64;
        let mut seen = std::collections::BTreeMap::new();
        let mut addresses = Vec::new();
        for _ in 0..300 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            addresses.push(Ipv4Addr::from_bits((random >> 32) as u32).to_ipv6_mapped());
            addresses.push(Ipv6Addr::from_bits(
                0x2a00 << 112 | u128::from(random) << 32 | u128::from(random >> 7),
            ));
        }
        // A block as well, whose every address must go to the same block.
        addresses.extend((0..256).map(|i| Ipv6Addr::from_bits(v4("77.9.8.0").to_bits() + i)));
        for &address in &addresses {
            let other = permutation.of(address);
            assert_eq!(
                address.to_ipv4_mapped().is_some(),
                other.to_ipv4_mapped().is_some()
            );
            assert_eq!(*seen.entry(other).or_insert(address), address);
        }
        for pair in addresses.windows(2) {
            let shared = |a: Ipv6Addr, b: Ipv6Addr| (a.to_bits() ^ b.to_bits()).leading_zeros();
            assert_eq!(
                shared(pair[0], pair[1]),
                shared(permutation.of(pair[0]), permutation.of(pair[1]))
            );
        }
        let moved = addresses.iter().filter(|a| permutation.of(**a) != **a).count();
        assert!(moved > addresses.len() * 9 / 10, "{moved}");
    }

    #[test]
    fn special_space_and_kept_prefixes_keep_their_place() {
        let atlas = atlas::Atlas::embedded();
        let mut permutation = permutation(2, &["77.9.8.7", "2001:db9::/32"]);
        assert_eq!(permutation.of(v4("77.9.8.7")), v4("77.9.8.7"));
        // A prefix goes where its addresses go, whatever was asked before.
        let mut addresses = Addresses::Hashed(permutation.clone());
        for text in [
            "77.9.8.0/24",
            "77.9.0.0/16",
            "91.0.0.0/8",
            "91.7.0.0/16",
            "2a00:1450::/32",
            "77.9.8.7/32",
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(
                addresses.prefix(prefix),
                Prefix::of(permutation.of(prefix.last()), prefix.len),
                "{text}"
            );
        }
        let kept = "2001:db9::17".parse().unwrap();
        assert_eq!(permutation.of(kept), kept);
        assert_ne!(permutation.of(v4("77.9.8.6")), v4("77.9.8.7"));
        for i in 0..5_000u32 {
            let address = Ipv4Addr::from_bits(i.wrapping_mul(858_993)).to_ipv6_mapped();
            let special = |address| atlas.lookup(address).kind == atlas::Kind::Reserved;
            assert_eq!(special(address), special(permutation.of(address)), "{address}");
        }
        let inside = permutation.of(v4("10.1.2.3"));
        assert!("10.0.0.0/8".parse::<Prefix>().unwrap().contains(inside) && inside != v4("10.1.2.3"));
    }

    #[test]
    fn another_key_gives_other_addresses_and_the_same_key_the_same() {
        let of = |key: u8| permutation(key, &[]).of(v4("77.9.8.7"));
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let mut cut = Addresses::Truncated(vec!["77.9.8.7".parse().unwrap()]);
        assert_eq!(cut.of(v4("77.9.8.6")), v4("77.9.8.0"));
        assert_eq!(cut.of(v4("77.9.8.7")), v4("77.9.8.7"));
        assert_eq!(
            cut.of("2a00:1:2:3::4".parse().unwrap()),
            "2a00:1:2::".parse::<Ipv6Addr>().unwrap()
        );
        assert_eq!(
            cut.prefix("77.9.0.0/16".parse().unwrap()),
            "77.9.0.0/16".parse().unwrap()
        );
    }
}
