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
pub mod share;

use std::borrow::Cow;

use atlas::Atlas;
use detect::{Attack, Sender, Vector};

pub use audience::{Audience, Past};
pub use coordination::Coordination;
pub use forged::{Origin, Test, Unmade};
pub use share::{Interval, Located, Location, Network, Placement, Seen};

/// From this rate on traffic counts as sampled.
pub(crate) const SAMPLED_FROM: f64 = 1.5;
/// Classes below this share of the attack do not have their tests listed: they would only repeat or blur those on the main ones.
const TESTS_FROM: f64 = 0.1;
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

/// Traces an attack. `past` is another input to learn the audience from.
pub fn trace(attack: &Attack, past: Option<&Past<'_>>, atlas: &Atlas) -> Trace {
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
    for (weight, class) in &classes {
        forged = forged.plus(class.forged.times(*weight));
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
    let usual = audience::learn(attack, past, atlas);
    let mut share = Interval::ZERO;
    for (weight, class) in &classes {
        let own = Interval {
            estimate: if is_direct(class) {
                1.0 - class.forged.estimate
            } else {
                0.0
            },
            low: if is_direct(class) {
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
        distinct: (all.len() as u64) << attack.level,
        distinct_exact: attack.level == 0 && sampling < SAMPLED_FROM,
        forged: forged.clamped(),
        reflected: reflected.clamped(),
        tests,
        unmade,
        placement: share::place(&all, atlas, seen),
        senders: Senders {
            share: share.clamped(),
            distinct: (direct.len() as u64) << attack.level,
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
                distinct: (class.senders.len() as u64) << attack.level,
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
            let why = if listed.iter().all(|other| same(other)) {
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

#[cfg(test)]
mod loudest_tests {
    use super::*;

    #[test]
    fn the_loudest_are_kept_and_ties_go_by_address() {
        let sender = |last: u16, packets: u64| Sender {
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
