//! The speed questions: builds, generates the captures once, and runs each question. With rivals, their programs from the package
//! manager run on the same files, on a slice where they are slow.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::run as run_command;

const PACKETS: &str = "10000000";
/// Packets of the slice that slow rivals get.
const SLICE: &str = "500000";

/// Runs the questions.
pub(crate) fn run_questions(root: &Path) -> Result<(), String> {
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    run_command(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--package",
                "epicenter",
                "--package",
                "bench",
            ])
            .current_dir(root),
    )?;
    let bench = || {
        let mut command = Command::new(root.join("target/release/bench"));
        command.current_dir(&folder);
        command
    };
    for (kind, packets, file) in [
        ("mixed", PACKETS, "mixed.pcap"),
        ("forged", PACKETS, "forged.pcap"),
        ("mixed", SLICE, "slice.pcap"),
    ] {
        if !folder.join(file).exists() {
            run_command(bench().args(["generate", kind, packets, file]))?;
        }
    }
    let program = root.join("target/release/epicenter");
    for file in ["mixed.pcap", "forged.pcap"] {
        run_command(bench().arg("investigate").arg(&program).arg(file))?;
    }
    let country = root.join(
        "target/atlas/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
    );
    if country.exists() {
        run_command(bench().arg("lookup").arg(country))?;
    } else {
        println!(
            "address lookup left out: run `cargo xtask atlas` first, which fetches the rival's database"
        );
    }
    Ok(())
}

/// Runs the questions, and the rivals beside them if asked.
pub(crate) fn run(root: &Path, rivals: bool) -> Result<(), String> {
    run_questions(root)?;
    if !rivals {
        return Ok(());
    }
    let folder = root.join("target/bench");
    let flows = folder.join("nfpcapd");
    std::fs::create_dir_all(&flows).map_err(|error| error.to_string())?;
    println!("rival,packets,cpu_s,million_packets_per_cpu_s,peak_mib");
    let slice = folder.join("slice.pcap");
    let slice = slice.display().to_string();
    let flows = flows.display().to_string();
    let questions: [(&str, Vec<&str>); 3] = [
        (
            "epicenter",
            vec!["investigate", "--format", "json", "--threads", "1", &slice],
        ),
        ("tshark", vec!["-n", "-q", "-z", "conv,ip", "-r", &slice]),
        ("nfpcapd", vec!["-r", &slice, "-w", &flows]),
    ];
    for (name, args) in questions {
        let program = if name == "epicenter" {
            root.join("target/release/epicenter")
        } else {
            name.into()
        };
        let output = Command::new("/usr/bin/time")
            .args(["-f", "%U %S %M"])
            .args(["timeout", "120"])
            .arg(&program)
            .args(&args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("/usr/bin/time: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let numbers: Vec<f64> = text
            .lines()
            .last()
            .unwrap_or("")
            .split(' ')
            .filter_map(|n| n.parse().ok())
            .collect();
        match (output.status.success(), numbers.as_slice()) {
            (true, [user, system, kib]) => {
                let packets: f64 = SLICE.parse().unwrap_or(0.0);
                println!(
                    "{name},{SLICE},{:.2},{:.3},{:.0}",
                    user + system,
                    packets / (user + system) / 1e6,
                    kib / 1024.0
                );
            }
            _ => println!("{name}: not there or failed (Debian packages tshark, nfdump)"),
        }
    }
    Ok(())
}
