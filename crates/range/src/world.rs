//! Addresses by country and network, how far away they are, and where they really are.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use atlas::{Atlas, Country, Kind, PlaceId, Prefix};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;

/// Addresses looked at to find some of every country: IPv4 from the whole space, IPv6 from what is given out.
const LOOKED_AT: usize = 1 << 18;
const LOOKED_AT_V6: usize = 1 << 18;

/// First bits of what the five registries give out of IPv6 (IANA, IPv6 Global Unicast Address Assignments), with how many bits.
const V6_GIVEN_OUT: [(u16, u32); 6] = [
    (0x2001, 16),
    (0x2400, 12),
    (0x2600, 12),
    (0x2800, 12),
    (0x2a00, 11),
    (0x2c00, 12),
];

/// A uniform number from 0 to below `n`.
pub(crate) fn below(random: &mut Pcg64Mcg, n: u64) -> u64 {
    // Multiply and shift: the bias is below n / 2^64.
    ((u128::from(random.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A uniform number from 0 to below 1.
pub(crate) fn uniform(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// One of a mix whose shares sum up to 1.
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

/// A rate as a whole number: its fraction is the chance of one more.
pub(crate) fn whole(rate: f64, random: &mut Pcg64Mcg) -> u64 {
    rate.floor() as u64 + u64::from(uniform(random) < rate.fract())
}

/// Share of the announced networks of a kind whose hosts are in another country than address databases say.
///
/// Of eyeball networks 95 to 99 % are usually given as right, of mobile ones less. For routers and servers Gharaibeh et al. (IMC 2017)
/// found 77.5 to 78.6 % right in three common databases; what is announced from anywhere (proxies, satellites, anycast) is no better.
fn wrong_share(kind: Kind) -> f64 {
    match kind {
        Kind::Access | Kind::Unknown | Kind::Reserved => 0.03,
        Kind::Mobile => 0.05,
        Kind::Hosting | Kind::Proxy | Kind::Tor | Kind::Satellite | Kind::Anycast => 0.22,
    }
}

/// A fixed number of a number: the finaliser of MurmurHash3, twice.
fn mixed(x: u64, salt: u64) -> u64 {
    let round = |mut x: u64| {
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    };
    round(round(x ^ salt).wrapping_add(salt))
}

fn fraction(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// Known addresses of a country, those of one network together.
#[derive(Default)]
struct Pool {
    addresses: Vec<Ipv6Addr>,
    /// Network, and where its addresses begin.
    networks: Vec<(u32, usize)>,
}

impl Pool {
    fn of(mut known: Vec<(u32, Ipv6Addr)>) -> Pool {
        known.sort_unstable();
        let mut pool = Pool::default();
        for (asn, address) in known {
            if pool.networks.last().is_none_or(|(last, _)| *last != asn) {
                pool.networks.push((asn, pool.addresses.len()));
            }
            pool.addresses.push(address);
        }
        pool
    }
}

/// Which family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: Ipv6Addr) -> Family {
        match address.to_ipv4_mapped() {
            Some(_) => Family::V4,
            None => Family::V6,
        }
    }
}

/// Addresses of one family, by the country in which they really are.
#[derive(Default)]
struct Known {
    homes: BTreeMap<Country, Pool>,
    any: BTreeMap<Country, Pool>,
    hosting: BTreeMap<Country, Pool>,
    /// By network, wherever.
    networks: BTreeMap<u32, Vec<Ipv6Addr>>,
}

/// Who is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// People and their devices: access, mobile and satellite networks, where enough of them are known.
    Home,
    /// Servers: hosting networks, where enough of them are known.
    Server,
    Anyone,
}

/// Where addresses are.
pub(crate) struct World<'a> {
    pub(crate) atlas: &'a Atlas,
    v4: Known,
    v6: Known,
    /// Countries with the running sums of their share of the addresses.
    by_size: Vec<(Country, f64)>,
    /// Times the usual share of wrong entries in address databases.
    errors: f64,
    /// Mixed into what is fixed for an address in one run.
    salt: u64,
}

/// The networks of a country that a botnet has got into, with the running sums of their shares: few have many bots.
pub(crate) struct Infected<'w> {
    pool: &'w Pool,
    sums: Vec<f64>,
    salt: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(atlas: &'a Atlas, errors: f64, wants_v6: bool, random: &mut Pcg64Mcg) -> World<'a> {
        let salt = random.next_u64();
        let v4: Vec<Ipv6Addr> = (0..LOOKED_AT)
            .map(|_| Ipv4Addr::from_bits(random.next_u64() as u32).to_ipv6_mapped())
            .collect();
        let v6: Vec<Ipv6Addr> = (0..if wants_v6 { LOOKED_AT_V6 } else { 0 })
            .map(|_| {
                let (first, bits) = V6_GIVEN_OUT[below(random, V6_GIVEN_OUT.len() as u64) as usize];
                let drawn = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
                Ipv6Addr::from_bits(u128::from(first) << 112 | drawn >> bits)
            })
            .collect();
        let mut world = World {
            atlas,
            v4: Known::default(),
            v6: Known::default(),
            by_size: Vec::new(),
            errors,
            salt,
        };
        let mut ids: Vec<PlaceId> = Vec::new();
        atlas.lookup_all(&v4, &mut ids);
        let mut sizes: BTreeMap<Country, u32> = BTreeMap::new();
        for id in &ids {
            let place = atlas.place(*id);
            if place.routed {
                *sizes.entry(place.country).or_default() += 1;
            }
        }
        let (all, mut sum) = (f64::from(sizes.values().sum::<u32>().max(1)), 0.0);
        for (country, size) in sizes {
            sum += f64::from(size) / all;
            world.by_size.push((country, sum));
        }
        world.v4 = world.known(&v4, &ids);
        let mut ids: Vec<PlaceId> = Vec::new();
        atlas.lookup_all(&v6, &mut ids);
        world.v6 = world.known(&v6, &ids);
        world
    }

    fn known(&self, addresses: &[Ipv6Addr], ids: &[PlaceId]) -> Known {
        let mut lists: [BTreeMap<Country, Vec<(u32, Ipv6Addr)>>; 3] = Default::default();
        let mut known = Known::default();
        for (&address, &id) in addresses.iter().zip(ids) {
            let place = self.atlas.place(id);
            if !place.routed {
                continue;
            }
            let country = self.really_in(id);
            known.networks.entry(place.asn).or_default().push(address);
            let kind = match place.kind {
                // Access networks are not listed one by one: what is not listed is most often one.
                Kind::Access | Kind::Mobile | Kind::Satellite | Kind::Unknown => Some(0),
                Kind::Hosting => Some(1),
                _ => None,
            };
            for list in kind.into_iter().chain([2]) {
                lists[list].entry(country).or_default().push((place.asn, address));
            }
        }
        let [homes, hosting, any] = lists.map(|list| {
            list.into_iter()
                .map(|(country, list)| (country, Pool::of(list)))
                .collect()
        });
        known.homes = homes;
        known.hosting = hosting;
        known.any = any;
        known
    }

    /// The country in which the hosts of an announced network really are: for most of them the one that the atlas says.
    pub(crate) fn really_in(&self, id: PlaceId) -> Country {
        let place = self.atlas.place(id);
        if !place.routed || self.errors <= 0.0 {
            return place.country;
        }
        let bits = place.prefix.base.to_bits();
        let fixed = mixed(
            (bits >> 64) as u64 ^ bits as u64,
            self.salt ^ u64::from(place.prefix.len),
        );
        if fraction(fixed) >= wrong_share(place.kind) * self.errors {
            return place.country;
        }
        let at = fraction(mixed(fixed, self.salt));
        self.by_size
            .get(self.by_size.partition_point(|(_, sum)| *sum <= at))
            .map_or(place.country, |(country, _)| *country)
    }

    /// The place of an address.
    pub(crate) fn place(&self, address: Ipv6Addr) -> PlaceId {
        let mut ids = Vec::new();
        self.atlas.lookup_all(&[address], &mut ids);
        ids[0]
    }

    fn pool(&self, country: Country, who: Who, family: Family) -> Option<&Pool> {
        let known = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let some = match who {
            Who::Home => known.homes.get(&country),
            Who::Server => known.hosting.get(&country),
            Who::Anyone => None,
        };
        some.filter(|pool| pool.addresses.len() >= 25)
            .or_else(|| known.any.get(&country))
    }

    /// An address near a known one: its last byte (its last 80 bits in IPv6, of which 16 tell networks of one site) is drawn anew,
    /// unless that leaves the announced network.
    fn near(&self, known: Ipv6Addr, random: &mut Pcg64Mcg) -> Ipv6Addr {
        let near = match Family::of(known) {
            Family::V4 => known.to_bits() & !0xff | u128::from(1 + below(random, 254)),
            Family::V6 => {
                known.to_bits() >> 80 << 80
                    | u128::from(below(random, 1 << 16)) << 64
                    | u128::from(random.next_u64())
            }
        };
        let near = Ipv6Addr::from_bits(near);
        if self.atlas.lookup(near).prefix == self.atlas.lookup(known).prefix {
            near
        } else {
            known
        }
    }

    /// An address in a country.
    pub(crate) fn address(
        &self,
        country: Country,
        who: Who,
        family: Family,
        random: &mut Pcg64Mcg,
    ) -> Option<Ipv6Addr> {
        let pool = self.pool(country, who, family)?;
        let known = pool.addresses[below(random, pool.addresses.len() as u64) as usize];
        Some(self.near(known, random))
    }

    /// An address of a network.
    pub(crate) fn address_of(&self, asn: u32, family: Family, random: &mut Pcg64Mcg) -> Option<Ipv6Addr> {
        let known = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let pool = known.networks.get(&asn)?;
        let known = pool[below(random, pool.len() as u64) as usize];
        Some(self.near(known, random))
    }

    /// Draws which networks of a country a botnet got into, and how much: a tenth of them got more than a hundred times what the least
    /// got by the number of their addresses, up to a thousand times.
    pub(crate) fn infected(
        &self,
        country: Country,
        who: Who,
        family: Family,
        random: &mut Pcg64Mcg,
    ) -> Option<Infected<'_>> {
        let pool = self.pool(country, who, family)?;
        let mut sum = 0.0;
        let mut sums: Vec<f64> = Vec::with_capacity(pool.networks.len());
        for (n, (_, begin)) in pool.networks.iter().enumerate() {
            let end = pool
                .networks
                .get(n + 1)
                .map_or(pool.addresses.len(), |next| next.1);
            let u = uniform(random);
            sum += (end - begin) as f64 / (0.001 + u * u);
            sums.push(sum);
        }
        Some(Infected {
            pool,
            sums,
            salt: random.next_u64(),
        })
    }

    /// A host of an infected network.
    pub(crate) fn host(&self, infected: &Infected<'_>, random: &mut Pcg64Mcg) -> Ipv6Addr {
        let total = infected.sums[infected.sums.len() - 1];
        let pick = uniform(random) * total;
        let pool = infected.pool;
        let network = infected
            .sums
            .partition_point(|sum| *sum <= pick)
            .min(infected.sums.len() - 1);
        let begin = pool.networks[network].1;
        let end = pool
            .networks
            .get(network + 1)
            .map_or(pool.addresses.len(), |next| next.1);
        // Within the network, too, some corners have more than others: the square of a uniform number, in an order of the botnet's own.
        let (size, u) = ((end - begin) as u64, uniform(random));
        let at = ((size as f64 * u * u) as u64)
            .wrapping_mul(0x9e37_79b1)
            .wrapping_add(infected.salt)
            % size;
        self.near(pool.addresses[begin + at as usize], random)
    }

    /// Any IPv4 address, or any that is announced.
    pub(crate) fn anywhere(&self, announced: bool, random: &mut Pcg64Mcg) -> Ipv6Addr {
        loop {
            let v4 = Ipv4Addr::from_bits(random.next_u64() as u32).to_ipv6_mapped();
            if !announced || self.atlas.lookup(v4).routed {
                return v4;
            }
        }
    }

    /// Share of a country's users who are in these networks.
    pub(crate) fn share_of(&self, country: Country, networks: &[u32]) -> f64 {
        let Some(pool) = self.pool(country, Who::Home, Family::V4) else {
            return 0.0;
        };
        let inside: usize = pool
            .networks
            .iter()
            .enumerate()
            .filter(|(_, (asn, _))| networks.contains(asn))
            .map(|(n, (_, begin))| {
                pool.networks
                    .get(n + 1)
                    .map_or(pool.addresses.len(), |next| next.1)
                    - begin
            })
            .sum();
        inside as f64 / pool.addresses.len().max(1) as f64
    }

    /// Routers between here and an address: the same for all of a /16 (IPv6: /32), from 7 to 22.
    pub(crate) fn hops(&self, address: Ipv6Addr) -> u8 {
        let part = match address.to_ipv4_mapped() {
            Some(v4) => u64::from(v4.to_bits() >> 16),
            None => (address.to_bits() >> 96) as u64,
        };
        let x = mixed(part, self.salt);
        // The sum of two draws: most are in the middle.
        7 + ((x >> 8) % 9) as u8 + ((x >> 32) % 8) as u8
    }
}

/// A random address of a prefix.
pub(crate) fn inside(prefix: Prefix, random: &mut Pcg64Mcg) -> Ipv6Addr {
    let free = 128 - u32::from(prefix.len);
    let drawn = match free {
        0 => 0,
        // One draw where that is enough, as for all of IPv4.
        1..=64 => u128::from(random.next_u64() >> (64 - free)),
        _ => (u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())) >> (128 - free),
    };
    Ipv6Addr::from_bits(prefix.base.to_bits() | drawn)
}

#[cfg(test)]
mod tests {
    use rand_pcg::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn some_entries_of_the_database_are_wrong_and_always_the_same() {
        let atlas = Atlas::embedded();
        let world = World::new(&atlas, 1.0, false, &mut Pcg64Mcg::seed_from_u64(1));
        let again = World::new(&atlas, 1.0, false, &mut Pcg64Mcg::seed_from_u64(1));
        let right = World::new(&atlas, 0.0, false, &mut Pcg64Mcg::seed_from_u64(1));
        let random = &mut Pcg64Mcg::seed_from_u64(2);
        let (mut networks, mut wrong) = ([0, 0], [0, 0]);
        for _ in 0..40_000 {
            let id = world.place(world.anywhere(true, random));
            let place = atlas.place(id);
            assert_eq!(world.really_in(id), again.really_in(id));
            assert_eq!(right.really_in(id), place.country);
            let server = usize::from(place.kind == Kind::Hosting);
            networks[server] += 1;
            wrong[server] += usize::from(world.really_in(id) != place.country);
        }
        let share = |of: usize| wrong[of] as f64 / networks[of] as f64;
        // Large networks are drawn often, so the shares scatter. A third of the drawn countries is the same one again (US).
        assert!((0.005..0.06).contains(&share(0)), "{}", share(0));
        assert!((0.05..0.25).contains(&share(1)), "{}", share(1));
    }

    #[test]
    fn bots_crowd_in_some_networks() {
        let atlas = Atlas::embedded();
        let random = &mut Pcg64Mcg::seed_from_u64(3);
        let world = World::new(&atlas, 1.0, true, random);
        let country = Country(*b"BR");
        let networks = |hosts: Vec<Ipv6Addr>| {
            let found: std::collections::BTreeSet<u32> =
                hosts.into_iter().map(|host| atlas.lookup(host).asn).collect();
            found.len()
        };
        for family in [Family::V4, Family::V6] {
            let infected = world.infected(country, Who::Home, family, random).unwrap();
            let bots: Vec<Ipv6Addr> = (0..2_000).map(|_| world.host(&infected, random)).collect();
            let users: Vec<Ipv6Addr> = (0..2_000)
                .map(|_| world.address(country, Who::Home, family, random).unwrap())
                .collect();
            for &bot in &bots {
                assert_eq!(world.really_in(world.place(bot)), country, "{bot}");
                assert_eq!(Family::of(bot), family);
            }
            let (bot_networks, user_networks) = (networks(bots), networks(users));
            assert!(
                4 * bot_networks < 3 * user_networks,
                "{family:?}: {bot_networks} and {user_networks}"
            );
        }
    }

    #[test]
    fn inside_a_prefix() {
        let random = &mut Pcg64Mcg::seed_from_u64(4);
        for text in [
            "192.0.2.0/24",
            "192.0.2.1/32",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
        ] {
            let prefix: Prefix = text.parse().unwrap();
            for _ in 0..100 {
                assert!(prefix.contains(inside(prefix, random)), "{text}");
            }
        }
    }
}
