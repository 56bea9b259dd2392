//! The range against its promises: the same bytes for the same seed, a truth that adds up, and errors that help.

mod people;

use atlas::Atlas;
use range::scenario::LIBRARY;
use range::score::score;
use range::truth::Truth;
use range::{Range, Scenario};

fn generated(text: &str, seed: u64, atlas: &Atlas) -> (Vec<u8>, Truth) {
    let scenario = Scenario::read(text, atlas).unwrap();
    let mut range = Range::new(scenario, seed, atlas).unwrap();
    let mut bytes = Vec::new();
    while range.second(&mut bytes) {}
    (bytes, range.truth())
}

fn scenario(name: &str) -> &'static str {
    LIBRARY.iter().find(|(known, _)| *known == name).unwrap().1
}

/// FNV-1a: a digest that is short to write down.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn a_seed_gives_the_same_bytes_on_any_machine() {
    let atlas = Atlas::embedded();
    let (bytes, truth) = generated(scenario("pulse"), 7, &atlas);
    let (again, same) = generated(scenario("pulse"), 7, &atlas);
    assert_eq!(digest(&bytes), digest(&again));
    assert_eq!(
        serde_json::to_string(&truth).unwrap(),
        serde_json::to_string(&same).unwrap()
    );
    let (other, _) = generated(scenario("pulse"), 8, &atlas);
    assert_ne!(digest(&bytes), digest(&other));
    // Written down once: a change of it changes every recorded score.
    assert_eq!(digest(&bytes), PULSE_7, "{:#x}", digest(&bytes));
}

const PULSE_7: u64 = 0xdd7a_4194_e6d0_341b;

#[test]
fn every_scenario_of_the_library_is_sound_and_its_truth_adds_up() {
    let atlas = Atlas::embedded();
    for (name, text) in LIBRARY {
        let scenario = Scenario::read(text, &atlas).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scenario.name, *name);
        let (bytes, truth) = generated(text, 1, &atlas);
        // Records in order of time, each as long as it says.
        let (mut at, mut records, mut last) = (0, 0, 0);
        while at < bytes.len() {
            let word = |n: usize| u32::from_le_bytes(bytes[at + n..at + n + 4].try_into().unwrap());
            let time = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4));
            assert!(time >= last, "{name}");
            last = time;
            at += 16 + word(8) as usize;
            records += 1;
        }
        assert_eq!((at, records), (bytes.len(), truth.packets), "{name}");
        for incident in &truth.incidents {
            let close = |sum: f64| assert!((sum - 1.0).abs() < 1e-9, "{name}: {sum}");
            close(incident.countries.iter().map(|share| share.share).sum());
            close(incident.networks.iter().map(|share| share.share).sum());
            close(incident.vectors.iter().map(|vector| vector.share).sum());
            assert_eq!(
                incident.vectors.iter().map(|vector| vector.packets).sum::<u64>(),
                incident.packets
            );
            assert_eq!(incident.per_second.iter().sum::<u64>(), incident.packets);
            assert!(incident.forged + incident.reflected <= 1.0 + 1e-9);
        }
        let is_harmless = scenario.attack.is_empty();
        assert_eq!(truth.incidents.is_empty(), is_harmless, "{name}");
    }
}

#[test]
fn countries_are_those_of_the_scenario() {
    let atlas = Atlas::embedded();
    let (_, truth) = generated(scenario("really-one-country"), 3, &atlas);
    let senders = &truth.incidents[0].senders;
    assert_eq!(senders[0].key, "UA");
    assert!((senders[0].share - 0.9).abs() < 0.03, "{}", senders[0].share);
}

#[test]
fn what_is_wrong_is_named_before_anything_is_generated() {
    let atlas = Atlas::embedded();
    let good = scenario("half-forged");
    for (from, to, says) in [
        ("seconds = 90", "seconds = 0", "seconds: 0 is not from 1"),
        ("seconds = 90", "secondes = 90", "unknown field `secondes`"),
        (
            "seconds = 90",
            "seconds = 60",
            "attack 1: to: 70 is not after `from` (20) and within `seconds` (60)",
        ),
        ("from = 20", "from = 80", "attack 1: to: 70 is not after"),
        ("2025-03-10T09:45:00Z", "monday", "start: \"monday\" is no time"),
        ("US = 22", "XX = 22", "no address of XX"),
        ("US = 22", "usa = 22", "is no country code"),
        ("US = 22", "US = -22", "below 0"),
        (
            "syn_flood",
            "sin_flood",
            "\"sin_flood\" is none of syn_flood, ack_flood",
        ),
        (
            "target = \"198.41.30.10\"",
            "target = \"nowhere\"",
            "line 13: attack 1: target: \"nowhere\" is no address or prefix",
        ),
        ("uneven = 0.9", "uneven = 5", "uneven: 5 is not from 0 to 1"),
        (
            "packets_per_second = 2000",
            "packets_per_second = 1e9",
            "is not from 1 to",
        ),
        ("kind = \"direct\"", "kind = \"psychic\"", "psychic"),
        ("bots = 3000", "bots = 0", "bots: 0 is not from 1"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = Scenario::read(&good.replacen(from, to, 1), &atlas)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
    let line = Scenario::read(&good.replacen("seconds = 90", "seconds = \"long\"", 1), &atlas).unwrap_err();
    assert!(line.to_string().contains("line 4"), "{line}");
}

#[test]
fn a_score_says_what_is_wrong() {
    let truth = serde_json::json!({ "schema": "epicenter.truth/1", "incidents": [{
        "target": "198.41.30.10", "start": "2025-03-10T09:45:20Z", "end": "2025-03-10T09:46:10Z", "packets": 1000,
        "vectors": [{ "name": "syn_flood", "share": 0.9 }, { "name": "udp_flood", "share": 0.1 }],
        "forged": 0.5, "reflected": 0.0,
        "countries": [{ "key": "US", "share": 0.6 }, { "key": "BR", "share": 0.4 }],
        "networks": [{ "key": 64500, "share": 1.0 }],
    }] });
    let share = |estimate: f64, low: f64, high: f64| serde_json::json!({ "estimate": estimate, "low": low, "high": high });
    let incident = |target: &str| {
        serde_json::json!({
            "target": { "prefix": target }, "start": "2025-03-10T09:45:21Z", "end": "2025-03-10T09:46:08Z",
            "total": { "packets": 900 },
            "vectors": [{ "name": "syn_flood" }, { "name": "quic_flood" }],
            "sources": {
                "forged": share(0.2, 0.1, 0.3), "reflected": share(0.0, 0.0, 0.1),
                "countries": [{ "code": "US", "share": share(0.55, 0.5, 0.65) }, { "code": "BR", "share": share(0.3, 0.25, 0.35) }],
                "networks": [],
            },
        })
    };
    let case = |incidents: Vec<serde_json::Value>| serde_json::json!({ "schema": "epicenter.case/1", "incidents": incidents });
    let result = score(
        &case(vec![incident("198.41.30.10/32"), incident("192.0.2.1/32")]),
        &truth,
    )
    .unwrap();
    assert_eq!((result.found, result.missed, result.invented), (1, 0, 1));
    let one = &result.incidents[0];
    assert!(one.target_is_right);
    assert_eq!((one.start_error_s, one.end_error_s), (1.0, -2.0));
    assert_eq!(
        (one.vectors_right, one.vectors_missing, one.vectors_invented),
        (1, 1, 1)
    );
    assert!((one.forged_error + 0.3).abs() < 1e-9 && !one.forged_covered && one.reflected_covered);
    assert_eq!((one.countries_covered, one.countries), (1, 2));
    assert_eq!((one.networks_covered, one.networks), (0, 1));
    assert!((one.countries_distance - 0.075).abs() < 1e-9);
    let none = score(&case(vec![]), &truth).unwrap();
    assert_eq!((none.found, none.missed), (0, 1));
    assert!(score(&truth, &truth).unwrap_err().contains("epicenter.case/1"));
}
