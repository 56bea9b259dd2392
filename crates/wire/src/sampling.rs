//! At which rate an exporter samples, from its options (RFC 3954 section 6, RFC 5477 section 8, IANA elements 34, 48 to 50, 302,
//! 304 to 311).
//!
//! A rate may be told for one sampler, one interface or the whole observation domain. The most particular one that fits a record
//! is applied, once.

use std::collections::BTreeMap;

/// Rates that are kept for the samplers, and for the interfaces, of one observation domain.
pub const RATES_MAX: usize = 4_096;

/// The sampling fields of one record, as they were found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) sampler: Option<u64>,
    pub(crate) interface: Option<u32>,
    pub(crate) interval: Option<u64>,
    pub(crate) random_interval: Option<u64>,
    pub(crate) packet_interval: Option<u64>,
    pub(crate) packet_space: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) population: Option<u64>,
    pub(crate) probability: Option<f64>,
}

impl Told {
    /// One of how many packets is observed, if these fields say so.
    pub(crate) fn rate(&self) -> Option<u32> {
        let ratio = |whole: u64, part: u64| (part > 0).then(|| whole.div_ceil(part).max(1));
        let rate = None
            .or(self
                .probability
                .filter(|p| *p > 0.0 && *p <= 1.0)
                .map(|p| (1.0 / p).round() as u64))
            .or(match (self.population, self.size) {
                (Some(population), Some(size)) => ratio(population, size),
                _ => None,
            })
            .or(match (self.packet_interval, self.packet_space) {
                (Some(interval), Some(space)) => ratio(interval.saturating_add(space), interval),
                // Some exporters tell "one in n" by this element alone, where the registry would have n in a row.
                (Some(interval), None) => Some(interval),
                _ => None,
            })
            .or(self.random_interval)
            .or(self.interval)?;
        // Zero is "not sampled" or "not known": no rate.
        u32::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// What is known of an observation domain's sampling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sampling {
    pub(crate) by_sampler: BTreeMap<u64, u32>,
    pub(crate) by_interface: BTreeMap<u32, u32>,
    pub(crate) domain: Option<u32>,
    /// Records that were decoded while no rate was known.
    pub(crate) before: u64,
    /// The one rate of all samplers, if they agree; kept so that a record need not ask.
    agreed: Option<u32>,
}

impl Sampling {
    /// Learns from an options record. True when a rate above one comes after records were already decoded without it.
    pub(crate) fn learn(&mut self, told: &Told) -> bool {
        let Some(rate) = told.rate() else { return false };
        let known = self.is_known();
        match (told.sampler, told.interface) {
            (Some(sampler), _) => insert(&mut self.by_sampler, sampler, rate),
            (None, Some(interface)) => insert(&mut self.by_interface, interface, rate),
            (None, None) => self.domain = Some(rate),
        }
        let mut rates = self.by_sampler.values();
        self.agreed = rates
            .next()
            .copied()
            .filter(|first| rates.all(|rate| rate == first));
        !known && rate > 1 && self.before > 0
    }

    /// Whether any rate is known.
    pub(crate) fn is_known(&self) -> bool {
        self.domain.is_some() || !self.by_sampler.is_empty() || !self.by_interface.is_empty()
    }

    /// Whether a record's own sampler or interface matters.
    pub(crate) fn is_particular(&self) -> bool {
        !self.by_sampler.is_empty() || !self.by_interface.is_empty()
    }

    /// The rate of a record: its own, its sampler's, its interface's, the domain's, or the one on which all samplers agree.
    pub(crate) fn of(&self, told: &Told) -> Option<u32> {
        told.rate()
            .or_else(|| self.by_sampler.get(&told.sampler?).copied())
            .or_else(|| self.by_interface.get(&told.interface?).copied())
            .or(self.domain)
            .or(if told.sampler.is_none() { self.agreed } else { None })
    }
}

fn insert<K: Ord>(rates: &mut BTreeMap<K, u32>, key: K, rate: u32) {
    if rates.len() < RATES_MAX || rates.contains_key(&key) {
        rates.insert(key, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_telling_gives_its_rate() {
        let told = Told::default();
        for (told, rate) in [
            (
                Told {
                    interval: Some(100),
                    ..told
                },
                Some(100),
            ),
            (
                Told {
                    random_interval: Some(30_000),
                    ..told
                },
                Some(30_000),
            ),
            (
                Told {
                    packet_interval: Some(1),
                    packet_space: Some(999),
                    ..told
                },
                Some(1_000),
            ),
            (
                Told {
                    size: Some(2),
                    population: Some(2_048),
                    ..told
                },
                Some(1_024),
            ),
            (
                Told {
                    probability: Some(0.01),
                    ..told
                },
                Some(100),
            ),
            (
                Told {
                    interval: Some(0),
                    ..told
                },
                None,
            ),
            (
                Told {
                    packet_interval: Some(0),
                    packet_space: Some(9),
                    ..told
                },
                None,
            ),
            (told, None),
        ] {
            assert_eq!(told.rate(), rate, "{told:?}");
        }
    }

    #[test]
    fn the_most_particular_rate_is_applied() {
        let mut sampling = Sampling::default();
        let told = Told::default();
        sampling.learn(&Told {
            interval: Some(10),
            ..told
        });
        sampling.learn(&Told {
            interval: Some(20),
            interface: Some(7),
            ..told
        });
        sampling.learn(&Told {
            interval: Some(30),
            sampler: Some(1),
            ..told
        });
        assert_eq!(sampling.of(&told), Some(10));
        assert_eq!(
            sampling.of(&Told {
                interface: Some(7),
                ..told
            }),
            Some(20)
        );
        assert_eq!(
            sampling.of(&Told {
                interface: Some(7),
                sampler: Some(1),
                ..told
            }),
            Some(30)
        );
        assert_eq!(
            sampling.of(&Told {
                interval: Some(5),
                sampler: Some(1),
                ..told
            }),
            Some(5)
        );
        assert_eq!(
            sampling.of(&Told {
                interface: Some(8),
                ..told
            }),
            Some(10)
        );
    }

    #[test]
    fn a_rate_that_comes_late_is_noticed_once() {
        let mut sampling = Sampling {
            before: 3,
            ..Sampling::default()
        };
        let told = Told {
            interval: Some(10),
            ..Told::default()
        };
        assert!(sampling.learn(&told));
        assert!(!sampling.learn(&told));
    }
}
