//! `investigate --claims` and `claims propose`, with captures whose truth is known.

use std::path::Path;

use crate::{case, code, epicenter, epicenter_reading, err, out};

/// A short attack by a botnet of which one country has this share.
fn scenario(name: &str, ukraine: u32) -> String {
    let rest = 100 - ukraine;
    format!(
        "name = \"{name}\"\nabout = \"a test\"\nstart = \"2025-03-10T09:44:40Z\"\nseconds = 60\n[[audience]]\nservice = \"198.41.30.10\"\nsessions_per_second = 5\ncountries = {{ US = 40, GB = 9, DE = 7, UA = 1 }}\n[[attack]]\nvector = \"syn_flood\"\ntarget = \"198.41.30.10\"\nport = 443\nfrom = 20\nto = 50\npackets_per_second = 700\nsources = {{ kind = \"direct\", bots = 1500, countries = {{ UA = {ukraine}, US = {}, BR = {}, VN = {} }} }}\n",
        rest / 3,
        rest / 3,
        rest - 2 * (rest / 3)
    )
}

fn capture(folder: &Path, name: &str, ukraine: u32) -> String {
    std::fs::write(folder.join(format!("{name}.toml")), scenario(name, ukraine)).unwrap();
    let output = epicenter(folder, &["simulate", &format!("{name}.toml")]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    format!("{name}-1.pcap")
}

const MOST: &str = "[[claim]]\nby = \"the owner\"\nsaid = \"IP addresses originating in the Ukraine area\"\nat = \"2025-03-10T20:30:00Z\"\ngrade = \"C3\"\nproposition = { kind = \"from-countries\", countries = [\"UA\"], extent = \"most\" }\n";

#[test]
fn the_same_claim_is_judged_by_what_the_traffic_shows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("claims.toml"), MOST).unwrap();
    let verdict = |name: &str, ukraine: u32| {
        let input = capture(folder.path(), name, ukraine);
        let output = epicenter(
            folder.path(),
            &[
                "investigate",
                "--claims",
                "claims.toml",
                "--format",
                "json",
                &input,
            ],
        );
        assert_eq!(code(&output), 0, "{}", err(&output));
        let case = case(&output);
        assert_eq!(case["incidents"].as_array().unwrap().len(), 1);
        assert!(
            case["incidents"][0]["size"]
                .as_array()
                .is_some_and(|size| size.len() >= 3)
        );
        case["verdicts"][0].clone()
    };
    let world = verdict("world", 2);
    assert!(
        ["almost no chance", "very unlikely"].contains(&world["words"].as_str().unwrap()),
        "{world}"
    );
    assert_eq!(world["claim"]["grade"], "C3");
    assert_eq!(world["claim"]["at"], "2025-03-10T20:30:00Z");
    assert_eq!(world["proposition"]["countries"], serde_json::json!(["UA"]));
    assert!(
        world["probability"]["estimate"]
            .as_f64()
            .is_some_and(|p| (0.01..0.2).contains(&p))
    );
    let one_country = verdict("one-country", 91);
    assert!(
        ["very likely", "almost certain"].contains(&one_country["words"].as_str().unwrap()),
        "{one_country}"
    );
}

#[test]
fn the_claims_of_10_march_2025_are_read_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let claims = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../claims/march-10.toml");
    let claims = claims.to_str().unwrap();
    let input = capture(folder.path(), "world", 1);
    let args = ["investigate", "--claims", claims, &input];
    let page = out(&epicenter(folder.path(), &args));
    let section = page.split("CLAIMS (").nth(1).expect("a section");
    // Lines break where they are full.
    let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "almost no chance",
        "Possible, and unproven",
        "source country is not",
        "evidence Confidence in this evidence is",
        "taken as Most of",
        "would - ",
    ] {
        assert!(section.contains(part), "{part}: {section}");
    }
    assert!(!section.contains("100 %)"), "nothing is certain: {section}");
    let json = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", "--claims", claims, &input],
    ));
    let verdicts = json["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 13);
    for verdict in verdicts {
        assert_eq!(
            verdict["assessable"],
            serde_json::json!(verdict["probability"].is_object())
        );
        let kind = verdict["proposition"]["kind"].as_str().unwrap();
        if ["actor-state", "actor-group", "people-affected"].contains(&kind) {
            assert_eq!(verdict["words"], "cannot be assessed from this evidence");
        }
    }
    // A claims file changes nothing of the rest.
    let mut without = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", &input],
    ));
    without["verdicts"] = json["verdicts"].clone();
    assert_eq!(without, json);
}

#[test]
fn a_wrong_claims_file_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("claims.toml"), text).unwrap();
    let refused = |says: &str| {
        let output = epicenter(
            folder.path(),
            &["investigate", "--claims", "claims.toml", "missing.pcap"],
        );
        assert_eq!(code(&output), 1);
        assert!(out(&output).is_empty());
        assert!(err(&output).contains(says), "{}", err(&output));
        assert!(!err(&output).contains("missing.pcap"), "{}", err(&output));
    };
    refused("claims.toml");
    write(&MOST.replace("UA", "QQ"));
    refused("claims.toml, line 6: countries: there is no country `QQ`");
    write(&MOST.replace("20:30:00Z", "20:30:00"));
    refused("claims.toml, line 4: at: 2025-03-10T20:30:00 has no time zone");
    write(MOST.split("proposition").next().unwrap());
    refused(
        "suggest\n    proposition = { kind = \"from-countries\", countries = [\"UA\"], extent = \"most\" }",
    );
    write(&"#".repeat((1 << 20) + 1));
    refused("larger than a claims file may be");
}

#[test]
fn sentences_are_proposed_for_a_person_to_confirm() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = "IP addresses originating in the Ukraine area";
    let page = out(&epicenter(folder.path(), &["claims", "propose", sentence]));
    assert!(
        page.contains("A person must confirm") && page.contains("countries = [\"UA\"]"),
        "{page}"
    );
    let read = out(&epicenter_reading(
        folder.path(),
        &["claims", "propose", "-"],
        sentence.as_bytes(),
    ));
    assert_eq!(read, page);
    let nothing = epicenter(folder.path(), &["claims", "propose", "Good morning."]);
    assert_eq!((code(&nothing), out(&nothing)), (1, String::new()));
    assert_eq!(code(&epicenter(folder.path(), &["claims", "propose"])), 2);
}
