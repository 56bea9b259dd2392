//! `fixtures/surge` and `fixtures/novelty`: series made by a seeded script, with what the reference implementation of the
//! algorithms (the one their formulas were published with) says of them, to its last digit.

use std::path::{Path, PathBuf};

use detect::novelty::Novelty;
use detect::surge::{Event, Settings, Side, Sides, State, Surge};

fn fixture(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(',')
        .map(|field| field.parse().unwrap_or(f64::NAN))
        .collect()
}

/// Step in seconds, and time, count and exposure of each row.
fn counts(name: &str) -> (f64, Vec<[f64; 3]>) {
    let text = fixture(&format!("surge/{name}.csv"));
    let step = text
        .lines()
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let rows = text
        .lines()
        .skip(2)
        .map(|line| numbers(line).try_into().unwrap())
        .collect();
    (step, rows)
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[test]
fn counts_agree_with_the_reference_to_nine_digits() {
    for name in ["waves", "quiet", "regime"] {
        let (step_s, rows) = counts(name);
        let mut surge = Surge::new(Settings::new(step_s));
        let expected = fixture(&format!("surge/{name}.expected"));
        let mut expected = expected.lines().skip(1).peekable();
        let mut compared = 0;
        for (row, &[time, count, exposure]) in rows.iter().enumerate() {
            let step = surge.step(time, count, exposure);
            let Some(line) = expected.next_if(|line| line.split(',').next() == Some(&row.to_string())) else {
                assert_eq!(step.events, [None; 2], "{name} row {row}");
                continue;
            };
            let fields: Vec<&str> = line.split(',').collect();
            match fields[1].parse::<f64>() {
                Ok(theirs) => {
                    let ours = step.expected.unwrap();
                    assert!(
                        close(ours, theirs),
                        "{name} row {row}: expected {ours}, not {theirs}"
                    );
                }
                Err(_) => assert_eq!(step.expected, None, "{name} row {row}"),
            }
            let theirs: f64 = fields[2].parse().unwrap();
            assert!(
                close(step.log_up, theirs),
                "{name} row {row}: evidence {} instead of {theirs}",
                step.log_up
            );
            let event = match step.events[0] {
                None => "",
                Some(Event::Open { .. }) => "open",
                Some(Event::Close { .. }) => "close",
                Some(Event::Regime { .. }) => "regime",
                Some(Event::Gap { .. }) => "gap",
            };
            assert_eq!(event, fields[3], "{name} row {row}");
            compared += 1;
        }
        assert!(compared > 800, "{name}: only {compared} rows");
        assert_eq!(expected.next(), None);
    }
}

#[test]
fn metrics_agree_with_the_reference_to_nine_digits() {
    let mut novelty = Novelty::new();
    let expected = fixture("novelty/latency.expected");
    let mut expected = expected.lines().skip(1).map(numbers).peekable();
    for (row, line) in fixture("novelty/latency.csv").lines().skip(1).enumerate() {
        let [minute, value] = numbers(line)[..] else {
            panic!("{line}")
        };
        let score = novelty.step(minute, value).score;
        let theirs = expected
            .next_if(|line| line[0] == row as f64)
            .map_or(0.0, |line| line[1]);
        assert!(close(score, theirs), "row {row}: {score} instead of {theirs}");
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn a_saved_detector_goes_on_as_if_nothing_had_been() {
    for sides in [Sides::Up, Sides::Both] {
        let (step_s, rows) = counts("waves");
        let mut whole = Surge::new(Settings {
            sides,
            ..Settings::new(step_s)
        });
        let mut pieces = whole.clone();
        for (row, &[time, count, exposure]) in rows.iter().enumerate() {
            // While it learns, in the middle, and while an incident is open.
            if [50, 7_000, 11_905].contains(&row) {
                let saved = pieces.save();
                assert!(saved.len() < 5_000, "{}", saved.len());
                pieces = Surge::load(&saved).unwrap();
                assert_eq!(Surge::load(&saved[..saved.len() - 1]), None);
                assert_eq!(Surge::load(&[&saved[..], &[0]].concat()), None);
            }
            // `NOTHING` has no unknown in it, so steps can be compared.
            assert_eq!(
                pieces.step(time, count, exposure),
                whole.step(time, count, exposure),
                "row {row}"
            );
        }
    }
    let mut whole = Novelty::new();
    let mut pieces = Novelty::new();
    for (row, line) in fixture("novelty/latency.csv").lines().skip(1).enumerate() {
        let [minute, value] = numbers(line)[..] else {
            panic!("{line}")
        };
        if row % 701 == 0 {
            let saved = pieces.save();
            pieces = Novelty::load(&saved).unwrap();
            assert_eq!(Novelty::load(&saved[..saved.len() - 1]), None);
        }
        assert_eq!(pieces.step(minute, value), whole.step(minute, value), "row {row}");
    }
    assert_eq!(Novelty::load(b"nonsense"), None);
    assert_eq!(Surge::load(b"EPCSURG1"), None);
}

/// Counts of Poisson kind without randomness: the same small pattern each hour.
fn steady(row: usize) -> f64 {
    [9.0, 12.0, 10.0, 8.0, 11.0, 13.0, 7.0, 10.0][row * 5 % 8]
}

#[test]
fn a_silence_is_found_dated_and_ends() {
    let mut surge = Surge::new(Settings {
        sides: Sides::Both,
        ..Settings::new(60.0)
    });
    let mut events = Vec::new();
    for row in 0..10_000 {
        let time = row as f64 * 60.0;
        let count = if (8_000..8_200).contains(&row) {
            0.0
        } else {
            steady(row)
        };
        let step = surge.step(time, count, 1.0);
        events.extend(step.events.into_iter().flatten().map(|event| (row, event)));
    }
    let [
        (
            opened,
            Event::Open {
                side: Side::Down,
                onset,
            },
        ),
        (
            closed,
            Event::Close {
                side: Side::Down,
                end,
            },
        ),
    ] = events[..]
    else {
        panic!("{events:?}")
    };
    assert!((8_000..8_006).contains(&opened), "{opened}");
    assert_eq!(onset, 8_000.0 * 60.0);
    assert!((8_205..8_220).contains(&closed), "{closed}");
    assert_eq!(end, 8_200.0 * 60.0);
}

#[test]
fn missing_data_is_no_silence_and_a_gap_raises_nothing() {
    for gap in [3_600.0f64, 86_400.0 * 3.0, 86_400.0 * 365.0 * 40.0] {
        for missing_rows in [false, true] {
            let mut surge = Surge::new(Settings {
                sides: Sides::Both,
                ..Settings::new(60.0)
            });
            let mut time = 0.0;
            for row in 0..6_000 {
                time += 60.0;
                if row == 4_000 {
                    // Rows without data, or no rows at all.
                    let rows = if missing_rows { 500 } else { 0 };
                    for n in 0..rows {
                        let count = if n % 2 == 0 { f64::NAN } else { 0.0 };
                        let step = surge.step(time + 60.0 * f64::from(n), count, 0.0);
                        assert_eq!(step.events, [None; 2]);
                    }
                    time += gap.max(500.0 * 60.0);
                }
                let step = surge.step(time, steady(row), 1.0);
                assert_eq!(step.events, [None; 2], "gap {gap} row {row}");
            }
        }
    }
}

#[test]
fn an_incident_that_the_data_leaves_ends_where_the_data_did() {
    let mut surge = Surge::new(Settings::new(60.0));
    for row in 0..5_000 {
        surge.step(row as f64 * 60.0, steady(row), 1.0);
    }
    let mut opened = false;
    for row in 5_000..5_010 {
        opened |= surge.step(row as f64 * 60.0, 500.0, 1.0).events[0].is_some();
    }
    assert!(opened);
    let step = surge.step(5_010.0 * 60.0 + 40.0 * 365.0 * 86_400.0, 10.0, 1.0);
    assert_eq!(step.events[0], Some(Event::Gap { side: Side::Up }));
    assert_eq!(step.state, State::Learning);
}

#[test]
fn lessons_are_drawn_unless_another_rail_confirms() {
    let run = |confirm: bool| {
        let mut surge = Surge::new(Settings::new(60.0));
        for row in 0..6_000 {
            let count = if (5_000..5_030).contains(&row) {
                100.0
            } else {
                steady(row)
            };
            surge.step(row as f64 * 60.0, count, 1.0);
            if confirm && row == 5_100 {
                surge.confirm();
            }
        }
        surge.guard()
    };
    assert!(run(false) > 3.5, "{}", run(false));
    assert_eq!(run(true), 1.25);
}

#[test]
fn any_number_is_taken() {
    let wild = [
        0.0,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        1e15,
        3.7,
    ];
    let mut surge = Surge::new(Settings {
        sides: Sides::Both,
        ..Settings::new(f64::NAN)
    });
    let mut novelty = Novelty::new();
    for n in 0..20_000usize {
        let (a, b) = (wild[n * 7 % wild.len()], wild[n * 5 % 8]);
        let step = surge.step(n as f64 * 60.0, a, if n % 3 == 0 { b } else { 1.0 });
        assert!((0.0..=1.0).contains(&step.score), "{step:?}");
        surge.step(b, a, 1.0);
        let score = novelty.step(b, a).score;
        assert!((0.0..=1.0).contains(&score), "{score}");
    }
}

#[test]
fn both_sides_are_told_in_the_same_step() {
    // A surge that is open when the data stops, and a silence that opened inside it, both end with the data.
    let mut surge = Surge::new(Settings {
        sides: Sides::Both,
        ..Settings::new(60.0)
    });
    for row in 0..5_000 {
        surge.step(f64::from(row) * 60.0, steady(row as usize), 1.0);
    }
    let mut open = Vec::new();
    for row in 5_000..5_020 {
        let count = if row < 5_008 { 500.0 } else { 0.0 };
        let step = surge.step(f64::from(row) * 60.0, count, 1.0);
        open.extend(step.events.into_iter().flatten());
    }
    assert!(
        matches!(
            open[..],
            [
                Event::Open { side: Side::Up, .. },
                Event::Open { side: Side::Down, .. }
            ]
        ),
        "{open:?}"
    );
    let step = surge.step(5_020.0 * 60.0 + 3.0 * 86_400.0, 10.0, 1.0);
    assert_eq!(
        step.events,
        [
            Some(Event::Gap { side: Side::Up }),
            Some(Event::Gap { side: Side::Down })
        ]
    );
}
