//! One vector's senders, taken apart: a botnet and a forged stream may run at once, and together they look like neither.
//!
//! A cluster is found by what a sending machine cannot hide.
//!
//! - Who completed a handshake receives at his address: these sources are a cluster of their own.
//! - A machine that forges addresses sends from one distance. A TTL that far more networks carry than the values beside it is such a
//!   machine's; real hosts are spread over many distances.
//! - A tool that draws the TTL at random also draws values that no path through the internet gives. Their number tells how many of its
//!   packets must lie under the plausible values too, and there it is told from real hosts by how often a source was seen.
//! - Without any TTL, sources seen once and sources seen often are told apart where the former lie as a uniform draw over the address
//!   space does and the latter do not.
//!
//! Counting is done in cells of TTL and observed packets (a power of two); a cell goes to the population that it holds more of, and
//! what it holds of others is reckoned with: [`Cluster::other`].

use std::borrow::Cow;

use detect::Sender;

use crate::forged::spread_of;

/// Fewest sources that can be a cluster.
const SOURCES_MIN: usize = 20;
/// Fewest sources with implausible TTLs that show a random TTL, and their least share.
const RANDOM_MIN: (f64, f64) = (30.0, 0.02);
/// TTL values that no path of at most 40 hops from 32, 64, 128 or 255 gives.
pub(crate) const IMPLAUSIBLE: usize = 109;
/// A sending machine's TTL is carried by so many networks at least, and by so many times as many as the values beside it.
const HOST_NETWORKS: (f64, f64) = (30.0, 5.0);
/// Values on each side that a TTL is compared with.
const BESIDE: usize = 4;
/// Classes of observed packets from one source: 1, 2 to 3, 4 to 7, and so on.
const CLASSES: usize = 8;
/// 64-bit words of the bins in which networks are counted.
const WORDS: usize = 32;
/// Sources seen once and seen often that are needed to tell them apart without a TTL.
const ONCE_MIN: (usize, usize) = (300, 50);

/// What made a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Nothing: it is all senders, or what is left of them.
    Left,
    /// Completed handshakes.
    Completed,
    /// TTLs of a few sending machines.
    Hosts,
    /// TTLs drawn at random.
    Random,
    /// How often a source was seen.
    Repeats,
}

/// A part of one vector's senders.
#[derive(Clone, Debug)]
pub(crate) struct Cluster<'a> {
    pub(crate) name: String,
    pub(crate) made: Made,
    /// In address order.
    pub(crate) senders: Cow<'a, [Sender]>,
    /// Share of its packets that are another cluster's, by the level of the values around: forged ones among real, or real ones among
    /// forged.
    pub(crate) other: f64,
    /// For [`Made::Hosts`]: networks that carry its TTLs, and the most that carry a value beside them.
    pub(crate) networks: (f64, f64),
}

impl<'a> Cluster<'a> {
    /// All senders as one cluster.
    pub(crate) fn whole(senders: &'a [Sender]) -> Cluster<'a> {
        Cluster {
            name: "all".to_owned(),
            made: Made::Left,
            senders: Cow::Borrowed(senders),
            other: 0.0,
            networks: (0.0, 0.0),
        }
    }
}

/// Whether no path through the internet gives this TTL.
pub(crate) fn is_implausible(ttl: u8) -> bool {
    matches!(ttl, 65..=87 | 129..=214)
}

fn class(packets: u64, sampling: f64) -> usize {
    let observed = (packets as f64 / sampling).round().max(1.0) as u64;
    (observed.ilog2() as usize).min(CLASSES - 1)
}

#[derive(Clone, Copy, Default)]
struct Count {
    sources: f64,
    packets: f64,
}

/// Where each cell goes.
#[derive(Clone, Copy, PartialEq)]
enum To {
    Left,
    Hosts,
    Random,
}

struct Cells {
    counts: Vec<[Count; CLASSES]>,
    /// Networks that carry each TTL.
    networks: Vec<f64>,
}

impl Cells {
    fn count(senders: &[&Sender], networks: &[u64], sampling: f64) -> Cells {
        let mut counts = vec![[Count::default(); CLASSES]; 256];
        let mut bins = vec![[0u64; WORDS]; 256];
        for (sender, network) in senders.iter().zip(networks) {
            let ttl = usize::from(sender.ttl_first);
            let cell = &mut counts[ttl][class(sender.packets, sampling)];
            cell.sources += 1.0;
            cell.packets += sender.packets as f64;
            let bin = detect::conversation::mix(*network) as usize % (WORDS * 64);
            bins[ttl][bin / 64] |= 1 << (bin % 64);
        }
        let full = (WORDS * 64) as f64;
        let networks = bins
            .iter()
            .map(|bins| detect::conversation::distinct_of_bins(bins).unwrap_or(full * full.ln()))
            .collect();
        Cells { counts, networks }
    }

    /// What a cell would hold by the values beside its TTL: their median.
    fn beside(&self, ttl: usize, value: impl Fn(usize) -> f64) -> f64 {
        let mut around: Vec<f64> = (ttl.saturating_sub(BESIDE)..=(ttl + BESIDE).min(255))
            .filter(|at| *at != ttl)
            .map(value)
            .collect();
        around.sort_unstable_by(f64::total_cmp);
        around[around.len() / 2]
    }

    /// How many sources of each class a stream with random TTLs has at each value, if there is one.
    fn random(&self) -> Option<[f64; CLASSES]> {
        let implausible = || (0..256).filter(|ttl| is_implausible(*ttl as u8));
        let sources = |ttl: usize| self.counts[ttl].iter().map(|c| c.sources).sum::<f64>();
        let all: f64 = (0..256).map(sources).sum();
        let seen: f64 = implausible().map(sources).sum();
        let values = implausible().filter(|ttl| sources(*ttl) > 0.0).count() as f64;
        // Odd initial TTLs of some device would crowd around a few values.
        let flat = IMPLAUSIBLE as f64 * (1.0 - (-seen / IMPLAUSIBLE as f64).exp());
        let is_there = seen >= RANDOM_MIN.0 && seen >= RANDOM_MIN.1 * all && values >= 0.6 * flat;
        is_there.then(|| {
            let mut level = [0.0; CLASSES];
            for (class, level) in level.iter_mut().enumerate() {
                let of_class: f64 = implausible().map(|ttl| self.counts[ttl][class].sources).sum();
                *level = of_class / IMPLAUSIBLE as f64;
            }
            level
        })
    }
}

/// Takes the senders of one vector apart. `networks` names the network of each sender; `sampling` is how many packets each observed one
/// stands for.
pub(crate) fn split<'a>(senders: &'a [Sender], networks: &[u64], sampling: f64) -> Vec<Cluster<'a>> {
    let of = |chosen: &dyn Fn(&Sender) -> bool| -> Vec<Sender> {
        senders.iter().copied().filter(|sender| chosen(sender)).collect()
    };
    let cluster = |name: String, made, senders, other| Cluster {
        name,
        made,
        senders: Cow::Owned(senders),
        other,
        networks: (0.0, 0.0),
    };
    let mut clusters = Vec::new();
    let completed = senders.iter().filter(|sender| sender.completed).count();
    let rest = senders.len() - completed;
    if completed.min(rest) >= SOURCES_MIN {
        let all = of(&|sender| sender.completed);
        clusters.push(cluster(
            "completed a handshake".to_owned(),
            Made::Completed,
            all,
            0.0,
        ));
    }
    let taken = |sender: &Sender| sender.completed && !clusters.is_empty();
    let (mut with, mut their) = (Vec::new(), Vec::new());
    for (sender, network) in senders.iter().zip(networks) {
        if !taken(sender) && sender.ttl_first > 0 {
            with.push(sender);
            their.push(*network);
        }
    }
    let has_completed = !clusters.is_empty();
    let without = senders.len() - if has_completed { completed } else { 0 } - with.len();
    let is_open = |sender: &Sender| !(has_completed && sender.completed);
    if with.len() < SOURCES_MIN {
        let open: Vec<&Sender> = senders.iter().filter(|sender| is_open(sender)).collect();
        match by_repeats(&open, sampling) {
            Some((once, often)) => {
                clusters.push(cluster("seen once".to_owned(), Made::Repeats, once, 0.0));
                clusters.push(cluster(
                    "seen again and again".to_owned(),
                    Made::Repeats,
                    often,
                    0.0,
                ));
            }
            None if has_completed => {
                let left = of(&is_open);
                clusters.push(cluster(
                    "without a completed handshake".to_owned(),
                    Made::Left,
                    left,
                    0.0,
                ));
            }
            None => clusters.push(Cluster::whole(senders)),
        }
        return clusters;
    }
    let cells = Cells::count(&with, &their, sampling);
    let random = cells.random();
    let is_host = |ttl: usize| {
        let beside = cells.beside(ttl, |at| cells.networks[at]);
        cells.networks[ttl] >= HOST_NETWORKS.0 && cells.networks[ttl] >= HOST_NETWORKS.1 * (beside + 1.0)
    };
    let hosts: Vec<usize> = (1..256).filter(|ttl| is_host(*ttl)).collect();
    if hosts.is_empty() && random.is_none() && !has_completed && without < SOURCES_MIN {
        return vec![Cluster::whole(senders)];
    }
    let beside = |ttl: usize, class: usize| cells.beside(ttl, |at| cells.counts[at][class].sources);
    let level = random.unwrap_or([0.0; CLASSES]);
    let mut to = vec![[To::Left; CLASSES]; 256];
    // Packets in each cluster that are another's.
    let mut others = [0.0; 3];
    for (ttl, cells_of) in to.iter_mut().enumerate().skip(1) {
        for (class, cell) in cells_of.iter_mut().enumerate() {
            let count = cells.counts[ttl][class];
            if count.sources == 0.0 {
                continue;
            }
            let each = count.packets / count.sources;
            let host = hosts.contains(&ttl);
            let real = beside(ttl, class);
            if host && count.sources > 2.0 * real {
                *cell = To::Hosts;
                others[To::Hosts as usize] += real.min(count.sources) * each;
            } else if random.is_some() && (is_implausible(ttl as u8) || count.sources <= 2.0 * level[class]) {
                *cell = To::Random;
                if !is_implausible(ttl as u8) {
                    others[To::Random as usize] += (count.sources - level[class]) * each;
                }
            } else {
                let forged = if host { count.sources - real } else { level[class] };
                others[To::Left as usize] += forged.clamp(0.0, count.sources) * each;
            }
        }
    }
    let mut parts: [Vec<Sender>; 3] = Default::default();
    let mut values: [Vec<bool>; 3] = [vec![false; 256], vec![false; 256], vec![false; 256]];
    for sender in &with {
        let ttl = usize::from(sender.ttl_first);
        let part = to[ttl][class(sender.packets, sampling)] as usize;
        parts[part].push(**sender);
        values[part][ttl] = true;
    }
    // A handful that is left over is no population of its own.
    let most = (0..3)
        .max_by_key(|part| (parts[*part].len(), 3 - *part))
        .unwrap_or(0);
    for part in 0..3 {
        if part != most && parts[part].len() < SOURCES_MIN {
            let few = std::mem::take(&mut parts[part]);
            others[most] += few.iter().map(|sender| sender.packets as f64).sum::<f64>();
            parts[most].extend(few);
        }
    }
    let mut few = Vec::new();
    if without >= SOURCES_MIN {
        let left = of(&|sender| is_open(sender) && sender.ttl_first == 0);
        clusters.push(cluster("no TTL known".to_owned(), Made::Left, left, 0.0));
    } else if without > 0 {
        few = of(&|sender| is_open(sender) && sender.ttl_first == 0);
    }
    parts[most].extend(few);
    let lone = clusters.is_empty() && parts.iter().filter(|part| !part.is_empty()).count() == 1;
    for (part, mut of_part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
        let packets: f64 = of_part.iter().map(|sender| sender.packets as f64).sum();
        let other = (others[part].max(0.0) / packets.max(1.0)).min(0.5);
        of_part.sort_unstable();
        let made = [Made::Left, Made::Hosts, Made::Random][part];
        let name = match made {
            Made::Random => "TTLs at random".to_owned(),
            Made::Left if lone => "all".to_owned(),
            _ => ttls(&values[part]),
        };
        let carried = if made == Made::Hosts {
            let most_of = |values: &mut dyn Iterator<Item = usize>| {
                values.map(|ttl| cells.networks[ttl]).fold(0.0, f64::max)
            };
            let near = hosts
                .iter()
                .flat_map(|ttl| ttl.saturating_sub(BESIDE)..=(ttl + BESIDE).min(255));
            let beside = most_of(&mut near.filter(|ttl| !hosts.contains(ttl)));
            (hosts.iter().map(|ttl| cells.networks[*ttl]).sum(), beside)
        } else {
            (0.0, 0.0)
        };
        clusters.push(Cluster {
            networks: carried,
            ..cluster(name, made, of_part, other)
        });
    }
    clusters
}

/// Sources seen once and sources seen often (four times and more), where they lie differently in the address space. The few between go
/// with those seen often.
fn by_repeats(open: &[&Sender], sampling: f64) -> Option<(Vec<Sender>, Vec<Sender>)> {
    let part = |chosen: &dyn Fn(usize) -> bool| -> Vec<Sender> {
        let of = open
            .iter()
            .filter(|sender| chosen(class(sender.packets, sampling)));
        of.map(|sender| **sender).collect()
    };
    let once = part(&|class| class == 0);
    let often = part(&|class| class >= 2);
    if once.len() < ONCE_MIN.0 || often.len() < ONCE_MIN.1 {
        return None;
    }
    let (_, uniform) = spread_of(&once)?;
    // The spread of few addresses is always near that of a uniform draw: no more are compared than there are of both.
    let n = often.len().min(once.len());
    let thin = |all: &[Sender]| -> Vec<Sender> { (0..n).map(|i| all[i * all.len() / n]).collect() };
    let (_, of_once) = spread_of(&thin(&once))?;
    let (_, of_often) = spread_of(&thin(&often))?;
    (uniform >= 0.85 && of_often <= of_once - 0.1).then(|| (once, part(&|class| class >= 1)))
}

/// `TTL 242 and 244`, `TTL 42 to 57`.
fn ttls(values: &[bool]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (ttl, _) in values.iter().enumerate().filter(|(_, there)| **there) {
        match ranges.last_mut() {
            // Gaps in a hump of distances are chance.
            Some((from, to)) if ttl == *to + 1 || *to > *from && ttl <= *to + 3 => *to = ttl,
            _ => ranges.push((ttl, ttl)),
        }
    }
    let words: Vec<String> = ranges
        .iter()
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from} to {to}")
            }
        })
        .collect();
    match words.as_slice() {
        [] => "no TTL known".to_owned(),
        [one] => format!("TTL {one}"),
        [first @ .., last] if words.len() <= 4 => format!("TTL {} and {last}", first.join(", ")),
        _ => "the other TTLs".to_owned(),
    }
}
