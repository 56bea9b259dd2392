//! Who uses a service: the hosts that came to it and got on with it.
//!
//! A client is a peer that spoke first and whose traffic the service took part in: a handshake that was completed, a connection that
//! both ends keep up, datagrams that are answered. Servers that the service itself asks, hosts that only ping, and what is counted as
//! an attack are no clients. Where a sample or one direction alone was captured, fewer of them are recognised.

use std::net::Ipv6Addr;

use crate::conversation::{Strand, hash_address};
use crate::exchange::Exchange;
use crate::judge::Attack;
use crate::tally::Tally;
use crate::vector::{Transport, Vector};

/// Clients that are kept of one service; beyond, those whose hash begins with enough zero bits are.
pub const MAX_CLIENTS: usize = 1 << 17;
/// How long after an attack its clients are still noted. A listener hears as much before it says that the attack is over.
const AFTER_NS: u64 = 60_000_000_000;

/// A host that uses a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Its address.
    pub address: Ipv6Addr,
    /// First packet to the service, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Packets to the service, sampling applied.
    pub packets: u64,
    /// Those of them that look like the attack's: of the same candidate vectors.
    pub alike: u64,
}

/// Clients in address order, one entry each; a sample of one in 2^level where there are very many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Those that are kept.
    pub all: Vec<Client>,
    /// The level of the sample.
    pub level: u32,
}

impl Clients {
    /// How many there are; an estimate where the level is above 0.
    pub fn distinct(&self) -> u64 {
        (self.all.len() as u64) << self.level
    }

    /// Takes in those of another input.
    pub fn join(&mut self, other: Clients) {
        self.level = self.level.max(other.level);
        self.all.extend(other.all);
        self.tidy();
    }

    /// Sorts, joins equal addresses and keeps to the limit.
    fn tidy(&mut self) {
        self.all.sort_unstable();
        self.all.dedup_by(|later, earlier| {
            let same = later.address == earlier.address;
            if same {
                earlier.first_ns = earlier.first_ns.min(later.first_ns);
                earlier.packets = earlier.packets.saturating_add(later.packets);
                earlier.alike = earlier.alike.saturating_add(later.alike);
            }
            same
        });
        loop {
            let level = self.level;
            self.all.retain(|client| is_sampled(client.address, level));
            if self.all.len() <= MAX_CLIENTS {
                return;
            }
            self.level += 1;
        }
    }
}

/// Whether packets of a candidate vector look like those of an attack of these vectors, each with whether it is made of requests.
pub fn is_alike(vector: Vector, attack: &[(Vector, bool)]) -> bool {
    attack
        .iter()
        .any(|&(of, requests)| of == vector || requests && vector.transport() == Transport::Tcp)
}

/// Calls with candidate vector, packets and first time of each strand by which one end of a conversation used the other one; with none
/// where it is no client. A flow record of a whole connection stands for its SYN as well, which packets would have shown apart: what a
/// client that is not served sends again.
fn each_use<'a>(
    strands: impl Iterator<Item = &'a Strand> + Clone,
    service_is_low: bool,
    mut with: impl FnMut(Vector, u64, u64),
) {
    let first_of = |incoming: bool| {
        let of = strands
            .clone()
            .filter(move |strand| (strand.forward != service_is_low) == incoming);
        of.map(|strand| strand.first_ns).min()
    };
    let exchange = Exchange::of(strands.clone(), service_is_low);
    let (i, o) = (&exchange.incoming, &exchange.outgoing);
    if o.syn > 0 && i.syn == 0 || i.synack > 0 && o.syn >= i.syn {
        return; // the service is the client
    }
    if i.syn == 0 && first_of(false).is_some_and(|first| first_of(true).is_some_and(|own| first < own)) {
        return; // the service spoke first
    }
    let asked = |strand: &&Strand| {
        let spoken = match strand.vector {
            Vector::SynackReflection | Vector::RstFlood | Vector::IcmpFlood => false,
            vector => vector.transport() != Transport::Other && !vector.is_reflection(),
        };
        strand.forward != service_is_low && spoken && exchange.asked_for(strand.vector)
    };
    for strand in strands.clone().filter(asked) {
        let syns = u64::from(strand.saw & Strand::SAW_CONNECTION != 0);
        if syns > 0 && strand.vector != Vector::SynFlood {
            with(Vector::SynFlood, syns, strand.first_ns);
        }
        with(
            strand.vector,
            strand.packets.saturating_sub(syns),
            strand.first_ns,
        );
    }
}

/// What a conversation shows of one of its ends as a client of the other one.
fn client<'a>(
    strands: impl Iterator<Item = &'a Strand> + Clone,
    service_is_low: bool,
    address: Ipv6Addr,
    attack: &[(Vector, bool)],
) -> Option<Client> {
    let mut found: Option<Client> = None;
    each_use(strands, service_is_low, |vector, packets, first_ns| {
        let client = found.get_or_insert(Client {
            address,
            first_ns,
            packets: 0,
            alike: 0,
        });
        client.first_ns = client.first_ns.min(first_ns);
        client.packets = client.packets.saturating_add(packets);
        if is_alike(vector, attack) {
            client.alike = client.alike.saturating_add(packets);
        }
    });
    found
}

/// What a client sends to a service, of one candidate vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The service.
    pub service: Ipv6Addr,
    /// Who uses it.
    pub client: Ipv6Addr,
    /// What an attack by such packets would be.
    pub vector: Vector,
    /// First such packet, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Packets, sampling applied.
    pub packets: u64,
    /// In how many inputs or windows it was seen.
    pub seen: u32,
}

impl Use {
    fn key(&self) -> (Ipv6Addr, Ipv6Addr, Vector) {
        (self.service, self.client, self.vector)
    }
}

/// Who uses services and how: what is left of an input when only its audience matters. Kept by whoever judges an attack that is not in that
/// input, and small enough to be handed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regulars {
    /// In order of service, client and vector, one entry each; [`MAX_USES`] at most.
    uses: Vec<Use>,
    /// Clients of any service, in address order: who they are may be told where the services themselves are not in the input.
    anybody: Vec<Ipv6Addr>,
    /// Of the clients, one in 2^level is kept, by their hashes.
    level: u32,
    /// Of the pairs of hosts, the input itself held one in 2^thinned.
    thinned: u32,
}

/// Uses, and clients of any service, that [`Regulars`] hold.
pub const MAX_USES: usize = 1 << 18;

impl Regulars {
    /// From entries in any order.
    pub fn of(uses: Vec<Use>, anybody: Vec<Ipv6Addr>, level: u32, thinned: u32) -> Regulars {
        let mut regulars = Regulars {
            uses,
            anybody,
            level,
            thinned,
        };
        regulars.tidy();
        regulars
    }

    /// Of the targets of these attacks, in another input; where one of them has fewer than `few` there, those of any service too.
    pub fn of_targets(tally: &Tally, attacks: &[Attack], few: u64) -> Regulars {
        let mut hosts: Vec<(Ipv6Addr, u32)> = attacks
            .iter()
            .flat_map(|attack| attack.hosts.iter().map(|host| (*host, 0)))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        let conversations = tally.conversations();
        let mut uses = Vec::new();
        each_pair(tally, &hosts, |_, index, service_is_low, _| {
            note_uses(tally, index, service_is_low, &mut uses);
        });
        let mut regulars = Regulars::of(uses, Vec::new(), 0, conversations.level());
        let is_few = |attack: &Attack| regulars.clients(&attack.hosts, &vectors_of(attack)).distinct() < few;
        if attacks.iter().any(is_few) {
            regulars.anybody = (0..conversations.len())
                .filter_map(|index| {
                    let pair = conversations.get(index);
                    let uses = |service_is_low| {
                        let mut any = false;
                        each_use(conversations.strands(index), service_is_low, |_, _, _| any = true);
                        any
                    };
                    // One end is the client of the other, or neither is.
                    match (pair.low != pair.high).then(|| (uses(true), uses(false)))? {
                        (true, _) => Some(pair.high),
                        (_, true) => Some(pair.low),
                        _ => None,
                    }
                })
                .collect();
            regulars.tidy();
        }
        regulars
    }

    /// Of all services of an input that are `wanted`.
    pub fn of_services(tally: &Tally, wanted: impl Fn(Ipv6Addr) -> bool) -> Regulars {
        let conversations = tally.conversations();
        let mut uses = Vec::new();
        for index in 0..conversations.len() {
            let pair = conversations.get(index);
            if pair.low == pair.high || is_lone_syn(tally, index) {
                continue;
            }
            for (service, is_low) in [(pair.low, true), (pair.high, false)] {
                if wanted(service) {
                    note_uses(tally, index, is_low, &mut uses);
                }
            }
        }
        Regulars::of(uses, Vec::new(), 0, conversations.level())
    }

    /// Takes in those of another input.
    pub fn join(&mut self, other: Regulars) {
        self.level = self.level.max(other.level);
        self.thinned = self.thinned.max(other.thinned);
        self.uses.extend(other.uses);
        self.anybody.extend(other.anybody);
        self.tidy();
    }

    /// All uses that are kept, in order.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The clients of any service that are kept, in order.
    pub fn anybody(&self) -> &[Ipv6Addr] {
        &self.anybody
    }

    /// Of the clients, one in 2^level is kept.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Of the pairs of hosts, the input held one in 2^thinned.
    pub fn thinned(&self) -> u32 {
        self.thinned
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty() && self.anybody.is_empty()
    }

    /// The clients of these hosts (in address order); `attack` is what their packets are compared with.
    pub fn clients(&self, hosts: &[Ipv6Addr], attack: &[(Vector, bool)]) -> Clients {
        let mut found = Clients {
            all: Vec::new(),
            level: self.level,
        };
        for of_client in self
            .uses
            .chunk_by(|a, b| (a.service, a.client) == (b.service, b.client))
        {
            if hosts.binary_search(&of_client[0].service).is_err() {
                continue;
            }
            let alike = of_client.iter().filter(|of| is_alike(of.vector, attack));
            found.all.push(Client {
                address: of_client[0].client,
                first_ns: of_client.iter().map(|of| of.first_ns).min().unwrap_or(0),
                packets: of_client.iter().fold(0, |sum, of| sum.saturating_add(of.packets)),
                alike: alike.fold(0, |sum, of| sum.saturating_add(of.packets)),
            });
        }
        found.tidy();
        found
    }

    /// The clients of any service: who they are, and nothing of what they send.
    pub fn clients_of_any(&self) -> Clients {
        let client = |address: &Ipv6Addr| Client {
            address: *address,
            first_ns: 0,
            packets: 0,
            alike: 0,
        };
        let mut found = Clients {
            all: self.anybody.iter().map(client).collect(),
            level: self.level,
        };
        found.tidy();
        found
    }

    /// Sorts, joins what is the same, and keeps to the limit.
    fn tidy(&mut self) {
        self.uses.sort_unstable_by_key(Use::key);
        self.uses.dedup_by(|later, earlier| {
            let same = later.key() == earlier.key();
            if same {
                earlier.first_ns = earlier.first_ns.min(later.first_ns);
                earlier.packets = earlier.packets.saturating_add(later.packets);
                earlier.seen = earlier.seen.saturating_add(later.seen);
            }
            same
        });
        self.anybody.sort_unstable();
        self.anybody.dedup();
        loop {
            let level = self.level;
            self.uses.retain(|of| is_sampled(of.client, level));
            self.anybody.retain(|client| is_sampled(*client, level));
            if self.uses.len() <= MAX_USES && self.anybody.len() <= MAX_USES {
                return;
            }
            self.level += 1;
        }
    }
}

fn note_uses(tally: &Tally, index: usize, service_is_low: bool, uses: &mut Vec<Use>) {
    let pair = tally.conversations().get(index);
    let (service, client) = if service_is_low {
        (pair.low, pair.high)
    } else {
        (pair.high, pair.low)
    };
    let strands = tally.conversations().strands(index);
    each_use(strands, service_is_low, |vector, packets, first_ns| {
        uses.push(Use {
            service,
            client,
            vector,
            first_ns,
            packets,
            seen: 1,
        });
    });
}

/// Whether an address is in the sample of one in 2^level: by its hash alone, so that all inputs keep the same ones.
fn is_sampled(address: Ipv6Addr, level: u32) -> bool {
    level == 0 || hash_address(address) >> (64 - level.min(63)) == 0
}

/// Vectors of an attack, each with whether it is made of requests.
pub fn vectors_of(attack: &Attack) -> Vec<(Vector, bool)> {
    let parts = attack.parts.iter();
    parts.map(|part| (part.vector, part.requests.is_some())).collect()
}

/// Notes the clients of each attack's target in one pass over the conversations.
pub(crate) fn note_clients(tally: &Tally, attacks: &mut [Attack]) {
    if attacks.is_empty() {
        return;
    }
    let mut hosts: Vec<(Ipv6Addr, u32)> = attacks
        .iter()
        .enumerate()
        .flat_map(|(at, attack)| attack.hosts.iter().map(move |host| (*host, at as u32)))
        .collect();
    hosts.sort_unstable();
    let vectors: Vec<_> = attacks.iter().map(vectors_of).collect();
    let mut found: Vec<Vec<Client>> = vec![Vec::new(); attacks.len()];
    each_pair(tally, &hosts, |at, index, service_is_low, peer| {
        let strands = tally.conversations().strands(index);
        found[at as usize].extend(client(strands, service_is_low, peer, &vectors[at as usize]));
    });
    for (attack, clients) in attacks.iter_mut().zip(found) {
        let until = attack.end_ns.saturating_add(AFTER_NS);
        let mut all = clients;
        all.retain(|client| {
            let is_sender = || {
                let mut parts = attack.parts.iter();
                parts.any(|part| {
                    let found = part
                        .senders
                        .binary_search_by_key(&client.address, |sender| sender.address);
                    found.is_ok()
                })
            };
            client.first_ns < attack.start_ns || client.first_ns <= until && !is_sender()
        });
        attack.clients = Clients { all, level: 0 };
        attack.clients.tidy();
    }
}

/// Whether a conversation is a SYN and nothing else: most of what a flood leaves.
fn is_lone_syn(tally: &Tally, index: usize) -> bool {
    let mut strands = tally.conversations().strands(index);
    strands.next().is_some_and(|s| s.vector == Vector::SynFlood) && strands.next().is_none()
}

/// Calls with the number, the conversation, whether the host is its lower end, and the peer, for each conversation of the hosts.
fn each_pair(tally: &Tally, hosts: &[(Ipv6Addr, u32)], mut with: impl FnMut(u32, usize, bool, Ipv6Addr)) {
    let conversations = tally.conversations();
    let mut last: Option<(Ipv6Addr, u32)> = None;
    for index in 0..conversations.len() {
        let pair = conversations.get(index);
        if pair.low == pair.high || is_lone_syn(tally, index) {
            continue;
        }
        for (end, peer) in [(pair.low, pair.high), (pair.high, pair.low)] {
            if last.is_none_or(|(host, _)| host != end) {
                match hosts.binary_search_by_key(&end, |(host, _)| *host) {
                    Ok(at) => last = Some(hosts[at]),
                    Err(_) => continue,
                }
            }
            if let Some((_, at)) = last {
                with(at, index, end == pair.low, peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use wire::{Batch, Flow};

    use super::*;

    const SERVICE: u32 = 0x0a00_0001;

    fn address(n: u32) -> Ipv6Addr {
        Ipv4Addr::from_bits(n).to_ipv6_mapped()
    }

    fn packet(src: u32, dst: u32, at: u64, protocol: u8, flags: u8) -> Flow {
        Flow {
            src: address(src),
            dst: address(dst),
            first_ns: at,
            last_ns: at,
            packets: 1,
            bytes: 60,
            protocol,
            src_port: if src == SERVICE { 443 } else { 50_000 },
            dst_port: if dst == SERVICE { 443 } else { 50_000 },
            tcp_flags: flags,
            payload: if flags == 0x18 { 20 } else { 0 },
            has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS | Flow::HAS_TCP_HEADER | Flow::IS_PACKET,
            ..Flow::EMPTY
        }
    }

    fn session(client: u32, service: u32, at: u64) -> Vec<Flow> {
        vec![
            packet(client, service, at, 6, 2),
            packet(service, client, at + 1, 6, 0x12),
            packet(client, service, at + 2, 6, 0x10),
            packet(client, service, at + 3, 6, 0x18),
            packet(service, client, at + 4, 6, 0x18),
        ]
    }

    #[test]
    fn clients_came_and_got_on_with_it() {
        let mut tally = Tally::new();
        let mut flows = session(7, SERVICE, 10);
        flows.extend(session(SERVICE, 8, 20)); // the service asks another one
        flows.push(packet(9, SERVICE, 30, 6, 2)); // a SYN that nothing follows
        flows.push(packet(11, SERVICE, 40, 1, 0)); // a ping
        tally.add(&Batch {
            flows,
            ..Batch::default()
        });
        let all = Regulars::of_services(&tally, |_| true);
        let of = |host: u32| {
            let found = all.clients(&[address(host)], &[(Vector::SynFlood, false)]);
            let all = found.all.iter();
            all.map(|c| (c.address, c.packets, c.alike, c.first_ns))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(SERVICE), [(address(7), 3, 1, 10)]);
        assert_eq!(of(8), [(address(SERVICE), 3, 1, 20)]);
        let others = Regulars::of_services(&tally, |service| service != address(SERVICE));
        let uses = others.uses().iter();
        assert!(
            uses.clone()
                .all(|of| (of.service, of.client) == (address(8), address(SERVICE)))
        );
        assert_eq!(uses.map(|of| of.packets).sum::<u64>(), 3);
    }

    #[test]
    fn very_many_clients_are_sampled_by_their_addresses_alone() {
        let client = |n: u32| Client {
            address: address(n),
            first_ns: u64::from(n),
            packets: 1,
            alike: 0,
        };
        let mut forwards = Clients::default();
        (0..4u32).for_each(|part| {
            forwards.join(Clients {
                all: (0..80_000).map(|n| client(part * 80_000 + n)).collect(),
                level: 0,
            });
        });
        let mut at_once = Clients::default();
        at_once.join(Clients {
            all: (0..320_000).rev().map(client).collect(),
            level: 0,
        });
        assert_eq!(forwards, at_once);
        assert!(forwards.level > 0 && forwards.all.len() <= MAX_CLIENTS);
        assert!(
            (300_000..340_000).contains(&forwards.distinct()),
            "{}",
            forwards.distinct()
        );
    }
}
