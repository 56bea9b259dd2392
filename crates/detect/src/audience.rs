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
            self.all
                .retain(|client| level == 0 || hash_address(client.address) >> (64 - level.min(63)) == 0);
            if self.all.len() <= MAX_CLIENTS {
                return;
            }
            self.level += 1;
        }
    }
}

/// Whether packets of a candidate vector look like those of an attack of these vectors, each with whether it is made of requests.
fn is_alike(vector: Vector, attack: &[(Vector, bool)]) -> bool {
    attack
        .iter()
        .any(|&(of, requests)| of == vector || requests && vector.transport() == Transport::Tcp)
}

/// What a conversation shows of one of its ends as a client of the other one.
fn client<'a>(
    strands: impl Iterator<Item = &'a Strand> + Clone,
    service_is_low: bool,
    address: Ipv6Addr,
    attack: &[(Vector, bool)],
) -> Option<Client> {
    let first_of = |incoming: bool| {
        let of = strands
            .clone()
            .filter(move |strand| (strand.forward != service_is_low) == incoming);
        of.map(|strand| strand.first_ns).min()
    };
    let exchange = Exchange::of(strands.clone(), service_is_low);
    let (i, o) = (&exchange.incoming, &exchange.outgoing);
    if o.syn > 0 && i.syn == 0 || i.synack > 0 && o.syn >= i.syn {
        return None; // the service is the client
    }
    if i.syn == 0 && first_of(false).is_some_and(|first| first_of(true).is_some_and(|own| first < own)) {
        return None; // the service spoke first
    }
    let asked = |strand: &&Strand| {
        let spoken = match strand.vector {
            Vector::SynackReflection | Vector::RstFlood | Vector::IcmpFlood => false,
            vector => vector.transport() != Transport::Other && !vector.is_reflection(),
        };
        strand.forward != service_is_low && spoken && exchange.asked_for(strand.vector)
    };
    let mut found: Option<Client> = None;
    for strand in strands.clone().filter(asked) {
        let client = found.get_or_insert(Client {
            address,
            first_ns: strand.first_ns,
            packets: 0,
            alike: 0,
        });
        client.first_ns = client.first_ns.min(strand.first_ns);
        client.packets = client.packets.saturating_add(strand.packets);
        if is_alike(strand.vector, attack) {
            client.alike = client.alike.saturating_add(strand.packets);
        }
    }
    found
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

/// The clients of these hosts (in address order) in another input, or of all hosts where none is named. `attack` is what the packets
/// are compared with.
pub fn clients(tally: &Tally, hosts: Option<&[Ipv6Addr]>, attack: &[(Vector, bool)]) -> Clients {
    let mut found = Clients::default();
    let conversations = tally.conversations();
    match hosts {
        Some(hosts) => {
            let hosts: Vec<_> = hosts.iter().map(|host| (*host, 0)).collect();
            each_pair(tally, &hosts, |_, index, service_is_low, peer| {
                let strands = conversations.strands(index);
                found.all.extend(client(strands, service_is_low, peer, attack));
            });
        }
        None => {
            for index in 0..conversations.len() {
                let pair = conversations.get(index);
                // One end is the client of the other, or neither is.
                let either = client(conversations.strands(index), true, pair.high, attack)
                    .or_else(|| client(conversations.strands(index), false, pair.low, attack));
                found.all.extend(either);
            }
        }
    }
    found.tidy();
    found
}

/// Calls with the number, the conversation, whether the host is its lower end, and the peer, for each conversation of the hosts.
fn each_pair(tally: &Tally, hosts: &[(Ipv6Addr, u32)], mut with: impl FnMut(u32, usize, bool, Ipv6Addr)) {
    let conversations = tally.conversations();
    let mut last: Option<(Ipv6Addr, u32)> = None;
    for index in 0..conversations.len() {
        let pair = conversations.get(index);
        // A SYN and nothing else: most of what a flood leaves.
        let mut strands = conversations.strands(index);
        let alone = strands.next().is_some_and(|s| s.vector == Vector::SynFlood) && strands.next().is_none();
        if alone || pair.low == pair.high {
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
        let of = |hosts: Option<&[Ipv6Addr]>| {
            let found = clients(&tally, hosts, &[(Vector::SynFlood, false)]);
            let all = found.all.iter();
            all.map(|c| (c.address, c.packets, c.alike, c.first_ns))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Some(&[address(SERVICE)])), [(address(7), 3, 1, 10)]);
        assert_eq!(of(None), [(address(7), 3, 1, 10), (address(SERVICE), 3, 1, 20)]);
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
