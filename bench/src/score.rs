//! How right is `investigate`, over the library of scenarios and several seeds? The table is recorded, so that a change of behaviour
//! shows as a changed number.

use std::process::Command;

use anyhow::{Context, ensure};
use range::exports::{Exporter, Format};
use range::scenario::LIBRARY;
use range::score::{Match, Score, score};
use range::{Range, Scenario};
use serde_json::Value;

/// What is investigated: the packets, or what a router exports of them.
#[derive(Clone, Copy)]
enum Form {
    Packets,
    Export(Format, u32),
}

fn one(program: &str, text: &str, seed: u64, form: Form, atlas: &atlas::Atlas) -> anyhow::Result<Score> {
    let scenario = Scenario::read(text, atlas)?;
    let file = std::env::temp_dir().join(format!(
        "epicenter-score-{}-{seed}-{}.pcap",
        scenario.name,
        std::process::id()
    ));
    let mut range = Range::new(scenario, seed, atlas)?;
    let mut bytes = range::packets::pcap_header().to_vec();
    match form {
        Form::Packets => while range.second(&mut bytes) {},
        Form::Export(format, sampling) => {
            let exporter = Exporter {
                sampling,
                ..Exporter::default()
            };
            let exporters = range.exporters(format, Some(&[exporter]));
            let (mut packets, mut exports) = (Vec::new(), [(exporters, Vec::new())]);
            while range.second_with(&mut packets, &mut exports) {
                packets.clear();
                exports[0]
                    .1
                    .drain(..)
                    .for_each(|datagram| datagram.write(format, &mut bytes));
            }
        }
    }
    std::fs::write(&file, bytes)?;
    let output = Command::new(program)
        .args(["investigate", "--format", "json"])
        .arg(&file)
        .output()
        .with_context(|| program.to_owned());
    std::fs::remove_file(&file)?;
    let output = output?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let case: Value = serde_json::from_slice(&output.stdout)?;
    score(&case, &serde_json::to_value(range.truth())?).map_err(|problem| anyhow::anyhow!(problem))
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
    println!(
        "{name:<20} {:>7} {invented:>6} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9}",
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
    );
}

pub(crate) fn run(program: &str, seeds: u64) -> anyhow::Result<()> {
    let atlas = atlas::Atlas::embedded();
    println!("{seeds} seeds of each scenario; shares of intervals are how many hold the truth");
    println!(
        "{:<20} {:>7} {:>6} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9}",
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
        "networks"
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
        let mut all = Vec::new();
        for (name, text) in LIBRARY {
            let scores = (1..=seeds)
                .map(|seed| one(program, text, seed, form, &atlas))
                .collect::<anyhow::Result<Vec<_>>>()?;
            row(name, &scores);
            all.extend(scores);
        }
        row("all", &all);
    }
    Ok(())
}
