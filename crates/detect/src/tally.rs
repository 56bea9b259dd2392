//! The counts behind every judgement: what an input adds up to, in bounded memory.

use std::net::Ipv6Addr;

use wire::{Batch, Flow, Hint};

use crate::conversation::{Conversations, Strand, Touch, mix, port_bin};
use crate::lane::{Lanes, second_of};
use crate::vector::{Vector, candidate};

/// DNS servers whose answers are counted.
pub const MAX_DNS_SERVERS: usize = 1_024;

/// Seconds of DNS servers that are kept, of all together; further ones only count in the totals. 12 bytes each.
pub const MAX_DNS_SECONDS: usize = 1 << 18;

/// Answers that a DNS server gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsAnswers {
    /// All answers.
    pub answers: u64,
    /// NXDOMAIN answers (RFC 1035 section 4.1.1, RCODE 3).
    pub nxdomain: u64,
    seconds: Vec<DnsSecond>,
}

/// One second of a DNS server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsSecond {
    /// Seconds since the Unix epoch.
    pub second: u32,
    /// All answers in it.
    pub answers: u32,
    /// NXDOMAIN answers in it.
    pub nxdomain: u32,
}

impl DnsAnswers {
    /// Its seconds in order of time, each once.
    pub fn seconds(&self) -> Vec<DnsSecond> {
        let mut seconds = self.seconds.clone();
        seconds.sort_unstable_by_key(|one| one.second);
        seconds.dedup_by(|later, earlier| {
            let same = later.second == earlier.second;
            if same {
                earlier.answers = earlier.answers.saturating_add(later.answers);
                earlier.nxdomain = earlier.nxdomain.saturating_add(later.nxdomain);
            }
            same
        });
        seconds
    }

    /// Counts an answer. `kept` are the seconds kept so far, of all servers.
    fn add(&mut self, second: u32, packets: u64, nxdomain: bool, kept: &mut usize) {
        let denied = if nxdomain { packets } else { 0 };
        self.answers += packets;
        self.nxdomain += denied;
        // Records come nearly in order of time: the last few seconds are looked at, as for lanes.
        let near = self.seconds.iter_mut().rev().take(4);
        let mut near = near.filter(|one| one.second == second);
        let one = match near.next() {
            Some(one) => one,
            None if *kept < MAX_DNS_SECONDS => {
                *kept += 1;
                self.seconds.push(DnsSecond {
                    second,
                    ..DnsSecond::default()
                });
                let last = self.seconds.len() - 1;
                &mut self.seconds[last]
            }
            None => return,
        };
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        one.answers = one.answers.saturating_add(small(packets));
        one.nxdomain = one.nxdomain.saturating_add(small(denied));
    }
}

/// Everything that is counted of an input, or of several.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    conversations: Conversations,
    lanes: Lanes,
    dns_servers: std::collections::BTreeMap<Ipv6Addr, DnsAnswers>,
    dns_seconds: usize,
    first_ns: Option<u64>,
    last_ns: u64,
    packets: u64,
    bytes: u64,
    to_self: u64,
    unaddressed: u64,
    touches: Vec<Touch>,
    hashes: Vec<u64>,
}

impl Tally {
    /// An empty tally.
    pub fn new() -> Tally {
        Tally::default()
    }

    /// A tally with its own limit of conversations (tests use small ones).
    pub fn with_limit(max_conversations: usize) -> Tally {
        Tally {
            conversations: Conversations::with_limits(max_conversations, max_conversations),
            ..Tally::default()
        }
    }

    /// Who exchanged what with whom.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// What reached each target.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// What a DNS server answered, if it answered anything.
    pub fn dns_answers(&self, server: Ipv6Addr) -> Option<&DnsAnswers> {
        self.dns_servers.get(&server)
    }

    /// Time of the first record, `None` when there was none.
    pub fn first_ns(&self) -> Option<u64> {
        self.first_ns
    }

    /// Time of the last record.
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Packets counted, sampling applied.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets whose source is their destination: counted, and not examined.
    pub fn to_self(&self) -> u64 {
        self.to_self
    }

    /// Records that name no addresses (layer-2 records, counters of an exporter): counted, and not examined.
    pub fn unaddressed(&self) -> u64 {
        self.unaddressed
    }

    /// Bytes counted, sampling applied.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts a batch.
    ///
    /// Two passes over the batch: the first classifies records in small groups, brings their lanes near, counts each in its lane
    /// (one lane is hot during a flood, so this stays in cache) and writes a small `Touch`; the second takes the touches to the
    /// table of conversations in groups, whose cache misses overlap. Nothing is allocated once the working space has grown to a batch.
    pub fn add(&mut self, batch: &Batch) {
        self.touches.clear();
        const GROUP: usize = 32;
        let mut vectors = [Vector::UdpFlood; GROUP];
        for flows in batch.flows.chunks(GROUP) {
            for (vector, flow) in vectors.iter_mut().zip(flows) {
                *vector = candidate(flow);
            }
            self.lanes
                .approach(flows.iter().zip(vectors).map(|(flow, vector)| (flow.dst, vector)));
            for (flow, vector) in flows.iter().zip(vectors) {
                self.count(batch, flow, vector);
            }
        }
        self.conversations.add_all(&self.touches, &mut self.hashes);
        self.count_heads(batch);
    }

    /// Counts one record in its lane, and notes it for the table of conversations.
    #[inline]
    fn count(&mut self, batch: &Batch, flow: &Flow, vector: Vector) {
        self.first_ns = Some(
            self.first_ns
                .map_or(flow.first_ns, |first| first.min(flow.first_ns)),
        );
        self.last_ns = self.last_ns.max(flow.last_ns);
        self.packets += flow.scaled_packets();
        self.bytes += flow.scaled_bytes();
        // A host that talks to itself is nobody's victim; on a wire such packets cannot be (the LAND attack died with its bug).
        if flow.src == flow.dst {
            if flow.src.is_unspecified() {
                self.unaddressed += 1;
            } else {
                self.to_self += flow.scaled_packets();
            }
            return;
        }
        self.lanes.add(flow, vector, dns_name(batch, flow));
        self.touches.push(touch(flow, vector));
    }

    /// Counts HTTP heads and DNS answers, which few records have.
    fn count_heads(&mut self, batch: &Batch) {
        if batch.http.is_empty() && batch.dns.is_empty() {
            return;
        }
        for flow in &batch.flows {
            match flow.hint {
                Hint::HttpRequest | Hint::HttpResponse => {
                    if let Some(http) = batch.http.get(flow.detail as usize)
                        && let Some(talk) = self.conversations.http_mut(flow.src, flow.dst)
                    {
                        talk.count(http, second_of(flow.first_ns));
                    }
                }
                Hint::DnsAnswer => {
                    let Some(dns) = batch.dns.get(flow.detail as usize) else {
                        continue;
                    };
                    let room = self.dns_servers.len() < MAX_DNS_SERVERS;
                    if room || self.dns_servers.contains_key(&flow.src) {
                        let server = self.dns_servers.entry(flow.src).or_default();
                        let second = second_of(flow.first_ns);
                        server.add(
                            second,
                            flow.scaled_packets(),
                            dns.rcode == 3,
                            &mut self.dns_seconds,
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

fn dns_name<'a>(batch: &'a Batch, flow: &Flow) -> Option<(&'a [u8], u16)> {
    if !matches!(flow.hint, Hint::DnsQuery | Hint::DnsAnswer) {
        return None;
    }
    let dns = batch.dns.get(flow.detail as usize)?;
    let start = dns.name_start as usize;
    Some((
        batch.names.get(start..start + usize::from(dns.name_len))?,
        dns.qtype,
    ))
}

#[inline]
fn touch(flow: &Flow, vector: Vector) -> Touch {
    let mut saw = if flow.hint == Hint::None {
        0
    } else {
        Strand::SAW_HINT
    };
    if vector == Vector::SynFlood && flow.has & Flow::HAS_TCP_HEADER != 0 {
        let rich = Flow::OPT_WINDOW_SCALE | Flow::OPT_SACK | Flow::OPT_TIMESTAMPS;
        let real_stack = flow.tcp_options & Flow::OPT_MSS != 0 && flow.tcp_options & rich != 0;
        saw |= if real_stack {
            Strand::SAW_STACK_OPTIONS
        } else {
            Strand::SAW_BARE_SYN
        };
    }
    if vector == Vector::SynFlood && flow.has & (Flow::IS_PACKET | Flow::HAS_TCP_HEADER) == 0 {
        // A flow record has no options, but their room shows: the stacks in use send SYNs of 52 to 64 bytes, bare ones have 40 or 44.
        saw |= if flow.bytes >= 52 * flow.packets.min(1 << 36) {
            Strand::SAW_STACK_OPTIONS
        } else {
            Strand::SAW_BARE_SYN
        };
    }
    if vector == Vector::PshAckFlood && flow.has & Flow::IS_PACKET == 0 {
        let opened = flow.tcp_flags & (Flow::SYN | Flow::ACK) == Flow::SYN | Flow::ACK;
        if opened && flow.tcp_flags & (Flow::PSH | Flow::FIN) != 0 {
            saw |= Strand::SAW_CONNECTION;
        }
    }
    let ports = flow.has & Flow::HAS_TRANSPORT != 0;
    let (src_port_bin, dst_port_bin) = match vector {
        Vector::IcmpFlood if ports => (0, crate::exchange::icmp_bit(flow.icmp_type)),
        _ if ports => (port_bin(flow.src_port), port_bin(flow.dst_port)),
        _ => (0, 0),
    };
    Touch {
        src: flow.src,
        dst: flow.dst,
        first_ns: flow.first_ns,
        last_ns: flow.last_ns,
        packets: flow.scaled_packets(),
        bytes: flow.scaled_bytes(),
        vector,
        ttl: flow.ttl,
        saw,
        window: flow.tcp_window,
        options: if flow.has & Flow::HAS_TCP_HEADER != 0 {
            flow.tcp_options | Strand::HEADER_KNOWN
        } else {
            0
        },
        src_port_bin,
        dst_port_bin,
    }
}

impl crate::conversation::HttpTalk {
    fn count(&mut self, http: &wire::Http, second: u32) {
        if http.status != 0 {
            self.responses += 1;
            self.good_responses += u64::from(http.status < 400);
            return;
        }
        self.requests += 1;
        if self.second != second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second = self.in_second.saturating_add(1);
        self.burst = self.burst.max(self.in_second);
        self.whole += u64::from(http.whole);
        self.unfinished += u64::from(http.whole && !http.head_complete);
        self.queries += u64::from(http.has_query);
        self.posts += u64::from(http.method == b'P' && http.content_length > 0);
        self.paths |= 1 << (mix(http.path_hash) & 63);
        let bin = mix(http.target_hash) & 255;
        self.targets[bin as usize / 64] |= 1 << (bin % 64);
        if http.agent_hash != 0 {
            self.agents |= 1 << (mix(http.agent_hash) & 63);
        }
    }
}
