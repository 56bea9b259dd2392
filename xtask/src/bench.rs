//! The speed questions: builds, generates the captures once, and runs each question. With rivals, their programs from the package
//! manager run on the same files, on a slice where they are slow.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::run as run_command;

const PACKETS: &str = "10000000";
/// Records of the export files, and their formats.
const RECORDS: &str = "5000000";
const FORMATS: [&str; 4] = ["netflow5", "netflow9", "ipfix", "sflow"];
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
    for format in FORMATS {
        let file = format!("{format}.pcap");
        if !folder.join(&file).exists() {
            run_command(bench().args(["export", format, RECORDS, &file]))?;
        }
    }
    let program = root.join("target/release/epicenter");
    for file in ["mixed.pcap", "forged.pcap"] {
        run_command(bench().arg("investigate").arg(&program).arg(file))?;
    }
    for format in FORMATS {
        run_command(
            bench()
                .arg("investigate")
                .arg(&program)
                .arg(format!("{format}.pcap")),
        )?;
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
    println!("rival,records,cpu_s,million_records_per_cpu_s,peak_mib");
    let slice = folder.join("slice.pcap").display().to_string();
    let flows = flows.display().to_string();
    let epicenter = root.join("target/release/epicenter").display().to_string();
    let investigate = ["investigate", "--format", "json", "--threads", "1"];
    time(
        "epicenter",
        &epicenter,
        &[&investigate[..], &[&slice]].concat(),
        SLICE,
    );
    time(
        "tshark",
        "tshark",
        &["-n", "-q", "-z", "conv,ip", "-r", &slice],
        SLICE,
    );
    time("nfpcapd", "nfpcapd", &["-r", &slice, "-w", &flows], SLICE);
    // The chain of collectors: store what a file of export packets holds, then list the sources.
    for format in FORMATS {
        let file = folder.join(format!("{format}.pcap")).display().to_string();
        // A new folder each time: the collector leaves a mark in the system for a folder that it was stopped in.
        let stored = folder.join(format!("nfdump-{format}-{}", std::process::id()));
        std::fs::create_dir_all(&stored).map_err(|error| error.to_string())?;
        let stored = stored.display().to_string();
        time(
            &format!("epicenter {format}"),
            &epicenter,
            &[&investigate[..], &[&file]].concat(),
            RECORDS,
        );
        let collector = if format == "sflow" { "sfcapd" } else { "nfcapd" };
        if !collect(&folder, format, collector, &stored) {
            continue;
        }
        time(
            &format!("nfdump -s srcip {format}"),
            "nfdump",
            &["-R", &stored, "-s", "srcip", "-n", "10"],
            RECORDS,
        );
    }
    Ok(())
}

/// Lets a collector of the nfdump suite take a file's messages over loopback (the Debian package reads no captures), at a rate at which
/// it loses none, and prints what it took; false where it could not.
fn collect(folder: &Path, format: &str, collector: &str, stored: &str) -> bool {
    const PORT: &str = "29995";
    const MESSAGES_PER_S: &str = "80000";
    let started = Command::new("/usr/bin/time")
        .args(["-f", "%U %S %M", "timeout", "--preserve-status", "--signal=TERM"])
        .args([
            "16",
            collector,
            "-p",
            PORT,
            "-b",
            "127.0.0.1",
            "-B",
            "200000000",
            "-w",
            stored,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(child) = started else {
        println!("{collector}: /usr/bin/time is not there (Debian package time)");
        return false;
    };
    std::thread::sleep(std::time::Duration::from_secs(1));
    let file = format!("{format}.pcap");
    let sent = Command::new(folder.join("../release/bench"))
        .args(["send", &file, PORT, MESSAGES_PER_S])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status();
    // It ends by its own time limit, so that nothing of it is left behind.
    let text = match child.wait_with_output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(_) => String::new(),
    };
    let succeeded = sent.is_ok_and(|status| status.success());
    report(&format!("{collector} {format}"), succeeded, &text, RECORDS);
    succeeded
}

/// Runs a program to its end and prints what it took.
fn time(name: &str, program: &str, args: &[&str], records: &str) {
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%U %S %M"])
        .args(["timeout", "180"])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        println!("{name}: /usr/bin/time is not there (Debian package time)");
        return;
    };
    report(
        name,
        output.status.success(),
        &String::from_utf8_lossy(&output.stderr),
        records,
    );
}

/// Prints what `/usr/bin/time` says in its last line.
fn report(name: &str, succeeded: bool, text: &str, records: &str) {
    let numbers: Vec<f64> = text
        .lines()
        .last()
        .unwrap_or("")
        .split(' ')
        .filter_map(|n| n.parse().ok())
        .collect();
    match (succeeded, numbers.as_slice()) {
        (true, [user, system, kib]) => {
            let count: f64 = records.parse().unwrap_or(0.0);
            println!(
                "{name},{records},{:.2},{:.3},{:.0}",
                user + system,
                count / (user + system) / 1e6,
                kib / 1024.0
            );
        }
        _ => println!("{name}: not there or failed (Debian packages tshark, nfdump, nfdump-sflow)"),
    }
}
