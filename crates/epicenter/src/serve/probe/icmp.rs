//! The `icmp` probe: an echo, over a datagram socket where the system lets anybody send one, over a raw socket where it lets us.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::net::{self, Trust};
use super::{Code, Outcome, Reason};

/// Echoes that are sent before there is none.
const TRIES: u16 = 3;
/// The longest time between two of them.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes by which an echo is known as ours: others ping too, and a raw socket hears them all.
const NONCE: usize = 16;

/// A socket, and whether it is a raw one.
struct Opened {
    socket: UdpSocket,
    raw: bool,
}

/// Makes the probe.
pub(super) async fn run(
    host: &str,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let host = net::host(host).map_err(|problem| Reason::new(Code::Misconfigured, problem))?;
    let addresses = net::resolve(&host, trust, until, &mut outcome.phases.dns).await?;
    let mut last = None;
    // The first address to which there is a way: an echo is asked of one host.
    for ip in addresses {
        let opened = open(ip, &[Type::DGRAM, Type::RAW]).map_err(|error| denied(&error))?;
        match opened.socket.connect(SocketAddr::new(ip, 0)).await {
            Ok(()) => return echo(&opened, ip, until, outcome).await,
            Err(error) => last = Some(net::connect_reason(SocketAddr::new(ip, 0), &error)),
        }
    }
    Err(last.unwrap_or_else(|| Reason::new(Code::DnsNoRecord, format!("{host} has no address"))))
}

fn denied(error: &io::Error) -> Reason {
    Reason::new(
        Code::NotPermitted,
        format!(
            "the system lets us send no echo ({error}): it needs net.ipv4.ping_group_range to hold our group, or CAP_NET_RAW"
        ),
    )
}

/// The first of the ways that the system permits.
fn open(ip: IpAddr, ways: &[Type]) -> io::Result<Opened> {
    let (domain, protocol) = match ip {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let mut denied = io::Error::from(io::ErrorKind::PermissionDenied);
    for way in ways {
        match Socket::new(domain, *way, Some(protocol)) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                // To tokio, a socket that is connected and sends datagrams.
                let socket = UdpSocket::from_std(socket.into())?;
                return Ok(Opened {
                    socket,
                    raw: *way == Type::RAW,
                });
            }
            Err(error) => denied = error,
        }
    }
    Err(denied)
}

async fn echo(
    opened: &Opened,
    ip: IpAddr,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| Reason::new(Code::Internal, error.to_string()))?;
    let whole = until.saturating_duration_since(tokio::time::Instant::now());
    let patience = PATIENCE.min(whole / u32::from(TRIES));
    let mut sent: Vec<Instant> = Vec::new();
    let mut refused = None;
    let mut buffer = [0; 2048];
    let mut next_at = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            got = opened.socket.recv(&mut buffer) => match got {
                Ok(size) => {
                    let answered = answer(&buffer[..size], ip, opened.raw, &nonce);
                    if let Some(began) = answered.and_then(|number| sent.get(usize::from(number))) {
                        outcome.phases.first_byte = Some(began.elapsed());
                        return Ok(());
                    }
                }
                // An ICMP error came back. A later echo may do better.
                Err(error) => {
                    refused = Some(net::connect_reason(SocketAddr::new(ip, 0), &error));
                    // Some errors stay: this is no loop without a rest.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            () = tokio::time::sleep_until(next_at), if sent.len() < usize::from(TRIES) => {
                let packet = request(ip, sent.len() as u16, &nonce);
                sent.push(Instant::now());
                if let Err(error) = opened.socket.send(&packet).await {
                    refused = Some(match error.kind() {
                        io::ErrorKind::PermissionDenied => denied(&error),
                        _ => net::connect_reason(SocketAddr::new(ip, 0), &error),
                    });
                }
                next_at = tokio::time::Instant::now() + patience;
            }
            () = tokio::time::sleep_until(until) => {
                return Err(refused.unwrap_or_else(|| {
                    Reason::new(Code::EchoTimeout, format!("{ip} sends no echo"))
                }));
            }
        }
    }
}

/// An echo request.
fn request(ip: IpAddr, number: u16, nonce: &[u8; NONCE]) -> Vec<u8> {
    // The identifier is of the nonce; the system puts its own in where the socket is a datagram one.
    let mut packet = vec![if ip.is_ipv4() { 8 } else { 128 }, 0, 0, 0, nonce[0], nonce[1]];
    packet.extend(number.to_be_bytes());
    packet.extend(nonce);
    // That of ICMPv6 is over addresses too, and the system computes it.
    if ip.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The number of our request to which this is the reply.
fn answer(packet: &[u8], ip: IpAddr, raw: bool, nonce: &[u8; NONCE]) -> Option<u16> {
    // Raw sockets of IPv4 give the IP header too; on some systems all sockets do. No ICMP message begins as one.
    let message = match (ip, packet.first()?) {
        (IpAddr::V4(_), first) if first >> 4 == 4 && (raw || *first == 0x45) => {
            packet.get(usize::from(first & 15) * 4..)?
        }
        _ => packet,
    };
    let kind = if ip.is_ipv4() { 0 } else { 129 };
    let (head, body) = message.split_at_checked(8)?;
    let ours = head[0] == kind && head[1] == 0 && body == nonce;
    ours.then(|| u16::from_be_bytes([head[6], head[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::probe::tests::{soon, trust};
    use crate::serve::probe::{Phases, Verdict};

    #[test]
    fn only_our_echo_is_taken() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let nonce = [7; NONCE];
        let mut packet = request(v4, 2, &nonce);
        // A message with its checksum sums to nothing.
        assert_eq!(checksum(&packet), 0);
        // Our own request, as loopback shows it to a raw socket, is no answer.
        assert_eq!(answer(&packet, v4, true, &nonce), None);
        packet[0] = 0;
        assert_eq!(answer(&packet, v4, false, &nonce), Some(2));
        assert_eq!(answer(&packet, v4, false, &[8; NONCE]), None);
        let mut with_header = vec![0x46; 24];
        with_header.extend(&packet);
        assert_eq!(answer(&with_header, v4, true, &nonce), Some(2));
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let mut packet = request(v6, 1, &nonce);
        packet[0] = 129;
        assert_eq!(answer(&packet, v6, true, &nonce), Some(1));
        for cut in 0..packet.len() {
            assert_eq!(answer(&packet[..cut], v6, true, &nonce), None, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn loopback_answers_where_the_system_lets_us_ask() {
        let mut outcome = Outcome::bare(Verdict::Up);
        let permitted = open("127.0.0.1".parse().unwrap(), &[Type::DGRAM, Type::RAW]).is_ok();
        let done = run("127.0.0.1", &trust(), soon(3_000), &mut outcome).await;
        if permitted {
            assert_eq!(done, Ok(()));
            assert!(outcome.phases.first_byte.is_some(), "{outcome:?}");
        } else {
            assert_eq!(done.unwrap_err().code, Code::NotPermitted);
            assert_eq!(outcome.phases, Phases::default());
        }
    }

    #[tokio::test]
    async fn without_a_way_to_ask_the_words_say_what_to_do() {
        let error = open("127.0.0.1".parse().unwrap(), &[]).err().unwrap();
        let reason = denied(&error);
        assert_eq!(reason.code, Code::NotPermitted);
        assert!(
            reason.words.contains("ping_group_range") && reason.words.contains("CAP_NET_RAW"),
            "{}",
            reason.words
        );
    }

    /// A socket at whose other end is an ordinary one, which may answer what it likes.
    async fn other_end() -> (Opened, UdpSocket) {
        let end = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(end.local_addr().unwrap()).await.unwrap();
        end.connect(socket.local_addr().unwrap()).await.unwrap();
        (Opened { socket, raw: false }, end)
    }

    #[tokio::test]
    async fn an_address_that_keeps_silent_or_talks_of_other_things_is_down_in_time() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        for talks in [false, true] {
            let (opened, end) = other_end().await;
            let talk = async {
                loop {
                    // Echoes of others, as a raw socket hears them.
                    let _ = end.send(&request(ip, 0, &[9; NONCE])).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let began = Instant::now();
            let mut outcome = Outcome::bare(Verdict::Up);
            let done = tokio::select! {
                done = echo(&opened, ip, soon(300), &mut outcome) => done,
                () = talk, if talks => unreachable!("talks for ever"),
            };
            assert_eq!(done.unwrap_err().code, Code::EchoTimeout);
            assert_eq!(outcome.phases.first_byte, None);
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }

    #[tokio::test]
    async fn a_lost_echo_is_asked_for_again_and_its_own_time_counts() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let (opened, end) = other_end().await;
        let answers = async {
            let mut buffer = [0; 64];
            // The first is lost.
            end.recv(&mut buffer).await.unwrap();
            let size = end.recv(&mut buffer).await.unwrap();
            buffer[0] = 0;
            end.send(&buffer[..size]).await.unwrap();
        };
        let mut outcome = Outcome::bare(Verdict::Up);
        let (done, ()) = tokio::join!(echo(&opened, ip, soon(1_500), &mut outcome), answers);
        assert_eq!(done, Ok(()));
        assert!(
            outcome.phases.first_byte.unwrap() < Duration::from_millis(400),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn an_error_that_comes_back_says_why() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let (opened, end) = other_end().await;
        // Nobody is there any more: the system answers for it.
        drop(end);
        let mut outcome = Outcome::bare(Verdict::Up);
        let reason = echo(&opened, ip, soon(300), &mut outcome).await.unwrap_err();
        assert_eq!(reason.code, Code::ConnectRefused);
    }
}
