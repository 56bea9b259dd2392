//! Addresses by country, and how far away they are.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use atlas::{Atlas, Country, Kind, PlaceId};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;

/// Addresses looked at to find some of every country.
const LOOKED_AT: usize = 1 << 19;

/// A uniform number from 0 to below `n`.
pub(crate) fn below(random: &mut Pcg64Mcg, n: u64) -> u64 {
    // Multiply and shift: the bias is below n / 2^64.
    ((u128::from(random.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A uniform number from 0 to below 1.
pub(crate) fn uniform(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// One of the keys, each as often as its share says.
pub(crate) fn draw<T: Copy>(mix: &[(T, f64)], random: &mut Pcg64Mcg) -> T {
    let mut left = uniform(random);
    for &(key, share) in mix {
        left -= share;
        if left < 0.0 {
            return key;
        }
    }
    mix[mix.len() - 1].0
}

/// Where addresses are.
pub(crate) struct World<'a> {
    atlas: &'a Atlas,
    homes: BTreeMap<Country, Vec<u32>>,
    any: BTreeMap<Country, Vec<u32>>,
    /// Mixed into what is fixed for an address in one run.
    salt: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(atlas: &'a Atlas, random: &mut Pcg64Mcg) -> World<'a> {
        let salt = random.next_u64();
        let drawn: Vec<u32> = (0..LOOKED_AT).map(|_| random.next_u64() as u32).collect();
        let addresses: Vec<Ipv6Addr> = drawn
            .iter()
            .map(|&v4| Ipv4Addr::from_bits(v4).to_ipv6_mapped())
            .collect();
        let mut ids: Vec<PlaceId> = Vec::new();
        atlas.lookup_all(&addresses, &mut ids);
        let (mut homes, mut any) = (BTreeMap::new(), BTreeMap::new());
        for (&v4, id) in drawn.iter().zip(ids) {
            let place = atlas.place(id);
            if !place.routed {
                continue;
            }
            any.entry(place.country).or_insert_with(Vec::new).push(v4);
            if matches!(place.kind, Kind::Access | Kind::Mobile) {
                homes.entry(place.country).or_insert_with(Vec::new).push(v4);
            }
        }
        World {
            atlas,
            homes,
            any,
            salt,
        }
    }

    /// An address in a country: of a home where enough are known. Its last byte is drawn anew, unless that leaves the country.
    pub(crate) fn address(&self, country: Country, home: bool, random: &mut Pcg64Mcg) -> Option<u32> {
        let enough = |pool: &&Vec<u32>| pool.len() >= 50;
        let pool = if home {
            self.homes.get(&country).filter(enough)
        } else {
            None
        }
        .or_else(|| self.any.get(&country))?;
        let v4 = pool[below(random, pool.len() as u64) as usize];
        let near = v4 & !0xff | (1 + below(random, 254) as u32);
        let place = self.atlas.lookup(Ipv4Addr::from_bits(near).to_ipv6_mapped());
        Some(if place.country == country && place.routed {
            near
        } else {
            v4
        })
    }

    /// Any address, or any that is announced.
    pub(crate) fn anywhere(&self, announced: bool, random: &mut Pcg64Mcg) -> u32 {
        loop {
            let v4 = random.next_u64() as u32;
            if !announced || self.atlas.lookup(Ipv4Addr::from_bits(v4).to_ipv6_mapped()).routed {
                return v4;
            }
        }
    }

    /// Routers between here and an address: the same for all of a /16, from 7 to 22.
    pub(crate) fn hops(&self, v4: u32) -> u8 {
        let mut x = u64::from(v4 >> 16) ^ self.salt;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        // The sum of two draws: most are in the middle.
        7 + ((x >> 8) % 9) as u8 + ((x >> 32) % 8) as u8
    }
}
