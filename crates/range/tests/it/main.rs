//! The range against its promises: the same bytes for the same seed, a truth that adds up, and errors that help.

mod people;

use atlas::Atlas;
use range::drill::Signals;
use range::scenario::LIBRARY;
use range::score::score;
use range::truth::Truth;
use range::{Drill, Range, Scenario};

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
    // Written down once for an atlas: a change of it changes every recorded score.
    assert_eq!(digest(&bytes), PULSE_7, "{:#x}", digest(&bytes));
}

const PULSE_7: u64 = 0x6872_4a68_8ebf_895a;

/// Scenarios in which nobody attacks.
const HARMLESS: &[&str] = &[
    "brigade",
    "crawler",
    "flash-crowd",
    "nat-office",
    "quiet",
    "quiet-week",
    "slow-leak",
    "starlink-off",
];

// In two tests, which run beside each other.
#[test]
fn every_scenario_of_the_library_is_sound_and_its_truth_adds_up_1() {
    let atlas = Atlas::embedded();
    for (name, text) in LIBRARY.iter().step_by(2) {
        is_sound(name, text, &atlas);
    }
}

#[test]
fn every_scenario_of_the_library_is_sound_and_its_truth_adds_up_2() {
    let atlas = Atlas::embedded();
    for (name, text) in LIBRARY.iter().skip(1).step_by(2) {
        is_sound(name, text, &atlas);
    }
}

fn is_sound(name: &str, text: &str, atlas: &Atlas) {
    let scenario = Scenario::read(text, atlas).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(scenario.name, name);
    // The longest has a test of its own.
    if name == "march-10" {
        return;
    }
    let (bytes, truth) = generated(text, 1, atlas);
    let records = in_order(&bytes, 0).0;
    assert_eq!(records, truth.packets, "{name}");
    assert!(
        truth.packets < 900_000,
        "{name}: {} packets are too many to score often",
        truth.packets
    );
    adds_up(name, &truth);
    // Drawn again, it begins with the same bytes, into its attack.
    assert!(bytes.starts_with(&beginning(text, 1, 25, atlas).0), "{name}");
    assert_eq!(truth.incidents.is_empty(), HARMLESS.contains(&name), "{name}");
}

/// How many records there are, in order of time and each as long as it says, and the time of the last.
fn in_order(bytes: &[u8], mut last: u64) -> (u64, u64) {
    let (mut at, mut records) = (0, 0);
    while at < bytes.len() {
        let word = |n: usize| u32::from_le_bytes(bytes[at + n..at + n + 4].try_into().unwrap());
        let time = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4));
        assert!(time >= last, "record {records}");
        last = time;
        at += 16 + word(8) as usize;
        records += 1;
    }
    assert_eq!(at, bytes.len());
    (records, last)
}

fn adds_up(name: &str, truth: &Truth) {
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
}

/// Records and lines of the first seconds.
fn beginning(text: &str, seed: u64, seconds: u32, atlas: &Atlas) -> (Vec<u8>, Vec<u8>) {
    let mut range = Range::new(Scenario::read(text, atlas).unwrap(), seed, atlas).unwrap();
    let (mut bytes, mut log) = (Vec::new(), Vec::new());
    for _ in 0..seconds {
        range.second(&mut bytes);
        for request in range.requests() {
            range::log::combined(request, &mut log);
            range::log::json(request, &mut log);
        }
    }
    (bytes, log)
}

#[test]
fn a_seed_gives_the_same_log() {
    let atlas = Atlas::embedded();
    let first = beginning(scenario("cache-busting"), 3, 30, &atlas);
    assert!(first.1.len() > 100_000);
    assert!(first == beginning(scenario("cache-busting"), 3, 30, &atlas));
    assert!(first.1 != beginning(scenario("cache-busting"), 4, 30, &atlas).1);
}

#[test]
fn requests_are_logged_in_order_of_time_with_what_became_of_them() {
    let atlas = Atlas::embedded();
    let mut range = Range::new(
        Scenario::read(scenario("login-flood"), &atlas).unwrap(),
        1,
        &atlas,
    )
    .unwrap();
    let (mut packets, mut last, mut count) = (Vec::new(), 0, 0);
    let mut statuses = std::collections::BTreeMap::<u16, u64>::new();
    while range.second(&mut packets) {
        packets.clear();
        for request in range.requests() {
            assert!(request.time_ns >= last);
            last = request.time_ns;
            count += 1;
            *statuses.entry(request.status).or_default() += 1;
        }
    }
    assert_eq!(range.truth().requests, count);
    assert_eq!(
        statuses.keys().copied().collect::<Vec<_>>(),
        [200, 401, 503],
        "pages, log-ins that fail, and a service that is too busy"
    );
}

#[test]
fn the_tenth_of_march_has_five_attacks_in_three_humps_that_are_felt() {
    let atlas = Atlas::embedded();
    let scenario = Scenario::read(scenario("march-10"), &atlas).unwrap();
    // Hours and minutes, UTC; the scenario begins at six.
    let at = |hours: u32, minutes: u32| (hours - 6) * 3_600 + minutes * 60;
    let humps = [
        at(9, 30)..at(10, 10),
        at(13, 30)..at(14, 20),
        at(15, 20)..at(18, 0),
    ];
    let mut drill = Drill::new(scenario, 1, &atlas).unwrap();
    let mut signals = Signals::default();
    let (mut records, mut last, mut second) = (0, 0, 0);
    // Seconds of trouble in each hump, and reports in each quarter of an hour.
    let (mut bad, mut quarters) = ([0; 3], [0; 14 * 4]);
    while drill.second(&mut signals) {
        let (more, end) = in_order(&signals.packets, last);
        (records, last) = (records + more, end);
        if drill.has_begun() {
            let failing = drill.range().felt()[0].failing;
            match humps.iter().position(|hump| hump.contains(&second)) {
                Some(hump) => bad[hump] += u32::from(failing > 0.25),
                None => assert!(failing < 0.01, "{failing} at {second}"),
            }
            quarters[second as usize / 900] += signals.reports.iter().filter(|byte| **byte == b'\n').count();
            second += 1;
        }
        signals.clear();
    }
    for (bad, hump) in bad.iter().zip(&humps) {
        assert!(
            f64::from(*bad) > 0.7 * f64::from(hump.end - hump.start),
            "{bad} in {hump:?}"
        );
    }
    let peak = |hump: &std::ops::Range<u32>| {
        let in_it = hump.start as usize / 900..=hump.end as usize / 900;
        quarters[in_it].iter().copied().max().unwrap()
    };
    for (hump, told) in humps.iter().zip([18_500..22_500, 36_000..44_000, 26_000..35_000]) {
        assert!(told.contains(&peak(hump)), "{hump:?}: {quarters:?}");
    }
    let truth = drill.truth();
    assert_eq!(records, truth.packets);
    assert!(
        (4_000_000..6_000_000).contains(&truth.packets),
        "{}",
        truth.packets
    );
    adds_up("march-10", &truth);
    let targets: Vec<&str> = truth
        .incidents
        .iter()
        .map(|incident| incident.target.as_str())
        .collect();
    assert_eq!(targets, ["198.41.30.0/24", "198.41.30.10"]);
    for incident in &truth.incidents {
        let ukraine = incident.senders.iter().find(|share| share.key == "UA").unwrap();
        assert!((0.003..0.03).contains(&ukraine.share), "{}", ukraine.share);
        assert_eq!((incident.forged, incident.reflected), (0.0, 0.0));
        assert!(
            incident.sender_count <= 8_000,
            "one botnet: {}",
            incident.sender_count
        );
    }
    let service = &truth.services[0];
    assert_eq!(service.name, "x");
    assert!(service.outage.iter().all(|second| second.causes == ["attack"]));
    // Of the claims: Ukraine sent some of it, and not most.
    let holds = |said: &str| {
        let claim = truth.claims.iter().find(|claim| claim.said.contains(said));
        claim.unwrap().holds
    };
    assert_eq!(holds("originating in the Ukraine area [some"), Some(true));
    assert_eq!(holds("bring down the X system with IP addresses"), Some(false));
    assert_eq!(holds("a bunch more on that X subnet"), Some(true));
    assert_eq!(holds("Dark Storm Team"), None);
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
fn what_is_wrong_is_named_with_line_and_field() {
    let atlas = Atlas::embedded();
    // What is changed in which scenario, and the line it is in: that of the changed text.
    for (name, from, to, says) in [
        (
            "quiet",
            "seconds = 120",
            "seconds = 0",
            "seconds: 0 is not from 1",
        ),
        (
            "quiet",
            "seconds = 120",
            "seconds = 120\npath_loss = 1.5",
            "path_loss: 1.5 is not from 0 to 1",
        ),
        (
            "quiet",
            "UA = 1",
            "QQ = 1",
            "audience 1: countries: no address of QQ",
        ),
        (
            "quiet",
            "service = \"198.41.30.10\"",
            "service = \"y\"",
            "audience 1: service: \"y\" is no address",
        ),
        (
            "several-at-once",
            "neighbours = [\"news\"]",
            "neighbours = [\"nws\"]",
            "service 1: neighbours: \"nws\" is no service; there are: shop, news",
        ),
        (
            "several-at-once",
            "name = \"news\"",
            "name = \"shop\"",
            "service 2: name: \"shop\" has another",
        ),
        (
            "several-at-once",
            "to = 75",
            "to = 95",
            "attack 4: to: 95 is not after `from` (40) and within `seconds` (90)",
        ),
        (
            "several-at-once",
            "vector = \"icmp_flood\"",
            "vector = \"http_flood\"",
            "attack 3: vector: \"http_flood\" is none of syn_flood",
        ),
        (
            "gre-mirai",
            "botnet = \"cameras\", bots = 1200, uneven = 0.9",
            "botnet = \"cameras\", bots = 1200, uneven = 0.8",
            "attack 2: sources: botnet: \"cameras\" has other",
        ),
        (
            "gre-mirai",
            "controllers = 2",
            "controllers = 20",
            "attack 1: controllers: wanted is",
        ),
        (
            "gre-mirai",
            "bots = 2500, uneven = 0.9, devices = { camera = 6",
            "bots = 2500, uneven = 0.9, devices = { toaster = 6",
            "attack 1: sources: devices: \"toaster\" is none of camera, router",
        ),
        (
            "ipv6-botnet",
            "vector = \"syn_flood\"",
            "vector = \"igmp_flood\"",
            "attack 1: vector: \"igmp_flood\" is not made for IPv6",
        ),
        (
            "ipv6-botnet",
            "ipv6 = 0.45",
            "ipv6 = 4.5",
            "audience 1: ipv6: 4.5 is not from 0 to 1",
        ),
        (
            "http-flood",
            "connections_per_second = 120",
            "packets_per_second = 120",
            "attack 1: connections_per_second: 0 is not from 0.01",
        ),
        (
            "http-flood",
            "requests_per_second = 400",
            "requests_per_second = -4",
            "service 1: capacity: requests_per_second: -4 is not from",
        ),
        (
            "one-prefix-forged",
            "46.211.0.0/16",
            "2001:db8::/32",
            "attack 1: sources: within: is of another family",
        ),
    ] {
        let good = scenario(name);
        let at = good.find(from).unwrap_or_else(|| panic!("{name}: {from}"));
        let error = Scenario::read(&good.replacen(from, to, 1), &atlas)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{to}: {error}");
        let line = 1 + good[..at].matches('\n').count() + to.matches('\n').count();
        // What is absent has the line of the section that it is absent from.
        let is_absent = says.contains("connections_per_second: 0");
        assert!(
            is_absent && error.starts_with("line ") || error.starts_with(&format!("line {line}: ")),
            "line {line}: {error}"
        );
    }
}

#[test]
fn faults_and_cuts_are_checked_too() {
    let atlas = Atlas::embedded();
    let base = format!(
        "{}\n[[service]]\nname = \"x\"\naddress = \"198.51.100.1\"\n",
        scenario("quiet")
    );
    let first = base.matches('\n').count() + 1;
    for (section, line, says) in [
        (
            "[[fault]]\nservice = \"y\"\nfrom = 1\nto = 9\nfailing = 0.5",
            2,
            "fault 1: service: \"y\" is no service",
        ),
        (
            "[[fault]]\nservice = \"x\"\nfrom = 9\nto = 9\nfailing = 0.5",
            4,
            "fault 1: to: 9 is not after",
        ),
        (
            "[[fault]]\nservice = \"x\"\nfrom = 1\nto = 9\nfailing = 5",
            5,
            "fault 1: failing: 5 is not from 0 to 1",
        ),
        ("[[cut]]\nfrom = 1\nto = 9", 1, "cut 1: wanted are `networks`"),
        (
            "[[cut]]\ncountries = [\"Ukraine\"]\nfrom = 1\nto = 9",
            2,
            "cut 1: countries: \"Ukraine\" is no country code",
        ),
    ] {
        let error = Scenario::read(&format!("{base}{section}\n"), &atlas)
            .unwrap_err()
            .to_string();
        let wanted = format!("line {}: {says}", first + line - 1);
        assert!(error.starts_with(&wanted), "{wanted}: {error}");
    }
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
    // A host inside of an attacked prefix is not taken for the prefix, in whatever order they come.
    let mut both = truth.clone();
    let mut block = both["incidents"][0].clone();
    block["target"] = "198.41.30.0/24".into();
    both["incidents"].as_array_mut().unwrap().insert(0, block);
    for order in [
        ["198.41.30.10/32", "198.41.30.0/24"],
        ["198.41.30.0/24", "198.41.30.10/32"],
    ] {
        let result = score(&case(order.map(incident).to_vec()), &both).unwrap();
        assert_eq!((result.found, result.missed, result.invented), (2, 0, 0));
        assert!(result.incidents.iter().all(|one| one.target_is_right));
    }
    let none = score(&case(vec![]), &truth).unwrap();
    assert_eq!((none.found, none.missed), (0, 1));
    assert!(score(&truth, &truth).unwrap_err().contains("epicenter.case/1"));
}
