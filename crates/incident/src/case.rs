//! What an investigation returns: the case. Plain values; the house gives them their printed forms.
//!
//! Times are nanoseconds since the Unix epoch. Shares are fractions of the incident's attack packets. An interval is a
//! 95 % credible interval. Lists are sorted by estimate, largest first, ties by key.

use std::net::Ipv6Addr;

use atlas::{Country, Kind, Prefix};
use detect::Vector;

use crate::claim::Claim;
use crate::outage::Outage;

/// Exporters that a case names.
pub const EXPORTERS_SHOWN: usize = 100;
/// Sources of a vector that are listed with what they sent.
pub const TOP_SOURCES: usize = trace::LOUDEST;

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
    /// Services that were in trouble, as people and probes saw it, in order of time.
    pub outages: Vec<Outage>,
    /// The files of reports and probes, in the order given.
    pub signals: Vec<Signals>,
    /// Notable traffic that is no attack: a scan, named as one.
    pub scans: Vec<Scan>,
    /// What the evidence says of the claims that were given, in their order.
    pub verdicts: Vec<Verdict>,
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

/// A file of problem reports and probe results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// Name as given.
    pub name: String,
    /// Reports in it.
    pub reports: u64,
    /// Probes in it.
    pub probes: u64,
    /// The earliest of both.
    pub first_ns: Option<u64>,
    /// The latest.
    pub last_ns: Option<u64>,
    /// What was wrong, by reason.
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
    /// The normal users that were taken out, and how they were learnt; `None` where nothing shows who they are.
    pub audience: Option<Audience>,
    /// How alike the senders behave; `None` where too few senders are left to say.
    pub coordination: Option<Coordination>,
    /// How large it is against what others have published.
    pub size: Vec<Standing>,
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
    /// Those of them that sent most, at most [`TOP_SOURCES`]: most packets first, ties by address.
    pub top_sources: Vec<TopSource>,
}

/// A source address and what came in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopSource {
    /// The address that the packets say they are from.
    pub address: Ipv6Addr,
    /// Attack packets of the vector.
    pub packets: u64,
    /// Attack bytes of the vector.
    pub bytes: u64,
    /// First of these packets.
    pub first_ns: u64,
    /// Last of them.
    pub last_ns: u64,
    /// What it is, as far as its cluster tells; undetermined for an address that uses the target as well.
    pub origin: Origin,
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
    /// What each vector's sources are, cluster by cluster; the largest first.
    pub classes: Vec<Class>,
    /// Tests that could not be made, and why.
    pub not_made: Vec<Unmade>,
    /// The machines that sent under their own address, with forged sources, reflectors and the audience taken out.
    pub senders: Senders,
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

/// What the sources of one cluster of one vector are.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whose.
    pub vector: Vector,
    /// What its packets have in common, in words: `TTL 242 to 244`, `all`.
    pub cluster: String,
    /// Share of the incident's attack packets.
    pub share: f64,
    /// Distinct sources.
    pub distinct: u64,
    /// What they are.
    pub origin: Origin,
    /// Share of the cluster's packets whose source is forged.
    pub forged: Share,
}

/// What sources are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The machines that sent.
    Direct,
    /// Machines that were made to answer.
    Reflector,
    /// Addresses that did not send.
    Forged,
    /// The tests disagree or say too little.
    Undetermined,
}

/// A test that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// Short name of the test.
    pub test: &'static str,
    /// Why not, in words.
    pub why: String,
}

/// The machines that sent under their own address: all that geography can speak of. Sources of which it is not determined what they are
/// are among them where they are more probably direct than forged; the low end of `share` leaves them out, so read it first. Where they
/// are less than a fifth of the attack packets, the lists are empty: where it came from cannot be told from source addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Senders {
    /// Share of the incident's attack packets that they sent, without the audience's.
    pub share: Share,
    /// How many there are; users that were taken out by their number alone are among them.
    pub distinct: u64,
    /// Their countries; shares are of their packets, not of all attack packets.
    pub countries: Vec<Located<Country>>,
    /// Their networks by AS number, the largest.
    pub networks: Vec<Located<u32>>,
    /// Their kinds of network.
    pub kinds: Vec<Located<Kind>>,
}

/// Where senders are: a part of [`Senders`].
#[derive(Clone, Debug, PartialEq)]
pub struct Located<K> {
    /// Which country, network or kind.
    pub key: K,
    /// What the network is; `None` for countries and kinds.
    pub network: Option<NetworkName>,
    /// Share of the senders' packets.
    pub by_packets: Share,
    /// Share of the senders.
    pub by_sources: Share,
    /// Senders in it.
    pub distinct: u64,
    /// Probability that it has more than half of the packets.
    pub majority: f64,
    /// Probability that it has the largest share of the packets.
    pub first: f64,
    /// Probability that it has one of the five largest.
    pub top_five: f64,
    /// Its rank by packets, from 1: the 95 % interval.
    pub rank: (u32, u32),
    /// Its share of the clients of the normal audience, where that is known.
    pub usual: Option<Share>,
    /// Share of the packets over the usual share: above 1, it has more part in the attack than in the audience.
    pub over: Option<Share>,
}

/// What a network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkName {
    /// Its name, may be empty.
    pub name: String,
    /// Country of most of its packets.
    pub country: Country,
    /// Its kind.
    pub kind: Kind,
}

/// The normal users of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// How they were learnt, in words: `412 clients of the target in the input, 60 of them before the attack`.
    pub learnt_from: String,
    /// Distinct clients.
    pub distinct: u64,
    /// Their countries; shares are of the clients.
    pub countries: Vec<CountryShare>,
    /// Share of the direct packets counted as attack that are the audience's, and were taken out of the senders.
    pub taken_out: Share,
}

/// How alike the senders behave. Likeness shows one control; it never shows how many people stand behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordination {
    /// Probability that the senders are under one control or few.
    pub probability: f64,
    /// Median absolute deviation of the senders' first packets, in seconds. Times are those of senders of which at least five packets
    /// were seen, where there are enough of them.
    pub start_spread_s: f64,
    /// Share of the senders that began within ten seconds of the commonest moment.
    pub start_together: f64,
    /// Share of the senders that stopped within ten seconds of the commonest moment.
    pub stop_together: f64,
    /// Effective number of fingerprints (2 to the power of their entropy in bits): one where all packets look alike. By vector, initial
    /// TTL, TCP options and window, and length, as far as the records tell them.
    pub fingerprints: f64,
    /// Coefficient of variation of the senders' rates.
    pub rate_variation: f64,
    /// Groups of senders that share neither look nor schedule nor machines: controllers at least, unless one takes turns.
    pub controllers_min: u32,
    /// What was seen, in sentences.
    pub because: Vec<String>,
}

/// A size of the incident against published figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What is compared: `bits per second`, `packets per second`, `requests per second`, `duration`, `sources`.
    pub what: &'static str,
    /// Its value here.
    pub value: f64,
    /// Share of published attacks that are smaller, as far as the figures tell: from, to.
    pub percentile: (f64, f64),
    /// The comparison in a sentence, with its source and date.
    pub says: String,
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

/// What the evidence says of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The claim, with its proposition.
    pub claim: Claim,
    /// Whether this kind of evidence can answer it at all.
    pub assessable: bool,
    /// Probability that the proposition is true, where it has one.
    pub probability: Option<Share>,
    /// What the words speak of, where that is less than the proposition says: `coordination alone`.
    pub about: Option<String>,
    /// The probability in the words of ICD 203.
    pub words: Words,
    /// How good the evidence is; never in the same sentence as `words`.
    pub confidence: Confidence,
    /// Why, in sentences.
    pub because: Vec<String>,
    /// What would change it, in sentences.
    pub would_change: Vec<String>,
}

/// Words of estimative probability (ICD 203, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Words {
    /// 1 to 5 %.
    AlmostNoChance,
    /// 5 to 20 %.
    VeryUnlikely,
    /// 20 to 45 %.
    Unlikely,
    /// 45 to 55 %.
    RoughlyEvenChance,
    /// 55 to 80 %.
    Likely,
    /// 80 to 95 %.
    VeryLikely,
    /// 95 to 99 %.
    AlmostCertain,
    /// This evidence cannot tell.
    CannotBeAssessed,
}

impl Words {
    /// The words as they are printed.
    pub fn text(self) -> &'static str {
        match self {
            Words::AlmostNoChance => "almost no chance",
            Words::VeryUnlikely => "very unlikely",
            Words::Unlikely => "unlikely",
            Words::RoughlyEvenChance => "roughly even chance",
            Words::Likely => "likely",
            Words::VeryLikely => "very likely",
            Words::AlmostCertain => "almost certain",
            Words::CannotBeAssessed => "cannot be assessed from this evidence",
        }
    }
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
