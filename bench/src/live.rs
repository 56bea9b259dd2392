//! `epicenter listen` over loopback: what is sent as fast as it can be sent, or at a rate, is taken, and what is lost is counted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::send::send;

pub(crate) fn run(program: &str, rate: f64, files: &[&str]) -> anyhow::Result<()> {
    println!("file,sent_s,messages_per_s,records_per_s,messages_sent,dropped,records,cpu_s,peak_mib");
    for file in files {
        // GNU time reports on the program's last line of standard error.
        let mut child = Command::new("/usr/bin/time")
            .args(["-f", "%U %S %M", program, "listen", "--listen", "127.0.0.1:0"])
            .args(["--format", "json", "--status", "0", "--for", "15"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("/usr/bin/time is needed (Debian package `time`)")?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let first: Value = serde_json::from_str(&lines.next().context("no line")??)?;
        let address = first["addresses"][0].as_str().context("no address")?;
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .context("no port")?;
        std::thread::sleep(Duration::from_millis(300));
        let (sent, seconds) = send(file, port, rate)?;
        let last = lines.last().context("no last line")??;
        let stop: Value = serde_json::from_str(&last)?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let words = text.lines().last().unwrap_or("").split_whitespace();
        let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        let [user, system, kib] = numbers[..] else {
            anyhow::bail!("{program} failed: {text}")
        };
        let (dropped, records) = (
            &stop["dropped_by_kernel"],
            stop["records"].as_f64().unwrap_or(0.0),
        );
        anyhow::ensure!(
            stop["datagrams"].as_u64().unwrap_or(0) + dropped.as_u64().unwrap_or(0) <= sent,
            "more came than was sent"
        );
        println!(
            "{file},{seconds:.2},{:.0},{:.0},{sent},{dropped},{records},{:.2},{:.0}",
            sent as f64 / seconds,
            records / seconds,
            user + system,
            kib / 1024.0
        );
    }
    Ok(())
}
