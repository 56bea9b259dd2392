//! Simulated people: reports, probes and claims from a scenario to a case and its score; drills over loopback.

use std::path::Path;

use serde_json::Value;

use crate::live::Live;
use crate::{case, code, epicenter, err};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_outage_its_neighbour_and_what_is_said_of_them_are_simulated_and_scored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(folder, &["simulate", "spill-over", "-o", "."]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let kinds = [
        "claims.toml",
        "pcap",
        "probes.jsonl",
        "reports.jsonl",
        "truth.json",
    ];
    assert_eq!(files, kinds.map(|kind| format!("spill-over-1.{kind}")));
    let investigated = epicenter(
        folder,
        &[
            "investigate",
            "--format",
            "json",
            "spill-over-1.pcap",
            "spill-over-1.reports.jsonl",
            "spill-over-1.probes.jsonl",
            "--service",
            "x=198.41.30.10",
            "--service",
            "y=198.41.40.10",
            "--claims",
            "spill-over-1.claims.toml",
        ],
    );
    let found = case(&investigated);
    let truth = read(&folder.join("spill-over-1.truth.json"));
    let told = truth["people"]["services"].as_array().unwrap();
    let reports: u64 = told
        .iter()
        .map(|service| service["reports"].as_u64().unwrap())
        .sum();
    assert_eq!(found["signals"][0]["reports"], reports);
    let said: Vec<&Value> = truth["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| &claim["said"])
        .collect();
    let judged: Vec<&Value> = found["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| &verdict["claim"]["said"])
        .collect();
    assert_eq!(said, judged);
    std::fs::write(folder.join("case.json"), &investigated.stdout).unwrap();
    let scored = epicenter(
        folder,
        &[
            "score",
            "--format",
            "json",
            "case.json",
            "spill-over-1.truth.json",
        ],
    );
    let score: Value = serde_json::from_slice(&scored.stdout).expect("JSON");
    assert_eq!((&score["found"], &score["invented"]), (&1.into(), &0.into()));
    let outages = &score["outages"];
    assert_eq!(
        (&outages["found"], &outages["missed"], &outages["invented"]),
        (&1.into(), &0.into(), &0.into()),
        "{outages}"
    );
    // What y's users are told of is x's trouble.
    assert_eq!(outages["seen_through"], 1);
    assert_eq!(outages["list"][0]["cause_is_right"], true);
    assert!(
        outages["list"][0]["start_error_s"].as_f64().unwrap().abs() < 180.0,
        "{outages}"
    );
}

#[test]
fn every_form_of_export_stands_for_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(
        folder,
        &[
            "simulate",
            "pulse",
            "--export",
            "v9,ipfix,sflow",
            "--exporters",
            "2",
            "-o",
            ".",
        ],
    );
    assert_eq!(code(&made), 0, "{}", err(&made));
    let of = |kind: &str| {
        let file = format!("pulse-1.{kind}pcap");
        case(&epicenter(folder, &["investigate", "--format", "json", &file]))
    };
    let packets = of("");
    for kind in ["netflow9", "ipfix", "sflow"] {
        let exported = of(&format!("{kind}."));
        let input = &exported["inputs"][0];
        assert_eq!(input["kind"], kind);
        assert_eq!(input["packets"], packets["inputs"][0]["packets"], "{kind}");
        // sFlow tells the length of the frame.
        if kind != "sflow" {
            assert_eq!(input["octets"], packets["inputs"][0]["octets"], "{kind}");
        }
        let exporters = exported["exporters"].as_array().unwrap();
        assert_eq!(exporters.len(), 2, "{kind}");
        assert!(exporters.iter().all(|exporter| exporter["lost"] == 0), "{kind}");
        let (a, b) = (&packets["incidents"][0], &exported["incidents"][0]);
        assert_eq!(a["target"]["prefix"], b["target"]["prefix"], "{kind}");
        assert_eq!(a["sources"]["distinct"], b["sources"]["distinct"], "{kind}");
    }
}

#[test]
fn a_drill_is_heard_by_a_listener_and_without_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let live = Live::start(folder, &["--listen", "127.0.0.1:0"]);
    let to = format!("127.0.0.1:{}", live.addresses[0].port());
    let made = epicenter(
        folder,
        &[
            "simulate", "pulse", "--export", "ipfix", "--live", &to, "--speed", "60", "-o", "drill",
        ],
    );
    assert_eq!(code(&made), 0, "{}", err(&made));
    let truth = read(&folder.join("drill/pulse-1.truth.json"));
    let begin = live.next("begin");
    let target = truth["incidents"][0]["target"].as_str().unwrap();
    assert_eq!(begin["incident"]["target"]["prefix"], format!("{target}/32"));
    let (events, stop) = live.stop();
    assert!(events.iter().any(|event| event["event"] == "end"));
    assert_eq!(stop["packets"], truth["packets"], "{stop}");
    // A port that was just given back: nobody listens there.
    let gone = epicenter(
        folder,
        &[
            "simulate", "pulse", "--live", &to, "--speed", "1000", "-o", "alone",
        ],
    );
    assert_eq!(code(&gone), 1);
    assert!(err(&gone).contains("nothing listens there"), "{}", err(&gone));
    assert_eq!(std::fs::read_dir(folder.join("alone")).unwrap().count(), 0);
}
