//! A scenario, second after second.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use atlas::{Atlas, Country, PlaceId, Prefix};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

use crate::exports::{Datagram, Exporter, Exporters, Format};
use crate::packets::{Data, Options, Packet, Part, SNAPLEN, What, answer};
use crate::scenario::{self, Attack, Audience, Error, Scenario, Sources};
use crate::truth::{Counts, Truth};
use crate::world::{World, below, draw, uniform};

const SECOND: u64 = 1_000_000_000;
const SYN: u8 = 2;
const ACK: u8 = 16;
const PSH: u8 = 8;
const FIN: u8 = 1;
/// SYN-ACKs that an attacked service sends in a second before its table of half-open connections is full.
const BACKLOG: u64 = 128;

/// Generates a scenario.
pub struct Range<'a> {
    scenario: Scenario,
    seed: u64,
    atlas: &'a Atlas,
    world: World<'a>,
    start_ns: u64,
    second: u32,
    random: Pcg64Mcg,
    audiences: Vec<Crowd>,
    attacks: Vec<Army>,
    /// Packets of connections that go on in later seconds.
    pending: BTreeMap<u64, Vec<Packet>>,
    packets: u64,
    audience_packets: u64,
    counts: BTreeMap<String, Counts>,
}

struct Crowd {
    about: Audience,
    service: Ipv6Addr,
    countries: Vec<(Country, f64)>,
}

/// An attack with its machines drawn.
struct Army {
    about: Attack,
    target: Prefix,
    /// Addresses of bots, reflectors or the senders of forged packets.
    machines: Vec<u32>,
    /// Running sums of what each machine sends, up to 1.
    weights: Vec<f64>,
    within: Option<Prefix>,
}

fn v4(address: Ipv6Addr) -> u32 {
    address.to_ipv4_mapped().map_or(0, Ipv4Addr::to_bits)
}

fn mapped(v4: u32) -> Ipv6Addr {
    Ipv4Addr::from_bits(v4).to_ipv6_mapped()
}

impl<'a> Range<'a> {
    /// Draws the machines of a scenario.
    ///
    /// # Errors
    ///
    /// A country of which the atlas knows no address to draw.
    pub fn new(scenario: Scenario, seed: u64, atlas: &'a Atlas) -> Result<Range<'a>, Error> {
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ 0xe91c_e47e_7210_0310);
        let world = World::new(atlas, &mut random);
        let machines = |mix: &BTreeMap<String, f64>, count: u32, home: bool, random: &mut Pcg64Mcg| {
            let mix = scenario::countries(mix, atlas).map_err(Error)?;
            (0..count)
                .map(|_| {
                    let country = draw(&mix, random);
                    world.address(country, home, random).ok_or_else(|| {
                        Error(format!("no announced address of {} was drawn", country.as_str()))
                    })
                })
                .collect::<Result<Vec<u32>, Error>>()
        };
        let mut attacks = Vec::new();
        for about in &scenario.attack {
            let (machines, uneven, within) = match &about.sources {
                Sources::Direct {
                    bots,
                    countries,
                    uneven,
                } => (machines(countries, *bots, true, &mut random)?, *uneven, None),
                Sources::Reflected {
                    reflectors,
                    countries,
                } => (machines(countries, *reflectors, false, &mut random)?, 0.3, None),
                Sources::Forged { senders, within, .. } => (
                    (0..*senders).map(|_| world.anywhere(true, &mut random)).collect(),
                    0.0,
                    within
                        .as_deref()
                        .map(scenario::target)
                        .transpose()
                        .map_err(Error)?,
                ),
            };
            // From 1 for the slowest to 1 / (1 - uneven) for the fastest, few of them near it. Only divisions and sums, which every
            // machine rounds alike.
            let raw: Vec<f64> = machines
                .iter()
                .map(|_| 1.0 / (1.0 - uneven + uneven * uniform(&mut random)).max(1e-6))
                .collect();
            let total: f64 = raw.iter().sum();
            let mut sum = 0.0;
            let weights = raw
                .iter()
                .map(|weight| {
                    sum += weight / total;
                    sum
                })
                .collect();
            attacks.push(Army {
                target: scenario::target(&about.target).map_err(Error)?,
                about: about.clone(),
                machines,
                weights,
                within,
            });
        }
        let audiences = scenario
            .audience
            .iter()
            .map(|about| {
                Ok(Crowd {
                    service: scenario::host(&about.service).map_err(Error)?,
                    countries: scenario::countries(&about.countries, atlas).map_err(Error)?,
                    about: about.clone(),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Range {
            start_ns: scenario.start_ns(),
            scenario,
            seed,
            atlas,
            world,
            second: 0,
            random,
            audiences,
            attacks,
            pending: BTreeMap::new(),
            packets: 0,
            audience_packets: 0,
            counts: BTreeMap::new(),
        })
    }

    /// Appends the next second as pcap records, in order of time; false when there is none.
    pub fn second(&mut self, out: &mut Vec<u8>) -> bool {
        self.second_with(out, &mut [])
    }

    /// The same, and what exporters send in that second; their last flows with the last second.
    pub fn second_with(&mut self, out: &mut Vec<u8>, exports: &mut [(Exporters, Vec<Datagram>)]) -> bool {
        let Some(packets) = self.next_second() else {
            return false;
        };
        for packet in &packets {
            packet.write(SNAPLEN, out);
        }
        let now_ns = self.start_ns + u64::from(self.second) * SECOND;
        for (exporters, sent) in exports {
            exporters.see(&packets, now_ns, sent);
            if self.second == self.scenario.seconds {
                exporters.finish(now_ns + SECOND, sent);
            }
        }
        true
    }

    /// The scenario's exporters, or these instead, to see what is generated.
    pub fn exporters(&self, format: Format, instead: Option<&[Exporter]>) -> Exporters {
        let exporters = instead.unwrap_or(&self.scenario.exporter);
        Exporters::new(format, exporters, self.seed, self.start_ns)
    }

    fn next_second(&mut self) -> Option<Vec<Packet>> {
        if self.second >= self.scenario.seconds {
            return None;
        }
        let second = self.second;
        self.second += 1;
        let begin = self.start_ns + u64::from(second) * SECOND;
        let mut packets = self.pending.remove(&(begin / SECOND)).unwrap_or_default();
        for at in 0..self.audiences.len() {
            self.sessions(at, second, begin, &mut packets);
        }
        self.audience_packets += packets.len() as u64;
        for at in 0..self.attacks.len() {
            self.attack(at, second, begin, &mut packets);
        }
        packets.sort_by_key(|packet| packet.time_ns);
        if self.scenario.one_way {
            let services: Vec<Ipv6Addr> = self.audiences.iter().map(|crowd| crowd.service).collect();
            let targets: Vec<Prefix> = self.attacks.iter().map(|army| army.target).collect();
            packets.retain(|packet| {
                !services.contains(&packet.src) && !targets.iter().any(|target| target.contains(packet.src))
            });
        }
        self.packets += packets.len() as u64;
        Some(packets)
    }

    /// The truth about what was generated so far.
    pub fn truth(&self) -> Truth {
        Truth {
            schema: "epicenter.truth/1",
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            packets: self.packets,
            audience_packets: self.audience_packets,
            incidents: self
                .counts
                .iter()
                .map(|(target, counts)| counts.incident(target))
                .collect(),
            people: None,
            claims: Vec::new(),
        }
    }

    /// New connections of one audience: handshake, requests with answers, end.
    fn sessions(&mut self, at: usize, second: u32, begin: u64, packets: &mut Vec<Packet>) {
        let crowd = &self.audiences[at];
        if !(crowd.about.from..crowd.about.to.unwrap_or(u32::MAX)).contains(&second) {
            return;
        }
        let random = &mut self.random;
        let rate = crowd.about.sessions_per_second;
        let count = rate.floor() as u64 + u64::from(uniform(random) < rate.fract());
        for _ in 0..count {
            let country = draw(&crowd.countries, random);
            let Some(client) = self.world.address(country, true, random) else {
                continue;
            };
            let hops = self.world.hops(client);
            // Two thirds are phones and Unixes, the others Windows.
            let initial = if below(random, 3) < 2 { 64 } else { 128 };
            let round_trip = 2_000_000 * u64::from(hops) + below(random, 60_000_000);
            let ports = (32_768 + below(random, 28_000) as u16, crowd.about.port);
            let (mut seq, mut ack) = (random_u32(random), random_u32(random));
            let mut time = begin + below(random, SECOND);
            let mut push =
                |time: u64, up: bool, flags: u8, seq: u32, ack: u32, options: bool, payload: u16, id: u16| {
                    let packet = Packet {
                        time_ns: time,
                        src: if up { mapped(client) } else { crowd.service },
                        dst: if up { crowd.service } else { mapped(client) },
                        ttl: if up { initial - hops } else { 64 },
                        id,
                        part: Part::Whole,
                        what: What::Tcp {
                            ports: if up { ports } else { (ports.1, ports.0) },
                            flags,
                            seq,
                            ack,
                            window: 0xfaf0,
                            options: if options { Options::Unix } else { Options::None },
                            payload,
                            data: Data::Tls,
                        },
                    };
                    if time / SECOND == begin / SECOND {
                        packets.push(packet);
                    } else {
                        self.pending.entry(time / SECOND).or_default().push(packet);
                    }
                };
            let id = below(random, 65_536) as u16;
            push(time, true, SYN, seq, 0, true, 0, id);
            push(
                time + 50_000,
                false,
                SYN | ACK,
                ack,
                seq.wrapping_add(1),
                true,
                0,
                0,
            );
            time += round_trip;
            (seq, ack) = (seq.wrapping_add(1), ack.wrapping_add(1));
            push(time, true, ACK, seq, ack, false, 0, id.wrapping_add(1));
            for request in 0..1 + below(random, 4) {
                let asked = 200 + below(random, 900) as u16;
                push(
                    time + 100_000,
                    true,
                    PSH | ACK,
                    seq,
                    ack,
                    false,
                    asked,
                    id.wrapping_add(2 + request as u16),
                );
                seq = seq.wrapping_add(u32::from(asked));
                for part in 0..1 + below(random, 6) {
                    let answered = 300 + below(random, 1_148) as u16;
                    push(
                        time + 2_000_000 + part * 200_000,
                        false,
                        PSH | ACK,
                        ack,
                        seq,
                        false,
                        answered,
                        0,
                    );
                    ack = ack.wrapping_add(u32::from(answered));
                }
                time += round_trip;
                push(
                    time,
                    true,
                    ACK,
                    seq,
                    ack,
                    false,
                    0,
                    id.wrapping_add(9 + request as u16),
                );
                time += below(random, 700_000_000);
            }
            push(time, true, FIN | ACK, seq, ack, false, 0, id.wrapping_add(20));
            push(
                time + 80_000,
                false,
                FIN | ACK,
                ack,
                seq.wrapping_add(1),
                false,
                0,
                0,
            );
            push(
                time + round_trip,
                true,
                ACK,
                seq.wrapping_add(1),
                ack.wrapping_add(1),
                false,
                0,
                id.wrapping_add(21),
            );
        }
    }

    /// One second of an attack.
    fn attack(&mut self, at: usize, second: u32, begin: u64, packets: &mut Vec<Packet>) {
        let army = &self.attacks[at];
        let about = &army.about;
        if !(about.from..about.to).contains(&second) {
            return;
        }
        if let Some((on, off)) = about.pulse
            && (second - about.from) % (on + off) >= on
        {
            return;
        }
        let random = &mut self.random;
        let rate = about.packets_per_second;
        let count = rate.floor() as u64 + u64::from(uniform(random) < rate.fract());
        let first = packets.len();
        let mut answered = 0;
        let hosts = 1u64 << (128 - army.target.len).min(32);
        let base = v4(army.target.base);
        for _ in 0..count {
            let time_ns = begin + below(random, SECOND);
            let pick = uniform(random);
            let machine = army.machines[army
                .weights
                .partition_point(|sum| *sum < pick)
                .min(army.machines.len() - 1)];
            let (src, ttl) = match &about.sources {
                Sources::Forged {
                    avoid_bogons,
                    random_ttl,
                    ..
                } => {
                    let src = match army.within {
                        Some(within) => {
                            v4(within.base) + below(random, 1u64 << (128 - within.len).min(32)) as u32
                        }
                        None => self.world.anywhere(*avoid_bogons, random),
                    };
                    let ttl = if *random_ttl {
                        30 + below(random, 226) as u8
                    } else {
                        255 - self.world.hops(machine)
                    };
                    (src, ttl)
                }
                _ => (machine, 64 - self.world.hops(machine)),
            };
            let dst = base + below(random, hosts) as u32;
            let port = about.port.unwrap_or_else(|| 1_024 + below(random, 60_000) as u16);
            let from = 1_024 + below(random, 64_000) as u16;
            let what = match about.vector.as_str() {
                "syn_flood" => tcp((from, port), SYN, random),
                "ack_flood" => tcp((from, port), ACK, random),
                "udp_flood" => What::Udp {
                    ports: (from, port),
                    payload: 0,
                    whole: 64 + below(random, 1_000) as u16,
                    data: Data::Zeros,
                },
                "icmp_flood" => What::Icmp {
                    kind: 8,
                    code: 0,
                    payload: 56,
                },
                vector => {
                    let service = scenario::reflection(vector).unwrap_or(0);
                    let (size, head) = answer(service);
                    What::Udp {
                        ports: (service, port),
                        payload: 0,
                        whole: size + below(random, 40) as u16,
                        data: Data::Bytes(head),
                    }
                }
            };
            let what = match what {
                What::Udp {
                    ports, whole, data, ..
                } => What::Udp {
                    ports,
                    payload: whole,
                    whole,
                    data,
                },
                other => other,
            };
            let (src, dst) = (mapped(src), mapped(dst));
            packets.push(Packet {
                time_ns,
                src,
                dst,
                ttl,
                id: below(random, 65_536) as u16,
                part: Part::Whole,
                what,
            });
            if about.vector == "syn_flood" && answered < BACKLOG {
                answered += 1;
                packets.push(Packet {
                    // In the same second: seconds are written one after the other.
                    time_ns: (time_ns + 40_000).min(begin + SECOND - 1),
                    src: dst,
                    dst: src,
                    ttl: 64,
                    id: 0,
                    part: Part::Whole,
                    what: What::Tcp {
                        ports: (port, from),
                        flags: SYN | ACK,
                        seq: random_u32(random),
                        ack: 1,
                        window: 0xfaf0,
                        options: Options::Unix,
                        payload: 0,
                        data: Data::Zeros,
                    },
                });
            }
        }
        // The truth is written down before anything is lost on the way.
        let counts = self.counts.entry(about.target.clone()).or_default();
        counts.per_second.resize(self.scenario.seconds as usize, 0);
        let own: Vec<Packet> = packets[first..]
            .iter()
            .filter(|packet| army.target.contains(packet.dst))
            .copied()
            .collect();
        let addresses: Vec<Ipv6Addr> = own.iter().map(|packet| packet.src).collect();
        let mut places: Vec<PlaceId> = Vec::new();
        self.atlas.lookup_all(&addresses, &mut places);
        let is_forged = matches!(about.sources, Sources::Forged { .. });
        let is_direct = matches!(about.sources, Sources::Direct { .. });
        for packet in &own {
            counts.first_ns = Some(
                counts
                    .first_ns
                    .map_or(packet.time_ns, |first| first.min(packet.time_ns)),
            );
            counts.last_ns = counts.last_ns.max(packet.time_ns);
            counts.bytes += u64::from(packet.length());
        }
        let arrived = own.len() as u64;
        counts.packets += arrived;
        counts.forged += if is_forged { arrived } else { 0 };
        counts.reflected += if is_forged || is_direct { 0 } else { arrived };
        // Many packets, few places: each place is written down once a second.
        places.sort_unstable_by_key(|place| place.0);
        for same in places.chunk_by(|a, b| a == b) {
            let place = self.atlas.place(same[0]);
            let packets = same.len() as u64;
            if is_direct {
                *counts.senders.entry(place.country).or_default() += packets;
            }
            *counts.countries.entry(place.country).or_default() += packets;
            *counts.networks.entry(place.asn).or_default() += packets;
        }
        *counts.vectors.entry(about.vector.clone()).or_default() += arrived;
        counts.per_second[second as usize] += arrived;
    }
}

fn random_u32(random: &mut Pcg64Mcg) -> u32 {
    below(random, 1 << 32) as u32
}

/// A segment as flooding tools make it: no options, random numbers.
fn tcp(ports: (u16, u16), flags: u8, random: &mut Pcg64Mcg) -> What {
    What::Tcp {
        ports,
        flags,
        seq: random_u32(random),
        ack: if flags & ACK != 0 { random_u32(random) } else { 0 },
        window: 0xfaf0,
        options: Options::None,
        payload: 0,
        data: Data::Zeros,
    }
}
