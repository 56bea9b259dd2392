//! Shares by country, network, prefix and kind, with intervals.
//!
//! The unit that is resampled is the network, not the packet: packets of one bot are not independent, and neither are the
//! bots of one provider. Each of [`DRAWS`] draws gives every network a Poisson(1) weight (Poisson bootstrap, Hanley and
//! MacGibbon 2006), adds the sampling error of the sources by a Dirichlet draw, and, for countries, the error of the
//! database: a label is right with a probability drawn from a Beta distribution by kind of network, and where it is wrong
//! the share goes to the other countries in proportion. The interval is from the 2.5 to the 97.5 percentile, widened to hold
//! the estimate. All draws come from one seeded generator, so the same input gives the same interval.

use std::collections::BTreeMap;

use atlas::{Atlas, Country, Kind, PlaceId, Prefix};
use detect::Sender;
use rand_distr::{Beta, Distribution, Gamma};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;

/// Draws of the bootstrap.
pub const DRAWS: usize = 1_000;
/// Networks and prefixes that are listed with an interval.
pub const LISTED: usize = 50;
/// Units of resampling at most. Where there are more, the largest half of these stay alone and the others are put together at
/// random: resampling groups of independent units gives the same variance, only from fewer terms.
const UNITS_MAX: usize = 2_048;
/// Networks from which on the network is the unit of resampling; below, it is the prefix of /24 or /48.
const NETWORKS_MIN: usize = 50;

/// An estimate with its 95 % interval; fractions of one.
#[derive(Clone, Copy, Debug, PartialEq)]
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

#[derive(Clone, Copy, Default)]
struct Weight {
    packets: u64,
    sources: u64,
}

/// What of a place is a key of some list.
#[derive(Clone, Copy)]
struct Spot {
    country: Country,
    asn: u32,
    kind: Kind,
    prefix: Prefix,
}

/// Sources of one place in one unit of resampling.
struct Cell {
    unit: u32,
    place: PlaceId,
    spot: Spot,
    weight: Weight,
}

/// Places senders and gives the shares.
pub fn place(senders: &[Sender], atlas: &Atlas) -> Placement {
    if senders.is_empty() {
        return Placement::default();
    }
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

    // One cell for each (unit, place): sorted runs instead of a map, since there may be a million sources.
    let mut keyed: Vec<(u128, PlaceId, u64)> = ids
        .iter()
        .zip(senders)
        .map(|(id, sender)| {
            let unit = if by_network {
                u128::from(atlas.place(*id).asn)
            } else {
                let bits = if sender.address.to_ipv4_mapped().is_some() {
                    8
                } else {
                    80
                };
                sender.address.to_bits() >> bits
            };
            (unit, *id, sender.packets)
        })
        .collect();
    keyed.sort_unstable();
    let mut cells: Vec<Cell> = Vec::new();
    let mut units = 0;
    for of_unit in keyed.chunk_by(|a, b| a.0 == b.0) {
        for run in of_unit.chunk_by(|a, b| a.1 == b.1) {
            let weight = Weight {
                packets: run.iter().map(|r| r.2).sum(),
                sources: run.len() as u64,
            };
            cells.push(cell(units, run[0].1, weight, atlas));
        }
        units += 1;
    }

    drop(keyed);
    let units = group_units(&mut cells, units as usize);

    let total: f64 = senders.iter().map(|s| s.packets as f64).sum();
    let squares: f64 = senders.iter().map(|s| (s.packets as f64).powi(2)).sum();
    let effective = total * total / squares.max(1.0);
    let draws = Draws {
        units,
        cells: &cells,
        effective,
    };

    let countries = draws.shares(|spot| spot.country, usize::MAX, true);
    let kinds = draws.shares(|spot| spot.kind, usize::MAX, false);
    let prefixes = draws.shares(|spot| spot.prefix, LISTED, false);
    let networks = draws.shares(|spot| spot.asn, LISTED, false);
    let listed: Vec<u32> = networks.iter().map(|counted| counted.key).collect();
    let of_listed: Vec<(u32, &Cell)> = cells
        .iter()
        .map(|cell| (cell.spot.asn, cell))
        .filter(|(asn, _)| listed.contains(asn))
        .collect();
    let networks = networks
        .into_iter()
        .map(|counted| Counted {
            key: describe(counted.key, &of_listed, atlas),
            share: counted.share,
            distinct: counted.distinct,
        })
        .collect();
    Placement {
        countries,
        networks,
        prefixes,
        kinds,
        networks_total: asns.len() as u64,
    }
}

fn cell(unit: u32, id: PlaceId, weight: Weight, atlas: &Atlas) -> Cell {
    let place = atlas.place(id);
    let spot = Spot {
        country: place.country,
        asn: place.asn,
        kind: place.kind,
        prefix: place.prefix,
    };
    Cell {
        unit,
        place: id,
        spot,
        weight,
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

struct Draws<'a> {
    units: usize,
    cells: &'a [Cell],
    effective: f64,
}

/// Draws that are summed side by side: the sums of one slot in so many draws lie together, so one pass over what the units give
/// serves them all.
const LANES: usize = 8;

impl Draws<'_> {
    /// Shares of the packets by a key of the place. Keys beyond the `listed` largest share one slot and are left out.
    /// With `labels`, the error of country labels is part of the interval.
    fn shares<K: Ord + Copy>(
        &self,
        key: impl Fn(&Spot) -> K,
        listed: usize,
        labels: bool,
    ) -> Vec<Counted<K>> {
        let mut order: Vec<(K, Weight)> = self
            .cells
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
        let all: f64 = order.iter().map(|(_, w)| w.packets as f64).sum();
        order.sort_by(|a, b| b.1.packets.cmp(&a.1.packets).then(a.0.cmp(&b.0)));
        order.truncate(listed);
        let shown = order.len();
        let slot_of: BTreeMap<K, u32> = order
            .iter()
            .enumerate()
            .map(|(i, (k, _))| (*k, i as u32))
            .collect();
        let slots = shown + 1; // the last one is "all others"
        let slot = |cell: &Cell| slot_of.get(&key(&cell.spot)).copied().unwrap_or(shown as u32);

        // What each unit gives to each slot, units side by side: one entry for each pair.
        let mut given: Vec<(u32, u32, u64)> = self
            .cells
            .iter()
            .map(|cell| (cell.unit, slot(cell), cell.weight.packets))
            .collect();
        given.sort_unstable();
        given.dedup_by(|later, earlier| {
            let same = (later.0, later.1) == (earlier.0, earlier.1);
            if same {
                earlier.2 += later.2;
            }
            same
        });
        let label_error = labels.then(|| self.label_error(&slot, slots));

        let mut random = Pcg64Mcg::new(0x0e91_ce47_e201_0310_7c15_9e37_79b9_4a7c);
        let mut drawn = vec![Vec::with_capacity(DRAWS); shown];
        let mut weights = vec![[0f64; LANES]; self.units];
        let mut sums = vec![[0f64; LANES]; slots];
        let mut one = vec![0f64; slots];
        for _ in 0..DRAWS / LANES {
            weights
                .iter_mut()
                .flatten()
                .for_each(|w| *w = poisson_one(&mut random));
            sums.iter_mut().for_each(|s| *s = [0.0; LANES]);
            for &(unit, slot, packets) in &given {
                let (weight, packets) = (&weights[unit as usize], packets as f64);
                for (sum, weight) in sums[slot as usize].iter_mut().zip(weight) {
                    *sum += weight * packets;
                }
            }
            for lane in 0..LANES {
                one.iter_mut()
                    .zip(&sums)
                    .for_each(|(one, sums)| *one = sums[lane]);
                let total: f64 = one.iter().sum();
                if total <= 0.0 {
                    continue; // no unit was drawn: nothing to say (only with very few units)
                }
                let mut p = dirichlet(&one, self.effective / total, &mut random);
                if let Some(errors) = &label_error {
                    confuse(&mut p, errors, &mut random);
                }
                for (values, share) in drawn.iter_mut().zip(&p) {
                    values.push(*share);
                }
            }
        }
        let counted = |(key, weight): (K, Weight), mut values: Vec<f64>| {
            let estimate = if all > 0.0 {
                weight.packets as f64 / all
            } else {
                0.0
            };
            values.sort_unstable_by(f64::total_cmp);
            let quantile = |q: f64| {
                let at = ((values.len() as f64 - 1.0) * q).round();
                values.get(at as usize).copied().unwrap_or(estimate)
            };
            let share = Interval {
                estimate,
                low: quantile(0.025).min(estimate),
                high: quantile(0.975).max(estimate),
            };
            Counted {
                key,
                share: share.clamped(),
                distinct: weight.sources,
            }
        };
        order
            .into_iter()
            .zip(drawn)
            .map(|(row, values)| counted(row, values))
            .collect()
    }

    /// Beta parameters of "the label is right", by slot, from the kinds of its networks (SCIENCE 5.3: fixed lines 98 of 100,
    /// mobile 95, hosting, proxies and satellites 85; reserved space is no label that could be wrong).
    fn label_error(&self, slot: &impl Fn(&Cell) -> u32, slots: usize) -> Vec<Option<(f64, f64)>> {
        let mut wrong = vec![(0.0, 0.0); slots];
        for cell in self.cells {
            let error = match cell.spot.kind {
                Kind::Reserved => 0.0,
                _ if cell.spot.country == Country::UNKNOWN => 0.0,
                Kind::Mobile => 5.0,
                Kind::Hosting | Kind::Proxy | Kind::Tor | Kind::Satellite | Kind::Anycast => 15.0,
                Kind::Unknown | Kind::Access => 2.0,
            };
            let weight = cell.weight.packets as f64;
            let sum: &mut (f64, f64) = &mut wrong[slot(cell) as usize];
            sum.0 += weight * error;
            sum.1 += weight;
        }
        let parameters =
            |(error, weight): (f64, f64)| (error > 0.0).then(|| (100.0 - error / weight, error / weight));
        wrong.into_iter().map(parameters).collect()
    }
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

/// A draw of Dirichlet(sums * scale): the sampling error of as many sources as that.
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

/// Moves the wrong part of each label to the other countries, in proportion to their shares.
fn confuse(p: &mut [f64], errors: &[Option<(f64, f64)>], random: &mut Pcg64Mcg) {
    // What label c loses goes to each other label d as lost_c * p_d / (1 - p_c): one sum over c serves all d.
    let lost: Vec<f64> = p
        .iter()
        .zip(errors)
        .map(|(&share, error)| match *error {
            Some((right, wrong)) if share > 0.0 => {
                share * (1.0 - Beta::new(right, wrong).map_or(1.0, |b| b.sample(random)))
            }
            _ => 0.0,
        })
        .collect();
    // Where there is no other country, what is lost goes to none that is listed.
    let rate = |lost: f64, share: f64| {
        if share < 1.0 - 1e-12 {
            lost / (1.0 - share)
        } else {
            0.0
        }
    };
    let all: f64 = lost
        .iter()
        .zip(p.iter())
        .map(|(&lost, &share)| rate(lost, share))
        .sum();
    for (share, lost) in p.iter_mut().zip(lost) {
        *share += *share * (all - rate(lost, *share)) - lost;
    }
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

    #[test]
    fn confusion_keeps_the_whole() {
        let mut random = Pcg64Mcg::new(9);
        let mut p = vec![0.5, 0.3, 0.2];
        confuse(
            &mut p,
            &[Some((98.0, 2.0)), Some((85.0, 15.0)), None],
            &mut random,
        );
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(p.iter().all(|x| (0.0..=1.0).contains(x)));
        let mut alone = vec![1.0, 0.0];
        confuse(&mut alone, &[Some((98.0, 2.0)), None], &mut random);
        assert!(alone[0] < 1.0, "the label of a single country may be wrong too");
    }
}
