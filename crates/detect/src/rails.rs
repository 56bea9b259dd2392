//! Several kinds of evidence about one service (rails: reports, probes, traffic) become one judgement and one state.
//!
//! Evidence of several e-detectors is averaged, never multiplied: a weighted mean of e-detectors is an e-detector whatever they have
//! to do with each other, and one alarm of the mean spends one budget (Vovk and Wang 2021, E-values: calibration, combination and
//! applications). Probes from several places count together only where enough places see the same: one place alone has a problem of
//! its path.

use serde::{Deserialize, Serialize};

use crate::surge::{NOTHING, log_sum};

/// Share of failures that probes of a healthy service have at most, where history shows less.
const LEAST_FAILURES: f64 = 0.02;
/// What a place's own history of failures is multiplied by to be ordinary.
const ORDINARY: f64 = 3.0;
/// How many times the ordinary a share of failures is at least that is looked for.
const APART: f64 = 3.0;
/// Shares of failures that are looked for, equally weighted.
const FAILING: [f64; 3] = [0.2, 0.5, 0.9];
/// Places that are followed.
pub const PLACES_MAX: usize = 256;
/// Probes after which half of a place's history is forgotten.
const HISTORY: f64 = 10_000.0;
const HOLD_S: f64 = 600.0;

/// Probes of one service, from several places.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Probes {
    places: Vec<Place>,
    log_threshold: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Place {
    /// Discounted probes and failures.
    tried: f64,
    failed: f64,
    log_evidence: f64,
    heard: bool,
}

/// What probes show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probed {
    /// Logarithm of the evidence that the service fails: that of the place which completes the number that is needed, so that this
    /// many places have at least as much; [`NOTHING`](self) where too few places probe.
    pub log_evidence: f64,
    /// Places whose own evidence is at least the square root of the threshold.
    pub failing: usize,
    /// Places that probed at all.
    pub places: usize,
    /// Exactly one place sees failures: its path is the likelier trouble.
    pub path_problem: bool,
}

/// Places that must see it: two thirds of them, two at least; one where there is only one.
fn two_thirds(places: usize) -> usize {
    if places < 2 {
        1
    } else {
        (2 * places).div_ceil(3).max(2)
    }
}

impl Probes {
    /// No place yet. `log_threshold` as that of [`Rails`].
    pub fn new(log_threshold: f64) -> Probes {
        Probes {
            places: Vec::new(),
            log_threshold,
        }
    }

    /// One step: for each place that probed in it, its number, the probes and how many of them failed. Places beyond [`PLACES_MAX`]
    /// are passed over. A place that did not probe keeps its evidence: missing data is no health and no trouble.
    pub fn step(&mut self, results: &[(usize, u32, u32)]) -> Probed {
        for &(place, tried, failed) in results {
            if place >= PLACES_MAX || tried == 0 {
                continue;
            }
            if place >= self.places.len() {
                let unheard = Place {
                    tried: 0.0,
                    failed: 0.0,
                    log_evidence: NOTHING,
                    heard: false,
                };
                self.places.resize(place + 1, unheard);
            }
            self.places[place].add(f64::from(tried), f64::from(failed.min(tried)), self.log_threshold);
        }
        let mut heard: Vec<f64> = self
            .places
            .iter()
            .filter(|place| place.heard)
            .map(|place| place.log_evidence)
            .collect();
        heard.sort_by(|a, b| b.total_cmp(a));
        let failing = heard
            .iter()
            .filter(|log| **log >= 0.5 * self.log_threshold)
            .count();
        let needed = two_thirds(heard.len());
        Probed {
            log_evidence: heard.get(needed - 1).copied().unwrap_or(NOTHING),
            failing,
            places: heard.len(),
            path_problem: failing == 1 && needed > 1,
        }
    }
}

impl Place {
    fn add(&mut self, tried: f64, failed: f64, log_threshold: f64) {
        self.heard = true;
        // One failure more and fifty probes more than were seen: nothing is believed of a new place.
        let history = (self.failed + 1.0) / (self.tried + 50.0);
        let ordinary = (ORDINARY * history).clamp(LEAST_FAILURES, 0.5);
        let worked = tried - failed;
        let mean: f64 = FAILING
            .iter()
            .map(|&failing| {
                // Well apart from the ordinary, or working probes would say nothing against it: a new place whose first minutes
                // were bad would not see for an hour that it is over.
                let failing = failing.max((APART * ordinary).min(0.5 * (1.0 + ordinary)));
                let log =
                    failed * (failing / ordinary).ln() + worked * ((1.0 - failing) / (1.0 - ordinary)).ln();
                log.min(0.5 * log_threshold).exp()
            })
            .sum::<f64>()
            / FAILING.len() as f64;
        // Shiryaev-Roberts, bounded above so that the end of a long outage is seen.
        let next = log_sum(self.log_evidence, 0.0) + mean.max(f64::MIN_POSITIVE).ln();
        self.log_evidence = next.clamp(NOTHING, 2.0 * log_threshold);
        if self.log_evidence < 0.5 * log_threshold {
            let keep = 0.5f64.powf(tried / HISTORY);
            self.tried = self.tried * keep + tried;
            self.failed = self.failed * keep + failed;
        }
    }
}

/// Where an incident of a service stands.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Stage {
    /// Nothing is wrong, or too little is known.
    Quiet,
    /// The mean evidence is the square root of the threshold.
    Suspected,
    /// The mean evidence is at the threshold, or two rails are at its three-quarter power.
    Confirmed,
    /// All rails say that it is over.
    Recovering,
    /// They have said so for ten minutes.
    Resolved,
    /// No wave came for six hours.
    Closed,
}

/// Several rails of one service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Rails {
    weights: Vec<f64>,
    log_threshold: f64,
    stage: Stage,
    /// When the stage began, seconds.
    since: f64,
}

impl Rails {
    /// Rails with their weights (any positive numbers; their shares of the sum count) and the logarithm of the threshold: the steps in
    /// which one false incident is allowed.
    pub fn new(weights: &[f64], log_threshold: f64) -> Rails {
        let sum: f64 = weights.iter().sum();
        Rails {
            weights: weights.iter().map(|weight| weight / sum).collect(),
            log_threshold,
            stage: Stage::Quiet,
            since: f64::NEG_INFINITY,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Logarithm of the weighted mean. A rail that has nothing to say (it learns, or has no data) gives no evidence: `None`.
    pub fn mean(&self, rails: &[Option<f64>]) -> f64 {
        self.weights
            .iter()
            .zip(rails)
            .filter_map(|(weight, log)| log.map(|log| weight.ln() + log))
            .fold(f64::NEG_INFINITY, log_sum)
    }

    /// One step: the logarithms of the rails' evidence, and whether all that can tell say that it is over.
    pub fn step(&mut self, time: f64, rails: &[Option<f64>], is_over: bool) -> Stage {
        let mean = self.mean(rails);
        let strong = rails
            .iter()
            .flatten()
            .filter(|log| **log >= 0.75 * self.log_threshold)
            .count();
        let confirmed = mean >= self.log_threshold || strong >= 2;
        let suspected = mean >= 0.5 * self.log_threshold;
        let held = time - self.since;
        let next = match self.stage {
            Stage::Quiet | Stage::Suspected | Stage::Closed if confirmed => Stage::Confirmed,
            Stage::Resolved if confirmed && !is_over => Stage::Confirmed,
            Stage::Quiet | Stage::Closed if suspected => Stage::Suspected,
            Stage::Suspected if !suspected => Stage::Quiet,
            Stage::Confirmed if is_over => Stage::Recovering,
            Stage::Recovering if !is_over => Stage::Confirmed,
            Stage::Recovering if held >= HOLD_S => Stage::Resolved,
            Stage::Resolved if held >= crate::surge::LINK_S => Stage::Closed,
            stage => stage,
        };
        if next != self.stage {
            (self.stage, self.since) = (next, time);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: f64 = 13.0;

    #[test]
    fn one_place_is_a_path_problem_and_two_of_three_are_the_service() {
        let mut probes = Probes::new(THRESHOLD);
        for _ in 0..500 {
            let probed = probes.step(&[(0, 5, 0), (1, 5, 0), (2, 5, 0)]);
            assert_eq!((probed.failing, probed.path_problem), (0, false));
        }
        let mut alone = probes.clone();
        for _ in 0..20 {
            let probed = alone.step(&[(0, 5, 5), (1, 5, 0), (2, 5, 0)]);
            assert!(probed.log_evidence < 3.0, "{probed:?}");
        }
        assert!(alone.step(&[]).path_problem);
        let mut steps = 0;
        while probes.step(&[(0, 5, 5), (1, 5, 5), (2, 5, 0)]).log_evidence < THRESHOLD {
            steps += 1;
            assert!(steps < 4);
        }
        // And it is over soon after it is over.
        let mut steps = 0;
        while probes.step(&[(0, 5, 0), (1, 5, 0), (2, 5, 0)]).log_evidence > 3.0 {
            steps += 1;
            assert!(steps < 30, "{:?}", probes.places);
        }
    }

    #[test]
    fn a_new_place_sees_the_end_of_the_first_trouble_too() {
        let mut probes = Probes::new(THRESHOLD);
        probes.step(&[(0, 30, 0)]);
        probes.step(&[(0, 30, 4)]);
        for _ in 0..4 {
            probes.step(&[(0, 30, 30)]);
        }
        assert_eq!(probes.step(&[]).failing, 1);
        let mut minutes = 0;
        while probes.step(&[(0, 30, 0)]).log_evidence > 0.25 * THRESHOLD {
            minutes += 1;
            assert!(minutes < 5, "{:?}", probes.places);
        }
    }

    #[test]
    fn a_place_that_often_fails_has_to_fail_more() {
        let mut probes = Probes::new(THRESHOLD);
        for step in 0..2_000 {
            let failed = u32::from(step % 10 == 0);
            let probed = probes.step(&[(0, 2, failed), (1, 2, failed)]);
            assert!(probed.log_evidence < THRESHOLD, "step {step}: {probed:?}");
        }
        // Silence is no health: what is not probed stays as it is.
        let before = probes.step(&[]);
        for _ in 0..100 {
            assert_eq!(probes.step(&[(0, 0, 0), (PLACES_MAX, 5, 5)]), before);
        }
    }

    #[test]
    fn rails_are_averaged_and_never_multiplied() {
        let rails = Rails::new(&[4.0, 4.0, 2.0], THRESHOLD);
        let mean = rails.mean(&[Some(12.0), Some(12.0), Some(12.0)]);
        assert!((mean - 12.0).abs() < 1e-12, "{mean}");
        assert!(rails.mean(&[Some(12.0), None, None]) < 12.0);
        assert_eq!(rails.mean(&[None, None, None]), f64::NEG_INFINITY);
    }

    #[test]
    fn an_incident_goes_through_its_stages() {
        let mut rails = Rails::new(&[0.4, 0.4, 0.2], THRESHOLD);
        let mut now = 0.0;
        let mut step = |minutes: usize, log: f64, is_over: bool| {
            let mut stages = Vec::new();
            for _ in 0..minutes {
                now += 60.0;
                let stage = rails.step(now, &[Some(log), None, Some(NOTHING)], is_over);
                if stages.last() != Some(&stage) {
                    stages.push(stage);
                }
            }
            stages
        };
        assert_eq!(step(10, 0.0, true), [Stage::Quiet]);
        assert_eq!(step(2, 9.0, false), [Stage::Suspected]);
        assert_eq!(step(2, 0.0, true), [Stage::Quiet]);
        assert_eq!(step(5, 20.0, false), [Stage::Confirmed]);
        assert_eq!(step(5, 0.0, true), [Stage::Recovering]);
        assert_eq!(step(1, 20.0, false), [Stage::Confirmed], "not yet");
        assert_eq!(step(20, 0.0, true), [Stage::Recovering, Stage::Resolved]);
        assert_eq!(step(1, 20.0, false), [Stage::Confirmed], "the next wave");
        assert_eq!(
            step(400, 0.0, true),
            [Stage::Recovering, Stage::Resolved, Stage::Closed]
        );
        // Two rails that are not enough alone are enough together.
        let mut two = Rails::new(&[1.0, 1.0], THRESHOLD);
        assert_eq!(two.step(0.0, &[Some(10.0), Some(10.0)], false), Stage::Confirmed);
    }
}
