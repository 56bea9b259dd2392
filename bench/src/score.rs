//! How right is `investigate`, over the library of scenarios and several seeds? The table is recorded, so that a change of behaviour
//! shows as a changed number.

use std::io::{BufWriter, Write};
use std::process::Command;

use anyhow::{Context, ensure};
use range::drill::Signals;
use range::exports::{Exporter, Format};
use range::scenario::LIBRARY;
use range::score::{Match, Outages, Score, Verdicts, score};
use range::{Drill, Scenario};
use serde_json::Value;

/// What is investigated: the packets, or what a router exports of them.
#[derive(Clone, Copy)]
enum Form {
    Packets,
    Export(Format, u32),
}

/// Investigates one seed of a scenario: its traffic in one form, what people and places say, and its claims.
fn one(program: &str, text: &str, seed: u64, form: Form, atlas: &atlas::Atlas) -> anyhow::Result<Score> {
    let scenario = Scenario::read(text, atlas)?;
    let folder = std::env::temp_dir().join(format!(
        "epicenter-score-{}-{seed}-{}",
        scenario.name,
        std::process::id()
    ));
    let claims = range::claims::toml(&scenario);
    let mut drill = Drill::new(scenario, seed, atlas)?;
    let mut signals = Signals::default();
    if let Form::Export(format, sampling) = form {
        let exporter = Exporter {
            sampling,
            ..Exporter::default()
        };
        signals.exports.push(drill.exporters(format, Some(&[exporter])));
    }
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(program);
    command.args(["investigate", "--format", "json"]);
    // A day of packets is more than memory should hold; what people say of it is not.
    let path = folder.join("traffic");
    let mut traffic = BufWriter::new(std::fs::File::create(&path)?);
    traffic.write_all(&range::packets::pcap_header())?;
    command.arg(path);
    let (mut reports, mut probes, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    while drill.second(&mut signals) {
        match signals.exports.first() {
            None => traffic.write_all(&signals.packets)?,
            Some((exporters, sent)) => {
                bytes.clear();
                sent.iter()
                    .for_each(|datagram| datagram.write(exporters.format(), &mut bytes));
                traffic.write_all(&bytes)?;
            }
        }
        reports.extend_from_slice(&signals.reports);
        probes.extend_from_slice(&signals.probes);
        signals.clear();
    }
    traffic.flush()?;
    let claims = claims.unwrap_or_default().into_bytes();
    for (name, bytes) in [("reports", reports), ("probes", probes), ("claims", claims)] {
        if bytes.is_empty() {
            continue;
        }
        let path = folder.join(name);
        std::fs::write(&path, bytes)?;
        if name == "claims" {
            command.arg("--claims");
        }
        command.arg(path);
    }
    for (name, prefix) in drill.range().services() {
        command.args(["--service", &format!("{name}={prefix}")]);
    }
    let output = command.output().with_context(|| program.to_owned());
    std::fs::remove_dir_all(&folder)?;
    let output = output?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let case: Value = serde_json::from_slice(&output.stdout)?;
    score(&case, &serde_json::to_value(drill.truth())?).map_err(|problem| anyhow::anyhow!(problem))
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        "-".to_owned()
    } else {
        format!("{:.0} %", 100.0 * part as f64 / whole as f64)
    }
}

fn row(name: &str, scores: &[Score]) {
    let all: Vec<&Match> = scores.iter().flat_map(|score| &score.incidents).collect();
    let sum = |count: fn(&Match) -> u64| all.iter().map(|m| count(m)).sum::<u64>();
    let n = all.len() as u64;
    let mean = |value: fn(&Match) -> f64| {
        if all.is_empty() {
            "-".to_owned()
        } else {
            format!(
                "{:.3}",
                all.iter().map(|m| value(m).abs()).sum::<f64>() / all.len() as f64
            )
        }
    };
    let found: u64 = scores.iter().map(|score| score.found).sum();
    let missed: u64 = scores.iter().map(|score| score.missed).sum();
    let invented: u64 = scores.iter().map(|score| score.invented).sum();
    let outages = |count: fn(&Outages) -> u64| scores.iter().map(|score| count(&score.outages)).sum::<u64>();
    let no_outages = outages(|o| o.found + o.missed + o.invented + o.seen_through) == 0;
    let causes: Vec<Option<bool>> = scores
        .iter()
        .flat_map(|score| score.outages.list.iter().map(|one| one.cause_is_right))
        .collect();
    let causes = |is_right: Option<bool>| causes.iter().filter(|cause| **cause == is_right).count();
    let verdicts =
        |count: fn(&Verdicts) -> u64| scores.iter().map(|score| count(&score.verdicts)).sum::<u64>();
    let judged = verdicts(|v| v.judged);
    let squares: f64 = scores
        .iter()
        .filter_map(|score| Some(score.verdicts.brier? * score.verdicts.judged as f64))
        .sum();
    println!(
        "{name:<20} {:>7} {invented:>6} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>9}",
        format!("{found}/{}", found + missed),
        share(sum(|m| u64::from(m.target_is_right)), n),
        mean(|m| m.start_error_s),
        mean(|m| m.end_error_s),
        format!(
            "{}/{}/{}",
            sum(|m| m.vectors_right),
            sum(|m| m.vectors_missing),
            sum(|m| m.vectors_invented)
        ),
        mean(|m| m.forged_error),
        share(sum(|m| u64::from(m.forged_covered)), n),
        share(sum(|m| u64::from(m.reflected_covered)), n),
        mean(|m| m.countries_distance),
        share(sum(|m| m.countries_covered), sum(|m| m.countries)),
        share(sum(|m| m.networks_covered), sum(|m| m.networks)),
        share(sum(|m| m.senders_covered), sum(|m| m.senders)),
        if no_outages {
            "-".to_owned()
        } else {
            format!(
                "{}/{}/{}",
                outages(|o| o.found),
                outages(|o| o.missed),
                outages(|o| o.invented)
            )
        },
        if no_outages {
            "-".to_owned()
        } else {
            // One that is seen through has its cause right too.
            format!(
                "{}/{}/{}",
                causes(Some(true)) as u64 + outages(|o| o.seen_through),
                causes(Some(false)),
                causes(None)
            )
        },
        format!("{judged}/{}", verdicts(|v| v.judged + v.declined + v.missing)),
        if judged == 0 {
            "-".to_owned()
        } else {
            format!("{:.3}", squares / judged as f64)
        },
        format!("{}/{}", verdicts(|v| v.likely_right), verdicts(|v| v.likely)),
        format!("{}/{}", verdicts(|v| v.unlikely_right), verdicts(|v| v.unlikely)),
    );
}

/// Of all probabilities that cases state: how often what they speak of is so.
fn calibration(all: &[(f64, bool)]) {
    println!(
        "-- probabilities of verdicts, and of countries to be the senders' first or to have most: how often it was so"
    );
    println!(
        "{:<12} {:>7} {:>7} {:>8}",
        "probability", "stated", "mean", "was so"
    );
    for bin in 0..10 {
        let (low, high) = (f64::from(bin) / 10.0, f64::from(bin + 1) / 10.0);
        let here: Vec<&(f64, bool)> = all
            .iter()
            .filter(|(p, _)| (low..high).contains(p) || bin == 9 && *p >= 1.0)
            .collect();
        let mean = here.iter().map(|(p, _)| p).sum::<f64>() / here.len().max(1) as f64;
        println!(
            "{:<12} {:>7} {:>7} {:>8}",
            format!("{low:.1} to {high:.1}"),
            here.len(),
            if here.is_empty() {
                "-".to_owned()
            } else {
                format!("{mean:.3}")
            },
            share(
                here.iter().filter(|(_, so)| *so).count() as u64,
                here.len() as u64
            ),
        );
    }
}

pub(crate) fn run(program: &str, seeds: u64) -> anyhow::Result<()> {
    let atlas = atlas::Atlas::embedded();
    let mut probabilities = Vec::new();
    println!(
        "{seeds} seeds of each scenario; `inside`, `reflect`, `networks` and `senders`: how many intervals hold the truth; vectors: right/missing/invented;"
    );
    println!(
        "outages: found/missed/invented; causes of them: right/wrong/not known; likely, unlikely: verdicts that were right of those that said so or more"
    );
    println!(
        "{:<20} {:>7} {:>6} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>9}",
        "scenario",
        "found",
        "false",
        "target",
        "start s",
        "end s",
        "vectors",
        "forged",
        "inside",
        "reflect",
        "countries",
        "inside",
        "networks",
        "senders",
        "outages",
        "causes",
        "verdicts",
        "Brier",
        "likely",
        "unlikely"
    );
    let forms = [
        ("packets", Form::Packets),
        ("NetFlow v5, every packet", Form::Export(Format::Netflow5, 1)),
        ("NetFlow v9, one packet in 20", Form::Export(Format::Netflow9, 20)),
        ("IPFIX, every packet", Form::Export(Format::Ipfix, 1)),
        ("sFlow, one packet in 20", Form::Export(Format::Sflow, 20)),
    ];
    for (what, form) in forms {
        println!("-- {what}");
        let mut all: Vec<Score> = Vec::new();
        for (name, text) in LIBRARY {
            let scores = (1..=seeds)
                .map(|seed| one(program, text, seed, form, &atlas))
                .collect::<anyhow::Result<Vec<_>>>()?;
            row(name, &scores);
            all.extend(scores);
        }
        row("all", &all);
        probabilities.extend(all.iter().flat_map(|score| &score.probabilities).copied());
    }
    calibration(&probabilities);
    Ok(())
}
