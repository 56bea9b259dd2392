//! Shares by country, network, prefix and kind, with intervals.
//!
//! # What is uncertain
//!
//! The question is where *this* attack came from, not where another one of the same makers would. A complete capture holds every packet
//! of it: then nothing is left to chance but the labels, and resampling networks would answer another question with intervals that are
//! far too wide. So each source of error enters by the part that was not seen ([`Seen`]), the finite-population correction of survey
//! sampling (Cochran 1977, section 2.6):
//!
//! - *Packets were sampled* by an exporter, one in `s`: each observed packet is an independent draw, so the packets' shares err as a
//!   multinomial of the observed packets does; its deviations are scaled by sqrt(1 - 1/s).
//! - *Sources were sampled* (more pairs of hosts than the table holds): the error of as many effective sources, scaled likewise.
//! - *Sources stay unseen* when packets are sampled, the slow ones more than the fast ones, and those of one network are alike. How many
//!   there are is told by those that were seen once and twice (Chao 1984). Shares by sources resample networks (Poisson bootstrap, Hanley
//!   and MacGibbon 2006; /24 and /48 blocks where there are fewer than 50 networks), scaled by sqrt(unseen part). Where nothing was seen
//!   of a population but a sample of its networks, the part is 1, and the interval is the cluster bootstrap as it stands.
//!
//! - *Labels are wrong* in any case: a database puts a whole announced prefix into a wrong country. So it is the place that is drawn to
//!   be wrong, with all its sources, not a share of a country: with a rate drawn from a Beta distribution for its kind of network, one
//!   rate for all places of a kind. The heaviest [`PLACES_MAX`] places are drawn one by one, the others by their mean.
//!   What is in a place says how probable that is, by Bayes: a block labelled with a country that otherwise has hardly a bot is more
//!   probably another's, and which one's is told by space and by how full of bots each is ([`Space`]). How places of a country are filled
//!   nobody knows, so draws take turns between beliefs (`TURNS`); none of them may make a label surer than its kind is. Only machines
//!   count here: a forged address lies anywhere and tells nothing of its place. Of IPv6, machines are told apart by their /64, and a
//!   place is as large as its /48s, or as any other block: few places hold most of such an attack, so each wrong one moves much.
//! - *The audience* that is counted as attack is taken out with its own uncertainty ([`crate::audience`]).
//!
//! Each of [`DRAWS`] draws has its own generator, seeded by its number, so neither order nor threads could change a result. The interval is
//! from the 2.5 to the 97.5 percentile, widened to hold the estimate.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Kind, PlaceId, Prefix};
use detect::Sender;
use rand_distr::{Beta, Distribution, Gamma};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;

use crate::audience::Usual;

/// Draws of each interval.
pub const DRAWS: usize = 1_000;
/// Networks and prefixes that are listed with an interval.
pub const LISTED: usize = 50;
/// Units of resampling at most. Where there are more, the largest half of these stay alone and the others are put together at
/// random: resampling groups of independent units gives the same variance, only from fewer terms.
const UNITS_MAX: usize = 2_048;
/// Networks from which on the network is the unit of resampling; below, it is the prefix of /24 or /48.
const NETWORKS_MIN: usize = 50;
/// Places whose label is drawn to be wrong or right one by one.
pub const PLACES_MAX: usize = 2_048;
/// Weights of "the label is right" and "it is wrong" (Beta). Countries: of fixed lines 95 to 99 % are called right; of mobile networks
/// fewer; of servers 77 to 89 %, by database (Gharaibeh et al., IMC 2017), and hosting, proxies, satellites and anycast are like them,
/// so that this one is wide. Then the network that announces an address, and its kind, which are this project's judgement.
const RIGHT: [(f64, f64); 5] = [(97.0, 3.0), (95.0, 5.0), (33.0, 7.0), (198.0, 2.0), (95.0, 5.0)];
const NETWORK_LABEL: usize = 3;
const KIND_LABEL: usize = 4;

/// An estimate with its 95 % interval; fractions of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Best estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Certainly nothing.
    pub const ZERO: Interval = Interval {
        estimate: 0.0,
        low: 0.0,
        high: 0.0,
    };

    /// Sum, as if the errors were fully dependent (so never too narrow).
    pub fn plus(self, other: Interval) -> Interval {
        Interval {
            estimate: self.estimate + other.estimate,
            low: self.low + other.low,
            high: self.high + other.high,
        }
    }

    /// Scaled.
    pub fn times(self, factor: f64) -> Interval {
        Interval {
            estimate: self.estimate * factor,
            low: self.low * factor,
            high: self.high * factor,
        }
    }

    /// Forced into 0 to 1 and into order.
    pub fn clamped(self) -> Interval {
        let estimate = self.estimate.clamp(0.0, 1.0);
        Interval {
            estimate,
            low: self.low.clamp(0.0, estimate),
            high: self.high.clamp(estimate, 1.0),
        }
    }
}

/// A share of the attack packets and its number of sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted<K> {
    /// Of what.
    pub key: K,
    /// Share of the attack packets.
    pub share: Interval,
    /// Distinct sources (of the kept ones).
    pub distinct: u64,
}

/// A network among the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// AS number, 0 where nobody announces the address.
    pub asn: u32,
    /// Its name, may be empty.
    pub name: String,
    /// Country of most of its packets.
    pub country: Country,
    /// Its kind.
    pub kind: Kind,
}

/// Where the sources are. Lists are sorted by estimate, largest first, ties by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// By country; every country is listed.
    pub countries: Vec<Counted<Country>>,
    /// By network, the [`LISTED`] largest.
    pub networks: Vec<Counted<Network>>,
    /// By announced prefix, the [`LISTED`] largest.
    pub prefixes: Vec<Counted<Prefix>>,
    /// By kind of network.
    pub kinds: Vec<Counted<Kind>>,
    /// How many networks there are in all.
    pub networks_total: u64,
}

/// How much was seen of what is asked about: fractions from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Observed packets over all: one over the sampling rate.
    pub packets: f64,
    /// Sources kept over those observed: below 1 where the table of conversations is a sample.
    pub kept: f64,
    /// Sources observed and kept over all there are.
    pub sources: f64,
}

impl Seen {
    /// Everything was seen.
    pub const ALL: Seen = Seen {
        packets: 1.0,
        kept: 1.0,
        sources: 1.0,
    };

    /// From the packets that each observed one stands for, the level of the sample of sources, and the sources.
    pub fn of(sampling: f64, level: u32, senders: &[Sender]) -> Seen {
        let kept = 0.5f64.powi(level.min(63) as i32);
        if sampling < crate::SAMPLED_FROM {
            return Seen {
                kept,
                sources: kept,
                ..Seen::ALL
            };
        }
        let seen = |times: f64| {
            let all = senders.iter().map(|s| (s.packets as f64 / sampling).round());
            all.filter(|n| *n == times).count() as f64
        };
        let (once, twice) = (seen(1.0), seen(2.0));
        let unseen = once * (once - 1.0).max(0.0) / (2.0 * (twice + 1.0));
        let n = senders.len() as f64;
        Seen {
            packets: 1.0 / sampling,
            kept,
            sources: kept * n / (n + unseen).max(1.0),
        }
    }
}

/// Where a part of the senders is, with all that is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<K> {
    /// Which country, network or kind.
    pub key: K,
    /// Share of the packets.
    pub by_packets: Interval,
    /// Share of the sources.
    pub by_sources: Interval,
    /// Sources.
    pub distinct: u64,
    /// Probability that it has more than half of the packets.
    pub majority: f64,
    /// Probability that it has the largest share of the packets.
    pub first: f64,
    /// Probability that it has one of the five largest.
    pub top_five: f64,
    /// Its rank by packets among those that are listed, from 1: the 95 % interval.
    pub rank: (u32, u32),
    /// Its share of the normal clients, where they are known.
    pub usual: Option<Interval>,
    /// Its share of the packets over its share of the clients.
    pub over: Option<Interval>,
}

/// Where senders are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// Every country, largest share of packets first, ties by key.
    pub countries: Vec<Located<Country>>,
    /// Networks, the [`LISTED`] largest.
    pub networks: Vec<Located<Network>>,
    /// Kinds of network.
    pub kinds: Vec<Located<Kind>>,
    /// Share of the packets that are the audience's and were taken out.
    pub taken_out: Interval,
}

#[derive(Clone, Copy, Default)]
struct Weight {
    packets: u64,
    sources: u64,
}

/// What of a place is a key of some list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) country: Country,
    pub(crate) asn: u32,
    pub(crate) kind: Kind,
    pub(crate) prefix: Prefix,
}

impl Spot {
    pub(crate) fn of(id: PlaceId, atlas: &Atlas) -> Spot {
        let place = atlas.place(id);
        Spot {
            country: place.country,
            asn: place.asn,
            kind: place.kind,
            prefix: place.prefix,
        }
    }

    /// Which of [`RIGHT`] the country label follows; none where there is no label that could be wrong.
    fn country_label(&self) -> Option<usize> {
        match self.kind {
            Kind::Reserved => None,
            _ if self.country == Country::UNKNOWN => None,
            Kind::Mobile => Some(1),
            Kind::Hosting | Kind::Proxy | Kind::Tor | Kind::Satellite | Kind::Anycast => Some(2),
            Kind::Unknown | Kind::Access => Some(0),
        }
    }

    fn network_label(&self) -> Option<usize> {
        (self.asn != 0).then_some(NETWORK_LABEL)
    }

    fn kind_label(&self) -> Option<usize> {
        (self.kind != Kind::Reserved).then_some(KIND_LABEL)
    }
}

/// Sources of one place in one unit of resampling.
struct Cell {
    unit: u32,
    place: PlaceId,
    spot: Spot,
    weight: Weight,
    /// Sources whose number says something of the place.
    telling: u64,
}

/// Least share of the space that a country is taken to have.
const SPACE_MIN: f64 = 1.0 / 65_536.0;
/// Bounds of the factor by which what is in a place moves the odds that its label is wrong. It may make it more doubtful than its kind
/// alone does, never less: how places are filled is known too roughly to acquit one.
const ODDS: (f64, f64) = (1.0, 100.0);
/// Senders that a country is taken to have beside those that were seen.
const UNSEEN: f64 = 0.5;
/// Places that are gone through together.
const BLOCK: usize = 64;

/// By what the size of an IPv6 place is measured. A registry gives a provider a /20 or a /32 for the same customers, so neither is known
/// to go with the number of senders. IPv4 is measured by addresses always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// /48s.
    Sites,
    /// Announced blocks, each as one.
    Blocks,
}

/// How places of one country are filled. Nobody knows it of a botnet, so draws take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filled {
    /// Most have no sender at all. That one has some is as probable as its country is full, and how many says nothing more.
    Hardly,
    /// The density of all is drawn from a Gamma distribution of this shape: small is uneven.
    Unevenly(f64),
}

const TURNS: [(Filled, Size); 4] = [
    (Filled::Hardly, Size::Sites),
    (Filled::Hardly, Size::Blocks),
    (Filled::Unevenly(0.1), Size::Sites),
    (Filled::Unevenly(0.4), Size::Sites),
];

/// How much of some space each country's label is on.
#[derive(Default)]
struct Spread {
    shares: BTreeMap<Country, f64>,
    all: f64,
}

impl Spread {
    fn of(rows: impl Iterator<Item = (Country, f64)>) -> Spread {
        let mut spread = Spread::default();
        for (country, size) in rows {
            spread.all += size;
            *spread.shares.entry(country).or_default() += size;
        }
        spread.all = spread.all.max(1.0);
        spread.shares.values_mut().for_each(|share| *share /= spread.all);
        spread
    }

    fn share(&self, country: Country) -> f64 {
        self.shares.get(&country).copied().unwrap_or(0.0).max(SPACE_MIN)
    }
}

/// How much announced space countries have, and so how full of senders they are.
struct Space {
    addresses: Spread,
    sites: Spread,
    blocks: Spread,
}

/// Senders of a country, by IPv4 and by IPv6.
#[derive(Clone, Copy)]
struct Crowd {
    country: Country,
    senders: [f64; 2],
}

fn is_ipv6(prefix: Prefix) -> bool {
    prefix.len < 96 || prefix.base.to_ipv4_mapped().is_none()
}

impl Space {
    fn of(atlas: &Atlas) -> Space {
        let rows = || atlas.space().iter();
        Space {
            addresses: Spread::of(rows().map(|row| (row.country, row.ipv4 as f64))),
            sites: Spread::of(rows().map(|row| (row.country, row.ipv6 as f64))),
            blocks: Spread::of(rows().map(|row| (row.country, row.ipv6_blocks as f64))),
        }
    }

    /// How full of senders each slot's country is, for each family, where IPv6 is measured like this. `slots` are the countries with
    /// their senders.
    fn full(&self, slots: &[Crowd], (filled, by): (Filled, Size)) -> [Full<'_>; 2] {
        [0, 1].map(|family| {
            let spread = match (family, by) {
                (0, _) => &self.addresses,
                (_, Size::Sites) => &self.sites,
                (_, Size::Blocks) => &self.blocks,
            };
            let all = slots
                .iter()
                .map(|crowd| crowd.senders[family])
                .sum::<f64>()
                .max(1.0);
            let of_slots: Vec<OfSlot> = slots
                .iter()
                .map(|crowd| {
                    let (space, senders) = (spread.share(crowd.country), crowd.senders[family]);
                    let density = density(space, senders, all);
                    OfSlot {
                        space,
                        senders,
                        density,
                        log: density.ln(),
                    }
                })
                .collect();
            Full {
                filled,
                by,
                spread,
                all,
                expected: of_slots.iter().map(|of| of.space * of.density).sum(),
                of_slots,
            }
        })
    }
}

/// Senders by space. Where there is hardly any space, as many as everywhere: few senders tell nothing there.
fn density(space: f64, senders: f64, all: f64) -> f64 {
    (senders + UNSEEN) / (space + UNSEEN / all)
}

/// A country in the space of one family.
struct OfSlot {
    space: f64,
    senders: f64,
    density: f64,
    log: f64,
}

/// How full of senders of one family countries are.
struct Full<'a> {
    filled: Filled,
    by: Size,
    spread: &'a Spread,
    all: f64,
    /// Densities, each as often as there is space.
    expected: f64,
    of_slots: Vec<OfSlot>,
}

impl Full<'_> {
    /// For a place of `n` senders labelled with slot `label`: how many times as probable it is that the label is wrong than its kind alone
    /// says; and into `to`, where it is given, how probable each slot is then.
    ///
    /// A wrong place is anywhere as probably as there is space, and then has its senders as probably as that country's places do.
    fn odds(&self, prefix: Prefix, n: f64, label: usize, to: Option<&mut Vec<f64>>) -> Option<f64> {
        let of = self.of_slots.get(label)?;
        let size = match (is_ipv6(prefix), self.by) {
            (false, _) => 2f64.powi(128 - i32::from(prefix.len)),
            (true, Size::Sites) => 2f64.powi((48 - i32::from(prefix.len)).max(0)),
            (true, Size::Blocks) => 1.0,
        } / self.spread.all;
        // What the others of its country tell: it must not speak for itself.
        let rest = (of.space - size).max(0.05 * of.space);
        let labelled = density(rest, (of.senders - n).max(0.0), self.all);
        let elsewhere = (1.0 - of.space).max(0.1);
        let log_size = size.ln();
        // Negative binomial around the density times the place's size, but for what all countries share.
        let holds = |shape: f64, log: f64| {
            let log = (log + log_size).max(-27.0);
            n * log - (n + shape) * (log.exp() + shape).ln()
        };
        let as_labelled = match self.filled {
            Filled::Hardly => labelled,
            Filled::Unevenly(shape) => holds(shape, labelled.ln()),
        };
        let weight = |(slot, of): (usize, &OfSlot)| match self.filled {
            _ if slot == label => 0.0,
            Filled::Hardly => of.space * of.density / as_labelled / elsewhere,
            Filled::Unevenly(shape) => {
                let ratio = (holds(shape, of.log) - as_labelled).min(30.0).exp();
                of.space * ratio / elsewhere
            }
        };
        let weights = self.of_slots.iter().enumerate().map(weight);
        let odds: f64 = match (to, self.filled) {
            (Some(to), _) => {
                to.clear();
                to.extend(weights);
                to.iter().sum()
            }
            (None, Filled::Hardly) => (self.expected - of.space * of.density) / as_labelled / elsewhere,
            (None, _) => weights.sum(),
        };
        Some(odds.clamp(ODDS.0, ODDS.1))
    }
}

/// Senders by unit and place.
struct Cells {
    units: usize,
    all: Vec<Cell>,
    networks: usize,
    /// Packets observed.
    observed: f64,
    /// As many sources of equal weight would have this sampling error.
    effective: f64,
    seen: Seen,
}

impl Cells {
    /// `telling` are the senders whose number says something of a place, in address order; all where it is `None`.
    fn of(senders: &[Sender], telling: Option<&[Sender]>, atlas: &Atlas, seen: Seen) -> Cells {
        let addresses: Vec<_> = senders.iter().map(|s| s.address).collect();
        let mut ids = Vec::with_capacity(addresses.len());
        atlas.lookup_all(&addresses, &mut ids);
        let mut asns: Vec<u32> = {
            let mut distinct = ids.clone();
            distinct.sort_unstable();
            distinct.dedup();
            distinct.iter().map(|id| atlas.place(*id).asn).collect()
        };
        asns.sort_unstable();
        asns.dedup();
        let by_network = asns.len() >= NETWORKS_MIN;

        // One cell for each (unit, place): sorted runs instead of a map, since there may be a million sources. In address order those of
        // one place lie side by side, and are put together before they are sorted.
        let is_machine = |address: Ipv6Addr| {
            telling.is_none_or(|all| {
                all.binary_search_by_key(&address, |sender| sender.address)
                    .is_ok()
            })
        };
        // A machine uses many addresses of its /64, and senders are in address order.
        let mut last = None;
        let mut tells = |address: Ipv6Addr| {
            let site = match address.to_ipv4_mapped() {
                Some(_) => address.to_bits(),
                None => address.to_bits() >> 64,
            };
            is_machine(address) && last.replace(site) != Some(site)
        };
        struct Run {
            unit: u128,
            place: PlaceId,
            weight: Weight,
            telling: u64,
        }
        let mut runs: Vec<Run> = Vec::new();
        for (&place, sender) in ids.iter().zip(senders) {
            let telling = u64::from(tells(sender.address));
            let block = if sender.address.to_ipv4_mapped().is_some() {
                sender.address.to_bits() >> 8
            } else {
                sender.address.to_bits() >> 80
            };
            let is_same = |run: &Run| run.place == place && (by_network || run.unit == block);
            match runs.last_mut().filter(|run| is_same(run)) {
                Some(run) => {
                    run.weight.packets += sender.packets;
                    run.weight.sources += 1;
                    run.telling += telling;
                }
                None => runs.push(Run {
                    unit: if by_network {
                        u128::from(atlas.place(place).asn)
                    } else {
                        block
                    },
                    place,
                    weight: Weight {
                        packets: sender.packets,
                        sources: 1,
                    },
                    telling,
                }),
            }
        }
        runs.sort_unstable_by_key(|run| (run.unit, run.place));
        let mut all: Vec<Cell> = Vec::new();
        let mut units = 0;
        for of_unit in runs.chunk_by(|a, b| a.unit == b.unit) {
            for of_place in of_unit.chunk_by(|a, b| a.place == b.place) {
                let mut weight = Weight::default();
                for run in of_place {
                    weight.packets += run.weight.packets;
                    weight.sources += run.weight.sources;
                }
                all.push(Cell {
                    unit: units,
                    place: of_place[0].place,
                    spot: Spot::of(of_place[0].place, atlas),
                    weight,
                    telling: of_place.iter().map(|run| run.telling).sum(),
                });
            }
            units += 1;
        }
        drop(runs);
        if !by_network {
            in_order(&mut all);
        }
        let units = group_units(&mut all, units as usize);
        let total: f64 = senders.iter().map(|s| s.packets as f64).sum();
        let squares: f64 = senders.iter().map(|s| (s.packets as f64).powi(2)).sum();
        Cells {
            units,
            all,
            networks: asns.len(),
            observed: total * seen.packets,
            effective: total * total / squares.max(1.0),
            seen,
        }
    }

    /// Name, country and kind of each listed network.
    fn described<T, U>(
        &self,
        rows: Vec<T>,
        asn: impl Fn(&T) -> u32,
        atlas: &Atlas,
        with: impl Fn(T, Network) -> U,
    ) -> Vec<U> {
        let listed: Vec<u32> = rows.iter().map(&asn).collect();
        let of_listed: Vec<(u32, &Cell)> = self
            .all
            .iter()
            .map(|cell| (cell.spot.asn, cell))
            .filter(|(asn, _)| listed.contains(asn))
            .collect();
        let named = |row: T| {
            let network = describe(asn(&row), &of_listed, atlas);
            with(row, network)
        };
        rows.into_iter().map(named).collect()
    }
}

/// Places senders and gives their shares of the packets. `telling` are those of them that are machines: a forged address lies anywhere, so
/// how many of them are in a place says nothing of it. `None` where all are.
pub fn place(senders: &[Sender], telling: Option<&[Sender]>, atlas: &Atlas, seen: Seen) -> Placement {
    if senders.is_empty() {
        return Placement::default();
    }
    let cells = Cells::of(senders, telling, atlas, seen);
    let space = Space::of(atlas);
    fn counted<K>(rows: Vec<Row<K>>) -> Vec<Counted<K>> {
        let of = |row: Row<K>| Counted {
            key: row.key,
            share: row.packets.interval,
            distinct: row.distinct,
        };
        rows.into_iter().map(of).collect()
    }
    let list = |seed| List {
        listed: LISTED,
        seed,
        sources: false,
        usual: None,
        space: None,
    };
    let everything = |seed| List {
        listed: usize::MAX,
        ..list(seed)
    };
    let (countries, _) = cells.shares(
        &List {
            space: Some(&space),
            ..everything(1)
        },
        |spot| spot.country,
        Spot::country_label,
    );
    let (kinds, _) = cells.shares(&everything(2), |spot| spot.kind, Spot::kind_label);
    let (prefixes, _) = cells.shares(&list(3), |spot| spot.prefix, |_| None);
    let (networks, _) = cells.shares(&list(4), |spot| spot.asn, Spot::network_label);
    let networks = cells.described(
        counted(networks),
        |row| row.key,
        atlas,
        |row, key| Counted {
            key,
            share: row.share,
            distinct: row.distinct,
        },
    );
    Placement {
        countries: counted(countries),
        networks,
        prefixes: counted(prefixes),
        kinds: counted(kinds),
        networks_total: cells.networks as u64,
    }
}

/// Places the machines that sent, by packets and by sources, with the audience taken out.
pub(crate) fn locate(senders: &[Sender], atlas: &Atlas, seen: Seen, usual: Option<&Usual>) -> Location {
    if senders.is_empty() {
        return Location::default();
    }
    let cells = Cells::of(senders, None, atlas, seen);
    let space = Space::of(atlas);
    let list = |seed, listed| List {
        listed,
        seed,
        sources: true,
        usual,
        space: None,
    };
    fn located<K>(rows: Vec<Row<K>>) -> Vec<Located<K>> {
        let of = |row: Row<K>| Located {
            key: row.key,
            by_packets: row.packets.interval,
            by_sources: row.sources.interval,
            distinct: row.distinct,
            majority: row.packets.majority,
            first: row.packets.first,
            top_five: row.packets.top_five,
            rank: row.packets.rank,
            usual: row.usual,
            over: row.over,
        };
        rows.into_iter().map(of).collect()
    }
    let (countries, taken_out) = cells.shares(
        &List {
            space: Some(&space),
            ..list(5, usize::MAX)
        },
        |spot| spot.country,
        Spot::country_label,
    );
    let (kinds, _) = cells.shares(&list(6, usize::MAX), |spot| spot.kind, Spot::kind_label);
    let (networks, _) = cells.shares(&list(7, LISTED), |spot| spot.asn, Spot::network_label);
    let networks = cells.described(
        located(networks),
        |row| row.key,
        atlas,
        |row, key| Located {
            key,
            by_packets: row.by_packets,
            by_sources: row.by_sources,
            distinct: row.distinct,
            majority: row.majority,
            first: row.first,
            top_five: row.top_five,
            rank: row.rank,
            usual: row.usual,
            over: row.over,
        },
    );
    Location {
        countries: located(countries),
        networks,
        kinds: located(kinds),
        taken_out,
    }
}

/// Numbers blocks anew by what is in them, not by address: the same senders under other addresses get the same draws.
fn in_order(cells: &mut [Cell]) {
    let mut units: Vec<_> = cells
        .chunk_by(|a, b| a.unit == b.unit)
        .map(|unit| {
            let mut holds: Vec<_> = unit
                .iter()
                .map(|cell| {
                    let Weight { packets, sources } = cell.weight;
                    let Spot {
                        country,
                        asn,
                        kind,
                        prefix,
                        ..
                    } = cell.spot;
                    (
                        std::cmp::Reverse((packets, sources)),
                        country,
                        asn,
                        kind,
                        prefix.len,
                    )
                })
                .collect();
            holds.sort_unstable();
            (holds, unit[0].unit)
        })
        .collect();
    units.sort_unstable();
    let mut number = vec![0; units.len()];
    for (rank, (_, unit)) in units.iter().enumerate() {
        number[*unit as usize] = rank as u32;
    }
    for cell in cells {
        cell.unit = number[cell.unit as usize];
    }
}

/// Numbers the units anew so that there are at most [`UNITS_MAX`]; returns how many there are.
fn group_units(cells: &mut [Cell], units: usize) -> usize {
    if units <= UNITS_MAX {
        return units;
    }
    let mut sizes = vec![0u64; units];
    for cell in cells.iter() {
        sizes[cell.unit as usize] += cell.weight.packets;
    }
    let mut order: Vec<u32> = (0..units as u32).collect();
    order.sort_unstable_by_key(|&unit| (std::cmp::Reverse(sizes[unit as usize]), unit));
    let alone = UNITS_MAX / 2;
    let mut number = vec![0u32; units];
    for (rank, &unit) in order.iter().enumerate() {
        number[unit as usize] = if rank < alone {
            rank
        } else {
            alone + detect::conversation::mix(u64::from(unit)) as usize % alone
        } as u32;
    }
    for cell in cells {
        cell.unit = number[cell.unit as usize];
    }
    UNITS_MAX
}

/// Name, country and kind of a network, from its heaviest place.
fn describe(asn: u32, cells: &[(u32, &Cell)], atlas: &Atlas) -> Network {
    let mut by_country: BTreeMap<Country, u64> = BTreeMap::new();
    let mut heaviest: Option<(&Cell, u64)> = None;
    for (_, cell) in cells.iter().filter(|(of, _)| *of == asn) {
        *by_country.entry(cell.spot.country).or_default() += cell.weight.packets;
        if heaviest.is_none_or(|(_, packets)| cell.weight.packets > packets) {
            heaviest = Some((*cell, cell.weight.packets));
        }
    }
    let country = by_country
        .iter()
        .max_by_key(|(country, n)| (**n, std::cmp::Reverse(**country)));
    let place = heaviest.map(|(cell, _)| atlas.place(cell.place));
    Network {
        asn,
        name: place.map_or(String::new(), |p| p.network.to_owned()),
        country: country.map_or(Country::UNKNOWN, |(country, _)| *country),
        kind: place.map_or(Kind::Unknown, |p| p.kind),
    }
}

/// What is asked for.
struct List<'a> {
    /// How many keys; the others share one slot and are left out.
    listed: usize,
    /// Distinguishes the draws of one list from another's.
    seed: u64,
    /// Shares by sources too.
    sources: bool,
    /// The audience to take out and to compare with.
    usual: Option<&'a Usual>,
    /// For lists of countries: what says how probable a wrong label is.
    space: Option<&'a Space>,
}

/// What the draws say of one key by one measure.
#[derive(Clone, Copy, Default)]
struct Said {
    interval: Interval,
    majority: f64,
    first: f64,
    top_five: f64,
    rank: (u32, u32),
}

struct Row<K> {
    key: K,
    packets: Said,
    sources: Said,
    distinct: u64,
    usual: Option<Interval>,
    over: Option<Interval>,
}

#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Packets,
    Sources,
}

impl Measure {
    fn of(self, weight: Weight) -> f64 {
        match self {
            Measure::Packets => weight.packets as f64,
            Measure::Sources => weight.sources as f64,
        }
    }
}

/// A generator of its own for each draw: what one draw takes from it changes no other.
fn random(seed: u64, measure: Measure, draw: usize) -> Pcg64Mcg {
    let mix = detect::conversation::mix;
    let low = mix(seed << 40 ^ (measure as u64) << 32 ^ draw as u64 ^ 0x0e91_ce47_e201_0310);
    Pcg64Mcg::new(u128::from(mix(low ^ 0x7c15_9e37_79b9_4a7c)) << 64 | u128::from(low))
}

fn quantile(sorted: &[f64], q: f64, otherwise: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * q).round();
    sorted.get(at as usize).copied().unwrap_or(otherwise)
}

/// The 95 % interval of drawn ranks.
fn bounds(ranks: &mut [u32]) -> (u32, u32) {
    ranks.sort_unstable();
    let at = |q: f64| {
        let place = ((ranks.len() as f64 - 1.0) * q).round() as usize;
        ranks.get(place).copied().unwrap_or(0)
    };
    (at(0.025), at(0.975))
}

/// The interval of drawn values around an estimate. Where all senders lie in one place, its label is right in nearly all draws and wrong
/// in the others: then 95 % are at one value, which is an interval of that probability, and the two ends of equal tails say nothing.
fn interval(values: &mut [f64], estimate: f64) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let is_estimate = |value: &f64| (value - estimate).abs() < 1e-9;
    let first = values.partition_point(|value| *value < estimate - 1e-9);
    if values[first..]
        .iter()
        .take_while(|value| is_estimate(value))
        .count()
        * 20
        >= values.len() * 19
    {
        return Interval {
            estimate,
            low: estimate,
            high: estimate,
        };
    }
    Interval {
        estimate,
        low: quantile(values, 0.025, estimate).min(estimate),
        high: quantile(values, 0.975, estimate).max(estimate),
    }
}

/// A place whose label is drawn to be right or wrong.
struct Heavy {
    slot: u32,
    share: f64,
    /// How many times the odds that it is wrong are those of its kind.
    odds: f64,
    /// Where it is then: running sums over the slots. Empty: anywhere else, by the slots' shares.
    to: Vec<f32>,
}

/// Places whose labels are wrong in part, as their odds say.
struct Light {
    odds: f64,
    all: f64,
    /// By slot.
    shares: Vec<f64>,
}

/// Labels that may be wrong: heavy places one by one, by kind of label and the most doubtful first, and what is left by odds and slot.
struct Labels {
    heavy: Vec<Vec<Heavy>>,
    light: Vec<Vec<Light>>,
}

impl Cells {
    /// Shares by a key of the place, and the share of the packets that are the audience's.
    fn shares<K: Ord + Copy>(
        &self,
        list: &List<'_>,
        key: impl Fn(&Spot) -> K,
        label: impl Fn(&Spot) -> Option<usize>,
    ) -> (Vec<Row<K>>, Interval) {
        let mut order: Vec<(K, Weight)> = self
            .all
            .iter()
            .map(|cell| (key(&cell.spot), cell.weight))
            .collect();
        order.sort_unstable_by_key(|(key, _)| *key);
        order.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1.packets += later.1.packets;
                earlier.1.sources += later.1.sources;
            }
            same
        });
        order.sort_by(|a, b| b.1.packets.cmp(&a.1.packets).then(a.0.cmp(&b.0)));
        order.truncate(list.listed);
        let shown = order.len();
        let slot_of: BTreeMap<K, u32> = order
            .iter()
            .enumerate()
            .map(|(i, (k, _))| (*k, i as u32))
            .collect();
        // The last slot is "all others".
        let slots: Vec<u32> = self
            .all
            .iter()
            .map(|cell| slot_of.get(&key(&cell.spot)).copied().unwrap_or(shown as u32))
            .collect();
        let mut expected = vec![Default::default(); shown + 1];
        if let Some(usual) = list.usual {
            for (spot, clients) in &usual.cells {
                let slot = slot_of.get(&key(spot)).copied().unwrap_or(shown as u32);
                expected[slot as usize] += *clients;
            }
        }
        let drawn = |measure| self.draw(list, measure, shown + 1, &slots, &label, &expected);
        let packets = drawn(Measure::Packets);
        let sources = if list.sources {
            Some(drawn(Measure::Sources))
        } else {
            None
        };
        let mut taken = packets.taken;
        let taken_out = interval(&mut taken, packets.taken_estimate).clamped();
        let clients = list.usual.map_or(0.0, |usual| usual.clients);
        // The rank of each in each draw.
        let mut ranks: Vec<Vec<u32>> = vec![Vec::with_capacity(DRAWS); shown];
        let mut by_share: Vec<(f64, usize)> = Vec::with_capacity(shown);
        for draw in 0..DRAWS {
            by_share.clear();
            by_share.extend(
                (0..shown).map(|slot| (packets.values[slot].get(draw).copied().unwrap_or(0.0), slot)),
            );
            by_share.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (rank, (_, slot)) in (1..).zip(&by_share) {
                ranks[*slot].push(rank);
            }
        }
        let probability = |n: usize| (n as f64 + 0.5) / (DRAWS as f64 + 1.0);
        let mut rows: Vec<Row<K>> = Vec::with_capacity(shown);
        for (slot, (key, weight)) in order.into_iter().enumerate() {
            let mut values = packets.values[slot].clone();
            let majority = probability(values.iter().filter(|share| **share > 0.5).count());
            let estimate = packets.estimates[slot];
            let (usual, over) = if clients > 0.0 {
                let (usual, over) = against(expected[slot].clients, clients, &values, estimate, list.seed);
                (Some(usual), Some(over))
            } else {
                (None, None)
            };
            let sources = sources.as_ref().map_or_else(Said::default, |drawn| Said {
                interval: interval(&mut drawn.values[slot].clone(), drawn.estimates[slot]).clamped(),
                ..Said::default()
            });
            rows.push(Row {
                key,
                packets: Said {
                    interval: interval(&mut values, estimate).clamped(),
                    majority,
                    first: probability(ranks[slot].iter().filter(|rank| **rank == 1).count()),
                    top_five: probability(ranks[slot].iter().filter(|rank| **rank <= 5).count()),
                    rank: bounds(&mut ranks[slot]),
                },
                sources,
                distinct: weight.sources,
                usual,
                over,
            });
        }
        rows.sort_by(|a, b| {
            let (a_share, b_share) = (a.packets.interval.estimate, b.packets.interval.estimate);
            b_share.total_cmp(&a_share).then(a.key.cmp(&b.key))
        });
        (rows, taken_out)
    }

    /// Draws shares of slots by one measure.
    fn draw(
        &self,
        list: &List<'_>,
        measure: Measure,
        slots: usize,
        slot_of: &[u32],
        label: &impl Fn(&Spot) -> Option<usize>,
        expected: &[crate::audience::Expected],
    ) -> Drawn {
        let mut counts = vec![0.0; slots];
        for (cell, slot) in self.all.iter().zip(slot_of) {
            counts[*slot as usize] += measure.of(cell.weight);
        }
        let total: f64 = counts.iter().sum();
        let by_sources = measure == Measure::Sources;
        let places = Places::of(&self.all, measure, (slots, slot_of), label);
        let labels: Vec<Labels> = match list.space {
            None => vec![places.labels(None, slots, total)],
            Some(space) => TURNS
                .iter()
                .map(|turn| places.labels(Some((space, *turn)), slots, total))
                .collect(),
        };
        let given = self.given(measure, slot_of);
        // What was not seen, by the square root of its part: of the units, of the packets, of the sources.
        let units = if by_sources {
            (1.0 - self.seen.sources).max(0.0).sqrt()
        } else {
            0.0
        };
        let packets = if by_sources {
            0.0
        } else {
            (1.0 - self.seen.packets).max(0.0).sqrt()
        };
        let kept = if by_sources {
            0.0
        } else {
            (1.0 - self.seen.kept).max(0.0).sqrt()
        };
        let expect = |expected: &crate::audience::Expected| {
            if by_sources {
                expected.sources
            } else {
                expected.packets
            }
        };
        let subtract = |counts: &[f64], audience: &[f64], out: &mut Vec<f64>| -> f64 {
            out.clear();
            let mut taken = 0.0;
            for (count, audience) in counts.iter().zip(audience) {
                let theirs = audience.min(*count).max(0.0);
                taken += theirs;
                out.push(count - theirs);
            }
            let left: f64 = out.iter().sum();
            // Where all is the audience's, nothing shows where the rest came from.
            if left > 0.0 {
                out.iter_mut().for_each(|x| *x /= left);
            } else {
                out.clear();
                out.extend(counts.iter().map(|count| count / total));
            }
            taken / total
        };
        let usual = list.usual;
        let mean: Vec<f64> = expected
            .iter()
            .map(|e| usual.map_or(0.0, |usual| usual.unserved_mean() * expect(e)))
            .collect();
        let mut estimates = Vec::new();
        let taken_estimate = subtract(&counts, &mean, &mut estimates);
        let takes = usual.is_some_and(Usual::may_be_inside);
        let mut drawn = Drawn {
            values: vec![Vec::with_capacity(DRAWS); slots],
            taken: Vec::with_capacity(DRAWS),
            estimates,
            taken_estimate,
        };
        let base: Vec<f64> = counts.iter().map(|count| count / total).collect();
        let (mut p, mut now) = (Vec::with_capacity(slots), vec![0.0; slots]);
        let mut audience = vec![0.0; slots];
        for draw in 0..DRAWS {
            let mut random = random(list.seed, measure, draw);
            now.copy_from_slice(&base);
            let deviate = |now: &mut [f64], other: &[f64], by: f64| {
                for ((now, other), base) in now.iter_mut().zip(other).zip(&base) {
                    *now += by * (other - base);
                }
            };
            if units > 0.0 {
                let sums = resampled(&given, self.units, slots, &mut random);
                let all: f64 = sums.iter().sum();
                if all > 0.0 {
                    let n = self
                        .all
                        .iter()
                        .map(|cell| cell.weight.sources as f64)
                        .sum::<f64>();
                    deviate(&mut now, &dirichlet(&sums, n / all, &mut random), units);
                }
            }
            if packets > 0.0 {
                deviate(&mut now, &dirichlet(&base, self.observed, &mut random), packets);
            }
            if kept > 0.0 {
                deviate(&mut now, &dirichlet(&base, self.effective, &mut random), kept);
            }
            now.iter_mut().for_each(|x| *x = x.max(0.0) * total);
            if takes && let Some(usual) = usual {
                let unserved = usual.unserved(&mut random);
                for (audience, expected) in audience.iter_mut().zip(expected) {
                    *audience = unserved * gamma_around(expect(expected), expected.learnt, &mut random);
                }
            }
            drawn.taken.push(subtract(&now, &audience, &mut p));
            labels[draw % labels.len()].confuse(&mut p, &base, &mut random);
            for (values, share) in drawn.values.iter_mut().zip(&p) {
                values.push(*share);
            }
        }
        drawn
    }

    /// What each unit gives to each slot: one entry for each pair.
    fn given(&self, measure: Measure, slot_of: &[u32]) -> Vec<(u32, u32, f64)> {
        let mut given: Vec<(u32, u32, f64)> = self
            .all
            .iter()
            .zip(slot_of)
            .map(|(cell, slot)| (cell.unit, *slot, measure.of(cell.weight)))
            .collect();
        given.sort_unstable_by_key(|entry| (entry.0, entry.1));
        given.dedup_by(|later, earlier| {
            let same = (later.0, later.1) == (earlier.0, earlier.1);
            if same {
                earlier.2 += later.2;
            }
            same
        });
        given
    }
}

/// A place that has a label, with what came from it.
struct Labelled {
    label: usize,
    slot: u32,
    prefix: Prefix,
    weight: u64,
    telling: u64,
    id: PlaceId,
}

/// What light places have in common: label, slot, family, length of the prefix, and senders to a power of two.
type Alike = (usize, u32, bool, u8, u64);

/// All of them, and the senders of each slot's country.
struct Places {
    /// The heaviest, at most [`PLACES_MAX`], in an order that does not depend on addresses.
    heavy: Vec<Labelled>,
    /// The others, with a prefix like theirs and their weight.
    light: BTreeMap<Alike, (Prefix, u64)>,
    crowds: Vec<Crowd>,
}

impl Places {
    fn of(
        cells: &[Cell],
        measure: Measure,
        (slots, slot_of): (usize, &[u32]),
        label: &impl Fn(&Spot) -> Option<usize>,
    ) -> Places {
        let none = Crowd {
            country: Country::UNKNOWN,
            senders: [0.0; 2],
        };
        let mut crowds = vec![none; slots];
        let mut all: Vec<Labelled> = Vec::new();
        for (cell, slot) in cells.iter().zip(slot_of) {
            let crowd = &mut crowds[*slot as usize];
            crowd.country = cell.spot.country;
            crowd.senders[usize::from(is_ipv6(cell.spot.prefix))] += cell.telling as f64;
            if let Some(label) = label(&cell.spot) {
                all.push(Labelled {
                    label,
                    slot: *slot,
                    prefix: cell.spot.prefix,
                    weight: match measure {
                        Measure::Packets => cell.weight.packets,
                        Measure::Sources => cell.weight.sources,
                    },
                    telling: cell.telling,
                    id: cell.place,
                });
            }
        }
        crowds.truncate(slots - 1);
        all.sort_unstable_by_key(|place| place.id);
        all.dedup_by(|later, earlier| {
            let same = later.id == earlier.id;
            if same {
                earlier.weight += later.weight;
                earlier.telling += later.telling;
            }
            same
        });
        // Not by address: the same places under other addresses get the same draws.
        let rank = |place: &Labelled| {
            let family = is_ipv6(place.prefix);
            (
                std::cmp::Reverse(place.weight),
                (place.slot, place.label),
                (family, place.prefix.len),
                place.telling,
            )
        };
        let mut light: BTreeMap<Alike, (Prefix, u64)> = BTreeMap::new();
        if all.len() > PLACES_MAX {
            all.select_nth_unstable_by_key(PLACES_MAX, rank);
            for place in all.drain(PLACES_MAX..) {
                let senders = place.telling.checked_ilog2().map_or(0, |log| 1 << log);
                let prefix = place.prefix;
                let alike = (place.label, place.slot, is_ipv6(prefix), prefix.len, senders);
                light.entry(alike).or_insert((prefix, 0)).1 += place.weight;
            }
        }
        all.sort_unstable_by_key(rank);
        Places {
            heavy: all,
            light,
            crowds,
        }
    }

    /// What of them may be wrong, by what is in them where that is asked.
    fn labels(&self, by: Option<(&Space, (Filled, Size))>, slots: usize, total: f64) -> Labels {
        let mut labels = Labels {
            heavy: (0..RIGHT.len()).map(|_| Vec::new()).collect(),
            light: (0..RIGHT.len()).map(|_| Vec::new()).collect(),
        };
        let full = by.map(|(space, turn)| space.full(&self.crowds, turn));
        let odds = |prefix: Prefix, senders: u64, slot: u32, to: Option<&mut Vec<f64>>| {
            let full = &full.as_ref()?[usize::from(is_ipv6(prefix))];
            full.odds(prefix, senders as f64, slot as usize, to)
        };
        let mut to = Vec::new();
        for place in &self.heavy {
            to.clear();
            let odds = odds(place.prefix, place.telling, place.slot, Some(&mut to));
            let mut sum = 0.0;
            labels.heavy[place.label].push(Heavy {
                slot: place.slot,
                share: place.weight as f64 / total,
                odds: odds.unwrap_or(1.0),
                to: to
                    .iter()
                    .map(|weight| {
                        sum += *weight as f32;
                        sum
                    })
                    .collect(),
            });
        }
        // Of the light ones only the means matter, so those of nearly the same odds are one.
        let mut light: BTreeMap<(usize, i32), Light> = BTreeMap::new();
        for (&(label, slot, _, _, senders), &(prefix, weight)) in &self.light {
            let odds = odds(prefix, senders, slot, None).unwrap_or(1.0);
            let share = weight as f64 / total;
            let class = (2.0 * odds.log2()).round() as i32;
            let light = light.entry((label, class)).or_insert_with(|| Light {
                odds: 0.0,
                all: 0.0,
                shares: vec![0.0; slots],
            });
            light.odds += odds * share;
            light.all += share;
            light.shares[slot as usize] += share;
        }
        for ((label, _), mut of) in light {
            of.odds /= of.all.max(f64::MIN_POSITIVE);
            labels.light[label].push(of);
        }
        for heavy in &mut labels.heavy {
            heavy.sort_by(|a, b| b.odds.total_cmp(&a.odds));
        }
        labels
    }
}

/// Drawn shares of each slot, and of the audience.
struct Drawn {
    values: Vec<Vec<f64>>,
    taken: Vec<f64>,
    estimates: Vec<f64>,
    taken_estimate: f64,
}

/// Sums by slot, each unit with a Poisson(1) weight.
fn resampled(given: &[(u32, u32, f64)], units: usize, slots: usize, random: &mut Pcg64Mcg) -> Vec<f64> {
    let weights: Vec<f64> = (0..units).map(|_| poisson_one(random)).collect();
    let mut sums = vec![0.0; slots];
    for &(unit, slot, weight) in given {
        sums[slot as usize] += weights[unit as usize] * weight;
    }
    sums
}

/// A number of this mean that is known as well as so many clients tell (Gamma).
fn gamma_around(mean: f64, clients: f64, random: &mut Pcg64Mcg) -> f64 {
    if mean <= 0.0 || clients <= 0.0 {
        return 0.0;
    }
    Gamma::new(clients, mean / clients).map_or(mean, |gamma| gamma.sample(random))
}

/// A key's share of the clients, and how many times as large its share of the packets is.
fn against(its: f64, clients: f64, shares: &[f64], estimate: f64, seed: u64) -> (Interval, Interval) {
    let beta = Beta::new(its + 0.5, (clients - its).max(0.0) + 0.5);
    let mut usuals: Vec<f64> = (0..shares.len())
        .map(|draw| {
            let mut random = random(seed ^ 0x80, Measure::Sources, draw);
            beta.as_ref().map_or(0.0, |beta| beta.sample(&mut random))
        })
        .collect();
    let least = 0.5 / (clients + 1.0);
    let mut ratios: Vec<f64> = shares
        .iter()
        .zip(&usuals)
        .map(|(share, usual)| share / usual.max(0.1 * least))
        .collect();
    let usual = its / clients;
    (
        interval(&mut usuals, usual).clamped(),
        interval(&mut ratios, estimate / usual.max(least)),
    )
}

impl Labels {
    /// Draws which labels are wrong, and moves their shares. `base` are the shares that the labels were counted with.
    fn confuse(&self, p: &mut [f64], base: &[f64], random: &mut Pcg64Mcg) {
        let from: Vec<f64> = p.to_vec();
        let mut cumulated = Vec::new();
        for (label, (right, wrong)) in RIGHT.iter().enumerate() {
            let (heavy, light) = (&self.heavy[label], &self.light[label]);
            if heavy.is_empty() && light.is_empty() {
                continue;
            }
            if cumulated.is_empty() {
                let mut sum = 0.0;
                cumulated.extend(from.iter().map(|share| {
                    sum += share;
                    sum
                }));
            }
            let of_kind = Beta::new(*wrong, *right).map_or(0.0, |beta| beta.sample(random));
            let rate = |odds: f64| of_kind * odds / (1.0 - of_kind + of_kind * odds);
            // A share counted under this label, as it is in this draw.
            let scaled = |slot: usize, share: f64| {
                if base[slot] > 0.0 {
                    share * from[slot] / base[slot]
                } else {
                    0.0
                }
            };
            for block in heavy.chunks(BLOCK) {
                // From one place that may be wrong to the next: a geometric number of places on at the block's highest rate, and of those
                // by chance as many as the place's own rate wants.
                let most = rate(block[0].odds).min(1.0 - 1e-9);
                let per_step = (1.0 - most).ln();
                let step = |random: &mut Pcg64Mcg| {
                    let u = uniform(random) + 1.0 / (1u64 << 54) as f64;
                    (u.ln() / per_step).min(1e9) as usize
                };
                let mut at = if most > 0.0 { step(random) } else { BLOCK };
                while let Some(place) = block.get(at) {
                    let slot = place.slot as usize;
                    if uniform(random) * most < rate(place.odds) {
                        let share = scaled(slot, place.share);
                        p[slot] -= share;
                        let to = match place.to.last() {
                            Some(all) if *all > 0.0 => {
                                let u = uniform(random) as f32 * all;
                                Some(place.to.partition_point(|sum| *sum <= u).min(place.to.len() - 1))
                            }
                            _ => another(slot, &from, &cumulated, random),
                        };
                        if let Some(to) = to {
                            p[to] += share;
                        }
                    }
                    at += 1 + step(random);
                }
            }
            // What light places lose goes to all others in proportion: one sum serves all.
            let part = |lost: f64, share: f64| {
                if share < 1.0 - 1e-12 {
                    lost / (1.0 - share)
                } else {
                    0.0
                }
            };
            let mut lost = vec![0.0; from.len()];
            for light in light {
                let rate = rate(light.odds);
                for (slot, (lost, share)) in lost.iter_mut().zip(&light.shares).enumerate() {
                    *lost += rate * scaled(slot, *share);
                }
            }
            let all: f64 = lost
                .iter()
                .zip(&from)
                .map(|(lost, share)| part(*lost, *share))
                .sum();
            for ((p, lost), share) in p.iter_mut().zip(&lost).zip(&from) {
                *p += share * (all - part(*lost, *share)) - lost;
            }
        }
        p.iter_mut().for_each(|share| *share = share.clamp(0.0, 1.0));
    }
}

/// A number from 0 to below 1.
fn uniform(random: &mut Pcg64Mcg) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Another slot than this, drawn in proportion to the shares; none where there is no other.
fn another(slot: usize, shares: &[f64], cumulated: &[f64], random: &mut Pcg64Mcg) -> Option<usize> {
    let rest = cumulated.last().copied().unwrap_or(0.0) - shares[slot];
    if rest <= 1e-12 {
        return None;
    }
    let mut u = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * rest;
    // What lies at and behind the slot begins after it.
    if u >= cumulated[slot] - shares[slot] {
        u += shares[slot];
    }
    let found = cumulated.partition_point(|sum| *sum <= u).min(shares.len() - 1);
    (found != slot).then_some(found)
}

/// A Poisson(1) number by inversion of 53 random bits.
fn poisson_one(random: &mut Pcg64Mcg) -> f64 {
    // Cumulated probabilities e^-1 * sum 1/k!.
    const CUMULATED: [f64; 8] = [
        0.367_879_441_171,
        0.735_758_882_343,
        0.919_698_602_929,
        0.981_011_843_124,
        0.996_340_153_173,
        0.999_405_815_182,
        0.999_916_758_851,
        0.999_989_750_803,
    ];
    let u = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    CUMULATED.iter().position(|&c| u < c).unwrap_or(8) as f64
}

/// A draw of Dirichlet(sums * scale): the sampling error of as many independent draws as that.
fn dirichlet(sums: &[f64], scale: f64, random: &mut Pcg64Mcg) -> Vec<f64> {
    let mut p: Vec<f64> = sums
        .iter()
        .map(|&sum| {
            if sum > 0.0 {
                Gamma::new(sum * scale, 1.0).map_or(0.0, |g| g.sample(random))
            } else {
                0.0
            }
        })
        .collect();
    let total: f64 = p.iter().sum();
    if total > 0.0 {
        p.iter_mut().for_each(|x| *x /= total);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_one_has_mean_and_variance_one() {
        let mut random = Pcg64Mcg::new(7);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| poisson_one(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(
            (mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.02,
            "{mean} {variance}"
        );
    }

    fn country(code: &str) -> Country {
        let bytes = code.as_bytes();
        Country([bytes[0], bytes[1]])
    }

    /// Places of so many sources each: country, sources, how many such places.
    fn cells(rows: &[(&str, u64, u32)], kind: Kind, seen: Seen) -> Cells {
        let mut all = Vec::new();
        for &(code, sources, places) in rows {
            for _ in 0..places {
                let unit = all.len() as u32;
                let base = std::net::Ipv4Addr::from_bits(unit << 8).to_ipv6_mapped();
                all.push(Cell {
                    unit,
                    place: PlaceId(unit),
                    spot: Spot {
                        country: country(code),
                        asn: unit + 1,
                        kind,
                        prefix: Prefix::of(base, 120),
                    },
                    weight: Weight {
                        packets: sources,
                        sources,
                    },
                    telling: sources,
                });
            }
        }
        let sources: u64 = all.iter().map(|cell| cell.weight.sources).sum();
        Cells {
            units: all.len(),
            networks: all.len(),
            observed: sources as f64,
            effective: sources as f64,
            all,
            seen,
        }
    }

    fn by_country(cells: &Cells) -> Vec<Row<Country>> {
        let list = List {
            listed: usize::MAX,
            seed: 1,
            sources: true,
            usual: None,
            space: None,
        };
        cells.shares(&list, |spot| spot.country, Spot::country_label).0
    }

    const WORLD: [(&str, u64, u32); 8] = [
        ("US", 6, 180),
        ("US", 3, 60),
        ("BR", 5, 160),
        ("VN", 7, 130),
        ("IN", 4, 120),
        ("UA", 8, 6),
        ("UA", 7, 6),
        ("ID", 5, 240),
    ];

    /// The example of SCIENCE 5.4: a sample of a botnet, 90 of its sources labelled UA in 12 blocks.
    #[test]
    fn the_worked_example_of_the_reference_is_met() {
        let unseen = Seen {
            packets: 1.0,
            kept: 1.0,
            sources: 0.0,
        };
        let rows = by_country(&cells(&WORLD, Kind::Mobile, unseen));
        let ukraine = rows.iter().find(|row| row.key == country("UA")).unwrap();
        let share = ukraine.sources.interval;
        assert_eq!(ukraine.distinct, 90);
        assert!((share.estimate - 0.019).abs() < 0.0005, "{share:?}");
        assert!(
            (share.low - 0.009).abs() < 0.002 && (share.high - 0.031).abs() < 0.003,
            "{share:?}"
        );
        assert!(ukraine.packets.majority < 0.001 && ukraine.packets.first < 0.001);
    }

    #[test]
    fn of_one_place_the_label_is_right_or_wrong_and_nothing_between() {
        let one = by_country(&cells(&[("US", 900, 1)], Kind::Access, Seen::ALL));
        let share = one[0].packets.interval;
        assert_eq!((share.low, share.high), (1.0, 1.0));
        // A server's label is wrong too often for that.
        let server = by_country(&cells(&[("US", 900, 1)], Kind::Hosting, Seen::ALL));
        assert!(server[0].packets.interval.low < 0.5);
    }

    #[test]
    fn what_was_seen_completely_errs_by_its_labels_alone() {
        let rows = by_country(&cells(&WORLD, Kind::Mobile, Seen::ALL));
        let sampled = Seen {
            packets: 0.05,
            kept: 1.0,
            sources: 0.4,
        };
        let of_sample = by_country(&cells(&WORLD, Kind::Mobile, sampled));
        for (all, sample) in rows.iter().zip(&of_sample) {
            let width = |said: Said| said.interval.high - said.interval.low;
            assert!(width(all.packets) > 0.0);
            assert!(width(all.packets) < width(sample.packets), "{}", all.key);
            assert!(width(all.sources) < width(sample.sources), "{}", all.key);
        }
        let nowhere = by_country(&cells(&WORLD, Kind::Reserved, Seen::ALL));
        assert!(
            nowhere
                .iter()
                .all(|row| row.packets.interval.high - row.packets.interval.low < 1e-9),
            "nothing is left to chance"
        );
    }

    #[test]
    fn parts_sum_to_the_whole_and_order_does_not_matter() {
        let rows = by_country(&cells(&WORLD, Kind::Access, Seen::ALL));
        let sum: f64 = rows.iter().map(|row| row.packets.interval.estimate).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!(rows.iter().map(|row| row.packets.first).sum::<f64>() < 1.01);
        // Each draw has one first and five among the first five, and the interval of ranks holds the place in the list.
        assert!((rows.iter().map(|row| row.packets.top_five).sum::<f64>() - 5.0).abs() < 0.05);
        for (place, row) in (1..).zip(&rows) {
            let (best, worst) = row.packets.rank;
            assert!((best..=worst).contains(&place), "{}: {best} {worst}", row.key);
        }
        let mut p = vec![0.5, 0.3, 0.2];
        let base = p.clone();
        let heavy = |slot: u32, share: f64, odds: f64| Heavy {
            slot,
            share,
            odds,
            to: if slot == 1 {
                vec![0.5, 0.5, 1.5]
            } else {
                Vec::new()
            },
        };
        let labels = Labels {
            heavy: vec![
                (0..5).map(|_| heavy(0, 0.1, 1.0)).collect(),
                vec![heavy(1, 0.3, 9.0)],
                vec![heavy(2, 0.2, 0.5)],
                vec![],
                vec![],
            ],
            light: (0..5).map(|_| Vec::new()).collect(),
        };
        let mut moved = false;
        for draw in 0..200 {
            labels.confuse(&mut p, &base, &mut random(1, Measure::Packets, draw));
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{p:?}");
            moved |= p != base;
            p.copy_from_slice(&base);
        }
        assert!(moved);
    }

    /// A space of two countries: one has four times as much of it as the other.
    fn space() -> Space {
        let rows = || [("US", 4.0e9), ("BR", 1.0e9)].map(|(code, size)| (country(code), size));
        Space {
            addresses: Spread::of(rows().into_iter()),
            sites: Spread::of(rows().into_iter()),
            blocks: Spread::of(rows().map(|(country, size)| (country, size / 1e6)).into_iter()),
        }
    }

    #[test]
    fn what_is_in_a_place_makes_its_label_more_doubtful_and_never_less() {
        let space = space();
        let crowd = |code: &str, senders: f64| Crowd {
            country: country(code),
            senders: [senders; 2],
        };
        for prefix in ["8.8.8.0/24", "2600:1::/32"] {
            let prefix: Prefix = prefix.parse().unwrap();
            for turn in TURNS {
                // All of a country's senders in one place: as if it were another's.
                let lonely = [crowd("US", 20.0), crowd("BR", 3_000.0)];
                let mut to = Vec::new();
                let full = &space.full(&lonely, turn)[usize::from(is_ipv6(prefix))];
                let odds = full.odds(prefix, 20.0, 0, Some(&mut to)).unwrap();
                let alone = full.odds(prefix, 20.0, 0, None).unwrap();
                assert!((odds - alone).abs() < 1e-6, "with and without where to");
                assert!(odds > 20.0, "{prefix} {turn:?}: {odds}");
                assert!(to[0] == 0.0 && to[1] > 0.0);
                // One of many places of the country that has most of them.
                let odds = full.odds(prefix, 20.0, 1, None).unwrap();
                assert!((1.0..3.0).contains(&odds), "{prefix} {turn:?}: {odds}");
            }
        }
        // Where nothing is told, its kind alone tells.
        let nobody = [crowd("US", 0.0), crowd("BR", 0.0)];
        let prefix: Prefix = "8.8.8.0/24".parse().unwrap();
        for turn in TURNS {
            let odds = space.full(&nobody, turn)[0].odds(prefix, 0.0, 0, None).unwrap();
            assert!((1.0..2.0).contains(&odds), "{turn:?}: {odds}");
        }
    }

    /// Half of the sources are forged, and lie everywhere: what the others tell of the places stays what it is without them.
    #[test]
    fn forged_addresses_tell_nothing_of_places() {
        let atlas = Atlas::embedded();
        let mut draw = crate::tests::Draw(11);
        let mut announced = |of: Option<&str>| loop {
            let address = draw.below(1 << 32) as u32;
            let place = atlas.lookup(std::net::Ipv4Addr::from_bits(address).to_ipv6_mapped());
            if place.routed && of.is_none_or(|code| place.country == country(code)) {
                return crate::tests::sender(address, 50, 10);
            }
        };
        let mut machines: Vec<Sender> = (0..400).map(|n| announced(Some(["BR", "VN"][n % 2]))).collect();
        machines.sort_unstable();
        machines.dedup_by_key(|sender| sender.address);
        let forged: Vec<Sender> = (0..4_000).map(|_| announced(None)).collect();
        let all = detect::judge::join_senders(&[&machines, &forged]);
        let seen = Seen::ALL;
        let told = Cells::of(&all, Some(&machines), &atlas, seen);
        let telling: u64 = told.all.iter().map(|cell| cell.telling).sum();
        let sources: u64 = told.all.iter().map(|cell| cell.weight.sources).sum();
        assert_eq!((telling, sources), (machines.len() as u64, all.len() as u64));
        assert!(told.all.iter().filter(|cell| cell.telling > 0).all(|cell| {
            let code = cell.spot.country.to_string();
            code == "BR" || code == "VN"
        }));
    }

    #[test]
    fn addresses_of_one_64_are_one_machine() {
        let atlas = Atlas::embedded();
        let base = "2804:14c:1::".parse::<Ipv6Addr>().unwrap().to_bits();
        let senders: Vec<Sender> = (0..64)
            .map(|n| Sender {
                address: Ipv6Addr::from_bits(base | u128::from(n / 16u64) << 64 | u128::from(n)),
                ..crate::tests::sender(1, 50, 10)
            })
            .collect();
        let cells = Cells::of(&senders, None, &atlas, Seen::ALL);
        let telling: u64 = cells.all.iter().map(|cell| cell.telling).sum();
        assert_eq!(telling, 4);
    }

    /// The atlas of a bundle without addresses: other addresses, the same places, and nothing of the rest but how much there is.
    #[test]
    fn moved_addresses_have_the_same_intervals() {
        let atlas = Atlas::embedded();
        // The second byte is turned over outside special-purpose space: 1 to 9 and 11 to 99.
        let turn = |address: Ipv6Addr| match address.to_ipv4_mapped().map(|v4| v4.octets()) {
            Some([1..=9 | 11..=99, ..]) => Ipv6Addr::from_bits(address.to_bits() ^ 0x00ff_0000),
            _ => address,
        };
        let mut draw = crate::tests::Draw(3);
        let mut senders: Vec<Sender> = Vec::new();
        while senders.len() < 600 {
            let first = 1 + draw.below(99) as u32;
            let address = first << 24 | draw.below(1 << 24) as u32;
            if atlas
                .lookup(std::net::Ipv4Addr::from_bits(address).to_ipv6_mapped())
                .routed
            {
                // Many alike: ties must not be broken by address.
                senders.push(crate::tests::sender(address, 50, 1 + draw.below(3)));
            }
        }
        for few in [12, 600] {
            let mut senders = senders[..few].to_vec();
            senders.sort_unstable();
            senders.dedup_by_key(|sender| sender.address);
            let addresses: Vec<Ipv6Addr> = senders.iter().map(|sender| sender.address).collect();
            let mut ids = Vec::new();
            atlas.lookup_all(&addresses, &mut ids);
            let mut moved = |prefix: Prefix| match prefix.len {
                104.. => Prefix::of(turn(prefix.base), prefix.len),
                _ => prefix,
            };
            let parts = atlas.moved(&mut moved, &|id| ids.contains(&id));
            let other = Atlas::from_bytes(parts.write()).unwrap();
            let mut elsewhere: Vec<Sender> = senders
                .iter()
                .map(|sender| Sender {
                    address: turn(sender.address),
                    ..*sender
                })
                .collect();
            elsewhere.sort_unstable();
            for seen in [
                Seen::ALL,
                Seen {
                    packets: 0.05,
                    kept: 1.0,
                    sources: 0.5,
                },
            ] {
                let (a, b) = (
                    locate(&senders, &atlas, seen, None),
                    locate(&elsewhere, &other, seen, None),
                );
                assert_eq!(a.countries, b.countries);
                assert_eq!(a.kinds, b.kinds);
            }
        }
    }

    /// Truth drawn as the model says it is: labels of whole places wrong at a rate of their kind. The intervals must hold it as often as
    /// they say.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let (mut held, mut asked) = (0, 0);
        for world in 0..60 {
            let cells = cells(&WORLD, Kind::Mobile, Seen::ALL);
            let rows = by_country(&cells);
            let mut random = random(99, Measure::Packets, world);
            let rate = Beta::new(5.0, 95.0).unwrap().sample(&mut random);
            let keys: Vec<Country> = rows.iter().map(|row| row.key).collect();
            let mut truth = vec![0.0; keys.len()];
            let total: f64 = cells.all.iter().map(|cell| cell.weight.packets as f64).sum();
            for cell in &cells.all {
                let is_wrong = (random.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < rate;
                let mut real = keys.iter().position(|key| *key == cell.spot.country).unwrap();
                if is_wrong {
                    // Any other, by its share: that of any place drawn at random.
                    let other = &cells.all[random.next_u64() as usize % cells.all.len()];
                    real = keys.iter().position(|key| *key == other.spot.country).unwrap();
                }
                truth[real] += cell.weight.packets as f64 / total;
            }
            for (row, truth) in rows.iter().zip(truth) {
                asked += 1;
                let share = row.packets.interval;
                held += i32::from((share.low..=share.high).contains(&truth));
            }
        }
        let share = f64::from(held) / f64::from(asked);
        assert!((0.9..=0.995).contains(&share), "{held} of {asked}");
    }
}
