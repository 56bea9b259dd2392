//! Where did it come from, and how sure are we?
//!
//! Only attack packets are traced, never the whole capture. The order of work is that of the question: are the sources
//! forged, are they reflectors, which of the rest are attack and not audience, and only then where are they, and do they act as one.
//!
//! - [`forged`]: the tests on source addresses, and what they say together.
//! - [`audience`]: the normal users, taken out.
//! - [`share`]: shares by country, network, prefix and kind, with intervals.
//! - [`coordination`]: how alike the senders behave.
#![deny(missing_docs)]

pub mod audience;
mod cluster;
pub mod coordination;
pub mod forged;
pub mod hours;
pub mod share;

use std::borrow::Cow;

use atlas::Atlas;
use detect::{Attack, Sender, Vector};

pub use audience::{Audience, Past};
pub use coordination::Coordination;
pub use forged::{Origin, Test, Unmade};
pub use hours::Hours;
pub use share::{Interval, Located, Location, Network, Placement, Seen};

/// From this rate on traffic counts as sampled.
pub(crate) const SAMPLED_FROM: f64 = 1.5;
/// Classes below this share of the attack do not have their tests listed: they would only repeat or blur those on the main ones.
const TESTS_FROM: f64 = 0.1;
/// In sampled traffic nobody sees who was answered, so up to this share of what was counted may be the target's ordinary users.
const SWEPT_IN: f64 = 0.05;
/// Below this share of direct packets, places say nothing of the senders (SCIENCE 5.1).
pub const DIRECT_MIN: f64 = 0.2;

/// Where an attack came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Distinct source addresses.
    pub distinct: u64,
    /// Whether each was counted; otherwise the number is an estimate from a sample.
    pub distinct_exact: bool,
    /// Share of the attack packets whose source address is forged.
    pub forged: Interval,
    /// Share of the attack packets that reflectors sent.
    pub reflected: Interval,
    /// The tests behind both.
    pub tests: Vec<Test>,
    /// Tests that could not be made.
    pub unmade: Vec<Unmade>,
    /// What the sources are, cluster by cluster; the largest first.
    pub classes: Vec<Class>,
    /// Where the source addresses are.
    pub placement: Placement,
    /// The machines that sent under their own address.
    pub senders: Senders,
    /// The normal users of the target.
    pub audience: Option<Audience>,
    /// How alike the senders behave.
    pub coordination: Option<Coordination>,
}

/// What the sources of one cluster are.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whose.
    pub vector: Vector,
    /// What its packets have in common, in words.
    pub cluster: String,
    /// Share of the attack packets.
    pub share: f64,
    /// Distinct sources.
    pub distinct: u64,
    /// What they are.
    pub origin: Origin,
    /// Share of its packets with a forged source.
    pub forged: Interval,
    /// Its sources that sent most: see [`loudest`].
    pub loudest: Vec<Sender>,
}

/// Sources of a cluster that are kept with what they sent.
pub const LOUDEST: usize = 10_000;

/// The senders that sent most, at most [`LOUDEST`]: most packets first, ties by address. There may be a million, so only those that are
/// kept are sorted.
pub fn loudest(senders: &[Sender]) -> Vec<Sender> {
    let rank = |sender: &&Sender| (std::cmp::Reverse(sender.packets), sender.address);
    let mut top: Vec<&Sender> = senders.iter().collect();
    if top.len() > LOUDEST {
        top.select_nth_unstable_by_key(LOUDEST - 1, rank);
        top.truncate(LOUDEST);
    }
    top.sort_unstable_by_key(rank);
    top.into_iter().copied().collect()
}

/// The machines that sent under their own address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Senders {
    /// Share of the attack packets that they sent, without the audience's.
    pub share: Interval,
    /// How many there are.
    pub distinct: u64,
    /// Where they are; empty where they are less than [`DIRECT_MIN`] of the attack.
    pub location: Location,
}

/// Traces an attack. `past` is what else shows who its audience is.
pub fn trace(attack: &Attack, past: &Past, atlas: &Atlas) -> Trace {
    let total = attack.packets().max(1) as f64;
    let lists: Vec<&[Sender]> = attack.parts.iter().map(|part| part.senders.as_slice()).collect();
    let all = joined(&lists);
    let sampling = attack.sampling();
    let seen = Seen::of(sampling, attack.level, &all);
    let (mut forged, mut reflected) = (Interval::ZERO, Interval::ZERO);
    let mut classes: Vec<(f64, forged::Class<'_>)> = Vec::new();
    for part in &attack.parts {
        let of_part = forged::examine(part, attack, atlas).into_iter();
        classes.extend(of_part.map(|class| (class.weight * part.packets as f64 / total, class)));
    }
    classes.sort_by(|a, b| {
        let by_name = || (a.1.vector, &a.1.cluster).cmp(&(b.1.vector, &b.1.cluster));
        b.0.total_cmp(&a.0).then_with(by_name)
    });
    // A small class of real senders beside forged ones: all of the attack may be the others'.
    let may_be_users = |weight: f64, class: &forged::Class<'_>| {
        sampling >= SAMPLED_FROM && weight <= SWEPT_IN && class.origin == Origin::Direct
    };
    for (weight, class) in &classes {
        let mut of_class = class.forged;
        if may_be_users(*weight, class) {
            of_class.high = 1.0;
        }
        forged = forged.plus(of_class.times(*weight));
        if class.origin == Origin::Reflector {
            // The answers cannot reach the target from an address that is not theirs; what else was swept in is a few per cent.
            let answers = Interval {
                estimate: 1.0,
                low: 0.95,
                high: 1.0,
            };
            reflected = reflected.plus(answers.times(*weight));
        }
    }
    let (tests, unmade) = told(&classes);

    // The direct part: what sent under its own address, as far as the tests tell.
    let is_direct = |class: &forged::Class<'_>| match class.origin {
        Origin::Direct => true,
        Origin::Undetermined => class.forged.estimate < 0.5,
        Origin::Forged | Origin::Reflector => false,
    };
    let direct_lists: Vec<&[Sender]> = classes
        .iter()
        .filter(|(_, class)| is_direct(class))
        .map(|(_, class)| class.senders.as_ref())
        .collect();
    let direct = joined(&direct_lists);
    let is_machine = |class: &forged::Class<'_>| is_direct(class) || class.origin == Origin::Reflector;
    let machines_lists: Vec<&[Sender]> = classes
        .iter()
        .filter(|(_, class)| is_machine(class))
        .map(|(_, class)| class.senders.as_ref())
        .collect();
    // Where all are machines, nothing is to be told apart.
    let machines = (machines_lists.len() < classes.len()).then(|| joined(&machines_lists));
    let usual = audience::learn(attack, past, atlas);
    let mut share = Interval::ZERO;
    for (weight, class) in &classes {
        let own = Interval {
            estimate: if is_direct(class) {
                1.0 - class.forged.estimate
            } else {
                0.0
            },
            low: if is_direct(class) && !may_be_users(*weight, class) {
                1.0 - class.forged.high
            } else {
                0.0
            },
            high: if class.origin == Origin::Reflector {
                0.05
            } else {
                1.0 - class.forged.low
            },
        };
        share = share.plus(own.times(*weight));
    }
    let location = if share.estimate >= DIRECT_MIN {
        share::locate(
            &direct,
            atlas,
            Seen::of(sampling, attack.level, &direct),
            usual.as_ref(),
        )
    } else {
        Location::default()
    };
    let taken_out = location.taken_out;
    let share = Interval {
        estimate: share.estimate * (1.0 - taken_out.estimate),
        low: share.low * (1.0 - taken_out.high),
        high: share.high * (1.0 - taken_out.low),
    };
    let coordination = if share.estimate >= DIRECT_MIN {
        let parts: Vec<(Vector, &[Sender])> = classes
            .iter()
            .filter(|(_, class)| is_direct(class))
            .map(|(_, class)| (class.vector, class.senders.as_ref()))
            .collect();
        coordination::examine(&parts, &direct, attack)
    } else {
        None
    };
    Trace {
        distinct: distinct(&all, attack.level),
        distinct_exact: attack.level == 0 && sampling < SAMPLED_FROM,
        forged: forged.clamped(),
        reflected: reflected.clamped(),
        tests,
        unmade,
        placement: share::place(&all, machines.as_deref(), atlas, seen),
        senders: Senders {
            share: share.clamped(),
            distinct: distinct(&direct, attack.level),
            location,
        },
        audience: usual.map(|usual| usual.audience(taken_out)),
        coordination,
        classes: classes
            .into_iter()
            .map(|(share, class)| Class {
                vector: class.vector,
                cluster: class.cluster,
                share,
                distinct: distinct(&class.senders, attack.level),
                origin: class.origin,
                forged: class.forged,
                loudest: loudest(&class.senders),
            })
            .collect(),
    }
}

/// Lists of senders as one.
fn joined<'a>(lists: &[&'a [Sender]]) -> Cow<'a, [Sender]> {
    match lists {
        [] => Cow::Borrowed(&[]),
        [only] => Cow::Borrowed(only),
        lists => Cow::Owned(detect::judge::join_senders(lists)),
    }
}

/// The tests that were made and those that could not be, each with whose it is where there are several.
fn told(classes: &[(f64, forged::Class<'_>)]) -> (Vec<Test>, Vec<Unmade>) {
    let listed: Vec<&forged::Class<'_>> = classes
        .iter()
        .filter(|(weight, _)| *weight >= TESTS_FROM)
        .map(|(_, class)| class)
        .collect();
    let whose = |class: &forged::Class<'_>| {
        let alone = listed.iter().filter(|other| other.vector == class.vector).count() == 1;
        let one_vector = listed.iter().all(|other| other.vector == class.vector);
        match (alone, one_vector) {
            (true, true) => String::new(),
            (true, false) => format!("{}: ", class.vector.label()),
            (false, true) => format!("{}: ", class.cluster),
            (false, false) => format!("{}, {}: ", class.vector.label(), class.cluster),
        }
    };
    let mut tests = Vec::new();
    let mut unmade: Vec<Unmade> = Vec::new();
    for class in &listed {
        tests.extend(class.tests.iter().map(|test| Test {
            says: format!("{}{}", whose(class), test.says),
            ..test.clone()
        }));
        for missing in &class.unmade {
            let same = |other: &&forged::Class<'_>| other.unmade.contains(missing);
            let why = if listed.iter().all(same) {
                missing.why.clone()
            } else {
                format!("{}{}", whose(class), missing.why)
            };
            let missing = Unmade {
                test: missing.test,
                why,
            };
            if !unmade.contains(&missing) {
                unmade.push(missing);
            }
        }
    }
    (tests, unmade)
}

/// How many senders there are where pairs of hosts are a sample, one in 2^level (Horvitz and Thompson 1952): each that was seen stands
/// for one over its chance to be seen. That is the chance of its one pair; a sender that was seen with several hosts has as many more
/// pairs as the sample leaves out, and is seen if one of them is.
fn distinct(senders: &[Sender], level: u32) -> u64 {
    if level == 0 {
        return senders.len() as u64;
    }
    let kept = 0.5f64.powi(level.min(63) as i32);
    let seen = |sender: &Sender| match sender.pairs {
        0 | 1 => kept,
        pairs => 1.0 - (1.0 - kept).powf(f64::from(pairs) / kept),
    };
    senders
        .iter()
        .map(|sender| 1.0 / seen(sender))
        .sum::<f64>()
        .round() as u64
}

#[cfg(test)]
mod loudest_tests {
    use super::*;

    #[test]
    fn the_loudest_are_kept_and_ties_go_by_address() {
        let sender = |last: u16, packets: u64| Sender {
            pairs: 1,
            address: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last),
            packets,
            bytes: 100 * packets,
            first_ns: 1,
            last_ns: 2,
            ttl_min: 64,
            ttl_max: 64,
            ttl_first: 64,
            completed: false,
            denied: false,
            window: 0,
            options: 0,
        };
        let senders: Vec<Sender> = (0..30_000).map(|i| sender(i, u64::from(i % 15_000))).collect();
        let top = loudest(&senders);
        assert_eq!(top.len(), LOUDEST);
        let first: Vec<(u16, u64)> = top
            .iter()
            .take(3)
            .map(|source| (source.address.segments()[7], source.packets))
            .collect();
        assert_eq!(first, [(14_999, 14_999), (29_999, 14_999), (14_998, 14_998)]);
        assert_eq!(top.last().map(|source| source.packets), Some(10_000));
        assert_eq!(loudest(&senders[..2]).len(), 2);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use atlas::{Country, Prefix};
    use detect::lane::Look;
    use detect::{Client, Clients, Part};

    use super::*;

    /// Numbers drawn at random (xorshift), the same in every run.
    pub(crate) struct Draw(pub(crate) u64);

    impl Draw {
        pub(crate) fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % n
        }
    }

    const START: u64 = 1_741_600_000_000_000_000;
    const END: u64 = START + 100_000_000_000;
    const MINUTE: u64 = 60_000_000_000;

    fn v4(address: u32) -> Ipv6Addr {
        Ipv4Addr::from_bits(address).to_ipv6_mapped()
    }

    /// A tenth of 4,000 senders hit one host, the others 200 hosts of a carpet each; one pair in 4 or 16 was counted.
    #[test]
    fn senders_are_counted_from_a_sample_of_pairs() {
        let mut draw = Draw(5);
        for level in [0, 2, 4] {
            let mut seen = Vec::new();
            for n in 0..4_000 {
                let pairs = if n % 10 == 0 { 1 } else { 200 };
                let counted = (0..pairs).filter(|_| draw.below(1 << level) == 0).count() as u32;
                if counted > 0 {
                    seen.push(Sender {
                        pairs: counted,
                        ..sender(n, 50, 1)
                    });
                }
            }
            let found = distinct(&seen, level) as f64;
            assert!((found / 4_000.0 - 1.0).abs() < 0.05, "{level}: {found}");
        }
    }

    pub(crate) fn sender(address: u32, ttl: u8, packets: u64) -> Sender {
        Sender {
            pairs: 1,
            address: v4(address),
            packets,
            bytes: packets * 40,
            first_ns: START,
            last_ns: END,
            ttl_min: ttl,
            ttl_max: ttl,
            ttl_first: ttl,
            completed: false,
            denied: false,
            window: 0,
            options: 0,
        }
    }

    pub(crate) fn attack(parts: Vec<(Vector, Vec<Sender>)>) -> Attack {
        let parts = parts
            .into_iter()
            .map(|(vector, mut senders)| {
                senders = detect::judge::join_senders(&[&senders]);
                Part {
                    vector,
                    packets: senders.iter().map(|s| s.packets).sum(),
                    bytes: senders.iter().map(|s| s.bytes).sum(),
                    requests: None,
                    first_ns: START,
                    last_ns: END,
                    cells: Vec::new(),
                    senders,
                    look: Look::default(),
                    sampling: 1.0,
                    companions: 0,
                    why: String::new(),
                }
            })
            .collect();
        Attack {
            target: Prefix::of(v4(0xc629_1e0a), 128),
            hosts: vec![v4(0xc629_1e0a)],
            start_ns: START,
            end_ns: END,
            ongoing: false,
            longest_pause_s: 0,
            parts,
            target_speaks: true,
            level: 0,
            input_ns: (START - MINUTE, END + MINUTE),
            clients: Clients::default(),
        }
    }

    /// Announced addresses of a country; of any where it is `ZZ`.
    fn addresses(code: &[u8; 2], n: usize, draw: &mut Draw, atlas: &Atlas) -> Vec<u32> {
        let mut found = Vec::new();
        while found.len() < n {
            let address = draw.below(1 << 32) as u32;
            let place = atlas.lookup(v4(address));
            if place.routed && (*code == *b"ZZ" || place.country == Country(*code)) {
                found.push(address);
            }
        }
        found
    }

    /// The TTL of a machine, by the distance of its network.
    fn ttl(address: u32) -> u8 {
        let near = detect::conversation::mix(u64::from(address >> 16)) % 9;
        57 - near as u8 - (address >> 20) as u8 % 8
    }

    /// Machines at the distances of their networks, each with its own speed.
    fn bots(draw: &mut Draw, atlas: &Atlas) -> Vec<Sender> {
        let mut all = Vec::new();
        for (code, n) in [(b"VN", 900), (b"BR", 800), (b"US", 800), (b"UA", 100)] {
            for address in addresses(code, n, draw, atlas) {
                all.push(sender(address, ttl(address), 4 + draw.below(80)));
            }
        }
        all
    }

    fn forged(draw: &mut Draw, n: usize, atlas: &Atlas, ttl: impl Fn(&mut Draw) -> u8) -> Vec<Sender> {
        let all = addresses(b"ZZ", n, draw, atlas);
        all.into_iter()
            .map(|address| sender(address, ttl(draw), 1))
            .collect()
    }

    #[test]
    fn a_botnet_and_a_forged_stream_in_one_vector_are_told_apart() {
        let atlas = Atlas::embedded();
        let hosts = |draw: &mut Draw| 242 - 3 * draw.below(2) as u8;
        let random = |draw: &mut Draw| 1 + draw.below(255) as u8;
        let inside = |_: &mut Draw| 50; // the forging machine's TTL lies among those of the bots
        for (seed, n, ttl) in [
            (1, 60_000, &hosts as &dyn Fn(&mut Draw) -> u8),
            (2, 60_000, &random),
            (3, 60_000, &inside),
            (4, 3_000, &hosts),
            (5, 3_000, &random),
        ] {
            let mut draw = Draw(seed);
            let real = bots(&mut draw, &atlas);
            let real_packets: u64 = real.iter().map(|s| s.packets).sum();
            let mut all = forged(&mut draw, n, &atlas, ttl);
            all.extend(&real);
            let trace = trace(&attack(vec![(Vector::SynFlood, all)]), &Past::default(), &atlas);
            let truth = n as f64 / (n as f64 + real_packets as f64);
            assert!(
                (trace.forged.estimate - truth).abs() < 0.03,
                "{seed}: {truth} {:?}",
                trace.forged
            );
            assert!(
                (trace.forged.low..=trace.forged.high).contains(&truth),
                "{seed}: {truth} {:?}",
                trace.forged
            );
            let origins: Vec<Origin> = trace.classes.iter().map(|class| class.origin).collect();
            assert!(
                origins.contains(&Origin::Direct) && origins.contains(&Origin::Forged),
                "{seed}: {:?}",
                trace.classes
            );
            let sum: f64 = trace.classes.iter().map(|class| class.share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "parts sum to the whole");
            assert_eq!(
                trace.classes.iter().map(|class| class.distinct).sum::<u64>(),
                trace.distinct
            );
            // The senders are the bots, and their countries are theirs: not those of the forged addresses.
            let found = trace.senders.distinct as f64;
            assert!(
                (found / real.len() as f64 - 1.0).abs() < 0.1,
                "{seed}: {found} of {}",
                real.len()
            );
            let by_sources = |code: &[u8; 2]| {
                let row = trace
                    .senders
                    .location
                    .countries
                    .iter()
                    .find(|row| row.key == Country(*code));
                row.map_or(0.0, |row| row.by_sources.estimate)
            };
            assert!(
                (by_sources(b"VN") - 900.0 / 2_600.0).abs() < 0.03,
                "{seed}: {}",
                by_sources(b"VN")
            );
            assert!(by_sources(b"CN") < 0.02, "{seed}: {}", by_sources(b"CN"));
        }
    }

    #[test]
    fn without_ttl_what_was_seen_once_is_told_from_what_comes_again() {
        let atlas = Atlas::embedded();
        let mut draw = Draw(6);
        // Bots of a few providers, as most are.
        let mut all: Vec<Sender> = (0..2_000u32)
            .map(|i| sender(0x5200_0000 + (i % 23) * 0x1_0000 + i * 7, 0, 20 + draw.below(60)))
            .collect();
        all.extend(forged(&mut draw, 40_000, &atlas, |_| 0));
        let trace = trace(&attack(vec![(Vector::UdpFlood, all)]), &Past::default(), &atlas);
        let real = trace
            .classes
            .iter()
            .find(|class| class.origin == Origin::Direct)
            .expect("the bots");
        assert!((1_950..=2_050).contains(&real.distinct), "{:?}", trace.classes);
        assert!(
            trace.unmade.iter().any(|unmade| unmade.test == "ttl"),
            "{:?}",
            trace.unmade
        );
    }

    #[test]
    fn forged_sources_and_reflectors_are_never_senders() {
        let atlas = Atlas::embedded();
        let mut draw = Draw(7);
        let stream = forged(&mut draw, 30_000, &atlas, |_| 242);
        let alone = trace(
            &attack(vec![(Vector::SynFlood, stream.clone())]),
            &Past::default(),
            &atlas,
        );
        assert_eq!(
            (alone.senders.distinct, alone.senders.location.countries.len()),
            (0, 0)
        );
        assert!(alone.senders.share.high < 0.2 && alone.coordination.is_none());
        let reflectors: Vec<Sender> = bots(&mut draw, &atlas)
            .into_iter()
            .map(|s| Sender { packets: 400, ..s })
            .collect();
        let both = trace(
            &attack(vec![
                (Vector::DnsAmplification, reflectors),
                (Vector::SynFlood, stream),
            ]),
            &Past::default(),
            &atlas,
        );
        assert_eq!(both.senders.distinct, 0, "{:?}", both.classes);
        assert!(both.reflected.estimate > 0.9 && both.senders.location == Location::default());
    }

    #[test]
    fn the_order_of_what_is_given_does_not_matter() {
        let atlas = Atlas::embedded();
        let mut draw = Draw(8);
        let (one, mut other) = (bots(&mut draw, &atlas), forged(&mut draw, 5_000, &atlas, |_| 242));
        other.extend(bots(&mut draw, &atlas));
        let there = trace(
            &attack(vec![
                (Vector::SynFlood, one.clone()),
                (Vector::UdpFlood, other.clone()),
            ]),
            &Past::default(),
            &atlas,
        );
        let shuffled = |list: &[Sender]| list.iter().rev().copied().collect::<Vec<_>>();
        let back = trace(
            &attack(vec![
                (Vector::UdpFlood, shuffled(&other)),
                (Vector::SynFlood, shuffled(&one)),
            ]),
            &Past::default(),
            &atlas,
        );
        assert_eq!(there, back);
    }

    const HOUR: u64 = 3_600_000_000_000;

    /// An hour in which so many clients in the United States came every two minutes, with a SYN each time.
    fn usual_hour(clients: u64) -> hours::Hour {
        let sent = hours::Sent {
            vector: Vector::SynFlood,
            packets: clients * 30,
            clients,
            seen: clients * 12,
        };
        hours::Hour {
            watched_ns: HOUR,
            cells: vec![hours::Cell {
                country: Country(*b"US"),
                asn: 7_922,
                kind: atlas::Kind::Access,
                clients,
                sent: vec![sent],
            }],
        }
    }

    /// Bots in Vietnam and Brazil, and users in the United States who are no longer served and try `retries` times as often.
    #[test]
    fn users_who_try_again_are_taken_out() {
        let atlas = Atlas::embedded();
        let mut draw = Draw(9);
        let usual: u64 = 1_200; // clients in the minute before, a SYN each
        let home = addresses(b"US", usual as usize, &mut draw, &atlas);
        for (retries, served, by_hours) in [
            (0.5, 0, false),
            (1.0, 0, false),
            (2.0, 0, false),
            (2.5, 0, false),
            (0.0, 2_000, false),
            (0.5, 0, true),
            (1.0, 0, true),
            (2.5, 0, true),
        ] {
            let mut all: Vec<Sender> = Vec::new();
            for address in addresses(b"VN", 600, &mut draw, &atlas) {
                all.push(sender(address, ttl(address), 20));
            }
            for address in addresses(b"BR", 300, &mut draw, &atlas) {
                all.push(sender(address, ttl(address), 20));
            }
            let bots = 18_000.0;
            // The attack lasts 100 seconds: usual are 1,200 / 120 * 100 of the quiet minutes before and after.
            let theirs = (retries * usual as f64 / 120.0 * 100.0) as u64;
            for address in addresses(b"US", theirs as usize, &mut draw, &atlas) {
                all.push(sender(address, ttl(address), 1));
            }
            let mut attack = attack(vec![(Vector::SynFlood, all)]);
            let client = |(i, address): (usize, &u32), first_ns: u64| Client {
                address: v4(*address),
                first_ns: first_ns + i as u64 % 60 * 1_000_000_000,
                packets: 6,
                alike: 1,
            };
            let mut clients: Vec<Client> = home
                .iter()
                .enumerate()
                .map(|row| client(row, START - MINUTE))
                .collect();
            let others = addresses(b"US", served, &mut draw, &atlas);
            clients.extend(others.iter().enumerate().map(|row| client(row, START)));
            // The same from the hours of two weeks before, with nobody of them in the input.
            let mut past = Past::default();
            for weeks in if by_hours { 1..3 } else { 0..0 } {
                let hour = START / HOUR - weeks * 168;
                past.hours.add(attack.hosts[0], hour, usual_hour(usual));
            }
            if !by_hours {
                attack.clients.join(Clients {
                    all: clients,
                    level: 0,
                });
            }
            let trace = trace(&attack, &past, &atlas);
            let audience = trace.audience.expect("it is known");
            let truth = theirs as f64 / (theirs as f64 + bots);
            let taken = audience.taken_out;
            assert!(
                (taken.low..=taken.high).contains(&truth),
                "{retries}: {truth} {taken:?}"
            );
            if served > 0 {
                assert!(taken.high < 0.01, "all are served as usual: {taken:?}");
            }
            let of = |code: &[u8; 2]| {
                trace
                    .senders
                    .location
                    .countries
                    .iter()
                    .find(|row| row.key == Country(*code))
            };
            let vietnam = of(b"VN").expect("it is there");
            let share = vietnam.by_packets;
            // All labels are right here, and the interval reckons with some that are not.
            assert!(
                (share.low - 0.01..=share.high + 0.01).contains(&(2.0 / 3.0)),
                "{retries}: {share:?}"
            );
            assert!(vietnam.usual.unwrap().high < 0.01 && vietnam.over.unwrap().low > 10.0);
            assert!(vietnam.first > 0.99 && vietnam.majority > 0.9);
        }
    }
}
