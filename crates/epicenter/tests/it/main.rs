//! The program from outside: every test runs the real binary, in a folder of its own.

mod browser;
mod bundle;
mod captures;
mod claims;
mod commands;
mod detect;
mod exported;
mod exports;
mod live;
mod operators;
mod outages;
mod people;
mod scenarios;
mod serve;
mod simulate;
mod views;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs `epicenter` with these arguments in a folder.
fn epicenter(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_epicenter"))
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Runs it with bytes on standard input.
fn epicenter_reading(folder: &Path, args: &[&str], input: &[u8]) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_epicenter"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // It may have stopped reading: that is its right.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

/// The case that `--format json` printed, after checking it against the schema.
fn case(output: &Output) -> serde_json::Value {
    let case: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", err(output)));
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/case.schema.json")).expect("the schema is JSON");
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema is sound");
    let problems: Vec<String> = validator
        .iter_errors(&case)
        .map(|e| format!("{}: {e}", e.instance_path))
        .collect();
    assert!(problems.is_empty(), "not valid: {problems:?}");
    ordered(&case);
    case
}

/// What the schema cannot say: every interval holds its estimate, and lists are sorted.
fn ordered(case: &serde_json::Value) {
    for incident in case["incidents"].as_array().expect("a list") {
        for list in ["countries", "networks", "prefixes", "kinds"] {
            let shares: Vec<[f64; 3]> = incident["sources"][list]
                .as_array()
                .expect("a list")
                .iter()
                .map(|row| {
                    ["low", "estimate", "high"].map(|end| row["share"][end].as_f64().expect("a number"))
                })
                .collect();
            assert!(
                shares
                    .iter()
                    .all(|[low, e, high]| 0.0 <= *low && low <= e && e <= high && *high <= 1.0),
                "{list} {shares:?}"
            );
            assert!(
                shares.windows(2).all(|pair| pair[0][1] >= pair[1][1]),
                "{list} is not sorted"
            );
        }
        assert!(incident["end"].is_null() || incident["start"].as_str() <= incident["end"].as_str());
        // What people and probes saw has no packets.
        if incident["kind"] != "ddos" {
            continue;
        }
        let vectors: f64 = incident["vectors"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|v| v["share"].as_f64().expect("a number"))
            .sum();
        assert!((vectors - 1.0).abs() < 1e-4, "vector shares sum to {vectors}");
        let countries: f64 = incident["sources"]["countries"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| c["share"]["estimate"].as_f64().expect("a number"))
            .sum();
        assert!(
            (countries - 1.0).abs() < 1e-3,
            "country shares sum to {countries}"
        );
    }
}

/// The shared test data, or `None` where it is not there (which fails under CI).
fn shared_data() -> Option<PathBuf> {
    let root = std::env::var_os("EPICENTER_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if root.is_dir() {
        return Some(root);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the shared data is missing at {}",
        root.display()
    );
    None
}
