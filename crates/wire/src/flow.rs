//! The record that every traffic input becomes, and the batch that carries many of them.
//!
//! One fixed-size record serves packets and exported flows alike. What only few records have (a DNS question, an HTTP
//! request, the packet inside a tunnel) lies in side lists of the same [`Batch`], and the record holds the index.

use std::net::Ipv6Addr;

use crate::fault::Faults;

/// One direction of traffic between two addresses, as one exporter or capture saw it. A packet is a flow of one.
///
/// IPv4 addresses are IPv4-mapped (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2), so that both families take one path;
/// a real IPv6 packet with such an address is refused as [`Reason::MappedAddress`](crate::Reason::MappedAddress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address as the packet says it: it may be forged.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// First packet, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last packet, nanoseconds since the Unix epoch; equal to `first_ns` for a packet.
    pub last_ns: u64,
    /// Packets observed, before sampling is applied (RFC 7011 packetDeltaCount).
    pub packets: u64,
    /// Bytes observed, before sampling is applied (octetDeltaCount). For a packet by the length field of its IP header, not by what
    /// was captured; for flow records as the exporter counts them (IP headers included); for sFlow the length of the
    /// frame, which is what sFlow counts.
    pub bytes: u64,
    /// One of how many packets was observed: multiply `packets` and `bytes` by this, once.
    pub sampling: u32,
    /// Index into the list of the batch that [`Flow::hint`] or `protocol` names, or [`Flow::NO_DETAIL`].
    pub detail: u32,
    /// Identification of the fragment train (IPv4 identification or IPv6 fragment header), 0 where not fragmented.
    pub fragment_id: u32,
    /// Offset of a fragment in its datagram, in units of eight bytes; 0 for a first one and for whole packets.
    pub fragment_offset: u16,
    /// Transport source port; 0 where there is none or it was not captured.
    pub src_port: u16,
    /// Transport destination port; 0 where there is none or it was not captured.
    pub dst_port: u16,
    /// TCP window as sent, not scaled.
    pub tcp_window: u16,
    /// Bytes of transport payload of one packet, by the length fields; 65,535 at most.
    pub payload: u16,
    /// Outermost VLAN id, 0 for none.
    pub vlan: u16,
    /// IP protocol number after IPv6 extension headers.
    pub protocol: u8,
    /// TCP flags, FIN in bit 0 to CWR in bit 7.
    pub tcp_flags: u8,
    /// Which TCP options were present: the `OPT_` bits.
    pub tcp_options: u8,
    /// Time to live or hop limit as received, 0 where not known.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Place in a fragment train.
    pub fragment: Fragment,
    /// What the payload's first bytes look like.
    pub hint: Hint,
    /// Which fields the input had: the `HAS_` bits.
    pub has: u8,
}

impl Flow {
    /// `detail` of a record without one.
    pub const NO_DETAIL: u32 = u32::MAX;

    /// `has`: a transport header was there (ports, or ICMP type and code).
    pub const HAS_TRANSPORT: u8 = 1;
    /// `has`: `ttl` is known.
    pub const HAS_TTL: u8 = 2;
    /// `has`: TCP flags are known.
    pub const HAS_TCP_FLAGS: u8 = 4;
    /// `has`: TCP window and options are known (packets; not in most exports).
    pub const HAS_TCP_HEADER: u8 = 8;
    /// `has`: some payload was captured, so that [`Hint::None`] means "looked, nothing known".
    pub const HAS_PAYLOAD: u8 = 16;
    /// `has`: the packet carries IPv6 hop-by-hop or destination options, or IPv4 options.
    pub const HAS_IP_OPTIONS: u8 = 32;
    /// `has`: the record is a single packet, not an aggregate.
    pub const IS_PACKET: u8 = 64;
    /// `has`: the exporter says that it dropped this traffic (forwardingStatus, IANA element 89). It arrived all the same.
    pub const DROPPED: u8 = 128;

    /// `tcp_options`: maximum segment size.
    pub const OPT_MSS: u8 = 1;
    /// `tcp_options`: window scale.
    pub const OPT_WINDOW_SCALE: u8 = 2;
    /// `tcp_options`: selective acknowledgement permitted or a SACK block.
    pub const OPT_SACK: u8 = 4;
    /// `tcp_options`: timestamps.
    pub const OPT_TIMESTAMPS: u8 = 8;
    /// `tcp_options`: any other.
    pub const OPT_OTHER: u8 = 16;

    /// TCP flag bits.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;
    /// URG.
    pub const URG: u8 = 0x20;

    /// A record with everything zero or absent, to be filled.
    pub const EMPTY: Flow = Flow {
        src: Ipv6Addr::UNSPECIFIED,
        dst: Ipv6Addr::UNSPECIFIED,
        first_ns: 0,
        last_ns: 0,
        packets: 0,
        bytes: 0,
        sampling: 1,
        detail: Flow::NO_DETAIL,
        fragment_id: 0,
        fragment_offset: 0,
        src_port: 0,
        dst_port: 0,
        tcp_window: 0,
        payload: 0,
        vlan: 0,
        protocol: 0,
        tcp_flags: 0,
        tcp_options: 0,
        ttl: 0,
        tos: 0,
        icmp_type: 0,
        icmp_code: 0,
        fragment: Fragment::None,
        hint: Hint::None,
        has: 0,
    };

    /// What one record may stand for at most: about a minute and a half of a 400 Gbit/s link full of the smallest packets. Counters are
    /// the sender's word; one who says more is believed only so far, so that no sum over records overflows.
    pub const SCALED_PACKETS_MAX: u64 = 1 << 36;
    /// The same for bytes: two hours of a 100 Gbit/s link.
    pub const SCALED_BYTES_MAX: u64 = 1 << 46;

    /// Packets that this record stands for, sampling applied; [`Flow::SCALED_PACKETS_MAX`] at most.
    #[inline]
    pub fn scaled_packets(&self) -> u64 {
        self.packets
            .saturating_mul(u64::from(self.sampling))
            .min(Flow::SCALED_PACKETS_MAX)
    }

    /// Bytes that this record stands for, sampling applied; [`Flow::SCALED_BYTES_MAX`] at most.
    #[inline]
    pub fn scaled_bytes(&self) -> u64 {
        self.bytes
            .saturating_mul(u64::from(self.sampling))
            .min(Flow::SCALED_BYTES_MAX)
    }

    /// Whether the addresses are IPv6 (not IPv4-mapped).
    #[inline]
    pub fn is_ipv6(&self) -> bool {
        (self.dst.to_bits() >> 32) != 0xffff
    }
}

/// The protocol in which an exporter sent a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the protocols' own")]
pub enum Format {
    Netflow1,
    Netflow5,
    Netflow7,
    Netflow9,
    Ipfix,
    Sflow,
}

impl Format {
    /// All formats, in order.
    pub const ALL: [Format; 6] = [
        Format::Netflow1,
        Format::Netflow5,
        Format::Netflow7,
        Format::Netflow9,
        Format::Ipfix,
        Format::Sflow,
    ];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Format::Netflow1 => "netflow1",
            Format::Netflow5 => "netflow5",
            Format::Netflow7 => "netflow7",
            Format::Netflow9 => "netflow9",
            Format::Ipfix => "ipfix",
            Format::Sflow => "sflow",
        }
    }
}

/// What an exporter says of a record beyond [`Flow`]. Kept only for a batch that asks for it ([`Batch::keep_exported`]): whoever
/// counts traffic does not pay for it. Zero, or the unspecified address, where the export does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The exporter: sender of the datagram, for sFlow the agent.
    pub exporter: Ipv6Addr,
    /// Observation domain (IPFIX), source id (v9), engine type and id (v5), sub-agent (sFlow).
    pub domain: u32,
    /// Protocol; `None` for a captured packet.
    pub format: Option<Format>,
    /// Template, 0 where the format has none.
    pub template: u16,
    /// ingressInterface (10).
    pub in_if: u32,
    /// egressInterface (14).
    pub out_if: u32,
    /// bgpSourceAsNumber (16).
    pub src_as: u32,
    /// bgpDestinationAsNumber (17).
    pub dst_as: u32,
    /// ipNextHopIPv4Address (15), ipNextHopIPv6Address (62).
    pub next_hop: Ipv6Addr,
    /// bgpNextHopIPv4Address (18), bgpNextHopIPv6Address (63).
    pub bgp_next_hop: Ipv6Addr,
    /// sourceIPv4PrefixLength (9), sourceIPv6PrefixLength (29).
    pub src_mask: u8,
    /// destinationIPv4PrefixLength (13), destinationIPv6PrefixLength (30).
    pub dst_mask: u8,
    /// flowDirection (61): 0 ingress, 1 egress, 255 not said.
    pub direction: u8,
    /// forwardingStatus (89): the upper two bits say unknown, forwarded, dropped, consumed.
    pub forwarding_status: u8,
    /// flowEndReason (136).
    pub end_reason: u8,
    /// Whether this is the reverse direction of a biflow (RFC 5103).
    pub reverse: bool,
    /// postVlanId (59).
    pub out_vlan: u16,
    /// mplsTopLabelStackSection (70) and the sections below it (71 to 79): label, experimental bits, bottom of stack.
    pub mpls: [u32; 10],
    /// ingressVRFID (234).
    pub in_vrf: u32,
    /// egressVRFID (235).
    pub out_vrf: u32,
    /// sourceMacAddress (56).
    pub src_mac: [u8; 6],
    /// destinationMacAddress (80).
    pub dst_mac: [u8; 6],
    /// postNATSourceIPv4Address (225), postNATSourceIPv6Address (281).
    pub nat_src: Ipv6Addr,
    /// postNATDestinationIPv4Address (226), postNATDestinationIPv6Address (282).
    pub nat_dst: Ipv6Addr,
    /// postNAPTSourceTransportPort (227).
    pub nat_src_port: u16,
    /// postNAPTDestinationTransportPort (228).
    pub nat_dst_port: u16,
    /// samplerId (48) or selectorId (302).
    pub sampler: u64,
}

impl Exported {
    /// A record of which nothing more is said.
    pub const EMPTY: Exported = Exported {
        exporter: Ipv6Addr::UNSPECIFIED,
        domain: 0,
        format: None,
        template: 0,
        in_if: 0,
        out_if: 0,
        src_as: 0,
        dst_as: 0,
        next_hop: Ipv6Addr::UNSPECIFIED,
        bgp_next_hop: Ipv6Addr::UNSPECIFIED,
        src_mask: 0,
        dst_mask: 0,
        direction: 255,
        forwarding_status: 0,
        end_reason: 0,
        reverse: false,
        out_vlan: 0,
        mpls: [0; 10],
        in_vrf: 0,
        out_vrf: 0,
        src_mac: [0; 6],
        dst_mac: [0; 6],
        nat_src: Ipv6Addr::UNSPECIFIED,
        nat_dst: Ipv6Addr::UNSPECIFIED,
        nat_src_port: 0,
        nat_dst_port: 0,
        sampler: 0,
    };
}

/// Place of a packet in a fragment train (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragment {
    /// Not a fragment.
    None,
    /// The first fragment: it has the transport header.
    First,
    /// A later fragment: no ports; it belongs to the first one with the same addresses, protocol and id.
    Later,
}

/// What a payload's first bytes say it is. Only what names an attack vector is told apart; an answer and a question
/// are different hints, since reflection is made of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the protocols' own")]
pub enum Hint {
    None,
    /// A DNS message with QR=0; `detail` indexes [`Batch::dns`].
    DnsQuery,
    /// A DNS message with QR=1; `detail` indexes [`Batch::dns`].
    DnsAnswer,
    /// NTP modes 1 to 5.
    Ntp,
    /// NTP mode 6 (control), response bit set.
    NtpControlAnswer,
    /// NTP mode 7 (private, monlist among them), response bit set.
    NtpPrivateAnswer,
    /// NTP mode 6 or 7 request.
    NtpControlRequest,
    SsdpAnswer,
    SsdpRequest,
    MemcachedAnswer,
    MemcachedRequest,
    CldapAnswer,
    CldapRequest,
    SnmpAnswer,
    SnmpRequest,
    Chargen,
    /// WS-Discovery SOAP over UDP.
    Wsd,
    /// Apple Remote Management.
    Arms,
    Coap,
    NetbiosAnswer,
    RpcbindAnswer,
    TftpData,
    UbiquitiDiscovery,
    DhcpDiscover,
    Bacnet,
    Isakmp,
    Slp,
    RdpUdp,
    Mssql,
    Rip,
    Sip,
    Stun,
    OpenVpn,
    L2tp,
    BitTorrent,
    /// Valve A2S query (`ff ff ff ff 54 "Source Engine Query"`).
    SourceQuery,
    /// Valve or Quake answer (`ff ff ff ff` and another letter).
    GameAnswer,
    QuicInitial,
    QuicShort,
    Rtp,
    Dtls,
    WireGuard,
    Http2,
    /// An HTTP/1 request head; `detail` indexes [`Batch::http`].
    HttpRequest,
    /// An HTTP/1 response head; `detail` indexes [`Batch::http`] (status only).
    HttpResponse,
    /// A TLS ClientHello record.
    TlsClientHello,
    /// Another TLS record.
    Tls,
    Ssh,
    /// An SSDP, mDNS or other answer to a multicast question is not told apart here: ports say it.
    Mdns,
}

/// What a DNS message says of itself (RFC 1035 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where the first question's name lies in [`Batch::names`], in lower case text form; start.
    pub name_start: u32,
    /// Its length in bytes, 0 where there is none.
    pub name_len: u16,
    /// Length of its first label, which random-prefix attacks vary.
    pub first_label_len: u8,
    /// Response code; 3 is NXDOMAIN.
    pub rcode: u8,
    /// Type of the first question (1 A, 16 TXT, 255 ANY ...).
    pub qtype: u16,
    /// Answer records, as the header says.
    pub answers: u16,
    /// Message size in bytes, by the length fields and not by what was captured.
    pub size: u16,
}

/// What an HTTP/1 head says of itself, in hashes: counting distinct ones is all that detection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Hash of the request target up to `?`; 0 for a response.
    pub path_hash: u64,
    /// Hash of the whole request target; 0 for a response.
    pub target_hash: u64,
    /// Hash of the User-Agent value, 0 where none was captured.
    pub agent_hash: u64,
    /// First letter of the method (`G`, `P`, `H` ...); 0 for a response.
    pub method: u8,
    /// Whether the request target has a query.
    pub has_query: bool,
    /// Whether the empty line that ends the head is in this packet.
    pub head_complete: bool,
    /// Whether this packet's payload was captured whole; where not, `head_complete` says nothing.
    pub whole: bool,
    /// Content-Length of the head, 0 where absent or not captured.
    pub content_length: u32,
    /// Status of a response, 0 for a request.
    pub status: u16,
}

/// The packet inside a tunnel (GRE, IP in IP, VXLAN). The outer packet is the one that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Inner source.
    pub src: Ipv6Addr,
    /// Inner destination.
    pub dst: Ipv6Addr,
    /// Inner length by its IP header.
    pub bytes: u32,
    /// Inner source port, 0 for none.
    pub src_port: u16,
    /// Inner destination port, 0 for none.
    pub dst_port: u16,
    /// Inner IP protocol.
    pub protocol: u8,
    /// Inner TCP flags.
    pub tcp_flags: u8,
}

/// A packet or a bare export message as it lay in the input, for whoever keeps evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Its link type (the LINKTYPE_ registry of tcpdump.org); `None` for a bare export message.
    pub link_type: Option<u16>,
    /// Where its bytes start in [`Batch::raw_bytes`].
    pub start: usize,
    /// How many there are.
    pub len: usize,
    /// Length on the wire.
    pub original: u32,
    /// When it was captured, 0 where that is not known.
    pub time_ns: u64,
    /// Its first record in [`Batch::flows`]; they end where those of the next begin.
    pub first: usize,
    /// Whether it is an export message: then its records may also have come of earlier ones that waited for their template.
    pub export: bool,
}

/// Many records, the details that some of them have, and the faults of the bytes that became none.
///
/// The caller owns it and calls [`Batch::clear`] between uses: its lists keep their memory.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The records, in input order.
    pub flows: Vec<Flow>,
    /// Details of records whose hint is a DNS one.
    pub dns: Vec<Dns>,
    /// The names of `dns`, one after the other.
    pub names: Vec<u8>,
    /// Details of records whose hint is an HTTP one.
    pub http: Vec<Http>,
    /// Packets inside tunnels; the record's protocol (4, 41, 47) or port (4789) says that `detail` points here.
    pub inner: Vec<Inner>,
    /// Whether decoders fill `exported`. [`Batch::clear`] leaves it as it is.
    pub keep_exported: bool,
    /// What exporters say beyond [`Flow`], by the index of the record in `flows`; shorter where the last records are packets.
    pub exported: Vec<Exported>,
    /// Whether decoders fill `raw`. [`Batch::clear`] leaves it as it is.
    pub keep_raw: bool,
    /// The packets and messages that `flows` were decoded from. What became no record is not among them.
    pub raw: Vec<Raw>,
    /// The bytes of `raw`, one after the other.
    pub raw_bytes: Vec<u8>,
    /// What was wrong, counted by reason.
    pub faults: Faults,
}

impl Batch {
    /// Records after which a decoder stops filling and gives the batch back.
    pub const FULL: usize = 1024;
    /// Bytes of raw packets after which it stops as well.
    pub const RAW_FULL: usize = 4 << 20;

    /// Empties all lists and keeps their memory.
    pub fn clear(&mut self) {
        self.flows.clear();
        self.dns.clear();
        self.names.clear();
        self.http.clear();
        self.inner.clear();
        self.exported.clear();
        self.raw.clear();
        self.raw_bytes.clear();
        self.faults.clear();
    }

    /// What the exporter said beyond the record at this index; [`Exported::EMPTY`] for packets or where it was not kept.
    pub fn exported(&self, index: usize) -> &Exported {
        self.exported.get(index).unwrap_or(&Exported::EMPTY)
    }

    /// Whether a decoder should stop and give this batch back.
    pub fn is_full(&self) -> bool {
        self.flows.len() >= Batch::FULL || self.raw_bytes.len() >= Batch::RAW_FULL
    }

    /// Keeps the bytes of what was just decoded.
    pub(crate) fn keep(&mut self, mut raw: Raw, bytes: &[u8]) {
        (raw.start, raw.len) = (self.raw_bytes.len(), bytes.len());
        self.raw_bytes.extend_from_slice(bytes);
        self.raw.push(raw);
    }
}
