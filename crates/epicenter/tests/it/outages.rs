//! Problem reports and probe results: from JSON lines to outages in the case.

use std::fmt::Write as _;

use crate::{case, code, epicenter, err, out};

const START: i64 = 1_741_392_000; // 8 March 2025, 00:00 UTC

fn stamp(second: i64) -> String {
    let (day, rest) = (second.div_euclid(86_400) - 20_155, second.rem_euclid(86_400));
    format!(
        "2025-03-{:02}T{:02}:{:02}:{:02}Z",
        8 + day,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Two days of two reports a minute from many networks, then `extra` a minute for half an hour; three places probe.
pub(crate) fn signals(service: &str, extra: u64, fails: bool, hours: i64) -> String {
    let mut text = String::new();
    let mut person = 0u64;
    for minute in 0..hours * 60 {
        let bad = (2_900..2_930).contains(&minute);
        for n in 0..2 + if bad { extra } else { 0 } {
            person += 1;
            let at = stamp(START + minute * 60 + (n % 60) as i64);
            let network = 1_000 + person * 7 % 97;
            let _ = writeln!(
                text,
                r#"{{"schema":"epicenter.report/1","at":"{at}","service":"{service}","symptom":"app","country":"US","network":{network},"person":{person}}}"#
            );
        }
        for place in ["ashburn", "frankfurt", "singapore"] {
            let at = stamp(START + minute * 60 + 5);
            let ok = !(bad && fails);
            let _ = writeln!(
                text,
                r#"{{"schema":"epicenter.probe/1","at":"{at}","service":"{service}","place":"{place}","ok":{ok}}}"#
            );
        }
    }
    text
}

#[test]
fn an_outage_is_found_from_what_people_and_probes_say() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("x.jsonl"), signals("x", 80, true, 51)).unwrap();
    let json = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "x.jsonl"],
    ));
    let incidents = json["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{json}");
    let outage = &incidents[0];
    assert_eq!(outage["kind"], "outage");
    assert_eq!(outage["target"]["service"], "x");
    assert_eq!(outage["start"], "2025-03-10T00:20:00Z");
    assert_eq!(outage["confidence"], "high");
    assert_eq!(outage["cause"]["kind"], "unknown", "no traffic was seen");
    let reports = outage["total"]["reports"].as_u64().unwrap();
    assert!((2_300..2_700).contains(&reports), "{reports}");
    assert_eq!(json["signals"][0]["probes"], 3 * 51 * 60);
    let page = out(&epicenter(folder, &["investigate", "x.jsonl"]));
    assert!(
        page.starts_with("x was in trouble from 2025-03-10 00:20 UTC"),
        "{page}"
    );
    let report = out(&epicenter(
        folder,
        &["investigate", "--format", "html", "x.jsonl"],
    ));
    for wanted in [
        "x was in trouble",
        "Trouble with x",
        "Waves of trouble",
        "<svg",
        "app",
    ] {
        assert!(report.contains(wanted), "{wanted} is not in the report");
    }
    // Compressed, in two files and in another order: the same.
    let text = signals("x", 80, true, 51);
    let (first, second): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains("probe/1"));
    let packed = zstd::encode_all(first.join("\n").as_bytes(), 1).unwrap();
    std::fs::write(folder.join("a.zst"), packed).unwrap();
    std::fs::write(folder.join("b"), second.join("\n")).unwrap();
    let again = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "b", "a.zst"],
    ));
    assert_eq!(again["incidents"], json["incidents"]);
}

#[test]
fn quiet_days_show_none_and_bad_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = signals("x", 0, false, 51);
    text.push_str("{\"schema\":\"epicenter.report/1\"}\nnot a line of ours\n");
    std::fs::write(folder.join("x.jsonl"), text).unwrap();
    let found = epicenter(folder, &["investigate", "--fail-on-attack", "x.jsonl"]);
    assert_eq!(code(&found), 0, "{}", err(&found));
    let page = out(&found);
    assert!(page.starts_with("No outage found in "), "{page}");
    assert!(page.contains("2 x line-malformed"), "{page}");
    let wrong = epicenter(folder, &["investigate", "--service", "x", "x.jsonl"]);
    assert_eq!(code(&wrong), 2);
    assert!(err(&wrong).contains("NAME=CIDR"), "{}", err(&wrong));
}
