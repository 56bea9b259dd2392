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
use crate::judge::{Options, Part, Sender, join_senders, sender, sum_cells};
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
/// Groups of one host that are asked, the loudest first. An attack of one program has one, or one for each of its pages.
const MAX_GROUPS: usize = 64;
/// Part of a group that may be others who behave like it.
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
    /// what they ask for and harm nobody.
    fn attack_beside_others(&self) -> bool {
        let alike = self.cache_busting || self.posts || self.herd;
        let grave = self.bursts
            || self.outnumber
            || self.unanswered
            || self.refused
            || self.harm
            || self.agent_rotation;
        alike && self.together && grave
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

    /// Whether clients whose requests are not answered stay all the same, while the host answers the requests of others and what it sends to
    /// these was captured: so it is not down, and its answers are not missing from the capture.
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
            talk.last_ns - talk.first_ns
        });
        let heard = clients.iter().filter(|&&at| self.talks[at].speaks).count();
        answered >= OTHERS_MIN
            && heard * 2 >= clients.len()
            && lasts.sum::<u64>() >= HELD_NS.saturating_mul(clients.len() as u64)
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
        let bursts = members.iter().filter(|talk| talk.http.burst >= BURST).count() * 2 >= members.len();
        // Others of the same shape that asked too little to show it.
        let pages = members.iter().fold(0, |pages, talk| pages | talk.http.paths);
        let is_alike = |talk: &Talk| talk.http.paths & !pages == 0 && Shape::of(&talk.http) == Some(shape);
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
        // Where hardly anybody did the like before, those who do it little belong to the group too: bots are not equally fast.
        let usual = before.iter().filter(|talk| is_alike(talk)).count() as f64;
        let expected = usual / (from - self.since()).max(1) as f64 * (to - from) as f64;
        if from_ns.is_some() && expected <= OF_OTHERS * alike.len() as f64 {
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
            // A flood that is known to run began in an earlier window.
            together: from_ns.is_some() || self.runs,
            bursts,
            outnumber: count > during.0,
            unanswered: others_served && members.iter().any(|talk| talk.speaks) && answered * 2 < count,
            refused: others_served && answered * 2 >= count && good * 2 < answered,
            harm: harmed(before, during),
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
            unanswered: speaks && sum(|talk| talk.responses) * 2 < requests,
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
                    let each = (strand.packets << table.level().min(32)) as f64 / (to - from) as f64;
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
