//! The names of attack vectors, and which one a single packet would belong to if it were part of an attack.
//!
//! [`candidate`] looks at one record alone and costs a few branches. It says nothing about guilt: every TCP segment and
//! every DNS answer has a candidate. Whether the target asked for the traffic is decided later, over whole conversations
//! ([`crate::judge`]).

use wire::{Flow, Fragment, Hint};

/// How the packets of a vector reach the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The senders aim at the target themselves; their addresses may be forged.
    Direct,
    /// Third machines answer requests that carried the target's address: the sources are real, the sender is hidden.
    Reflection,
}

/// The transport that a vector uses, as far as it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Any other IP protocol.
    Other,
}

macro_rules! vectors {
    ($($variant:ident $name:literal $label:literal $mechanism:ident $transport:ident $port:literal;)*) => {
        /// A named kind of attack traffic. Names are those of the case format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the label of each variant is its description")]
        pub enum Vector { $($variant),* }

        impl Vector {
            /// All vectors, in order of their numbers.
            pub const ALL: &'static [Vector] = &[$(Vector::$variant),*];

            const FACTS: &'static [(&'static str, &'static str, Mechanism, Transport, u16)] =
                &[$(($name, $label, Mechanism::$mechanism, Transport::$transport, $port)),*];
        }
    };
}

// variant, name in the case, label for people, mechanism, transport, service port that reflectors answer from (0: none)
vectors! {
    SynFlood "syn_flood" "SYN flood" Direct Tcp 0;
    SynackReflection "synack_reflection" "SYN-ACK reflection" Reflection Tcp 0;
    AckFlood "ack_flood" "ACK flood" Direct Tcp 0;
    PshAckFlood "psh_ack_flood" "PSH-ACK flood" Direct Tcp 0;
    RstFlood "rst_flood" "RST flood" Direct Tcp 0;
    FinFlood "fin_flood" "FIN flood" Direct Tcp 0;
    XmasFlood "xmas_flood" "Xmas flood" Direct Tcp 0;
    NullFlood "null_flood" "TCP null flood" Direct Tcp 0;
    MiddleboxReflection "middlebox_reflection" "TCP middlebox reflection" Reflection Tcp 0;
    HttpFlood "http_flood" "HTTP flood" Direct Tcp 0;
    Slowloris "slowloris" "Slowloris" Direct Tcp 0;
    SlowPost "slow_post" "slow POST" Direct Tcp 0;
    DnsAmplification "dns_amplification" "DNS amplification" Reflection Udp 53;
    NtpAmplification "ntp_amplification" "NTP amplification" Reflection Udp 123;
    SsdpAmplification "ssdp_amplification" "SSDP amplification" Reflection Udp 1900;
    CldapAmplification "cldap_amplification" "CLDAP amplification" Reflection Udp 389;
    MemcachedAmplification "memcached_amplification" "memcached amplification" Reflection Udp 11211;
    SnmpAmplification "snmp_amplification" "SNMP amplification" Reflection Udp 161;
    ChargenAmplification "chargen_amplification" "CharGEN amplification" Reflection Udp 19;
    QotdAmplification "qotd_amplification" "QOTD amplification" Reflection Udp 17;
    WsdAmplification "wsd_amplification" "WS-Discovery amplification" Reflection Udp 3702;
    ArmsAmplification "arms_amplification" "Apple Remote Management amplification" Reflection Udp 3283;
    CoapAmplification "coap_amplification" "CoAP amplification" Reflection Udp 5683;
    MdnsAmplification "mdns_amplification" "mDNS amplification" Reflection Udp 5353;
    NetbiosAmplification "netbios_amplification" "NetBIOS amplification" Reflection Udp 137;
    RpcbindAmplification "rpcbind_amplification" "rpcbind amplification" Reflection Udp 111;
    TftpAmplification "tftp_amplification" "TFTP amplification" Reflection Udp 0;
    UbntAmplification "ubnt_amplification" "Ubiquiti discovery amplification" Reflection Udp 10001;
    DvrDhcpdiscover "dvr_dhcpdiscover" "DVR DHCPDiscover amplification" Reflection Udp 37810;
    BacnetAmplification "bacnet_amplification" "BACnet amplification" Reflection Udp 47808;
    IsakmpReflection "isakmp_reflection" "ISAKMP reflection" Reflection Udp 500;
    SlpAmplification "slp_amplification" "SLP amplification" Reflection Udp 427;
    RdpAmplification "rdp_amplification" "RDP amplification" Reflection Udp 3389;
    Tp240Amplification "tp240_amplification" "TP-240 amplification" Reflection Udp 10074;
    PlexAmplification "plex_amplification" "Plex amplification" Reflection Udp 32414;
    MssqlAmplification "mssql_amplification" "MSSQL amplification" Reflection Udp 1434;
    RipAmplification "rip_amplification" "RIP amplification" Reflection Udp 520;
    SentinelAmplification "sentinel_amplification" "Sentinel amplification" Reflection Udp 5093;
    QuakeAmplification "quake_amplification" "Quake amplification" Reflection Udp 27960;
    SteamAmplification "steam_amplification" "Steam amplification" Reflection Udp 27015;
    OpenvpnAmplification "openvpn_amplification" "OpenVPN amplification" Reflection Udp 1194;
    SipAmplification "sip_amplification" "SIP amplification" Reflection Udp 5060;
    StunAmplification "stun_amplification" "STUN amplification" Reflection Udp 3478;
    L2tpAmplification "l2tp_amplification" "L2TP amplification" Reflection Udp 1701;
    VseFlood "vse_flood" "Source Engine query flood" Direct Udp 0;
    QuicFlood "quic_flood" "QUIC flood" Direct Udp 0;
    DnsFlood "dns_flood" "DNS query flood" Direct Udp 0;
    DnsWaterTorture "dns_water_torture" "DNS water torture" Direct Udp 0;
    UdpNull "udp_null_flood" "empty UDP flood" Direct Udp 0;
    UdpFlood "udp_flood" "UDP flood" Direct Udp 0;
    IcmpFlood "icmp_flood" "ICMP flood" Direct Other 0;
    IgmpFlood "igmp_flood" "IGMP flood" Direct Other 0;
    GreFlood "gre_flood" "GRE flood" Direct Other 0;
    EspFlood "esp_flood" "ESP flood" Direct Other 0;
    IpFragment "ip_fragment_flood" "IP fragment flood" Direct Other 0;
    IpProtoRandom "ip_proto_random_flood" "flood of random IP protocols" Direct Other 0;
}

impl Vector {
    fn facts(self) -> &'static (&'static str, &'static str, Mechanism, Transport, u16) {
        &Vector::FACTS[self as usize]
    }

    /// The name in the case format.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The name for people.
    pub fn label(self) -> &'static str {
        self.facts().1
    }

    /// How its packets reach the target.
    pub fn mechanism(self) -> Mechanism {
        self.facts().2
    }

    /// Its transport.
    pub fn transport(self) -> Transport {
        self.facts().3
    }

    /// The port that its reflectors answer from, where it has one.
    pub fn service_port(self) -> Option<u16> {
        Some(self.facts().4).filter(|&port| port != 0)
    }

    /// Whether it is made of reflected packets.
    pub fn is_reflection(self) -> bool {
        self.mechanism() == Mechanism::Reflection
    }
}

/// IP protocol numbers (IANA protocol-numbers registry).
mod protocol {
    pub(super) const ICMP: u8 = 1;
    pub(super) const IGMP: u8 = 2;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const GRE: u8 = 47;
    pub(super) const ESP: u8 = 50;
    pub(super) const ICMPV6: u8 = 58;
}

/// The vector that this record would belong to if it were part of an attack, from the record alone.
#[inline]
pub fn candidate(flow: &Flow) -> Vector {
    if flow.fragment == Fragment::Later {
        return Vector::IpFragment;
    }
    match flow.protocol {
        protocol::TCP => tcp(flow),
        protocol::UDP => udp(flow),
        protocol::ICMP | protocol::ICMPV6 => Vector::IcmpFlood,
        protocol::IGMP => Vector::IgmpFlood,
        protocol::GRE => Vector::GreFlood,
        protocol::ESP => Vector::EspFlood,
        _ => Vector::IpProtoRandom,
    }
}

fn tcp(flow: &Flow) -> Vector {
    const SYN_ACK: u8 = Flow::SYN | Flow::ACK;
    const XMAS: u8 = Flow::FIN | Flow::PSH | Flow::URG;
    let flags = flow.tcp_flags & 0x3f; // ECE and CWR only decorate
    if flow.has & Flow::HAS_TCP_FLAGS == 0 {
        return Vector::PshAckFlood;
    }
    if flow.has & Flow::IS_PACKET == 0 {
        return tcp_flow(flow, flags);
    }
    if flags & XMAS == XMAS {
        return Vector::XmasFlood;
    }
    if flags & Flow::RST != 0 {
        return Vector::RstFlood;
    }
    match flags & SYN_ACK {
        Flow::SYN => return Vector::SynFlood,
        SYN_ACK => return Vector::SynackReflection,
        _ => {}
    }
    if flow.hint == Hint::HttpRequest {
        return Vector::HttpFlood;
    }
    if flow.hint == Hint::HttpResponse {
        return Vector::MiddleboxReflection;
    }
    if flags & Flow::FIN != 0 {
        return Vector::FinFlood;
    }
    if flags == 0 {
        return Vector::NullFlood;
    }
    // A flood tool's ACK may carry padding; PSH or payload is what tells the two apart.
    if flags & Flow::PSH != 0 || flow.payload > 0 {
        Vector::PshAckFlood
    } else {
        Vector::AckFlood
    }
}

/// The flags of a flow record are those of all its packets together (tcpControlBits, IANA element 6). A connection shows most of them;
/// what accuses is what is missing: a SYN that nothing followed.
fn tcp_flow(flow: &Flow, flags: u8) -> Vector {
    const CONNECTION: u8 = Flow::ACK | Flow::PSH;
    let has = |bits: u8| flags & bits == bits;
    if !has(Flow::ACK) {
        return match () {
            () if has(Flow::FIN | Flow::PSH | Flow::URG) => Vector::XmasFlood,
            // A forged SYN, and the RST of the host whose address was forged.
            () if has(Flow::SYN) => Vector::SynFlood,
            () if has(Flow::RST) => Vector::RstFlood,
            () if has(Flow::FIN) => Vector::FinFlood,
            () if has(Flow::PSH) => Vector::PshAckFlood,
            () => Vector::NullFlood,
        };
    }
    // Answers to a SYN come from a service, once or (unanswered) a few times; from a client the same bits are a SYN and an ACK.
    let from_service = flow.src_port < 1024 || flow.dst_port >= 1024;
    if flags == Flow::SYN | Flow::ACK && (flow.packets <= 1 || from_service) {
        return Vector::SynackReflection;
    }
    if has(CONNECTION) || flags & Flow::SYN != 0 {
        return Vector::PshAckFlood;
    }
    if flags & Flow::RST != 0 {
        return Vector::RstFlood;
    }
    if flow.payload > 16 {
        return Vector::PshAckFlood;
    }
    if flags & Flow::FIN != 0 {
        return Vector::FinFlood;
    }
    Vector::AckFlood
}

/// The vector of reflectors that answer from a service port.
fn service(port: u16) -> Option<Vector> {
    Some(match port {
        17 => Vector::QotdAmplification,
        19 => Vector::ChargenAmplification,
        53 => Vector::DnsAmplification,
        111 => Vector::RpcbindAmplification,
        123 => Vector::NtpAmplification,
        137 => Vector::NetbiosAmplification,
        161 => Vector::SnmpAmplification,
        389 => Vector::CldapAmplification,
        427 => Vector::SlpAmplification,
        500 | 4500 => Vector::IsakmpReflection,
        520 => Vector::RipAmplification,
        1194 => Vector::OpenvpnAmplification,
        1434 => Vector::MssqlAmplification,
        1701 => Vector::L2tpAmplification,
        1900 => Vector::SsdpAmplification,
        3283 => Vector::ArmsAmplification,
        3389 => Vector::RdpAmplification,
        3478 => Vector::StunAmplification,
        3702 => Vector::WsdAmplification,
        5060 => Vector::SipAmplification,
        5093 => Vector::SentinelAmplification,
        5353 => Vector::MdnsAmplification,
        5683 => Vector::CoapAmplification,
        10001 => Vector::UbntAmplification,
        10074 => Vector::Tp240Amplification,
        11211 => Vector::MemcachedAmplification,
        27960 => Vector::QuakeAmplification,
        27015..=27050 => Vector::SteamAmplification,
        32414 => Vector::PlexAmplification,
        37810 => Vector::DvrDhcpdiscover,
        47808 => Vector::BacnetAmplification,
        _ => return None,
    })
}

fn udp(flow: &Flow) -> Vector {
    // Payload first: it names answers that come from unusual ports, and questions that only look like answers.
    match flow.hint {
        Hint::DnsQuery => return Vector::DnsFlood,
        Hint::SourceQuery => return Vector::VseFlood,
        Hint::SsdpAnswer => return Vector::SsdpAmplification,
        Hint::TftpData => return Vector::TftpAmplification,
        Hint::QuicInitial | Hint::QuicShort if flow.dst_port == 443 => return Vector::QuicFlood,
        Hint::SsdpRequest
        | Hint::MemcachedRequest
        | Hint::CldapRequest
        | Hint::SnmpRequest
        | Hint::NtpControlRequest => return Vector::UdpFlood,
        _ => {}
    }
    if flow.has & Flow::HAS_TRANSPORT != 0 {
        // Nobody sends from port 0 to port 0: exporters write that for later fragments, whose ports they do not know.
        if flow.has & Flow::IS_PACKET == 0 && flow.src_port == 0 && flow.dst_port == 0 {
            return Vector::IpFragment;
        }
        if let Some(vector) = service(flow.src_port) {
            return vector;
        }
        if flow.payload == 0 {
            return Vector::UdpNull;
        }
    }
    Vector::UdpFlood
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(protocol: u8, tcp_flags: u8, src_port: u16, hint: Hint) -> Flow {
        Flow {
            protocol,
            tcp_flags,
            src_port,
            dst_port: 443,
            hint,
            payload: 10,
            has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS | Flow::IS_PACKET,
            ..Flow::EMPTY
        }
    }

    #[test]
    fn flags_name_tcp_vectors() {
        for (flags, name) in [
            (0x02, "syn_flood"),
            (0xc2, "syn_flood"),
            (0x12, "synack_reflection"),
            (0x04, "rst_flood"),
            (0x14, "rst_flood"),
            (0x01, "fin_flood"),
            (0x11, "fin_flood"),
            (0x29, "xmas_flood"),
            (0xff, "xmas_flood"),
            (0x00, "null_flood"),
            (0x18, "psh_ack_flood"),
        ] {
            assert_eq!(
                candidate(&flow(6, flags, 80, Hint::None)).name(),
                name,
                "flags {flags:#04x}"
            );
        }
        let pure_ack = Flow {
            payload: 0,
            ..flow(6, 0x10, 80, Hint::None)
        };
        assert_eq!(candidate(&pure_ack).name(), "ack_flood");
    }

    #[test]
    fn the_flags_of_a_whole_connection_accuse_nobody() {
        for (flags, packets, src_port, dst_port, name) in [
            (0x02, 3, 4000, 80, "syn_flood"),
            (0x06, 2, 4000, 80, "syn_flood"),
            (0x1b, 9, 4000, 80, "psh_ack_flood"),
            (0x1b, 9, 80, 4000, "psh_ack_flood"),
            (0x12, 1, 80, 4000, "synack_reflection"),
            (0x12, 5, 80, 4000, "synack_reflection"),
            (0x12, 5, 4000, 80, "psh_ack_flood"),
            (0x16, 3, 4000, 80, "psh_ack_flood"),
            (0x14, 1, 80, 4000, "rst_flood"),
            (0x10, 4, 4000, 80, "ack_flood"),
            (0x29, 4, 4000, 80, "xmas_flood"),
        ] {
            let flow = Flow {
                dst_port,
                packets,
                payload: 0,
                has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS,
                ..flow(6, flags, src_port, Hint::None)
            };
            assert_eq!(
                candidate(&flow).name(),
                name,
                "flags {flags:#04x} from {src_port}"
            );
        }
    }

    #[test]
    fn ports_and_payloads_name_udp_vectors() {
        assert_eq!(
            candidate(&flow(17, 0, 53, Hint::DnsAnswer)),
            Vector::DnsAmplification
        );
        assert_eq!(candidate(&flow(17, 0, 53, Hint::DnsQuery)), Vector::DnsFlood);
        assert_eq!(
            candidate(&flow(17, 0, 40000, Hint::SsdpAnswer)),
            Vector::SsdpAmplification
        );
        assert_eq!(
            candidate(&flow(17, 0, 40000, Hint::QuicInitial)),
            Vector::QuicFlood
        );
        assert_eq!(
            candidate(&flow(17, 0, 4500, Hint::None)),
            Vector::IsakmpReflection
        );
        let fragment = Flow {
            fragment: Fragment::Later,
            ..flow(17, 0, 0, Hint::None)
        };
        assert_eq!(candidate(&fragment), Vector::IpFragment);
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Vector::ALL.iter().map(|v| v.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Vector::ALL.len());
    }
}
