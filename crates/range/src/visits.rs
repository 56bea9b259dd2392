//! Whole TCP connections, and the stage on which everything appears: this second's packets and requests, and those of later ones.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use rand_pcg::Pcg64Mcg;

use crate::outage::Outcome;
use crate::packets::{Data, NOBODYS, Options, Packet, Part, What};
use crate::requests::{Head, Page, Request};
use crate::vectors::{ACK, FIN, PSH, RST, SYN};
use crate::world::{below, uniform};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Packets and requests of one second.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    pub(crate) packets: Vec<Packet>,
    pub(crate) requests: Vec<Request>,
}

/// What appears.
pub(crate) struct Stage {
    /// Beginning of this second, nanoseconds since the epoch.
    pub(crate) begin: u64,
    pub(crate) now: Moment,
    /// What goes on in later seconds: connections that were begun. Sessions last seconds, so there is never much of it.
    later: BTreeMap<u64, Moment>,
    /// Share of the packets towards the services that are lost.
    path_loss: f64,
    random: Pcg64Mcg,
}

impl Stage {
    pub(crate) fn new(path_loss: f64, random: Pcg64Mcg) -> Stage {
        Stage {
            begin: 0,
            now: Moment::default(),
            later: BTreeMap::new(),
            path_loss,
            random,
        }
    }

    /// Goes on to a second, of which the former parts are there already.
    pub(crate) fn enter(&mut self, begin: u64) {
        self.begin = begin;
        // What was allocated once is used again.
        self.now.packets.clear();
        self.now.requests.clear();
        if let Some(moment) = self.later.remove(&(begin / SECOND)) {
            self.now.packets.extend(moment.packets);
            self.now.requests.extend(moment.requests);
        }
    }

    fn at(&mut self, time_ns: u64) -> &mut Moment {
        if time_ns < self.begin + SECOND {
            &mut self.now
        } else {
            self.later.entry(time_ns / SECOND).or_default()
        }
    }

    /// A packet from a service.
    pub(crate) fn down(&mut self, packet: Packet) {
        self.at(packet.time_ns).packets.push(packet);
    }

    /// A packet to a service, unless it is lost.
    pub(crate) fn up(&mut self, packet: Packet) {
        if self.path_loss > 0.0 && uniform(&mut self.random) < self.path_loss {
            return;
        }
        self.at(packet.time_ns).packets.push(packet);
    }

    pub(crate) fn request(&mut self, request: Request) {
        self.at(request.time_ns).requests.push(request);
    }
}

/// One end of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: Ipv6Addr,
    /// TTL with which its packets arrive.
    pub(crate) ttl: u8,
    pub(crate) options: Options,
    pub(crate) window: u16,
    pub(crate) round_trip_ns: u64,
    pub(crate) attack: u16,
    pub(crate) machine: u32,
}

/// A connection as it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    server: Ipv6Addr,
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    id: u16,
    pub(crate) time_ns: u64,
}

impl Connection {
    pub(crate) fn new(
        client: Client,
        server: Ipv6Addr,
        port: u16,
        time_ns: u64,
        random: &mut Pcg64Mcg,
    ) -> Connection {
        Connection {
            client,
            server,
            ports: (32_768 + below(random, 28_000) as u16, port),
            seq: below(random, 1 << 32) as u32,
            ack: below(random, 1 << 32) as u32,
            id: below(random, 65_536) as u16,
            time_ns,
        }
    }

    fn up(&mut self, stage: &mut Stage, flags: u8, payload: u16, data: Data) {
        let is_syn = flags == SYN;
        stage.up(Packet {
            time_ns: self.time_ns,
            src: self.client.address,
            dst: self.server,
            ttl: self.client.ttl,
            id: self.id,
            part: Part::Whole,
            attack: self.client.attack,
            machine: self.client.machine,
            what: What::Tcp {
                ports: self.ports,
                flags,
                seq: self.seq,
                ack: if is_syn { 0 } else { self.ack },
                window: self.client.window,
                options: if is_syn {
                    self.client.options
                } else {
                    Options::None
                },
                payload,
                data,
            },
        });
        self.id = self.id.wrapping_add(1);
        let counted = u32::from(payload) + u32::from(flags & (SYN | FIN) != 0);
        if !is_syn {
            self.seq = self.seq.wrapping_add(counted);
        }
    }

    fn down(&mut self, stage: &mut Stage, after_ns: u64, flags: u8, payload: u16, data: Data) {
        let is_syn = flags & SYN != 0;
        stage.down(Packet {
            time_ns: self.time_ns + after_ns,
            src: self.server,
            dst: self.client.address,
            ttl: 64,
            id: 0,
            part: Part::Whole,
            attack: NOBODYS,
            machine: 0,
            what: What::Tcp {
                ports: (self.ports.1, self.ports.0),
                flags,
                seq: self.ack,
                ack: if is_syn {
                    self.seq.wrapping_add(1)
                } else {
                    self.seq
                },
                window: 0xfaf0,
                options: if is_syn { Options::Unix } else { Options::None },
                payload,
                data,
            },
        });
        self.ack = self
            .ack
            .wrapping_add(u32::from(payload) + u32::from(flags & (SYN | FIN) != 0));
    }

    /// The handshake, as far as it gets; whether there is a connection then.
    pub(crate) fn open(&mut self, stage: &mut Stage, outcome: Outcome) -> bool {
        self.up(stage, SYN, 0, Data::Zeros);
        match outcome {
            Outcome::Unanswered => {
                // As stacks repeat a SYN: after one second, then after two more (RFC 6298).
                for wait in [1, 2] {
                    self.time_ns += wait * SECOND;
                    self.up(stage, SYN, 0, Data::Zeros);
                }
                false
            }
            Outcome::Refused => {
                self.seq = self.seq.wrapping_add(1);
                self.ack = 0;
                self.down(stage, 50_000, RST | ACK, 0, Data::Zeros);
                false
            }
            Outcome::Served | Outcome::Sorry => {
                self.down(stage, 50_000, SYN | ACK, 0, Data::Zeros);
                self.seq = self.seq.wrapping_add(1);
                self.time_ns += self.client.round_trip_ns;
                self.up(stage, ACK, 0, Data::Zeros);
                self.time_ns += 100_000;
                true
            }
        }
    }

    /// Bytes of the client without an answer but an acknowledgement.
    pub(crate) fn send(&mut self, stage: &mut Stage, payload: u16, data: Data) {
        self.up(stage, PSH | ACK, payload, data);
        self.down(stage, 40_000, ACK, 0, Data::Zeros);
    }

    /// A request and the answer to it.
    pub(crate) fn ask(
        &mut self,
        stage: &mut Stage,
        head: Head,
        is_plain: bool,
        outcome: Outcome,
        random: &mut Pcg64Mcg,
    ) {
        let (asked, data) = if is_plain {
            (Data::Head(head).length(), Data::Head(head))
        } else {
            (200 + below(random, 900) as u16, Data::Tls)
        };
        let asked_at = self.time_ns;
        self.up(stage, PSH | ACK, asked, data);
        let status = match (outcome, head.page) {
            (Outcome::Sorry, _) => 503,
            (_, Page::Login(_)) => 401,
            _ => 200,
        };
        let parts = if status == 200 { 1 + below(random, 6) } else { 1 };
        let mut bytes = 0;
        for part in 0..parts {
            let answered = 300 + below(random, 1_148) as u16;
            let data = match (is_plain, part) {
                (true, 0) => Data::Status(status),
                (true, _) => Data::Zeros,
                (false, _) => Data::Tls,
            };
            self.down(stage, 2_000_000 + part * 200_000, PSH | ACK, answered, data);
            bytes += u32::from(answered);
        }
        stage.request(Request {
            time_ns: asked_at,
            client: self.client.address,
            server: self.server,
            status,
            // Around a hundred bytes of each answer are its head.
            bytes: bytes - 100,
            head,
        });
        self.time_ns += self.client.round_trip_ns.max(4_000_000);
        self.up(stage, ACK, 0, Data::Zeros);
    }

    /// The end of it.
    pub(crate) fn close(&mut self, stage: &mut Stage) {
        self.up(stage, FIN | ACK, 0, Data::Zeros);
        self.down(stage, 80_000, FIN | ACK, 0, Data::Zeros);
        self.time_ns += self.client.round_trip_ns;
        self.up(stage, ACK, 0, Data::Zeros);
    }
}
