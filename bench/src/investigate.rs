//! Whole runs of `epicenter investigate`: the answer is checked, then CPU time, wall time and peak memory are read from the
//! operating system's accounting of the finished process (`/usr/bin/time -v` prints the same).

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

/// Counted runs; the median is quoted.
const RUNS: usize = 3;

struct Measured {
    cpu_s: f64,
    wall_s: f64,
    peak_mib: f64,
}

pub(crate) fn run(program: &str, files: &[&str]) -> anyhow::Result<()> {
    println!("file,threads,packets,cpu_s,wall_s,million_packets_per_cpu_s,peak_mib");
    for file in files {
        let mut answers = Vec::new();
        for threads in ["1", "2"] {
            let mut runs = Vec::new();
            let mut packets = 0;
            for _ in 0..RUNS {
                let args = ["investigate", "--format", "json", "--threads", threads, file];
                let (output, measured) = measure(program, &args)?;
                let case: Value = serde_json::from_slice(&output).context("the case is no JSON")?;
                packets = case["inputs"][0]["records"].as_u64().unwrap_or(0);
                check(&case, file)?;
                answers.push(output);
                runs.push(measured);
            }
            runs.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
            let m = &runs[RUNS / 2];
            println!(
                "{file},{threads},{packets},{:.2},{:.2},{:.2},{:.0}",
                m.cpu_s,
                m.wall_s,
                packets as f64 / m.cpu_s / 1e6,
                m.peak_mib
            );
        }
        anyhow::ensure!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "{file}: two runs differ"
        );
    }
    Ok(())
}

/// The answer to a generated capture: what it was made of.
fn check(case: &Value, file: &str) -> anyhow::Result<()> {
    let incident = &case["incidents"][0];
    let target = incident["target"]["prefix"].as_str().unwrap_or("");
    anyhow::ensure!(target == "198.41.30.10/32", "{file}: the target is `{target}`");
    let first = incident["vectors"][0]["name"].as_str().unwrap_or("");
    // The export files hold as many packets of one as of the other.
    let right = matches!(first, "syn_flood" | "dns_amplification");
    anyhow::ensure!(right, "{file}: the first vector is `{first}`");
    Ok(())
}

/// Runs a program to its end under `/usr/bin/time`, which reports on one line behind its standard error.
fn measure(program: &str, args: &[&str]) -> anyhow::Result<(Vec<u8>, Measured)> {
    let started = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%U %S %M", program])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .context("/usr/bin/time is needed (Debian package `time`)")?;
    let wall_s = started.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or("");
    let numbers: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [user, system, kib] = numbers[..] else {
        anyhow::bail!("{program} failed: {text}")
    };
    Ok((
        output.stdout,
        Measured {
            cpu_s: user + system,
            wall_s,
            peak_mib: kib / 1024.0,
        },
    ))
}
