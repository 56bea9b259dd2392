//! Sends the export messages of a generated pcap to a UDP port on loopback, at a steady rate, for collectors that read no files.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Bytes before a message in the pcaps of [`crate::exports`]: record header, Ethernet, IPv4, UDP.
const BEFORE: usize = 16 + 42;

pub(crate) fn run(file: &str, port: u16, rate: f64) -> anyhow::Result<()> {
    let (sent, seconds) = send(file, port, rate)?;
    println!("sent {sent} messages in {seconds:.2} s");
    Ok(())
}

/// Sends, and says how many messages in how many seconds. A message that the system refuses is an error: it would look like a loss.
pub(crate) fn send(file: &str, port: u16, rate: f64) -> anyhow::Result<(u64, f64)> {
    let data = std::fs::read(file)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    let started = Instant::now();
    let (mut at, mut sent) = (24, 0u64);
    while at + BEFORE <= data.len() {
        let length = u32::from_le_bytes([data[at + 8], data[at + 9], data[at + 10], data[at + 11]]) as usize;
        let message = &data[at + BEFORE..at + 16 + length];
        socket.send(message)?;
        sent += 1;
        at += 16 + length;
        // Looks at the clock now and then: a steady rate over a few milliseconds is steady enough.
        if sent.is_multiple_of(64) {
            let due = Duration::from_secs_f64(sent as f64 / rate);
            if let Some(wait) = due.checked_sub(started.elapsed()) {
                std::thread::sleep(wait);
            }
        }
    }
    Ok((sent, started.elapsed().as_secs_f64()))
}
