//! The library's scenarios of people: what is told, and what is true of it.

use std::collections::BTreeSet;

use atlas::Atlas;
use range::drill::Signals;
use range::truth::Truth;
use range::{Drill, Scenario};
use serde_json::Value;

use crate::scenario;

struct Told {
    reports: Vec<Value>,
    probes: Vec<Value>,
    bytes: Vec<u8>,
    truth: Truth,
}

fn told(name: &str, seed: u64) -> Told {
    let atlas = Atlas::embedded();
    let scenario = Scenario::read(scenario(name), &atlas).unwrap();
    let mut drill = Drill::new(scenario, seed, &atlas).unwrap();
    let mut signals = Signals::default();
    // Packets are tested elsewhere, and are many.
    while drill.second(&mut signals) {
        signals.packets.clear();
    }
    let lines = |bytes: &[u8]| -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let told = Told {
        reports: lines(&signals.reports),
        probes: lines(&signals.probes),
        truth: drill.truth(),
        bytes: [signals.reports, signals.probes].concat(),
    };
    for lines in [&told.reports, &told.probes] {
        assert!(
            lines.is_sorted_by_key(|line| ns(line["at"].as_str().unwrap())),
            "{name}"
        );
    }
    let people = told.truth.people.as_ref().unwrap();
    for service in &people.services {
        let all = told
            .reports
            .iter()
            .filter(|line| line["service"] == service.name)
            .count();
        assert_eq!(service.reports, all as u64);
        assert_eq!(
            service.reports,
            service.base + service.outage + service.neighbour + service.brigade
        );
        assert_eq!(service.reports, service.per_quarter_hour.iter().sum::<u64>());
    }
    told
}

fn ns(text: &str) -> i128 {
    let time: jiff::Timestamp = text.parse().unwrap();
    time.as_nanosecond()
}

/// Lines from a time to before another.
fn between<'a>(lines: &'a [Value], from: &str, to: &str) -> Vec<&'a Value> {
    let times = ns(from)..ns(to);
    lines
        .iter()
        .filter(|line| times.contains(&ns(line["at"].as_str().unwrap())))
        .collect()
}

fn holds(truth: &Truth) -> Vec<Option<bool>> {
    truth.claims.iter().map(|claim| claim.holds).collect()
}

#[test]
fn a_brigade_reports_what_is_not_so() {
    let told = told("brigade", 1);
    let truth = &told.truth;
    assert!(truth.outages.is_empty() && truth.incidents.is_empty());
    assert_eq!(holds(truth), [Some(false)]);
    let brigade = &truth.people.as_ref().unwrap().brigades[0];
    assert!((2_500..2_900).contains(&brigade.reports), "{}", brigade.reports);
    let loud = between(&told.reports, &brigade.start, &brigade.end);
    let few = loud.iter().filter(|line| {
        let network = line["network"].as_u64().unwrap();
        brigade.networks.iter().any(|&own| u64::from(own) == network)
    });
    assert!(brigade.networks.len() <= 3);
    let few: Vec<_> = few.collect();
    assert!(few.len() as u64 >= brigade.reports && few.len() * 10 > loud.len() * 9);
    let persons: BTreeSet<u64> = few.iter().map(|line| line["person"].as_u64().unwrap()).collect();
    assert!((150..230).contains(&persons.len()), "{}", persons.len());
    let failed = told.probes.iter().filter(|line| line["ok"] == false).count();
    assert!(
        failed * 500 < told.probes.len(),
        "{failed} of {}",
        told.probes.len()
    );
}

#[test]
fn people_blame_a_neighbour_of_which_nothing_is_wrong() {
    let told = told("spill-over", 1);
    let truth = &told.truth;
    let outages: Vec<(&str, bool)> = truth
        .outages
        .iter()
        .map(|outage| (outage.service.as_str(), outage.causes.contains("attack")))
        .collect();
    assert_eq!(outages, [("x", true)]);
    let (x, y) = (
        &truth.people.as_ref().unwrap().services[0],
        &truth.people.as_ref().unwrap().services[1],
    );
    let share = y.neighbour as f64 / (x.outage + y.neighbour) as f64;
    assert!((0.22..0.28).contains(&share), "{share}");
    assert_eq!((x.neighbour, y.outage, y.affected), (0, 0, 0));
    // The probes tell them apart.
    let during = between(&told.probes, &truth.outages[0].start, &truth.outages[0].end);
    let failing = |name: &str| {
        let of: Vec<_> = during.iter().filter(|line| line["service"] == name).collect();
        of.iter().filter(|line| line["ok"] == false).count() as f64 / of.len() as f64
    };
    assert!(
        failing("x") > 0.5 && failing("y") < 0.1,
        "{} {}",
        failing("x"),
        failing("y")
    );
    assert_eq!(holds(truth), [Some(false)]);
}

#[test]
fn who_is_cut_off_vanishes_and_says_so_by_another_way() {
    let told = told("starlink-off", 1);
    let truth = &told.truth;
    assert!(truth.incidents.is_empty());
    assert_eq!(holds(truth), [Some(true), Some(false)]);
    assert_eq!(truth.outages.len(), 2);
    assert!(
        truth
            .outages
            .iter()
            .all(|outage| outage.causes == BTreeSet::from(["cut"]))
    );
    // The last ones who felt nothing yet, the first ones who report a minute later.
    let cut = between(&told.reports, "2025-03-14T19:00:00Z", "2025-03-14T19:30:00Z");
    let of = |line: &&&Value| line["service"] == "starlink";
    assert!(cut.iter().filter(of).count() > 5_000);
    let through = cut
        .iter()
        .filter(of)
        .filter(|line| line["network"] == 14_593)
        .count();
    assert!(through * 100 < cut.len(), "{through} of {}", cut.len());
    let before = between(&told.reports, "2025-03-14T00:00:00Z", "2025-03-14T18:40:00Z");
    assert!(before.iter().filter(of).all(|line| line["network"] == 14_593));
}

#[test]
fn a_fault_grows_and_so_do_the_reports() {
    let told = told("slow-leak", 1);
    let truth = &told.truth;
    assert!(truth.incidents.is_empty());
    assert_eq!(truth.outages.len(), 1);
    let outage = &truth.outages[0];
    assert!(outage.causes == BTreeSet::from(["fault"]));
    assert_eq!((outage.end.as_str(), outage.worst), ("2025-03-11T16:50:00Z", 0.5));
    let counts: Vec<usize> = ["15:15", "15:45", "16:15", "16:45", "17:15"]
        .windows(2)
        .map(|pair| {
            let at = |time: &str| format!("2025-03-11T{time}:00Z");
            between(&told.reports, &at(pair[0]), &at(pair[1])).len()
        })
        .collect();
    assert!(counts[..3].is_sorted() && counts[2] > 3 * counts[0], "{counts:?}");
    assert!(counts[3] < counts[2] / 2, "{counts:?}");
    assert_eq!(holds(truth), [Some(false), Some(true)]);
}

#[test]
fn a_week_in_which_nothing_happens_has_days_and_a_weekend() {
    let told = told("quiet-week", 1);
    let truth = &told.truth;
    assert!(truth.outages.is_empty() && truth.incidents.is_empty() && truth.claims.is_empty());
    let day = |day: u32| {
        let (from, to) = (
            format!("2025-03-{day:02}T05:00:00Z"),
            format!("2025-03-{:02}T05:00:00Z", day + 1),
        );
        between(&told.reports, &from, &to).len() as f64
    };
    // 8 and 9 March were the weekend; the day of most users begins at five.
    let (work, rest) = (
        (3..8).map(day).sum::<f64>() / 5.0,
        (day(8) + day(9) * 24.0 / 19.0) / 2.0,
    );
    assert!((work - 2_880.0).abs() < 150.0, "{work}");
    assert!(rest < 0.95 * work, "{rest} {work}");
    let hours = |from: &str, to: &str| {
        (4..8)
            .map(|day| {
                let at = |time: &str| format!("2025-03-{day:02}T{time}:00:00Z");
                between(&told.reports, &at(from), &at(to)).len()
            })
            .sum::<usize>()
    };
    // Before dawn and in the evening of New York.
    assert!(hours("00", "03") > 2 * hours("08", "11"));
}

#[test]
fn a_seed_tells_the_same_again() {
    let (one, again, other) = (
        told("spill-over", 3),
        told("spill-over", 3),
        told("spill-over", 4),
    );
    assert!(one.bytes == again.bytes && one.bytes != other.bytes);
    let json = |told: &Told| serde_json::to_string(&told.truth).unwrap();
    assert_eq!(json(&one), json(&again));
}
