//! `epicenter simulate --live`: exports of a simulated incident, sent to a collector as time goes by.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use range::Drill;
use range::drill::Signals;

/// Never more datagrams a second than this, whatever the speed: a drill is no flood.
const RATE_MAX: u32 = 20_000;
/// Waits shorter than this are left until they add up.
const NAP: Duration = Duration::from_millis(2);

/// Sends what the exporters send, each from a socket of its own, `speed` times as fast as it happens. What they send in one second is
/// spread over it. Gives what was done, in words.
pub(crate) fn send(
    to: SocketAddr,
    speed: f64,
    drill: &mut Drill<'_>,
    signals: &mut Signals,
) -> anyhow::Result<String> {
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let mut sockets: Vec<UdpSocket> = Vec::new();
    let (began, mut second, mut sent_all) = (Instant::now(), 0u32, 0u64);
    let mut free = began;
    loop {
        signals.clear();
        if !drill.second(signals) {
            break;
        }
        // What was before the scenario's start has no traffic, and is not waited for.
        if !drill.has_begun() {
            continue;
        }
        let all: Vec<_> = signals.exports.iter().flat_map(|(_, sent)| sent).collect();
        for (n, datagram) in all.iter().enumerate() {
            let into = f64::from(second) + (n + 1) as f64 / all.len() as f64;
            let due = (began + Duration::from_secs_f64(into / speed)).max(free);
            if let Some(wait) = due.checked_duration_since(Instant::now())
                && wait >= NAP
            {
                std::thread::sleep(wait);
            }
            free = due.max(Instant::now()) + Duration::from_secs(1) / RATE_MAX;
            while sockets.len() <= datagram.exporter {
                let socket = UdpSocket::bind(any).context("no socket to send from")?;
                socket.connect(to).with_context(|| to.to_string())?;
                sockets.push(socket);
            }
            if let Err(error) = sockets[datagram.exporter].send(&datagram.bytes) {
                if error.kind() == std::io::ErrorKind::ConnectionRefused {
                    bail!("{to}: nothing listens there");
                }
                return Err(error).with_context(|| to.to_string());
            }
            sent_all += 1;
        }
        second += 1;
    }
    Ok(format!("stand behind {sent_all} datagrams to {to}"))
}
