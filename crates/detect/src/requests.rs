//! Attacks over completed connections: floods of HTTP requests, and connections kept open with unfinished ones.
//!
//! The sources of these are real, and each request alone is harmless. What gives them away is what clients do not do: ask
//! for the same page under a thousand random names, change the browser with every request, ask and never take the
//! answer, or never finish asking. One such sign is not enough ([`Signs::attack`]): caches are busted by scripts too, and
//! many people share an address.
//!
//! The signs are asked of groups of clients that behave alike beside everybody else, and of all clients together where no group stands out:
//! then nobody else is there, or too few to tell.

use std::net::Ipv6Addr;

use crate::alike::{self, GROUP_MIN, OTHERS_MIN, Shape, Talk};
use crate::conversation::{HttpTalk, distinct_of_bins};
use crate::exchange::Exchange;
use crate::judge::{Options, Part, SAMPLED_FROM, Sender, join_senders, sender, sum_cells};
use crate::lane::{Cell, Lane, Look, second_of};
use crate::tally::Tally;
use crate::vector::{Transport, Vector};

/// Requests below which nothing is said.
const REQUESTS_MIN: u64 = 100;
/// Unfinished request heads below which nothing is said.
const UNFINISHED_MIN: u64 = 50;
/// Requests for one page in one second that no person makes: a double click makes two.
const BURST: u16 = 3;
/// How long connections with unfinished requests last on average, at least, beside an audience: being held open is the attack. A request
/// whose second packet is late is finished or given up sooner.
const HELD_NS: u64 = 10_000_000_000;
/// How soon after the beginning of an input a client is seen that was there before: bots of a flood that runs ask again within seconds.
const THERE_NS: u64 = 10_000_000_000;
/// Groups of one host that are asked, the loudest first. An attack of one program has one, or one for each of its pages.
const MAX_GROUPS: usize = 64;
/// Part of a group that may be others who behave like it: they ask little, so that they are a smaller part of its packets.
const OF_OTHERS: f64 = 0.05;

/// A suspicion over completed connections that has become firm.
#[derive(Clone, Debug)]
pub struct Suspect {
    vector: Vector,
    requests: u64,
    senders: Vec<Sender>,
    packets: u64,
    bytes: u64,
    first_ns: u64,
    last_ns: u64,
    cells: Vec<Cell>,
    why: String,
}

/// What clients do not do.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    /// Nearly every request has another query on the same few pages.
    cache_busting: bool,
    /// Nothing but posts to the same few pages.
    posts: bool,
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
    /// The clients began all at once, and the others did not.
    together: bool,
    /// A flood is known to run, and most of the clients were there when the input began.
    running: bool,
    /// Most of the clients ask for the same page several times in one second.
    bursts: bool,
    /// They ask more than all others together in the same time.
    outnumber: bool,
    /// Most of what they ask is refused, while the others are served.
    refused: bool,
    /// The others were served before they came, and no longer are.
    harm: bool,
}

impl Signs {
    /// Signs that clients give by themselves.
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

    /// Signs of a group beside others. To behave alike is one, which apps that poll a server show too; to begin together is another,
    /// which crowds show. Those that do both are still no attack as long as they ask at a person's pace, less than everybody else, get
    /// what they ask for and harm nobody. When a known flood began is not in this input: then two of these must stand for it.
    fn attack_beside_others(&self) -> bool {
        let alike = self.cache_busting || self.posts || self.herd;
        let grave = [
            self.bursts,
            self.outnumber,
            self.unanswered,
            self.refused,
            self.harm,
            self.agent_rotation,
        ];
        let grave = grave.iter().filter(|&&sign| sign).count();
        alike && (self.together && grave >= 1 || self.running && grave >= 2)
    }

    fn words(&self) -> String {
        let all = [
            (
                self.cache_busting,
                "nearly every request has another query on the same page",
            ),
            (self.posts, "nothing but posts to the same page"),
            (self.agent_rotation, "one address shows many browsers"),
            (self.unanswered, "most requests got no answer"),
            (self.herd, "many clients ask for one page again and again"),
            (self.fast, "far faster than people click"),
            (self.hammering, "one client asks for one thing without pause"),
            (self.together, "they began all at once, the others did not"),
            (self.running, "they go on with a flood that was known"),
            (self.bursts, "most of them ask several times in one second"),
            (self.outnumber, "they ask more than all others together"),
            (self.refused, "most of it is refused while others are served"),
            (self.harm, "others were served before and no longer are"),
        ];
        let said: Vec<_> = all
            .iter()
            .filter(|(sign, _)| *sign)
            .map(|(_, words)| *words)
            .collect();
        said.join("; ")
    }
}

/// One host, and what its clients say.
struct Scene<'a> {
    tally: &'a Tally,
    address: Ipv6Addr,
    /// The host's conversations.
    members: &'a [(u32, u32)],
    talks: Vec<Talk>,
    /// All TCP to the host by second.
    tcp: Vec<Cell>,
    /// An HTTP flood is known to run.
    runs: bool,
    /// Only a sample of the packets was observed. A request and its answer are then hardly ever both seen, so that nothing can be said
    /// of what was answered.
    sampled: bool,
}

/// Clients that are accused.
struct Accused {
    vector: Vector,
    /// Their conversations.
    conversations: Vec<usize>,
    requests: u64,
    /// When they began and ended, where that is known better than by the first and the last of them.
    from_ns: Option<u64>,
    to_ns: Option<u64>,
    why: String,
}

/// Looks at the HTTP that a host's clients speak. `members` are the host's conversations.
pub fn examine(
    tally: &Tally,
    address: Ipv6Addr,
    members: &[(u32, u32)],
    lanes: &[&Lane],
    options: &Options,
) -> Vec<Suspect> {
    let Some(heads) = lanes.iter().find(|lane| lane.vector == Vector::HttpFlood) else {
        return Vec::new();
    };
    let talks = alike::talks(tally, address, members);
    if talks.is_empty() {
        return Vec::new();
    }
    let tcp: Vec<Vec<Cell>> = lanes
        .iter()
        .filter(|lane| lane.vector.transport() == Transport::Tcp)
        .map(|lane| lane.cells())
        .collect();
    let tcp: Vec<&[Cell]> = tcp.iter().map(Vec::as_slice).collect();
    let scene = Scene {
        tally,
        address,
        members,
        talks,
        tcp: sum_cells(&tcp),
        runs: options.runs(address, Vector::HttpFlood),
        sampled: heads.sampling() >= SAMPLED_FROM,
    };
    let mut accused: Vec<Accused> = Vec::new();
    accused.extend(scene.slow());
    let beside = scene.beside_others(accused.first());
    if beside.is_none() && accused.is_empty() {
        accused.extend(scene.flood(&heads.cells()));
    }
    accused.extend(beside);
    accused
        .into_iter()
        .map(|accused| scene.suspect(accused))
        .collect()
}

/// Requests of these clients.
fn requests<'a>(talks: impl Iterator<Item = &'a Talk>) -> u64 {
    talks.map(|talk| talk.http.requests).sum()
}

/// Whether so many requests that got so many good answers were served, for the most part.
fn served(requests: u64, good: u64) -> bool {
    good * 5 >= requests * 4
}

/// Whether clients that were served before no longer are: one request in ten goes wrong, which people notice, and five times as many as
/// before. Both are requests and good answers.
fn harmed(before: (u64, u64), during: (u64, u64)) -> bool {
    let failed = |(requests, good): (u64, u64)| requests.saturating_sub(good);
    let more = u128::from(failed(during)) * u128::from(before.0)
        >= 5 * u128::from(failed(before)) * u128::from(during.0);
    served(before.0, before.1) && during.0 > 0 && failed(during) * 10 >= during.0 && more
}

/// Requests and good answers of these clients.
fn answers(talks: &[&Talk]) -> (u64, u64) {
    talks.iter().fold((0, 0), |(requests, good), talk| {
        (requests + talk.http.requests, good + talk.http.good_responses)
    })
}

/// Positions of talks as a mask.
fn mask(of: &[usize], all: usize) -> Vec<bool> {
    let mut mask = vec![false; all];
    of.iter().for_each(|&at| mask[at] = true);
    mask
}

/// Clients, with when each began and when it was last there, both in order.
struct Others<'a> {
    talks: Vec<&'a Talk>,
    starts: Vec<u64>,
    ends: Vec<u64>,
}

impl<'a> Others<'a> {
    fn of(talks: Vec<&'a Talk>) -> Others<'a> {
        let sorted = |time: fn(&Talk) -> u64| {
            let mut times: Vec<u64> = talks.iter().map(|talk| time(talk)).collect();
            times.sort_unstable();
            times
        };
        let (starts, ends) = (sorted(|talk| talk.first_ns), sorted(|talk| talk.last_ns));
        Others { talks, starts, ends }
    }
}

impl Scene<'_> {
    /// Unfinished requests, or bodies that come by the byte.
    fn slow(&self) -> Option<Accused> {
        let starved = |talk: &HttpTalk| talk.good_responses * 5 < talk.requests;
        let unfinished = |talk: &Talk| {
            let http = &talk.http;
            http.whole > 0 && http.unfinished * 5 >= http.whole * 4 && starved(http)
        };
        // Packets after the head, for each body, and their size.
        let drips = |talk: &Talk, packets: u64| {
            let target_is_low = self.tally.conversations().get(talk.index).low == self.address;
            let body = self
                .tally
                .conversations()
                .strands(talk.index)
                .find(|s| s.forward != target_is_low && s.vector == Vector::PshAckFlood);
            let by_the_byte = body.is_some_and(|s| {
                talk.http.posts > 0
                    && s.packets >= packets * talk.http.posts
                    && s.bytes / s.packets.max(1) < 120
            });
            by_the_byte && starved(&talk.http)
        };
        let all = requests(self.talks.iter());
        let of = |is: &dyn Fn(&Talk) -> bool| -> Vec<usize> {
            (0..self.talks.len()).filter(|&at| is(&self.talks[at])).collect()
        };
        let heads = of(&unfinished);
        let count: u64 = heads.iter().map(|&at| self.talks[at].http.unfinished).sum();
        let (packets, bytes) = heads.iter().fold((0, 0), |(packets, bytes), &at| {
            let (p, b) = self.talks[at].heads;
            (packets + p, bytes + b)
        });
        // Large first packets are heads with long cookies that continue in a second packet.
        let is_small = bytes / packets.max(1) < 700;
        if count >= UNFINISHED_MIN && is_small && (count * 2 >= all || self.holds_open(&heads)) {
            let why = format!(
                "{count} of {all} requests began and did not end: the connections are kept open by never finishing"
            );
            return Some(self.accuse(Vector::Slowloris, heads, count, why));
        }
        if self.sampled {
            return None;
        }
        let many = of(&|talk| drips(talk, 4));
        // Many programs send a head and a small body in two packets. They get an answer, be it an error, or do not wait so long.
        let waiting = of(&|talk| drips(talk, 1) && talk.http.responses * 5 < talk.http.requests);
        let count = |of: &[usize]| of.iter().map(|&at| self.talks[at].http.posts).sum::<u64>();
        let is_most = count(&many) * 2 >= all;
        let posts = if is_most || count(&many) >= count(&waiting) {
            many
        } else {
            waiting
        };
        let count = count(&posts);
        if count >= UNFINISHED_MIN && (is_most || self.holds_open(&posts)) {
            let why =
                format!("{count} of {all} requests announce a body and then send it a few bytes at a time");
            return Some(self.accuse(Vector::SlowPost, posts, count, why));
        }
        None
    }

    /// Whether clients whose requests are not answered stay all the same, while the host answers the requests of others and what it
    /// sends to these was captured: so it is not down, and its answers are not missing from the capture.
    fn holds_open(&self, clients: &[usize]) -> bool {
        let is_one = mask(clients, self.talks.len());
        let others = || {
            (0..is_one.len())
                .filter(|&at| !is_one[at])
                .map(|at| &self.talks[at])
        };
        let answered = others().filter(|talk| talk.http.good_responses > 0).count();
        let lasts = clients.iter().map(|&at| {
            let talk = &self.talks[at];
            u128::from(talk.last_ns.saturating_sub(talk.first_ns))
        });
        let heard = clients.iter().filter(|&&at| self.talks[at].speaks).count();
        answered >= OTHERS_MIN
            && heard * 2 >= clients.len()
            && lasts.sum::<u128>() >= u128::from(HELD_NS) * clients.len() as u128
    }

    /// Accuses clients, and looks for when they began and ended together.
    fn accuse(&self, vector: Vector, mut clients: Vec<usize>, requests: u64, why: String) -> Accused {
        let others = self.others(&clients);
        let (from_ns, to_ns) = self.edges(&clients, &others);
        if let Some(from) = from_ns {
            clients.retain(|&at| self.talks[at].first_ns >= from);
        }
        Accused {
            vector,
            conversations: clients.iter().map(|&at| self.talks[at].index).collect(),
            requests,
            from_ns,
            to_ns,
            why,
        }
    }

    /// All clients but these.
    fn others(&self, clients: &[usize]) -> Others<'_> {
        let is_one = mask(clients, self.talks.len());
        let talks = self.talks.iter().zip(is_one);
        Others::of(
            talks
                .filter(|(_, is_one)| !is_one)
                .map(|(talk, _)| talk)
                .collect(),
        )
    }

    /// When the input began.
    fn since(&self) -> u64 {
        self.tally.first_ns().unwrap_or(0)
    }

    /// When clients began and ended all at once, beside others.
    fn edges(&self, clients: &[usize], others: &Others<'_>) -> (Option<u64>, Option<u64>) {
        let own: Vec<&Talk> = clients.iter().map(|&at| &self.talks[at]).collect();
        let own = Others::of(own);
        let from = alike::edge(&own.starts, &others.starts, self.since());
        let to = alike::edge_down(&own.ends, &others.ends, self.tally.last_ns());
        (from.map(|(at, _)| at), to)
    }

    /// Groups of clients that behave alike and began together, beside everybody else. Who is accused of slow requests already asks for
    /// one page without end too, and is not accused twice.
    fn beside_others(&self, slow: Option<&Accused>) -> Option<Accused> {
        let is_slow = |at: usize| {
            let of = slow.map(|slow| slow.conversations.as_slice());
            of.is_some_and(|slow| slow.binary_search(&self.talks[at].index).is_ok())
        };
        let mut groups = alike::groups(&self.talks);
        for (_, members) in &mut groups {
            members.retain(|&at| !is_slow(at));
        }
        groups.retain(|(_, members)| members.len() >= GROUP_MIN);
        // Nobody is compared with another group: several may belong to one attack.
        let mut apart: Vec<usize> = groups
            .iter()
            .flat_map(|(_, members)| members.iter().copied())
            .collect();
        apart.extend((0..self.talks.len()).filter(|&at| slow.is_some() && is_slow(at)));
        let others = self.others(&apart);
        let loudness = |members: &[usize]| requests(members.iter().map(|&at| &self.talks[at]));
        groups.sort_by_cached_key(|(_, members)| std::cmp::Reverse(loudness(members)));
        let mut whole: Option<Accused> = None;
        for (shape, members) in groups.into_iter().take(MAX_GROUPS) {
            let Some(found) = self.group(shape, members, &others) else {
                continue;
            };
            whole = Some(match whole {
                None => found,
                Some(mut whole) => {
                    whole.conversations.extend(found.conversations);
                    whole.requests += found.requests;
                    whole.from_ns = whole.from_ns.zip(found.from_ns).map(|(a, b)| a.min(b));
                    whole.to_ns = whole.to_ns.zip(found.to_ns).map(|(a, b)| a.max(b));
                    whole.why = format!("{}; and {}", whole.why, found.why);
                    whole
                }
            });
        }
        whole
    }

    /// Asks the signs of one group.
    fn group(&self, shape: Shape, mut clients: Vec<usize>, others: &Others<'_>) -> Option<Accused> {
        let (from_ns, to_ns) = self.edges(&clients, others);
        // Who was there before is somebody else who happens to behave like them.
        if let Some(from) = from_ns {
            clients.retain(|&at| self.talks[at].first_ns >= from);
        }
        let mut members: Vec<&Talk> = clients.iter().map(|&at| &self.talks[at]).collect();
        if members.len() < GROUP_MIN {
            return None;
        }
        let from = from_ns.or(members.iter().map(|talk| talk.first_ns).min())?;
        let to = to_ns.or(members.iter().map(|talk| talk.last_ns).max())?;
        let were_there = {
            let early = |talk: &&&Talk| talk.first_ns <= self.since().saturating_add(THERE_NS);
            members.iter().filter(early).count() * 2 >= members.len()
        };
        let bursts = members.iter().filter(|talk| talk.http.burst >= BURST).count() * 2 >= members.len();
        // Others of the same shape that asked too little to show it.
        let pages = members.iter().fold(0, |pages, talk| pages | talk.http.paths);
        let is_alike = |talk: &Talk| talk.http.paths & !pages == 0 && talk.shape == Some(shape);
        let is_during = |talk: &Talk| (from..=to).contains(&talk.first_ns);
        let (before, later): (Vec<&Talk>, Vec<&Talk>) =
            others.talks.iter().partition(|talk| talk.first_ns < from);
        let (alike, mut during): (Vec<&Talk>, Vec<&Talk>) = later
            .into_iter()
            .filter(|talk| is_during(talk))
            .partition(|talk| is_alike(talk));
        // People who want a page that does not come ask again, most of them a few times and some of them often. Those some are no
        // group of their own: most of those who came since and saw no other page would have to ask so often.
        let persistent = bursts || members.len() >= alike.len();
        // Where hardly anybody did the like before, those who do it little belong to the group too: bots are not equally fast. None
        // seen before counts as one, which may have been chance.
        let usual = 1 + before.iter().filter(|talk| is_alike(talk)).count();
        let expected =
            usual as f64 / from.saturating_sub(self.since()).max(1) as f64 * to.saturating_sub(from) as f64;
        let few = expected <= OF_OTHERS * (members.len() + alike.len()) as f64;
        if from_ns.is_some() && few && expected * 2.0 <= alike.len() as f64 {
            members.extend(alike);
        } else {
            during.extend(alike);
        }
        let (count, good) = answers(&members);
        let answered: u64 = members.iter().map(|talk| talk.http.responses).sum();
        let (before, during) = (answers(&before), answers(&during));
        let others_served = served(before.0 + during.0, before.1 + during.1) || served(during.0, during.1);
        let signs = Signs {
            cache_busting: shape == Shape::Queries && persistent,
            posts: shape == Shape::Posts && persistent,
            herd: shape == Shape::Same && persistent,
            together: from_ns.is_some(),
            running: from_ns.is_none() && self.runs && were_there,
            bursts,
            outnumber: count > during.0,
            unanswered: !self.sampled
                && others_served
                && members.iter().any(|talk| talk.speaks)
                && answered * 2 < count,
            refused: !self.sampled && others_served && answered * 2 >= count && good * 2 < answered,
            harm: !self.sampled && harmed(before, during),
            agent_rotation: rotating(members.iter().copied()) * 2 >= count,
            ..Signs::default()
        };
        if count < REQUESTS_MIN || !signs.attack_beside_others() {
            return None;
        }
        let why = format!(
            "{count} requests from {} clients beside {} others: {}",
            members.len(),
            self.talks.len() - members.len(),
            signs.words()
        );
        Some(Accused {
            vector: Vector::HttpFlood,
            conversations: members.iter().map(|talk| talk.index).collect(),
            requests: count,
            from_ns,
            to_ns,
            why,
        })
    }

    /// A flood by all clients together. `cells` are the seconds of the requests.
    fn flood(&self, cells: &[Cell]) -> Option<Accused> {
        let talks = &self.talks;
        let requests = requests(talks.iter());
        if requests < REQUESTS_MIN {
            return None;
        }
        let sum = |field: fn(&HttpTalk) -> u64| talks.iter().map(|talk| field(&talk.http)).sum::<u64>();
        let union = |field: fn(&HttpTalk) -> u64| talks.iter().fold(0, |bits, talk| bits | field(&talk.http));
        let mut targets = [0u64; 4];
        for talk in talks {
            targets
                .iter_mut()
                .zip(talk.http.targets)
                .for_each(|(all, some)| *all |= some);
        }
        let distinct = distinct_of_bins(&targets).unwrap_or(f64::INFINITY);
        let paths = distinct_of_bins(&[union(|talk| talk.paths)]).unwrap_or(f64::INFINITY);
        let seconds = cells.last()?.second - cells.first()?.second + 1;
        let per_client = requests as f64 / talks.len() as f64 / f64::from(seconds);
        let peak = cells.iter().map(|cell| cell.packets).max().unwrap_or(0);
        let speaks = talks.iter().any(|talk| talk.speaks);
        let signs = Signs {
            cache_busting: sum(|talk| talk.queries) * 5 >= requests * 4
                && paths <= 3.5
                && distinct >= 0.7 * (requests as f64).min(800.0),
            agent_rotation: rotating(talks.iter()) * 2 >= requests,
            unanswered: speaks && !self.sampled && sum(|talk| talk.responses) * 2 < requests,
            herd: talks.len() >= 30 && paths <= 2.5 && requests >= 5 * talks.len() as u64,
            fast: peak >= 100 || per_client >= 20.0,
            hammering: talks.iter().any(|Talk { http: talk, .. }| {
                talk.requests >= 500
                    && talk.targets.iter().map(|word| word.count_ones()).sum::<u32>() == 1
                    && talk.requests as f64 / f64::from(seconds) >= 50.0
            }),
            ..Signs::default()
        };
        if !signs.attack() {
            return None;
        }
        // Clients that ask less than a tenth of the mean are the audience that was there anyway.
        let mean = requests / talks.len() as u64;
        let loud = talks.iter().filter(|talk| talk.http.requests * 10 >= mean);
        let clients = if talks.len() == 1 {
            "one client".to_owned()
        } else {
            format!("{} clients", talks.len())
        };
        let why = format!("{requests} requests from {clients}: {}", signs.words());
        Some(Accused {
            vector: Vector::HttpFlood,
            conversations: loud.map(|talk| talk.index).collect(),
            requests,
            from_ns: None,
            to_ns: None,
            why,
        })
    }

    /// All TCP packets that the accused sent to the target.
    fn suspect(&self, accused: Accused) -> Suspect {
        let table = self.tally.conversations();
        let (mut packets, mut bytes, mut senders) = (0, 0, Vec::new());
        for &index in &accused.conversations {
            let conversation = table.get(index);
            let target_is_low = conversation.low == self.address;
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
        let senders = join_senders(&[&senders]);
        let first = senders.iter().map(|s| s.first_ns).min().unwrap_or(0);
        let last = senders.iter().map(|s| s.last_ns).max().unwrap_or(0);
        let (first_ns, last_ns) = (accused.from_ns.unwrap_or(first), accused.to_ns.unwrap_or(last));
        Suspect {
            vector: accused.vector,
            requests: accused.requests,
            cells: self.seconds(accused.conversations, (first_ns, last_ns), packets, bytes),
            senders,
            packets,
            bytes,
            first_ns,
            last_ns,
            why: accused.why,
        }
    }

    /// The seconds of an attack: what all TCP to the target is more than what everybody else sent, each of them evenly over the time in
    /// which it was there. Visits are short, so that says well enough when they were. Scaled to the attack's packets and bytes.
    fn seconds(
        &self,
        mut accused: Vec<usize>,
        (from_ns, to_ns): (u64, u64),
        packets: u64,
        bytes: u64,
    ) -> Vec<Cell> {
        accused.sort_unstable();
        let table = self.tally.conversations();
        let cells = &self.tcp;
        // What begins and ends at each cell, summed up below: a visit costs two searches, however long it was.
        let mut changes = vec![0.0; cells.len() + 1];
        let scale = (1u64 << table.level().min(63)) as f64;
        for &(_, index) in self.members {
            let index = index as usize;
            if accused.binary_search(&index).is_ok() {
                continue;
            }
            let target_is_low = table.get(index).low == self.address;
            for strand in table.strands(index) {
                if strand.forward == target_is_low || strand.vector.transport() != Transport::Tcp {
                    continue;
                }
                let from = cells.partition_point(|cell| cell.second < second_of(strand.first_ns));
                let to = cells.partition_point(|cell| cell.second <= second_of(strand.last_ns));
                if to > from {
                    let each = strand.packets as f64 * scale / (to - from) as f64;
                    changes[from] += each;
                    changes[to] -= each;
                }
            }
        }
        let mut usual = 0.0;
        let mut left: Vec<(u32, f64)> = Vec::new();
        for (cell, change) in cells.iter().zip(&changes) {
            usual += change;
            if (second_of(from_ns)..=second_of(to_ns)).contains(&cell.second) {
                left.push((cell.second, (cell.packets as f64 - usual).max(0.0)));
            }
        }
        let whole: f64 = left.iter().map(|(_, packets)| packets).sum();
        let share = |of: f64, n: u64| (of / whole.max(1.0) * n as f64) as u64;
        left.into_iter()
            .map(|(second, of)| Cell {
                second,
                packets: share(of, packets),
                bytes: share(of, bytes),
            })
            .collect()
    }
}

/// Requests of clients that change their User-Agent all the time.
fn rotating<'a>(talks: impl Iterator<Item = &'a Talk>) -> u64 {
    let rotates = |talk: &&Talk| {
        talk.http.requests >= 30 && distinct_of_bins(&[talk.http.agents]).is_none_or(|agents| agents >= 8.0)
    };
    requests(talks.filter(rotates))
}

impl Suspect {
    /// As a part of an attack. `look` is that of the requests.
    pub fn part(self, look: Look) -> Part {
        Part {
            vector: self.vector,
            packets: self.packets,
            bytes: self.bytes,
            requests: Some(self.requests),
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            cells: self.cells,
            senders: self.senders,
            look,
            // Request heads are read in captured packets, which are all there or sampled as the case says.
            sampling: 1.0,
            companions: 0,
            why: self.why,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use wire::{Batch, Flow, Hint, Http};

    use super::*;
    use crate::judge::{Attack, judge};

    const SERVICE: u32 = 0x0a00_0001;
    const MS: u64 = 1_000_000;
    /// When the attacks begin and end, in ms.
    const FROM: u64 = 30_000;
    const TO: u64 = 60_000;

    /// A request: when, of what, and the status of the answer (0: none).
    #[derive(Clone, Copy)]
    struct Ask {
        at_ms: u64,
        page: u64,
        /// 0 for none.
        query: u64,
        post: bool,
        status: u16,
    }

    fn get(at_ms: u64, page: u64) -> Ask {
        Ask {
            at_ms,
            page,
            query: 0,
            post: false,
            status: 200,
        }
    }

    /// A service and who comes to it.
    #[derive(Default)]
    struct Town {
        flows: Vec<Flow>,
        http: Vec<Http>,
        random: u64,
    }

    fn address(n: u32) -> Ipv6Addr {
        Ipv4Addr::from_bits(n).to_ipv6_mapped()
    }

    impl Town {
        fn below(&mut self, n: u64) -> u64 {
            self.random += 1;
            crate::conversation::mix(self.random) % n
        }

        fn packet(&mut self, client: u32, up: bool, at_ms: u64, flags: u8, payload: u32, http: Option<Http>) {
            let (src, dst) = if up { (client, SERVICE) } else { (SERVICE, client) };
            let ports = if up { (40_000, 80) } else { (80, 40_000) };
            self.http.extend(http);
            self.flows.push(Flow {
                src: address(src),
                dst: address(dst),
                first_ns: at_ms * MS,
                last_ns: at_ms * MS,
                packets: 1,
                bytes: 40 + u64::from(payload),
                protocol: 6,
                src_port: ports.0,
                dst_port: ports.1,
                tcp_flags: flags,
                payload: payload as u16,
                hint: match http {
                    Some(http) if http.status == 0 => Hint::HttpRequest,
                    Some(_) => Hint::HttpResponse,
                    None => Hint::None,
                },
                detail: self.http.len().saturating_sub(1) as u32,
                has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS | Flow::HAS_TCP_HEADER | Flow::IS_PACKET,
                ..Flow::EMPTY
            });
        }

        /// A client that opens a connection and asks; `complete` where its heads end.
        fn client(&mut self, client: u32, asks: &[Ask], complete: bool) {
            let at = asks[0].at_ms - 2;
            self.packet(client, true, at, 0x02, 0, None);
            self.packet(client, false, at, 0x12, 0, None);
            self.packet(client, true, at + 1, 0x10, 0, None);
            for ask in asks {
                let head = Http {
                    path_hash: 1 + ask.page,
                    target_hash: (1 + ask.page) << 32 | ask.query,
                    agent_hash: 1 + u64::from(client % 7),
                    method: if ask.post { b'P' } else { b'G' },
                    has_query: ask.query > 0,
                    head_complete: complete,
                    whole: true,
                    content_length: if ask.post { 40 } else { 0 },
                    status: 0,
                };
                self.packet(client, true, ask.at_ms, 0x18, 200, Some(head));
                if ask.status > 0 {
                    let answer = Http {
                        path_hash: 0,
                        target_hash: 0,
                        method: 0,
                        status: ask.status,
                        ..head
                    };
                    self.packet(client, false, ask.at_ms + 5, 0x18, 900, Some(answer));
                }
            }
        }

        /// People: a page and what is on it, a few times.
        fn person(&mut self, client: u32, at_ms: u64) {
            let mut at = at_ms + 2;
            let mut asks = Vec::new();
            for _ in 0..1 + self.below(3) {
                asks.push(get(at, self.below(20)));
                for asset in 0..self.below(4) {
                    asks.push(get(at + 50 * (asset + 1), 20 + self.below(40)));
                }
                at += 1_000 + self.below(3_000);
            }
            self.client(client, &asks, true);
        }

        /// Ninety seconds with ten people a second.
        fn with_people() -> Town {
            let mut town = Town::default();
            for n in 0..900 {
                let late = town.below(100);
                town.person(0x0b00_0000 + n, u64::from(n) * 100 + late);
            }
            town
        }

        /// So many clients that are made by `asks` of their number and of when they begin.
        fn come(&mut self, count: u32, from_ms: u64, to_ms: u64, asks: impl Fn(u32, u64) -> Vec<Ask>) {
            for n in 0..count {
                let at = from_ms + 2 + u64::from(n) * (to_ms - from_ms) / u64::from(count);
                self.client(0x4000_0000 + n, &asks(n, at), true);
            }
        }

        fn tally(&mut self, size: usize) -> Tally {
            self.flows.sort_by_key(|flow| flow.first_ns);
            let mut tally = Tally::new();
            for flows in self.flows.chunks(size) {
                tally.add(&Batch {
                    flows: flows.to_vec(),
                    http: self.http.clone(),
                    ..Batch::default()
                });
            }
            tally
        }

        fn attacks(&mut self) -> Vec<Attack> {
            judge(&self.tally(usize::MAX), &Options::default()).attacks
        }
    }

    /// Six requests at once, three times in the time of the attack.
    fn volleys(at: u64, ask: impl Fn(u64) -> Ask) -> Vec<Ask> {
        let times = (0..3).flat_map(|volley| (0..6).map(move |n| at + volley * 8_000 + n * 60));
        times.map(ask).collect()
    }

    /// Whether the one attack is this, by just those clients, from the first to the last of their packets.
    fn is_by_them(attacks: &[Attack], vector: Vector, count: u32) {
        assert_eq!(attacks.len(), 1);
        let attack = &attacks[0];
        assert_eq!(attack.parts.len(), 1, "{:?}", attack.parts[1..].first());
        let part = &attack.parts[0];
        assert_eq!(part.vector, vector);
        let own = |s: &&Sender| s.address >= address(0x4000_0000);
        let (theirs, all) = (part.senders.iter().filter(own).count(), part.senders.len());
        assert_eq!((theirs, all), (count as usize, count as usize), "{}", part.why);
        assert!(
            attack.start_ns.abs_diff(FROM * MS) < 100 * MS,
            "{} {}",
            attack.start_ns,
            part.why
        );
        assert!(
            attack.end_ns <= TO * MS && attack.end_ns > (TO - 15_000) * MS,
            "{}",
            attack.end_ns
        );
        let in_cells: u64 = part.cells.iter().map(|cell| cell.packets).sum();
        assert!(in_cells * 10 >= part.packets * 9 && in_cells <= part.packets);
    }

    #[test]
    fn floods_are_found_beside_people_who_are_not_accused() {
        let mut town = Town::with_people();
        town.come(200, FROM, FROM + 3_000, |_, at| volleys(at, |at| get(at, 0)));
        is_by_them(&town.attacks(), Vector::HttpFlood, 200);
        let mut town = Town::with_people();
        town.come(150, FROM, FROM + 3_000, |n, at| {
            volleys(at, |at| Ask {
                query: 1 + at * 1_000 + u64::from(n),
                ..get(at, 0)
            })
        });
        is_by_them(&town.attacks(), Vector::HttpFlood, 150);
        let mut town = Town::with_people();
        town.come(100, FROM, FROM + 3_000, |_, at| {
            volleys(at, |at| Ask {
                post: true,
                status: 401,
                ..get(at, 99)
            })
        });
        is_by_them(&town.attacks(), Vector::HttpFlood, 100);
    }

    #[test]
    fn a_flood_that_is_known_to_run_goes_on_in_an_input_without_its_beginning() {
        let mut town = Town::with_people();
        town.come(200, 0, 3_000, |_, at| volleys(at, |at| get(at, 0)));
        let tally = town.tally(usize::MAX);
        assert!(judge(&tally, &Options::default()).attacks.is_empty());
        let running = Options {
            running: vec![(atlas::Prefix::of(address(SERVICE), 128), Vector::HttpFlood)],
            ..Options::default()
        };
        assert_eq!(judge(&tally, &running).attacks.len(), 1);
        let mut town = Town::with_people();
        town.come(1_000, 0, 65_000, |_, at| {
            volleys(at, |at| Ask {
                post: true,
                ..get(at, 99)
            })
        });
        let found = judge(&town.tally(usize::MAX), &running).attacks;
        assert!(found.is_empty(), "apps that come as always");
    }

    #[test]
    fn a_sample_of_a_crowd_shows_few_answers_and_is_no_attack() {
        let mut town = Town::with_people();
        for n in 0..30_000 {
            town.person(0x4000_0000 + n, FROM + u64::from(n));
        }
        town.flows.retain(|flow| {
            crate::conversation::mix(flow.first_ns ^ u64::from(flow.detail)).is_multiple_of(10)
        });
        town.flows.iter_mut().for_each(|flow| flow.sampling = 10);
        assert!(town.attacks().is_empty());
    }

    #[test]
    fn batches_do_not_change_what_is_found() {
        let mut town = Town::with_people();
        town.come(200, FROM, FROM + 3_000, |_, at| volleys(at, |at| get(at, 0)));
        let whole = format!("{:?}", town.attacks());
        let parts = judge(&town.tally(37), &Options::default()).attacks;
        assert_eq!(format!("{parts:?}"), whole);
    }

    #[test]
    fn unfinished_requests_are_found_beside_people() {
        let mut town = Town::with_people();
        for n in 0..12 {
            let client = 0x4000_0000 + n;
            let asks: Vec<Ask> = (0..20)
                .map(|i| Ask {
                    status: 0,
                    ..get(FROM + 2 + i * 500, 0)
                })
                .collect();
            town.client(client, &asks, false);
            for line in 0..10 {
                town.packet(client, true, FROM + 11_000 + line * 1_500, 0x18, 10, None);
                town.packet(client, false, FROM + 11_001 + line * 1_500, 0x10, 0, None);
            }
        }
        is_by_them(&town.attacks(), Vector::Slowloris, 12);
    }

    #[test]
    fn bodies_by_the_byte_are_found_beside_people_and_small_ones_that_are_answered_are_none() {
        let slow = |status: u16| {
            let mut town = Town::with_people();
            for n in 0..20 {
                let client = 0x4000_0000 + n;
                let post = |i: u64| Ask {
                    post: true,
                    status,
                    ..get(FROM + 2 + i * 3_000, 99)
                };
                let asks: Vec<Ask> = (0..6).map(post).collect();
                town.client(client, &asks, true);
                for i in 0..6 {
                    town.packet(client, true, FROM + 20 + i * 3_000, 0x18, 30, None);
                    town.packet(client, true, FROM + 2_800 + i * 3_000, 0x18, 1, None);
                }
            }
            town.attacks()
        };
        is_by_them(&slow(0), Vector::SlowPost, 20);
        assert!(slow(200).is_empty(), "devices that report, all at once");
    }

    #[test]
    fn people_alone_are_no_attack() {
        assert!(Town::with_people().attacks().is_empty());
        // Ten times as many, from one moment on.
        let mut town = Town::with_people();
        for n in 0..3_000 {
            town.person(0x4000_0000 + n, FROM + u64::from(n) * 10);
        }
        assert!(town.attacks().is_empty(), "a crowd");
        // Offices: forty people behind each of a dozen addresses, from one moment on.
        let mut town = Town::with_people();
        for n in 0..480 {
            town.person(0x4000_0000 + n % 12, FROM + u64::from(n) * 60);
        }
        assert!(town.attacks().is_empty(), "offices");
    }

    #[test]
    fn programs_that_come_as_always_are_no_attack() {
        // Apps that post bursts of questions to one page, more than all people ask.
        let mut town = Town::with_people();
        town.come(1_000, 0, 65_000, |_, at| {
            volleys(at, |at| Ask {
                post: true,
                ..get(at, 99)
            })
        });
        assert!(town.attacks().is_empty(), "apps");
        // The same while the service refuses them.
        let mut town = Town::with_people();
        town.come(1_000, 0, 65_000, |_, at| {
            volleys(at, |at| Ask {
                post: true,
                status: 503,
                ..get(at, 99)
            })
        });
        assert!(town.attacks().is_empty(), "apps that are refused");
        // A search box that asks with each letter.
        let mut town = Town::with_people();
        town.come(800, 0, 65_000, |n, at| {
            volleys(at, |at| Ask {
                query: 1 + at * 1_000 + u64::from(n),
                ..get(at, 98)
            })
        });
        assert!(town.attacks().is_empty(), "search boxes");
        // A crawler on ten addresses, that begins in the middle.
        let mut town = Town::with_people();
        town.come(10, FROM, FROM + 500, |n, at| {
            (0..200)
                .map(|i| get(at + i * 140, 100 + i * 10 + u64::from(n)))
                .collect()
        });
        assert!(town.attacks().is_empty(), "a crawler");
    }

    #[test]
    fn what_begins_together_at_a_persons_pace_and_harms_nobody_is_no_attack() {
        // Load balancers or monitors that are switched on: once a second each, and answered.
        let mut town = Town::with_people();
        town.come(12, FROM, FROM + 500, |_, at| {
            (0..30).map(|i| get(at + i * 1_000, 97)).collect()
        });
        assert!(town.attacks().is_empty());
    }

    #[test]
    fn people_who_press_reload_are_no_attack() {
        // Ten times as many from one moment on, of whom each sees the one error page and tries again, most of them once or twice.
        let mut town = Town::with_people();
        for n in 0..3_000u32 {
            let tries = 1 + u64::from((n + 1).trailing_zeros());
            let at = FROM + 2 + u64::from(n) * 8;
            let asks: Vec<Ask> = (0..tries)
                .map(|i| Ask {
                    status: 503,
                    ..get(at + i * 1_200, 0)
                })
                .collect();
            town.client(0x4000_0000 + n, &asks, true);
        }
        assert!(town.attacks().is_empty());
    }
}
