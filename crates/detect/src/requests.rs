//! Attacks over completed connections: floods of HTTP requests, and connections kept open with unfinished ones.
//!
//! The sources of these are real, and each request alone is harmless. What gives them away is what clients do not do: ask
//! for the same page under a thousand random names, change the browser with every request, ask and never take the
//! answer, or never finish asking. One such sign is not enough ([`Signs::attack`]): caches are busted by scripts too, and
//! many people share an address.

use std::net::Ipv6Addr;

use crate::conversation::{HttpTalk, distinct_of_bins};
use crate::exchange::Exchange;
use crate::judge::{Part, Sender, join_senders, sender};
use crate::lane::{Cell, Lane, Look};
use crate::tally::Tally;
use crate::vector::{Transport, Vector};

/// Requests below which nothing is said.
const REQUESTS_MIN: u64 = 100;
/// Unfinished request heads below which nothing is said.
const UNFINISHED_MIN: u64 = 50;

/// A suspicion over completed connections that has become firm.
#[derive(Clone, Debug)]
pub struct Suspect {
    vector: Vector,
    requests: u64,
    senders: Vec<Sender>,
    packets: u64,
    bytes: u64,
    why: String,
}

/// What clients do not do.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    /// Nearly every request has another query on the same few pages.
    cache_busting: bool,
    /// One address changes its User-Agent all the time.
    agent_rotation: bool,
    /// Most requests got no answer though the server's packets were captured.
    unanswered: bool,
    /// Many clients ask for one single page again and again.
    herd: bool,
    /// A hundred requests in the strongest second, or twenty a second from each client.
    fast: bool,
    /// One client asks for one single thing hundreds of times, fast.
    hammering: bool,
}

impl Signs {
    fn attack(&self) -> bool {
        let signs = [
            self.cache_busting,
            self.agent_rotation,
            self.unanswered,
            self.herd,
            self.fast,
            self.hammering,
        ];
        signs.iter().filter(|&&sign| sign).count() >= 2
    }

    fn words(&self) -> String {
        let all = [
            (
                self.cache_busting,
                "nearly every request has another query on the same page",
            ),
            (self.agent_rotation, "one address shows many browsers"),
            (self.unanswered, "most requests got no answer"),
            (self.herd, "many clients ask for one page again and again"),
            (self.fast, "far faster than people click"),
            (self.hammering, "one client asks for one thing without pause"),
        ];
        let said: Vec<_> = all
            .iter()
            .filter(|(sign, _)| *sign)
            .map(|(_, words)| *words)
            .collect();
        said.join("; ")
    }
}

/// Looks at the HTTP that a host's clients speak. `members` are the host's conversations.
pub fn examine(tally: &Tally, address: Ipv6Addr, members: &[(u32, u32)], lanes: &[&Lane]) -> Option<Suspect> {
    let conversations = tally.conversations();
    let mut talks: Vec<(usize, HttpTalk, Exchange)> = Vec::new();
    for &(_, index) in members {
        let index = index as usize;
        let Some(talk) = conversations.http(index).filter(|talk| talk.requests > 0) else {
            continue;
        };
        let target_is_low = conversations.get(index).low == address;
        let asks = conversations
            .strands(index)
            .any(|s| s.vector == Vector::HttpFlood && s.forward != target_is_low);
        if asks {
            talks.push((
                index,
                *talk,
                Exchange::of(conversations.strands(index), target_is_low),
            ));
        }
    }
    let lane = lanes.iter().find(|lane| lane.vector == Vector::HttpFlood)?;
    slow(tally, address, &talks, lane.bytes / lane.packets.max(1)).or_else(|| {
        let cells = lane.cells();
        flood(tally, address, &talks, &cells)
    })
}

/// Unfinished requests, or bodies that come by the byte.
fn slow(
    tally: &Tally,
    address: Ipv6Addr,
    talks: &[(usize, HttpTalk, Exchange)],
    head_bytes: u64,
) -> Option<Suspect> {
    let unfinished = |talk: &HttpTalk| talk.whole > 0 && talk.unfinished * 5 >= talk.whole * 4;
    let starved = |talk: &HttpTalk| talk.good_responses * 5 < talk.requests;
    let heads: Vec<_> = talks
        .iter()
        .filter(|(_, talk, _)| unfinished(talk) && starved(talk))
        .collect();
    let count: u64 = heads.iter().map(|(_, talk, _)| talk.unfinished).sum();
    let all: u64 = talks.iter().map(|(_, talk, _)| talk.requests).sum();
    // Large first packets are heads with long cookies that continue in a second packet.
    if count >= UNFINISHED_MIN && count * 2 >= all && head_bytes < 700 {
        let why = format!(
            "{count} of {all} requests began and did not end: the connections are kept open by never finishing"
        );
        return Some(suspect(
            tally,
            address,
            Vector::Slowloris,
            count,
            heads.iter().map(|(i, ..)| *i),
            why,
        ));
    }
    let drips = |index: usize, talk: &HttpTalk| {
        let target_is_low = tally.conversations().get(index).low == address;
        let body = tally
            .conversations()
            .strands(index)
            .find(|s| s.forward != target_is_low && s.vector == Vector::PshAckFlood);
        body.is_some_and(|s| {
            talk.posts > 0 && s.packets >= 4 * talk.posts && s.bytes / s.packets.max(1) < 120
        })
    };
    let posts: Vec<_> = talks
        .iter()
        .filter(|(i, talk, _)| drips(*i, talk) && starved(talk))
        .collect();
    let count: u64 = posts.iter().map(|(_, talk, _)| talk.posts).sum();
    if count >= UNFINISHED_MIN && count * 2 >= all {
        let why = format!("{count} of {all} requests announce a body and then send it a few bytes at a time");
        return Some(suspect(
            tally,
            address,
            Vector::SlowPost,
            count,
            posts.iter().map(|(i, ..)| *i),
            why,
        ));
    }
    None
}

fn flood(
    tally: &Tally,
    address: Ipv6Addr,
    talks: &[(usize, HttpTalk, Exchange)],
    cells: &[Cell],
) -> Option<Suspect> {
    let requests: u64 = talks.iter().map(|(_, talk, _)| talk.requests).sum();
    if requests < REQUESTS_MIN || talks.is_empty() {
        return None;
    }
    let sum = |field: fn(&HttpTalk) -> u64| talks.iter().map(|(_, talk, _)| field(talk)).sum::<u64>();
    let union = |field: fn(&HttpTalk) -> u64| talks.iter().fold(0, |bits, (_, talk, _)| bits | field(talk));
    let mut targets = [0u64; 4];
    for (_, talk, _) in talks {
        targets
            .iter_mut()
            .zip(talk.targets)
            .for_each(|(all, some)| *all |= some);
    }
    let distinct = distinct_of_bins(&targets).unwrap_or(f64::INFINITY);
    let paths = distinct_of_bins(&[union(|talk| talk.paths)]).unwrap_or(f64::INFINITY);
    let seconds = cells.last()?.second - cells.first()?.second + 1;
    let per_client = requests as f64 / talks.len() as f64 / f64::from(seconds);
    let peak = cells.iter().map(|cell| cell.packets).max().unwrap_or(0);
    let speaks = talks.iter().any(|(.., exchange)| exchange.outgoing.packets > 0);
    let rotating = talks
        .iter()
        .filter(|(_, talk, _)| {
            talk.requests >= 30 && distinct_of_bins(&[talk.agents]).is_none_or(|agents| agents >= 8.0)
        })
        .map(|(_, talk, _)| talk.requests)
        .sum::<u64>();
    let signs = Signs {
        cache_busting: sum(|talk| talk.queries) * 5 >= requests * 4
            && paths <= 3.5
            && distinct >= 0.7 * (requests as f64).min(800.0),
        agent_rotation: rotating * 2 >= requests,
        unanswered: speaks && sum(|talk| talk.responses) * 2 < requests,
        herd: talks.len() >= 30 && paths <= 2.5 && requests >= 5 * talks.len() as u64,
        fast: peak >= 100 || per_client >= 20.0,
        hammering: talks.iter().any(|(_, talk, _)| {
            talk.requests >= 500
                && talk.targets.iter().map(|word| word.count_ones()).sum::<u32>() == 1
                && talk.requests as f64 / f64::from(seconds) >= 50.0
        }),
    };
    if !signs.attack() {
        return None;
    }
    // Clients that ask less than a tenth of the mean are the audience that was there anyway.
    let mean = requests / talks.len() as u64;
    let loud = talks
        .iter()
        .filter(|(_, talk, _)| talk.requests * 10 >= mean)
        .map(|(i, ..)| *i);
    let clients = if talks.len() == 1 {
        "one client".to_owned()
    } else {
        format!("{} clients", talks.len())
    };
    let why = format!("{requests} requests from {clients}: {}", signs.words());
    Some(suspect(tally, address, Vector::HttpFlood, requests, loud, why))
}

/// All TCP packets that these conversations sent to the target.
fn suspect(
    tally: &Tally,
    address: Ipv6Addr,
    vector: Vector,
    requests: u64,
    conversations: impl Iterator<Item = usize>,
    why: String,
) -> Suspect {
    let table = tally.conversations();
    let (mut packets, mut bytes, mut senders) = (0, 0, Vec::new());
    for index in conversations {
        let conversation = table.get(index);
        let target_is_low = conversation.low == address;
        let peer = if target_is_low {
            conversation.high
        } else {
            conversation.low
        };
        let exchange = Exchange::of(table.strands(index), target_is_low);
        for strand in table.strands(index) {
            if strand.forward != target_is_low && strand.vector.transport() == Transport::Tcp {
                packets += strand.packets;
                bytes += strand.bytes;
                senders.push(sender(peer, strand, &exchange));
            }
        }
    }
    Suspect {
        vector,
        requests,
        senders: join_senders(&[&senders]),
        packets,
        bytes,
        why,
    }
}

impl Suspect {
    /// As a part of an attack. `cells` are the seconds of all TCP to the target; the attack's packets are spread over them in
    /// proportion. `look` is that of the requests.
    pub fn part(self, cells: &[Cell], look: Look) -> Part {
        let whole: u64 = cells.iter().map(|cell| cell.packets).sum::<u64>().max(1);
        let share = |of: u64, n: u64| (u128::from(of) * u128::from(n) / u128::from(whole)) as u64;
        let cells = cells
            .iter()
            .map(|c| Cell {
                second: c.second,
                packets: share(self.packets, c.packets),
                bytes: share(self.bytes, c.packets),
            })
            .collect();
        Part {
            vector: self.vector,
            packets: self.packets,
            bytes: self.bytes,
            requests: Some(self.requests),
            first_ns: self.senders.iter().map(|s| s.first_ns).min().unwrap_or(0),
            last_ns: self.senders.iter().map(|s| s.last_ns).max().unwrap_or(0),
            cells,
            senders: self.senders,
            look,
            // Request heads are read in captured packets, which are all there or sampled as the case says.
            sampling: 1.0,
            companions: 0,
            why: self.why,
        }
    }
}
