//! How often is the change detector wrong, and how late? Simulated services with known truth: nothing happens in them for years, or
//! something of known size does. Seeded, so that a change of behaviour shows as a changed number in the recorded table.

use std::fmt::Write;

use detect::surge::{Event, Settings, Side, Sides, Surge};
use rand_distr::{Distribution, Gamma, Normal, Poisson};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;
use statrs::distribution::{ChiSquared, ContinuousCDF};

const STEP_S: f64 = 60.0;
const DAY: usize = 1_440;
const YEAR: usize = 365 * DAY;
/// Reports a minute, from a service that hardly anybody uses to one that everybody does.
const BASES: [f64; 7] = [0.02, 0.1, 0.5, 1.0, 10.0, 100.0, 300.0];
const DISPERSIONS: [f64; 3] = [0.0, 0.1, 0.5];

/// How much is simulated.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Service-years in which the model is right.
    right: usize,
    /// Service-years for each way in which it is wrong.
    wrong: usize,
    /// Runs for each size of outage.
    runs: usize,
}

impl Size {
    pub(crate) const FULL: Size = Size {
        right: 1_050,
        wrong: 21,
        runs: 100,
    };
    /// For a test that takes seconds.
    pub(crate) const SMALL: Size = Size {
        right: 3,
        wrong: 1,
        runs: 5,
    };
}

/// A service without trouble.
#[derive(Clone, Copy)]
struct Service {
    /// Mean count of a step.
    base: f64,
    dispersion: f64,
    /// Standard deviation and correlation time (hours) of noise in the logarithm of the rate, which the detector does not know.
    noise: (f64, f64),
    /// Ten days in a year that are Sundays in the middle of the week.
    holidays: bool,
    /// An hour without data each day, and ten days without.
    gaps: bool,
    /// Once a day on average, ten minutes of three times the rate, of which the detector does not know.
    bursts: bool,
}

impl Service {
    const fn new(base: f64, dispersion: f64) -> Service {
        Service {
            base,
            dispersion,
            noise: (0.0, 1.0),
            holidays: false,
            gaps: false,
            bursts: false,
        }
    }
}

/// Counts of a service, step after step.
struct Series {
    service: Service,
    random: Pcg64Mcg,
    noise: f64,
    burst_ends: usize,
    phase: f64,
}

impl Series {
    fn new(service: Service, seed: u64) -> Series {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let phase = uniform(&mut random);
        Series {
            service,
            random,
            noise: 0.0,
            burst_ends: 0,
            phase,
        }
    }

    /// Count and exposure of a step, where `factor` times the usual number report.
    fn step(&mut self, step: usize, factor: f64) -> (f64, f64) {
        let s = self.service;
        let day = step / DAY;
        let hour = (step % DAY) as f64 / 60.0;
        let day_of_year = day % 365;
        let is_holiday = s.holidays && day_of_year % 36 == 17;
        let weekend = matches!(day % 7, 5 | 6) || is_holiday;
        if s.gaps && (day_of_year % 100 == 60 || (day_of_year * 7) % 24 == hour as usize) {
            return (0.0, 0.0);
        }
        let season = 1.0 + 0.6 * ((hour - 9.0) / 24.0 * std::f64::consts::TAU).sin();
        let drift = 1.0 + 0.1 * ((day as f64 / 20.0 + self.phase) * std::f64::consts::TAU).sin();
        let mut rate = s.base * season * drift * factor * if weekend { 0.7 } else { 1.0 };
        let (deviation, hours) = s.noise;
        if deviation > 0.0 {
            let keep = (-1.0 / (60.0 * hours)).exp();
            let fresh = Normal::new(0.0, deviation * (1.0 - keep * keep).sqrt())
                .map_or(0.0, |n| n.sample(&mut self.random));
            self.noise = self.noise * keep + fresh;
            rate *= self.noise.exp();
        }
        if s.bursts {
            if step >= self.burst_ends && uniform(&mut self.random) < 1.0 / DAY as f64 {
                self.burst_ends = step + 10;
            }
            if step < self.burst_ends {
                rate *= 3.0;
            }
        }
        if s.dispersion > 0.0 {
            rate = Gamma::new(1.0 / s.dispersion, rate * s.dispersion)
                .map_or(rate, |g| g.sample(&mut self.random));
        }
        let count = Poisson::new(rate).map_or(0.0, |p| p.sample(&mut self.random));
        (count, 1.0)
    }
}

fn uniform(random: &mut Pcg64Mcg) -> f64 {
    use rand_pcg::rand_core::RngCore;
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn settings(sides: Sides) -> Settings {
    Settings {
        sides,
        ..Settings::new(STEP_S)
    }
}

/// False incidents in so many years, by side.
fn false_incidents(service: Service, seed: u64, years: usize, settings: Settings) -> [u64; 2] {
    let mut series = Series::new(service, seed);
    let mut surge = Surge::new(settings);
    let mut found = [0; 2];
    for step in 0..years * YEAR {
        let (count, exposure) = series.step(step, 1.0);
        let events = surge.step(step as f64 * STEP_S, count, exposure).events;
        for event in events.into_iter().flatten() {
            if let Event::Open { side, .. } = event {
                found[side as usize] += 1;
            }
        }
    }
    found
}

/// Runs jobs on all processors; results in the order of the jobs.
fn parallel<T: Send>(jobs: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: std::sync::Mutex<Vec<(usize, T)>> = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if at >= jobs {
                        return;
                    }
                    let result = job(at);
                    let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    results.push((at, result));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The exact 95 % interval of a Poisson rate (Garwood 1936).
fn poisson_interval(events: u64, exposure: f64) -> (f64, f64) {
    let quantile = |freedom: f64, p: f64| ChiSquared::new(freedom).map_or(0.0, |chi| chi.inverse_cdf(p));
    let low = if events == 0 {
        0.0
    } else {
        quantile(2.0 * events as f64, 0.025) / 2.0
    };
    let high = quantile(2.0 * (events + 1) as f64, 0.975) / 2.0;
    (low / exposure, high / exposure)
}

fn false_row(
    out: &mut String,
    name: &str,
    years: usize,
    settings: Settings,
    service: impl Fn(usize) -> Service + Sync,
) {
    let found = parallel(years, |n| false_incidents(service(n), n as u64 + 1, 1, settings));
    let (up, down) = found.iter().fold((0, 0), |sum, f| (sum.0 + f[0], sum.1 + f[1]));
    let (low, high) = poisson_interval(up + down, years as f64);
    let _ = writeln!(
        out,
        "{name:<44} {years:>6} {up:>7} {down:>8}   {:>8.4} [{low:.4}, {high:.4}]",
        (up + down) as f64 / years as f64
    );
}

/// One outage: minutes from its onset to the opening, the last one included; error of the onset in minutes; minutes from its end to
/// the closing. `None` where it was not found within an hour.
fn outage(service: Service, seed: u64, factor: f64, sides: Sides) -> (Option<(f64, f64)>, Option<f64>) {
    let mut series = Series::new(service, seed);
    let mut surge = Surge::new(settings(sides));
    let onset = 22 * DAY + 10 * 60 + (seed as usize * 37) % (9 * 60);
    let end = onset + 60;
    let (mut found, mut closed) = (None, None);
    for step in 0..end + 180 {
        let during = (onset..end).contains(&step);
        let (count, exposure) = series.step(step, if during { factor } else { 1.0 });
        let events = surge.step(step as f64 * STEP_S, count, exposure).events;
        for event in events.into_iter().flatten() {
            match event {
                Event::Open { onset: said, .. } if during && found.is_none() => {
                    found = Some(((step - onset + 1) as f64, said / STEP_S - onset as f64));
                }
                Event::Close { .. } if step >= end && closed.is_none() => closed = Some((step - end) as f64),
                _ => {}
            }
        }
    }
    (found, closed)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| 0.5 * (values[(n - 1) / 2] + values[n / 2]))
}

fn delay_rows(out: &mut String, size: Size, sides: Sides, bases: &[f64], factors: &[f64]) {
    for &base in bases {
        for &factor in factors {
            let runs = parallel(size.runs, |n| {
                outage(Service::new(base, 0.1), 1_000 + n as u64, factor, sides)
            });
            let found: Vec<(f64, f64)> = runs.iter().filter_map(|(found, _)| *found).collect();
            let of = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
            let mut delays: Vec<f64> = found.iter().map(|(delay, _)| *delay).collect();
            delays.sort_by(f64::total_cmp);
            let late = delays
                .get((delays.len() * 9 / 10).min(delays.len().saturating_sub(1)))
                .copied();
            let _ = writeln!(
                out,
                "{base:>6} {factor:>6} {:>5}/{:<5} {:>7} {:>7} {:>9} {:>8}",
                found.len(),
                runs.len(),
                of(median(delays)),
                of(late),
                of(median(found.iter().map(|(_, error)| error.abs()).collect())),
                of(median(runs.iter().filter_map(|(_, closed)| *closed).collect())),
            );
        }
    }
}

/// The waves of 10 March 2025 (minutes of the day, UTC, and how many times the usual number reported at most).
const WAVES: [(usize, usize, f64); 3] = [(585, 45, 30.0), (820, 90, 60.0), (1_010, 150, 40.0)];

/// Minutes after its beginning at which each wave was found (0 where the wave before was still open), and whether all are linked.
fn waves(base: f64, seed: u64, rise: f64) -> ([Option<f64>; 3], bool) {
    let mut series = Series::new(Service::new(base, 0.1), seed);
    let mut surge = Surge::new(settings(Sides::Up));
    let day = 28;
    let mut found = [None; 3];
    let (mut open, mut ended, mut linked) = (false, None, true);
    for step in 0..(day + 1) * DAY {
        let minute = step as i64 - (day * DAY) as i64;
        let factor = WAVES
            .iter()
            .filter_map(|&(begin, length, peak)| {
                let into = minute - begin as i64;
                // Up within so many minutes, and slowly down.
                (0..length as i64).contains(&into).then(|| {
                    1.0 + (peak - 1.0)
                        * ((into + 1) as f64 / rise).min(1.0)
                        * (-(into as f64) / length as f64).exp()
                })
            })
            .fold(1.0, f64::max);
        let (count, exposure) = series.step(step, factor);
        let time = step as f64 * STEP_S;
        match surge.step(time, count, exposure).events[0] {
            Some(Event::Open { side: Side::Up, .. }) if minute >= 0 => {
                open = true;
                linked &= ended.is_none_or(|at: f64| time - at < detect::surge::LINK_S);
                if let Some(wave) = WAVES.iter().rposition(|wave| minute >= wave.0 as i64) {
                    found[wave] = found[wave].or(Some((minute - WAVES[wave].0 as i64 + 1) as f64));
                }
            }
            Some(Event::Close { .. }) => (open, ended) = (false, Some(time)),
            _ => {}
        }
        if let Some(wave) = WAVES.iter().position(|wave| minute == wave.0 as i64)
            && open
        {
            found[wave] = Some(0.0);
        }
    }
    (found, linked)
}

/// The whole table.
pub(crate) fn table(size: Size) -> String {
    let mut out = String::new();
    let any = |n: usize| {
        Service::new(
            BASES[n % BASES.len()],
            DISPERSIONS[n / BASES.len() % DISPERSIONS.len()],
        )
    };
    let noisy = |deviation, hours| {
        move |n: usize| Service {
            noise: (deviation, hours),
            ..Service::new(BASES[n % BASES.len()], 0.1)
        }
    };
    let _ = writeln!(
        out,
        "Steps of 60 s, a budget of one false incident per service-year, rates of 0.02 to 300 a minute.\n"
    );
    let _ = writeln!(
        out,
        "{:<44} {:>6} {:>7} {:>8}   per service-year [95 % interval]",
        "false incidents", "years", "surges", "silences"
    );
    false_row(
        &mut out,
        "model right, surges",
        size.right,
        settings(Sides::Up),
        any,
    );
    false_row(
        &mut out,
        "model right, both sides",
        size.right / 3,
        settings(Sides::Both),
        any,
    );
    false_row(&mut out, "holidays", size.wrong, settings(Sides::Both), |n| {
        Service {
            holidays: true,
            ..any(n)
        }
    });
    false_row(&mut out, "gaps", size.wrong, settings(Sides::Both), |n| Service {
        gaps: true,
        ..any(n)
    });
    false_row(
        &mut out,
        "bursts of x3 for 10 minutes, daily",
        size.wrong,
        settings(Sides::Up),
        |n| Service {
            bursts: true,
            ..any(n)
        },
    );
    for (deviation, hours) in [(0.2, 1.0), (0.3, 1.0), (0.4, 1.0), (0.5, 1.0), (0.5, 6.0)] {
        false_row(
            &mut out,
            &format!("log-intensity AR(1), sd {deviation}, {hours} h"),
            size.wrong,
            settings(Sides::Up),
            noisy(deviation, hours),
        );
    }
    let unlearned = Settings {
        lessons: false,
        ..settings(Sides::Up)
    };
    false_row(
        &mut out,
        "the same without lessons, sd 0.5, 1 h",
        size.wrong,
        unlearned,
        noisy(0.5, 1.0),
    );
    let head = format!(
        "{:>6} {:>6} {:>11} {:>7} {:>7} {:>9} {:>8}",
        "base", "times", "found/runs", "median", "9 of 10", "onset err", "closed"
    );
    let _ = writeln!(
        out,
        "\nOutages of an hour after 22 days: found within the hour, minutes to opening, error of the onset, minutes to closing\n{head}"
    );
    delay_rows(
        &mut out,
        size,
        Sides::Up,
        &[0.1, 1.0, 10.0, 100.0],
        &[2.0, 3.0, 5.0, 10.0, 30.0],
    );
    let _ = writeln!(
        out,
        "\nSilences of an hour, the same; both sides are watched\n{head}"
    );
    delay_rows(
        &mut out,
        size,
        Sides::Both,
        &[0.1, 1.0, 10.0, 100.0],
        &[0.5, 0.2, 0.0],
    );
    let _ = writeln!(
        out,
        "\nThree waves of a day shaped like 10 March 2025: minutes to opening (median), found, linked to one incident\n{:>6} {:>11} {:>7} {:>7} {:>7} {:>9} {:>9}",
        "base", "rises in", "first", "second", "third", "found", "linked"
    );
    for (base, rise) in [
        (0.5, 1.0),
        (2.0, 1.0),
        (10.0, 1.0),
        (0.5, 5.0),
        (2.0, 5.0),
        (10.0, 5.0),
    ] {
        let runs = parallel(size.runs, |n| waves(base, 5_000 + n as u64, rise));
        let of = |wave: usize| {
            let delays: Vec<f64> = runs.iter().filter_map(|(found, _)| found[wave]).collect();
            median(delays).map_or("-".to_owned(), |value| format!("{value:.1}"))
        };
        let found: usize = runs.iter().map(|(found, _)| found.iter().flatten().count()).sum();
        let linked = runs.iter().filter(|(_, linked)| *linked).count();
        let _ = writeln!(
            out,
            "{base:>6} {:>11} {:>7} {:>7} {:>7} {:>5}/{:<4} {:>4}/{}",
            format!("{rise:.0} min"),
            of(0),
            of(1),
            of(2),
            found,
            3 * runs.len(),
            linked,
            runs.len()
        );
    }
    out
}

/// Steps a second, of one core.
pub(crate) fn speed() -> String {
    let mut series = Series::new(Service::new(1.0, 0.1), 1);
    let counts: Vec<f64> = (0..30 * DAY).map(|step| series.step(step, 1.0).0).collect();
    let mut best = [0.0f64; 2];
    for _ in 0..5 {
        for (slot, sides) in best.iter_mut().zip([Sides::Up, Sides::Both]) {
            let mut surge = Surge::new(settings(sides));
            let mut sum = 0.0;
            let began = std::time::Instant::now();
            for (step, &count) in counts.iter().enumerate() {
                sum += surge.step(step as f64 * STEP_S, count, 1.0).score;
            }
            std::hint::black_box(sum);
            *slot = slot.max(counts.len() as f64 / began.elapsed().as_secs_f64() / 1e6);
        }
    }
    // Ten thousand services, one step of each: what a page of services costs each minute.
    let mut services: Vec<Surge> = (0..10_000).map(|_| Surge::new(settings(Sides::Up))).collect();
    for (step, &count) in counts.iter().take(200).enumerate() {
        for surge in &mut services {
            surge.step(step as f64 * STEP_S, count, 1.0);
        }
    }
    let began = std::time::Instant::now();
    for surge in &mut services {
        std::hint::black_box(surge.step(200.0 * STEP_S, counts[200], 1.0));
    }
    let all = began.elapsed().as_secs_f64() * 1e3;
    let mut novelty = detect::novelty::Novelty::new();
    let began = std::time::Instant::now();
    for (step, &count) in counts.iter().enumerate() {
        std::hint::black_box(novelty.step((step % DAY) as f64, count));
    }
    let metric = counts.len() as f64 / began.elapsed().as_secs_f64() / 1e6;
    format!(
        "million steps a second on one core: surges {:.1}, both sides {:.1}, metrics {metric:.1}; one step of 10,000 services {all:.1} ms",
        best[0], best[1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of behaviour shows as a changed number: look at it, then record it with `bench calibrate small`.
    #[test]
    fn the_small_table_is_the_recorded_one() {
        let recorded = include_str!("../record/calibration-small.txt");
        assert_eq!(table(Size::SMALL), recorded);
    }
}
