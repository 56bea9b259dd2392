//! An attack: its machines, and what they send in a second.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::{Country, PlaceId, Prefix};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{RngCore, SeedableRng};

use crate::outage::{EXPENSIVE, Load, Outcome, State};
use crate::packets::{Data, NOBODYS, Options, Packet, Part, What};
use crate::requests::{Head, Page, TOOLS};
use crate::scenario::{self, Attack, Error, Scenario, Sources, Style};
use crate::vectors::{ACK, FLOODS, Flood, MIDDLEBOX, PSH, REFLECTIONS, RST, Reflection, SYN, SYNACK, Stack};
use crate::vectors::{Name, answer, query};
use crate::visits::{Client, Connection, SECOND, Stage};
use crate::world::{Family, Who, World, below, draw, inside, uniform, whole};

/// SYN-ACKs that an attacked service sends in a second before its table of half-open connections is full.
const BACKLOG: u64 = 128;
/// Connections that an attack holds open at a time.
const HELD_MAX: usize = 1 << 16;
/// Packets of one connection of an HTTP flood, but for its requests.
const CONNECTION_PACKETS: f64 = 4.0;

/// A class of devices.
pub(crate) struct Device {
    pub(crate) name: &'static str,
    /// Its share of usual botnets, by weight.
    pub(crate) usual: f64,
    ttl: u8,
    options: Options,
    /// First window: four segments of 1,460 bytes in Linux up to 2.6.38, ten up to 3.17, twenty and more since; 64,240 in Windows 10.
    window: u16,
    /// Whether its packets come from one port, as of an ordinary socket.
    keeps_port: bool,
}

/// Classes of devices.
pub(crate) const DEVICES: [Device; 6] = [
    device("camera", 40.0, 64, Options::Device, 5_840, true),
    device("router", 25.0, 64, Options::Device, 14_600, true),
    device("recorder", 25.0, 64, Options::Mss, 5_840, true),
    device("server", 4.0, 64, Options::Unix, 29_200, false),
    device("pc", 4.0, 128, Options::Windows, 64_240, false),
    // Packets that a program builds itself, with the largest TTL and nothing that is not needed.
    device("raw", 2.0, 255, Options::None, 512, false),
];

const fn device(
    name: &'static str,
    usual: f64,
    ttl: u8,
    options: Options,
    window: u16,
    keeps_port: bool,
) -> Device {
    Device {
        name,
        usual,
        ttl,
        options,
        window,
        keeps_port,
    }
}

/// A bot, a reflector, or a machine that sends under forged addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) address: Ipv6Addr,
    pub(crate) place: PlaceId,
    /// Position in the army's list of countries.
    pub(crate) nation: u16,
    pub(crate) device: u8,
    hops: u8,
    /// The port that it sends from, where it keeps one.
    port: u16,
    /// Bytes that it answers with, a reflector.
    size: u16,
    /// Nanoseconds after the attack's beginning at which it begins and stops.
    from_ns: u64,
    to_ns: u64,
}

/// Draws one of many by weight, in constant time: the alias method (Walker 1977; Vose 1991).
struct Picker {
    rows: Vec<(f64, u32)>,
}

impl Picker {
    fn new(weights: &[f64]) -> Picker {
        let total: f64 = weights.iter().sum();
        let count = weights.len() as f64;
        let mut rows: Vec<(f64, u32)> = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| (weight / total * count, n as u32))
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|&n| rows[n].0 < 1.0);
        while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
            small.pop();
            rows[less].1 = more as u32;
            rows[more].0 -= 1.0 - rows[less].0;
            if rows[more].0 < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        // What is left is 1 but for rounding.
        for n in small.into_iter().chain(large) {
            rows[n] = (1.0, n as u32);
        }
        Picker { rows }
    }

    fn pick(&self, random: &mut Pcg64Mcg) -> u32 {
        // The whole part says which row, the fraction which side of it.
        let at = uniform(random) * self.rows.len() as f64;
        let row = (at as usize).min(self.rows.len() - 1);
        let (keep, other) = self.rows[row];
        if at - (row as f64) < keep {
            row as u32
        } else {
            other
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Flood(Flood),
    Reflected(&'static Reflection),
    SynAck,
    Middlebox(&'static Reflection),
    Http,
    Slowloris,
    SlowPost,
}

/// A connection that is held open.
#[derive(Clone, Copy)]
struct Held {
    connection: Connection,
    until: u32,
}

/// An attack with its machines drawn.
pub(crate) struct Army {
    pub(crate) about: Attack,
    /// Its number, which its packets carry.
    number: u16,
    pub(crate) target: Prefix,
    way: Way,
    pub(crate) machines: Vec<Machine>,
    /// Countries of the machines.
    pub(crate) nations: Vec<Country>,
    picker: Picker,
    within: Option<Prefix>,
    /// The addresses of a weak generator, and how far it is.
    pool: Vec<Ipv6Addr>,
    pool_at: usize,
    /// How a tool's packets look that forges addresses.
    tool: Stack,
    /// What the tool calls itself.
    agent: u8,
    held: BTreeMap<u32, Vec<Held>>,
    held_count: usize,
    /// Packets that are still owed to the pace, where answers are larger than one packet.
    owed: f64,
    random: Pcg64Mcg,
}

impl Army {
    pub(crate) fn new(
        about: &Attack,
        number: u16,
        scenario: &Scenario,
        world: &World<'_>,
        mut random: Pcg64Mcg,
        botnet: Option<Pcg64Mcg>,
    ) -> Result<Army, Error> {
        let target = scenario.aim(&about.target).map_err(Error)?;
        let random = &mut random;
        let family = Family::of(target.base);
        let way = way(&about.vector)?;
        // Where attacks share a botnet, what its bots are is drawn from these: addresses, paces, devices, each for itself, so that fewer
        // bots are the first ones of more.
        let [mut homes, mut paces, mut kinds] = match botnet {
            Some(mut seeds) => [(); 3].map(|()| Some(Pcg64Mcg::seed_from_u64(seeds.next_u64()))),
            None => [None, None, None],
        };
        let (addresses, uneven, devices) = match &about.sources {
            Sources::Direct {
                bots,
                countries,
                uneven,
                devices,
                ..
            } => (
                hosts(
                    world,
                    countries,
                    *bots,
                    Who::Home,
                    family,
                    homes.as_mut().unwrap_or(random),
                )?,
                *uneven,
                scenario::devices(devices).map_err(Error)?,
            ),
            Sources::Reflected {
                reflectors,
                countries,
            } => (
                hosts(world, countries, *reflectors, Who::Anyone, family, random)?,
                0.3,
                vec![(3, 1.0)],
            ),
            Sources::Forged { senders, .. } => (
                (0..*senders).map(|_| world.anywhere(true, random)).collect(),
                0.0,
                vec![(5, 1.0)],
            ),
        };
        let (within, pool) = match &about.sources {
            Sources::Forged {
                within,
                pool,
                avoid_bogons,
                ..
            } => {
                let within = within
                    .as_deref()
                    .map(scenario::target)
                    .transpose()
                    .map_err(Error)?;
                let pool = (0..*pool)
                    .map(|_| forged(world, within, *avoid_bogons, random))
                    .collect();
                (within, pool)
            }
            _ => (None, Vec::new()),
        };
        // From 1 for the slowest to 1 / (1 - uneven) for the fastest, few of them near it. Only divisions and sums, which every
        // machine rounds alike.
        let weights: Vec<f64> = addresses
            .iter()
            .map(|_| 1.0 / (1.0 - uneven + uneven * uniform(paces.as_mut().unwrap_or(random))).max(1e-6))
            .collect();
        let mut numbers: BTreeMap<Country, u16> = BTreeMap::new();
        let mut nations = Vec::new();
        let machines = addresses
            .into_iter()
            .map(|address| {
                let place = world.place(address);
                let nation = *numbers
                    .entry(world.really_in(place))
                    .or_insert_with_key(|country| {
                        nations.push(*country);
                        (nations.len() - 1) as u16
                    });
                let (from_ns, to_ns) = span(about, random);
                let size = match way {
                    Way::Reflected(reflection) | Way::Middlebox(reflection) => {
                        let (least, most) = reflection.sizes;
                        least + below(random, u64::from(most - least) + 1) as u16
                    }
                    _ => 0,
                };
                let random = kinds.as_mut().unwrap_or(random);
                Machine {
                    address,
                    place,
                    nation,
                    device: draw(&devices, random),
                    hops: world.hops(address),
                    port: 1_024 + below(random, 64_000) as u16,
                    size,
                    from_ns,
                    to_ns,
                }
            })
            .collect();
        Ok(Army {
            target,
            number,
            way,
            machines,
            nations,
            picker: Picker::new(&weights),
            within,
            pool,
            pool_at: 0,
            tool: Stack {
                options: Options::None,
                window: [0, 512, 1_024, 65_535][below(random, 4) as usize],
            },
            agent: TOOLS.start + below(random, u64::from(TOOLS.end - TOOLS.start)) as u8,
            held: BTreeMap::new(),
            held_count: 0,
            owed: 0.0,
            random: random.clone(),
            about: about.clone(),
        })
    }

    pub(crate) fn is_forged(&self) -> bool {
        matches!(self.about.sources, Sources::Forged { .. })
    }

    pub(crate) fn is_reflected(&self) -> bool {
        matches!(self.about.sources, Sources::Reflected { .. })
    }

    /// Name of the botnet that it shares with others.
    pub(crate) fn botnet(about: &Attack) -> Option<&str> {
        match &about.sources {
            Sources::Direct { botnet, .. } => botnet.as_deref(),
            _ => None,
        }
    }

    /// Whether it is at work in a second, its pauses left out.
    fn is_on(&self, second: u32) -> bool {
        let about = &self.about;
        (about.from..about.to).contains(&second)
            && about
                .pulse
                .is_none_or(|(on, off)| (second - about.from) % (on + off) < on)
    }

    /// One second of it; what the target bears of it.
    pub(crate) fn second(
        &mut self,
        second: u32,
        state: &State,
        world: &World<'_>,
        stage: &mut Stage,
    ) -> Load {
        match self.way {
            Way::Flood(_) | Way::Reflected(_) | Way::SynAck | Way::Middlebox(_) if !self.is_on(second) => {
                Load::default()
            }
            Way::Flood(flood) => self.flood(flood, second, state, world, stage),
            Way::Reflected(_) | Way::SynAck | Way::Middlebox(_) => self.reflect(second, stage),
            Way::Http => self.visits(second, state, stage),
            Way::Slowloris | Way::SlowPost => self.hold(second, state, stage),
        }
    }

    /// One that is at work at this time.
    fn machine(&mut self, second: u32, into_ns: u64) -> Option<(u32, Machine)> {
        let number = self.picker.pick(&mut self.random);
        let machine = self.machines[number as usize];
        let at = u64::from(second - self.about.from) * SECOND + into_ns;
        (machine.from_ns..machine.to_ns)
            .contains(&at)
            .then_some((number, machine))
    }

    /// The port that is attacked in this packet.
    fn port(&mut self, usual: Option<u16>) -> u16 {
        self.about
            .port
            .or(usual)
            .unwrap_or_else(|| 1_024 + below(&mut self.random, 60_000) as u16)
    }

    fn flood(
        &mut self,
        flood: Flood,
        second: u32,
        state: &State,
        world: &World<'_>,
        stage: &mut Stage,
    ) -> Load {
        let count = whole(self.about.packets_per_second, &mut self.random);
        let (avoid_bogons, random_ttl) = match self.about.sources {
            Sources::Forged {
                avoid_bogons,
                random_ttl,
                ..
            } => (avoid_bogons, random_ttl),
            _ => (false, false),
        };
        let is_forged = self.is_forged();
        let (mut sent, mut answered) = (0u64, 0u64);
        for n in 0..count {
            // One in each part of the second, so that they come in order.
            let into_ns = (n * SECOND + below(&mut self.random, SECOND)) / count;
            let Some((number, machine)) = self.machine(second, into_ns) else {
                continue;
            };
            let device = &DEVICES[usize::from(machine.device)];
            let (src, ttl, stack) = if is_forged {
                let src = match self.pool.is_empty() {
                    true => forged(world, self.within, avoid_bogons, &mut self.random),
                    false => {
                        self.pool_at = (self.pool_at + 1) % self.pool.len();
                        self.pool[self.pool_at]
                    }
                };
                let ttl = match random_ttl {
                    true => 30 + below(&mut self.random, 226) as u8,
                    false => 255 - machine.hops,
                };
                (src, ttl, self.tool)
            } else {
                let stack = Stack {
                    options: device.options,
                    window: device.window,
                };
                (self.address(&machine), device.ttl - machine.hops, stack)
            };
            let dst = inside(self.target, &mut self.random);
            let port = self.port(flood.port());
            let from = match device.keeps_port && !is_forged && !matches!(flood, Flood::Tcp(_)) {
                true => machine.port,
                false => 1_024 + below(&mut self.random, 64_000) as u16,
            };
            let (part, mut what) = flood.packet((from, port), stack, &mut self.random);
            if let (What::Icmp { kind, .. }, Family::V6) = (&mut what, Family::of(dst)) {
                // RFC 4443: an echo request.
                *kind = 128;
            }
            let time_ns = stage.begin + into_ns;
            stage.up(Packet {
                time_ns,
                src,
                dst,
                ttl,
                id: below(&mut self.random, 65_536) as u16,
                part,
                attack: self.number,
                machine: number,
                what,
            });
            sent += 1;
            let back = match flood {
                Flood::Tcp(SYN) if answered < BACKLOG => What::Tcp {
                    ports: (port, from),
                    flags: SYN | ACK,
                    seq: below(&mut self.random, 1 << 32) as u32,
                    ack: match what {
                        What::Tcp { seq, .. } => seq.wrapping_add(1),
                        _ => 0,
                    },
                    window: 0xfaf0,
                    options: Options::Unix,
                    payload: 0,
                    data: Data::Zeros,
                },
                Flood::Dns | Flood::WaterTorture if state.outcome(&mut self.random) == Outcome::Served => {
                    let name = match what {
                        What::Udp {
                            data: Data::Dns { name, .. },
                            ..
                        } => name,
                        _ => Name::Known(1),
                    };
                    query((port, from), name, true)
                }
                _ => continue,
            };
            answered += 1;
            stage.down(Packet {
                // In the same second: nothing is owed to the next one.
                time_ns: (time_ns + 40_000).min(stage.begin + SECOND - 1),
                src: dst,
                dst: src,
                ttl: 64,
                id: 0,
                part: Part::Whole,
                attack: NOBODYS,
                machine: 0,
                what: back,
            });
        }
        let sent = sent as f64;
        Load {
            packets: sent,
            connections: if flood == Flood::Tcp(SYN) { sent } else { 0.0 },
            open: 0.0,
            requests: match flood {
                Flood::Dns | Flood::WaterTorture => sent,
                _ => 0.0,
            },
        }
    }

    /// The address that a bot uses for a packet: in IPv6 one of several of its /64.
    fn address(&mut self, machine: &Machine) -> Ipv6Addr {
        match self.about.sources {
            Sources::Direct { addresses, .. } if addresses > 1 => {
                let n = below(&mut self.random, u64::from(addresses));
                // Interface identifiers that look random, always the same ones.
                let bits = machine.address.to_bits();
                let low = (bits as u64).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Ipv6Addr::from_bits(bits >> 64 << 64 | u128::from(low))
            }
            _ => machine.address,
        }
    }

    fn reflect(&mut self, second: u32, stage: &mut Stage) -> Load {
        self.owed += self.about.packets_per_second;
        let planned = self.owed.max(1.0) as u64;
        let (mut sent, mut n) = (0u64, 0u64);
        while self.owed >= 1.0 && n < planned {
            let into_ns = (n * SECOND + below(&mut self.random, SECOND)) / planned;
            n += 1;
            let Some((number, machine)) = self.machine(second, into_ns) else {
                self.owed -= 1.0;
                continue;
            };
            let dst = inside(self.target, &mut self.random);
            let port = self.port(None);
            let ttl = DEVICES[usize::from(machine.device)].ttl - machine.hops;
            let mut packet = Packet {
                time_ns: stage.begin + into_ns,
                src: machine.address,
                dst,
                ttl,
                id: below(&mut self.random, 65_536) as u16,
                part: Part::Whole,
                attack: self.number,
                machine: number,
                what: What::Icmp {
                    kind: 3,
                    code: 3,
                    payload: 28,
                },
            };
            let (whole, answered) = match self.way {
                Way::Reflected(reflection) => {
                    let from = if reflection.port == 0 {
                        machine.port
                    } else {
                        reflection.port
                    };
                    (None, Some(answer((from, port), machine.size, reflection.head)))
                }
                Way::Middlebox(reflection) => (Some(self.blocked(&machine, reflection, port)), None),
                _ => (Some(self.unasked(&machine, port)), None),
            };
            let whole = whole.map(|what| (Part::Whole, what));
            for (part, what) in whole.into_iter().chain(answered.into_iter().flatten()) {
                (packet.part, packet.what) = (part, what);
                stage.up(packet);
                packet.time_ns += 12_000;
                sent += 1;
                self.owed -= 1.0;
            }
        }
        Load {
            packets: sent as f64,
            ..Load::default()
        }
    }

    /// What a server says to a SYN that it believes to be from the target: a SYN-ACK, or RST where nothing listens.
    fn unasked(&mut self, machine: &Machine, port: u16) -> What {
        const SERVICES: [u16; 6] = [443, 443, 80, 80, 22, 21];
        let service = SERVICES[usize::from(machine.port) % SERVICES.len()];
        let is_closed = machine.port % 100 < 13;
        What::Tcp {
            ports: (service, port),
            flags: if is_closed { RST | ACK } else { SYN | ACK },
            seq: below(&mut self.random, 1 << 32) as u32,
            ack: below(&mut self.random, 1 << 32) as u32,
            window: if is_closed { 0 } else { 29_200 },
            options: if is_closed { Options::None } else { Options::Mss },
            payload: 0,
            data: Data::Zeros,
        }
    }

    /// A filter's page, and now and then the RST after it.
    fn blocked(&mut self, machine: &Machine, reflection: &'static Reflection, port: u16) -> What {
        let is_end = below(&mut self.random, 5) == 0;
        What::Tcp {
            ports: (reflection.port, port),
            flags: if is_end { RST | ACK } else { PSH | ACK },
            seq: below(&mut self.random, 1 << 32) as u32,
            ack: below(&mut self.random, 1 << 32) as u32,
            window: 0x2000,
            options: Options::None,
            payload: if is_end { 0 } else { machine.size },
            data: if is_end {
                Data::Zeros
            } else {
                Data::Bytes(reflection.head)
            },
        }
    }

    /// A new connection of one of the machines that are at work.
    fn connection(&mut self, second: u32, stage: &Stage, n: u64, count: u64) -> Option<Connection> {
        let into_ns = (n * SECOND + below(&mut self.random, SECOND)) / count;
        let (number, machine) = self.machine(second, into_ns)?;
        let device = &DEVICES[usize::from(machine.device)];
        let client = Client {
            address: self.address(&machine),
            ttl: device.ttl - machine.hops,
            // A whole connection needs a stack: what builds packets itself has none.
            options: if device.options == Options::None {
                Options::Unix
            } else {
                device.options
            },
            window: device.window.max(5_840),
            round_trip_ns: 2_000_000 * u64::from(machine.hops) + u64::from(machine.port) * 1_000,
            attack: self.number,
            machine: number,
        };
        let server = inside(self.target, &mut self.random);
        let port = self.about.port.unwrap_or(80);
        Some(Connection::new(
            client,
            server,
            port,
            stage.begin + into_ns,
            &mut self.random,
        ))
    }

    fn visits(&mut self, second: u32, state: &State, stage: &mut Stage) -> Load {
        if !self.is_on(second) {
            return Load::default();
        }
        let count = whole(self.about.connections_per_second, &mut self.random);
        let (mut opened, mut asked) = (0.0, 0.0);
        for n in 0..count {
            let Some(mut connection) = self.connection(second, stage, n, count) else {
                continue;
            };
            opened += 1.0;
            let outcome = state.outcome(&mut self.random);
            if !connection.open(stage, outcome) {
                continue;
            }
            for _ in 0..self.about.requests {
                let page = match self.about.style {
                    Style::Get => Page::Home,
                    Style::CacheBusting => Page::Busted(below(&mut self.random, 1 << 60)),
                    Style::Login => Page::Login(below(&mut self.random, 100_000) as u32),
                    Style::Expensive => Page::Search(below(&mut self.random, 1 << 60)),
                };
                let head = Head {
                    page,
                    agent: self.agent,
                    refers: false,
                };
                connection.ask(stage, head, true, outcome, &mut self.random);
                connection.time_ns += 5_000_000 + below(&mut self.random, 30_000_000);
                asked += 1.0;
            }
            connection.close(stage);
        }
        Load {
            packets: opened * CONNECTION_PACKETS + asked * 2.0,
            connections: opened,
            open: opened,
            requests: asked
                * if self.about.style == Style::Expensive {
                    EXPENSIVE
                } else {
                    1.0
                },
        }
    }

    /// Slow attacks: connections that are opened, and kept open by a few bytes now and then.
    fn hold(&mut self, second: u32, state: &State, stage: &mut Stage) -> Load {
        let is_post = matches!(self.way, Way::SlowPost);
        let mut packets = 0.0;
        for mut held in self.held.remove(&second).unwrap_or_default() {
            held.connection.time_ns = stage.begin + below(&mut self.random, SECOND);
            packets += 1.0;
            if second >= held.until || second >= self.about.to {
                held.connection.close(stage);
                self.held_count -= 1;
                continue;
            }
            let data = match is_post {
                true => Data::Bytes(b"a"),
                false => Data::Bytes(b"X-a: b\r\n"),
            };
            held.connection.send(stage, data.length(), data);
            self.keep(second, held);
        }
        if self.is_on(second) {
            let count = whole(self.about.connections_per_second, &mut self.random);
            for n in 0..count {
                if self.held_count >= HELD_MAX {
                    break;
                }
                let Some(mut connection) = self.connection(second, stage, n, count) else {
                    continue;
                };
                packets += 3.0;
                if !connection.open(stage, state.outcome(&mut self.random)) {
                    continue;
                }
                let data = match is_post {
                    true => Data::Head(Head {
                        page: Page::Form,
                        agent: self.agent,
                        refers: false,
                    }),
                    false => {
                        Data::Bytes(b"GET / HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0\r\n")
                    }
                };
                connection.send(stage, data.length(), data);
                self.held_count += 1;
                // Servers give up on such connections after some minutes.
                let until = second + 240 + below(&mut self.random, 120) as u32;
                self.keep(second, Held { connection, until });
            }
        }
        Load {
            packets,
            connections: if self.is_on(second) {
                self.about.connections_per_second
            } else {
                0.0
            },
            open: self.held_count as f64,
            requests: 0.0,
        }
    }

    /// The next bytes come in ten to fifteen seconds, the end with the attack's.
    fn keep(&mut self, second: u32, held: Held) {
        let next = second + 10 + below(&mut self.random, 6) as u32;
        let next = if second < self.about.to {
            next.min(self.about.to.max(second + 1))
        } else {
            second + 1
        };
        self.held.entry(next).or_default().push(held);
    }
}

fn way(vector: &str) -> Result<Way, Error> {
    let flood = FLOODS.iter().find(|(name, _)| *name == vector);
    let reflection = REFLECTIONS.iter().find(|reflection| reflection.name == vector);
    Ok(match (vector, flood, reflection) {
        ("http_flood", ..) => Way::Http,
        ("slowloris", ..) => Way::Slowloris,
        ("slow_post", ..) => Way::SlowPost,
        (SYNACK, ..) => Way::SynAck,
        (MIDDLEBOX, _, Some(reflection)) => Way::Middlebox(reflection),
        (_, Some((_, flood)), _) => Way::Flood(*flood),
        (_, _, Some(reflection)) => Way::Reflected(reflection),
        _ => return Err(Error(format!("{vector:?} is no vector"))),
    })
}

/// When a machine begins and stops.
fn span(about: &Attack, random: &mut Pcg64Mcg) -> (u64, u64) {
    let controller = below(random, u64::from(about.controllers));
    let spread = |seconds: f64, random: &mut Pcg64Mcg| {
        let most = (seconds * 1e9) as u64;
        if most == 0 { 0 } else { below(random, most) }
    };
    let long = u64::from(about.to - about.from) * SECOND;
    let from = controller * u64::from(about.controller_gap) * SECOND + spread(about.start_spread, random);
    (from, long - spread(about.stop_spread, random))
}

fn forged(world: &World<'_>, within: Option<Prefix>, avoid_bogons: bool, random: &mut Pcg64Mcg) -> Ipv6Addr {
    match within {
        Some(within) => inside(within, random),
        None => world.anywhere(avoid_bogons, random),
    }
}

/// Machines of a mix of countries, crowded in some networks of each.
fn hosts(
    world: &World<'_>,
    mix: &BTreeMap<String, f64>,
    count: u32,
    who: Who,
    family: Family,
    random: &mut Pcg64Mcg,
) -> Result<Vec<Ipv6Addr>, Error> {
    let mix = scenario::countries(mix, world.atlas).map_err(Error)?;
    let infected = mix
        .iter()
        .map(|&(country, share)| {
            let infected = world.infected(country, who, family, random);
            infected
                .map(|infected| (infected, share))
                .ok_or_else(|| Error(format!("no announced address of {country} was drawn")))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let shares: Vec<(usize, f64)> = infected
        .iter()
        .enumerate()
        .map(|(n, (_, share))| (n, *share))
        .collect();
    Ok((0..count)
        .map(|_| {
            let country = draw(&shares, random);
            world.host(&infected[country].0, random)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_picked_by_their_weights() {
        let random = &mut Pcg64Mcg::seed_from_u64(1);
        let weights = [1.0, 0.0, 5.0, 2.0, 2.0];
        let picker = Picker::new(&weights);
        let mut counts = [0; 5];
        for _ in 0..100_000 {
            counts[picker.pick(random) as usize] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let share = f64::from(*count) / 100_000.0;
            assert!((share - weight / 10.0).abs() < 0.01, "{counts:?}");
        }
        assert_eq!(counts[1], 0);
    }
}
