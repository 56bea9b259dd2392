//! From a tally to a case.

use atlas::Atlas;
use detect::lane::{Cell, Look as LaneLook, Values};
use detect::{Attack, Clients, Options, Part, Tally, Transport, Vector};
use trace::{Interval, Past, Trace};

use crate::case::{
    Audience, Case, Class, Confidence, Coordination, CountryShare, Incident, Input, Located, Look, Meaning,
    NetworkName, NetworkShare, Origin, Peak, PortShare, Scan, Senders, Share, Sources, TOP_SOURCES, Test,
    Timeline, TopSource, Unmade, VectorShare,
};
use crate::size;

/// Steps of an incident's timeline at most.
const TIMELINE_STEPS: u64 = 120;
/// Values of one field that a look lists.
const LOOK_VALUES: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// Judges a tally, traces its attacks and returns the case.
pub fn investigate(tally: &Tally, atlas: &Atlas, options: &Options, inputs: Vec<Input>) -> Case {
    let past = |_: &[Attack]| Past::default();
    investigate_against(tally, past, atlas, options, inputs)
}

/// The same, where something else shows who normally uses the targets: `past` is asked once for the attacks that were found.
pub fn investigate_against(
    tally: &Tally,
    past: impl FnOnce(&[Attack]) -> Past,
    atlas: &Atlas,
    options: &Options,
    inputs: Vec<Input>,
) -> Case {
    let findings = detect::judge(tally, options);
    let past = past(&findings.attacks);
    let incidents = findings
        .attacks
        .iter()
        .map(|attack| incident(attack, &Seen::of(tally), &past, atlas))
        .collect();
    let scans = findings
        .scans
        .iter()
        .map(|scan| Scan {
            source: scan.source,
            hosts: scan.hosts,
            packets: scan.packets,
            start_ns: scan.first_ns,
            end_ns: scan.last_ns,
            what: if scan.vertical {
                "a port scan: one source goes through the ports of a host".to_owned()
            } else {
                "a scan: one source tries many hosts".to_owned()
            },
        })
        .collect();
    Case {
        inputs,
        incidents,
        scans,
        exporters: Vec::new(),
        outages: Vec::new(),
        signals: Vec::new(),
        verdicts: Vec::new(),
        caveats: caveats(tally),
    }
}

/// What the whole examination had to bound.
pub(crate) fn caveats(tally: &Tally) -> Vec<String> {
    let mut caveats = Vec::new();
    let conversations = tally.conversations();
    if conversations.level() > 0 {
        caveats.push(format!(
            "More than {} pairs of hosts talked: sources were counted exactly up to there, and beyond it from a fair sample of one in {} pairs ({} packets are outside the sample). Totals and times stay exact.",
            detect::conversation::MAX_CONVERSATIONS,
            1u64 << conversations.level(),
            conversations.left_out()
        ));
    } else if conversations.left_out() > 0 {
        caveats.push(format!(
            "{} packets of pairs with colliding hashes were left out of the source counts.",
            conversations.left_out()
        ));
    }
    if tally.lanes().forgotten() > 0 {
        caveats.push(format!(
            "There were more destinations than can be held: the quietest were not examined ({} packets).",
            tally.lanes().forgotten()
        ));
    }
    if tally.lanes().untimed() > 0 {
        caveats.push(format!(
            "{} packets are in the totals but in no second: the input is too long for its width.",
            tally.lanes().untimed()
        ));
    }
    if tally.unaddressed() > 0 {
        caveats.push(format!(
            "{} records name no addresses (frames without IP, counters of an exporter): they are counted and were not examined.",
            tally.unaddressed()
        ));
    }
    caveats
}

/// What an incident says of the input that it was found in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Time of the first record.
    pub(crate) first_ns: Option<u64>,
    /// Packets that are in no second.
    pub(crate) untimed: u64,
}

impl Seen {
    pub(crate) fn of(tally: &Tally) -> Seen {
        Seen {
            first_ns: tally.first_ns(),
            untimed: tally.lanes().untimed(),
        }
    }
}

/// Traces an attack and says what is known of it.
pub(crate) fn incident(attack: &Attack, seen: &Seen, past: &Past, atlas: &Atlas) -> Incident {
    let mut trace = trace::trace(attack, past, atlas);
    let packets = attack.packets();
    let series: Vec<&[Cell]> = attack.parts.iter().map(|part| part.cells.as_slice()).collect();
    let cells = detect::judge::sum_cells(&series);
    let requests: Vec<u64> = attack.parts.iter().filter_map(|part| part.requests).collect();
    let requests = (!requests.is_empty()).then(|| requests.iter().sum::<u64>());
    let vectors: Vec<VectorShare> = attack
        .parts
        .iter()
        .map(|part| vector_share(part, &trace.classes, attack))
        .collect();
    let meaning = meaning(&trace);
    let caveats = incident_caveats(attack, seen, meaning);
    let mut incident = Incident {
        id: id(attack),
        target: attack.target,
        target_hosts: attack.hosts.len() as u64,
        ports: ports(attack, packets),
        start_ns: attack.start_ns,
        end_ns: Some(attack.end_ns),
        ongoing: attack.ongoing,
        peak: peak(&cells, attack, requests),
        packets,
        bytes: attack.bytes(),
        requests,
        confidence: confidence(attack, seen, &trace),
        timeline: timeline(attack, &cells),
        vectors,
        audience: trace.audience.take().map(audience),
        coordination: trace.coordination.take().map(coordination),
        sources: sources(trace, meaning),
        size: Vec::new(),
        caveats,
    };
    incident.size = size::standings(&incident);
    incident
}

/// An id that the same input gives again: vector, target and start.
fn id(attack: &Attack) -> String {
    let vector = attack.parts.first().map_or("none", |part| part.vector.name());
    let seed = [
        u128::from(attack.start_ns),
        attack.target.base.to_bits(),
        u128::from(attack.target.len),
        attack.parts.first().map_or(0, |part| part.vector as u128),
    ];
    let hash = seed.iter().fold(0u64, |h, word| {
        detect::conversation::mix(h ^ (*word as u64) ^ detect::conversation::mix((*word >> 64) as u64))
    });
    format!("{}-{:010x}", vector.replace('_', "-"), hash & 0xff_ffff_ffff)
}

fn vector_share(part: &Part, classes: &[trace::Class], attack: &Attack) -> VectorShare {
    let mut why = part.why.clone();
    if part.companions > 0 {
        why.push_str(&format!(
            "; {} companion packets of the same attack are counted with it (resets, ICMP errors, later fragments)",
            part.companions
        ));
    }
    VectorShare {
        vector: part.vector,
        share: part.packets as f64 / attack.packets().max(1) as f64,
        packets: part.packets,
        bytes: part.bytes,
        start_ns: part.first_ns,
        end_ns: part.last_ns,
        why,
        look: look(part.vector, &part.look),
        sources: part.senders.iter().map(|sender| sender.address).collect(),
        top_sources: top_sources(part.vector, classes, &attack.clients),
    }
}

fn origin(origin: trace::Origin) -> Origin {
    match origin {
        trace::Origin::Direct => Origin::Direct,
        trace::Origin::Reflector => Origin::Reflector,
        trace::Origin::Forged => Origin::Forged,
        trace::Origin::Undetermined => Origin::Undetermined,
    }
}

/// The loudest sources of a vector with what their clusters are. Of an address that uses the target as well it is not determined: it
/// may have been drawn by who forged, or sit behind the same gateway as a sender.
fn top_sources(vector: Vector, classes: &[trace::Class], clients: &Clients) -> Vec<TopSource> {
    let is_client = |address| {
        clients
            .all
            .binary_search_by_key(&address, |client| client.address)
            .is_ok()
    };
    let mut top: Vec<TopSource> = classes
        .iter()
        .filter(|class| class.vector == vector)
        .flat_map(|class| class.loudest.iter().map(move |sender| (sender, class.origin)))
        .map(|(sender, origin)| TopSource {
            address: sender.address,
            packets: sender.packets,
            bytes: sender.bytes,
            first_ns: sender.first_ns,
            last_ns: sender.last_ns,
            origin: if is_client(sender.address) {
                Origin::Undetermined
            } else {
                self::origin(origin)
            },
        })
        .collect();
    top.sort_unstable_by_key(|source| (std::cmp::Reverse(source.packets), source.address));
    top.truncate(TOP_SOURCES);
    top
}

/// Fractions of a field's values; `None` where they are spread too widely to list.
fn fractions<T>(values: &Values, convert: impl Fn(u32) -> T) -> Option<Vec<(T, f64)>> {
    let total = values.total() as f64;
    let sorted = values.sorted();
    let listed: Vec<_> = sorted
        .iter()
        .take(LOOK_VALUES)
        .filter(|(_, n)| *n as f64 >= 0.01 * total)
        .collect();
    let covered: u64 = listed.iter().map(|(_, n)| *n).sum();
    (total > 0.0 && covered as f64 >= 0.5 * total).then(|| {
        listed
            .iter()
            .map(|(value, n)| (convert(*value), *n as f64 / total))
            .collect()
    })
}

fn look(vector: Vector, look: &LaneLook) -> Look {
    let tcp = vector.transport() == Transport::Tcp;
    let names_total: u64 = look.names.values().flat_map(|names| names.values()).sum();
    let mut dns_names: Vec<(String, u16, f64)> = look
        .names
        .iter()
        .flat_map(|(kind, names)| names.iter().map(move |(name, n)| (name, *kind, *n)))
        .map(|(name, kind, n)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                kind,
                n as f64 / names_total.max(1) as f64,
            )
        })
        .filter(|(.., share)| *share >= 0.01)
        .collect();
    dns_names.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    dns_names.truncate(LOOK_VALUES);
    let source = look.src_ports.sorted().first().copied();
    let total = look.src_ports.total().max(1);
    Look {
        source_port: source
            .filter(|(_, n)| *n * 2 > total)
            .map(|(port, _)| port as u16)
            .or(vector.service_port()),
        destination_ports: fractions(&look.dst_ports, |v| v as u16),
        tcp_flags: if tcp {
            fractions(&look.flags, |v| v as u8)
        } else {
            None
        },
        ttl: fractions(&look.ttl, |v| v as u8),
        length: fractions(&look.length, |v| v as u16),
        dns_names,
    }
}

fn ports(attack: &Attack, packets: u64) -> Vec<PortShare> {
    let mut ports: Vec<PortShare> = Vec::new();
    for part in &attack.parts {
        let weight = part.packets as f64 / packets.max(1) as f64;
        let (protocol, listed) = match part.vector.transport() {
            Transport::Tcp => ("tcp", fractions(&part.look.dst_ports, |v| v as u16)),
            Transport::Udp => ("udp", fractions(&part.look.dst_ports, |v| v as u16)),
            Transport::Other => continue,
        };
        for (port, share) in listed.unwrap_or_default() {
            match ports
                .iter_mut()
                .find(|p| p.port == port && p.protocol == protocol)
            {
                Some(known) => known.share += share * weight,
                None => ports.push(PortShare {
                    protocol: protocol.to_owned(),
                    port,
                    share: share * weight,
                }),
            }
        }
    }
    ports.sort_by(|a, b| {
        b.share
            .total_cmp(&a.share)
            .then(a.port.cmp(&b.port))
            .then(a.protocol.cmp(&b.protocol))
    });
    ports.truncate(LOOK_VALUES);
    ports
}

fn peak(cells: &[Cell], attack: &Attack, requests: Option<u64>) -> Peak {
    let strongest = cells
        .iter()
        .max_by_key(|cell| (cell.packets, std::cmp::Reverse(cell.second)));
    let bytes = cells.iter().map(|cell| cell.bytes).max().unwrap_or(0);
    let packets = strongest.map_or(0, |cell| cell.packets);
    Peak {
        at_ns: strongest.map_or(attack.start_ns, |cell| u64::from(cell.second) * SECOND),
        packets_per_second: packets as f64,
        bits_per_second: bytes as f64 * 8.0,
        requests_per_second: requests
            .map(|requests| packets as f64 * requests as f64 / attack.packets().max(1) as f64),
    }
}

fn timeline(attack: &Attack, cells: &[Cell]) -> Timeline {
    let first = attack.start_ns / SECOND;
    let seconds = (attack.end_ns / SECOND).saturating_sub(first) + 1;
    let step = seconds.div_ceil(TIMELINE_STEPS);
    let mut packets = vec![0; seconds.div_ceil(step) as usize];
    for cell in cells {
        if let Some(slot) = u64::from(cell.second)
            .checked_sub(first)
            .and_then(|s| packets.get_mut((s / step) as usize))
        {
            *slot += cell.packets;
        }
    }
    Timeline {
        start_ns: first * SECOND,
        step_ns: step * SECOND,
        packets,
    }
}

fn share(interval: Interval) -> Share {
    Share {
        estimate: interval.estimate,
        low: interval.low,
        high: interval.high,
    }
}

fn meaning(trace: &Trace) -> Meaning {
    let (forged, reflected) = (trace.forged.estimate, trace.reflected.estimate);
    match () {
        () if forged >= 0.8 => Meaning::Forged,
        () if reflected >= 0.8 => Meaning::Reflectors,
        // SCIENCE 5.1: under a fifth of direct packets, places say nothing of the senders.
        () if forged + reflected >= 0.8 && forged >= 0.1 && reflected >= 0.1 => Meaning::Hidden,
        () if forged > 0.2 && trace.forged.high - trace.forged.low > 0.3 => Meaning::Undetermined,
        () if reflected >= 0.5 => Meaning::Reflectors,
        () => Meaning::Senders,
    }
}

fn sources(trace: Trace, meaning: Meaning) -> Sources {
    let placement = trace.placement;
    Sources {
        distinct: trace.distinct,
        distinct_exact: trace.distinct_exact,
        forged: share(trace.forged),
        forged_because: trace
            .tests
            .into_iter()
            .map(|t| Test {
                test: t.test,
                value: t.value,
                says: t.says,
            })
            .collect(),
        reflected: share(trace.reflected),
        countries: placement
            .countries
            .into_iter()
            .map(|c| CountryShare {
                country: c.key,
                share: share(c.share),
                distinct: c.distinct,
            })
            .collect(),
        networks: placement
            .networks
            .into_iter()
            .map(|c| NetworkShare {
                asn: c.key.asn,
                name: c.key.name,
                country: c.key.country,
                kind: c.key.kind,
                share: share(c.share),
                distinct: c.distinct,
            })
            .collect(),
        prefixes: placement
            .prefixes
            .into_iter()
            .map(|c| (c.key, share(c.share)))
            .collect(),
        kinds: placement
            .kinds
            .into_iter()
            .map(|c| (c.key, share(c.share)))
            .collect(),
        classes: trace
            .classes
            .into_iter()
            .map(|class| Class {
                vector: class.vector,
                cluster: class.cluster,
                share: class.share,
                distinct: class.distinct,
                origin: origin(class.origin),
                forged: share(class.forged),
            })
            .collect(),
        not_made: trace
            .unmade
            .into_iter()
            .map(|unmade| Unmade {
                test: unmade.test,
                why: unmade.why,
            })
            .collect(),
        senders: senders(trace.senders),
        meaning,
    }
}

fn senders(senders: trace::Senders) -> Senders {
    fn located<K, L>(
        rows: Vec<trace::Located<K>>,
        key: impl Fn(K) -> (L, Option<NetworkName>),
    ) -> Vec<Located<L>> {
        let of = |row: trace::Located<K>| {
            let (key, network) = key(row.key);
            Located {
                key,
                network,
                by_packets: share(row.by_packets),
                by_sources: share(row.by_sources),
                distinct: row.distinct,
                majority: row.majority,
                first: row.first,
                top_five: row.top_five,
                rank: row.rank,
                usual: row.usual.map(share),
                over: row.over.map(share),
            }
        };
        rows.into_iter().map(of).collect()
    }
    let network = |network: trace::Network| {
        let name = NetworkName {
            name: network.name,
            country: network.country,
            kind: network.kind,
        };
        (network.asn, Some(name))
    };
    Senders {
        share: share(senders.share),
        distinct: senders.distinct,
        countries: located(senders.location.countries, |country| (country, None)),
        networks: located(senders.location.networks, network),
        kinds: located(senders.location.kinds, |kind| (kind, None)),
    }
}

fn audience(audience: trace::Audience) -> Audience {
    Audience {
        learnt_from: audience.learnt_from,
        distinct: audience.distinct,
        countries: audience
            .countries
            .into_iter()
            .map(|c| CountryShare {
                country: c.key,
                share: share(c.share),
                distinct: c.distinct,
            })
            .collect(),
        taken_out: share(audience.taken_out),
    }
}

fn coordination(coordination: trace::Coordination) -> Coordination {
    Coordination {
        probability: coordination.probability,
        start_spread_s: coordination.start_spread_s,
        start_together: coordination.start_together,
        stop_together: coordination.stop_together,
        fingerprints: coordination.fingerprints,
        rate_variation: coordination.rate_variation,
        controllers_min: coordination.controllers_min,
        because: coordination.because,
    }
}

/// How good the evidence is (SCIENCE 5.5): high where both directions were captured and many packets agree, moderate where one
/// direction shows it, low where little was seen.
fn confidence(attack: &Attack, seen: &Seen, trace: &Trace) -> Confidence {
    let packets = attack.packets();
    let narrow = trace.forged.high - trace.forged.low <= 0.3;
    if packets < 500 || seen.untimed > packets / 5 {
        Confidence::Low
    } else if attack.target_speaks && narrow && packets >= 2_000 {
        Confidence::High
    } else {
        Confidence::Moderate
    }
}

fn incident_caveats(attack: &Attack, seen: &Seen, meaning: Meaning) -> Vec<String> {
    let mut caveats =
        vec!["Traffic shows where packets came from at most; it never shows who did it.".to_owned()];
    match meaning {
        Meaning::Forged => caveats.push(
            "The source addresses are forged: the countries and networks of the addresses written on the packets mean nothing for the sender.".to_owned(),
        ),
        Meaning::Reflectors => caveats.push(
            "The sources are reflectors, machines that were abused to answer; where the forged requests came from cannot be told from this traffic.".to_owned(),
        ),
        Meaning::Hidden => caveats.push(
            "Some source addresses are forged and the others are reflectors: where the sender is cannot be told from them.".to_owned(),
        ),
        Meaning::Undetermined => caveats.push(
            "It is not determined whether the source addresses are forged; where the packets came from cannot be told from them with any confidence.".to_owned(),
        ),
        Meaning::Senders => caveats.push(
            "The sources are the machines that sent the packets; they may be hijacked devices, proxies or shared addresses.".to_owned(),
        ),
    }
    if !attack.target_speaks {
        caveats.push("No packet that the target sent is in the input: what it asked for, and whether handshakes were completed, was judged from one direction.".to_owned());
    }
    if attack.sampling() >= 1.5 {
        caveats.push(format!(
            "The exporter observed about one packet in {:.0}: totals are estimates, sources that sent little were not seen, and whether a single source asked or answered cannot be told.",
            attack.sampling()
        ));
    }
    if attack.level > 0 {
        caveats.push(format!(
            "The number of sources is an estimate from a sample of one in {}; counting was exact up to {} pairs of hosts.",
            1u64 << attack.level,
            detect::conversation::MAX_CONVERSATIONS
        ));
    }
    if seen
        .first_ns
        .is_some_and(|first| attack.start_ns.saturating_sub(first) < SECOND)
    {
        caveats.push(
            "The attack is there from the first second of the input: it may have begun earlier.".to_owned(),
        );
    }
    if attack.ongoing {
        caveats.push(
            "The attack is still running when the input ends: its end, total and duration are lower bounds."
                .to_owned(),
        );
    }
    if attack.longest_pause_s >= 60 {
        caveats.push(format!(
            "It paused for up to {} seconds; the waves are reported as one incident.",
            attack.longest_pause_s
        ));
    }
    if attack.end_ns - attack.start_ns < SECOND {
        caveats.push("It was seen for less than a second: packets per second are those of the seen part, not extrapolated.".to_owned());
    }
    caveats
}
