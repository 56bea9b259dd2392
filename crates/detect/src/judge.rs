//! From counts to attacks: which targets got more than they asked for, of what, since when.
//!
//! The order of work, for every destination that got enough of anything:
//!
//! 1. Its conversations are gathered, and each strand is asked for or not ([`Exchange`]).
//! 2. What was not asked for is summed by vector and held against that vector's [`Bar`]: packets in the strongest second,
//!    ten seconds and minute, and how many senders. Some shapes that reach a bar are still ordinary (a scan, a stream of
//!    which only one side was captured, a resolver's answers): [`ordinary`] names them.
//! 3. Requests over completed connections are judged by what they say ([`crate::requests`]).
//! 4. What passes becomes an [`Attack`] on one host; many quiet hosts of one prefix together become one on the prefix.
//!
//! Everything here is a function of the tally, so the same tally gives the same attacks.

use std::net::Ipv6Addr;

use atlas::Prefix;

use crate::audience::{self, Clients};
use crate::conversation::{Strand, distinct_of_bins};
use crate::exchange::{Exchange, ICMP_ERRORS};
use crate::lane::{Cell, Lane, Look, second_of};
use crate::requests;
use crate::tally::{DnsSecond, Tally};
use crate::vector::{Transport, Vector};

/// What the user wants judged.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only targets in these prefixes; all targets where empty.
    pub networks: Vec<Prefix>,
    /// Attacks that are known to run: target and vector. They have reached their bar before, and need not reach it again in a tally
    /// that holds only their end.
    pub running: Vec<(Prefix, Vector)>,
}

impl Options {
    pub(crate) fn runs(&self, address: Ipv6Addr, vector: Vector) -> bool {
        self.running
            .iter()
            .any(|(target, running)| *running == vector && target.contains(address))
    }
}

/// An attack on a target.
#[derive(Clone, Debug)]
pub struct Attack {
    /// One host, or the prefix of a carpet bombing.
    pub target: Prefix,
    /// The hosts attacked, in address order.
    pub hosts: Vec<Ipv6Addr>,
    /// First attack packet, nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Last attack packet.
    pub end_ns: u64,
    /// Still running at the end of the input.
    pub ongoing: bool,
    /// Longest pause inside the attack, in seconds.
    pub longest_pause_s: u32,
    /// Its vectors, most packets first.
    pub parts: Vec<Part>,
    /// Whether packets that the target sent were seen at all.
    pub target_speaks: bool,
    /// One in 2^level of the conversations was kept: above 0, senders are a sample.
    pub level: u32,
    /// First and last record of the input that it was found in, nanoseconds since the Unix epoch.
    pub input_ns: (u64, u64),
    /// Who used the target before it, in it and shortly after it.
    pub clients: Clients,
}

/// One vector of an attack.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which.
    pub vector: Vector,
    /// Attack packets.
    pub packets: u64,
    /// Attack bytes.
    pub bytes: u64,
    /// Requests, for vectors made of requests.
    pub requests: Option<u64>,
    /// First packet.
    pub first_ns: u64,
    /// Last packet.
    pub last_ns: u64,
    /// Attack packets by second.
    pub cells: Vec<Cell>,
    /// Who sent them, in address order (a sample where [`Attack::level`] is above 0).
    pub senders: Vec<Sender>,
    /// How its packets look.
    pub look: Look,
    /// How many packets each observed one stands for: above 1, single packets and rare senders were not seen.
    pub sampling: f64,
    /// Companion packets that belong to it: RSTs of reflectors, ICMP errors, later fragments.
    pub companions: u64,
    /// What was seen that names it and makes it an attack, in words.
    pub why: String,
}

/// A source address of attack packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The address that the packets say they are from.
    pub address: Ipv6Addr,
    /// Attack packets from it.
    pub packets: u64,
    /// Attack bytes from it.
    pub bytes: u64,
    /// First attack packet.
    pub first_ns: u64,
    /// Last attack packet.
    pub last_ns: u64,
    /// Smallest TTL, 255 where none is known.
    pub ttl_min: u8,
    /// Largest TTL, 0 where none is known.
    pub ttl_max: u8,
    /// TTL of its first packet, 0 where not known.
    pub ttl_first: u8,
    /// It completed a handshake with the target: it receives what is sent to that address, so it is not forged.
    pub completed: bool,
    /// It answered the target's SYN-ACK with RST: the host at this address knows nothing of the packets sent in its name.
    pub denied: bool,
    /// TCP window of its first packet, 0 where not known.
    pub window: u16,
    /// TCP options of its first packet, see [`Strand::options`].
    pub options: u8,
    /// Attacked hosts that it was seen to send to.
    pub pairs: u32,
}

/// Traffic that is notable and no attack: one source that tries many hosts or ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Who.
    pub source: Ipv6Addr,
    /// Hosts tried.
    pub hosts: u64,
    /// Probes.
    pub packets: u64,
    /// First probe.
    pub first_ns: u64,
    /// Last probe.
    pub last_ns: u64,
    /// Many ports of few hosts, rather than many hosts.
    pub vertical: bool,
}

/// What a tally shows.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Attacks, most packets first, ties by target.
    pub attacks: Vec<Attack>,
    /// Scans, most packets first, ties by source.
    pub scans: Vec<Scan>,
}

/// How much unasked-for traffic makes an attack: packets in the strongest second, ten seconds, or minute. Any one suffices.
struct Bar {
    peaks: [u64; 3],
    /// With fewer senders than this, `few_senders_peak` packets in one second are needed instead.
    senders: u64,
    few_senders_peak: u64,
}

/// Observed packets in a second, ten seconds or a minute below which a sampled series says nothing: 25 observed packets know their own
/// number to within two fifths (95 %), and one or two are chance.
const SAMPLES: f64 = 25.0;
/// Observed packets that a second of a sampled attack has at least, between its start and its end.
const SPAN_SAMPLES: f64 = 6.0;
/// From this rate on traffic counts as sampled.
pub(crate) const SAMPLED_FROM: f64 = 1.5;

impl Bar {
    /// The bar for a series of which only one in so many packets was observed.
    fn of_sample(mut self, rate: f64) -> Bar {
        if rate >= SAMPLED_FROM {
            let least = (SAMPLES * rate) as u64;
            self.peaks = self.peaks.map(|peak| peak.max(least));
            self.few_senders_peak = self.few_senders_peak.max(least);
        }
        self
    }
}

/// The bars, with their reasons.
fn bar(vector: Vector) -> Bar {
    use Vector as V;
    let (peaks, senders, few_senders_peak) = match vector {
        // Half-open connections have no harmless cause at these rates; hping and friends send hundreds to millions a second.
        V::SynFlood | V::XmasFlood | V::NullFlood => ([50, 150, 400], 1, 50),
        // Answers that nobody asked for: a mistake sends a few, a reflector many, and reflection uses many reflectors.
        V::SynackReflection | V::MiddleboxReflection => ([50, 150, 400], 10, 1_000),
        // Segments outside any connection come after a reboot or a routing change too, but not for long.
        V::AckFlood | V::PshAckFlood | V::RstFlood | V::FinFlood => ([200, 600, 2_000], 20, 1_000),
        V::IpFragment => ([100, 300, 1_000], 3, 1_000),
        // Monitoring pings once a second from a handful of places.
        V::IcmpFlood => ([100, 500, 1_500], 1, 100),
        v if v.is_reflection() => ([50, 150, 400], 10, 300),
        // UDP has no handshake to judge by, so more of it is needed.
        _ => ([500, 2_000, 6_000], 20, 1_000),
    };
    Bar {
        peaks,
        senders,
        few_senders_peak,
    }
}

/// Packets of anything that a destination must get before it is looked at.
const LOOK_AT: u64 = 50;
/// So many times what the hosts of a carpet get is an attack of its own on one of them.
const LOUD_TIMES: u64 = 8;
/// Hosts of one prefix that must be attacked together to speak of the prefix (SCIENCE: at least 16 destinations).
const CARPET_HOSTS: usize = 16;
/// Packets in the strongest second from a single stream of which only one side was captured, beyond which it is an attack
/// whatever it is: no ordinary application sends so fast without any answer.
const STREAM_PEAK: u64 = 50_000;
/// Hosts that a source must try before it is called a scanner, and how many packets it may send to each.
const SCAN_HOSTS: u32 = 20;
const SCAN_PACKETS_PER_HOST: u64 = 4;
/// Probes in the strongest second from which on a scan that is not of SYNs is held against its vector's bar all the same.
const SCAN_PEAK: u64 = 3_000;
/// Begins what is said of an attack that more than one tally saw.
const LOUDEST_WINDOW: &str = "in its loudest window: ";
/// Scans that are named.
const MAX_SCANS: usize = 1_000;

/// Judges a tally.
pub fn judge(tally: &Tally, options: &Options) -> Findings {
    let mut scans = horizontal_scans(tally);
    let scanners: Vec<Ipv6Addr> = {
        let mut all: Vec<_> = scans.iter().map(|scan| scan.source).collect();
        all.sort_unstable();
        all
    };
    let candidates = candidates(tally, options);
    let members = members(tally, &candidates);
    let lanes = lanes_by_target(tally, &candidates);
    let mut cases: Vec<Case> = Vec::new();
    for (target, &address) in candidates.iter().enumerate() {
        let conversations = slice_of(&members, target as u32);
        let case = examine(
            tally,
            address,
            conversations,
            &lanes[target],
            &scanners,
            &mut scans,
            options,
        );
        cases.push(case);
    }
    let mut attacks = carpets(tally, &mut cases, options);
    attacks.extend(
        cases
            .into_iter()
            .filter_map(|case| case.host_attack(tally, options)),
    );
    attacks.sort_by(|a, b| b.packets().cmp(&a.packets()).then(a.target.cmp(&b.target)));
    audience::note_clients(tally, &mut attacks);
    scans.sort_by(|a, b| b.packets.cmp(&a.packets).then(a.source.cmp(&b.source)));
    Findings { attacks, scans }
}

impl Attack {
    /// Attack packets of all vectors.
    pub fn packets(&self) -> u64 {
        self.parts.iter().map(|part| part.packets).sum()
    }

    /// How many packets each observed one stands for, at most over its vectors.
    pub fn sampling(&self) -> f64 {
        self.parts.iter().map(|part| part.sampling).fold(1.0, f64::max)
    }

    /// Attack bytes of all vectors.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// What one vector did to one host, before it is known whether that is an attack.
#[derive(Clone, Debug)]
struct Suspicion {
    vector: Vector,
    /// Unasked-for packets and bytes of the kept conversations.
    packets: u64,
    bytes: u64,
    /// All packets of the vector in the kept conversations.
    kept: u64,
    senders: Vec<Sender>,
    /// Senders whose SYNs carry a real stack's options, and that tried only a few times.
    ordinary_stacks: u64,
    /// Senders that went to very many ports, a few packets each.
    port_scanners: Vec<Ipv6Addr>,
    /// Senders whose packets have few port pairs: streams.
    streams: u64,
    /// ICMP types seen.
    icmp_types: u64,
}

/// A lane's vector, packets, bytes, seconds, look and sampling.
type LaneTotals = (Vector, u64, u64, Vec<Cell>, Option<Look>, f64);

/// One host and all that is suspected of it.
struct Case {
    address: Ipv6Addr,
    speaks: bool,
    outgoing_unreachable: u64,
    suspicions: Vec<Suspicion>,
    /// The lanes of the host by vector: totals and seconds.
    lanes: Vec<LaneTotals>,
    requests: Vec<requests::Suspect>,
}

/// Destinations that got enough to be looked at, in address order: alone, or as one of many in a prefix.
fn candidates(tally: &Tally, options: &Options) -> Vec<Ipv6Addr> {
    let in_networks = |address: Ipv6Addr| {
        options.networks.is_empty() || options.networks.iter().any(|network| network.contains(address))
    };
    let mut alone: Vec<Ipv6Addr> = tally
        .lanes()
        .iter()
        .filter(|lane| lane.packets >= LOOK_AT && is_host(lane.dst) && in_networks(lane.dst))
        .map(|lane| lane.dst)
        .collect();
    // Prefixes: sum the quiet lanes by prefix and vector, and take those with many hosts and enough packets.
    let mut quiet: Vec<(Prefix, Vector, u64, Ipv6Addr)> = tally
        .lanes()
        .iter()
        .filter(|lane| is_host(lane.dst) && in_networks(lane.dst))
        .map(|lane| (block_of(lane.dst), lane.vector, lane.packets, lane.dst))
        .collect();
    quiet.sort_unstable_by_key(|(prefix, vector, _, dst)| (*prefix, *vector, *dst));
    for group in quiet.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let packets: u64 = group.iter().map(|(_, _, packets, _)| packets).sum();
        if group.len() >= CARPET_HOSTS && packets >= 3 * group.len() as u64 && packets >= 4 * LOOK_AT {
            alone.extend(group.iter().map(|(.., dst)| *dst));
        }
    }
    alone.sort_unstable();
    alone.dedup();
    alone
}

/// The block in which hosts are looked at together: a /24 of IPv4, a /64 of IPv6.
fn block_of(address: Ipv6Addr) -> Prefix {
    let len = if address.to_ipv4_mapped().is_some() {
        96 + 24
    } else {
        64
    };
    Prefix::of(address, len)
}

/// Whether an address can be one host's: groups and broadcasts are heard by many and attacked by nobody.
fn is_host(address: Ipv6Addr) -> bool {
    match address.to_ipv4_mapped() {
        Some(v4) => {
            let private_broadcast = v4.octets()[3] == 255 && (v4.is_private() || v4.is_link_local());
            !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified() || private_broadcast)
        }
        None => !(address.is_multicast() || address.is_unspecified()),
    }
}

/// Conversations of each candidate: (candidate, conversation), sorted.
fn members(tally: &Tally, candidates: &[Ipv6Addr]) -> Vec<(u32, u32)> {
    let conversations = tally.conversations();
    let mut members = Vec::new();
    let mut last = (Ipv6Addr::UNSPECIFIED, None);
    for index in 0..conversations.len() {
        let conversation = conversations.get(index);
        if conversation.low == conversation.high {
            continue; // a host that talks to itself is no victim of anyone
        }
        for end in [conversation.low, conversation.high] {
            // During a flood one end is nearly always the same host.
            if last.0 != end {
                let found = candidates.binary_search(&end).ok();
                if found.is_some() {
                    last = (end, found);
                }
                if let Some(target) = found {
                    members.push((target as u32, index as u32));
                }
            } else if let Some(target) = last.1 {
                members.push((target as u32, index as u32));
            }
        }
    }
    members.sort_unstable();
    members
}

fn slice_of(members: &[(u32, u32)], target: u32) -> &[(u32, u32)] {
    let from = members.partition_point(|(t, _)| *t < target);
    let to = members.partition_point(|(t, _)| *t <= target);
    &members[from..to]
}

fn lanes_by_target<'a>(tally: &'a Tally, candidates: &[Ipv6Addr]) -> Vec<Vec<&'a Lane>> {
    let mut lanes = vec![Vec::new(); candidates.len()];
    for lane in tally.lanes().iter() {
        if let Ok(target) = candidates.binary_search(&lane.dst) {
            lanes[target].push(lane);
        }
    }
    for lanes in &mut lanes {
        lanes.sort_unstable_by_key(|lane| lane.vector);
    }
    lanes
}

/// Goes through the conversations of one host and sums what it did not ask for.
fn examine(
    tally: &Tally,
    address: Ipv6Addr,
    members: &[(u32, u32)],
    lanes: &[&Lane],
    scanners: &[Ipv6Addr],
    scans: &mut Vec<Scan>,
    options: &Options,
) -> Case {
    let conversations = tally.conversations();
    let mut suspicions: Vec<Suspicion> = Vec::new();
    let mut by_vector = vec![usize::MAX; Vector::ALL.len()];
    let (mut speaks, mut outgoing_unreachable) = (false, 0);
    // Of sampled traffic a question and its answer, or a SYN and what follows it, are hardly ever both observed. What the target does
    // with all its peers together still is.
    let rate = lanes.iter().map(|lane| lane.sampling()).fold(1.0, f64::max);
    let sampled = rate >= SAMPLED_FROM;
    let together = if sampled {
        Exchange::together(members.iter().map(|&(_, index)| {
            let conversation = conversations.get(index as usize);
            (conversations.strands(index as usize), conversation.low == address)
        }))
    } else {
        Exchange::default()
    };
    let abused = lanes.iter().any(|lane| {
        lane.vector == Vector::DnsAmplification
            && tally.lanes().look(lane).is_some_and(|look| is_abused(lane, look))
    });
    for &(_, index) in members {
        let index = index as usize;
        let conversation = conversations.get(index);
        let target_is_low = conversation.low == address;
        let peer = if target_is_low {
            conversation.high
        } else {
            conversation.low
        };
        let exchange = Exchange::of_sample(conversations.strands(index), target_is_low, rate);
        speaks |= exchange.outgoing.packets > 0;
        if exchange.outgoing.icmp_types & (1 << 3 | 1 << 1) != 0 {
            outgoing_unreachable += exchange.outgoing.icmp;
        }
        let set_aside = scanners.binary_search(&peer).is_ok();
        let incoming = conversations
            .strands(index)
            .filter(|strand| strand.forward != target_is_low);
        for strand in incoming {
            let slot = &mut by_vector[strand.vector as usize];
            if *slot == usize::MAX {
                *slot = suspicions.len();
                suspicions.push(Suspicion::new(strand.vector));
            }
            let large = strand.bytes >= 400 * strand.packets;
            let forged_questions = abused && large && strand.vector == Vector::DnsAmplification;
            let asked_for = !forged_questions
                && (exchange.asked_for(strand.vector)
                    || sampled && together.asked_for_together(strand.vector));
            suspicions[*slot].add(peer, strand, &exchange, asked_for || set_aside, rate);
        }
    }
    for suspicion in &mut suspicions {
        suspicion.senders.sort_unstable();
        if !suspicion.is_port_scan() {
            continue;
        }
        for &source in &suspicion.port_scanners {
            if let Ok(at) = suspicion
                .senders
                .binary_search_by_key(&source, |sender| sender.address)
            {
                let sender = suspicion.senders[at];
                note_vertical_scan(scans, &sender);
            }
        }
    }
    let requests = requests::examine(tally, address, members, lanes, options);
    Case {
        address,
        speaks,
        outgoing_unreachable,
        suspicions,
        lanes: lanes
            .iter()
            .map(|lane| {
                (
                    lane.vector,
                    lane.packets,
                    lane.bytes,
                    lane.cells(),
                    tally.lanes().look(lane).cloned(),
                    lane.sampling(),
                )
            })
            .collect(),
        requests,
    }
}

fn note_vertical_scan(scans: &mut Vec<Scan>, sender: &Sender) {
    if let Some(scan) = scans.iter_mut().find(|scan| scan.source == sender.address) {
        if scan.vertical {
            scan.hosts += 1;
            scan.packets += sender.packets;
            scan.first_ns = scan.first_ns.min(sender.first_ns);
            scan.last_ns = scan.last_ns.max(sender.last_ns);
        }
    } else if scans.len() < MAX_SCANS {
        scans.push(Scan {
            source: sender.address,
            hosts: 1,
            packets: sender.packets,
            first_ns: sender.first_ns,
            last_ns: sender.last_ns,
            vertical: true,
        });
    }
}

impl Suspicion {
    /// Its senders, for the part that it becomes.
    fn claim(&mut self) -> Vec<Sender> {
        std::mem::take(&mut self.senders)
    }

    /// A few sources that go through the ports: they look for something, they do not flood.
    fn is_port_scan(&self) -> bool {
        (1..=4).contains(&self.senders.len()) && self.port_scanners.len() * 2 >= self.senders.len()
    }

    fn new(vector: Vector) -> Suspicion {
        Suspicion {
            vector,
            packets: 0,
            bytes: 0,
            kept: 0,
            senders: Vec::new(),
            ordinary_stacks: 0,
            port_scanners: Vec::new(),
            streams: 0,
            icmp_types: 0,
        }
    }

    fn add(&mut self, peer: Ipv6Addr, strand: &Strand, exchange: &Exchange, innocent: bool, rate: f64) {
        self.kept += strand.packets;
        if innocent {
            return;
        }
        if strand.vector == Vector::SynFlood {
            // Real clients of a dead service try a few times with their stack's options.
            if strand.saw & (Strand::SAW_STACK_OPTIONS | Strand::SAW_BARE_SYN) == Strand::SAW_STACK_OPTIONS {
                self.ordinary_stacks += 1;
            }
        }
        // One source, very many ports, hardly more packets than ports there are: it scans. Scanners use every kind of probe.
        let probe = matches!(
            strand.vector,
            Vector::SynFlood
                | Vector::XmasFlood
                | Vector::NullFlood
                | Vector::FinFlood
                | Vector::AckFlood
                | Vector::UdpFlood
                | Vector::UdpNull
        );
        let many_ports = distinct_of_bins(&[strand.dst_ports]).is_none_or(|ports| ports > 40.0);
        let small = strand.bytes / strand.packets.max(1) < 150;
        if probe && small && many_ports && (40..2 * 65_536).contains(&strand.packets) {
            self.port_scanners.push(peer);
        }
        let pairs = distinct_of_bins(&[strand.src_ports]).unwrap_or(f64::INFINITY)
            * distinct_of_bins(&[strand.dst_ports]).unwrap_or(f64::INFINITY);
        if pairs <= 4.5 && strand.packets as f64 >= 20.0 * rate {
            self.streams += 1;
        }
        self.icmp_types |= if strand.vector == Vector::IcmpFlood {
            strand.dst_ports
        } else {
            0
        };
        self.packets += strand.packets;
        self.bytes += strand.bytes;
        self.senders.push(sender(peer, strand, exchange));
    }
}

/// A sender from one of its strands.
pub(crate) fn sender(address: Ipv6Addr, strand: &Strand, exchange: &Exchange) -> Sender {
    Sender {
        pairs: 1,
        address,
        packets: strand.packets,
        bytes: strand.bytes,
        first_ns: strand.first_ns,
        last_ns: strand.last_ns,
        ttl_min: strand.ttl_min,
        ttl_max: strand.ttl_max,
        ttl_first: strand.ttl_first,
        completed: exchange.handshake_completed(),
        denied: exchange.denied(),
        window: strand.window,
        options: strand.options,
    }
}

/// Strongest 1, 10 and 60 seconds of a series.
fn peaks(cells: &[Cell]) -> [u64; 3] {
    [1u32, 10, 60].map(|window| {
        let (mut best, mut sum, mut from) = (0, 0, 0);
        for cell in cells {
            sum += cell.packets;
            while cell.second - cells[from].second >= window {
                sum -= cells[from].packets;
                from += 1;
            }
            best = best.max(sum);
        }
        best
    })
}

/// Keeps the share `part` of `whole` of every cell. Rounding never gives more than the cell has.
fn scale(cells: &[Cell], part: u64, whole: u64) -> Vec<Cell> {
    if part >= whole {
        return cells.to_vec();
    }
    let share = |n: u64| (u128::from(n) * u128::from(part) / u128::from(whole.max(1))) as u64;
    cells
        .iter()
        .map(|c| Cell {
            second: c.second,
            packets: share(c.packets),
            bytes: share(c.bytes),
        })
        .collect()
}

/// One shape that [`ordinary`] names and that a carpet overrules.
const ONE_SIDED_STREAM: &str = "a stream of which only one side was captured";

/// Shapes that reach a bar and are still ordinary. Returns why, or `None`.
fn ordinary(
    case: &Case,
    suspicion: &Suspicion,
    look: Option<&Look>,
    peaks: [u64; 3],
    level: u32,
) -> Option<&'static str> {
    use Vector as V;
    let senders = (suspicion.senders.len() as u64) << level;
    let rate = case.lane(suspicion.vector).map_or(1.0, |lane| lane.5);
    let port_spread = look.map_or(0.0, |look| {
        let seen = (look.dst_ports.total() as f64 / rate).max(1.0);
        distinct_of_bins(&look.dst_port_bins)
            .unwrap_or(f64::INFINITY)
            .min(seen)
            / seen
    });
    let same_length = look.map_or(0.0, |look| {
        look.length.sorted().first().map_or(0, |(_, n)| *n) as f64 / look.length.total().max(1) as f64
    });
    let mean_bytes = suspicion.bytes as f64 / suspicion.packets.max(1) as f64;
    if suspicion.is_port_scan() && (suspicion.vector == V::SynFlood || peaks[0] < SCAN_PEAK) {
        return Some("a port scan");
    }
    // A sample of one direction shows single packets of whatever a busy host gets. Only packets that are all alike accuse then; pure
    // ACKs are alike by nature, and the acknowledgements of a download are many.
    let alike = same_length >= 0.9 && suspicion.vector != V::AckFlood;
    let overwhelming = STREAM_PEAK.max((100.0 * SAMPLES * rate) as u64);
    if rate >= SAMPLED_FROM && !case.speaks && !alike && peaks[0] < overwhelming {
        let ambiguous = matches!(
            suspicion.vector,
            V::AckFlood
                | V::PshAckFlood
                | V::FinFlood
                | V::UdpFlood
                | V::QuicFlood
                | V::GreFlood
                | V::EspFlood
                | V::IpProtoRandom
                | V::IpFragment
        );
        if ambiguous || is_session(suspicion.vector) {
            return Some("a sample of one direction of ordinary traffic, for all that can be seen");
        }
    }
    match suspicion.vector {
        V::SynFlood => {
            let patient = suspicion.packets <= 12 * suspicion.senders.len() as u64;
            if suspicion.ordinary_stacks * 5 >= suspicion.senders.len() as u64 * 4
                && patient
                && peaks[0] < 500
            {
                return Some("clients of a service that does not answer");
            }
        }
        V::IcmpFlood => {
            let errors_only = suspicion.icmp_types & !ICMP_ERRORS == 0;
            if errors_only && case.speaks && peaks[0] < 1_000 {
                return Some("errors about packets that the target sent");
            }
        }
        v if v.is_reflection() && v.transport() == Transport::Udp => {
            // Where the target's own questions were not captured, answers to them go to a new port each time and are
            // small and diverse; a reflection attack hits the ports that the attacker chose.
            // Flow records have no names: then ports and sizes must do.
            let diverse_names = look.is_some_and(|look| look.seen == 0 || name_share(look) < 0.3);
            if !case.speaks
                && v == V::DnsAmplification
                && port_spread > 0.4
                && mean_bytes < 700.0
                && diverse_names
            {
                return Some("answers to the target's own questions, of which only one side was captured");
            }
            // Tunnels and calls use these ports for hours of ordinary traffic.
            let session = is_session(v);
            // Without payload nothing speaks for the protocol of reflectors, and long streams between few ports speak for sessions.
            let hinted = look.is_none_or(|look| look.seen > 0 && look.hinted * 2 >= look.seen);
            if session && peaks[0] < STREAM_PEAK {
                if senders < 10 {
                    return Some("a tunnel or session, of which only one side was captured");
                }
                if !hinted && suspicion.streams * 2 >= suspicion.senders.len() as u64 {
                    return Some("tunnels or sessions, of which only one side was captured");
                }
            }
            // A few servers and a steady client port: a monitor, a time client, a media relay.
            if senders < 10
                && suspicion.streams * 2 >= suspicion.senders.len() as u64
                && !case.speaks
                && mean_bytes < 400.0
            {
                return Some("a conversation of which only one side was captured");
            }
        }
        V::UdpFlood
        | V::QuicFlood
        | V::UdpNull
        | V::GreFlood
        | V::EspFlood
        | V::IpProtoRandom
        | V::IpFragment => {
            let streams = suspicion.streams * 2 >= suspicion.senders.len() as u64;
            let portless = matches!(suspicion.vector, V::GreFlood | V::EspFlood | V::IpProtoRandom);
            let refused = case.outgoing_unreachable * 10 >= suspicion.packets;
            if refused || peaks[0] >= STREAM_PEAK {
                return None;
            }
            if senders < 20 && (streams || portless) {
                return Some(ONE_SIDED_STREAM);
            }
            // The tunnels of a concentrator whose other direction takes another path: packets of every size, from tens of peers.
            if portless && senders < 200 && same_length < 0.9 {
                return Some("tunnels of which only one side was captured");
            }
            if !case.speaks && streams && same_length < 0.9 {
                return Some("streams of which only one side was captured");
            }
            if suspicion.vector == V::QuicFlood && !case.speaks && same_length < 0.9 {
                return Some("QUIC clients of which only one side was captured");
            }
        }
        V::DnsFlood
            if !case.speaks && look.is_some_and(|look| name_share(look) < 0.5) && peaks[0] < 10_000 =>
        {
            return Some("questions to a DNS server of which only one side was captured");
        }
        V::PshAckFlood | V::AckFlood => {
            let streams = suspicion.streams * 2 >= suspicion.senders.len() as u64;
            if !case.speaks && streams && same_length < 0.9 && peaks[0] < STREAM_PEAK {
                return Some("connections of which only one side was captured");
            }
        }
        _ => {}
    }
    None
}

/// Services whose port carries hours of ordinary traffic, tunnels and calls, besides their reflection.
fn is_session(vector: Vector) -> bool {
    use Vector as V;
    matches!(
        vector,
        V::IsakmpReflection
            | V::OpenvpnAmplification
            | V::L2tpAmplification
            | V::StunAmplification
            | V::SipAmplification
            | V::RdpAmplification
            | V::SteamAmplification
            | V::QuakeAmplification
            | V::Tp240Amplification
            | V::PlexAmplification
            | V::TftpAmplification
    )
}

/// Whether questions "of the target" are those of an attacker, captured on their way to the resolver: one name, asked for with a
/// type that only tools use (ANY, which RFC 8482 lets servers refuse; RRSIG alone), hundreds of large answers.
fn is_abused(lane: &Lane, look: &Look) -> bool {
    let total: u64 = look.names.values().flat_map(|names| names.values()).sum();
    let odd: u64 = [46, 255]
        .iter()
        .filter_map(|kind| look.names.get(kind))
        .flat_map(|names| names.values())
        .sum();
    // Without names (flow records have none) nothing says what was asked.
    total > 0
        && lane.packets >= 200
        && lane.bytes / lane.packets >= 400
        && odd * 10 >= total * 9
        && name_share(look) >= 0.9
}

/// Share of the commonest DNS question among the questions counted.
fn name_share(look: &Look) -> f64 {
    let mut total = 0;
    let mut best = 0;
    for &packets in look.names.values().flat_map(|names| names.values()) {
        total += packets;
        best = best.max(packets);
    }
    if total == 0 {
        1.0
    } else {
        best as f64 / total as f64
    }
}

impl Case {
    fn lane(&self, vector: Vector) -> Option<&LaneTotals> {
        self.lanes.iter().find(|lane| lane.0 == vector)
    }

    /// A suspicion as a part of an attack: kept packets scaled to the lane's exact total, seconds likewise. The senders stay with
    /// the suspicion until the part is wanted ([`Suspicion::claim`]): there may be a million of them.
    fn part(&self, suspicion: &Suspicion) -> Option<Part> {
        let (_, packets, bytes, cells, look, sampling) = self.lane(suspicion.vector)?;
        let first_ns = suspicion.senders.iter().map(|s| s.first_ns).min()?;
        let last_ns = suspicion.senders.iter().map(|s| s.last_ns).max()?;
        let whole = suspicion.packets == suspicion.kept;
        // Seconds in which none of the senders was there are other people's.
        let during: Vec<Cell> = cells
            .iter()
            .copied()
            .filter(|cell| (second_of(first_ns)..=second_of(last_ns)).contains(&cell.second))
            .collect();
        let share = |n: u64| {
            (u128::from(n) * u128::from(suspicion.packets) / u128::from(suspicion.kept.max(1))) as u64
        };
        Some(Part {
            vector: suspicion.vector,
            packets: if whole { *packets } else { share(*packets) },
            bytes: if whole { *bytes } else { share(*bytes) },
            requests: None,
            first_ns,
            last_ns,
            cells: scale(
                &during,
                if whole { *packets } else { share(*packets) },
                during.iter().map(|c| c.packets).sum(),
            ),
            senders: Vec::new(),
            look: look.clone().unwrap_or_default(),
            sampling: *sampling,
            companions: 0,
            why: String::new(),
        })
    }

    /// The attack on this host alone, if there is one.
    fn host_attack(mut self, tally: &Tally, options: &Options) -> Option<Attack> {
        let level = tally.conversations().level();
        let mut parts: Vec<Part> = Vec::new();
        for at in 0..self.suspicions.len() {
            let suspicion = &self.suspicions[at];
            if suspicion.senders.is_empty() {
                continue;
            }
            let Some(mut part) = self.part(suspicion) else {
                continue;
            };
            let peaks = peaks(&part.cells);
            let bar = bar(suspicion.vector).of_sample(part.sampling);
            let senders = (suspicion.senders.len() as u64) << level;
            let reached = if senders < bar.senders {
                peaks[0] >= bar.few_senders_peak
            } else {
                peaks.iter().zip(bar.peaks).any(|(&peak, bar)| peak >= bar)
            } || options.runs(self.address, suspicion.vector);
            let known = self.lane(suspicion.vector).and_then(|lane| lane.4.as_ref());
            if !reached || ordinary(&self, suspicion, known, peaks, level).is_some() {
                continue;
            }
            part.why = why(&part, self.speaks, senders);
            part.senders = self.suspicions[at].claim();
            parts.push(part);
        }
        if let Some(part) = self.water_torture(tally) {
            parts.retain(|p| p.vector != Vector::DnsFlood);
            parts.push(part);
        }
        for suspect in std::mem::take(&mut self.requests) {
            let look = self.lane(Vector::HttpFlood).and_then(|lane| lane.4.clone());
            let part = suspect.part(look.unwrap_or_default());
            // A server whose places are all held answers nobody's SYN: fewer of them than of the attack are the harm, and no vector.
            if matches!(part.vector, Vector::Slowloris | Vector::SlowPost) {
                parts.retain(|p| p.vector != Vector::SynFlood || p.packets > part.packets);
            }
            parts.push(part);
        }
        self.companions(&mut parts);
        self.attack(parts, tally)
    }

    /// Joins what belongs together: the RSTs of hosts that were made to answer, ICMP errors about forged packets, later
    /// fragments of the same senders, and the few packets of a flood that look like something else by chance.
    fn companions(&mut self, parts: &mut Vec<Part>) {
        use Vector as V;
        let strongest_reflection = parts
            .iter()
            .filter(|p| p.vector.is_reflection())
            .max_by_key(|p| p.packets)
            .map(|p| p.vector);
        let strongest_udp = parts
            .iter()
            .filter(|p| p.vector.transport() == Transport::Udp)
            .max_by_key(|p| p.packets)
            .map(|p| p.vector);
        for at in 0..self.suspicions.len() {
            let suspicion = &self.suspicions[at];
            let to = match suspicion.vector {
                V::RstFlood | V::AckFlood if parts.iter().any(|p| p.vector == V::SynackReflection) => {
                    Some(V::SynackReflection)
                }
                V::RstFlood | V::FinFlood | V::PshAckFlood
                    if parts.iter().any(|p| p.vector == V::MiddleboxReflection) =>
                {
                    Some(V::MiddleboxReflection)
                }
                V::IcmpFlood if suspicion.icmp_types & !ICMP_ERRORS == 0 => strongest_reflection,
                V::IpFragment => strongest_reflection.or(strongest_udp),
                V::UdpFlood | V::UdpNull | V::QuicFlood | V::VseFlood | V::DnsFlood => {
                    strongest_udp.filter(|v| matches!(v, V::UdpFlood | V::QuicFlood))
                }
                v if v.is_reflection() && v.transport() == Transport::Udp => {
                    strongest_udp.filter(|v| *v == V::UdpFlood)
                }
                _ => None,
            };
            let Some(to) = to.filter(|to| *to != suspicion.vector) else {
                continue;
            };
            let Some(whole) = parts.iter().find(|p| p.vector == to).map(|p| p.packets) else {
                continue;
            };
            // Either it has become a part already, or its senders are still here.
            let part = match parts.iter().position(|p| p.vector == suspicion.vector) {
                Some(own) => parts[own].clone(),
                None if suspicion.senders.is_empty() => continue,
                None => match self.part(suspicion) {
                    Some(part) => Part {
                        senders: suspicion.senders.clone(),
                        ..part
                    },
                    None => continue,
                },
            };
            // Later fragments belong to the senders of first ones; anything else must be small beside the main vector.
            let fits = if part.vector == V::IpFragment {
                part.packets <= 3 * whole
            } else {
                part.packets * 2 < whole
            };
            if !fits {
                continue;
            }
            parts.retain(|p| p.vector != part.vector);
            if let Some(main) = parts.iter_mut().find(|p| p.vector == to) {
                main.join(part);
            }
        }
    }

    /// Queries for names that do not exist, each another one: aimed at an authoritative server. Judged by what its seconds have beyond the
    /// usual ones; where none are usual, by all of them.
    fn water_torture(&self, tally: &Tally) -> Option<Part> {
        let (_, packets, bytes, cells, look, sampling) = self.lane(Vector::DnsFlood)?;
        let look = look.as_ref()?;
        let answers = tally.dns_answers(self.address)?;
        let beyond = BeyondUsual::of(cells, &answers.seconds()).unwrap_or(BeyondUsual {
            cells: cells.clone(),
            answers: answers.answers,
            nxdomain: answers.nxdomain,
            is_all: true,
        });
        let bar = Bar {
            peaks: [100, 500, 1_500],
            senders: 0,
            few_senders_peak: 0,
        };
        let bar = bar.of_sample(*sampling);
        let questions: u64 = beyond.cells.iter().map(|cell| cell.packets).sum();
        let distinct = distinct_of_bins(&look.name_bins).unwrap_or(f64::INFINITY);
        let unique = distinct >= 0.8 * (questions as f64).min(1_000.0);
        let denied = beyond.answers > 0 && beyond.nxdomain * 5 >= beyond.answers * 4;
        let peaks = peaks(&beyond.cells);
        if !(unique && denied && peaks.iter().zip(bar.peaks).any(|(&peak, bar)| peak >= bar)) {
            return None;
        }
        let (from, to) = beyond.span_ns()?;
        let senders = self.who_asked(tally, &beyond, questions);
        let of_senders = |time: fn(&Sender) -> u64| senders.iter().map(time);
        Some(Part {
            vector: Vector::DnsWaterTorture,
            packets: if beyond.is_all { *packets } else { questions },
            bytes: if beyond.is_all {
                *bytes
            } else {
                beyond.cells.iter().map(|cell| cell.bytes).sum()
            },
            requests: Some(questions),
            first_ns: of_senders(|s| s.first_ns).min()?.max(from),
            last_ns: of_senders(|s| s.last_ns).max()?.min(to),
            cells: beyond.cells,
            senders,
            look: look.clone(),
            sampling: *sampling,
            companions: 0,
            why: format!(
                "{} of {} answers{} say that the name does not exist, and hardly a question came twice",
                beyond.nxdomain,
                beyond.answers,
                if beyond.is_all {
                    ""
                } else {
                    " beyond the usual ones"
                }
            ),
        })
    }

    /// Who sent questions beyond the usual ones: those who came with them and went with them, where that explains most of them. Else they
    /// come from the resolvers that always ask, and of these nobody can be told from the others.
    fn who_asked(&self, tally: &Tally, beyond: &BeyondUsual, questions: u64) -> Vec<Sender> {
        let conversations = tally.conversations();
        let mut senders = Vec::new();
        for index in 0..conversations.len() {
            let conversation = conversations.get(index);
            let target_is_low = conversation.low == self.address;
            if !target_is_low && conversation.high != self.address {
                continue;
            }
            let peer = if target_is_low {
                conversation.high
            } else {
                conversation.low
            };
            let exchange = Exchange::of(conversations.strands(index), target_is_low);
            senders.extend(
                conversations
                    .strands(index)
                    .filter(|s| s.forward != target_is_low && s.vector == Vector::DnsFlood)
                    .map(|s| sender(peer, s, &exchange)),
            );
        }
        senders.sort_unstable();
        let Some((from, to)) = beyond.span_ns().filter(|_| !beyond.is_all) else {
            return senders;
        };
        let is_new = |s: &Sender| s.first_ns >= from && s.first_ns <= to && s.last_ns <= to + GONE_AFTER_NS;
        let theirs: u64 = senders.iter().filter(|s| is_new(s)).map(|s| s.packets).sum();
        // They send their usual share of what is usual in these seconds too, hence not quite all.
        if (u128::from(theirs) << conversations.level().min(32)) * 5 >= u128::from(questions) * 4 {
            senders.retain(is_new);
        } else {
            senders.retain(|s| s.first_ns <= to && s.last_ns >= from);
        }
        senders
    }

    fn attack(self, mut parts: Vec<Part>, tally: &Tally) -> Option<Attack> {
        finish_parts(&mut parts);
        let (start_ns, end_ns, longest_pause_s) = span(&parts)?;
        Some(Attack {
            target: Prefix::of(self.address, 128),
            hosts: vec![self.address],
            start_ns,
            end_ns,
            ongoing: is_ongoing(end_ns, tally.last_ns(), longest_pause_s),
            longest_pause_s,
            parts,
            target_speaks: self.speaks,
            level: tally.conversations().level(),
            input_ns: (tally.first_ns().unwrap_or(start_ns), tally.last_ns()),
            clients: Clients::default(),
        })
    }
}

/// What a DNS server was asked, and answered, beyond what is usual for it.
#[derive(Debug)]
struct BeyondUsual {
    /// Questions in the seconds that stand out.
    cells: Vec<Cell>,
    answers: u64,
    nxdomain: u64,
    /// Nothing was usual: these are all seconds.
    is_all: bool,
}

/// NXDOMAIN answers beyond the usual ones that a second has at least to stand out.
const NXDOMAIN_MIN: u64 = 50;
/// How long after the last second that stands out somebody who came with the attack may still ask: resolvers ask again for what was
/// not answered, after 2 to 5 seconds (RFC 1035 section 4.2.1).
const GONE_AFTER_NS: u64 = 5_000_000_000;

impl BeyondUsual {
    /// Seconds with three times the NXDOMAIN answers of usual ones or more, and what they have beyond them; `None` where there are none.
    /// Usual is the second than which a tenth of all are quieter: an attack may fill most of an input, and then the tenth is before it.
    fn of(questions: &[Cell], answers: &[DnsSecond]) -> Option<BeyondUsual> {
        let (first, last) = (questions.first()?.second, questions.last()?.second);
        let all = (last - first) as usize + 1;
        // Seconds without any are not listed.
        let usual = |mut counts: Vec<u64>| {
            counts.sort_unstable();
            let missing = all.saturating_sub(counts.len());
            (all / 10)
                .checked_sub(missing)
                .map_or(0, |at| counts.get(at).copied().unwrap_or(0))
        };
        let usual_packets = usual(questions.iter().map(|cell| cell.packets).collect());
        let usual_answers = usual(answers.iter().map(|one| u64::from(one.answers)).collect());
        let usual_nxdomain = usual(answers.iter().map(|one| u64::from(one.nxdomain)).collect());
        let mut beyond = BeyondUsual {
            cells: Vec::new(),
            answers: 0,
            nxdomain: 0,
            is_all: false,
        };
        for one in answers {
            let nxdomain = u64::from(one.nxdomain);
            if nxdomain < 3 * usual_nxdomain || nxdomain < usual_nxdomain + NXDOMAIN_MIN {
                continue;
            }
            let Ok(at) = questions.binary_search_by_key(&one.second, |cell| cell.second) else {
                continue;
            };
            let cell = questions[at];
            let packets = cell.packets.saturating_sub(usual_packets);
            beyond.answers += u64::from(one.answers).saturating_sub(usual_answers);
            beyond.nxdomain += nxdomain - usual_nxdomain;
            beyond.cells.push(Cell {
                second: cell.second,
                packets,
                bytes: (u128::from(cell.bytes) * u128::from(packets) / u128::from(cell.packets.max(1)))
                    as u64,
            });
        }
        (!beyond.cells.is_empty()).then_some(beyond)
    }

    /// From the beginning of the first second to the end of the last one.
    fn span_ns(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.cells.first()?.second, self.cells.last()?.second);
        let ns = |second: u32| u64::from(second) * 1_000_000_000;
        Some((ns(first), ns(last) + 999_999_999))
    }
}

impl Part {
    /// Takes companion packets in.
    fn join(&mut self, other: Part) {
        self.companions += other.packets;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.cells = sum_cells(&[&self.cells, &other.cells]);
        self.senders = join_senders(&[&self.senders, &other.senders]);
    }
}

/// Sums series by second.
pub fn sum_cells(series: &[&[Cell]]) -> Vec<Cell> {
    let mut all: Vec<Cell> = series.iter().flat_map(|cells| cells.iter().copied()).collect();
    all.sort_unstable_by_key(|cell| cell.second);
    all.dedup_by(|later, earlier| {
        let same = later.second == earlier.second;
        if same {
            earlier.packets += later.packets;
            earlier.bytes += later.bytes;
        }
        same
    });
    all
}

/// Joins lists of senders: one entry for each address, in address order.
pub fn join_senders(lists: &[&[Sender]]) -> Vec<Sender> {
    let mut all: Vec<Sender> = lists.iter().flat_map(|list| list.iter().copied()).collect();
    all.sort_unstable();
    all.dedup_by(|later, earlier| {
        let same = later.address == earlier.address;
        if same {
            if later.first_ns < earlier.first_ns {
                earlier.ttl_first = later.ttl_first;
                (earlier.window, earlier.options) = (later.window, later.options);
            }
            earlier.packets += later.packets;
            earlier.bytes += later.bytes;
            earlier.first_ns = earlier.first_ns.min(later.first_ns);
            earlier.last_ns = earlier.last_ns.max(later.last_ns);
            earlier.ttl_min = earlier.ttl_min.min(later.ttl_min);
            earlier.ttl_max = earlier.ttl_max.max(later.ttl_max);
            earlier.completed |= later.completed;
            earlier.denied |= later.denied;
            earlier.pairs = earlier.pairs.max(later.pairs);
        }
        same
    });
    all
}

/// Notes with how many of the hosts, each with its list of senders, each sender was seen.
fn count_pairs(senders: &mut [Sender], lists: &[&[Sender]]) {
    let mut addresses: Vec<Ipv6Addr> = lists
        .iter()
        .flat_map(|list| list.iter().map(|sender| sender.address))
        .collect();
    addresses.sort_unstable();
    // Both are in address order, and each address is that of a sender.
    for (sender, same) in senders.iter_mut().zip(addresses.chunk_by(|a, b| a == b)) {
        sender.pairs = u32::try_from(same.len()).unwrap_or(u32::MAX);
    }
}

/// Drops vectors that are under 5 % of both packets and bytes (SCIENCE 4.1), and sorts the rest, most packets first.
fn finish_parts(parts: &mut Vec<Part>) {
    let (packets, bytes) = parts
        .iter()
        .fold((0, 0), |(p, b), part| (p + part.packets, b + part.bytes));
    parts.retain(|part| part.packets * 20 >= packets || part.bytes * 20 >= bytes);
    parts.sort_by(|a, b| b.packets.cmp(&a.packets).then(a.vector.cmp(&b.vector)));
}

/// Start, end and longest pause of an attack: from the first to the last second that stands out, so that a stray packet hours
/// before does not count. A second stands out with a five-hundredth of the strongest one, and with ten packets (or a
/// twentieth of a strongest second that is itself small), and only as far as the senders were there: what is left of a second is
/// other people's traffic of the same kind, such as the SYNs of visitors.
fn span(parts: &[Part]) -> Option<(u64, u64, u32)> {
    const SECOND: u64 = 1_000_000_000;
    let series: Vec<&[Cell]> = parts.iter().map(|part| part.cells.as_slice()).collect();
    let cells = sum_cells(&series);
    let peak = cells.iter().map(|cell| cell.packets).max()?;
    let mut least = (peak / 500).max((peak / 20).min(10)).max(1);
    // In a sample nobody's question and answer are both observed, so visitors' packets are among those that accuse: a second needs
    // more than the one or two observed packets that they give it.
    let rate = parts.iter().map(|part| part.sampling).fold(1.0, f64::max);
    if rate >= SAMPLED_FROM {
        least = least.max(peak / 20).max((SPAN_SAMPLES * rate) as u64);
    }
    let presence = presence(parts, &cells);
    let most = presence.iter().copied().fold(0.0, f64::max);
    let stands_out = |cell: &Cell, present: f64| {
        let packets = cell.packets as f64;
        // The loudest seconds count whenever any sender was there: one that was there for hours and bursts once has a small mean.
        let is_loud = cell.packets * 2 >= peak && present > 0.0;
        // A strong second may stand far above the senders' mean, in a pulse; a weak one must be mostly theirs.
        let is_theirs = present >= 0.3 * packets || cell.packets * 20 >= peak;
        let are_there = 2.0 * present >= least as f64 && present * 500.0 >= most;
        cell.packets >= least && (is_loud || is_theirs && are_there)
    };
    let seconds_in = |chosen: &dyn Fn(&Cell, f64) -> bool| -> Vec<u32> {
        let with = cells.iter().zip(&presence);
        with.filter(|(cell, present)| chosen(cell, **present))
            .map(|(cell, _)| cell.second)
            .collect()
    };
    let mut active = seconds_in(&stands_out);
    if active.is_empty() {
        // Whatever its seconds look like, what reached its bar is an attack.
        active = seconds_in(&|cell, _| cell.packets >= least.min(peak));
    }
    let (first, last) = (*active.first()?, *active.last()?);
    let longest_pause_s = active
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 1)
        .max()
        .unwrap_or(0);
    let (from, to) = (u64::from(first) * SECOND, (u64::from(last) + 1) * SECOND);
    let senders = || parts.iter().flat_map(|part| part.senders.iter());
    // Inside those seconds the senders' own times are exact; a sender that was there before or after gives the second's edge.
    let before = senders().any(|s| s.first_ns < from && s.last_ns >= from);
    let after = senders().any(|s| s.last_ns >= to && s.first_ns < to);
    let mut start = if before {
        None
    } else {
        senders().map(|s| s.first_ns).filter(|at| *at >= from).min()
    }
    .unwrap_or(from);
    let mut end = if after {
        None
    } else {
        senders().map(|s| s.last_ns).filter(|at| *at < to).max()
    }
    .unwrap_or(to);
    // Slow attacks are quiet between their requests: their connections say how long they last.
    for part in parts.iter().filter(|part| part.requests.is_some()) {
        start = start.min(part.first_ns);
        end = end.max(part.last_ns);
    }
    Some((start, end.max(start), longest_pause_s))
}

/// How many packets of each second the senders can have sent, each of them evenly over the time in which it was there; all of them
/// where attacks are made of requests, whose packets are few.
fn presence(parts: &[Part], cells: &[Cell]) -> Vec<f64> {
    if parts.iter().any(|part| part.requests.is_some()) {
        return cells.iter().map(|cell| cell.packets as f64).collect();
    }
    // What begins and ends at each cell, summed up afterwards: a sender costs two searches, however long it was there.
    let mut changes = vec![0.0; cells.len() + 1];
    for part in parts {
        let kept: u64 = part.senders.iter().map(|sender| sender.packets).sum();
        let scale = part.packets as f64 / kept.max(1) as f64;
        for sender in &part.senders {
            let (first, last) = (second_of(sender.first_ns), second_of(sender.last_ns));
            let from = cells.partition_point(|cell| cell.second < first);
            let to = cells.partition_point(|cell| cell.second <= last);
            if to > from {
                let each = scale * sender.packets as f64 / (to - from) as f64;
                changes[from] += each;
                changes[to] -= each;
            }
        }
    }
    let mut sum = 0.0;
    changes.truncate(cells.len());
    for change in &mut changes {
        sum += *change;
        *change = sum;
    }
    changes
}

/// An attack is ongoing when the input ends before it was quiet for longer than it had paused before (2 s to 60 s).
fn is_ongoing(end_ns: u64, input_end_ns: u64, longest_pause_s: u32) -> bool {
    let patience = u64::from(longest_pause_s.clamp(2, 60)) * 1_000_000_000;
    input_end_ns.saturating_sub(end_ns) <= patience
}

/// Attacks on prefixes: many hosts of a block that share a vector, whether or not one of them is an attack by itself.
fn carpets(tally: &Tally, cases: &mut [Case], options: &Options) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let mut start = 0;
    while start < cases.len() {
        let block = block_of(cases[start].address);
        let end = start + cases[start..].partition_point(|case| block_of(case.address) == block);
        if end - start >= CARPET_HOSTS
            && let Some(attack) = carpet(tally, &cases[start..end], options)
        {
            // The hosts are part of it now, but for what one of them gets that is far more than its share of the carpet: that is an
            // attack on this host, which runs beside.
            let share = attack.packets() / attack.hosts.len().max(1) as u64;
            for case in &mut cases[start..end] {
                let in_it = attack.hosts.binary_search(&case.address).is_ok();
                if in_it {
                    let of_carpet = |s: &Suspicion| attack.parts.iter().any(|part| part.vector == s.vector);
                    case.suspicions
                        .retain(|s| !of_carpet(s) && s.packets > LOUD_TIMES * share);
                    case.requests.clear();
                }
            }
            attacks.push(attack);
        }
        start = end;
    }
    join_neighbours(attacks)
}

/// The attack on a block, if its hosts together reach a bar: enough hosts, none far above the others.
fn carpet(tally: &Tally, cases: &[Case], options: &Options) -> Option<Attack> {
    let level = tally.conversations().level();
    let mut parts: Vec<Part> = Vec::new();
    let mut hosts: Vec<Ipv6Addr> = Vec::new();
    for &vector in Vector::ALL {
        let of_hosts: Vec<(&Case, &Suspicion, Part)> = cases
            .iter()
            .filter_map(|case| {
                let suspicion = case
                    .suspicions
                    .iter()
                    .find(|s| s.vector == vector && !s.senders.is_empty())?;
                let part = case.part(suspicion)?;
                let look = case.lane(vector).and_then(|lane| lane.4.as_ref());
                // No bar is asked of the single host here, but an ordinary shape stays ordinary; only a few packets from each
                // sender are no stream.
                let shape = ordinary(case, suspicion, look, peaks(&part.cells), level);
                (shape.is_none() || shape == Some(ONE_SIDED_STREAM)).then_some((case, suspicion, part))
            })
            .collect();
        if of_hosts.len() < CARPET_HOSTS {
            continue;
        }
        // A host that gets far more than the others is attacked by itself.
        let of_hosts = without_loud(of_hosts);
        let total: u64 = of_hosts.iter().map(|(.., part)| part.packets).sum();
        let entropy: f64 = of_hosts
            .iter()
            .map(|(.., part)| part.packets as f64 / total as f64)
            .map(|p| if p > 0.0 { -p * p.log2() } else { 0.0 })
            .sum();
        if entropy < 0.8 * (of_hosts.len() as f64).log2() {
            continue; // one host carries it: that is an attack on the host
        }
        let lists: Vec<&[Sender]> = of_hosts
            .iter()
            .map(|(_, suspicion, _)| suspicion.senders.as_slice())
            .collect();
        let pairs = lists.iter().map(|list| list.len()).sum::<usize>().max(1);
        let mut senders = join_senders(&lists);
        count_pairs(&mut senders, &lists);
        let series: Vec<&[Cell]> = of_hosts.iter().map(|(.., part)| part.cells.as_slice()).collect();
        let cells = sum_cells(&series);
        let sampling = of_hosts
            .iter()
            .map(|(.., part)| part.sampling)
            .fold(1.0, f64::max);
        let bar = bar(vector).of_sample(sampling);
        let distinct = (senders.len() as u64) << level;
        let peaks = peaks(&cells);
        // A single source that sends a few packets to each of many hosts scans them.
        if distinct < 4 && (total as f64) < 20.0 * pairs as f64 {
            continue;
        }
        let reached = if distinct < bar.senders {
            peaks[0] >= bar.few_senders_peak * 2
        } else {
            peaks.iter().zip(bar.peaks).any(|(&peak, bar)| peak >= bar * 2)
        } || options.running.iter().any(|(target, running)| {
            *running == vector && target.len < 128 && target.contains(cases[0].address)
        });
        if !reached {
            continue;
        }
        let loudest = of_hosts
            .iter()
            .max_by_key(|(.., part)| part.packets)
            .map(|(.., part)| part.look.clone());
        hosts.extend(of_hosts.iter().map(|(case, ..)| case.address));
        parts.push(Part {
            vector,
            packets: total,
            bytes: of_hosts.iter().map(|(.., part)| part.bytes).sum(),
            requests: None,
            first_ns: senders.iter().map(|s| s.first_ns).min()?,
            last_ns: senders.iter().map(|s| s.last_ns).max()?,
            cells,
            senders,
            look: loudest.unwrap_or_default(),
            sampling,
            companions: 0,
            why: format!(
                "the same traffic to {} hosts of one block, evenly, that none of them asked for",
                of_hosts.len()
            ),
        });
    }
    hosts.sort_unstable();
    hosts.dedup();
    finish_parts(&mut parts);
    let (start_ns, end_ns, longest_pause_s) = span(&parts)?;
    Some(Attack {
        target: common_prefix(&hosts),
        hosts,
        start_ns,
        end_ns,
        ongoing: is_ongoing(end_ns, tally.last_ns(), longest_pause_s),
        longest_pause_s,
        parts,
        target_speaks: cases.iter().any(|case| case.speaks),
        level,
        input_ns: (tally.first_ns().unwrap_or(start_ns), tally.last_ns()),
        clients: Clients::default(),
    })
}

/// Hosts of a carpet without those that get far more than the middle one, where enough are left.
fn without_loud<'a>(of_hosts: Vec<(&'a Case, &'a Suspicion, Part)>) -> Vec<(&'a Case, &'a Suspicion, Part)> {
    let mut packets: Vec<u64> = of_hosts.iter().map(|(.., part)| part.packets).collect();
    packets.sort_unstable();
    let most = LOUD_TIMES * packets[packets.len() / 2];
    let quiet = packets.partition_point(|packets| *packets <= most);
    if quiet == packets.len() || quiet < CARPET_HOSTS {
        return of_hosts;
    }
    of_hosts
        .into_iter()
        .filter(|(.., part)| part.packets <= most)
        .collect()
}

/// Joins attacks on neighbouring blocks (inside one /20 of IPv4 or /56 of IPv6) with the same first vector.
fn join_neighbours(attacks: Vec<Attack>) -> Vec<Attack> {
    let mut joined: Vec<Attack> = Vec::new();
    for attack in attacks {
        let wide = |a: &Attack| {
            let len = if a.target.base.to_ipv4_mapped().is_some() {
                96 + 20
            } else {
                56
            };
            Prefix::of(a.target.base, len)
        };
        match joined.last_mut() {
            Some(last) if wide(last) == wide(&attack) && last.parts[0].vector == attack.parts[0].vector => {
                last.take_in(attack);
            }
            _ => joined.push(attack),
        }
    }
    joined
}

impl Attack {
    /// Goes on with what a later tally shows of the same attack. Everything adds up; senders stay within
    /// [`MAX_CONVERSATIONS`](crate::conversation::MAX_CONVERSATIONS), by the sampling that the table of conversations uses.
    pub fn continue_with(&mut self, later: Attack) {
        let level = self.level.max(later.level);
        let base = self.target.base;
        let pause = later.start_ns.saturating_sub(self.end_ns) / 1_000_000_000;
        self.longest_pause_s = self
            .longest_pause_s
            .max(later.longest_pause_s)
            .max(u32::try_from(pause).unwrap_or(u32::MAX));
        self.hosts.extend(later.hosts);
        self.hosts.sort_unstable();
        self.hosts.dedup();
        if self.hosts.len() > 1 {
            self.target = common_prefix(&self.hosts);
        }
        self.target_speaks |= later.target_speaks;
        self.input_ns.0 = self.input_ns.0.min(later.input_ns.0);
        self.input_ns.1 = self.input_ns.1.max(later.input_ns.1);
        self.clients.join(later.clients);
        for part in later.parts {
            let Some(mine) = self.parts.iter_mut().find(|mine| mine.vector == part.vector) else {
                self.parts.push(part);
                continue;
            };
            // The tally that saw more of it says how its packets look, and what was counted there is said of that tally.
            if part.packets > mine.packets {
                mine.look = part.look.clone();
                mine.why = part.why.clone();
            }
            if !mine.why.starts_with(LOUDEST_WINDOW) {
                mine.why.insert_str(0, LOUDEST_WINDOW);
            }
            mine.sampling = mine.sampling.max(part.sampling);
            mine.requests = mine.requests.or(part.requests).map(|_| {
                mine.requests
                    .unwrap_or(0)
                    .saturating_add(part.requests.unwrap_or(0))
            });
            let companions = mine.companions + part.companions;
            mine.join(part);
            mine.companions = companions;
        }
        self.parts
            .sort_by(|a, b| b.packets.cmp(&a.packets).then(a.vector.cmp(&b.vector)));
        self.start_ns = self.start_ns.min(later.start_ns);
        self.end_ns = self.end_ns.max(later.end_ns);
        self.ongoing = later.ongoing;
        self.level = level;
        loop {
            let sampled = |sender: &Sender| crate::conversation::in_sample(sender.address, base, self.level);
            for part in &mut self.parts {
                part.senders.retain(sampled);
            }
            let most = self.parts.iter().map(|part| part.senders.len()).max();
            if most.unwrap_or(0) <= crate::conversation::MAX_CONVERSATIONS {
                break;
            }
            self.level += 1;
        }
    }

    fn take_in(&mut self, other: Attack) {
        self.hosts.extend(other.hosts);
        self.hosts.sort_unstable();
        self.target = common_prefix(&self.hosts);
        for part in other.parts {
            match self.parts.iter_mut().find(|mine| mine.vector == part.vector) {
                Some(mine) => {
                    let companions = mine.companions + part.companions;
                    mine.join(part);
                    mine.companions = companions;
                }
                None => self.parts.push(part),
            }
        }
        let hosts = self.hosts.len();
        for part in &mut self.parts {
            part.why = format!(
                "the same traffic to {hosts} hosts of one network, evenly, that none of them asked for"
            );
        }
        finish_parts(&mut self.parts);
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
        self.ongoing |= other.ongoing;
        self.longest_pause_s = self.longest_pause_s.max(other.longest_pause_s);
        self.target_speaks |= other.target_speaks;
    }
}

/// The smallest prefix that holds all these hosts.
fn common_prefix(hosts: &[Ipv6Addr]) -> Prefix {
    let (Some(first), Some(last)) = (hosts.iter().min(), hosts.iter().max()) else {
        return Prefix::of(Ipv6Addr::UNSPECIFIED, 0);
    };
    let len = (first.to_bits() ^ last.to_bits()).leading_zeros() as u8;
    Prefix::of(*first, len)
}

/// Sources that try many hosts, a few packets each, and complete nothing.
fn horizontal_scans(tally: &Tally) -> Vec<Scan> {
    // Counting by a small table of hash bins first, so that a flood of forged sources, each of which tries one host, costs
    // no memory: only sources in full bins are looked at one by one.
    const BINS: usize = 1 << 20;
    let conversations = tally.conversations();
    let mut bins = vec![0u8; BINS];
    let bin = |address: Ipv6Addr| crate::conversation::hash_address(address) as usize % BINS;
    let probes = |index: usize| {
        let conversation = conversations.get(index);
        conversations
            .strands(index)
            .find(|s| s.vector == Vector::SynFlood && s.packets <= SCAN_PACKETS_PER_HOST)
            .filter(|s| {
                let exchange = Exchange::of(conversations.strands(index), !s.forward);
                // `forward` strands come from the low end: seen from the other end they are incoming.
                !exchange.asked_for(Vector::SynFlood)
            })
            .map(|s| {
                (
                    if s.forward {
                        conversation.low
                    } else {
                        conversation.high
                    },
                    *s,
                )
            })
    };
    for index in 0..conversations.len() {
        if let Some((source, _)) = probes(index) {
            let count = &mut bins[bin(source)];
            *count = count.saturating_add(1);
        }
    }
    let mut tries: Vec<(Ipv6Addr, u64, u64, u64)> = Vec::new();
    for index in 0..conversations.len() {
        if let Some((source, strand)) = probes(index)
            && u32::from(bins[bin(source)]) >= SCAN_HOSTS
        {
            tries.push((source, strand.packets, strand.first_ns, strand.last_ns));
        }
    }
    tries.sort_unstable();
    tries
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|group| group.len() >= SCAN_HOSTS as usize)
        .map(|group| Scan {
            source: group[0].0,
            hosts: (group.len() as u64) << conversations.level(),
            packets: group.iter().map(|t| t.1).sum::<u64>() << conversations.level(),
            first_ns: group.iter().map(|t| t.2).min().unwrap_or(0),
            last_ns: group.iter().map(|t| t.3).max().unwrap_or(0),
            vertical: false,
        })
        .collect()
}

/// The fields that name a part, in words.
fn why(part: &Part, speaks: bool, senders: u64) -> String {
    use Vector as V;
    let packets = part.packets;
    let top_port = part.look.dst_ports.sorted().first().map(|(port, _)| *port);
    let from_port = part.vector.service_port();
    let unasked = if speaks {
        "the target sent nothing that asks for them"
    } else {
        "nothing that asks for them is in the input, which shows no packet of the target"
    };
    match part.vector {
        V::SynFlood => format!("{packets} SYNs that no ACK of the same {senders} sources followed"),
        V::SynackReflection => format!("SYN-ACKs from {senders} hosts; {unasked}"),
        V::XmasFlood | V::NullFlood => format!("{packets} segments with flags that no connection has"),
        V::AckFlood | V::PshAckFlood | V::RstFlood | V::FinFlood => {
            format!("{packets} segments from {senders} sources outside any connection")
        }
        V::IcmpFlood => format!("{packets} ICMP messages from {senders} sources; {unasked}"),
        v if v.is_reflection() => {
            let port = from_port.map_or("the service's form".to_owned(), |port| format!("port {port}"));
            format!("answers from {port} of {senders} hosts; {unasked}")
        }
        V::UdpFlood | V::UdpNull | V::QuicFlood => {
            let port = top_port.map_or(String::new(), |port| format!(", most to port {port}"));
            format!("{packets} datagrams from {senders} sources{port}; {unasked}")
        }
        _ => format!("{packets} packets from {senders} sources; {unasked}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use wire::{Batch, Dns, Flow, Hint};

    use super::*;

    const SERVER: u32 = 0x0a00_0035;
    const MS: u64 = 1_000_000;

    fn address(n: u32) -> Ipv6Addr {
        Ipv4Addr::from_bits(n).to_ipv6_mapped()
    }

    /// A name server with 200 questions a second from 300 resolvers, for forty names, in a hundred seconds.
    struct Server(Batch);

    impl Server {
        fn new() -> Server {
            let mut server = Server(Batch::default());
            for n in 0..20_000u32 {
                let from = 0x0b00_0000 + crate::conversation::mix(u64::from(n)) as u32 % 300;
                server.ask(from, u64::from(n) * 5, &format!("www{}.example.org", n % 40), 0);
            }
            server
        }

        fn ask(&mut self, from: u32, at_ms: u64, name: &str, rcode: u8) {
            for (is_answer, src, dst) in [(false, from, SERVER), (true, SERVER, from)] {
                let batch = &mut self.0;
                batch.dns.push(Dns {
                    name_start: batch.names.len() as u32,
                    name_len: name.len() as u16,
                    first_label_len: 8,
                    rcode: if is_answer { rcode } else { 0 },
                    qtype: 1,
                    answers: 0,
                    size: 60,
                });
                batch.names.extend(name.bytes());
                batch.flows.push(Flow {
                    src: address(src),
                    dst: address(dst),
                    first_ns: (at_ms + u64::from(is_answer)) * MS,
                    last_ns: (at_ms + u64::from(is_answer)) * MS,
                    packets: 1,
                    bytes: 80,
                    protocol: 17,
                    src_port: if is_answer { 53 } else { 40_000 },
                    dst_port: if is_answer { 40_000 } else { 53 },
                    payload: 60,
                    hint: if is_answer {
                        Hint::DnsAnswer
                    } else {
                        Hint::DnsQuery
                    },
                    detail: batch.dns.len() as u32 - 1,
                    has: Flow::HAS_TRANSPORT | Flow::HAS_PAYLOAD | Flow::IS_PACKET,
                    ..Flow::EMPTY
                });
            }
        }

        /// So many questions a second, each for another name that does not exist, from second 40 to 70.
        fn torture(&mut self, per_second: u64, from: impl Fn(u32) -> u32) {
            for n in 0..30 * per_second {
                let name = format!("{:016x}.example.org", crate::conversation::mix(n));
                self.ask(from(n as u32), 40_000 + n * 1_000 / per_second, &name, 3);
            }
        }

        fn attacks(mut self) -> Vec<Attack> {
            self.0.flows.sort_by_key(|flow| flow.first_ns);
            let mut tally = Tally::new();
            tally.add(&self.0);
            judge(&tally, &Options::default()).attacks
        }
    }

    #[test]
    fn water_torture_is_found_beside_the_usual_resolvers_who_are_not_accused() {
        let mut server = Server::new();
        server.torture(300, |n| 0x4000_0000 + n % 500);
        let attacks = server.attacks();
        assert_eq!(attacks.len(), 1);
        let part = &attacks[0].parts[0];
        assert_eq!(
            (attacks[0].parts.len(), part.vector),
            (1, Vector::DnsWaterTorture)
        );
        assert_eq!(part.senders.len(), 500, "{}", part.why);
        assert!(part.senders.iter().all(|s| s.address >= address(0x4000_0000)));
        assert!((8_500..9_500).contains(&part.packets), "{}", part.packets);
        assert!(attacks[0].start_ns.abs_diff(40_000 * MS) < 10 * MS);
        assert!(attacks[0].end_ns.abs_diff(70_000 * MS) < 10 * MS);
    }

    #[test]
    fn water_torture_through_the_usual_resolvers_is_found_in_its_seconds() {
        let mut server = Server::new();
        server.torture(300, |n| 0x0b00_0000 + n % 300);
        let attacks = server.attacks();
        assert_eq!(attacks.len(), 1);
        assert_eq!(attacks[0].parts[0].senders.len(), 300);
        assert_eq!(
            (attacks[0].start_ns, attacks[0].end_ns),
            (40_000 * MS, 70_000 * MS)
        );
    }

    #[test]
    fn names_that_do_not_exist_are_usual_to_some_part() {
        // Typing errors all the time, and three times as many questions of every kind from one moment on.
        let mut server = Server::new();
        for n in 0..30_000u64 {
            let at = if n < 10_000 { n * 10 } else { 40_000 + n };
            let (name, rcode) = match n % 4 {
                0 => (format!("{:016x}.example.org", crate::conversation::mix(n)), 3),
                _ => (format!("www{}.example.org", n % 40), 0),
            };
            server.ask(0x0b00_0000 + n as u32 % 300, at, &name, rcode);
        }
        assert!(server.attacks().is_empty());
    }
}
