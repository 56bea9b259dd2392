//! `epicenter detect`: what is found in a series, in every form; bad input; and the public series of the shared data.

use std::path::Path;

use serde_json::Value;

use crate::{code, epicenter, epicenter_reading, err, out, shared_data};

/// Counts of minutes: a day and night rhythm without randomness, and a time in which they are multiplied.
fn service(days: usize, seed: usize, trouble: std::ops::Range<usize>, times: f64) -> String {
    let mut text = String::from("timestamp,value\n");
    for minute in 0..days * 1_440 {
        let hour = (minute % 1_440) as f64 / 60.0;
        let season = 1.0 + 0.5 * (hour / 24.0 * std::f64::consts::TAU).sin();
        let wobble = [0.6, 1.4, 0.9, 1.1, 1.3, 0.7, 1.0][(minute * 5 + seed) % 7];
        let factor = if trouble.contains(&minute) { times } else { 1.0 };
        let count = (8.0 * season * wobble * factor).round();
        text.push_str(&format!("{},{count}\n", 1_741_564_800 + minute * 60));
    }
    text
}

fn written(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = epicenter(folder, &[&["detect", "--format", "json"], args].concat());
    assert_eq!(code(&output), 0, "{}", err(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_surge_and_a_silence_are_found_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let trouble = 5 * 1_440 + 600..5 * 1_440 + 660;
    written(folder, "surge.csv", &service(8, 0, trouble.clone(), 6.0));
    written(folder, "silence.csv", &service(8, 1, trouble, 0.0));
    written(folder, "calm.csv", &service(8, 2, 0..0, 1.0));
    let files = ["surge.csv", "silence.csv", "calm.csv"];
    let found = json(folder, &files);
    assert_eq!(found["schema"], "epicenter.detection/1");
    let series = found["series"].as_array().unwrap();
    for (series, side) in series.iter().zip(["surge", "silence"]) {
        let incidents = series["incidents"].as_array().unwrap();
        assert_eq!(incidents.len(), 1, "{side}: {incidents:?}");
        let incident = &incidents[0];
        assert_eq!(incident["side"], side);
        assert_eq!(incident["onset"], "2025-03-15T10:00:00Z");
        assert_eq!(incident["end"], "2025-03-15T11:00:00Z");
        let detected = incident["detected"].as_str().unwrap();
        assert!(
            ("2025-03-15T10:00:00Z".."2025-03-15T10:05:00Z").contains(&detected),
            "{detected}"
        );
        assert!(incident["by_chance_a_year"].as_f64().unwrap() < 1e-3);
        assert!(incident["size"].as_f64().unwrap() > 300.0);
    }
    assert_eq!(series[2]["incidents"].as_array().unwrap().len(), 0);
    // CSV: a row for each row, the columns that are promised, scores from 0 to 1.
    let csv = out(&epicenter(folder, &["detect", "--format", "csv", "surge.csv"]));
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "timestamp,value,expected,low,high,score,state");
    assert_eq!(lines.len(), 1 + 8 * 1_440);
    let state_at = |minute: usize| lines[1 + minute].rsplit(',').next().unwrap();
    assert_eq!(state_at(0), "learning");
    assert_eq!(state_at(5 * 1_440), "normal");
    assert_eq!(state_at(5 * 1_440 + 610), "confirmed");
    assert_eq!(state_at(5 * 1_440 + 668), "recovering");
    assert_eq!(state_at(5 * 1_440 + 700), "resolved");
    for line in &lines[1..] {
        let score: f64 = line.split(',').nth(5).unwrap().parse().unwrap();
        assert!((0.0..=1.0).contains(&score), "{line}");
    }
    let text = out(&epicenter(folder, &[&["detect"], &files[..]].concat()));
    assert!(text.contains("2 of 3 series have incidents"), "{text}");
    assert!(
        text.contains("surge from 2025-03-15T10:00:00Z to 2025-03-15T11:00:00Z"),
        "{text}"
    );
    let page = out(&epicenter(
        folder,
        &[&["detect", "--format", "html"], &files[..]].concat(),
    ));
    assert!(page.starts_with("<!doctype html>") && page.matches("<svg").count() == 3);
    assert!(
        !page.contains("<script") && !page.contains("href=\"http") && !page.contains("src="),
        "nothing from elsewhere"
    );
    // From standard input, gzipped, and one side only.
    let piped = epicenter_reading(
        folder,
        &["detect", "--format", "json", "-"],
        service(8, 0, 0..0, 1.0).as_bytes(),
    );
    assert_eq!(code(&piped), 0);
    let up = json(folder, &["--side", "up", "silence.csv"]);
    assert_eq!(up["series"][0]["incidents"].as_array().unwrap().len(), 0);
}

#[test]
fn a_wide_file_is_its_columns_and_threads_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let parts: Vec<String> = (0..5)
        .map(|n| service(4, n, n * 1_000 + 1_500..n * 1_000 + 1_530, 8.0))
        .collect();
    let mut wide = String::from("time,a,b,c,d,e\n");
    let rows: Vec<Vec<&str>> = parts.iter().map(|part| part.lines().skip(1).collect()).collect();
    for row in 0..rows[0].len() {
        wide.push_str(rows[0][row].split(',').next().unwrap());
        for column in &rows {
            wide.push(',');
            wide.push_str(column[row].rsplit(',').next().unwrap());
        }
        wide.push('\n');
    }
    written(folder, "wide.csv", &wide);
    for (n, part) in parts.iter().enumerate() {
        written(folder, &format!("{n}.csv"), part);
    }
    let together = json(folder, &["wide.csv"]);
    let apart = json(folder, &["0.csv", "1.csv", "2.csv", "3.csv", "4.csv"]);
    for n in 0..5 {
        assert_eq!(
            together["series"][n]["incidents"],
            apart["series"][n]["incidents"]
        );
        assert_eq!(together["series"][n]["name"], ["a", "b", "c", "d", "e"][n]);
    }
    for format in ["json", "csv", "text", "html"] {
        let one = out(&epicenter(
            folder,
            &["detect", "--threads", "1", "--format", format, "wide.csv"],
        ));
        let four = out(&epicenter(
            folder,
            &["detect", "--threads", "4", "--format", format, "wide.csv"],
        ));
        assert_eq!(one, four, "{format}");
    }
    let csv = out(&epicenter(folder, &["detect", "--format", "csv", "wide.csv"]));
    assert!(csv.starts_with("series,timestamp,value,expected,low,high,score,state\na,"));
}

#[test]
fn bad_series_are_named_by_line_or_have_a_defined_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = "60,1\n120,2\n180,3\n";
    let refused = [
        ("empty.csv", "", "empty"),
        ("header.csv", "timestamp,value\n", "no row"),
        (
            "texts.csv",
            "name,city\nann,rome\nbob,oslo\n",
            "line 2: \"ann\" is no time",
        ),
        ("single-column.csv", "1\n2\n3\n", "line 1"),
        ("bytes.csv", "\u{0}\u{1}\u{2}", "no row"),
    ];
    for (name, text, says) in refused {
        written(folder, name, text);
        let output = epicenter(folder, &["detect", name]);
        assert_eq!(code(&output), 1, "{name}");
        assert!(
            err(&output).contains(says) && err(&output).contains(name),
            "{name}: {}",
            err(&output)
        );
        assert_eq!(out(&output), "");
    }
    written(folder, "good.csv", good);
    let both = epicenter(folder, &["detect", "texts.csv", "good.csv", "nowhere.csv"]);
    assert_eq!(code(&both), 1);
    assert!(out(&both).contains("good.csv"), "what was good is used");
    assert!(
        err(&both).contains("nowhere.csv: cannot be opened"),
        "{}",
        err(&both)
    );
    written(folder, "negative.csv", "60,1\n120,-3\n180,2\n");
    let negative = epicenter(folder, &["detect", "--kind", "count", "negative.csv"]);
    assert_eq!(code(&negative), 1);
    assert!(
        err(&negative).contains("line 2: -3 is no count"),
        "{}",
        err(&negative)
    );
    assert_eq!(json(folder, &["negative.csv"])["series"][0]["kind"], "metric");
    // Defined: disorder is put right, a repeated time counts once, what is no number is missing, and one row is learnt from.
    let told = [
        ("unsorted.csv", "180,3\n60,1\n120,2\n", "line 2: earlier"),
        (
            "repeated.csv",
            "60,1\n60,1\n60,9\n120,2\n180,2\n",
            "line 2: a time that was there before",
        ),
        (
            "some.csv",
            "60,1\n120,x\n180,3\n240,4\n",
            "line 2: \"x\" is no number",
        ),
    ];
    for (name, text, says) in told {
        written(folder, name, text);
        let output = epicenter(folder, &["detect", "--format", "csv", name]);
        assert_eq!(code(&output), 0, "{name}");
        assert!(err(&output).contains(says), "{name}: {}", err(&output));
    }
    written(folder, "one.csv", "60,1\n");
    let one = epicenter(folder, &["detect", "one.csv"]);
    assert!(
        code(&one) == 0 && out(&one).contains("too few rows"),
        "{}",
        out(&one)
    );
    written(folder, "nan.csv", "60,1\n120,NaN\n180,\n240,null\n300,2\n");
    let csv = out(&epicenter(folder, &["detect", "--format", "csv", "nan.csv"]));
    assert_eq!(csv.matches("missing").count(), 3, "{csv}");
    for wrong in [
        &["detect"][..],
        &["detect", "--budget", "0/year", "good.csv"],
        &["detect", "--budget", "1/moon", "good.csv"],
        &["detect", "--step", "-5", "good.csv"],
        &["detect", "--side", "left", "good.csv"],
    ] {
        assert_eq!(code(&epicenter(folder, wrong)), 2, "{wrong:?}");
    }
}

#[test]
fn a_gap_of_forty_years_raises_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for kind in ["count", "metric"] {
        let mut text = service(4, 0, 0..0, 1.0);
        for line in service(4, 3, 0..0, 1.0).lines().skip(1) {
            let (time, value) = line.split_once(',').unwrap();
            let later = time.parse::<u64>().unwrap() + 40 * 365 * 86_400;
            text.push_str(&format!("{later},{value}\n"));
        }
        written(folder, "gap.csv", &text);
        let found = json(folder, &["--kind", kind, "gap.csv"]);
        assert_eq!(
            found["series"][0]["incidents"].as_array().unwrap().len(),
            0,
            "{kind}"
        );
    }
}

/// Incidents of a series: which way, onset and end.
fn incidents(series: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    series["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|incident| {
            (
                text(&incident["side"]),
                text(&incident["onset"]),
                text(&incident["end"]),
            )
        })
        .collect()
}

/// The public series of the shared data, as a table: run with `--nocapture` to see it.
#[test]
#[expect(clippy::print_stdout, reason = "the table is what this test is for")]
fn public_series_come_out_right() {
    let Some(data) = shared_data() else { return };
    let series = data.join("outage-ts");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |name: &str, truth: &str, found: &str| println!("{name:<34} {truth:<46} {found}");
    // A day of an outage tracker, 25 services. It calls two of them troubled, weakly.
    let tracker: Value =
        serde_json::from_slice(&std::fs::read(series.join("downdetector_br_2025-12_A.json")).unwrap())
            .unwrap();
    let companies = tracker["companies"].as_array().unwrap();
    let mut text = String::from("time");
    for company in companies {
        text.push_str(&format!(
            ",{}",
            company["name"].as_str().unwrap().replace(',', " ")
        ));
    }
    for bin in 0..96 {
        text.push_str(&format!("\n{}", 1_765_324_800 + bin * 900));
        for company in companies {
            text.push_str(&format!(",{}", company["reports_15min"][bin]));
        }
    }
    written(folder, "tracker.csv", &text);
    let found = json(folder, &["tracker.csv"]);
    let mut affected = 0;
    for one in found["series"].as_array().unwrap() {
        let found = incidents(one);
        affected += usize::from(!found.is_empty());
        row(
            one["name"].as_str().unwrap(),
            "a day of 15-minute bins",
            &format!("{found:?}"),
        );
    }
    assert!(affected <= 2, "{affected} of 25 services");
    // Requests of a web server in 1995: a shutdown of 135,851 s from second 2,435,065 on, a gap of 1,325 s at 1,108,139.
    let nasa = series.join("workload/nasa_1995_jul_aug_req_per_min.csv");
    let found = json(
        folder,
        &["--step", "60", "--side", "down", nasa.to_str().unwrap()],
    );
    let silences = incidents(&found["series"][0]);
    let covers = |from: &str, to: &str| {
        silences
            .iter()
            .find(|(_, onset, end)| onset.as_str() <= from && to <= end.as_str())
            .cloned()
    };
    let shutdown = covers("1970-01-29T04:25:00Z", "1970-01-30T18:08:00Z");
    row(
        "NASA, shutdown",
        "29th 04:24:25 to 30th 18:08:36",
        &format!("{shutdown:?}"),
    );
    let gap = covers("1970-01-13T19:50:00Z", "1970-01-13T20:10:00Z");
    row(
        "NASA, gap of 1,325 s",
        "13th 19:48:59 to 20:11:04",
        &format!("{gap:?}"),
    );
    row(
        "NASA, all silences in 59 days",
        "",
        &format!("{}", silences.len()),
    );
    assert!(shutdown.is_some() && gap.is_some(), "{silences:?}");
    // Iran, November 2019, mean connectivity: 95.9 on the 16th at 19:00 local time, then 88, 67, 15.5.
    let text = std::fs::read_to_string(series.join("ipobs/irn-2019-11-11_gif.csv")).unwrap();
    let mut sums: std::collections::BTreeMap<u64, (f64, f64)> = std::collections::BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if let (Some(time), Ok(value)) = (
            fields
                .iter()
                .find_map(|f| f.parse().ok().filter(|t: &u64| *t > 1_500_000_000)),
            fields[fields.len() - 1].parse::<f64>(),
        ) {
            let sum = sums.entry(time).or_default();
            (sum.0, sum.1) = (sum.0 + value, sum.1 + 1.0);
        }
    }
    let text: String = sums
        .iter()
        .map(|(time, sum)| format!("{time},{}\n", sum.0 / sum.1))
        .collect();
    written(folder, "iran.csv", &text);
    let found = json(folder, &["--side", "down", "iran.csv"]);
    let breaks = incidents(&found["series"][0]);
    row(
        "Iran, mean of 73 places",
        "from the evening of the 16th on",
        &format!("{breaks:?}"),
    );
    let blackout = breaks
        .iter()
        .find(|(_, _, end)| end == "-")
        .expect("it is still running at the end");
    assert!(
        ("2019-11-16T18:00:00Z".."2019-11-16T23:00:00Z").contains(&blackout.1.as_str()),
        "{blackout:?}"
    );
}
