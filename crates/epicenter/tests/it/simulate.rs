//! `epicenter simulate` and `epicenter score`: from a scenario to how right a case is.

use crate::{case, code, epicenter, err, out};

#[test]
fn a_scenario_is_simulated_investigated_and_scored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(folder, &["simulate", "half-forged", "--seed", "5", "-o", "drill"]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    let investigated = epicenter(
        folder,
        &["investigate", "--format", "json", "drill/half-forged-5.pcap"],
    );
    case(&investigated);
    std::fs::write(folder.join("case.json"), &investigated.stdout).unwrap();
    let scored = epicenter(
        folder,
        &[
            "score",
            "--format",
            "json",
            "case.json",
            "drill/half-forged-5.truth.json",
        ],
    );
    let score: serde_json::Value = serde_json::from_slice(&scored.stdout).expect("JSON");
    assert_eq!(
        (&score["found"], &score["missed"], &score["invented"]),
        (&1.into(), &0.into(), &0.into())
    );
    let one = &score["incidents"][0];
    assert_eq!(one["target_is_right"], true);
    assert_eq!(
        (&one["vectors_right"], &one["vectors_missing"]),
        (&2.into(), &0.into())
    );
    assert_eq!(one["forged_covered"], true);
    for error in ["start_error_s", "end_error_s"] {
        assert!(one[error].as_f64().unwrap().abs() < 1.0, "{error}: {one}");
    }
    let text = out(&epicenter(
        folder,
        &["score", "case.json", "drill/half-forged-5.truth.json"],
    ));
    assert!(text.starts_with("1 of 1 incidents found, 0 invented"), "{text}");
    let quiet = epicenter(folder, &["simulate", "flash-crowd", "-o", "drill"]);
    assert_eq!(code(&quiet), 0);
    let found = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "drill/flash-crowd-1.pcap"],
    ));
    assert_eq!(
        found["incidents"].as_array().unwrap().len(),
        0,
        "a crowd is no attack"
    );
}

#[test]
fn what_a_router_exports_stands_for_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(folder, &["simulate", "botnet-udp", "--netflow5", "-o", "."]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    let of = |file: &str| case(&epicenter(folder, &["investigate", "--format", "json", file]));
    let (packets, flows) = (of("botnet-udp-1.pcap"), of("botnet-udp-1.netflow5.pcap"));
    assert_eq!(flows["inputs"][0]["kind"], "netflow5");
    for field in ["packets", "octets"] {
        assert_eq!(packets["inputs"][0][field], flows["inputs"][0][field], "{field}");
    }
    assert_eq!(flows["exporters"][0]["lost"], 0);
    let (a, b) = (&packets["incidents"][0], &flows["incidents"][0]);
    assert_eq!(a["target"]["prefix"], b["target"]["prefix"]);
    assert_eq!(a["vectors"][0]["packets"], b["vectors"][0]["packets"]);
    assert_eq!(a["sources"]["distinct"], b["sources"]["distinct"]);
    // One packet in ten: an estimate of the same.
    let made = epicenter(folder, &["simulate", "botnet-udp", "--netflow5", "10", "-o", "."]);
    assert_eq!(code(&made), 0);
    let sampled = of("botnet-udp-1.netflow5.pcap");
    assert_eq!(sampled["exporters"][0]["sampling"], 10);
    let ratio =
        sampled["inputs"][0]["packets"].as_f64().unwrap() / packets["inputs"][0]["packets"].as_f64().unwrap();
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn what_is_wrong_with_a_scenario_is_said_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let list = out(&epicenter(folder, &["simulate", "--list"]));
    assert!(list.contains("march-10") && list.lines().count() >= 13, "{list}");
    let shown = out(&epicenter(folder, &["simulate", "--show", "quiet"]));
    std::fs::write(
        folder.join("own.toml"),
        shown.replace("seconds = 120", "seconds = 120\nsecond = 3"),
    )
    .unwrap();
    let wrong = epicenter(folder, &["simulate", "own.toml", "-o", "drill"]);
    assert_eq!(code(&wrong), 1);
    assert!(
        err(&wrong).contains("own.toml")
            && err(&wrong).contains("line 5")
            && err(&wrong).contains("`second`"),
        "{}",
        err(&wrong)
    );
    assert!(!folder.join("drill").exists());
    let nowhere = epicenter(folder, &["simulate", "nothing-like-it"]);
    assert_eq!(code(&nowhere), 1);
    assert!(err(&nowhere).contains("--list"), "{}", err(&nowhere));
    assert_eq!(code(&epicenter(folder, &["simulate"])), 2);
    std::fs::write(folder.join("no.json"), "{}").unwrap();
    let no_case = epicenter(folder, &["score", "no.json", "no.json"]);
    assert_eq!(code(&no_case), 1);
    assert!(
        err(&no_case).contains("the case: the schema is"),
        "{}",
        err(&no_case)
    );
}

#[test]
fn an_access_log_has_a_line_for_each_answered_request() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines = |format: &str| -> Vec<String> {
        let made = epicenter(
            folder,
            &["simulate", "low-and-slow", "--log", format, "-o", format],
        );
        assert_eq!(code(&made), 0, "{}", err(&made));
        let path = folder.join(format).join("low-and-slow-1.access.log");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let (combined, json) = (lines("combined"), lines("json"));
    let truth = folder.join("json").join("low-and-slow-1.truth.json");
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap();
    assert_eq!(truth["requests"], combined.len());
    assert_eq!(combined.len(), json.len());
    let mut last = String::new();
    for (line, object) in combined.iter().zip(&json) {
        let object: serde_json::Value = serde_json::from_str(object).unwrap();
        let word = |field: &str| object[field].as_str().unwrap();
        assert!(
            line.starts_with(&format!("{} - - [10/Mar/2025:09:4", word("remote_addr"))),
            "{line}"
        );
        let asked = format!(
            "\"{} {} HTTP/1.1\" {} ",
            word("method"),
            word("uri"),
            object["status"]
        );
        assert!(line.contains(&asked), "{line}: {asked}");
        assert!(word("time") >= last.as_str(), "{line}");
        last = word("time").to_owned();
    }
    let searches = json.iter().filter(|line| line.contains("/search?q=")).count();
    let busy = json.iter().filter(|line| line.contains("\"status\":503")).count();
    assert!(searches > 1_000 && busy > 1_000, "{searches} and {busy}");
}

#[test]
fn the_demo_goes_through_the_whole_pipeline_and_says_how_right_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let args = [
        "demo",
        "--headless",
        "--scenario",
        "really-one-country",
        "--seed",
        "2",
    ];
    let shown = epicenter(folder, &args);
    let text = out(&shown);
    assert_eq!(code(&shown), 0, "{text}{}", err(&shown));
    assert!(text.contains("ATTACK     "), "{text}");
    assert!(text.contains("1 of 1 incidents found, 0 invented"), "{text}");
    assert_eq!(text, out(&epicenter(folder, &args)), "the same again");
    let full = epicenter(folder, &[&args[..], &["--full"]].concat());
    assert!(out(&full).contains("WHAT AND WHEN"));
    let none = epicenter(folder, &["demo", "--scenario", "nothing-like-it"]);
    assert_eq!(code(&none), 1);
    assert!(err(&none).contains("simulate --list"), "{}", err(&none));
}

/// How right the case of a scenario's packets is.
fn scored(folder: &std::path::Path, scenario: &str, name: &str) -> serde_json::Value {
    let made = epicenter(folder, &["simulate", scenario, "--seed", "4", "-o", "."]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    let capture = format!("{name}-4.pcap");
    let investigated = epicenter(folder, &["investigate", "--format", "json", &capture]);
    case(&investigated);
    std::fs::write(folder.join("case.json"), &investigated.stdout).unwrap();
    let truth = format!("{name}-4.truth.json");
    let scored = epicenter(folder, &["score", "--format", "json", "case.json", &truth]);
    serde_json::from_slice(&scored.stdout).expect("JSON")
}

#[test]
fn attacks_over_completed_connections_are_found_beside_an_audience() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "http-flood",
        "cache-busting",
        "login-flood",
        "low-and-slow",
        "slowloris",
        "water-torture",
    ] {
        let score = scored(folder.path(), name, name);
        let counts = ["found", "missed", "invented"].map(|count| score[count].as_u64().unwrap());
        assert_eq!(counts, [1, 0, 0], "{name}");
        let one = &score["incidents"][0];
        assert_eq!(one["target_is_right"], true, "{name}");
        let vectors = ["vectors_right", "vectors_missing", "vectors_invented"];
        assert_eq!(
            vectors.map(|count| one[count].as_u64().unwrap()),
            [1, 0, 0],
            "{name}"
        );
        for error in ["start_error_s", "end_error_s"] {
            assert!(one[error].as_f64().unwrap().abs() < 3.0, "{name} {error}: {one}");
        }
        // The audience is not counted as attack.
        assert!(
            (0.9..1.1).contains(&one["packets_ratio"].as_f64().unwrap()),
            "{name}: {one}"
        );
        let (covered, all) = (&one["senders_covered"], &one["senders"]);
        assert!(
            covered.as_u64().unwrap() * 4 >= all.as_u64().unwrap() * 3,
            "{name}: {covered} of {all} countries of senders"
        );
    }
}

#[test]
fn crowds_crawlers_and_offices_that_speak_in_the_clear_are_no_attack() {
    let folder = tempfile::tempdir().unwrap();
    let usual = "sessions_per_second = 15\ncountries = { US = 4, DE = 2, BR = 2, IN = 2 }";
    // Another audience beside the usual one, from one moment on, and how much the service bears.
    let crowd =
        "sessions_per_second = 150\nfrom = 30\nto = 70\ncountries = { US = 4, DE = 2, BR = 2, IN = 2 }";
    let office = "sessions_per_second = 60\nfrom = 30\naddresses = 20\ncountries = { DE = 1 }";
    let crawler =
        "habit = \"crawler\"\nsessions_per_second = 15\nfrom = 30\naddresses = 16\ncountries = { US = 1 }";
    for (name, audience, requests) in [
        ("crowd", crowd, 10_000),
        ("crowd-on-a-small-service", crowd, 80),
        ("office-on-a-small-service", office, 80),
        ("crawler-on-a-small-service", crawler, 80),
    ] {
        let scenario = format!(
            "name = \"{name}\"\nabout = \"harmless\"\nstart = \"2025-03-10T09:45:00Z\"\nseconds = 90\nsnaplen = 400\n\n\
             [[service]]\nname = \"shop\"\naddress = \"198.41.30.10\"\nport = 80\n\
             capacity = {{ requests_per_second = {requests} }}\n\n\
             [[audience]]\nservice = \"shop\"\nplain = true\n{usual}\n\n\
             [[audience]]\nservice = \"shop\"\nplain = true\n{audience}\n"
        );
        let file = format!("{name}.toml");
        std::fs::write(folder.path().join(&file), scenario).unwrap();
        let score = scored(folder.path(), &file, name);
        assert_eq!(score["invented"], 0, "{name}");
    }
}
