//! Real-valued series that leave what they have ever been: record novelty with an alarm debt.
//!
//! For latencies, shares, bits per second: nothing is assumed of the distribution. Smoothed views of the series (over 1, 6 and 36
//! steps, as they are and with the time of day taken out) each keep the range in which they have ever been, which decays very slowly.
//! Leaving a range is news, measured in units of that range. Every alarm raises the bar for the next one, and that debt decays: an
//! explicit budget. The n-th of exchangeable values is a record with probability 1/n, so records alone grow rarer by themselves.
//! There is no theorem behind the rate of false alarms, as there is for [`surge`](crate::surge).
//!
//! The constants were chosen looking at the labels of the Numenta Anomaly Benchmark; a score on it is not that of an untouched corpus.

use crate::surge::Side;

/// Steps of the three views.
const VIEWS: [f64; 3] = [1.0, 6.0, 36.0];
/// Hours of the profile of a day.
const HOURS: usize = 24;
/// Steps of the long-term mean and spread.
const LONG: f64 = 800.0;
/// What a range keeps of its distance from the mean in a step.
const RANGE_DECAY: f64 = 1e-4;
/// Weight of the views without the time of day, and of the dispersion.
const PROFILE_WEIGHT: f64 = 0.3;
const DISPERSION_WEIGHT: f64 = 0.3;
/// Steps between alarms.
const REFRACTORY: u64 = 100;
/// What an alarm adds to the debt, and the steps in which the debt falls to 1/e.
const DEBT: f64 = 0.8;
const DEBT_STEPS: f64 = 1_000.0;
/// The profile counts where it leaves less than this of the spread.
const PROFILE_GAIN: f64 = 0.7;
/// The inner score that is reported as 0.5.
const GAIN: f64 = 0.031;
/// First bytes of a saved state.
const SAVED: &[u8; 8] = b"EPCNOVE1";

/// An exponentially weighted mean, plain while it is young.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Smooth {
    weight: f64,
    mean: f64,
    seen: f64,
}

impl Smooth {
    fn over(steps: f64) -> Smooth {
        Smooth {
            weight: 2.0 / (steps + 1.0),
            ..Smooth::default()
        }
    }

    fn add(&mut self, value: f64) -> f64 {
        self.seen += 1.0;
        self.mean += (1.0 / self.seen).max(self.weight) * (value - self.mean);
        self.mean
    }
}

/// The range in which a view has been.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn at(value: f64) -> Range {
        Range {
            low: value,
            high: value,
        }
    }

    /// How far outside a value is, in units of the range and a little more; which side.
    fn outside(&self, value: f64, more: f64) -> (f64, Side) {
        let size = self.high - self.low + more;
        if value > self.high {
            ((value - self.high) / size, Side::Up)
        } else if value < self.low {
            ((self.low - value) / size, Side::Down)
        } else {
            (0.0, Side::Up)
        }
    }

    fn take_in(&mut self, value: f64, middle: f64, pace: f64) {
        let decay = RANGE_DECAY / pace;
        self.high = value.max(self.high - decay * (self.high - middle));
        self.low = value.min(self.low + decay * (middle - self.low));
    }
}

/// What a step showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Novel {
    /// 0 but for the step at which an alarm begins or becomes clearly worse; an alarm from 0.5 on; below 1.
    pub score: f64,
    /// Which way the value left its range.
    pub side: Side,
    /// The long-term mean before this step; `None` at the first.
    pub expected: Option<f64>,
    /// The range of the value itself before this step.
    pub range: Option<(f64, f64)>,
}

/// The detector of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Novelty {
    /// Steps that stand for one of the constants' steps.
    pace: f64,
    steps: u64,
    mean: Smooth,
    spread: Smooth,
    views: [Smooth; 3],
    ranges: [Range; 3],
    rest_views: [Smooth; 3],
    rest_ranges: [Range; 3],
    rest_spread: Smooth,
    rest_steps: u64,
    profile: [f64; HOURS],
    profile_days: [f64; HOURS],
    hour: Option<usize>,
    hour_sum: f64,
    hour_steps: f64,
    before: Option<f64>,
    change: Smooth,
    change_now: Smooth,
    dispersion: Range,
    frozen: u64,
    longest_frozen: u64,
    news: f64,
    debt: f64,
    told: f64,
    since: u64,
}

impl Default for Novelty {
    fn default() -> Self {
        Novelty::new()
    }
}

impl Novelty {
    /// A detector that has seen nothing, for steps of a few minutes or more.
    pub fn new() -> Novelty {
        Novelty::paced(1.0)
    }

    /// A detector for shorter steps, `pace` of which make one of about five minutes: what is remembered for days is remembered for as
    /// many days, and not for as many steps. With [`Novelty::new`] each day's peak of a series of seconds would be a new record.
    pub fn paced(pace: f64) -> Novelty {
        let pace = if pace.is_finite() { pace.max(1.0) } else { 1.0 };
        Novelty {
            pace,
            steps: 0,
            mean: Smooth::over(LONG * pace),
            spread: Smooth::over(LONG * pace),
            views: VIEWS.map(Smooth::over),
            ranges: [Range::default(); 3],
            rest_views: VIEWS.map(Smooth::over),
            rest_ranges: [Range::default(); 3],
            rest_spread: Smooth::over(LONG * pace),
            rest_steps: 0,
            profile: [0.0; HOURS],
            profile_days: [0.0; HOURS],
            hour: None,
            hour_sum: 0.0,
            hour_steps: 0.0,
            before: None,
            change: Smooth::over(LONG * pace),
            change_now: Smooth::over(24.0),
            dispersion: Range::default(),
            frozen: 0,
            longest_frozen: 0,
            news: 0.0,
            debt: 0.0,
            told: 0.0,
            since: 1_000_000_000,
        }
    }

    /// The next value and the minute of the day (UTC) at which it was measured. A value that is not finite is passed over.
    pub fn step(&mut self, minute_of_day: f64, value: f64) -> Novel {
        self.step_toward(minute_of_day, value, true, true)
    }

    /// The same, where only one side is asked for: what leaves a range on the other side is no news.
    pub fn step_toward(&mut self, minute_of_day: f64, value: f64, up: bool, down: bool) -> Novel {
        let mut novel = Novel {
            score: 0.0,
            side: Side::Up,
            expected: (self.steps > 0).then_some(self.mean.mean),
            range: (self.steps > 0).then_some((self.ranges[0].low, self.ranges[0].high)),
        };
        // No metric is larger, and differences of two such values are still finite.
        if !value.is_finite() || value.abs() > 1e300 {
            return novel;
        }
        let step = self.steps;
        self.steps += 1;
        let mut best = 0.0;
        let mut note = |(news, side): (f64, Side), weight: f64| {
            let asked = match side {
                Side::Up => up,
                Side::Down => down,
            };
            if asked && weight * news > best {
                best = weight * news;
                novel.side = side;
            }
        };
        self.mean.add(value);
        let far = (value - self.mean.mean).abs();
        let far = if step > 30 {
            far.min(8.0 * self.spread.mean)
        } else {
            far
        };
        self.spread.add(far);
        // The value at three scales, against its own record range.
        for (k, &length) in VIEWS.iter().enumerate() {
            let view = self.views[k].add(value);
            if step == 0 || step == 2 * length as u64 {
                self.ranges[k] = Range::at(view);
            }
            note(self.ranges[k].outside(view, self.spread.mean + 1e-9), 1.0);
            self.ranges[k].take_in(view, self.mean.mean, self.pace);
        }
        // The same for what the time of day leaves, only where it explains the series.
        let hours = (minute_of_day / 1_440.0).rem_euclid(1.0) * HOURS as f64;
        let hour = (hours as usize).min(HOURS - 1);
        let low = (hours - 0.5).floor();
        let within = hours - 0.5 - low;
        let (first, second) = (
            (low as i64).rem_euclid(HOURS as i64) as usize,
            (low as i64 + 1).rem_euclid(HOURS as i64) as usize,
        );
        if self.profile_days[first] >= 3.0 && self.profile_days[second] >= 3.0 {
            let rest = value - (self.profile[first] * (1.0 - within) + self.profile[second] * within);
            self.rest_steps += 1;
            let far = rest.abs();
            let far = if self.rest_steps > 30 {
                far.min(8.0 * self.rest_spread.mean)
            } else {
                far
            };
            self.rest_spread.add(far);
            let explains = self.rest_steps > 200 && self.rest_spread.mean < PROFILE_GAIN * self.spread.mean;
            for (k, &length) in VIEWS.iter().enumerate() {
                let view = self.rest_views[k].add(rest);
                if self.rest_steps == 1 || self.rest_steps == 2 * length as u64 + 5 {
                    self.rest_ranges[k] = Range::at(view);
                }
                if explains {
                    note(
                        self.rest_ranges[k].outside(view, self.rest_spread.mean + 1e-9),
                        PROFILE_WEIGHT,
                    );
                }
                self.rest_ranges[k].take_in(view, 0.0, self.pace);
            }
        }
        if self.hour != Some(hour) {
            if let Some(past) = self.hour
                && self.hour_steps > 0.0
            {
                self.profile_days[past] += 1.0;
                let weight = (1.0 / self.profile_days[past]).max(0.2);
                self.profile[past] += weight * (self.hour_sum / self.hour_steps - self.profile[past]);
            }
            (self.hour, self.hour_sum, self.hour_steps) = (Some(hour), 0.0, 0.0);
        }
        self.hour_sum += value;
        self.hour_steps += 1.0;
        // How much it moves, and whether it moves at all.
        let change = self.before.map_or(0.0, |before| (value - before).abs());
        self.before = Some(value);
        let usual = self.change.add(if step > 30 {
            change.min(8.0 * self.change.mean)
        } else {
            change
        });
        let moves = (self.change_now.add(change) + 0.05 * usual + 1e-9).ln();
        if step < 40 {
            self.dispersion = Range::at(moves);
        } else {
            note(self.dispersion.outside(moves, 0.5), DISPERSION_WEIGHT);
            let middle = 0.5 * (self.dispersion.high + self.dispersion.low);
            self.dispersion.take_in(moves, middle, self.pace);
        }
        if change <= 1e-9 * value.abs() {
            self.frozen += 1;
        } else {
            self.longest_frozen = self.longest_frozen.max(self.frozen);
            self.frozen = 0;
        }
        if self.frozen == (2 * self.longest_frozen + 12).max(24) && usual > 0.0 && down {
            best = best.max(1.0);
        }
        // Evidence, debt, and one alarm for each episode.
        self.news = self.news * (-1.0f64).exp() + best;
        self.debt *= (-1.0 / (DEBT_STEPS * self.pace)).exp();
        let inner = self.news / (self.news + 0.3 + self.debt);
        self.since += 1;
        let refractory = (REFRACTORY as f64 * self.pace) as u64;
        if self.since > refractory {
            self.told = 0.0;
        }
        if inner > 0.01 && inner > self.told + 0.03 {
            if self.since > refractory {
                self.debt += DEBT;
            }
            self.told = inner;
            self.since = 0;
            let odds = if inner < 1.0 { inner / (1.0 - inner) } else { 1e9 };
            novel.score = odds / (odds + GAIN);
        }
        novel
    }

    /// All that it knows, as bytes: a detector loaded from them gives the same results to the last bit.
    pub fn save(&self) -> Vec<u8> {
        let mut copy = self.clone();
        let mut out = SAVED.to_vec();
        out.extend(copy.pace.to_le_bytes());
        copy.each(&mut |value| out.extend(value.to_le_bytes()));
        out
    }

    /// A detector from saved bytes; `None` where they are not such.
    pub fn load(saved: &[u8]) -> Option<Novelty> {
        let (mut values, rest) = saved.strip_prefix(SAVED.as_slice())?.as_chunks::<8>();
        let pace = values
            .split_first()
            .map(|(first, rest)| (f64::from_le_bytes(*first), rest))?;
        let mut novelty = Novelty::paced(pace.0);
        values = pace.1;
        let mut complete = rest.is_empty();
        novelty.each(&mut |value| match values.split_first() {
            Some((first, rest)) => (*value, values) = (f64::from_le_bytes(*first), rest),
            None => complete = false,
        });
        (complete && values.is_empty()).then_some(novelty)
    }

    /// Every number of the state, always in the same order: whole numbers as floats, which are exact up to 2^53.
    fn each(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        let smooths = [
            &mut self.mean,
            &mut self.spread,
            &mut self.rest_spread,
            &mut self.change,
            &mut self.change_now,
        ];
        for smooth in smooths
            .into_iter()
            .chain(&mut self.views)
            .chain(&mut self.rest_views)
        {
            visit(&mut smooth.mean);
            visit(&mut smooth.seen);
        }
        for range in [&mut self.dispersion]
            .into_iter()
            .chain(&mut self.ranges)
            .chain(&mut self.rest_ranges)
        {
            visit(&mut range.low);
            visit(&mut range.high);
        }
        for value in self.profile.iter_mut().chain(&mut self.profile_days).chain([
            &mut self.hour_sum,
            &mut self.hour_steps,
            &mut self.news,
            &mut self.debt,
            &mut self.told,
        ]) {
            visit(value);
        }
        for whole in [
            &mut self.steps,
            &mut self.rest_steps,
            &mut self.frozen,
            &mut self.longest_frozen,
            &mut self.since,
        ] {
            let mut value = *whole as f64;
            visit(&mut value);
            *whole = value as u64;
        }
        let mut before = self.before.unwrap_or(f64::NAN);
        visit(&mut before);
        self.before = (!before.is_nan()).then_some(before);
        let mut hour = self.hour.map_or(f64::NAN, |hour| hour as f64);
        visit(&mut hour);
        self.hour = (!hour.is_nan()).then_some((hour as usize).min(HOURS - 1));
    }
}
