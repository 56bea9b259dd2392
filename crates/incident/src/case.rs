//! What an investigation returns: the case. Plain values; the house gives them their printed forms.
//!
//! Times are nanoseconds since the Unix epoch. Shares are fractions of the incident's attack packets. An interval is a
//! 95 % credible interval. Lists are sorted by estimate, largest first, ties by key.

use std::net::Ipv6Addr;

use atlas::{Country, Kind, Prefix};
use detect::Vector;

/// Exporters that a case names.
pub const EXPORTERS_SHOWN: usize = 100;

/// What an investigation returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The inputs, in the order given.
    pub inputs: Vec<Input>,
    /// Who exported the records, where the inputs hold export messages: those with the most records first, at most
    /// [`EXPORTERS_SHOWN`].
    pub exporters: Vec<wire::Exporter>,
    /// What happened, the largest first.
    pub incidents: Vec<Incident>,
    /// Notable traffic that is no attack: a scan, named as one.
    pub scans: Vec<Scan>,
    /// What the whole examination could not see or had to bound.
    pub caveats: Vec<String>,
}

/// One input and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name as given, `-` for standard input.
    pub name: String,
    /// What its records are: `packets`, `netflow5` (also v1 and v7), `netflow9`, `ipfix`, `sflow`, `mixed`, or `empty`.
    pub kind: &'static str,
    /// Size as read (compressed size for a compressed input).
    pub bytes: u64,
    /// Decoded packets, flow records or sFlow samples.
    pub records: u64,
    /// Packets that the records stand for, sampling applied.
    pub packets: u64,
    /// Bytes on the wire that the records stand for, sampling applied; see `wire::Flow::bytes`.
    pub octets: u64,
    /// Time of the first record.
    pub first_ns: Option<u64>,
    /// Time of the last record.
    pub last_ns: Option<u64>,
    /// What was wrong, by reason; see `wire::Reason`.
    pub faults: Vec<InputFault>,
}

/// A fault of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFault {
    /// Name of the reason, kebab-case.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// Where first, byte offset in the uncompressed input.
    pub first_offset: u64,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Best estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How good the evidence is (not how likely a statement is; ICD 203).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Others' statements only, or large gaps.
    Low,
    /// One rail of own data.
    Moderate,
    /// Several independent signs in own raw data, complete window.
    High,
}

/// An attack on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Stable: the same input gives the same id.
    pub id: String,
    /// Who was attacked: one host, or the prefix of a carpet bombing.
    pub target: Prefix,
    /// Hosts attacked inside the prefix.
    pub target_hosts: u64,
    /// Attacked ports, largest share first.
    pub ports: Vec<PortShare>,
    /// First attack packet.
    pub start_ns: u64,
    /// Last attack packet; `None` is never used for recorded input that has an end.
    pub end_ns: Option<u64>,
    /// Still running at the end of the input.
    pub ongoing: bool,
    /// The strongest second.
    pub peak: Peak,
    /// Attack packets.
    pub packets: u64,
    /// Attack bytes.
    pub bytes: u64,
    /// Requests, where the attack is made of requests.
    pub requests: Option<u64>,
    /// Vectors, largest share of packets first.
    pub vectors: Vec<VectorShare>,
    /// Attack packets per second of the incident (for the chart): start second and counts.
    pub timeline: Timeline,
    /// Where it came from.
    pub sources: Sources,
    /// How good the evidence is.
    pub confidence: Confidence,
    /// What is not known, in sentences.
    pub caveats: Vec<String>,
}

/// Attack packets per step of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Start of the first step.
    pub start_ns: u64,
    /// Length of a step.
    pub step_ns: u64,
    /// Packets per step.
    pub packets: Vec<u64>,
}

/// The strongest second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Which second.
    pub at_ns: u64,
    /// Attack packets in it.
    pub packets_per_second: f64,
    /// Attack bits in the second with the most bits.
    pub bits_per_second: f64,
    /// Requests per second, where the attack is made of requests.
    pub requests_per_second: Option<f64>,
}

/// A port and its share of the attack packets.
#[derive(Clone, Debug, PartialEq)]
pub struct PortShare {
    /// `tcp`, `udp`, or the number of the IP protocol.
    pub protocol: String,
    /// Port, 0 where the protocol has none.
    pub port: u16,
    /// Fraction of the attack packets.
    pub share: f64,
}

/// One vector of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorShare {
    /// Which.
    pub vector: Vector,
    /// Fraction of the attack packets.
    pub share: f64,
    /// Attack packets of it.
    pub packets: u64,
    /// Attack bytes of it.
    pub bytes: u64,
    /// First attack packet of it.
    pub start_ns: u64,
    /// Last attack packet of it.
    pub end_ns: u64,
    /// The fields that name it, in words.
    pub why: String,
    /// How its packets look: for fingerprints and filters.
    pub look: Look,
    /// Its sources, in address order; sampled beyond the limit of exact counting.
    pub sources: Vec<Ipv6Addr>,
}

/// The values that a vector's packets most often have, with fractions of its packets; largest first, at most 16 each. A field
/// whose values are spread too widely to list is `None` ("random").
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Source port of the abused service, where there is one.
    pub source_port: Option<u16>,
    /// Destination ports.
    pub destination_ports: Option<Vec<(u16, f64)>>,
    /// TCP flags byte.
    pub tcp_flags: Option<Vec<(u8, f64)>>,
    /// TTL or hop limit.
    pub ttl: Option<Vec<(u8, f64)>>,
    /// IP length in bytes.
    pub length: Option<Vec<(u16, f64)>>,
    /// DNS question names with types.
    pub dns_names: Vec<(String, u16, f64)>,
}

/// Where an attack came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// Distinct source addresses.
    pub distinct: u64,
    /// Whether every one was counted; otherwise `distinct` is an estimate.
    pub distinct_exact: bool,
    /// Share of attack packets whose source address is forged.
    pub forged: Share,
    /// The tests behind `forged`.
    pub forged_because: Vec<Test>,
    /// Share of attack packets sent by reflectors.
    pub reflected: Share,
    /// By country.
    pub countries: Vec<CountryShare>,
    /// By network.
    pub networks: Vec<NetworkShare>,
    /// By announced prefix.
    pub prefixes: Vec<(Prefix, Share)>,
    /// By kind of network.
    pub kinds: Vec<(Kind, Share)>,
    /// Set where the geography says nothing of the senders (forged) or only of the abused machines (reflected).
    pub meaning: Meaning,
}

/// What the geography of an incident's sources means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The sources are the machines that sent the packets.
    Senders,
    /// The sources are abused third machines; the sender is hidden behind them.
    Reflectors,
    /// The sources are forged: the geography means nothing.
    Forged,
    /// Some are forged and the others are reflectors: hardly any is a sender.
    Hidden,
    /// It cannot be told from this evidence whether they are forged.
    Undetermined,
}

/// A test and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Short name.
    pub test: &'static str,
    /// Its value, where it has one.
    pub value: Option<f64>,
    /// In words.
    pub says: String,
}

/// A country's share.
#[derive(Clone, Debug, PartialEq)]
pub struct CountryShare {
    /// Which.
    pub country: Country,
    /// Share of attack packets.
    pub share: Share,
    /// Distinct sources in it.
    pub distinct: u64,
}

/// A network's share.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkShare {
    /// AS number, 0 for none.
    pub asn: u32,
    /// Name, may be empty.
    pub name: String,
    /// Country that most of its sources are in.
    pub country: Country,
    /// Kind.
    pub kind: Kind,
    /// Share of attack packets.
    pub share: Share,
    /// Distinct sources in it.
    pub distinct: u64,
}

/// A scan: one source that probes many hosts or ports. Named, not an attack on a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Who scans.
    pub source: Ipv6Addr,
    /// How many hosts it probed.
    pub hosts: u64,
    /// Probes sent.
    pub packets: u64,
    /// First probe.
    pub start_ns: u64,
    /// Last probe.
    pub end_ns: u64,
    /// What it looks like, in words.
    pub what: String,
}
