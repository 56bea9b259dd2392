//! The forms for other people's systems: STIX, MISP, X-ARF, DOTS and fingerprints, on simulated attacks. What they name is held against the
//! packets of the capture, read here anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{code, epicenter, err, out};

/// A folder with a simulated capture, and that capture's packets: source, protocol and destination port.
struct Simulated {
    folder: tempfile::TempDir,
    capture: String,
    packets: Vec<(Ipv4Addr, u8, u16)>,
}

const TARGET: Ipv4Addr = Ipv4Addr::new(198, 41, 30, 10);

impl Simulated {
    fn new(scenario: &str) -> Simulated {
        let folder = tempfile::tempdir().unwrap();
        let made = epicenter(folder.path(), &["simulate", scenario, "-o", "."]);
        assert_eq!(code(&made), 0, "{}", err(&made));
        let capture = format!("{scenario}-1.pcap");
        let packets = to_target(&folder.path().join(&capture));
        Simulated {
            folder,
            capture,
            packets,
        }
    }

    /// Prints the case in a form; standard output and standard error.
    fn form(&self, format: &str, more: &[&str]) -> (String, String) {
        let mut args = vec!["investigate", "--format", format, &self.capture];
        args.extend(more);
        let output = epicenter(self.folder.path(), &args);
        assert_eq!(code(&output), 0, "{}", err(&output));
        (out(&output), err(&output))
    }

    fn json(&self, format: &str) -> Value {
        serde_json::from_str(&self.form(format, &[]).0).unwrap()
    }

    fn stix(&self) -> Vec<Value> {
        let bundle = self.json("stix");
        sound(&bundle);
        bundle["objects"].as_array().unwrap().clone()
    }

    /// The reports, and what was said of those that were not made.
    fn xarf(&self) -> (Vec<Value>, String) {
        let (lines, said) = self.form("xarf", &REPORTER);
        let reports: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        reports.iter().for_each(complete);
        (reports, said)
    }

    fn dots(&self) -> Value {
        let (lines, _) = self.form("dots", &["--vendor-id", "32473"]);
        assert_eq!(lines.lines().count(), 1);
        let message: Value = serde_json::from_str(&lines).unwrap();
        message["ietf-dots-telemetry:telemetry"]["pre-or-ongoing-mitigation"][0].clone()
    }

    /// Who sent what to the target, by what a packet must be.
    fn sent(&self, is: impl Fn(u8, u16) -> bool) -> BTreeMap<Ipv4Addr, u64> {
        let mut sent = BTreeMap::new();
        for (source, _, _) in self
            .packets
            .iter()
            .filter(|(_, protocol, port)| is(*protocol, *port))
        {
            *sent.entry(*source).or_default() += 1;
        }
        sent
    }
}

const REPORTER: [&str; 4] = [
    "--reporter-name",
    "Example Network",
    "--reporter-email",
    "abuse@example.net",
];

/// The IPv4 packets of a pcap file that go to the target.
fn to_target(path: &Path) -> Vec<(Ipv4Addr, u8, u16)> {
    let file = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let skip = match word(20) {
        1 => 14,
        101 => 0,
        other => panic!("link type {other}"),
    };
    let (mut packets, mut at) = (Vec::new(), 24);
    while at < file.len() {
        let (length, ip) = (word(at + 8), at + 16 + skip);
        let four = |at: usize| Ipv4Addr::from_bits(u32::from_be_bytes(file[at..at + 4].try_into().unwrap()));
        if file[ip] >> 4 == 4 && four(ip + 16) == TARGET {
            let port = ip + usize::from(file[ip] & 15) * 4 + 2;
            let port = u16::from_be_bytes([file[port], file[port + 1]]);
            packets.push((four(ip + 12), file[ip + 9], port));
        }
        at += 16 + length;
    }
    packets
}

fn of_type<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["type"] == kind).collect()
}

fn addresses(objects: &[Value]) -> BTreeSet<Ipv4Addr> {
    of_type(objects, "ipv4-addr")
        .iter()
        .map(|object| object["value"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// What STIX 2.1 asks of any bundle: ids once and of the right form, references to objects that are there, times in order.
fn sound(bundle: &Value) {
    let objects = bundle["objects"].as_array().unwrap();
    let ids: BTreeSet<&str> = objects
        .iter()
        .map(|object| object["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), objects.len(), "an id occurs twice");
    for object in objects {
        let kind = object["type"].as_str().unwrap();
        let (prefix, uuid) = object["id"].as_str().unwrap().split_once("--").unwrap();
        assert_eq!((prefix, object["spec_version"].as_str()), (kind, Some("2.1")));
        Uuid::parse_str(uuid).unwrap();
        for (name, value) in object.as_object().unwrap() {
            let to: Vec<&Value> = match value {
                one if name.ends_with("_ref") => vec![one],
                Value::Array(many) if name.ends_with("_refs") => many.iter().collect(),
                _ => continue,
            };
            assert!(!to.is_empty(), "{kind}.{name} is empty");
            for id in to {
                assert!(
                    ids.contains(id.as_str().unwrap()),
                    "{kind}.{name}: {id} is nowhere"
                );
            }
        }
        if kind != "marking-definition" {
            assert_eq!(object["object_marking_refs"].as_array().unwrap().len(), 1);
        }
        if let (Some(created), Some(modified)) = (object["created"].as_str(), object["modified"].as_str()) {
            assert!(
                created <= modified && created.len() == 24,
                "{kind}: {created} {modified}"
            );
        }
        let naming: &[&str] = match kind {
            "ipv4-addr" => &["value"],
            "autonomous-system" => &["number"],
            "network-traffic" => &[
                "start",
                "end",
                "src_ref",
                "dst_ref",
                "src_port",
                "dst_port",
                "protocols",
            ],
            _ => continue,
        };
        let name: BTreeMap<&str, &Value> = naming
            .iter()
            .filter_map(|field| Some((*field, object.get(field)?)))
            .collect();
        let space = Uuid::parse_str("00abedb4-aa42-466c-9c01-fed23315a9b7").unwrap();
        let expected = Uuid::new_v5(&space, json!(name).to_string().as_bytes());
        assert_eq!(uuid, expected.to_string(), "{object}");
    }
    assert!(of_type(objects, "threat-actor").is_empty());
}

/// What the schemas of X-ARF 4.2 require of a report, and what its evidence promises.
fn complete(report: &Value) {
    assert_eq!(report["xarf_version"], "4.2.0");
    Uuid::parse_str(report["report_id"].as_str().unwrap()).unwrap();
    for who in ["reporter", "sender"] {
        assert_eq!(
            report[who],
            json!({ "org": "Example Network", "contact": "abuse@example.net", "domain": "example.net" })
        );
    }
    assert!(report["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(report["source_identifier"].as_str().unwrap().starts_with("AS"));
    assert!(report["description"].as_str().unwrap().chars().count() <= 1_000);
    assert!((0.0..=1.0).contains(&report["confidence"].as_f64().unwrap()));
    for tag in report["tags"].as_array().unwrap() {
        let (space, name) = tag.as_str().unwrap().split_once(':').unwrap();
        let plain = |text: &str| {
            text.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        assert!(plain(space) && plain(name), "{tag}");
    }
    match (report["category"].as_str(), report["type"].as_str()) {
        (Some("connection"), Some("ddos")) => {
            assert!(["tcp", "udp", "icmp"].contains(&report["protocol"].as_str().unwrap()));
            assert!(report["first_seen"].as_str() <= report["last_seen"].as_str());
            assert!(report["duration_seconds"].as_u64().unwrap() >= 1);
        }
        (Some("vulnerability"), Some("open_service")) => {
            assert!(!report["service"].as_str().unwrap().is_empty());
        }
        other => panic!("{other:?}"),
    }
    let evidence = &report["evidence"][0];
    let table = BASE64_STANDARD
        .decode(evidence["payload"].as_str().unwrap())
        .unwrap();
    let digest: String = Sha256::digest(&table)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(evidence["hash"], format!("sha256:{digest}"));
    assert_eq!(evidence["size"], table.len());
}

/// Addresses with their packets that a report's evidence names.
fn named(report: &Value) -> BTreeMap<Ipv4Addr, u64> {
    let table = BASE64_STANDARD
        .decode(report["evidence"][0]["payload"].as_str().unwrap())
        .unwrap();
    let table = String::from_utf8(table).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("source_ip,packets,bytes,first_seen,last_seen"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[0].parse().unwrap(), fields[1].parse().unwrap())
        })
        .collect()
}

/// `ip-src` attributes of a MISP event, with `to_ids`.
fn sources(event: &Value) -> BTreeMap<Ipv4Addr, bool> {
    let objects = event["Event"]["Object"].as_array().unwrap();
    objects
        .iter()
        .flat_map(|object| object["Attribute"].as_array().unwrap())
        .filter(|attribute| attribute["type"] == "ip-src")
        .map(|attribute| {
            (
                attribute["value"].as_str().unwrap().parse().unwrap(),
                attribute["to_ids"].as_bool().unwrap(),
            )
        })
        .collect()
}

#[test]
fn forged_addresses_accuse_nobody() {
    let simulated = Simulated::new("forged-world");
    let objects = simulated.stix();
    assert!(of_type(&objects, "infrastructure").is_empty());
    assert_eq!(addresses(&objects), BTreeSet::from([TARGET]), "the target alone");
    let notes = of_type(&objects, "note");
    assert!(notes.iter().any(|note| {
        let said = note["content"].as_str().unwrap();
        said.contains("source addresses is listed, since they are forged") && !said.contains("Countries")
    }));
    let event = simulated.json("misp");
    assert!(sources(&event).is_empty());
    let (reports, said) = simulated.xarf();
    assert!(reports.is_empty());
    assert!(said.contains("no report, since its sources are forged"), "{said}");
    let dots = simulated.dots();
    let talkers = dots["attack-detail"][0]["top-talker"]["talker"]
        .as_array()
        .unwrap();
    assert_eq!(talkers.len(), 10);
    assert!(talkers.iter().all(|talker| talker["spoofed-status"] == true));
    let print = simulated.json("fingerprint");
    let tags: Vec<&str> = print["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    assert_eq!(
        tags,
        [
            "Spoofed source addresses",
            "TCP",
            "TCP SYN flag attack",
            "TCP flood attack"
        ]
    );
}

#[test]
fn reflectors_are_named_as_abused() {
    let simulated = Simulated::new("reflected-dns");
    // Those that sent UDP to the target: its visitors speak TCP.
    let reflectors = simulated.sent(|protocol, _| protocol == 17);
    let objects = simulated.stix();
    let infrastructure = of_type(&objects, "infrastructure");
    assert_eq!(infrastructure.len(), 1);
    assert_eq!(
        infrastructure[0]["infrastructure_types"],
        json!(["amplification"])
    );
    let mut listed = addresses(&objects);
    assert!(listed.remove(&TARGET));
    assert_eq!(listed.len(), 100);
    assert!(listed.iter().all(|address| reflectors.contains_key(address)));
    let technique = of_type(&objects, "attack-pattern")[0];
    assert_eq!(technique["external_references"][0]["external_id"], "T1498.002");
    let event = simulated.json("misp");
    let listed = sources(&event);
    assert_eq!(listed.len(), 100);
    assert!(
        listed.values().all(|to_ids| !to_ids),
        "a filter would block the abused"
    );
    let (reports, _) = simulated.xarf();
    let mut all = BTreeMap::new();
    for report in &reports {
        assert_eq!(report["type"], "open_service");
        assert_eq!(
            (&report["service"], &report["source_port"]),
            (&json!("DNS"), &json!(53))
        );
        assert!(
            report["description"]
                .as_str()
                .unwrap()
                .contains("did not start the attack")
        );
        all.extend(named(report));
    }
    assert_eq!(all, reflectors);
    let dots = simulated.dots();
    let detail = &dots["attack-detail"][0];
    assert_eq!(detail["top-talker"]["talker"][0]["spoofed-status"], false);
    assert_eq!(detail["source-count"]["peak-g"], reflectors.len().to_string());
    assert_eq!(dots["target"]["target-prefix"], json!(["198.41.30.10/32"]));
    assert_eq!(dots["target"]["target-protocol"], json!([17]));
}

#[test]
fn senders_are_reported_to_their_networks() {
    let simulated = Simulated::new("botnet-udp");
    let bots = simulated.sent(|protocol, port| (protocol, port) == (17, 8_080));
    let (reports, said) = simulated.xarf();
    let atlas = atlas::Atlas::embedded();
    let mut networks = BTreeSet::new();
    let mut all = BTreeMap::new();
    for report in &reports {
        assert_eq!(
            (&report["type"], &report["attack_vector"]),
            (&json!("ddos"), &json!("udp_flood"))
        );
        assert_eq!(
            (&report["destination_ip"], &report["destination_port"]),
            (&json!("198.41.30.10"), &json!(8_080))
        );
        let network = report["source_identifier"].as_str().unwrap();
        assert!(networks.insert(network.to_owned()), "{network} gets two reports");
        let named = named(report);
        assert_eq!(report["total_packets"], named.values().sum::<u64>());
        for address in named.keys() {
            let place = atlas.lookup(address.to_ipv6_mapped());
            assert_eq!(network, format!("AS{}", place.asn));
        }
        all.extend(named);
    }
    // The machines that sent, each with its packets, and no visitor; those of fewer than ten packets are left out.
    let total: u64 = bots.values().sum();
    let loud: BTreeMap<_, _> = bots.into_iter().filter(|(_, packets)| *packets >= 10).collect();
    assert_eq!(all, loud);
    assert!(said.contains(&format!("name {} of", loud.len())), "{said}");

    let objects = simulated.stix();
    let shown = of_type(&objects, "network-traffic");
    let mut quietest = u64::MAX;
    for traffic in shown.iter().filter(|traffic| traffic.get("src_ref").is_some()) {
        let source = objects
            .iter()
            .find(|object| object["id"] == traffic["src_ref"])
            .unwrap();
        let packets = loud[&source["value"].as_str().unwrap().parse().unwrap()];
        assert_eq!(traffic["src_packets"], packets);
        quietest = quietest.min(packets);
    }
    let louder = loud.values().filter(|packets| **packets > quietest).count();
    assert!(
        louder < 100 && shown.len() == 101,
        "the 100 that sent most, and the whole"
    );
    let event = simulated.json("misp");
    assert!(sources(&event).values().all(|to_ids| *to_ids));
    let object = &event["Event"]["Object"][0];
    let value = |relation: &str| {
        let attributes = object["Attribute"].as_array().unwrap();
        let found = attributes.iter().find(|a| a["object_relation"] == relation);
        found.unwrap_or_else(|| panic!("no {relation}"))["value"].clone()
    };
    assert_eq!(value("ip-dst"), "198.41.30.10");
    assert_eq!(value("total-packets-sent"), total.to_string());
    assert_eq!(object["template_uuid"], "e2f124d6-f57c-4f93-99e6-8450545fa05d");
    assert_eq!(
        object["ObjectReference"][0]["referenced_uuid"],
        event["Event"]["Object"][1]["uuid"]
    );
    let tags = event["Event"]["Tag"].as_array().unwrap();
    for tag in ["tlp:amber", "ddos:type=\"flooding-attack\""] {
        assert!(tags.contains(&json!({ "name": tag })), "{tag}");
    }
}

#[test]
fn nobody_is_named_in_a_forged_vector_beside_a_direct_one() {
    let simulated = Simulated::new("half-forged");
    let forged = simulated.sent(|protocol, _| protocol == 17);
    assert!(forged.len() > 10_000);
    let mut named_anywhere = addresses(&simulated.stix());
    named_anywhere.extend(sources(&simulated.json("misp")).keys());
    named_anywhere.extend(
        simulated
            .xarf()
            .0
            .iter()
            .flat_map(named)
            .map(|(address, _)| address),
    );
    assert!(named_anywhere.iter().all(|address| !forged.contains_key(address)));
    for detail in simulated.dots()["attack-detail"].as_array().unwrap() {
        let talkers = detail["top-talker"]["talker"].as_array().unwrap();
        for talker in talkers {
            let address = talker["source-prefix"]
                .as_str()
                .unwrap()
                .strip_suffix("/32")
                .unwrap();
            let IpAddr::V4(address) = address.parse().unwrap() else {
                panic!("{address}")
            };
            let is_forged = forged.contains_key(&address);
            assert!(
                !is_forged || talker["spoofed-status"] != false,
                "{address} is called genuine"
            );
        }
    }
}

#[test]
fn the_same_case_gives_the_same_bytes_and_marks_them_as_told() {
    let simulated = Simulated::new("botnet-udp");
    for form in ["stix", "misp", "xarf", "dots", "fingerprint"] {
        let options = [&REPORTER[..], &["--vendor-id", "32473"]].concat();
        let two = simulated.form(form, &options).0;
        let one = simulated
            .form(form, &[&options[..], &["--threads", "1"]].concat())
            .0;
        assert!(two == one, "{form}");
    }
    let red = simulated.form("stix", &["--tlp", "red"]).0;
    assert!(red.contains("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"));
    assert!(
        simulated
            .form("misp", &["--tlp", "amber+strict"])
            .0
            .contains("\"tlp:amber+strict\"")
    );
}

#[test]
fn what_a_form_needs_and_does_not_get_is_a_matter_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["--format", "xarf"][..], "--reporter-name <NAME>"),
        (
            &["--format", "xarf", "--reporter-name", "Us"],
            "--reporter-email <ADDRESS>",
        ),
        (&["--format", "dots"], "--vendor-id <PEN>"),
        (&["--reporter-email", "nobody"], "is no mail address"),
        (&["--tlp", "white"], "amber+strict"),
    ] {
        let output = epicenter(folder.path(), &[&["investigate", "x.pcap"], args].concat());
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(err(&output).contains(says), "{args:?}: {}", err(&output));
    }
}

#[test]
fn where_nothing_happened_nothing_is_reported() {
    let simulated = Simulated::new("quiet");
    let kinds: Vec<Value> = simulated
        .stix()
        .iter()
        .map(|object| object["type"].clone())
        .collect();
    assert_eq!(kinds, ["marking-definition", "identity"]);
    assert_eq!(simulated.json("misp")["Event"]["Object"], json!([]));
    assert!(simulated.xarf().0.is_empty());
    assert_eq!(simulated.form("dots", &["--vendor-id", "32473"]).0, "");
}
