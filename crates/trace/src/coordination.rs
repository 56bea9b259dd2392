//! Do the senders act as one? Machines under one command begin together, stop together, send packets of one make, at speeds of one
//! make. People do none of that: they come when they like, with every system that is in use.
//!
//! | sign | one command | independent |
//! |---|---|---|
//! | starts | few moments hold them all | spread over the whole time |
//! | stops | the same | the same |
//! | fingerprint | initial TTL, TCP options and window, length: one or two makes | the many makes of real systems |
//! | bare SYNs | no option, which no system in use sends | options of real systems |
//! | rates | alike, if the tool sets them | very different |
//!
//! Each gives a likelihood ratio, multiplied onto even odds. The ratios are this project's judgement and stand beside what was seen. What
//! comes out is whether there is one control, or few. It is never how many people stand behind it: one customer of a rented botnet
//! looks the same as a group.

use std::collections::BTreeMap;

use detect::conversation::Strand;
use detect::{Attack, Part, Sender, Transport, Vector};
use wire::Flow;

/// Fewest senders of which anything is said.
pub const SENDERS_MIN: usize = 30;
/// Observed packets from which on a sender's first and last one tell when it began and stopped.
const STEADY: f64 = 5.0;
/// What counts as together: seconds before or after the commonest moment.
const TOGETHER_NS: u64 = 10_000_000_000;
/// Steps that an attack's time is cut into, to see how few of them hold the starts.
const STEPS: u64 = 50;
/// Share of the starts that they must hold.
const HELD: f64 = 0.8;
/// Fingerprints that are counted.
const FINGERPRINTS_MAX: usize = 4_096;
/// Groups that are compared, and the least share and number of senders of one.
const GROUPS_MAX: usize = 8;
const GROUP_MIN: (f64, usize) = (0.05, 20);
const SECOND: f64 = 1e9;

/// How alike the senders behave.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordination {
    /// Probability that they are under one control or few.
    pub probability: f64,
    /// Median absolute deviation of first packets, in seconds.
    pub start_spread_s: f64,
    /// Share that began within ten seconds of the commonest moment.
    pub start_together: f64,
    /// Share that stopped within ten seconds of the commonest moment.
    pub stop_together: f64,
    /// Effective number of fingerprints: 2 to the power of their entropy in bits.
    pub fingerprints: f64,
    /// Coefficient of variation of their rates.
    pub rate_variation: f64,
    /// Groups with schedules and looks of their own.
    pub controllers_min: u32,
    /// What was seen, each with its likelihood ratio.
    pub because: Vec<String>,
}

/// What a sender's packets look like, apart from their vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    transport: Transport,
    /// 32, 64, 128 or 255; 0 where not known.
    initial_ttl: u8,
    options: u8,
    window: u16,
    /// Mean length in steps of eight bytes; 0 where lengths vary.
    length: u16,
}

impl Look {
    fn of(sender: &Sender, transport: Transport, has_length: bool) -> Look {
        let initial_ttl = match sender.ttl_first {
            0 => 0,
            1..=32 => 32,
            33..=64 => 64,
            65..=128 => 128,
            _ => 255,
        };
        let known = transport == Transport::Tcp && sender.options & Strand::HEADER_KNOWN != 0;
        Look {
            transport,
            initial_ttl,
            options: if known { sender.options } else { 0 },
            window: if known { sender.window } else { 0 },
            length: if has_length {
                (sender.bytes / sender.packets.max(1) / 8).min(u64::from(u16::MAX)) as u16
            } else {
                0
            },
        }
    }

    /// Whether something that is known of both is another.
    fn differs(&self, other: &Look) -> bool {
        let ttl = self.initial_ttl != 0 && other.initial_ttl != 0 && self.initial_ttl != other.initial_ttl;
        let header = self.options != 0
            && other.options != 0
            && (self.options, self.window) != (other.options, other.window);
        let length = self.length != 0 && other.length != 0 && self.length != other.length;
        ttl || self.transport == other.transport && (header || length)
    }
}

/// Examines senders: by vector, and all together.
pub(crate) fn examine(
    parts: &[(Vector, &[Sender])],
    all: &[Sender],
    attack: &Attack,
) -> Option<Coordination> {
    if all.len() < SENDERS_MIN {
        return None;
    }
    let sampling = attack.sampling();
    let mut evidence = Evidence::default();
    let steady: Vec<&Sender> = all
        .iter()
        .filter(|s| s.packets as f64 / sampling >= STEADY)
        .collect();
    let timed: Vec<&Sender> = if steady.len() >= SENDERS_MIN {
        steady.clone()
    } else {
        all.iter().collect()
    };
    let lasted_ns = (attack.end_ns - attack.start_ns).max(1);
    let starts = Moments::of(timed.iter().map(|s| s.first_ns), lasted_ns);
    let stops = Moments::of(timed.iter().map(|s| s.last_ns), lasted_ns);
    let can_time = steady.len() >= SENDERS_MIN && lasted_ns as f64 >= 5.0 * SECOND;
    let began_before = attack.start_ns.saturating_sub(attack.input_ns.0) < 1_000_000_000;
    let goes_on = attack.ongoing || attack.input_ns.1.saturating_sub(attack.end_ns) < 1_000_000_000;
    for (what, moments, is_cut) in [("began", &starts, began_before), ("stopped", &stops, goes_on)] {
        if !can_time {
            evidence.note(format!(
                "When they {what} cannot be told: too few of them sent {STEADY:.0} packets that were seen, or the attack is too short."
            ));
        } else if is_cut {
            evidence.note(format!(
                "When they {what} cannot be told: the input does not reach beyond it."
            ));
        } else {
            let (ratio, words) = match moments.held {
                held if held <= 0.1 => (20.0, "together, as on a command"),
                held if held <= 0.25 => (5.0, "nearly together"),
                held if held <= 0.5 => (1.0, "neither together nor independently"),
                _ => (0.2, "each for itself, as people do"),
            };
            evidence.add(
                format!(
                    "{} of {} senders {what} within ten seconds of one moment, and {:.0} % of them in {:.0} % of the attack's time: {words}",
                    moments.together, timed.len(), HELD * 100.0, moments.held * 100.0
                ),
                ratio,
            );
        }
    }

    let prints = Fingerprints::of(parts, attack);
    if prints.fields >= 2 {
        let (ratio, words) = match prints.each {
            each if each <= 1.5 => (10.0, "packets of one make"),
            each if each <= 2.5 => (4.0, "packets of hardly more than one make"),
            each if each < 5.0 => (1.0, "several makes"),
            _ => (0.25, "the many makes of real systems"),
        };
        evidence.add(
            format!(
                "By {} they have {:.1} fingerprints in effect: {words}",
                prints.words, prints.all
            ),
            ratio,
        );
    } else {
        evidence.note("The records tell too little of the packets to compare their make.".to_owned());
    }
    let (bare, syns) = bare_syns(parts);
    if syns >= SENDERS_MIN && bare * 10 >= syns * 9 {
        evidence.add(
            format!("{bare} of {syns} senders of SYNs use no TCP option or the segment size alone, which no system in use does"),
            10.0,
        );
    }
    let rate_variation = rate_variation(&steady);
    if steady.len() >= SENDERS_MIN {
        let (ratio, words) = match rate_variation {
            cv if cv < 0.3 => (4.0, "alike"),
            cv if cv <= 1.5 => (1.0, "which says little"),
            _ => (0.5, "very different"),
        };
        evidence.add(
            format!(
                "Their rates vary by {:.0} % of the mean: {words}",
                rate_variation * 100.0
            ),
            ratio,
        );
    }
    let controllers_min = controllers(parts, attack, sampling);
    evidence.note(if controllers_min > 1 {
        format!("{controllers_min} groups share neither look nor schedule nor machines: as many controls at least, or one that takes turns.")
    } else {
        "Nothing divides them into groups with looks and schedules of their own: one control suffices.".to_owned()
    });
    evidence.note(
        "How many people stand behind it cannot be told from this: one can steer all of it.".to_owned(),
    );
    let probability = (evidence.odds / (1.0 + evidence.odds)).clamp(0.01, 0.99);
    Some(Coordination {
        probability,
        start_spread_s: starts.spread_s,
        start_together: starts.together as f64 / timed.len() as f64,
        stop_together: stops.together as f64 / timed.len() as f64,
        fingerprints: prints.all,
        rate_variation,
        controllers_min,
        because: evidence.because,
    })
}

struct Evidence {
    odds: f64,
    because: Vec<String>,
}

impl Default for Evidence {
    fn default() -> Evidence {
        Evidence {
            odds: 1.0,
            because: Vec::new(),
        }
    }
}

impl Evidence {
    fn add(&mut self, seen: String, ratio: f64) {
        self.odds *= ratio;
        let words = match ratio {
            1.0 => "says neither".to_owned(),
            more if more > 1.0 => format!("{more:.0} times as probable under one control, by our judgement"),
            less => format!(
                "{:.0} times as probable without one, by our judgement",
                1.0 / less
            ),
        };
        self.because.push(format!("{seen} ({words})."));
    }

    fn note(&mut self, sentence: String) {
        self.because.push(sentence);
    }
}

/// How moments lie in time.
struct Moments {
    /// Median absolute deviation, seconds.
    spread_s: f64,
    /// How many lie within [`TOGETHER_NS`] of the commonest moment.
    together: usize,
    /// Fewest parts of the attack's time that hold [`HELD`] of them.
    held: f64,
}

impl Moments {
    fn of(times: impl Iterator<Item = u64>, lasted_ns: u64) -> Moments {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let n = times.len();
        let median = times[n / 2];
        let mut off: Vec<u64> = times.iter().map(|at| at.abs_diff(median)).collect();
        off.sort_unstable();
        let (mut together, mut from) = (0, 0);
        for to in 0..n {
            while times[to] - times[from] > 2 * TOGETHER_NS {
                from += 1;
            }
            together = together.max(to + 1 - from);
        }
        let step = (lasted_ns / STEPS).max(1);
        // Half a step to the left, so that a moment with its jitter does not lie on an edge.
        let first = times[0].saturating_sub(step / 2);
        let mut steps: Vec<usize> = times
            .chunk_by(|a, b| (a - first) / step == (b - first) / step)
            .map(<[u64]>::len)
            .collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        let (mut held, mut sum) = (0, 0);
        for of_step in steps {
            if sum as f64 >= HELD * n as f64 {
                break;
            }
            sum += of_step;
            held += 1;
        }
        Moments {
            spread_s: off[n / 2] as f64 / SECOND,
            together,
            held: held as f64 / STEPS as f64,
        }
    }
}

fn part_of(attack: &Attack, vector: Vector) -> Option<&Part> {
    attack.parts.iter().find(|part| part.vector == vector)
}

/// Whether most packets of a part have one length.
fn has_length(part: Option<&Part>) -> bool {
    part.is_some_and(|part| {
        let most = part.look.length.sorted().first().map_or(0, |(_, n)| *n);
        part.look.length.total() > 0 && most * 2 >= part.look.length.total()
    })
}

struct Fingerprints {
    /// Effective number over all senders, vectors told apart.
    all: f64,
    /// The same inside one vector, on average.
    each: f64,
    /// Fields that are known of most.
    fields: usize,
    words: String,
}

impl Fingerprints {
    fn of(parts: &[(Vector, &[Sender])], attack: &Attack) -> Fingerprints {
        let mut counts: BTreeMap<(Vector, Look), u64> = BTreeMap::new();
        let (mut total, mut with_ttl, mut with_header, mut with_length) = (0u64, 0u64, 0u64, 0u64);
        for (vector, senders) in parts {
            let has_length = has_length(part_of(attack, *vector));
            for sender in *senders {
                let look = Look::of(sender, vector.transport(), has_length);
                total += 1;
                with_ttl += u64::from(look.initial_ttl != 0);
                with_header += u64::from(look.options != 0);
                with_length += u64::from(look.length != 0);
                if counts.len() < FINGERPRINTS_MAX || counts.contains_key(&(*vector, look)) {
                    *counts.entry((*vector, look)).or_default() += 1;
                }
            }
        }
        let effective = |counts: &[u64]| -> f64 {
            let all: u64 = counts.iter().sum();
            let entropy: f64 = counts
                .iter()
                .map(|n| *n as f64 / all.max(1) as f64)
                .map(|p| -p * p.log2())
                .sum();
            entropy.max(0.0).exp2()
        };
        let sorted: Vec<(Vector, u64)> = counts.iter().map(|((vector, _), n)| (*vector, *n)).collect();
        let all: Vec<u64> = sorted.iter().map(|(_, n)| *n).collect();
        let counted: u64 = all.iter().sum();
        let each: f64 = sorted
            .chunk_by(|a, b| a.0 == b.0)
            .map(|of_vector| {
                let counts: Vec<u64> = of_vector.iter().map(|(_, n)| *n).collect();
                effective(&counts) * counts.iter().sum::<u64>() as f64 / counted.max(1) as f64
            })
            .sum();
        let known: Vec<&str> = [
            (with_ttl, "initial TTL"),
            (with_header, "TCP options and window"),
            (with_length, "length"),
        ]
        .into_iter()
        .filter(|(with, _)| with * 2 >= total)
        .map(|(_, words)| words)
        .collect();
        Fingerprints {
            all: effective(&all),
            each,
            fields: known.len(),
            words: known.join(", "),
        }
    }
}

/// Senders of SYNs whose header was seen, and those of them without the options that every system in use sends.
fn bare_syns(parts: &[(Vector, &[Sender])]) -> (usize, usize) {
    let rich = Flow::OPT_WINDOW_SCALE | Flow::OPT_SACK | Flow::OPT_TIMESTAMPS;
    let (mut bare, mut all) = (0, 0);
    for (_, senders) in parts.iter().filter(|(vector, _)| *vector == Vector::SynFlood) {
        for sender in senders.iter().filter(|s| s.options & Strand::HEADER_KNOWN != 0) {
            all += 1;
            bare += usize::from(sender.options & rich == 0);
        }
    }
    (bare, all)
}

/// Standard deviation of rates over their mean; 0 where fewer than two can be told.
fn rate_variation(steady: &[&Sender]) -> f64 {
    let rates: Vec<f64> = steady
        .iter()
        .filter(|s| s.last_ns > s.first_ns)
        .map(|s| (s.packets as f64 - 1.0).max(1.0) / ((s.last_ns - s.first_ns) as f64 / SECOND).max(0.1))
        .collect();
    if rates.len() < 2 {
        return 0.0;
    }
    let n = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / n;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / n;
    variance.sqrt() / mean.max(1e-9)
}

/// Senders of one look, with their schedule.
struct Group {
    look: Look,
    start: u64,
    stop: u64,
    addresses: Vec<std::net::Ipv6Addr>,
}

impl Group {
    /// Nothing ties the two together: another look, other machines, other times to begin and to stop.
    fn is_apart(&self, other: &Group) -> bool {
        let shared = self
            .addresses
            .iter()
            .filter(|address| other.addresses.binary_search(address).is_ok())
            .count();
        self.look.differs(&other.look)
            && self.start.abs_diff(other.start) > TOGETHER_NS
            && self.stop.abs_diff(other.stop) > TOGETHER_NS
            && shared * 10 <= self.addresses.len().min(other.addresses.len())
    }
}

fn controllers(parts: &[(Vector, &[Sender])], attack: &Attack, sampling: f64) -> u32 {
    let mut by_look: BTreeMap<Look, Vec<&Sender>> = BTreeMap::new();
    let mut total = 0usize;
    for (vector, senders) in parts {
        let has_length = has_length(part_of(attack, *vector));
        for sender in senders.iter().filter(|s| s.packets as f64 / sampling >= STEADY) {
            let look = Look::of(sender, vector.transport(), has_length);
            total += 1;
            if by_look.len() < FINGERPRINTS_MAX || by_look.contains_key(&look) {
                by_look.entry(look).or_default().push(sender);
            }
        }
    }
    let mut groups: Vec<(Look, Vec<&Sender>)> = by_look
        .into_iter()
        .filter(|(_, of)| of.len() >= GROUP_MIN.1 && of.len() as f64 >= GROUP_MIN.0 * total as f64)
        .collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    groups.truncate(GROUPS_MAX);
    let mut apart: Vec<Group> = Vec::new();
    for (look, senders) in groups {
        let middle = |of: fn(&Sender) -> u64| {
            let mut times: Vec<u64> = senders.iter().map(|sender| of(sender)).collect();
            times.sort_unstable();
            times[times.len() / 2]
        };
        let mut addresses: Vec<_> = senders.iter().map(|sender| sender.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let group = Group {
            look,
            start: middle(|sender| sender.first_ns),
            stop: middle(|sender| sender.last_ns),
            addresses,
        };
        if apart.iter().all(|other| group.is_apart(other)) {
            apart.push(group);
        }
    }
    (apart.len() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Draw, attack, sender};

    const START: u64 = 1_000_000_000_000;

    /// Senders and the attack that they make, with a minute of quiet around it.
    fn judged(senders: Vec<Sender>, vector: Vector) -> Coordination {
        let attack = attack(vec![(vector, senders)]);
        let part = &attack.parts[0];
        examine(&[(vector, &part.senders)], &part.senders, &attack).expect("there are enough")
    }

    /// Machines that begin and stop on command, with packets of one make.
    fn bots(draw: &mut Draw, n: u32, from_s: u64, to_s: u64) -> Vec<Sender> {
        let mut of = |i: u32| Sender {
            pairs: 1,
            first_ns: START + from_s * 1_000_000_000 + draw.below(1_500_000_000),
            last_ns: START + to_s * 1_000_000_000 - draw.below(1_500_000_000),
            window: 64_240,
            options: Strand::HEADER_KNOWN,
            ..sender(0x5000_0000 + i * 7_919, 40 + (i % 17) as u8, 50 + draw.below(400))
        };
        (0..n).map(&mut of).collect()
    }

    /// People: they come when they like and stay for a while, with the systems that are in use.
    fn people(draw: &mut Draw, n: u32) -> Vec<Sender> {
        let mut of = |i: u32| {
            let first = draw.below(80);
            let systems = [64_240, 65_535, 29_200, 8_192, 14_600, 65_228, 42_340, 26_883];
            let initial = if draw.below(3) == 0 { 128 } else { 64 };
            Sender {
                first_ns: START + first * 1_000_000_000,
                last_ns: START + (first + 2 + draw.below(18)) * 1_000_000_000,
                window: systems[draw.below(8) as usize],
                options: Strand::HEADER_KNOWN | Flow::OPT_MSS | Flow::OPT_SACK,
                ..sender(
                    0x5000_0000 + i * 7_919,
                    initial - 6 - draw.below(15) as u8,
                    5 + draw.below(60),
                )
            }
        };
        (0..n).map(&mut of).collect()
    }

    #[test]
    fn machines_under_one_command_act_as_one() {
        let mut draw = Draw(11);
        let found = judged(bots(&mut draw, 800, 0, 100), Vector::SynFlood);
        assert!(found.probability > 0.95, "{found:?}");
        assert!(found.start_spread_s < 1.0 && found.start_together > 0.99 && found.stop_together > 0.99);
        assert!((found.fingerprints - 1.0).abs() < 0.01 && found.controllers_min == 1);
        let said = found.because.join(" ");
        assert!(
            said.contains("How many people stand behind it cannot be told"),
            "{said}"
        );
        assert!(!said.contains("group of people"));
    }

    #[test]
    fn a_crowd_does_not_look_coordinated() {
        let mut draw = Draw(12);
        for vector in [Vector::SynFlood, Vector::HttpFlood] {
            let found = judged(people(&mut draw, 2_000), vector);
            assert!(found.probability < 0.1, "{found:?}");
            assert!(found.fingerprints > 5.0 && found.start_together < 0.4);
        }
        assert!(examine(&[], &[], &attack(vec![(Vector::SynFlood, people(&mut draw, 30))])).is_none());
    }

    #[test]
    fn groups_that_share_nothing_are_counted_and_waves_of_one_make_are_not() {
        let mut draw = Draw(13);
        let mut waves = bots(&mut draw, 300, 0, 20);
        waves.extend(bots(&mut draw, 300, 60, 95).into_iter().map(|s| Sender {
            address: std::net::Ipv6Addr::from_bits(s.address.to_bits() + 0x0100_0000),
            ..s
        }));
        assert_eq!(judged(waves.clone(), Vector::SynFlood).controllers_min, 1);
        for other in waves.iter_mut().filter(|s| s.first_ns > START + 30_000_000_000) {
            (other.window, other.ttl_first) = (512, 240 + other.ttl_first % 8);
        }
        assert_eq!(judged(waves, Vector::SynFlood).controllers_min, 2);
    }
}
