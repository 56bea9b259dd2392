//! Real captures with what is known of them: `captures.tsv` of the shared data. Prints right or wrong for each.

use crate::{case, epicenter, out, shared_data};

/// Bounds of the table: `-` is no bound.
fn within(value: f64, low: &str, high: &str) -> bool {
    low.parse::<f64>().map_or(true, |low| value >= low)
        && high.parse::<f64>().map_or(true, |high| value <= high)
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn every_shared_capture_is_judged_rightly() {
    let Some(root) = shared_data() else { return };
    let table = std::fs::read_to_string(root.join("captures.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [file, vectors, target, forged_min, forged_max, reflected_min, ..] = fields[..] else {
            panic!("{line}")
        };
        let output = epicenter(&root, &["investigate", "--format", "json", file]);
        let case = case(&output);
        let incidents = case["incidents"].as_array().unwrap();
        let found: Vec<&str> = incidents.first().map_or(Vec::new(), |i| {
            i["vectors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["name"].as_str().unwrap())
                .collect()
        });
        let named = vectors.split('|').any(|alternative| match alternative {
            "none" => incidents.is_empty(),
            "*" => !incidents.is_empty(),
            several if several.contains('+') => several.split('+').all(|name| found.contains(&name)),
            one => found.first() == Some(&one),
        });
        let details = incidents.first().is_none_or(|incident| {
            let host = incident["target"]["prefix"].as_str().unwrap();
            let host = host
                .strip_suffix("/32")
                .or(host.strip_suffix("/128"))
                .unwrap_or(host);
            let estimate = |of: &str| incident["sources"][of]["estimate"].as_f64().unwrap();
            target.split('|').any(|t| t == "-" || t == host)
                && within(estimate("forged"), forged_min, forged_max)
                && within(estimate("reflected"), reflected_min, "-")
        });
        let right = named && details;
        println!(
            "{} {file}: {}",
            if right { "right" } else { "WRONG" },
            if found.is_empty() {
                "no attack".to_owned()
            } else {
                found.join(" + ")
            }
        );
        if !right {
            wrong.push(file.to_owned());
        }
        rows += 1;
    }
    assert!(rows >= 25);
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
}

#[test]
fn two_runs_and_any_number_of_threads_give_the_same_bytes() {
    let Some(root) = shared_data() else { return };
    for file in [
        "pcap-attack/stopddos/amp.UDP.snmp.src161.pcapng",
        "pcap-attack/lab_http_hulk.daud.pcap",
        "pcap-benign/netflix.ndpi.pcap",
    ] {
        for format in ["json", "text", "fingerprint"] {
            let run = |threads: &str| {
                out(&epicenter(
                    &root,
                    &["investigate", "--format", format, "--threads", threads, file],
                ))
            };
            let once = run("1");
            assert!(!once.is_empty());
            assert_eq!(once, run("1"), "{file}: two runs differ");
            assert_eq!(once, run("2"), "{file}: two threads differ from one");
            assert_eq!(once, run("4"), "{file}: four threads differ from one");
        }
    }
}
