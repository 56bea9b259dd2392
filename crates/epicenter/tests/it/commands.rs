//! Exit codes, messages, and every way to hand over an input.

use std::io::Write;
use std::path::PathBuf;

use crate::{case, code, epicenter, epicenter_reading, err, out};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/capture")
            .join(name),
    )
    .unwrap()
}

/// A folder with a small capture in it, plain and compressed.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plain = fixture("payloads.pcap");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("plain.pcap", &plain);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    write("packed.gz", &gzip);
    write("cut.gz", &gzip[..gzip.len() - 40]);
    write("packed.zst", &zstd::bulk::compress(&plain, 3).unwrap());
    write("empty", b"");
    write(
        "text.log",
        b"10.0.0.1 - - [01/Jan/2025:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n",
    );
    write("cut.pcap", &fixture("cut_in_record.pcap"));
    write("huge.pcap", &fixture("impossible_length.pcap"));
    folder
}

#[test]
fn every_form_of_a_capture_is_the_same_capture() {
    let folder = folder();
    for name in ["plain.pcap", "packed.gz", "packed.zst"] {
        let output = epicenter(folder.path(), &["investigate", "--format", "json", name]);
        assert_eq!(code(&output), 0, "{name}: {}", err(&output));
        let case = case(&output);
        assert_eq!(case["inputs"][0]["records"], 9, "{name}");
        assert_eq!(case["inputs"][0]["kind"], "packets");
        assert_eq!(
            case["inputs"][0]["bytes"],
            std::fs::metadata(folder.path().join(name)).unwrap().len(),
            "{name}"
        );
        assert_eq!(case["incidents"], serde_json::json!([]));
    }
    let output = epicenter_reading(
        folder.path(),
        &["investigate", "--format", "json", "-"],
        &fixture("payloads.pcap"),
    );
    assert_eq!(case(&output)["inputs"][0]["records"], 9);
    assert_eq!(case(&output)["inputs"][0]["name"], "-");
}

#[test]
fn what_is_good_of_a_damaged_file_is_used() {
    let folder = folder();
    let cut = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", "cut.pcap"],
    ));
    assert_eq!(cut["inputs"][0]["records"], 3);
    assert_eq!(cut["inputs"][0]["faults"][0]["reason"], "file-truncated");
    assert_eq!(cut["inputs"][0]["faults"][0]["first_offset"], 180);
    let huge = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", "huge.pcap"],
    ));
    assert_eq!(huge["inputs"][0]["records"], 5);
    let gzip = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", "cut.gz"],
    ));
    let reasons: Vec<&str> = gzip["inputs"][0]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["reason"].as_str().unwrap())
        .collect();
    assert!(reasons.contains(&"compression"), "{reasons:?}");
    let page = out(&epicenter(folder.path(), &["investigate", "cut.pcap"]));
    assert!(
        page.contains("the file ends inside a record") && page.contains("first at byte 180"),
        "{page}"
    );
}

#[test]
fn an_empty_file_is_a_case_without_incidents() {
    let folder = folder();
    let output = epicenter(folder.path(), &["investigate", "--format", "json", "empty"]);
    assert_eq!(code(&output), 0);
    assert_eq!(case(&output)["inputs"][0]["kind"], "empty");
    assert!(out(&epicenter(folder.path(), &["investigate", "empty"])).contains("nothing to examine"));
}

#[test]
fn what_is_no_capture_is_refused_in_one_line() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for (input, says) in [
        (
            "text.log",
            "looks like an access log (first bytes 31 30 2e 30 2e 30 2e 31); accepted are pcap and pcapng captures",
        ),
        ("missing.pcap", "there is no such file"),
        ("sub", "is a directory"),
    ] {
        let output = epicenter(folder.path(), &["investigate", input]);
        assert_eq!(code(&output), 1, "{input}");
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        assert!(err(&output).contains(says), "{}", err(&output));
        assert!(out(&output).is_empty());
    }
    // The others are still used, and the exit code says that one was not.
    let both = epicenter(
        folder.path(),
        &["investigate", "--format", "json", "text.log", "plain.pcap"],
    );
    assert_eq!(code(&both), 1);
    assert_eq!(case(&both)["inputs"].as_array().unwrap().len(), 1);
}

#[test]
fn usage_is_exit_code_two() {
    let folder = folder();
    for args in [
        &["investigate"][..],
        &["investigate", "--format", "xml", "plain.pcap"],
        &["investigate", "--network", "10.0.0.1/8", "plain.pcap"],
        &["investigate", "--threads", "0", "plain.pcap"],
        &["no-such-command"],
        &["lookup"],
    ] {
        assert_eq!(code(&epicenter(folder.path(), args)), 2, "{args:?}");
    }
}

#[test]
fn attacks_can_fail_a_script_and_networks_narrow() {
    let Some(root) = crate::shared_data() else { return };
    let capture = "pcap-attack/lab_icmp_blacknurse.doup.pcap";
    assert_eq!(
        code(&epicenter(&root, &["investigate", "--fail-on-attack", capture])),
        3
    );
    assert_eq!(code(&epicenter(&root, &["investigate", capture])), 0);
    let inside = epicenter(
        &root,
        &[
            "investigate",
            "--fail-on-attack",
            "--network",
            "172.16.1.0/24",
            capture,
        ],
    );
    assert_eq!(code(&inside), 3);
    let outside = epicenter(
        &root,
        &[
            "investigate",
            "--fail-on-attack",
            "--network",
            "10.0.0.0/8",
            capture,
        ],
    );
    assert_eq!(code(&outside), 0);
}

#[test]
fn output_goes_to_a_file_or_to_whoever_still_reads() {
    let folder = folder();
    let output = epicenter(
        folder.path(),
        &["investigate", "--format", "json", "-o", "case.json", "plain.pcap"],
    );
    assert_eq!((code(&output), out(&output)), (0, String::new()));
    assert!(
        std::fs::read_to_string(folder.path().join("case.json"))
            .unwrap()
            .contains("epicenter.case/1")
    );
    let text = out(&epicenter(folder.path(), &["investigate", "plain.pcap"]));
    assert!(!text.contains('\x1b'), "no colour where there is no terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
}

#[test]
fn lookups_answer_and_name_bad_lines() {
    let folder = folder();
    let output = epicenter(
        folder.path(),
        &["lookup", "8.8.8.8", "::ffff:8.8.8.8", "192.168.0.1"],
    );
    assert_eq!(code(&output), 0);
    assert_eq!(out(&output).matches("AS15169").count(), 2);
    assert!(out(&output).contains("private (RFC 1918)"));
    std::fs::write(
        folder.path().join("list"),
        "1.1.1.1\nnonsense\n\n2606:4700::1111\n",
    )
    .unwrap();
    let output = epicenter(folder.path(), &["lookup", "--format", "json", "--file", "list"]);
    assert_eq!(code(&output), 0);
    assert_eq!(out(&output).lines().count(), 2);
    assert!(
        err(&output).contains("list, line 2: `nonsense` is no IP address"),
        "{}",
        err(&output)
    );
    let piped = epicenter_reading(folder.path(), &["lookup", "--format", "json", "-"], b"9.9.9.9\n");
    let place: serde_json::Value = serde_json::from_str(&out(&piped)).unwrap();
    assert_eq!(
        (place["asn"].as_u64(), place["kind"].as_str()),
        (Some(19281), Some("anycast"))
    );
    assert_eq!(code(&epicenter(folder.path(), &["lookup", "x"])), 1);
}

#[test]
fn an_atlas_of_ones_own() {
    let folder = folder();
    std::fs::write(
        folder.path().join("own.csv"),
        "network,country,asn,name\n203.0.112.0/24,NZ,64500,Example\n2a00::/16,FR,64501,Other\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("kinds"), "# mine\n203.0.112.7 tor\n").unwrap();
    let output = epicenter(
        folder.path(),
        &[
            "atlas",
            "build",
            "-o",
            "own.atlas",
            "--built",
            "2026-02-03",
            "own.csv",
        ],
    );
    assert_eq!(code(&output), 0, "{}", err(&output));
    let output = epicenter(
        folder.path(),
        &[
            "lookup",
            "--format",
            "json",
            "--atlas",
            "own.atlas",
            "--kinds",
            "kinds",
            "203.0.112.7",
        ],
    );
    let place: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(place["country"], "NZ");
    assert_eq!(place["kind"], "tor");
    assert!(out(&epicenter(folder.path(), &["atlas", "show", "own.atlas"])).contains("2026-02-03"));
    assert!(out(&epicenter(folder.path(), &["atlas", "show"])).contains("CC BY 4.0"));
    std::fs::write(folder.path().join("bad.csv"), "network,country\n10.0.0.1/8,US\n").unwrap();
    let bad = epicenter(
        folder.path(),
        &["atlas", "build", "-o", "x", "--built", "2026-02-03", "bad.csv"],
    );
    assert_eq!(code(&bad), 1);
    assert!(err(&bad).contains("line 2"), "{}", err(&bad));
    assert!(!folder.path().join("x").exists());
    let not = epicenter(folder.path(), &["lookup", "--atlas", "own.csv", "1.1.1.1"]);
    assert!(err(&not).contains("not a usable atlas"), "{}", err(&not));
}

#[test]
fn maxmind_test_databases_are_read() {
    let Some(root) = crate::shared_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let atlas = folder.path().join("mm.atlas");
    let databases = root.join("bogon/maxmind-test");
    let country = databases.join("GeoLite2-Country-Test.mmdb");
    let asn = databases.join("GeoLite2-ASN-Test.mmdb");
    let output = epicenter(
        folder.path(),
        &[
            "atlas",
            "build",
            "-o",
            atlas.to_str().unwrap(),
            country.to_str().unwrap(),
            asn.to_str().unwrap(),
        ],
    );
    assert_eq!(code(&output), 0, "{}", err(&output));
    let truth: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(databases.join("GeoLite2-ASN-Test.json")).unwrap())
            .unwrap();
    let mut expected = Vec::new();
    let mut asked = String::new();
    for entry in truth.as_array().unwrap() {
        let (network, data) = entry.as_object().unwrap().iter().next().unwrap();
        let address = network.split('/').next().unwrap();
        // Special-purpose space is nobody's, whatever a test database says, and 6to4 and Teredo forms are aliases in it.
        let ip: std::net::IpAddr = address.parse().unwrap();
        let usable = match ip {
            std::net::IpAddr::V4(v4) => !v4.is_private() && v4.octets()[0] != 0,
            std::net::IpAddr::V6(v6) => {
                (0x2001..=0x2c0f).contains(&v6.segments()[0])
                    && v6.segments()[0] != 0x2002
                    && v6.segments()[..2] != [0x2001, 0]
            }
        };
        if usable {
            asked.push_str(&format!("{address}\n"));
            expected.push((
                address.to_owned(),
                data["autonomous_system_number"].as_u64().unwrap(),
            ));
        }
    }
    assert!(expected.len() > 50, "only {} networks", expected.len());
    let output = epicenter_reading(
        folder.path(),
        &[
            "lookup",
            "--format",
            "json",
            "--atlas",
            atlas.to_str().unwrap(),
            "-",
        ],
        asked.as_bytes(),
    );
    for (line, (address, asn)) in out(&output).lines().zip(expected) {
        let place: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(place["asn"].as_u64(), Some(asn), "{address}: {line}");
    }
}

#[test]
fn the_manual_and_the_completions_come_from_the_definition() {
    let folder = folder();
    let manual = out(&epicenter(folder.path(), &["man"]));
    assert!(manual.contains(".TH epicenter") && manual.contains("investigate"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            out(&epicenter(folder.path(), &["completions", shell])).contains("investigate"),
            "{shell}"
        );
    }
    let help = out(&epicenter(folder.path(), &["investigate", "--help"]));
    for option in [
        "--format",
        "--network",
        "--atlas",
        "--threads",
        "--fail-on-attack",
        "Examples",
    ] {
        assert!(help.contains(option), "{option} is not in the help");
    }
}
