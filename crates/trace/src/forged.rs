//! Are the source addresses those of the senders?
//!
//! Eight tests on the sources of one cluster of one vector ([`crate::cluster`]), none of which decides alone. Each gives
//! a likelihood ratio: how much more probable what was seen is if the sources were forged than if they were the senders'
//! own. The ratios are multiplied onto even odds, with a cap on each, since they are not quite independent. The sizes of
//! the ratios are this project's own judgement from measured captures, not published constants; the values behind them
//! are printed with each case.
//!
//! | test | what is compared | source |
//! |---|---|---|
//! | space | sources in reserved or unannounced space against what a uniform draw would hit | Beverly and Bauer 2005 |
//! | ttl | how many networks share the two commonest TTLs; TTLs that no path gives | Jin, Wang, Shin, CCS 2003 |
//! | ttl of one | addresses that show very different TTLs | the same |
//! | handshake | sources that completed a handshake receive at their address | RFC 4987 |
//! | spread | distinct /16 networks against a uniform draw | Moore, Voelker, Savage, USENIX Security 2001 |
//! | repeats | packets per source (in IPv6 per /64), and the size of the pool that they are drawn from | birthday estimate |
//! | rates | variance of the packets from each source against that of drawing each packet's address anew | Poisson |
//! | density | blocks of 256 addresses that are full | judgement |
//!
//! Where tests disagree strongly, or the interval is wide, the cluster is [`Origin::Undetermined`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::{Atlas, Kind};
use detect::{Attack, Part, Sender, Transport, Vector};
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

use crate::SAMPLED_FROM;
use crate::cluster::{self, Cluster, is_implausible};
use crate::share::Interval;

/// What the sources of one cluster of one vector are.
#[derive(Clone, Debug)]
pub struct Class<'a> {
    /// Whose.
    pub vector: Vector,
    /// What its packets have in common, in words.
    pub cluster: String,
    /// Share of the vector's packets.
    pub weight: f64,
    /// The sources, in address order.
    pub senders: Cow<'a, [Sender]>,
    /// What they are.
    pub origin: Origin,
    /// Share of the cluster's packets with a forged source.
    pub forged: Interval,
    /// The tests, in a fixed order.
    pub tests: Vec<Test>,
    /// Tests that could not be made, and why.
    pub unmade: Vec<Unmade>,
}

/// What sources are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The machines that sent.
    Direct,
    /// Machines that were made to answer.
    Reflector,
    /// Addresses that did not send.
    Forged,
    /// The tests disagree or say too little.
    Undetermined,
}

/// A test that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// Short name of the test.
    pub test: &'static str,
    /// Why not, in words.
    pub why: String,
}

/// A test on the sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Short name.
    pub test: &'static str,
    /// Its value, where it has one.
    pub value: Option<f64>,
    /// What it says, in words.
    pub says: String,
    /// Likelihood ratio for forged against not; 1 says nothing.
    pub ratio: f64,
}

/// Largest ratio, and one over the smallest, that one test may contribute.
const RATIO_MAX: f64 = 1_000.0;
/// Share of one network's hosts that the two commonest TTLs have at most where hosts are real: web servers behind the same
/// networks, the most uniform population measured.
const REAL_TOP_TWO: f64 = 0.65;
/// Share of the 256 TTL values that no path through the internet gives.
const IMPLAUSIBLE_OF_RANDOM: f64 = cluster::IMPLAUSIBLE as f64 / 256.0;
/// An interval of the forged share that is wider than this says nothing that one could act on (SCIENCE 5.1).
const WIDE: f64 = 0.3;
/// From this strength on on both sides, tests disagree, unless one side is a hundred times as strong.
const DISAGREE: (f64, f64) = (10.0, 100.0);
/// /16 networks that a draw which avoids reserved space can hit.
const USABLE_SLASH16: f64 = 56_000.0;

/// A test's result: what it says; `None` where it was made and says nothing; or why it could not be made.
type Made = Result<Option<Test>, String>;

/// Examines the sources of one vector, cluster by cluster; the largest first.
pub fn examine<'a>(part: &'a Part, attack: &Attack, atlas: &Atlas) -> Vec<Class<'a>> {
    let all: f64 = part.senders.iter().map(|s| s.packets as f64).sum();
    let clusters = if part.vector.is_reflection() {
        vec![Cluster::whole(&part.senders)]
    } else {
        let addresses: Vec<Ipv6Addr> = part.senders.iter().map(|s| s.address).collect();
        let mut ids = Vec::with_capacity(addresses.len());
        atlas.lookup_all(&addresses, &mut ids);
        // One provider is one network; where nobody announces an address, its block is.
        let networks: Vec<u64> = ids
            .iter()
            .zip(&addresses)
            .map(|(id, address)| match atlas.place(*id).asn {
                0 => 1 << 40 ^ network(*address) as u64,
                asn => u64::from(asn),
            })
            .collect();
        cluster::split(&part.senders, &networks, part.sampling)
    };
    let mut classes: Vec<Class<'a>> = clusters
        .into_iter()
        .map(|cluster| judge(cluster, part, attack, atlas, all))
        .collect();
    classes.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.cluster.cmp(&b.cluster)));
    classes
}

/// What one cluster is, by all tests together.
fn judge<'a>(cluster: Cluster<'a>, part: &Part, attack: &Attack, atlas: &Atlas, all: f64) -> Class<'a> {
    let senders: &[Sender] = &cluster.senders;
    let (space, floor) = space(senders, attack.target.base, atlas);
    // What made the cluster cannot be asked of it again.
    let by_repeats = cluster.made == cluster::Made::Repeats;
    let unless_so_made = |made: Made| if by_repeats { Ok(None) } else { made };
    let made = [
        ("handshake", handshake(senders, part, attack)),
        ("ttl", of_ttl(&cluster)),
        ("ttl-of-one", ttl_of_one(senders)),
        ("space", space),
        ("spread", spread(senders)),
        ("repeats", unless_so_made(repeats(senders, part, attack.level))),
        ("rates", rates(senders, part)),
        ("density", density(senders)),
    ];
    let (mut tests, mut unmade) = (Vec::new(), Vec::new());
    for (test, made) in made {
        match made {
            Ok(said) => tests.extend(said),
            Err(why) => unmade.push(Unmade { test, why }),
        }
    }
    let ratios: Vec<f64> = tests
        .iter()
        .map(|test| test.ratio.clamp(1.0 / RATIO_MAX, RATIO_MAX))
        .collect();
    let odds: f64 = ratios.iter().product();
    let packets: f64 = senders.iter().map(|s| s.packets as f64).sum();
    let proven: f64 = senders
        .iter()
        .filter(|s| s.completed)
        .map(|s| s.packets as f64)
        .sum();
    let open = 1.0 - proven / packets.max(1.0);
    let (origin, forged) = if part.vector.is_reflection() && odds < RATIO_MAX * RATIO_MAX {
        // Answers are not often forged, so it takes two tests at their strongest to say that these are.
        let real = Test {
            test: "reflection",
            value: None,
            says: format!(
                "{} is made of answers: these sources are the machines that were made to answer, and the sender who forged the target's address stays hidden",
                part.vector.label()
            ),
            ratio: 1.0,
        };
        tests.insert(0, real);
        unmade.clear();
        // The answers cannot reach the target from an address that is not theirs; what else was swept in is at most a few per cent.
        let forged = Interval {
            estimate: 0.0,
            low: 0.0,
            high: 0.05,
        };
        (Origin::Reflector, forged)
    } else {
        let forged = verdict(odds, disagree(&ratios), open, cluster.other, floor);
        let origin = match () {
            () if forged.high - forged.low > WIDE => Origin::Undetermined,
            () if forged.estimate >= 0.5 => Origin::Forged,
            () => Origin::Direct,
        };
        (origin, forged)
    };
    Class {
        vector: part.vector,
        weight: if all > 0.0 { packets / all } else { 1.0 },
        cluster: cluster.name,
        senders: cluster.senders,
        origin,
        forged,
        tests,
        unmade,
    }
}

/// Whether tests speak strongly on both sides, neither far above the other.
fn disagree(ratios: &[f64]) -> bool {
    let pro: f64 = ratios.iter().filter(|ratio| **ratio > 1.0).product();
    let contra: f64 = 1.0 / ratios.iter().filter(|ratio| **ratio < 1.0).product::<f64>();
    let weaker = pro.min(contra);
    weaker >= DISAGREE.0 && pro.max(contra) < DISAGREE.1 * weaker
}

/// The share of forged sources from the odds, the share that is not proven real, what is another population's, and the floor that
/// reserved space gives.
fn verdict(odds: f64, disagree: bool, open: f64, other: f64, floor: Interval) -> Interval {
    let probability = (odds / (1.0 + odds)).clamp(0.005, 0.995);
    // Where tests disagree strongly, one of them is wrong, and it is not known which.
    let probability = if disagree {
        probability.clamp(0.03, 0.97)
    } else {
        probability
    };
    let estimate = probability * (1.0 - other) + (1.0 - probability) * other;
    let estimate = (estimate * open).max(floor.estimate.min(open));
    // The whole population is forged, or it is not: the interval is that of this mixture. Inside "forged" a tenth may be
    // somebody else's ordinary failures; inside "not forged" a twentieth may still be.
    let low = if probability > 0.975 {
        0.9 * (1.0 - 2.0 * other).max(0.0) * open
    } else {
        floor.low.min(open)
    };
    let high = if probability < 0.025 {
        ((0.05 + 2.0 * other).min(1.0) * open).max(floor.high.min(open))
    } else {
        open
    };
    Interval {
        estimate,
        low: low.min(estimate),
        high: high.max(estimate),
    }
}

/// What a test that was made says.
fn said(test: &'static str, value: f64, says: String, ratio: f64) -> Made {
    Ok(Some(Test {
        test,
        value: Some(value),
        says,
        ratio,
    }))
}

/// A network for the purpose of independence: a /16 of IPv4, a /32 of IPv6.
fn network(address: Ipv6Addr) -> u128 {
    let len = if address.to_ipv4_mapped().is_some() {
        96 + 16
    } else {
        32
    };
    address.to_bits() >> (128 - len)
}

/// Sources that completed a handshake are real. Sources that answer the target's SYN-ACK with RST, one by one, are not.
fn handshake(senders: &[Sender], part: &Part, attack: &Attack) -> Made {
    let completed = senders.iter().filter(|s| s.completed).count();
    let denied = senders.iter().filter(|s| s.denied).count();
    let n = senders.len().max(1) as f64;
    if completed > 0 {
        let share = completed as f64 / n;
        let says = format!(
            "{completed} of {} sources completed a handshake, so they receive what is sent to their address",
            senders.len()
        );
        return said(
            "handshake",
            share,
            says,
            if share >= 0.5 { 1.0 / RATIO_MAX } else { 1.0 },
        );
    }
    let packets: u64 = senders.iter().map(|s| s.packets).sum();
    let per_source = packets as f64 / part.sampling / n;
    if denied >= 20 && denied as f64 >= 0.3 * n && per_source <= 5.0 {
        let says = format!(
            "{denied} of {} sources answered the target's SYN-ACK with RST: they had not sent the SYN",
            senders.len()
        );
        return said("handshake", denied as f64 / n, says, 30.0);
    }
    match () {
        () if part.vector.transport() != Transport::Tcp => {
            Err("there is no handshake in this protocol".to_owned())
        }
        () if !attack.target_speaks => {
            Err("the target's side of the handshakes is not in the input".to_owned())
        }
        () if part.sampling >= SAMPLED_FROM => {
            Err("in a sample hardly any whole handshake is seen".to_owned())
        }
        () => Ok(None),
    }
}

/// What the TTLs of a cluster say.
fn of_ttl(cluster: &Cluster<'_>) -> Made {
    let n = cluster.senders.len();
    match cluster.made {
        cluster::Made::Hosts => {
            let (networks, beside) = cluster.networks;
            let says = format!(
                "{n} sources in about {networks:.0} networks show {}, and a value near is shown by {beside:.0} networks at most: real hosts are at many distances, one sending machine is at one",
                cluster.name
            );
            said(
                "ttl",
                networks,
                says,
                if networks >= 100.0 { RATIO_MAX } else { 100.0 },
            )
        }
        cluster::Made::Random => {
            let implausible = cluster
                .senders
                .iter()
                .filter(|s| is_implausible(s.ttl_first))
                .count();
            let says = format!(
                "{implausible} of {n} sources show TTLs that no path through the internet gives, evenly: the TTL is drawn at random"
            );
            said("ttl", implausible as f64 / n.max(1) as f64, says, RATIO_MAX)
        }
        _ => ttl(&cluster.senders),
    }
}

/// Hosts all over the world are at different distances; a few sending hosts that forge addresses are not.
fn ttl(senders: &[Sender]) -> Made {
    let with_ttl: Vec<_> = senders.iter().filter(|s| s.ttl_first > 0).collect();
    if with_ttl.is_empty() {
        return Err("no record tells a TTL, as most flow records do not".to_owned());
    }
    if with_ttl.len() < 12 {
        return Err(format!("only {} sources have a known TTL", with_ttl.len()));
    }
    // Senders are in address order, so a network's are side by side: its first one speaks for it.
    let of_networks: Vec<u8> = with_ttl
        .chunk_by(|a, b| network(a.address) == network(b.address))
        .map(|of_network| of_network[0].ttl_first)
        .collect();
    let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
    for sender in &with_ttl {
        *counts.entry(sender.ttl_first).or_default() += 1;
    }
    let n = with_ttl.len() as f64;
    let entropy = counts
        .values()
        .map(|&c| c as f64 / n)
        .map(|p| -p * p.log2())
        .sum::<f64>()
        .max(0.0);
    let implausible = counts
        .iter()
        .filter(|(ttl, _)| is_implausible(**ttl))
        .map(|(_, c)| *c)
        .sum::<u64>() as f64
        / n;
    if implausible >= 0.15 && with_ttl.len() >= 30 {
        let share = (implausible / IMPLAUSIBLE_OF_RANDOM).min(1.0);
        let says = format!(
            "{:.0} % of the sources have a TTL that no path through the internet gives: about {:.0} % have a random one",
            implausible * 100.0,
            share * 100.0
        );
        return said("ttl", implausible, says, RATIO_MAX);
    }
    let networks = of_networks.len() as u64;
    if networks < 12 {
        return Err(format!(
            "the sources are in {networks} networks only: hosts of one network are at one distance"
        ));
    }
    let mut by_network: BTreeMap<u8, u64> = BTreeMap::new();
    for ttl in &of_networks {
        *by_network.entry(*ttl).or_default() += 1;
    }
    let mut tops: Vec<u64> = by_network.values().copied().collect();
    tops.sort_unstable_by(|a, b| b.cmp(a));
    let top_two = tops.iter().take(2).sum::<u64>();
    let share = top_two as f64 / networks as f64;
    // How probable is it that real hosts of so many networks agree as much as that, or more?
    let tail = Binomial::new(REAL_TOP_TWO, networks).map_or(1.0, |b| b.sf(top_two.saturating_sub(1)));
    let ratio = if share > REAL_TOP_TWO {
        (1.0 / tail.max(1e-9)).min(RATIO_MAX)
    } else if entropy >= 3.0 {
        0.01
    } else {
        1.0
    };
    let says = if ratio > 10.0 {
        format!(
            "sources in {networks} different networks share {} TTL{} ({:.1} % have the two commonest): real hosts are at many distances",
            counts.len(),
            if counts.len() == 1 { "" } else { "s" },
            share * 100.0
        )
    } else {
        format!(
            "{} different TTLs over {networks} networks, as real hosts have ({entropy:.1} bits)",
            counts.len()
        )
    };
    said("ttl", entropy, says, ratio)
}

/// One address is at one distance.
fn ttl_of_one(senders: &[Sender]) -> Made {
    let repeated: Vec<_> = senders
        .iter()
        .filter(|s| s.packets >= 3 && s.ttl_max > 0)
        .collect();
    if repeated.len() < 10 {
        return Err("fewer than ten sources with a known TTL were seen three times".to_owned());
    }
    let wild = repeated
        .iter()
        .filter(|s| s.ttl_max - s.ttl_min.min(s.ttl_max) >= 8)
        .count();
    let share = wild as f64 / repeated.len() as f64;
    if share < 0.3 {
        return Ok(None);
    }
    let says = format!(
        "{wild} of {} addresses that were seen repeatedly show TTLs far apart",
        repeated.len()
    );
    said("ttl-of-one", share, says, if share >= 0.5 { 100.0 } else { 10.0 })
}

/// Reserved and unannounced space: nobody sends from there, so each such source is forged. Tools that avoid this space show none.
fn space(senders: &[Sender], target: Ipv6Addr, atlas: &Atlas) -> (Made, Interval) {
    let n = senders.len();
    if n < 5 {
        return (Err(format!("there are {n} sources only")), Interval::ZERO);
    }
    // Inside a private network private sources are ordinary, and the local network's address plan is not the atlas's matter.
    let local = atlas.lookup(target).kind == Kind::Reserved;
    let addresses: Vec<Ipv6Addr> = senders.iter().map(|s| s.address).collect();
    let mut ids = Vec::with_capacity(n);
    atlas.lookup_all(&addresses, &mut ids);
    let unusable = ids
        .iter()
        .zip(&addresses)
        .filter(|(id, address)| {
            let place = atlas.place(**id);
            if local && place.kind == Kind::Reserved {
                !is_private(**address)
            } else {
                !place.routed
            }
        })
        .count();
    let ipv6 = addresses.iter().filter(|a| a.to_ipv4_mapped().is_none()).count() * 2 > n;
    let of_draw = if ipv6 {
        1.0
    } else {
        atlas.ipv4_unusable_share().clamp(0.01, 1.0)
    };
    let share = unusable as f64 / n as f64;
    let beta = Beta::new(unusable as f64 + 0.5, (n - unusable) as f64 + 0.5);
    let quantile = |p: f64| beta.as_ref().map_or(0.0, |b| b.inverse_cdf(p) / of_draw).min(1.0);
    // A few per cent of real sources look unannounced because the atlas is of another day than the traffic.
    let noise = 0.03;
    let estimate = ((share - noise).max(0.0) / of_draw).min(1.0);
    let floor = Interval {
        estimate,
        low: (quantile(0.025) - noise / of_draw).max(0.0).min(estimate),
        high: if unusable == 0 {
            estimate
        } else {
            quantile(0.975).max(estimate)
        },
    };
    let says = if unusable == 0 {
        format!(
            "none of {n} sources is in reserved or unannounced space: that shows nothing, for tools avoid it"
        )
    } else {
        format!(
            "{unusable} of {n} sources ({:.1} %) are in reserved or unannounced space; a uniform draw would hit {:.1} %",
            share * 100.0,
            of_draw * 100.0
        )
    };
    let ratio = if share >= 0.5 * of_draw && unusable >= 5 {
        100.0
    } else if share >= 0.15 && unusable >= 10 {
        10.0
    } else {
        1.0
    };
    (said("space", share, says, ratio), floor)
}

/// Private, loopback, link-local or unique local: ordinary sources inside a local network.
fn is_private(address: Ipv6Addr) -> bool {
    match address.to_ipv4_mapped() {
        Some(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
        }
        None => true,
    }
}

/// A uniform draw hits nearly as many /16 networks as there are draws; real hosts crowd in the networks that have customers.
fn spread(senders: &[Sender]) -> Made {
    let Some((networks, value)) = spread_of(senders) else {
        return Err("there are fewer than 300 IPv4 sources".to_owned());
    };
    let n = senders.len() as f64;
    let ratio = match () {
        () if n >= 1_000.0 && value >= 0.85 => 30.0,
        () if value >= 0.95 => 5.0,
        () if value <= 0.4 => 1.0 / 30.0,
        () if value <= 0.6 => 1.0 / 3.0,
        // A draw that avoids what nobody announces hits fewer networks too, but of so few sources that hardly shows.
        () if value <= 0.8 && (500.0..20_000.0).contains(&n) => 1.0 / 3.0,
        () => 1.0,
    };
    let says = format!(
        "{} sources in {} different /16 networks: {:.0} % of what a uniform draw over the address space gives",
        senders.len(),
        networks,
        value * 100.0
    );
    said("spread", value, says, ratio)
}

/// /16 networks of IPv4 sources, and their number over that of a uniform draw; `None` below 300 sources.
pub(crate) fn spread_of(senders: &[Sender]) -> Option<(usize, f64)> {
    let ipv4: Vec<Ipv6Addr> = senders
        .iter()
        .map(|s| s.address)
        .filter(|a| a.to_ipv4_mapped().is_some())
        .collect();
    let n = ipv4.len() as f64;
    if n < 300.0 {
        return None;
    }
    let networks = ipv4.chunk_by(|a, b| network(*a) == network(*b)).count();
    let expected = USABLE_SLASH16 * (1.0 - (-n / USABLE_SLASH16).exp());
    Some((networks, networks as f64 / expected))
}

/// Packets observed of each machine. In IPv6 a machine changes its address within its /64 (RFC 8981), so what shares one is one.
fn observed(senders: &[Sender], sampling: f64) -> Vec<f64> {
    let site = |sender: &Sender| match sender.address.to_ipv4_mapped() {
        Some(_) => sender.address.to_bits(),
        None => sender.address.to_bits() >> 64,
    };
    senders
        .chunk_by(|a, b| site(a) == site(b))
        .map(|machine| machine.iter().map(|s| s.packets as f64).sum::<f64>() / sampling)
        .collect()
}

/// A sender has one address and uses it for all its packets; a forger has a new one for each.
fn repeats(senders: &[Sender], part: &Part, level: u32) -> Made {
    let observed = observed(senders, part.sampling);
    let n = observed.len();
    let packets: u64 = senders.iter().map(|s| s.packets).sum();
    // What was observed, not what it stands for. In a sample nearly every source comes once, whether or not it sends more.
    let packets = (packets as f64 / part.sampling).round() as u64;
    let per_source = packets as f64 / n.max(1) as f64;
    if n == 0 || packets < 50 {
        return Err("fewer than 50 packets were seen".to_owned());
    }
    if part.sampling >= SAMPLED_FROM && per_source < 3.0 {
        return Err("in a sample nearly every source is seen once, whatever it sends".to_owned());
    }
    let short = part.last_ns - part.first_ns < 1_000_000_000;
    let ratio = match () {
        () if per_source >= 50.0 => 0.1,
        () if per_source <= 1.3 && n >= 200 && short => 3.0,
        () if per_source <= 1.3 && n >= 1_000 => 30.0,
        () if per_source <= 1.3 && n >= 200 => 10.0,
        () => 1.0,
    };
    // Equal pairs among packets tell the size of the pool, if each packet draws from it anew (birthday estimate).
    let pairs: f64 = observed
        .iter()
        .map(|packets| packets * (packets - 1.0).max(0.0) / 2.0)
        .sum();
    let says = if per_source <= 1.3 && n >= 200 && !part.vector.is_reflection() {
        let pool = packets as f64 * (packets as f64 - 1.0) / 2.0 / pairs;
        let drawn = if pairs > 0.0 && level == 0 {
            format!("; if drawn at random, from a pool of about {}", round_two(pool))
        } else {
            String::new()
        };
        format!("{per_source:.2} packets from each source: a new address for nearly every packet{drawn}")
    } else {
        format!("{per_source:.1} packets from each source")
    };
    said("repeats", per_source, says, ratio)
}

/// Machines have their own speeds. Who draws each packet's address anew from a pool gives all addresses of it about as many packets, as
/// many more or fewer as chance does. Counts are then Poisson without the zeros, which nobody sees: for a Poisson mean of `l` the mean of
/// those seen is `m = l / (1 - exp(-l))`, and their variance over their mean `1 + l - m`. The value is the variance over what that gives.
fn rates(senders: &[Sender], part: &Part) -> Made {
    let observed = observed(senders, part.sampling);
    let n = observed.len() as f64;
    let mean = observed.iter().sum::<f64>() / n.max(1.0);
    if observed.len() < 100 || mean < 1.5 {
        return Err("too few packets from each source to compare their speeds".to_owned());
    }
    // Of a mixture it would only say that it is one.
    let once = observed.iter().filter(|packets| **packets < 1.5).count();
    if once * 2 > observed.len() {
        return Err("most sources were seen once: their speeds cannot be compared".to_owned());
    }
    let variance = observed
        .iter()
        .map(|packets| (packets - mean).powi(2))
        .sum::<f64>()
        / n;
    let poisson = (0..100).fold(mean, |l, _| mean * (1.0 - (-l).exp()));
    let value = variance / (mean * (1.0 + poisson - mean)).max(1e-9);
    let (ratio, what) = match () {
        () if value >= 5.0 => (1.0 / 50.0, "each has its own speed, as machines have"),
        () if value >= 1.8 => (1.0 / 10.0, "they differ in speed more than chance gives"),
        () if (0.7..=1.3).contains(&value) && mean >= 3.0 => {
            (5.0, "as if each packet drew its address anew from a pool")
        }
        () => (1.0, "which says little"),
    };
    let says = format!(
        "{mean:.1} packets from each source, and they vary {value:.1} times as much as chance gives: {what}"
    );
    said("rates", value, says, ratio)
}

/// Two significant digits: a pool size is no more certain than that.
fn round_two(value: f64) -> u64 {
    let unit = 10f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    ((value / unit).round() * unit) as u64
}

/// A real block of 256 addresses has gaps; a forger who stays inside his own block uses all of it.
fn density(senders: &[Sender]) -> Made {
    let full: usize = senders
        .chunk_by(|a, b| a.address.to_bits() >> 8 == b.address.to_bits() >> 8)
        .filter(|block| block.len() >= 200 && block[0].address.to_ipv4_mapped().is_some())
        .map(<[Sender]>::len)
        .sum();
    if senders.len() < 100 || (full as f64) < 0.6 * senders.len() as f64 {
        return Ok(None);
    }
    let says = format!(
        "{full} of {} sources fill whole blocks of 256 addresses, which real networks do not",
        senders.len()
    );
    said("density", full as f64 / senders.len() as f64, says, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(address: u32, ttl: u8, packets: u64) -> Sender {
        Sender {
            pairs: 1,
            address: std::net::Ipv4Addr::from(address).to_ipv6_mapped(),
            packets,
            bytes: packets * 40,
            first_ns: 0,
            last_ns: 0,
            ttl_min: ttl,
            ttl_max: ttl,
            ttl_first: ttl,
            completed: false,
            denied: false,
            window: 0,
            options: 0,
        }
    }

    fn ratio(made: Made) -> f64 {
        made.ok().flatten().map_or(1.0, |test| test.ratio)
    }

    #[test]
    fn one_ttl_from_many_networks_is_forged_and_many_are_not() {
        let same: Vec<_> = (1..200u32).map(|i| sender(i << 16, 242, 1)).collect();
        assert!(ratio(ttl(&same)) >= 100.0);
        let many: Vec<_> = (1..200u32)
            .map(|i| sender(i << 16, 40 + (i * 7 % 20) as u8, 1))
            .collect();
        assert!(ratio(ttl(&many)) <= 0.01);
        let one_network: Vec<_> = (1..200u32).map(|i| sender(0x0a00_0000 | i, 64, 1)).collect();
        assert_eq!(
            ratio(ttl(&one_network)),
            1.0,
            "hosts of one network are at one distance"
        );
    }

    #[test]
    fn random_ttls_are_forged() {
        let random: Vec<_> = (0..256u32).map(|i| sender(i << 16, i as u8, 1)).collect();
        assert!(ratio(ttl(&random)) >= 100.0);
    }

    #[test]
    fn a_verdict_is_ordered_and_within_bounds() {
        for odds in [0.0, 1e-6, 0.1, 1.0, 10.0, 1e9] {
            for open in [0.0, 0.3, 1.0] {
                let v = verdict(
                    odds,
                    false,
                    open,
                    0.1,
                    Interval {
                        estimate: 0.1,
                        low: 0.05,
                        high: 0.2,
                    },
                );
                assert!(
                    0.0 <= v.low && v.low <= v.estimate && v.estimate <= v.high && v.high <= 1.0,
                    "{odds} {open} {v:?}"
                );
                assert!(v.high <= open + 1e-9);
            }
        }
    }

    #[test]
    fn pools_are_rounded_to_what_is_known() {
        assert_eq!(round_two(123_456.0), 120_000);
        assert_eq!(round_two(7.0), 7);
    }
}
