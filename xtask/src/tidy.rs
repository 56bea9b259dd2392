//! The house rules that a program can check: module docs, line width, which room may use which, purity bans, a reason for each
//! dependency, expected results beside fixtures.

use std::fs;
use std::path::{Path, PathBuf};

const WIDTH_MAX: usize = 140;

/// Which rooms a room may use (ARCHITECTURE.md).
const ARROWS: [(&str, &[&str]); 8] = [
    ("wire", &[]),
    ("atlas", &[]),
    ("store", &[]),
    ("detect", &["wire", "atlas"]),
    ("trace", &["wire", "atlas", "detect"]),
    ("incident", &["wire", "atlas", "detect", "trace"]),
    ("range", &["wire", "atlas"]),
    (
        "epicenter",
        &["wire", "atlas", "store", "detect", "trace", "incident", "range"],
    ),
];
/// Rooms that read no clock, open no file and start no thread.
const PURE: [&str; 6] = ["wire", "atlas", "detect", "trace", "incident", "range"];

/// Checks everything and reports all problems together.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut problems = Vec::new();
    sources(root, &mut problems);
    arrows(root, &mut problems);
    dependencies(root, &mut problems);
    fixtures(root, &mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("not tidy:\n  {}", problems.join("\n  ")))
    }
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if !path.ends_with("target") {
                files(&path, ending, found);
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

fn sources(root: &Path, problems: &mut Vec<String>) {
    let mut all = Vec::new();
    for folder in ["crates", "xtask", "bench", "fuzz"] {
        files(&root.join(folder), "rs", &mut all);
    }
    for path in all {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if !text.starts_with("//!") {
            problems.push(format!("{shown}: it does not say what it is (//! at the top)"));
        }
        for (number, line) in text.lines().enumerate() {
            // Long texts inside a literal are left as they are.
            if line.chars().count() > WIDTH_MAX && !line.contains('"') {
                problems.push(format!("{shown}:{}: wider than {WIDTH_MAX}", number + 1));
            }
        }
    }
}

fn arrows(root: &Path, problems: &mut Vec<String>) {
    for (room, allowed) in ARROWS {
        let manifest =
            fs::read_to_string(root.join("crates").join(room).join("Cargo.toml")).unwrap_or_default();
        for (other, _) in ARROWS {
            let uses = manifest.contains(&format!("\n{other}.workspace = true"));
            if uses && !allowed.contains(&other) {
                problems.push(format!("crates/{room}: may not use {other}"));
            }
        }
    }
    for room in PURE {
        let bans = fs::read_to_string(root.join("crates").join(room).join("clippy.toml")).unwrap_or_default();
        if !bans.contains("SystemTime::now") || !bans.contains("HashMap") {
            problems.push(format!("crates/{room}/clippy.toml: the purity bans are missing"));
        }
    }
}

/// Every dependency of the product has its reason in docs/design.md.
fn dependencies(root: &Path, problems: &mut Vec<String>) {
    let reasons = fs::read_to_string(root.join("docs/design.md")).unwrap_or_default();
    let mut manifests = Vec::new();
    files(&root.join("crates"), "toml", &mut manifests);
    for path in manifests.iter().filter(|path| path.ends_with("Cargo.toml")) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                inside = matches!(line, "[dependencies]" | "[dev-dependencies]");
            } else if let Some((name, _)) = line.split_once(" = ")
                && inside
                && !name.contains(".workspace")
                && !reasons.contains(&format!("`{name}`"))
            {
                problems.push(format!("docs/design.md: no reason for the dependency `{name}`"));
            }
        }
    }
}

fn fixtures(root: &Path, problems: &mut Vec<String>) {
    for ending in ["pcap", "pcapng"] {
        let mut found = Vec::new();
        files(&root.join("fixtures"), ending, &mut found);
        for path in found {
            if !path.with_extension(format!("{ending}.expected")).exists() {
                problems.push(format!("{}: no expected result beside it", path.display()));
            }
        }
    }
}
