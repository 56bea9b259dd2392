//! Who exchanged what with whom: the bounded table of conversations.
//!
//! A conversation is an unordered pair of addresses. It holds one *strand* per direction and candidate vector: packets,
//! bytes, first and last time, TTLs, and how many ports were used. That is enough to say later whether the target asked
//! for the traffic and whether handshakes were completed, without keeping a packet or a connection.
//!
//! # When there are too many
//!
//! An attacker who forges sources makes a new conversation with every packet. The table keeps every conversation up to
//! [`MAX_CONVERSATIONS`]; beyond, it keeps those whose hash begins with `level` zero bits, and raises the level whenever
//! the table is full (distinct sampling: Gibbons, VLDB 2001). What is kept is then an unbiased sample of the *distinct*
//! pairs, each counted exactly from its first packet, and the final sample does not depend on the order of the input: a
//! pair that is in it at the end was never below any earlier level. Estimates multiply by 2^level.

use std::net::Ipv6Addr;

use crate::vector::Vector;

/// Conversations kept before the table begins to sample.
pub const MAX_CONVERSATIONS: usize = 1 << 20;
/// Strands kept beyond the first of each conversation, before the table begins to sample.
pub const MAX_EXTRA_STRANDS: usize = 3 << 19;
/// Conversations whose HTTP heads are counted.
pub const MAX_HTTP: usize = 100_000;

const NONE: u32 = u32::MAX;
/// Slots examined before a lookup gives up: colliding addresses cannot make it slow.
const MAX_PROBES: usize = 64;

/// Traffic of one candidate vector in one direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strand {
    /// First packet, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last packet.
    pub last_ns: u64,
    /// Packets, sampling applied.
    pub packets: u64,
    /// Bytes, sampling applied.
    pub bytes: u64,
    /// Which of 64 hash bins of source ports were seen: see [`distinct_of_bins`].
    pub src_ports: u64,
    /// Which of 64 hash bins of destination ports were seen; for ICMP the types, see
    /// [`icmp_bit`](crate::exchange::icmp_bit).
    pub dst_ports: u64,
    next: u32,
    /// Candidate vector.
    pub vector: Vector,
    /// From the lower address to the higher one.
    pub forward: bool,
    /// Smallest TTL, 255 while none is known.
    pub ttl_min: u8,
    /// Largest TTL, 0 while none is known.
    pub ttl_max: u8,
    /// The first packet's TTL, 0 where not known.
    pub ttl_first: u8,
    /// What the packets had: the `SAW_` bits.
    pub saw: u8,
    /// The first packet's TCP window, 0 where not known.
    pub window: u16,
    /// The first packet's TCP options (`Flow::OPT_` bits) with [`Strand::HEADER_KNOWN`], 0 where its TCP header was not seen.
    pub options: u8,
}

impl Strand {
    /// `options`: the first packet's TCP header was seen, so that no option means none.
    pub const HEADER_KNOWN: u8 = 128;

    /// `saw`: a SYN with the options of a real stack (MSS with SACK, timestamps or window scale).
    pub const SAW_STACK_OPTIONS: u8 = 1;
    /// `saw`: a SYN without any option, or with MSS alone.
    pub const SAW_BARE_SYN: u8 = 2;
    /// `saw`: a payload that its hint names.
    pub const SAW_HINT: u8 = 4;
    /// `saw`: a flow record with a SYN, an ACK and data or a FIN: a connection from its opening on.
    pub const SAW_CONNECTION: u8 = 8;
}

/// What a pair of hosts said in HTTP/1, as far as it was captured in the clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpTalk {
    /// Request heads.
    pub requests: u64,
    /// Request heads whose packet was captured whole and did not end the head.
    pub unfinished: u64,
    /// Request heads whose packet was captured whole.
    pub whole: u64,
    /// Requests with a query.
    pub queries: u64,
    /// POST and PUT requests with a body announced.
    pub posts: u64,
    /// Responses.
    pub responses: u64,
    /// Responses with a status below 400.
    pub good_responses: u64,
    /// 64 hash bins of paths.
    pub paths: u64,
    /// 256 hash bins of whole request targets.
    pub targets: [u64; 4],
    /// 64 hash bins of user agents.
    pub agents: u64,
    /// Most requests in one second of the clock.
    pub burst: u16,
    /// Requests in the second that was counted last.
    pub(crate) in_second: u16,
    /// That second.
    pub(crate) second: u32,
}

/// Two addresses and their strands.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    /// Lower address.
    pub low: Ipv6Addr,
    /// Higher address (equal to `low` for a host that talks to itself).
    pub high: Ipv6Addr,
    hash: u64,
    http: u32,
    strand: Strand,
}

/// What one record adds: the caller has already classified it.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// First packet.
    pub first_ns: u64,
    /// Last packet.
    pub last_ns: u64,
    /// Packets, sampling applied.
    pub packets: u64,
    /// Bytes, sampling applied.
    pub bytes: u64,
    /// Candidate vector.
    pub vector: Vector,
    /// TTL, 0 where not known.
    pub ttl: u8,
    /// `SAW_` bits.
    pub saw: u8,
    /// TCP window, 0 where not known.
    pub window: u16,
    /// TCP options, see [`Strand::options`].
    pub options: u8,
    /// Bin of the source port.
    pub src_port_bin: u64,
    /// Bin of the destination port or ICMP type.
    pub dst_port_bin: u64,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Conversations {
    slots: Vec<u64>, // low half: index + 1, high half: tag; 0 is empty
    all: Vec<Conversation>,
    strands: Vec<Strand>,
    http: Vec<HttpTalk>,
    level: u32,
    last: u32,
    max_conversations: usize,
    max_strands: usize,
    /// Packets of conversations that the sample left out.
    left_out: u64,
}

/// Mixes 64 bits well (the finaliser of splitmix64, Steele and others 2014).
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hash of an address.
#[inline]
pub fn hash_address(address: Ipv6Addr) -> u64 {
    let bits = address.to_bits();
    mix(bits as u64 ^ mix((bits >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15))
}

/// One of 64 bins for a port.
#[inline]
pub fn port_bin(port: u16) -> u64 {
    1 << (u64::from(port).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// How many distinct values filled these bins: linear counting (Whang and others 1990). `None` when nearly all are full,
/// which happens beyond about four values per bin.
pub fn distinct_of_bins(bins: &[u64]) -> Option<f64> {
    let size = bins.len() as f64 * 64.0;
    let empty = bins.iter().map(|word| word.count_zeros()).sum::<u32>();
    if f64::from(empty) <= size / 64.0 {
        None
    } else {
        Some(size * (size / f64::from(empty)).ln())
    }
}

/// Whether the pair is in the sample of one in 2^level.
pub fn in_sample(a: Ipv6Addr, b: Ipv6Addr, level: u32) -> bool {
    level == 0 || Conversations::pair_hash(a, b) >> (64 - level.min(63)) == 0
}

impl Default for Conversations {
    fn default() -> Self {
        Conversations::with_limits(MAX_CONVERSATIONS, MAX_EXTRA_STRANDS)
    }
}

impl Conversations {
    /// A table with its own limits (tests use small ones).
    pub fn with_limits(max_conversations: usize, max_strands: usize) -> Conversations {
        Conversations {
            slots: vec![0; 1 << 12],
            all: Vec::new(),
            strands: Vec::new(),
            http: Vec::new(),
            level: 0,
            last: NONE,
            max_conversations,
            max_strands,
            left_out: 0,
        }
    }

    /// The sampling level: 0 while every conversation is kept, else one in 2^level is.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Packets of conversations that the sample left out. They are still counted per target.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Number of conversations kept.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A conversation by its number.
    pub fn get(&self, index: usize) -> &Conversation {
        &self.all[index]
    }

    /// The strands of a conversation.
    pub fn strands(&self, index: usize) -> impl Iterator<Item = &Strand> + Clone {
        let first = &self.all[index].strand;
        std::iter::successors(Some(first), |strand| self.strands.get(strand.next as usize))
    }

    /// What the pair said in HTTP, if anything.
    pub fn http(&self, index: usize) -> Option<&HttpTalk> {
        self.http.get(self.all[index].http as usize)
    }

    /// The hash by which a pair is found and sampled: equal for both directions.
    #[inline]
    pub fn pair_hash(src: Ipv6Addr, dst: Ipv6Addr) -> u64 {
        let (a, b) = (hash_address(src), hash_address(dst));
        mix(a.wrapping_add(b) ^ a.rotate_left(32) ^ b.rotate_left(32))
    }

    /// Adds many records. `hashes` is working space that the caller keeps.
    ///
    /// The loop is written so that the cache misses of neighbouring records overlap: first all hashes are computed, then
    /// all slots are read (independent loads, which the processor runs in parallel), and only then is each record
    /// looked up, by which time its slot is near. Records of the conversation that was touched last skip the lookup.
    pub fn add_all(&mut self, touches: &[Touch], hashes: &mut Vec<u64>) {
        hashes.clear();
        hashes.extend(touches.iter().map(|touch| Self::pair_hash(touch.src, touch.dst)));
        const GROUP: usize = 32;
        for (touches, hashes) in touches.chunks(GROUP).zip(hashes.chunks(GROUP)) {
            let mask = self.slots.len() - 1;
            let mut near = 0;
            let mut at = [0u32; GROUP];
            for (index, hash) in at.iter_mut().zip(hashes) {
                // A pair that the sample leaves out is not looked up.
                let slot = if self.kept(*hash) {
                    *hash as usize & mask
                } else {
                    0
                };
                *index = self.slots[slot] as u32;
            }
            for index in at {
                near ^= self
                    .all
                    .get((index as usize).wrapping_sub(1))
                    .map_or(0, |c| c.hash ^ c.strand.packets);
            }
            std::hint::black_box(near);
            for (touch, hash) in touches.iter().zip(hashes) {
                self.add(touch, *hash);
            }
        }
    }

    /// Adds one record under its [`pair_hash`](Conversations::pair_hash).
    #[inline]
    fn add(&mut self, touch: &Touch, hash: u64) {
        if !self.kept(hash) {
            self.left_out += touch.packets;
            return;
        }
        let (low, high) = if touch.src <= touch.dst {
            (touch.src, touch.dst)
        } else {
            (touch.dst, touch.src)
        };
        let forward = touch.src == low;
        if let Some(last) = self.all.get(self.last as usize)
            && last.low == low
            && last.high == high
        {
            let index = self.last;
            self.touch(index, touch, forward);
            return;
        }
        match self.find(low, high, hash) {
            Some(index) => {
                self.last = index;
                self.touch(index, touch, forward);
            }
            None => self.insert(low, high, hash, touch, forward),
        }
    }

    #[inline]
    fn kept(&self, hash: u64) -> bool {
        self.level == 0 || hash >> (64 - self.level) == 0
    }

    #[inline]
    fn find(&self, low: Ipv6Addr, high: Ipv6Addr, hash: u64) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let tag = slot_tag(hash);
        let mut at = hash as usize & mask;
        for _ in 0..MAX_PROBES {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == tag {
                let index = slot as u32 - 1;
                let found = &self.all[index as usize];
                if found.low == low && found.high == high {
                    return Some(index);
                }
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn touch(&mut self, index: u32, touch: &Touch, forward: bool) {
        let first = &mut self.all[index as usize].strand;
        if first.vector == touch.vector && first.forward == forward {
            first.add(touch);
            return;
        }
        let mut next = first.next;
        while next != NONE {
            let strand = &mut self.strands[next as usize];
            if strand.vector == touch.vector && strand.forward == forward {
                strand.add(touch);
                return;
            }
            next = strand.next;
        }
        // A new strand goes to the front of the chain, behind the one that lives in the conversation itself.
        let mut new = Strand::of(touch, forward);
        new.next = first.next;
        first.next = self.strands.len() as u32;
        self.strands.push(new);
        if self.strands.len() > self.max_strands {
            self.raise_level();
        }
    }

    fn insert(&mut self, low: Ipv6Addr, high: Ipv6Addr, hash: u64, touch: &Touch, forward: bool) {
        if (self.all.len() + 1) * 2 > self.slots.len() {
            self.rebuild_slots(self.slots.len() * 2);
        }
        let index = self.all.len() as u32;
        self.all.push(Conversation {
            low,
            high,
            hash,
            http: NONE,
            strand: Strand::of(touch, forward),
        });
        self.last = index;
        if !self.place(hash, index) {
            // Dozens of pairs with neighbouring hashes do not happen by chance: somebody chose them. Left out, and counted.
            self.all.pop();
            self.last = NONE;
            self.left_out += touch.packets;
        } else if self.all.len() > self.max_conversations {
            self.raise_level();
        }
    }

    /// Puts an index into the first free slot; false where the chain is too long.
    fn place(&mut self, hash: u64, index: u32) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        for _ in 0..MAX_PROBES {
            if self.slots[at] == 0 {
                self.slots[at] = slot_tag(hash) << 32 | u64::from(index + 1);
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    fn rebuild_slots(&mut self, size: usize) {
        self.slots.clear();
        self.slots.resize(size, 0);
        for index in 0..self.all.len() {
            let hash = self.all[index].hash;
            self.place(hash, index as u32);
        }
    }

    /// Halves what is kept, again and again until it fits, and counts what it drops.
    fn raise_level(&mut self) {
        loop {
            self.level += 1;
            let level = self.level;
            let mut strands = Vec::with_capacity(self.strands.len() / 2);
            let mut http = Vec::new();
            let mut dropped = 0;
            let (old_strands, old_http) = (&self.strands, &self.http);
            self.all.retain_mut(|conversation| {
                let keep = conversation.hash >> (64 - level) == 0;
                let mut next = conversation.strand.next;
                if keep {
                    let mut previous = None;
                    while next != NONE {
                        let strand = old_strands[next as usize];
                        let at = strands.len() as u32;
                        strands.push(strand);
                        match previous {
                            None => conversation.strand.next = at,
                            Some(p) => {
                                let p: &mut Strand = &mut strands[p as usize];
                                p.next = at;
                            }
                        }
                        previous = Some(at);
                        next = strand.next;
                    }
                    if conversation.http != NONE {
                        http.push(old_http[conversation.http as usize]);
                        conversation.http = http.len() as u32 - 1;
                    }
                } else {
                    dropped += conversation.strand.packets;
                    while next != NONE {
                        dropped += old_strands[next as usize].packets;
                        next = old_strands[next as usize].next;
                    }
                }
                keep
            });
            self.left_out += dropped;
            self.strands = strands;
            self.http = http;
            self.last = NONE;
            self.rebuild_slots(self.slots.len());
            if level == 63
                || (self.all.len() <= self.max_conversations && self.strands.len() <= self.max_strands)
            {
                return;
            }
        }
    }

    /// Where to count what this pair says in HTTP; `None` when the pair is not kept or the limit is reached.
    pub fn http_mut(&mut self, src: Ipv6Addr, dst: Ipv6Addr) -> Option<&mut HttpTalk> {
        let (low, high) = if src <= dst { (src, dst) } else { (dst, src) };
        let index = self.find(low, high, Self::pair_hash(src, dst))? as usize;
        if self.all[index].http == NONE {
            if self.http.len() >= MAX_HTTP {
                return None;
            }
            self.all[index].http = self.http.len() as u32;
            self.http.push(HttpTalk::default());
        }
        self.http.get_mut(self.all[index].http as usize)
    }
}

#[inline]
fn slot_tag(hash: u64) -> u64 {
    (hash >> 24) & 0xffff_ffff
}

impl Strand {
    fn of(touch: &Touch, forward: bool) -> Strand {
        Strand {
            first_ns: touch.first_ns,
            last_ns: touch.last_ns,
            packets: touch.packets,
            bytes: touch.bytes,
            src_ports: touch.src_port_bin,
            dst_ports: touch.dst_port_bin,
            next: NONE,
            vector: touch.vector,
            forward,
            ttl_min: if touch.ttl == 0 { 255 } else { touch.ttl },
            ttl_max: touch.ttl,
            ttl_first: touch.ttl,
            saw: touch.saw,
            window: touch.window,
            options: touch.options,
        }
    }

    #[inline]
    fn add(&mut self, touch: &Touch) {
        if touch.first_ns < self.first_ns {
            self.first_ns = touch.first_ns;
            self.ttl_first = touch.ttl;
            (self.window, self.options) = (touch.window, touch.options);
        }
        self.last_ns = self.last_ns.max(touch.last_ns);
        self.packets = self.packets.saturating_add(touch.packets);
        self.bytes = self.bytes.saturating_add(touch.bytes);
        self.src_ports |= touch.src_port_bin;
        self.dst_ports |= touch.dst_port_bin;
        if touch.ttl != 0 {
            self.ttl_min = self.ttl_min.min(touch.ttl);
            self.ttl_max = self.ttl_max.max(touch.ttl);
        }
        self.saw |= touch.saw;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Ipv6Addr {
        std::net::Ipv4Addr::from(n).to_ipv6_mapped()
    }

    fn touch(src: u32, dst: u32, at: u64) -> Touch {
        Touch {
            src: address(src),
            dst: address(dst),
            first_ns: at,
            last_ns: at,
            packets: 1,
            bytes: 40,
            vector: Vector::SynFlood,
            ttl: 60,
            saw: 0,
            window: 0,
            options: 0,
            src_port_bin: port_bin(src as u16),
            dst_port_bin: port_bin(80),
        }
    }

    #[test]
    fn both_directions_are_one_conversation() {
        let mut table = Conversations::default();
        let answer = Touch {
            vector: Vector::SynackReflection,
            ..touch(2, 1, 7)
        };
        table.add_all(&[touch(1, 2, 5), answer, touch(1, 2, 9)], &mut Vec::new());
        assert_eq!(table.len(), 1);
        let strands: Vec<_> = table
            .strands(0)
            .map(|s| (s.vector, s.forward, s.packets, s.first_ns, s.last_ns))
            .collect();
        assert_eq!(
            strands,
            [
                (Vector::SynFlood, true, 2, 5, 9),
                (Vector::SynackReflection, false, 1, 7, 7)
            ]
        );
    }

    #[test]
    fn the_sample_does_not_depend_on_order_and_counts_what_it_leaves_out() {
        let mut touches: Vec<_> = (0..5000u32)
            .flat_map(|i| [touch(1000 + i, 1, 1), touch(1000 + i, 1, 2)])
            .collect();
        let kept = |touches: &[Touch]| {
            let mut table = Conversations::with_limits(300, 300);
            for chunk in touches.chunks(64) {
                table.add_all(chunk, &mut Vec::new());
            }
            let mut all: Vec<_> = (0..table.len())
                .map(|i| (table.get(i).high, table.strands(i).count()))
                .collect();
            all.sort_unstable();
            let packets: u64 = (0..table.len())
                .flat_map(|i| table.strands(i))
                .map(|s| s.packets)
                .sum();
            assert_eq!(packets + table.left_out(), touches.len() as u64);
            let exact = (0..table.len()).all(|i| table.strands(i).all(|s| s.packets == 2));
            assert!(exact, "a kept conversation is counted from its first packet");
            (all, table.level())
        };
        let forwards = kept(&touches);
        touches.reverse();
        let backwards = kept(&touches);
        assert_eq!(forwards, backwards);
        let estimate = forwards.0.len() << forwards.1;
        assert!((3500..6500).contains(&estimate), "{estimate} estimated of 5000");
    }

    #[test]
    fn chained_strands_survive_sampling() {
        let mut table = Conversations::with_limits(50, 10_000);
        for i in 0..400u32 {
            for vector in [Vector::SynFlood, Vector::AckFlood, Vector::RstFlood] {
                table.add_all(
                    &[Touch {
                        vector,
                        ..touch(1000 + i, 1, 1)
                    }],
                    &mut Vec::new(),
                );
            }
        }
        assert!(table.level() > 0);
        for i in 0..table.len() {
            assert_eq!(table.strands(i).count(), 3);
        }
    }

    #[test]
    fn linear_counting_is_close() {
        let mut bins = [0u64; 4];
        for i in 0..200u64 {
            let h = mix(i) % 256;
            bins[h as usize / 64] |= 1 << (h % 64);
        }
        let estimate = distinct_of_bins(&bins).unwrap();
        assert!((170.0..230.0).contains(&estimate), "{estimate}");
        assert_eq!(distinct_of_bins(&[u64::MAX]), None);
    }
}
