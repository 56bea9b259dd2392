//! A series through the change detector: a judgement of each row, and the incidents.

use detect::novelty::Novelty;
use detect::surge::{Event, LINK_S, Settings, Side, Sides, State, Surge};

use crate::series::Series;

/// Steps after which a metric that stays outside its old range is the new normal.
const METRIC_MAX: usize = 300;
/// Steps in a row inside the old range that end an incident of a metric.
const METRIC_HOLD: usize = 6;
/// Before anything is told of a metric: so many steps, and a day (until then each hour is new) or so many more.
const METRIC_LEARNS: usize = 40;
const METRIC_LEARNS_S: f64 = 86_400.0;
const METRIC_LEARNS_MAX: usize = 2_000;
/// The steps that the constants of the metric detector are made for.
const METRIC_STEP_S: f64 = 300.0;
/// The score of an alarm of a metric.
pub(crate) const METRIC_ALARM: f64 = 0.5;

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Metric,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Count => "count",
            Kind::Metric => "metric",
        }
    }
}

/// How series are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// `None` looks at the values.
    pub(crate) kind: Option<Kind>,
    pub(crate) sides: Sides,
    /// False incidents allowed a day.
    pub(crate) budget_per_day: f64,
    /// `None` takes the usual distance of the rows.
    pub(crate) step_s: Option<f64>,
}

/// What is thought of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) expected: Option<f64>,
    pub(crate) ordinary: Option<(f64, f64)>,
    pub(crate) score: f64,
    pub(crate) state: &'static str,
}

/// One time that it went wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wave {
    pub(crate) side: Side,
    /// Since when, seconds.
    pub(crate) onset: f64,
    /// When it was told.
    pub(crate) detected: f64,
    /// Until when; `None` where it runs when the data ends.
    pub(crate) end: Option<f64>,
    /// How it ended.
    pub(crate) how: &'static str,
    /// Row of the value that was farthest off.
    pub(crate) peak: usize,
    /// Sum of what was above the expected counts (below them, in a silence); for a metric, of the peak alone.
    pub(crate) excess: f64,
    /// Natural logarithm of the strongest evidence; `None` for a metric.
    pub(crate) log_evidence: Option<f64>,
}

/// Waves that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) waves: Vec<Wave>,
    /// Expected number of such incidents by chance in a year, if the baseline is right; `None` for a metric, of which that is not known.
    pub(crate) by_chance_a_year: Option<f64>,
}

impl Incident {
    pub(crate) fn onset(&self) -> f64 {
        self.waves[0].onset
    }

    pub(crate) fn end(&self) -> Option<f64> {
        self.waves.last().and_then(|wave| wave.end)
    }

    /// The wave with the largest excess.
    pub(crate) fn worst(&self) -> &Wave {
        self.waves.iter().fold(&self.waves[0], |worst, wave| {
            if wave.excess > worst.excess { wave } else { worst }
        })
    }
}

/// A judged series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detection {
    pub(crate) series: Series,
    pub(crate) kind: Kind,
    pub(crate) step_s: f64,
    pub(crate) rows: Vec<Judged>,
    pub(crate) incidents: Vec<Incident>,
    /// Guard at the end, for counts: above 1.25 it has learnt from incidents that nothing confirmed.
    pub(crate) guard: Option<f64>,
    /// Logarithms of the thresholds for a surge and for a silence, for counts.
    pub(crate) log_thresholds: (Option<f64>, Option<f64>),
}

/// Judges a series.
///
/// # Errors
///
/// A value that cannot be one of the kind that was asked for, with its line.
pub(crate) fn judge(series: Series, how: &How) -> Result<Detection, String> {
    let looks = if series.looks_counted() {
        Kind::Count
    } else {
        Kind::Metric
    };
    let kind = how.kind.unwrap_or(looks);
    let step_s = how.step_s.unwrap_or_else(|| series.usual_step());
    match kind {
        Kind::Count => counts(series, step_s, how),
        Kind::Metric => Ok(metric(series, step_s, how)),
    }
}

fn counts(mut series: Series, step_s: f64, how: &How) -> Result<Detection, String> {
    if let Some(row) = series.rows.iter().find(|row| row.value < 0.0) {
        return Err(format!(
            "{}: line {}: {} is no count (--kind metric takes any number)",
            series.name, row.line, row.value
        ));
    }
    let mut surge = Surge::new(Settings {
        step_s,
        sides: how.sides,
        budget_per_day: how.budget_per_day,
        lessons: true,
    });
    let threshold = |side: Side| surge.threshold(side);
    let (log_up, log_down) = (threshold(Side::Up), threshold(Side::Down));
    let mut rows: Vec<Judged> = Vec::with_capacity(series.rows.len());
    let mut waves: Vec<Wave> = Vec::new();
    let mut repeated = Vec::new();
    let mut before = f64::NEG_INFINITY;
    for at in 0..series.rows.len() {
        let row = &series.rows[at];
        let (time, value) = (row.time, row.value);
        if time <= before {
            repeated.push(row.line);
            rows.push(Judged {
                expected: None,
                ordinary: None,
                score: rows.last().map_or(0.0, |row| row.score),
                state: "repeated",
            });
            continue;
        }
        before = time;
        let step = surge.step(time, value, 1.0);
        rows.push(Judged {
            expected: step.expected,
            ordinary: step.ordinary,
            score: step.score,
            state: if value.is_nan() {
                "missing"
            } else {
                step.state.name()
            },
        });
        for event in step.events.into_iter().flatten() {
            let (side, end, how) = match event {
                Event::Open { side, onset } => {
                    waves.push(Wave {
                        side,
                        onset,
                        detected: time,
                        end: None,
                        how: "",
                        peak: at,
                        excess: 0.0,
                        log_evidence: None,
                    });
                    continue;
                }
                Event::Close { side, end } => (side, end, "recovered"),
                Event::Regime { side } => (side, time, "became the new normal"),
                Event::Gap { side } => {
                    let last = at.checked_sub(1).map_or(time, |last| series.rows[last].time);
                    (side, last, "the data stopped")
                }
            };
            let open = waves
                .iter_mut()
                .rfind(|wave| wave.side == side && wave.how.is_empty());
            if let Some(wave) = open {
                (wave.end, wave.how) = (Some(end), how);
            }
        }
        for wave in waves.iter_mut().filter(|wave| wave.how.is_empty()) {
            let log = if wave.side == Side::Up {
                step.log_up
            } else {
                step.log_down
            };
            wave.log_evidence = Some(wave.log_evidence.map_or(log, |most| most.max(log)));
        }
    }
    if let Some(first) = repeated.first() {
        series.faults.push(format!(
            "line {first}: a time that was there before; the first row of a time counts ({} left out)",
            repeated.len()
        ));
    }
    for wave in &mut waves {
        if wave.how.is_empty() {
            wave.how = "still there when the data ends";
        }
        measure(wave, &series, &rows);
    }
    // Evidence of size x comes by chance once in x steps at most.
    let year_steps = 365.0 * 86_400.0 / step_s;
    let incidents = linked(waves)
        .into_iter()
        .map(|waves| {
            let log = waves
                .iter()
                .filter_map(|wave| wave.log_evidence)
                .fold(0.0, f64::max);
            Incident {
                by_chance_a_year: Some((year_steps.ln() - log).exp()),
                waves,
            }
        })
        .collect();
    Ok(Detection {
        kind: Kind::Count,
        step_s,
        rows,
        incidents,
        guard: Some(surge.guard()),
        log_thresholds: (log_up, log_down),
        series,
    })
}

/// Peak and excess of a wave, from its rows.
fn measure(wave: &mut Wave, series: &Series, rows: &[Judged]) {
    let first = series.rows.partition_point(|row| row.time < wave.onset);
    let last = wave.end.map_or(series.rows.len(), |end| {
        series.rows.partition_point(|row| row.time < end)
    });
    let mut most = f64::NEG_INFINITY;
    let during = series.rows.iter().zip(rows).enumerate();
    for (at, (row, judged)) in during.take(last.max(first + 1)).skip(first) {
        let value = row.value;
        let Some(expected) = judged.expected.filter(|_| !value.is_nan()) else {
            continue;
        };
        let off = match wave.side {
            Side::Up => value - expected,
            Side::Down => expected - value,
        };
        wave.excess += off;
        if off > most {
            (most, wave.peak) = (off, at);
        }
    }
}

/// Waves of one side that follow each other closely are one incident.
fn linked(waves: Vec<Wave>) -> Vec<Vec<Wave>> {
    let mut incidents: Vec<Vec<Wave>> = Vec::new();
    for wave in waves {
        let belongs = |incident: &Vec<Wave>| {
            let last = &incident[incident.len() - 1];
            last.side == wave.side && last.end.is_none_or(|end| wave.onset - end < LINK_S)
        };
        match incidents.iter_mut().rfind(|incident| belongs(incident)) {
            Some(incident) => incident.push(wave),
            None => incidents.push(vec![wave]),
        }
    }
    incidents
}

fn metric(series: Series, step_s: f64, how: &How) -> Detection {
    // The score is that of the algorithm as it is published. Its constants are made for steps of minutes: where steps are shorter,
    // incidents are judged by one that remembers for as many days.
    let pace = METRIC_STEP_S / step_s;
    let mut novelty = Novelty::new();
    let mut paced = (pace > 1.5).then(|| Novelty::paced(pace));
    let (max, hold) = ((METRIC_MAX as f64 * pace.max(1.0)) as usize, METRIC_HOLD);
    let mut rows = Vec::with_capacity(series.rows.len());
    let mut waves: Vec<Wave> = Vec::new();
    // The range in which the series was before the wave, its opening row and the rows inside the range since.
    let mut open: Option<((f64, f64), usize, usize)> = None;
    let first = series.rows.first().map_or(0.0, |row| row.time);
    let learns =
        |at: usize, time: f64| at < METRIC_LEARNS || at < METRIC_LEARNS_MAX && time - first < METRIC_LEARNS_S;
    for (at, row) in series.rows.iter().enumerate() {
        let minute = (row.time / 60.0).floor().rem_euclid(1_440.0);
        let (up, down) = (how.sides != Sides::Down, how.sides != Sides::Up);
        let published = novelty.step_toward(minute, row.value, up, down);
        let novel = paced
            .as_mut()
            .map_or(published, |paced| paced.step_toward(minute, row.value, up, down));
        // While it learns, every value is a record.
        if novel.score >= METRIC_ALARM
            && !learns(at, row.time)
            && let Some((low, high)) = novel.range
        {
            match (&mut open, waves.last_mut()) {
                // It became clearly worse.
                (Some((_, _, inside)), Some(_)) => *inside = 0,
                _ => {
                    open = Some(((low, high), at, 0));
                    waves.push(Wave {
                        side: novel.side,
                        onset: row.time,
                        detected: row.time,
                        end: None,
                        how: "still there when the data ends",
                        peak: at,
                        excess: 0.0,
                        log_evidence: None,
                    });
                }
            }
        }
        let mut state = if learns(at, row.time) {
            State::Learning
        } else {
            State::Normal
        };
        if let (Some(((low, high), since, inside)), Some(wave)) = (&mut open, waves.last_mut()) {
            let off = (row.value - *high).max(*low - row.value);
            if off > wave.excess {
                (wave.excess, wave.peak) = (off, at);
            }
            *inside = if off > 0.0 || row.value.is_nan() {
                0
            } else {
                *inside + 1
            };
            state = if *inside > 0 {
                State::Recovering
            } else {
                State::Confirmed
            };
            if *inside >= hold {
                let end = at + 1 - *inside;
                (wave.end, wave.how) = (Some(series.rows[end].time), "recovered");
                open = None;
            } else if at - *since >= max {
                (wave.end, wave.how) = (Some(row.time), "became the new normal");
                open = None;
            }
        }
        rows.push(Judged {
            expected: novel.expected,
            ordinary: novel.range,
            score: published.score,
            state: if row.value.is_nan() {
                "missing"
            } else {
                state.name()
            },
        });
    }
    Detection {
        kind: Kind::Metric,
        step_s,
        rows,
        incidents: linked(waves)
            .into_iter()
            .map(|waves| Incident {
                waves,
                by_chance_a_year: None,
            })
            .collect(),
        guard: None,
        log_thresholds: (None, None),
        series,
    }
}
