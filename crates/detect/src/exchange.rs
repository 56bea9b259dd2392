//! Did the target ask for this? What one conversation says, seen from one of its two ends.
//!
//! A rate alone accuses nobody: a download is as fast as a flood. What tells them apart is the other direction. A client
//! that completes its handshake, a resolver that answers a question, a peer that talks and listens: all of that is asked
//! for. SYNs that no ACK follows, answers without a question, segments of no connection are not.

use crate::conversation::{Strand, distinct_of_bins};
use crate::vector::{Transport, Vector};

/// Packets of one direction, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// SYN without ACK.
    pub syn: u64,
    /// SYN with ACK.
    pub synack: u64,
    /// ACK without payload.
    pub ack: u64,
    /// TCP segments with payload or PSH.
    pub data: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
    /// Flag combinations that no connection has.
    pub odd: u64,
    /// UDP datagrams.
    pub udp: u64,
    /// ICMP messages.
    pub icmp: u64,
    /// ICMP types seen, see [`icmp_bit`].
    pub icmp_types: u64,
    /// All other protocols and later fragments.
    pub other: u64,
    /// All packets.
    pub packets: u64,
}

impl Direction {
    fn add(&mut self, strand: &Strand) {
        let n = strand.packets;
        self.packets += n;
        match strand.vector {
            Vector::SynFlood => self.syn += n,
            Vector::SynackReflection => self.synack += n,
            Vector::AckFlood => self.ack += n,
            Vector::PshAckFlood | Vector::HttpFlood | Vector::MiddleboxReflection => self.data += n,
            Vector::FinFlood => self.fin += n,
            Vector::RstFlood => self.rst += n,
            Vector::XmasFlood | Vector::NullFlood => self.odd += n,
            Vector::IcmpFlood => {
                self.icmp += n;
                self.icmp_types |= strand.dst_ports;
            }
            v if v.transport() == Transport::Udp => self.udp += n,
            _ => self.other += n,
        }
    }

    /// Segments that only a connection has.
    fn connected(&self) -> u64 {
        self.ack + self.data + self.fin
    }
}

/// The bit of an ICMP or ICMPv6 type in [`Direction::icmp_types`]. Types below 64 have their own bit; those of ICMPv6 from
/// 128 on have the bits from 32 on (no type that matters here lies between).
pub fn icmp_bit(icmp_type: u8) -> u64 {
    if icmp_type < 128 {
        1 << (icmp_type & 31)
    } else {
        1 << (32 + (icmp_type & 31))
    }
}

/// Echo requests: ICMP type 8, ICMPv6 type 128.
pub const ECHO_REQUEST: u64 = 1 << 8 | 1 << 32;
/// Echo replies: ICMP type 0, ICMPv6 type 129.
pub const ECHO_REPLY: u64 = 1 | 1 << 33;
/// Errors and redirects: ICMP 3, 4, 5, 11, 12. ICMPv6 1 to 4 share bits 3 and 4 with them.
pub const ICMP_ERRORS: u64 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 11 | 1 << 12 | 1 << 1 | 1 << 2;
/// Neighbour discovery and multicast listener reports (ICMPv6 130 to 143): a link's own housekeeping.
pub const LINK_LOCAL_TALK: u64 = 0x3fff << 34;

/// One conversation seen from the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// From the peer to the target.
    pub incoming: Direction,
    /// From the target to the peer.
    pub outgoing: Direction,
    connection: bool,
    /// The peer's flow records show connections from their opening on.
    opened: bool,
    bidirectional_udp: bool,
}

impl Exchange {
    /// Sums up a conversation. `target_is_low` says which end is the target.
    pub fn of<'a>(strands: impl Iterator<Item = &'a Strand> + Clone, target_is_low: bool) -> Exchange {
        Exchange::of_sample(strands, target_is_low, 1.0)
    }

    /// The same for strands in which each observed packet stands for `rate`.
    pub fn of_sample<'a>(
        strands: impl Iterator<Item = &'a Strand> + Clone,
        target_is_low: bool,
        rate: f64,
    ) -> Exchange {
        let mut exchange = Exchange::default();
        for strand in strands.clone() {
            let outgoing = strand.forward == target_is_low;
            if outgoing {
                exchange.outgoing.add(strand)
            } else {
                exchange.incoming.add(strand)
            }
        }
        let incoming_strands = strands.filter(|strand| strand.forward != target_is_low);
        exchange.opened = incoming_strands
            .clone()
            .any(|strand| strand.saw & Strand::SAW_CONNECTION != 0);
        exchange.connection = exchange.is_connection(incoming_strands, rate);
        // A stream in one direction and some feedback in the other (RTCP, QUIC, uTP) is an exchange.
        exchange.bidirectional_udp =
            exchange.outgoing.udp * 50 >= exchange.incoming.udp && exchange.outgoing.udp > 0;
        exchange
    }

    /// Sums up all conversations of a host: strands, and whether the host is the lower end.
    pub fn together<'a, S>(conversations: impl Iterator<Item = (S, bool)>) -> Exchange
    where
        S: Iterator<Item = &'a Strand>,
    {
        let mut exchange = Exchange::default();
        for (strands, target_is_low) in conversations {
            for strand in strands {
                if strand.forward == target_is_low {
                    exchange.outgoing.add(strand);
                } else {
                    exchange.incoming.add(strand);
                }
            }
        }
        exchange
    }

    /// Whether a vector's packets are in proportion to the rest of a host's traffic, for traffic of which only a sample was observed.
    /// Sessions have several segments for each SYN or SYN-ACK; a host that asks questions sends about as many as it gets answers.
    pub fn asked_for_together(&self, vector: Vector) -> bool {
        let (i, o) = (&self.incoming, &self.outgoing);
        match vector {
            Vector::SynFlood => i.connected() >= 3 * i.syn,
            Vector::FinFlood => i.ack + i.data >= 3 * i.fin,
            Vector::SynackReflection => i.connected() >= 2 * i.synack || o.syn * 2 >= i.synack,
            Vector::RstFlood => i.connected() >= 2 * i.rst || o.packets >= i.rst,
            Vector::AckFlood | Vector::PshAckFlood | Vector::HttpFlood | Vector::MiddleboxReflection => {
                o.connected() * 20 >= i.connected()
            }
            Vector::IcmpFlood => o.icmp * 2 >= i.icmp,
            v if v.transport() == Transport::Udp => o.udp * 20 >= i.udp && o.udp > 0,
            _ => o.other * 20 >= i.other && o.other > 0,
        }
    }

    /// Whether the TCP segments belong to connections that both ends keep up, as far as can be seen.
    fn is_connection<'a>(&self, incoming: impl Iterator<Item = &'a Strand>, rate: f64) -> bool {
        let (i, o) = (&self.incoming, &self.outgoing);
        // Most segments were refused: there is no connection behind them.
        if o.rst * 2 > i.connected() && o.connected() * 4 < i.connected() {
            return false;
        }
        let opened_by_peer = self.opened || i.syn > 0 && i.connected() * 2 >= i.syn;
        let opened_by_target = o.syn > 0 && (i.synack + i.connected() > 0);
        let seen_midway_both = o.connected() > 0 && o.connected() * 50 >= i.connected();
        if opened_by_peer || opened_by_target || seen_midway_both {
            return true;
        }
        // One direction only, and the opening was not captured: a connection has many packets for each port, a flood
        // draws new ports all the time.
        if o.packets > 0 {
            return false;
        }
        incoming
            .filter(|strand| {
                matches!(
                    strand.vector,
                    Vector::AckFlood | Vector::PshAckFlood | Vector::MiddleboxReflection
                )
            })
            .any(|strand| {
                let ports = distinct_of_bins(&[strand.src_ports]).unwrap_or(f64::INFINITY)
                    * distinct_of_bins(&[strand.dst_ports]).unwrap_or(f64::INFINITY);
                strand.packets as f64 / rate >= 4.0 * ports
            })
    }

    /// Whether the target asked for the incoming strand of this vector, or takes part in it.
    pub fn asked_for(&self, vector: Vector) -> bool {
        let (i, o) = (&self.incoming, &self.outgoing);
        match vector {
            Vector::SynFlood => i.connected() * 2 >= i.syn,
            Vector::SynackReflection => o.syn > 0 || i.connected() >= i.synack || self.connection,
            Vector::RstFlood => o.syn + o.synack + o.connected() + o.odd > 0 || self.connection,
            Vector::AckFlood
            | Vector::PshAckFlood
            | Vector::FinFlood
            | Vector::HttpFlood
            | Vector::MiddleboxReflection
            | Vector::XmasFlood
            | Vector::NullFlood => self.connection,
            Vector::IcmpFlood => {
                let answers = o.icmp_types & ECHO_REQUEST != 0 && i.icmp_types & ECHO_REQUEST == 0;
                let errors_only = i.icmp_types & !ICMP_ERRORS == 0;
                let housekeeping = i.icmp_types & !LINK_LOCAL_TALK == 0 && i.icmp_types != 0 && i.icmp < 200;
                answers || housekeeping || (errors_only && o.packets >= i.icmp)
            }
            Vector::IpFragment => self.bidirectional_udp || o.other * 50 >= i.other && o.other > 0,
            v if v.transport() == Transport::Udp => {
                // Up to twenty packets for a question: a long answer, or a monitor that asks for a list.
                if v.is_reflection() {
                    o.udp * 20 >= i.udp && o.udp > 0
                } else {
                    self.bidirectional_udp
                }
            }
            _ => o.other * 50 >= i.other && o.other > 0,
        }
    }

    /// Whether the peer has shown that it receives what the target sends: it completed a handshake that the target answered.
    pub fn handshake_completed(&self) -> bool {
        let (i, o) = (&self.incoming, &self.outgoing);
        let answered = i.syn > 0 && o.synack > 0 && i.connected() * 2 >= i.syn;
        (answered || self.opened && o.connected() > 0) && self.connection
    }

    /// Whether the peer answered the target's SYN-ACK with RST and nothing else: it knows nothing of the connection.
    pub fn denied(&self) -> bool {
        let (i, o) = (&self.incoming, &self.outgoing);
        i.syn > 0 && o.synack > 0 && i.rst > 0 && i.connected() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversations, Touch, port_bin};

    const TARGET: u32 = 1;
    const PEER: u32 = 2;

    /// Builds the exchange of (from target?, vector, packets, distinct ports) as the table would.
    fn exchange(parts: &[(bool, Vector, u64, u16)]) -> Exchange {
        let mut table = Conversations::default();
        let address = |n: u32| std::net::Ipv4Addr::from(n).to_ipv6_mapped();
        for &(out, vector, packets, ports) in parts {
            for port in 0..ports {
                let (src, dst) = if out { (TARGET, PEER) } else { (PEER, TARGET) };
                let touch = Touch {
                    src: address(src),
                    dst: address(dst),
                    first_ns: 1,
                    last_ns: 1,
                    packets: packets / u64::from(ports),
                    bytes: 40,
                    vector,
                    ttl: 60,
                    saw: 0,
                    window: 0,
                    options: 0,
                    src_port_bin: port_bin(port),
                    dst_port_bin: port_bin(80),
                };
                table.add_all(&[touch], &mut Vec::new());
            }
        }
        let strands: Vec<_> = table.strands(0).copied().collect();
        Exchange::of(strands.iter(), true)
    }

    #[test]
    fn a_handshake_is_completed_or_not() {
        let good = exchange(&[
            (false, Vector::SynFlood, 10, 1),
            (true, Vector::SynackReflection, 10, 1),
            (false, Vector::AckFlood, 10, 1),
        ]);
        assert!(good.asked_for(Vector::SynFlood) && good.handshake_completed());
        let flood = exchange(&[
            (false, Vector::SynFlood, 100, 1),
            (true, Vector::SynackReflection, 100, 1),
        ]);
        assert!(!flood.asked_for(Vector::SynFlood) && !flood.handshake_completed());
        let denied = exchange(&[
            (false, Vector::SynFlood, 1, 1),
            (true, Vector::SynackReflection, 1, 1),
            (false, Vector::RstFlood, 1, 1),
        ]);
        assert!(denied.denied());
        assert!(
            denied.asked_for(Vector::RstFlood),
            "the RST answers the target's SYN-ACK"
        );
    }

    #[test]
    fn answers_need_questions() {
        assert!(
            exchange(&[
                (true, Vector::DnsFlood, 5, 1),
                (false, Vector::DnsAmplification, 5, 1)
            ])
            .asked_for(Vector::DnsAmplification)
        );
        assert!(!exchange(&[(false, Vector::DnsAmplification, 5, 1)]).asked_for(Vector::DnsAmplification));
        assert!(!exchange(&[(false, Vector::SynackReflection, 5, 1)]).asked_for(Vector::SynackReflection));
        assert!(
            exchange(&[
                (true, Vector::SynFlood, 1, 1),
                (false, Vector::SynackReflection, 1, 1)
            ])
            .asked_for(Vector::SynackReflection)
        );
    }

    #[test]
    fn a_stream_seen_from_one_side_is_no_flood() {
        let download = exchange(&[(false, Vector::PshAckFlood, 4000, 2)]);
        assert!(download.asked_for(Vector::PshAckFlood));
        let flood = exchange(&[(false, Vector::AckFlood, 400, 400)]);
        assert!(!flood.asked_for(Vector::AckFlood));
        let refused = exchange(&[
            (false, Vector::AckFlood, 400, 1),
            (true, Vector::RstFlood, 400, 1),
        ]);
        assert!(!refused.asked_for(Vector::AckFlood));
    }

    #[test]
    fn pings_that_the_target_sent_are_answered() {
        let with_types = |out: u64, incoming: u64| {
            let mut e = Exchange::default();
            (e.outgoing.icmp, e.outgoing.icmp_types, e.outgoing.packets) = (5, out, 5);
            (e.incoming.icmp, e.incoming.icmp_types, e.incoming.packets) = (5, incoming, 5);
            e.asked_for(Vector::IcmpFlood)
        };
        assert!(with_types(icmp_bit(8), icmp_bit(0)));
        assert!(with_types(icmp_bit(128), icmp_bit(129)));
        assert!(!with_types(icmp_bit(0), icmp_bit(8)));
        assert!(with_types(icmp_bit(136), icmp_bit(135)));
    }
}
