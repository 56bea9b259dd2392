//! Counts that rise or fall more than their past allows: a seasonal negative-binomial e-detector.
//!
//! One [`Surge`] follows one series of counts in steps of equal length: problem reports, requests, answers, active clients. It learns
//! what is normal from the past alone (hour of the week, hour of the day, level of the last hours, dispersion) and holds each new
//! count against "at most the guard times the expected rate" (surge) and "at least the expected rate over the guard" (silence). The
//! evidence is a Shiryaev-Roberts sum of likelihood ratios for several sizes of change, each with its own sum, then averaged.
//!
//! *Why its false alarms are bounded.* If the count, given the past, has a mean within the guard and is negative binomial with a
//! dispersion of at most the one learnt, then every factor has mean 1 or less, evidence minus elapsed steps is a supermartingale, and
//! the time to a false alarm is at least the threshold on average (e-detectors: Shin, Ramdas, Rinaldo 2023, arXiv 2203.03532). With
//! a threshold of one year's steps that is at most one false incident in a year. The bound is as good as the baseline: where a series
//! jumps by itself in ways that no season and no level explains, the guard learns from incidents that nothing confirmed.
//!
//! A step costs the same whatever the past, about 0.2 microseconds, and a series takes about 4 kB.

/// Sizes of a surge that are looked for, as multiples of what the guard allows, with their weights.
pub const RISES: [(f64, f64); 6] = [
    (1.5, 0.1),
    (2.0, 0.2),
    (3.0, 0.25),
    (5.0, 0.2),
    (10.0, 0.15),
    (30.0, 0.1),
];
/// Sizes of a silence that are looked for, as multiples of what the guard demands, with their weights.
pub const FALLS: [(f64, f64); 4] = [(0.8, 0.25), (0.5, 0.25), (0.2, 0.25), (0.05, 0.25)];

/// The part of the budget that silences get where both sides are watched: a surge is found as early as if it were watched alone, and
/// a silence a step later.
const SILENCE_SHARE: f64 = 0.1;
/// Evidence before the first step, as a logarithm: nothing.
pub const NOTHING: f64 = -50.0;
/// Beyond this, evidence is kept as a logarithm.
const LARGE: f64 = 1e150;
const LARGE_LOG: f64 = 300.0;
const DAY: f64 = 86_400.0;
const HOUR: f64 = 3_600.0;
/// Evidence that the rate is normal again, as odds.
const END_EVIDENCE: f64 = 50.0;
/// How long the end must hold.
const HOLD_S: f64 = 600.0;
/// After so long a surge is the new normal, and a silence too.
const SURGE_MAX_S: f64 = DAY;
const SILENCE_MAX_S: f64 = 7.0 * DAY;
/// Counts behind a surge, or missing in a silence, before it is told.
const MIN_COUNT: f64 = 5.0;
/// Waves closer than this belong to one incident.
pub const LINK_S: f64 = 21_600.0;
/// The smallest guard, the largest that lessons may make it, and how much of a wrong incident's peak a lesson is.
const GUARD: f64 = 1.25;
const GUARD_MAX: f64 = 4.0;
const LESSON: f64 = 0.7;
const GUARD_HALF_DAYS: f64 = 30.0;
/// After this many lessons a series is known to jump by itself, and the guard forgets more slowly.
const MANY: f64 = 3.0;
const GUARD_HALF_DAYS_AFTER_MANY: f64 = 365.0;
/// Half-lives of the weekly cells, of the daily cells and the whole, of the level.
const WEEKLY_HALF_DAYS: f64 = 28.0;
const DAILY_HALF_DAYS: f64 = 7.0;
const LEVEL_HALF_HOURS: f64 = 2.0;
/// Steps worth of prior in the level.
const LEVEL_PRIOR: f64 = 20.0;
/// The smallest expected count of a step.
const LEAST: f64 = 0.02;
/// Data that stops for this long ends what was going on.
const GAP_S: f64 = DAY;
/// Data that stops for this long makes a stranger of the series.
const STRANGER_S: f64 = 28.0 * DAY;
/// First bytes of a saved state.
const SAVED: &[u8; 8] = b"EPCSURG1";

/// Which way counts may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Too many.
    Up,
    /// Too few.
    Down,
    /// Either; surges get nine tenths of the budget, silences the rest.
    Both,
}

/// Which way a count went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Too many: a surge.
    Up,
    /// Too few: a silence.
    Down,
}

/// What is asked of a detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Length of a step in seconds.
    pub step_s: f64,
    /// Which way counts may go wrong.
    pub sides: Sides,
    /// False incidents allowed, for each day: 1 / 365 is one a year.
    pub budget_per_day: f64,
    /// Whether incidents that nothing confirmed raise the guard.
    pub lessons: bool,
}

impl Settings {
    /// One false incident a year, surges only, with lessons.
    pub fn new(step_s: f64) -> Settings {
        Settings {
            step_s,
            sides: Sides::Up,
            budget_per_day: 1.0 / 365.0,
            lessons: true,
        }
    }
}

/// Where a series stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Too little is known of it: nothing is told.
    Learning,
    /// Nothing is wrong.
    Normal,
    /// The evidence is half way (on a logarithmic scale).
    Suspected,
    /// An incident is open.
    Confirmed,
    /// It is open, and the rate looks normal again.
    Recovering,
    /// It is over, and a wave within [`LINK_S`] would belong to it.
    Resolved,
}

impl State {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            State::Learning => "learning",
            State::Normal => "normal",
            State::Suspected => "suspected",
            State::Confirmed => "confirmed",
            State::Recovering => "recovering",
            State::Resolved => "resolved",
        }
    }
}

/// What happened in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// An incident opens.
    Open {
        /// Which way.
        side: Side,
        /// Since when, in seconds.
        onset: f64,
    },
    /// It is over.
    Close {
        /// Which way.
        side: Side,
        /// Since when the rate looked normal again, in seconds.
        end: f64,
    },
    /// It lasted so long that it is what is normal now.
    Regime {
        /// Which way.
        side: Side,
    },
    /// The data stopped while it was open.
    Gap {
        /// Which way.
        side: Side,
    },
}

/// What a step showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Expected count, `None` while learning or without data.
    pub expected: Option<f64>,
    /// What is ordinary: the guard and three standard deviations around the expected count.
    pub ordinary: Option<(f64, f64)>,
    /// Logarithm of the evidence for a surge, [`NOTHING`](self) or less where there is none.
    pub log_up: f64,
    /// Logarithm of the evidence for a silence.
    pub log_down: f64,
    /// The larger evidence over the threshold, both as logarithms, from 0 to 1.
    pub score: f64,
    /// Where the series stands.
    pub state: State,
    /// What happened, at most once for each side.
    pub events: [Option<Event>; 2],
}

/// A discounted sum of counts and of the exposure in which they were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    exposure: f64,
}

impl Mean {
    #[inline]
    fn add(&mut self, keep: f64, sum: f64, exposure: f64) {
        self.sum = self.sum * keep + sum;
        self.exposure = self.exposure * keep + exposure;
    }
}

/// A size of change that is looked for, and the evidence for it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Size {
    times: f64,
    log_times: f64,
    weight: f64,
    /// Shiryaev-Roberts evidence: as it is, or as its logarithm where the rail `is_large`.
    evidence: f64,
    /// CUSUM of uncapped log-likelihood ratios: it dates the onset.
    cusum: f64,
    /// When the CUSUM last left zero, seconds; not a number where it is at zero.
    onset: f64,
    /// Counts since then (those that are missing, in a silence).
    behind: f64,
}

/// Evidence for one side, over its sizes of change.
#[derive(Clone, Debug, PartialEq)]
struct Rail {
    side: Side,
    sizes: Vec<Size>,
    is_large: bool,
    log_evidence: f64,
    /// Logarithm of the threshold.
    threshold: f64,
    guard: f64,
    open_since: Option<f64>,
    end_evidence: f64,
    /// When the evidence for the end last left zero.
    better_since: f64,
    clear_since: Option<f64>,
    peak: f64,
    /// Time of the last end and the peak ratio since lessons were drawn.
    pending: Option<(f64, f64)>,
    lessons: f64,
    ended: Option<f64>,
}

impl Rail {
    fn new(side: Side, sizes: &[(f64, f64)], threshold: f64) -> Rail {
        let mut rail = Rail {
            side,
            sizes: sizes
                .iter()
                .map(|&(times, weight)| Size {
                    times,
                    log_times: times.ln(),
                    weight,
                    evidence: 0.0,
                    cusum: 0.0,
                    onset: f64::NAN,
                    behind: 0.0,
                })
                .collect(),
            is_large: false,
            log_evidence: NOTHING,
            threshold,
            guard: GUARD,
            open_since: None,
            end_evidence: NOTHING,
            better_since: f64::NAN,
            clear_since: None,
            peak: 0.0,
            pending: None,
            lessons: 0.0,
            ended: None,
        };
        rail.reset();
        rail
    }

    fn reset(&mut self) {
        for size in &mut self.sizes {
            (size.evidence, size.cusum) = (NOTHING.exp(), 0.0);
            (size.onset, size.behind) = (f64::NAN, 0.0);
        }
        self.is_large = false;
        self.log_evidence = NOTHING;
    }

    /// What the guard allows (or demands) of the expected count.
    #[inline]
    fn bound(&self, expected: f64, young: f64) -> f64 {
        match self.side {
            Side::Up => (self.guard + young) * expected,
            Side::Down => expected / (self.guard + young),
        }
    }

    /// Adds one count to the evidence. `r` is one over the dispersion.
    ///
    /// The factorials of the negative binomial cancel in a ratio, which leaves one logarithm for each size; the evidence is kept as it
    /// is, not as a logarithm, until it is very large, which leaves one exponential.
    #[inline]
    fn add(&mut self, time: f64, count: f64, bound: f64, expected: f64, r: f64) {
        let cap = 0.5 * self.threshold;
        let of_bound = (r + bound).ln();
        let behind = match self.side {
            Side::Up => count,
            Side::Down => expected - count,
        };
        let mut total = 0.0;
        let mut largest = f64::NEG_INFINITY;
        for size in &mut self.sizes {
            let ratio = count * size.log_times + (r + count) * (of_bound - (r + size.times * bound).ln());
            let capped = ratio.min(cap);
            if self.is_large {
                size.evidence = log_sum(size.evidence, 0.0) + capped;
            } else {
                size.evidence = (size.evidence + 1.0) * capped.exp();
                total += size.weight * size.evidence;
            }
            largest = largest.max(size.evidence);
            size.cusum = size.cusum.max(0.0) + ratio;
            if size.cusum <= 0.0 {
                (size.onset, size.behind) = (f64::NAN, 0.0);
            } else if size.onset.is_nan() {
                (size.onset, size.behind) = (time, behind);
            } else {
                size.behind += behind;
            }
        }
        if self.is_large {
            self.log_evidence = f64::NEG_INFINITY;
            for size in &self.sizes {
                self.log_evidence = log_sum(self.log_evidence, size.weight.ln() + size.evidence);
            }
            if largest < LARGE_LOG {
                self.is_large = false;
                for size in &mut self.sizes {
                    size.evidence = size.evidence.exp();
                }
            }
        } else {
            self.log_evidence = total.max(f64::MIN_POSITIVE).ln();
            if largest > LARGE {
                self.is_large = true;
                for size in &mut self.sizes {
                    size.evidence = size.evidence.max(f64::MIN_POSITIVE).ln();
                }
            }
        }
    }

    /// The size whose CUSUM is largest dates the change: since when, and what is behind it.
    fn dated(&self) -> (f64, f64) {
        let first = self.sizes[0];
        let best = self.sizes.iter().fold(
            first,
            |best, size| {
                if size.cusum > best.cusum { *size } else { best }
            },
        );
        (best.onset, best.behind)
    }

    /// Opens or closes. `ratio` is how far the smoothed count is from the expected one, as a factor above 1.
    fn judge(&mut self, time: f64, count: f64, bound: f64, r: f64, ratio: f64) -> Option<Event> {
        let side = self.side;
        let Some(since) = self.open_since else {
            if self.log_evidence < self.threshold {
                return None;
            }
            let (onset, behind) = self.dated();
            if behind < MIN_COUNT {
                return None;
            }
            self.open_since = Some(time);
            (self.end_evidence, self.peak) = (0.0, ratio);
            let onset = if onset.is_nan() { time } else { onset };
            return Some(Event::Open { side, onset });
        };
        self.peak = self.peak.max(ratio);
        // The reverse test: "still twice as far off as the guard allows" against "within the guard".
        let far = match side {
            Side::Up => 2.0 * bound,
            Side::Down => 0.5 * bound,
        };
        let ratio = count * (bound / far).ln() + (r + count) * ((r + far).ln() - (r + bound).ln());
        let full = END_EVIDENCE.ln();
        let step = ratio.min(full / 3.0).max(-2.0 * full);
        if self.end_evidence <= 0.0 {
            self.better_since = time;
        }
        self.end_evidence = (self.end_evidence.max(0.0) + step).min(2.0 * full);
        let mut event = None;
        if self.end_evidence >= full {
            let clear = *self.clear_since.get_or_insert(time);
            if time - clear >= HOLD_S {
                event = Some(Event::Close {
                    side,
                    end: self.better_since,
                });
            }
        } else {
            self.clear_since = None;
        }
        let longest = match side {
            Side::Up => SURGE_MAX_S,
            Side::Down => SILENCE_MAX_S,
        };
        if time - since >= longest {
            event = Some(Event::Regime { side });
        }
        if event.is_some() {
            self.close(time);
        }
        event
    }

    fn close(&mut self, time: f64) {
        let before = self.pending.map_or(0.0, |(_, peak)| peak);
        self.pending = Some((time, self.peak.max(before)));
        self.ended = Some(time);
        self.open_since = None;
        self.clear_since = None;
        self.end_evidence = 0.0;
        self.reset();
    }

    /// An incident that nothing confirmed is part of this series' normal life: it teaches the guard, but only after its last wave,
    /// since later waves of one outage must meet the old guard.
    fn learn(&mut self, time: f64, lessons: bool) {
        if let Some((ended, peak)) = self.pending
            && self.open_since.is_none()
            && time - ended >= LINK_S
        {
            if lessons {
                self.guard = self.guard.max((LESSON * peak).min(GUARD_MAX));
                self.lessons += 1.0;
            }
            self.pending = None;
        }
    }

    fn score(&self) -> f64 {
        (self.log_evidence / self.threshold).clamp(0.0, 1.0)
    }
}

/// Hours since the beginning of the week, which is Thursday in UTC since the epoch was one: from 0 to 168.
#[inline]
fn hour_of_week(time: f64) -> f64 {
    let hours = time / HOUR;
    hours - 168.0 * (hours / 168.0).floor()
}

/// log(e^a + e^b).
pub(crate) fn log_sum(a: f64, b: f64) -> f64 {
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    if small == f64::NEG_INFINITY {
        return large;
    }
    large + (small - large).exp().ln_1p()
}

/// The detector of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Surge {
    settings: Settings,
    rails: Vec<Rail>,
    /// Counts by exposure of the first steps; `None` once there are enough.
    warm: Option<Vec<f64>>,
    weekly: Vec<Mean>,
    daily: Vec<Mean>,
    whole: Mean,
    level: Mean,
    dispersion: Mean,
    /// Steps learnt from.
    age: f64,
    /// e^(-days) and e^(-days / 4).
    youth: f64,
    youth_4: f64,
    smooth_count: f64,
    smooth_expected: f64,
    last: Option<f64>,
    keep: Keep,
}

/// What a step leaves of the past, by half-life.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Keep {
    weekly_cell: f64,
    daily_cell: f64,
    daily: f64,
    level: f64,
    guard: f64,
    guard_after_many: f64,
    youth: f64,
    youth_4: f64,
}

impl Keep {
    fn new(step_s: f64) -> Keep {
        let half = |days: f64| 0.5f64.powf(step_s / DAY / days);
        Keep {
            // A cell is visited for one hour in a week (or a day), and forgets for all of it then.
            weekly_cell: half(WEEKLY_HALF_DAYS).powi(168),
            daily_cell: half(DAILY_HALF_DAYS).powi(24),
            daily: half(DAILY_HALF_DAYS),
            level: half(LEVEL_HALF_HOURS / 24.0),
            guard: half(GUARD_HALF_DAYS),
            guard_after_many: half(GUARD_HALF_DAYS_AFTER_MANY),
            youth: (-step_s / DAY).exp(),
            youth_4: (-step_s / DAY / 4.0).exp(),
        }
    }
}

impl Surge {
    /// A detector that has seen nothing.
    ///
    /// # Panics
    ///
    /// Never; a step of zero or less, or a budget of zero or less, is taken as the smallest that makes sense (a second, one false
    /// incident in a million years).
    pub fn new(settings: Settings) -> Surge {
        let settings = Settings {
            step_s: settings.step_s.max(1e-3),
            budget_per_day: settings.budget_per_day.max(1.0 / (365.0 * 1e6)),
            ..settings
        };
        let threshold = |share: f64| {
            let steps = DAY / settings.step_s / settings.budget_per_day;
            (steps / share).max(10.0).ln()
        };
        let rails = match settings.sides {
            Sides::Up => vec![Rail::new(Side::Up, &RISES, threshold(1.0))],
            Sides::Down => vec![Rail::new(Side::Down, &FALLS, threshold(1.0))],
            Sides::Both => vec![
                Rail::new(Side::Up, &RISES, threshold(1.0 - SILENCE_SHARE)),
                Rail::new(Side::Down, &FALLS, threshold(SILENCE_SHARE)),
            ],
        };
        Surge {
            settings,
            rails,
            warm: Some(Vec::new()),
            weekly: vec![Mean::default(); 168],
            daily: vec![Mean::default(); 24],
            whole: Mean {
                sum: 0.0,
                exposure: 1e-9,
            },
            level: Mean {
                sum: LEVEL_PRIOR,
                exposure: LEVEL_PRIOR,
            },
            dispersion: Mean {
                sum: 0.3 * 30.0,
                exposure: 30.0,
            },
            age: 0.0,
            youth: 1.0,
            youth_4: 1.0,
            smooth_count: 0.0,
            smooth_expected: 1e-9,
            last: None,
            keep: Keep::new(settings.step_s),
        }
    }

    /// Another rail (probes, an operator) says that what was found is real: no lesson is drawn from it.
    pub fn confirm(&mut self) {
        for rail in &mut self.rails {
            rail.pending = None;
        }
    }

    /// The next step: its time in seconds since the Unix epoch (UTC hours make the season), what was counted in it, and for which
    /// part of it counting worked, from 0 to 1. A step without exposure, or whose count is not a number, is no health and no
    /// trouble: nothing is learnt and the evidence stays. Times must not go back.
    pub fn step(&mut self, time: f64, count: f64, exposure: f64) -> Step {
        if count.is_nan() || exposure.is_nan() || exposure <= 0.0 || !time.is_finite() {
            return self.shown(None, None, [None; 2], time);
        }
        let (count, exposure) = (count.clamp(0.0, 1e15), exposure.min(1.0));
        let mut events = self.bridge(time);
        if let Some(warm) = &mut self.warm {
            warm.push(count / exposure);
            let enough = ((7_200.0 / self.settings.step_s) as usize).max(6);
            if warm.len() < enough {
                return self.shown(None, None, events, time);
            }
            // The interquartile mean: one spike cannot poison it.
            warm.sort_by(f64::total_cmp);
            let (n, quarter) = (warm.len(), warm.len() / 4);
            let middle = warm[quarter..n - quarter].iter().sum::<f64>() / (n - 2 * quarter) as f64;
            let mean = middle.max(LEAST);
            self.whole = Mean {
                sum: mean * n as f64,
                exposure: n as f64,
            };
            self.warm = None;
            let mut shown = self.shown(Some(mean), None, events, time);
            shown.state = State::Learning;
            return shown;
        }
        let level = (self.level.sum / self.level.exposure).clamp(0.33, 3.0);
        let hours = hour_of_week(time);
        let unfloored = self.season(hours) * level * exposure;
        let expected = unfloored.max(LEAST * exposure);
        let young = 1.5 * self.youth_4;
        let dispersion = (self.dispersion.sum / self.dispersion.exposure).max(0.005) + self.youth;
        let r = 1.0 / dispersion;
        self.smooth_count += (count - self.smooth_count) / 3.0;
        self.smooth_expected += (expected - self.smooth_expected) / 3.0;
        let above = (self.smooth_count + 1.0) / (self.smooth_expected + 1.0);
        let ordinary = self.ordinary(expected, young, dispersion);
        let mut first_guard = GUARD;
        for (rail, event) in self.rails.iter_mut().zip(&mut events) {
            // A floor under what is expected would look like a silence in a series that is nearly always zero.
            let expected = match rail.side {
                Side::Up => expected,
                Side::Down => unfloored.max(1e-9),
            };
            let bound = rail.bound(expected, young);
            if rail.side == Side::Up || self.settings.sides == Sides::Down {
                first_guard = rail.guard + young;
            }
            rail.learn(time, self.settings.lessons);
            let keep = if rail.lessons < MANY {
                self.keep.guard
            } else {
                self.keep.guard_after_many
            };
            rail.guard = GUARD + (rail.guard - GUARD) * keep;
            rail.add(time, count, bound, expected, r);
            let ratio = if rail.side == Side::Up { above } else { 1.0 / above };
            // After a gap nothing opens in the same step: one step alone is never enough.
            *event = event.or(rail.judge(time, count, bound, r, ratio));
        }
        if events
            .iter()
            .any(|event| matches!(event, Some(Event::Regime { .. })))
        {
            self.relearn();
        }
        self.learn(hours, count, exposure, expected, first_guard, dispersion);
        self.shown(Some(expected), Some(ordinary), events, time)
    }

    /// Data that stopped for long: an incident that was open ends where the data did, and evidence that was building is no evidence
    /// any more. After [`STRANGER_S`](self) the series is learnt anew.
    fn bridge(&mut self, time: f64) -> [Option<Event>; 2] {
        let mut events = [None; 2];
        let Some(last) = self.last.replace(time) else {
            return events;
        };
        let gap = time - last;
        if gap <= GAP_S.max(10.0 * self.settings.step_s) {
            return events;
        }
        for (rail, event) in self.rails.iter_mut().zip(&mut events) {
            if rail.open_since.is_some() {
                rail.close(last);
                *event = Some(Event::Gap { side: rail.side });
            } else if rail.log_evidence > 0.5 * rail.threshold {
                rail.reset();
            }
        }
        if gap > STRANGER_S.max(100.0 * self.settings.step_s) {
            self.relearn();
        }
        events
    }

    fn relearn(&mut self) {
        self.warm = Some(Vec::new());
        for cell in self.weekly.iter_mut().chain(&mut self.daily) {
            cell.sum *= 0.02;
            cell.exposure *= 0.02;
        }
        self.level = Mean {
            sum: LEVEL_PRIOR,
            exposure: LEVEL_PRIOR,
        };
    }

    /// The rate of a step at this time of the week, between the centres of the two nearest hours.
    #[inline]
    fn season(&self, hours: f64) -> f64 {
        let cell = (hours as usize).min(167);
        let within = hours - cell as f64;
        let prior = HOUR / self.settings.step_s;
        let whole = self.whole.sum / self.whole.exposure;
        let rate = |cell: usize| {
            let (week, day) = (&self.weekly[cell], &self.daily[cell % 24]);
            let daily = (day.sum + prior * whole) / (day.exposure + prior);
            (week.sum + prior * daily) / (week.exposure + prior)
        };
        if within < 0.5 {
            rate(cell) * (0.5 + within) + rate((cell + 167) % 168) * (0.5 - within)
        } else {
            rate(cell) * (1.5 - within) + rate((cell + 1) % 168) * (within - 0.5)
        }
    }

    fn ordinary(&self, expected: f64, young: f64, dispersion: f64) -> (f64, f64) {
        let spread = |mean: f64| 3.0 * (mean + dispersion * mean * mean).sqrt();
        let guard = self.rails.iter().map(|rail| rail.guard).fold(GUARD, f64::max) + young;
        let (low, high) = (expected / guard, expected * guard);
        ((low - spread(low)).max(0.0), high + spread(high))
    }

    /// Learns from a step, unless an incident is open or the evidence is half way; what stands out counts only up to a limit.
    #[inline]
    fn learn(&mut self, hours: f64, count: f64, exposure: f64, expected: f64, guard: f64, dispersion: f64) {
        if self.rails.iter().any(|rail| rail.open_since.is_some()) {
            return;
        }
        if self
            .rails
            .iter()
            .all(|rail| rail.log_evidence < 0.5 * rail.threshold)
        {
            let bound = expected * guard;
            let count = if self.age * self.settings.step_s > DAY {
                count.min(bound + 4.0 * (bound + dispersion * bound * bound).sqrt() + 2.0)
            } else {
                count
            };
            let cell = (hours as usize).min(167);
            self.weekly[cell].add(self.keep.weekly_cell, count, exposure);
            self.daily[cell % 24].add(self.keep.daily_cell, count, exposure);
            self.whole.add(self.keep.daily, count, exposure);
            let season = self.season(hours) * exposure;
            let prior = LEVEL_PRIOR * (1.0 - self.keep.level);
            self.level
                .add(self.keep.level, count + prior, season.max(LEAST) + prior);
            let weight = expected.min(1.0);
            let moment = ((count - expected) * (count - expected) - expected)
                .max(-expected)
                .min(25.0 * expected * expected + 25.0);
            let scale = expected.max(0.5);
            self.dispersion
                .add(self.keep.daily, moment / (scale * scale) * weight, weight);
        }
        self.age += 1.0;
        // Kept from becoming so small that the processor slows down.
        self.youth = (self.youth * self.keep.youth).max(1e-60);
        self.youth_4 = (self.youth_4 * self.keep.youth_4).max(1e-60);
    }

    fn shown(
        &self,
        expected: Option<f64>,
        ordinary: Option<(f64, f64)>,
        events: [Option<Event>; 2],
        time: f64,
    ) -> Step {
        let log_of = |side| {
            let rail = self.rails.iter().find(|rail| rail.side == side);
            rail.map_or(NOTHING, |rail| rail.log_evidence)
        };
        let any = |is: &dyn Fn(&Rail) -> bool| self.rails.iter().any(is);
        let state = match () {
            () if any(&|rail| rail.open_since.is_some() && rail.clear_since.is_none()) => State::Confirmed,
            () if any(&|rail| rail.open_since.is_some()) => State::Recovering,
            () if self.warm.is_some() => State::Learning,
            () if any(&|rail| rail.log_evidence >= 0.5 * rail.threshold) => State::Suspected,
            () if any(&|rail| rail.ended.is_some_and(|at| time - at < LINK_S)) => State::Resolved,
            () => State::Normal,
        };
        Step {
            expected,
            ordinary,
            log_up: log_of(Side::Up),
            log_down: log_of(Side::Down),
            score: self.rails.iter().map(Rail::score).fold(0.0, f64::max),
            state,
            events,
        }
    }

    /// Logarithm of the threshold that the evidence of a side must reach; `None` for a side that is not watched.
    pub fn threshold(&self, side: Side) -> Option<f64> {
        let rail = self.rails.iter().find(|rail| rail.side == side);
        rail.map(|rail| rail.threshold)
    }

    /// Evidence that the rate is normal again while an incident of this side is open, as odds; `None` where none is open.
    pub fn end_evidence(&self, side: Side) -> Option<f64> {
        let rail = self.rails.iter().find(|rail| rail.side == side)?;
        rail.open_since.map(|_| rail.end_evidence.exp())
    }

    /// The largest guard now: [`GUARD`](self) unless lessons raised it.
    pub fn guard(&self) -> f64 {
        self.rails.iter().map(|rail| rail.guard).fold(GUARD, f64::max)
    }

    /// All that it knows, as bytes: a detector loaded from them gives the same results to the last bit.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer(SAVED.to_vec());
        let s = &self.settings;
        let sides = [Sides::Up, Sides::Down, Sides::Both];
        let side = sides.iter().position(|side| *side == s.sides).unwrap_or(0);
        out.all(&[
            s.step_s,
            s.budget_per_day,
            side as f64,
            f64::from(u8::from(s.lessons)),
        ]);
        for mean in self
            .weekly
            .iter()
            .chain(&self.daily)
            .chain([&self.whole, &self.level, &self.dispersion])
        {
            out.all(&[mean.sum, mean.exposure]);
        }
        out.all(&[
            self.age,
            self.youth,
            self.youth_4,
            self.smooth_count,
            self.smooth_expected,
        ]);
        out.maybe(self.last);
        for rail in &self.rails {
            for size in &rail.sizes {
                out.all(&[size.evidence, size.cusum, size.onset, size.behind]);
            }
            out.all(&[
                f64::from(u8::from(rail.is_large)),
                rail.log_evidence,
                rail.guard,
                rail.end_evidence,
                rail.better_since,
                rail.peak,
                rail.lessons,
            ]);
            out.maybe(rail.open_since);
            out.maybe(rail.clear_since);
            out.maybe(rail.ended);
            out.maybe(rail.pending.map(|(at, _)| at));
            out.maybe(rail.pending.map(|(_, peak)| peak));
        }
        let warm = self.warm.as_deref();
        out.maybe(warm.map(|warm| warm.len() as f64));
        out.all(warm.unwrap_or_default());
        out.0
    }

    /// A detector from saved bytes; `None` where they are not such.
    pub fn load(saved: &[u8]) -> Option<Surge> {
        let mut from = Reader(saved.strip_prefix(SAVED.as_slice())?);
        let (step_s, budget_per_day) = (from.one()?, from.one()?);
        let sides = *[Sides::Up, Sides::Down, Sides::Both].get(from.one()? as usize)?;
        let lessons = from.one()? != 0.0;
        if !(step_s.is_finite() && budget_per_day.is_finite()) {
            return None;
        }
        let mut surge = Surge::new(Settings {
            step_s,
            sides,
            budget_per_day,
            lessons,
        });
        for mean in surge.weekly.iter_mut().chain(&mut surge.daily).chain([
            &mut surge.whole,
            &mut surge.level,
            &mut surge.dispersion,
        ]) {
            (mean.sum, mean.exposure) = (from.one()?, from.one()?);
        }
        for value in [
            &mut surge.age,
            &mut surge.youth,
            &mut surge.youth_4,
            &mut surge.smooth_count,
            &mut surge.smooth_expected,
        ] {
            *value = from.one()?;
        }
        surge.last = from.maybe()?;
        for rail in &mut surge.rails {
            for size in &mut rail.sizes {
                for value in [
                    &mut size.evidence,
                    &mut size.cusum,
                    &mut size.onset,
                    &mut size.behind,
                ] {
                    *value = from.one()?;
                }
            }
            rail.is_large = from.one()? != 0.0;
            for value in [
                &mut rail.log_evidence,
                &mut rail.guard,
                &mut rail.end_evidence,
                &mut rail.better_since,
                &mut rail.peak,
                &mut rail.lessons,
            ] {
                *value = from.one()?;
            }
            rail.open_since = from.maybe()?;
            rail.clear_since = from.maybe()?;
            rail.ended = from.maybe()?;
            rail.pending = from.maybe()?.zip(from.maybe()?);
        }
        surge.warm = match from.maybe()? {
            Some(length) => {
                let mut warm = Vec::new();
                for _ in 0..length.min(1e6) as usize {
                    warm.push(from.one()?);
                }
                Some(warm)
            }
            None => None,
        };
        from.0.is_empty().then_some(surge)
    }
}

/// Numbers as bytes, little end first.
struct Writer(Vec<u8>);

impl Writer {
    fn all(&mut self, values: &[f64]) {
        for value in values {
            self.0.extend(value.to_le_bytes());
        }
    }

    /// Not a number stands for none.
    fn maybe(&mut self, value: Option<f64>) {
        self.all(&[value.unwrap_or(f64::NAN)]);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn one(&mut self) -> Option<f64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*first))
    }

    fn maybe(&mut self) -> Option<Option<f64>> {
        self.one().map(|value| (!value.is_nan()).then_some(value))
    }
}
