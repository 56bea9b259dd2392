//! What does the evidence say of a claim?
//!
//! [`judge`] holds each claim against the incidents of a case. One plain function answers each kind of proposition; they are the
//! rows of the decision table in `docs/claims.md`. A verdict is a probability where the evidence can give one, in the words of
//! ICD 203 and never 0 or 100 %; how good the evidence is stands apart from it, in a sentence of its own. Traffic shows machines:
//! who did it is never answered from it.

use atlas::{Country, Prefix};
use detect::Vector;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, Discrete};

use crate::case::{Case, Confidence, Incident, Located, Meaning, Origin, Share, Verdict, Words};
use crate::claim::{Claim, Details, Extent, Infrastructure, Proposition, clock};
use crate::country;
use crate::outage::{self, Cause};
use crate::size::RENT;

/// Probabilities stay within: the words of ICD 203 begin at 1 % and end at 99 %.
const SURELY: f64 = 0.99;
/// Under this share of packets that machines sent under their own address, places say nothing of the attack (SCIENCE 5.1).
const DIRECT_MIN: f64 = 0.2;
/// Over this possible share of forged packets, likewise (SCIENCE 5.6, C2').
const FORGED_MAX: f64 = 0.8;
/// How often one address's country is right at least: the worst of the error model, hosting and leased blocks (SCIENCE 5.3).
const PLACE_RIGHT: f64 = 0.85;
/// If more than this part of the packets may be forged among those that are placed, single addresses show nothing.
const MIXED_IN_MAX: f64 = 0.1;
/// That a world-wide attack had a sender in a country in which none was seen (judgement of this project).
const PRESENT_UNSEEN: f64 = 0.1;
/// By what factor the country of the senders moves the odds that its state did it (judgement of this project).
const LR_SOURCE_COUNTRY: (f64, f64) = (0.8, 1.25);
/// How often a state is named, by those who were attacked.
const STATES_ARE_FEW: &str = "Of those who were attacked and answered a provider's question, 1 in 25 named a state (Cloudflare, second quarter of 2024, as reported; https://channelpostmea.com/2024/07/12/cloudflare-announces-its-2024-q2-ddos-report); such power is rented by anybody.";
/// That a group which says that it did it did it, before anything else is known (judgement of this project).
const PRIOR_GROUP: f64 = 0.1;
/// A claim told what nobody could know and what the traffic confirms: least, best, most (judgement of this project).
const LR_INSIDE: [f64; 3] = [5.0, 10.0, 20.0];
/// A wave that was announced came: least, best, most (judgement of this project).
const LR_ANNOUNCED: [f64; 3] = [10.0, 20.0, 50.0];
/// A wave that was announced did not come: least, best, most (judgement of this project).
const LR_MISSED: [f64; 3] = [0.1, 0.2, 0.3];
/// A claim told what the traffic contradicts: least, best, most (judgement of this project).
const LR_WRONG: [f64; 3] = [0.1, 0.2, 0.5];
/// Senders lie among machines that are ascribed to the group: never more than so much, since the list is others' word (judgement of
/// this project; SCIENCE 5.6, C5).
const LR_LINK_MAX: f64 = 10.0;
/// From which likelihood ratio on it counts as a sign of its own.
const LR_LINK_SIGN: f64 = 3.0;
/// Part of the senders of any attack that is on any list of taken machines: what one can take, others take too. At most, best, at
/// least (judgement of this project).
const ON_ANY_LIST: [f64; 3] = [0.10, 0.05, 0.02];
/// Part of all addresses above which a list names networks and no machines: senders are not spread evenly over those.
const WIDE: f64 = 0.001;
/// Senders under which a part of them says nothing.
const SENDERS_MIN: u64 = 20;
/// IPv4 addresses that are announced, about.
const ANNOUNCED_V4: f64 = 3.1e9;
/// IPv6 addresses of global unicast space, 2000::/3.
const GLOBAL_V6: f64 = (1u128 << 125) as f64;
/// Earlier claims were wrong and none was right: least, best, most (judgement of this project).
const LR_HABIT: [f64; 3] = [0.3, 0.5, 1.0];
/// Seconds by which a claimed start or end may be off, and an announced wave late: "to the minute".
const TO_THE_MINUTE_S: u64 = 60;
/// That an outage is an attack, before anything else is known: most are faults (judgement of this project).
const PRIOR_ATTACK: f64 = 0.25;
/// Traffic with a named vector was seen, on good or on little evidence (judgement of this project).
const LR_VECTOR: f64 = 100.0;
/// See [`LR_VECTOR`].
const LR_VECTOR_WEAK: f64 = 20.0;
/// The attack ran while people felt the outage (judgement of this project).
const LR_TOGETHER: f64 = 5.0;
/// It ran at another time (judgement of this project).
const LR_APART: f64 = 0.3;
/// No attack was seen in traffic of that time (judgement of this project; many attacks look like visitors).
const LR_UNSEEN: f64 = 0.5;
/// By what factor these may be wrong, either way (judgement of this project).
const LR_DOUBT: f64 = 3.0;
/// Without evidence that the service was felt to be down, an attack is seen and its effect is not: at most "very likely".
const ATTACK_MAX: f64 = 0.94;
/// Share of published attacks that are smaller, from which on an attack took "a lot" (judgement of this project).
const A_LOT: f64 = 0.99;
/// The same for requests, of which less is published.
const A_LOT_OF_REQUESTS: f64 = 0.94;
/// Evidence that reports are back to usual, as an e-value (SCIENCE 5.6, C9).
const END_EVIDENCE: f64 = 50.0;
/// Probes that must succeed over 30 minutes, from how many networks at least, and errors over the usual at most (C9).
const PROBES_OK: f64 = 0.95;
/// See [`PROBES_OK`].
const PROBE_NETWORKS: u32 = 3;
/// See [`PROBES_OK`].
const ERRORS_OVER_USUAL: f64 = 2.0;
/// After so long without a wave it is over (C9).
const OVER_AFTER_NS: u64 = 6 * 3_600 * SECOND;
/// What counts as the same time for an outage and an attack.
const TOGETHER_NS: u64 = 300 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// What is known beside the incidents: where the evidence begins and ends, and what people and probes felt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Time of the first record of the input.
    pub first_ns: Option<u64>,
    /// Time of the last.
    pub last_ns: Option<u64>,
    /// How the service was felt, where reports or probes tell.
    pub outage: Option<Outage>,
    /// Networks whose connectivity was watched.
    pub losses: Vec<Loss>,
    /// Prefixes behind whose protection servers stand, and whether the protection itself got only ordinary traffic.
    pub edge_normal: Option<bool>,
}

impl Evidence {
    /// That of a case. Of several services in trouble, the one with the most reports above the usual speaks, unless its trouble is
    /// another's or was made up.
    pub fn of(case: &Case) -> Evidence {
        let own = case
            .outages
            .iter()
            .filter(|outage| !matches!(outage.cause, Cause::Neighbour(_) | Cause::Brigade));
        let excess = |outage: &outage::Outage| outage.reports as f64 - outage.expected;
        let worst = own
            .max_by(|a, b| excess(a).total_cmp(&excess(b)))
            .map(|outage| outage.service.as_str());
        let of_worst = || {
            case.outages
                .iter()
                .filter(|outage| Some(outage.service.as_str()) == worst)
        };
        Evidence {
            first_ns: case.inputs.iter().filter_map(|input| input.first_ns).min(),
            last_ns: case.inputs.iter().filter_map(|input| input.last_ns).max(),
            outage: of_worst().next_back().map(|last| Outage {
                service: last.service.clone(),
                waves: of_worst()
                    .flat_map(|outage| &outage.waves)
                    .map(|wave| Wave {
                        start_ns: wave.start_ns,
                        end_ns: wave.end_ns.unwrap_or(last.standing.until_ns),
                        reports: wave.reports,
                    })
                    .collect(),
                expected_reports: last
                    .waves
                    .iter()
                    .max_by_key(|wave| wave.reports)
                    .map(|wave| wave.expected),
                until_ns: last.standing.until_ns,
                end_evidence: last.standing.end_evidence,
                probes_ok: last.standing.probes_ok,
                probe_networks: last.standing.places,
                errors_over_usual: None,
            }),
            losses: Vec::new(),
            edge_normal: None,
        }
    }
}

/// How a service was felt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outage {
    /// Its name.
    pub service: String,
    /// When people felt it to be down, in order of time.
    pub waves: Vec<Wave>,
    /// Reports that an ordinary day has in the time of the largest wave.
    pub expected_reports: Option<f64>,
    /// Until when this is known.
    pub until_ns: u64,
    /// Evidence that reports are back to usual, an e-value.
    pub end_evidence: Option<f64>,
    /// Share of probes that succeeded in the last 30 minutes.
    pub probes_ok: Option<f64>,
    /// From how many networks they came.
    pub probe_networks: u32,
    /// Rate of errors over the usual one.
    pub errors_over_usual: Option<f64>,
}

/// A time in which a service was felt to be down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// Its beginning.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Reports in it.
    pub reports: u64,
}

/// How much of a network could still be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// AS number.
    pub network: u32,
    /// In which country, where only one was watched.
    pub country: Option<Country>,
    /// When.
    pub at_ns: u64,
    /// What was left of the usual, at the least moment.
    pub left: Share,
}

/// Holds each claim against the evidence; verdicts come in the order of the claims.
pub fn judge(claims: &[Claim], incidents: &[Incident], more: &Evidence) -> Vec<Verdict> {
    claims
        .iter()
        .map(|claim| verdict(claim, incidents, more))
        .collect()
}

/// The words of ICD 203 (2015) for a probability.
pub fn words(probability: f64) -> Words {
    match probability {
        p if p < 0.05 => Words::AlmostNoChance,
        p if p < 0.20 => Words::VeryUnlikely,
        p if p < 0.45 => Words::Unlikely,
        p if p < 0.55 => Words::RoughlyEvenChance,
        p if p < 0.80 => Words::Likely,
        p if p < 0.95 => Words::VeryLikely,
        _ => Words::AlmostCertain,
    }
}

fn verdict(claim: &Claim, incidents: &[Incident], more: &Evidence) -> Verdict {
    let found = match &claim.proposition {
        Proposition::FromCountries { countries, extent } => {
            from_places(claim, incidents, more, &Places::Countries(countries), *extent)
        }
        Proposition::FromNetworks { networks, extent } => {
            from_places(claim, incidents, more, &Places::Networks(networks), *extent)
        }
        Proposition::ActorState { state } => actor_state(claim, *state, incidents, more),
        Proposition::ActorGroup { name } => actor_group(claim, name, incidents, more),
        Proposition::Coordinated { large_group } => coordinated(claim, *large_group, incidents, more),
        Proposition::ManyResources => many_resources(claim, incidents, more),
        Proposition::IsAttack => is_attack(claim, incidents, more),
        Proposition::StartedAt { at_ns, within_s } => {
            at_time(claim, (*at_ns, *within_s), End::Start, incidents, more)
        }
        Proposition::EndedAt { at_ns, within_s } => {
            at_time(claim, (*at_ns, *within_s), End::End, incidents, more)
        }
        Proposition::Restored { at_ns } => restored(*at_ns, incidents, more),
        Proposition::PeopleAffected { at_least } => people_affected(*at_least, more),
        Proposition::Vector { name } => vector(claim, name, incidents, more),
        Proposition::ExposedOrigin { prefix } => exposed_origin(claim, *prefix, incidents, more),
        Proposition::ProviderOff { network, country } => provider_off(*network, *country, more),
    };
    found.verdict(claim)
}

/// A verdict in the making.
#[derive(Default)]
struct Found {
    /// `None` where this evidence cannot answer.
    probability: Option<Share>,
    about: Option<String>,
    confidence: Option<(Confidence, String)>,
    because: Vec<String>,
    would_change: Vec<String>,
}

impl Found {
    /// This evidence cannot answer it, for these reasons.
    fn unanswerable(because: Vec<String>) -> Found {
        Found {
            because,
            ..Found::default()
        }
    }

    fn verdict(self, claim: &Claim) -> Verdict {
        let probability = self.probability.map(|p| Share {
            estimate: p.estimate.clamp(1.0 - SURELY, SURELY),
            low: p.low.min(p.estimate).clamp(1.0 - SURELY, SURELY),
            high: p.high.max(p.estimate).clamp(1.0 - SURELY, SURELY),
        });
        let mut because = self.because;
        if let Some(grade) = claim.grade {
            let (source, information) = grade.words();
            because.push(format!(
                "Before the evidence was asked, the statement was graded {grade}: the source {source}, the statement {information}."
            ));
        }
        let (confidence, why) = self.confidence.unwrap_or((
            Confidence::Low,
            "the evidence here does not bear on it".to_owned(),
        ));
        let level = match confidence {
            Confidence::Low => "low",
            Confidence::Moderate => "moderate",
            Confidence::High => "high",
        };
        because.push(format!("Confidence in this evidence is {level}: {why}."));
        Verdict {
            claim: claim.clone(),
            assessable: probability.is_some(),
            words: probability.map_or(Words::CannotBeAssessed, |p| words(p.estimate)),
            probability,
            about: self.about,
            confidence,
            because,
            would_change: self.would_change,
        }
    }
}

/// The incidents that a claim speaks of, and how that was decided. A claim with a time speaks of the latest attack that had begun
/// by then; one without speaks of all.
fn spoken_of<'a>(
    claim: &Claim,
    incidents: &'a [Incident],
    more: &Evidence,
) -> Result<(Vec<&'a Incident>, Vec<String>), Vec<String>> {
    let Some(first) = incidents.iter().min_by_key(|incident| incident.start_ns) else {
        return Err(vec![
            "No attack was found in this input, so there is nothing to hold the statement against."
                .to_owned(),
        ]);
    };
    let Some(said) = claim.at_ns else {
        let says = match incidents {
            [one] => format!(
                "It has no time and was held against the one attack found: {}.",
                describe(one)
            ),
            many => format!(
                "It has no time and was held against all {} attacks of the case together.",
                many.len()
            ),
        };
        return Ok((incidents.iter().collect(), vec![says]));
    };
    let latest = incidents
        .iter()
        .filter(|incident| incident.start_ns <= said)
        .max_by_key(|incident| (incident.start_ns, incident.packets));
    let Some(latest) = latest else {
        return Err(vec![format!(
            "It was said at {}, before the first attack in this input began ({}): what it speaks of is not in this evidence.",
            clock(said),
            clock(first.start_ns)
        )]);
    };
    let mut says = vec![format!(
        "It was held against the latest attack that had begun when it was said: {}.",
        describe(latest)
    )];
    if let Some(last) = more.last_ns.filter(|&last| said > last + 60 * SECOND) {
        says.push(format!(
            "It was said {} after this input ends; what happened in between is not in it.",
            span(said - last)
        ));
    }
    Ok((vec![latest], says))
}

/// `SYN flood on 192.0.2.1, 2025-03-10T09:45:30Z to 2025-03-10T09:51:39Z (syn-flood-0123456789)`.
fn describe(incident: &Incident) -> String {
    let what = incident.vectors.first().map_or("attack", |v| v.vector.label());
    let end = match incident.end_ns {
        Some(end) if incident.ongoing => format!("{}, still running when the input ends", clock(end)),
        Some(end) => clock(end),
        None => "still running".to_owned(),
    };
    let target = incident.target.to_string();
    let host = target
        .strip_suffix("/32")
        .filter(|_| !target.contains(':'))
        .or(target.strip_suffix("/128"));
    format!(
        "{what} on {}, {} to {end} ({})",
        host.unwrap_or(&target),
        clock(incident.start_ns),
        incident.id
    )
}

fn span(ns: u64) -> String {
    match ns / SECOND {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} minutes", s / 60),
        s => format!("{:.1} hours", s as f64 / 3_600.0),
    }
}

fn percent(share: Share) -> String {
    format!(
        "{:.1} % [{:.1}, {:.1}]",
        share.estimate * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )
}

/// How good the evidence is (SCIENCE 5.5): high needs two independent kinds of own evidence, a complete window and an interval under
/// ten points; one kind of own data is moderate at most; what is weak already stays so.
fn confidence(incidents: &[&Incident], width: Option<f64>, kinds_of_evidence: u32) -> (Confidence, String) {
    let base = incidents
        .iter()
        .map(|incident| incident.confidence)
        .min()
        .unwrap_or(Confidence::Low);
    let narrow = width.is_none_or(|width| width < 0.1);
    let shown = width.map_or(String::new(), |width| {
        format!(", and the interval is {:.1} points wide", width * 100.0)
    });
    match base {
        Confidence::Low => (
            Confidence::Low,
            format!("little was seen of the attack, or parts of its time are missing{shown}"),
        ),
        Confidence::High if narrow && kinds_of_evidence >= 2 => (
            Confidence::High,
            format!("{kinds_of_evidence} independent kinds of own evidence agree{shown}"),
        ),
        _ if kinds_of_evidence >= 2 => (
            Confidence::Moderate,
            format!(
                "{kinds_of_evidence} kinds of own evidence agree, but not all of it is complete or narrow{shown}"
            ),
        ),
        _ => (
            Confidence::Moderate,
            format!("it rests on one kind of own evidence, the traffic{shown}"),
        ),
    }
}

/// Probability that a share is more than a half, from its interval: a Beta distribution of the same mean and width.
fn above_half(share: Share) -> f64 {
    let mean = share.estimate.clamp(1e-6, 1.0 - 1e-6);
    let spread = (share.high - share.low) / (2.0 * 1.96);
    // A share that is known exactly, or an interval that no Beta has.
    let size = if spread > 0.0 {
        mean * (1.0 - mean) / (spread * spread) - 1.0
    } else {
        f64::INFINITY
    };
    if !size.is_finite() || size > 1e9 {
        return if mean > 0.5 { 1.0 } else { 0.0 };
    }
    let size = size.max(0.1);
    Beta::new(mean * size, (1.0 - mean) * size).map_or(0.5, |beta| 1.0 - beta.cdf(0.5))
}

/// Odds times a likelihood ratio, as a probability.
fn update(prior: f64, ratio: f64) -> f64 {
    let odds = prior / (1.0 - prior) * ratio;
    odds / (1.0 + odds)
}

// ---- C1, C2: from where ---------------------------------------------------------------------------------------------------

/// What a claim names.
enum Places<'a> {
    Countries(&'a [Country]),
    Networks(&'a [u32]),
}

impl Places<'_> {
    fn names(&self) -> String {
        let names: Vec<String> = match self {
            Places::Countries(countries) => countries.iter().map(|c| country::named(*c)).collect(),
            Places::Networks(networks) => networks.iter().map(|asn| format!("AS{asn}")).collect(),
        };
        names.join(", ")
    }
}

/// A country or network of an incident's senders.
struct Row {
    name: String,
    asked: bool,
    by_packets: Share,
    by_sources: Option<Share>,
    distinct: u64,
    majority: f64,
    first: Option<f64>,
    /// The interval of its rank, and the probability of one of the first five.
    rank: Option<((u32, u32), f64)>,
    usual: Option<Share>,
    over: Option<Share>,
}

impl Row {
    fn of<K>(located: &Located<K>, name: String, asked: bool) -> Row {
        Row {
            name,
            asked,
            by_packets: located.by_packets,
            by_sources: Some(located.by_sources),
            distinct: located.distinct,
            majority: located.majority,
            first: Some(located.first),
            rank: Some((located.rank, located.top_five)),
            usual: located.usual,
            over: located.over,
        }
    }

    /// Where only the sources as a whole were placed.
    fn of_source(share: Share, distinct: u64, name: String, asked: bool) -> Row {
        Row {
            name,
            asked,
            by_packets: share,
            by_sources: None,
            distinct,
            majority: above_half(share),
            first: None,
            rank: None,
            usual: None,
            over: None,
        }
    }
}

/// The places of an incident's senders: traced senders where there are any, else the sources, if those are the machines that sent.
fn rows(incident: &Incident, places: &Places) -> Vec<Row> {
    let sources = &incident.sources;
    let senders = &sources.senders;
    match places {
        Places::Countries(asked) if senders.distinct > 0 => senders
            .countries
            .iter()
            .map(|l| Row::of(l, country::named(l.key), asked.contains(&l.key)))
            .collect(),
        Places::Countries(asked) => sources
            .countries
            .iter()
            .map(|c| {
                Row::of_source(
                    widened(c.share, mixed_in(incident)),
                    c.distinct,
                    country::named(c.country),
                    asked.contains(&c.country),
                )
            })
            .collect(),
        Places::Networks(asked) if senders.distinct > 0 => senders
            .networks
            .iter()
            .map(|l| Row::of(l, format!("AS{}", l.key), asked.contains(&l.key)))
            .collect(),
        Places::Networks(asked) => sources
            .networks
            .iter()
            .map(|n| {
                Row::of_source(
                    widened(n.share, mixed_in(incident)),
                    n.distinct,
                    format!("AS{} {}", n.asn, n.name),
                    asked.contains(&n.asn),
                )
            })
            .collect(),
    }
}

/// What part of the placed packets may be forged or from reflectors: none where senders were traced, else all that may be.
fn mixed_in(incident: &Incident) -> f64 {
    let sources = &incident.sources;
    if sources.senders.distinct > 0 {
        return 0.0;
    }
    (sources.forged.high + sources.reflected.high).clamp(0.0, 1.0)
}

/// A share of all packets as that of the direct ones, if so much of them may be something else: that may lie all in it or all outside.
fn widened(share: Share, mixed_in: f64) -> Share {
    let rest = (1.0 - mixed_in).max(1e-6);
    Share {
        estimate: share.estimate,
        low: ((share.low - mixed_in) / rest).max(0.0).min(share.low),
        high: (share.high / rest).min(1.0).max(share.high),
    }
}

/// Share of the packets that machines sent under their own address.
fn direct(incident: &Incident) -> f64 {
    let sources = &incident.sources;
    if sources.senders.distinct > 0 {
        sources.senders.share.estimate
    } else {
        (1.0 - sources.forged.estimate - sources.reflected.estimate).clamp(0.0, 1.0)
    }
}

/// Why an incident's addresses do not say where it came from (C2', C2''); `None` where they do.
fn hidden(incident: &Incident, places: &Places) -> Option<String> {
    let sources = &incident.sources;
    let asked = |rows: Vec<Row>| -> f64 {
        rows.iter()
            .filter(|r| r.asked)
            .map(|r| r.by_packets.estimate)
            .sum()
    };
    let reflectors = sources.meaning == Meaning::Reflectors || sources.reflected.estimate >= 1.0 - DIRECT_MIN;
    if reflectors {
        let share = match places {
            Places::Countries(countries) => sources
                .countries
                .iter()
                .filter(|c| countries.contains(&c.country))
                .map(|c| c.share.estimate)
                .sum(),
            Places::Networks(_) => asked(rows(incident, places)),
        };
        Some(format!(
            "Its sources are reflectors, machines that were made to answer ({} of the packets). Reflectors in {}: {:.1} %; that tells nothing about the origin.",
            percent(sources.reflected),
            places.names(),
            share * 100.0
        ))
    } else if sources.meaning == Meaning::Forged || sources.forged.high > FORGED_MAX {
        Some(format!(
            "Its source addresses are forged or may be: {} of the packets. Where it came from cannot be determined from source addresses.",
            percent(sources.forged)
        ))
    } else if sources.meaning == Meaning::Hidden || direct(incident) < DIRECT_MIN {
        Some(format!(
            "Only {:.1} % of its packets come from machines under their own address (forged {}, reflectors {}). Where it came from cannot be determined from source addresses.",
            direct(incident) * 100.0,
            percent(sources.forged),
            percent(sources.reflected)
        ))
    } else if sources.meaning == Meaning::Undetermined {
        Some(format!(
            "It is not determined whether its source addresses are forged ({} of the packets). Where it came from cannot be determined from them.",
            percent(sources.forged)
        ))
    } else {
        None
    }
}

/// What is known of the places asked for, over one or several incidents.
#[derive(Default)]
struct Part {
    by_packets: Share,
    by_sources: Option<Share>,
    distinct: u64,
    of_distinct: u64,
    majority: f64,
    majority_by_sources: Option<f64>,
}

fn sum(shares: impl Iterator<Item = Share>) -> Share {
    let mut sum = Share::default();
    let (mut below, mut above) = (0.0f64, 0.0f64);
    for share in shares {
        sum.estimate += share.estimate;
        below += (share.estimate - share.low).powi(2);
        above += (share.high - share.estimate).powi(2);
    }
    sum.estimate = sum.estimate.min(1.0);
    sum.low = (sum.estimate - below.sqrt()).max(0.0);
    sum.high = (sum.estimate + above.sqrt()).min(1.0);
    sum
}

/// The places asked for in one incident.
fn part(incident: &Incident, places: &Places) -> Part {
    let rows = rows(incident, places);
    let asked: Vec<&Row> = rows.iter().filter(|row| row.asked).collect();
    let traced = incident.sources.senders.distinct;
    let of_distinct = if traced > 0 {
        traced
    } else {
        incident.sources.distinct
    };
    let distinct = asked.iter().map(|row| row.distinct).sum();
    if asked.is_empty() {
        // None of n: at 95 % no more than 3 in n.
        let high = (3.0 / of_distinct.max(1) as f64).min(1.0);
        let none = Share {
            estimate: 0.0,
            low: 0.0,
            high,
        };
        return Part {
            by_packets: none,
            by_sources: (traced > 0).then_some(none),
            distinct,
            of_distinct,
            majority: above_half(none),
            majority_by_sources: (traced > 0).then(|| above_half(none)),
        };
    }
    let by_packets = sum(asked.iter().map(|row| row.by_packets));
    let by_sources = asked
        .iter()
        .map(|row| row.by_sources)
        .collect::<Option<Vec<Share>>>()
        .map(|shares| sum(shares.into_iter()));
    Part {
        by_packets,
        by_sources,
        distinct,
        of_distinct,
        majority: if let [one] = asked.as_slice() {
            one.majority
        } else {
            above_half(by_packets)
        },
        majority_by_sources: by_sources.map(above_half),
    }
}

/// Several incidents together, weighted by their direct packets (by senders for shares of senders). Ends of intervals are weighted
/// likewise: wider than if the incidents were independent, which waves of one botnet are not.
fn together(incidents: &[&Incident], places: &Places) -> Part {
    let parts: Vec<(f64, Part)> = incidents
        .iter()
        .map(|incident| (incident.packets as f64 * direct(incident), part(incident, places)))
        .collect();
    if parts.len() == 1 {
        return parts
            .into_iter()
            .next()
            .map_or_else(Part::default, |(_, part)| part);
    }
    let weighted = |shares: &[(f64, Share)]| {
        let total: f64 = shares.iter().map(|(w, _)| w).sum::<f64>().max(f64::MIN_POSITIVE);
        let mean = |end: fn(&Share) -> f64| shares.iter().map(|(w, s)| w * end(s)).sum::<f64>() / total;
        Share {
            estimate: mean(|s| s.estimate),
            low: mean(|s| s.low),
            high: mean(|s| s.high),
        }
    };
    let by_packets = weighted(&parts.iter().map(|(w, p)| (*w, p.by_packets)).collect::<Vec<_>>());
    let by_sources = parts
        .iter()
        .map(|(_, p)| p.by_sources.map(|s| (p.of_distinct as f64, s)))
        .collect::<Option<Vec<_>>>()
        .map(|shares| weighted(&shares));
    Part {
        by_packets,
        by_sources,
        distinct: parts.iter().map(|(_, p)| p.distinct).sum(),
        of_distinct: parts.iter().map(|(_, p)| p.of_distinct).sum(),
        majority: above_half(by_packets),
        majority_by_sources: by_sources.map(above_half),
    }
}

/// C1 (some) and C2 (most), with C2' and C2''.
fn from_places(
    claim: &Claim,
    incidents: &[Incident],
    more: &Evidence,
    places: &Places,
    extent: Extent,
) -> Found {
    let (all, mut because) = match spoken_of(claim, incidents, more) {
        Ok(spoken) => spoken,
        Err(because) => return Found::unanswerable(because),
    };
    let (mut seen, mut hidden_from) = (Vec::new(), Vec::new());
    for incident in all {
        match hidden(incident, places) {
            Some(why) if hidden_from.len() < 3 => hidden_from.push(format!("{}: {why}", describe(incident))),
            Some(_) => {}
            None => seen.push(incident),
        }
    }
    because.extend(hidden_from);
    let would_change = vec![
        "Flows or packets from another vantage point: what one sees of a botnet differs from another by more than these intervals (of one botnet of 2025, one party counted 61 % in Iran, another 24 % in the United States as the first; greenbot.com/eleven11bot-record-breaking-ddos-attack).".to_owned(),
        "Return paths or reports of the source networks that show who really sent.".to_owned(),
    ];
    if seen.is_empty() {
        return Found {
            because,
            would_change,
            ..Found::default()
        };
    }
    let part = together(&seen, places);
    because.extend(place_sentences(&seen, places, &part));
    let probability = match extent {
        Extent::Most => {
            let by_sources = part.majority_by_sources.unwrap_or(part.majority);
            Share {
                estimate: part.majority,
                low: part.majority.min(by_sources),
                high: part.majority.max(by_sources),
            }
        }
        Extent::Any if part.distinct == 0 => {
            because.push(format!(
                "None of them was placed there; that it had some all the same is put at {:.0} % (judgement of this project).",
                PRESENT_UNSEEN * 100.0
            ));
            Share {
                estimate: PRESENT_UNSEEN,
                low: 1.0 - SURELY,
                high: 0.3,
            }
        }
        Extent::Any => {
            if let Some(mixed) = seen
                .iter()
                .map(|incident| mixed_in(incident))
                .find(|&mixed| mixed > MIXED_IN_MAX)
            {
                because.push(format!(
                    "Up to {:.0} % of the packets may be forged or from reflectors and could not be told from the others, so a few addresses there show nothing.",
                    mixed * 100.0
                ));
                return Found {
                    because,
                    would_change,
                    ..Found::default()
                };
            }
            // Each placed wrongly with the worst rate of the error model; neighbours are wrong together.
            let wrong = (1.0 - PLACE_RIGHT).powf((part.distinct as f64).sqrt());
            because.push(format!(
                "One address's place is right in about {:.0} of 100 cases in the worst kind of network, hosting and leased blocks (error model of this project). That some machines of a world-wide attack stand in a given place is the ordinary case and shows nothing more.",
                PLACE_RIGHT * 100.0
            ));
            Share {
                estimate: 1.0 - wrong,
                low: 1.0 - wrong,
                high: 1.0 - wrong,
            }
        }
    };
    let mut confidence = confidence(&seen, Some(part.by_packets.high - part.by_packets.low), 1);
    let split = part
        .majority_by_sources
        .is_some_and(|by_sources| (by_sources > 0.5) != (part.majority > 0.5));
    if split && extent == Extent::Most {
        because.push("Counted by senders the answer is another than counted by packets: few fast ones and many slow ones differ.".to_owned());
        confidence = (
            Confidence::Low,
            "packets and senders contradict each other".to_owned(),
        );
    }
    because.push("A sender's place is that of a machine, most often of a hijacked one, and never that of the person who made it send.".to_owned());
    Found {
        probability: Some(probability),
        about: None,
        confidence: Some(confidence),
        because,
        would_change,
    }
}

/// Shares, rank, audience, forged: what the numbers are.
fn place_sentences(seen: &[&Incident], places: &Places, part: &Part) -> Vec<String> {
    let mut says = Vec::new();
    let traced = seen.iter().all(|incident| incident.sources.senders.distinct > 0);
    let by_sources = part.by_sources.map_or(String::new(), |share| {
        format!(", and {} of the senders", percent(share))
    });
    says.push(format!(
        "{} of the senders' packets came from {}{by_sources}: {} of {} addresses.",
        percent(part.by_packets),
        places.names(),
        part.distinct,
        part.of_distinct
    ));
    if let [incident] = seen {
        let mut rows = rows(incident, places);
        rows.sort_by(|a, b| {
            b.by_packets
                .estimate
                .total_cmp(&a.by_packets.estimate)
                .then(a.name.cmp(&b.name))
        });
        let one = rows.iter().filter(|row| row.asked).count() == 1;
        let rank = rows.iter().position(|row| row.asked);
        let leaders: Vec<String> = rows
            .iter()
            .filter(|row| !row.asked)
            .take(3)
            .map(|row| format!("{} {}", row.name, percent(row.by_packets)))
            .collect();
        let others = if leaders.is_empty() {
            String::new()
        } else {
            format!("; the largest others: {}", leaders.join(", "))
        };
        match rank.and_then(|rank| rows.get(rank).map(|row| (rank, row))) {
            Some((rank, row)) if one => {
                let chance = |probability: f64| (probability * 100.0).clamp(1.0, 99.0);
                let first = row.first.map_or(String::new(), |first| {
                    format!(" (first with a probability of {:.0} %", chance(first))
                });
                let range = row.rank.map_or(String::new(), |((best, worst), top_five)| {
                    format!(
                        ", among the first five with {:.0} %; 95 % interval of the rank {best} to {worst})",
                        chance(top_five)
                    )
                });
                says.push(format!(
                    "That is rank {} of {}{first}{range}{others}.",
                    rank + 1,
                    rows.len()
                ));
            }
            Some((rank, _)) => says.push(format!(
                "The first of them has rank {} of {}{others}.",
                rank + 1,
                rows.len()
            )),
            None => says.push(format!("No sender was placed there{others}.")),
        }
        let usual: Vec<&Row> = rows.iter().filter(|row| row.asked).collect();
        match usual.as_slice() {
            [Row { usual: Some(usual), over, .. }] => {
                let over = over.map_or(String::new(), |over| {
                    format!(": its part in the attack is {:.1} [{:.1}, {:.1}] times as large", over.estimate, over.low, over.high)
                });
                says.push(format!("Of the normal audience it has {}{over}.", percent(*usual)));
            }
            rows if rows.len() > 1 && rows.iter().all(|row| row.usual.is_some()) => says.push(format!(
                "Of the normal audience they have {}.",
                percent(sum(rows.iter().filter_map(|row| row.usual)))
            )),
            _ => says.push("What part they have in the normal audience is not known, so it cannot be said whether this is more than usual.".to_owned()),
        }
        says.push(format!(
            "Forged are {} of the attack's packets, from reflectors {}; {}.",
            percent(incident.sources.forged),
            percent(incident.sources.reflected),
            if traced {
                "both are left out here"
            } else {
                "neither could be told from the others here, nor could the audience, and the intervals allow for the first two"
            }
        ));
    }
    says
}

// ---- C3, C4, C5: who ------------------------------------------------------------------------------------------------------

/// C3 and C4: a state. Never from traffic.
fn actor_state(claim: &Claim, state: Option<Country>, incidents: &[Incident], more: &Evidence) -> Found {
    let mut because = vec![
        "Traffic reaches machines, their networks, and at best the tool that drives them. Who operates that, who paid, and for whom, is not in it: the source country is not the actor.".to_owned(),
    ];
    if let Some(state) = state {
        let countries = [state];
        let places = Places::Countries(&countries);
        if let Ok((spoken, says)) = spoken_of(claim, incidents, more) {
            let open: Vec<&Incident> = spoken
                .into_iter()
                .filter(|i| hidden(i, &places).is_none())
                .collect();
            if !open.is_empty() {
                because.extend(says);
                because.push(format!(
                    "{} of the senders' packets came from {}; whatever that share, it moves the odds of its state by a factor of {} to {} at most (judgement of this project).",
                    percent(together(&open, &places).by_packets),
                    country::named(state),
                    LR_SOURCE_COUNTRY.0,
                    LR_SOURCE_COUNTRY.1
                ));
            }
        }
    }
    because.push(STATES_ARE_FEW.to_owned());
    Found {
        because,
        confidence: Some((Confidence::Low, "nothing in traffic bears on who ordered it".to_owned())),
        would_change: vec![
            "Seized servers or payments, an indictment, an intercept, or an admission that is verified: evidence of people, from outside the traffic.".to_owned(),
        ],
        ..Found::default()
    }
}

/// What holding a group's details against the traffic gave.
#[derive(Default)]
struct Proof {
    inside: u32,
    wrong: u32,
    says: Vec<String>,
}

/// C5: a group says so.
fn actor_group(claim: &Claim, name: &str, incidents: &[Incident], more: &Evidence) -> Found {
    let mut because = Vec::new();
    let details = claim.details.clone().unwrap_or_default();
    let mut proof = Proof::default();
    let mut announced = None;
    match (claim.at_ns, incidents) {
        (_, []) => because.push("No attack was found in this input to hold its words against.".to_owned()),
        (None, _) => because.push("It is not known when it was posted; a claim without a time can tell nothing that only the attacker knew.".to_owned()),
        (Some(said), incidents) => {
            announced = announcement(said, &details, incidents, more, &mut because);
            let begun = incidents
                .iter()
                .filter(|incident| incident.start_ns <= said)
                .max_by_key(|incident| (incident.start_ns, incident.packets));
            if let Some(incident) = begun {
                proof = inside_knowledge(said, &details, incident, more);
                because.append(&mut proof.says);
            }
        }
    }
    let mut ratios: Vec<([f64; 3], String)> = Vec::new();
    if proof.inside > 0 {
        ratios.push((
            LR_INSIDE,
            "details that were not public and that the traffic confirms".to_owned(),
        ));
    }
    if proof.wrong > 0 {
        ratios.push((LR_WRONG, "details that the traffic contradicts".to_owned()));
    }
    match announced {
        Some(true) => ratios.push((LR_ANNOUNCED, "a wave that was announced and came".to_owned())),
        Some(false) => ratios.push((LR_MISSED, "a wave that was announced and did not come".to_owned())),
        None => {}
    }
    let mut linked = false;
    if let Some(of) = &claim.infrastructure
        && let Some(ratio) = link(claim, of, incidents, &mut because)
    {
        linked = ratio[1] >= LR_LINK_SIGN;
        ratios.push((
            ratio,
            "senders among machines that are ascribed to them".to_owned(),
        ));
    }
    // How often somebody was wrong says nothing by itself of who did it: it only weakens other signs.
    if let Some(earlier) = &claim.earlier {
        let habit = earlier.right == 0 && earlier.wrong > 0;
        because.push(format!(
            "Of their earlier claims {} turned out to be right and {} to be wrong, as the claims file has it ({}){}.",
            earlier.right,
            earlier.wrong,
            earlier.url,
            if habit { "" } else { "; that moves nothing" }
        ));
        if habit && !ratios.is_empty() {
            ratios.push((LR_HABIT, "a habit of false claims".to_owned()));
        }
    }
    let would_change = vec![
        "A post from before the attack was public, with the target's addresses, the vector, or start and stop to the minute, that these data confirm.".to_owned(),
        "The next wave announced before it comes.".to_owned(),
        "Control servers, logs or payments that tie the name to the botnet; only such evidence could make it almost certain.".to_owned(),
    ];
    if ratios.is_empty() {
        because.insert(
            0,
            format!("Possible, and unproven: nothing shows that {name} did it but the words, and anybody could say them."),
        );
        because.push("Screenshots of a site that does not answer prove that it did not answer, which anybody could see; taking a post down again proves nothing either way.".to_owned());
        return Found {
            because,
            confidence: Some((Confidence::Low, "there is the statement alone".to_owned())),
            would_change,
            ..Found::default()
        };
    }
    // Not above "likely", and with one such sign not above an even chance, without evidence of who operates the tool.
    let signs = u32::from(proof.inside > 0) + u32::from(announced == Some(true)) + u32::from(linked);
    let most = if signs >= 2 { 0.79 } else { 0.54 };
    let posterior = |end: usize| {
        let ratio: f64 = ratios.iter().map(|(ratio, _)| ratio[end]).product();
        update(PRIOR_GROUP, ratio).min(most)
    };
    for (ratio, what) in &ratios {
        because.push(format!(
            "Likelihood ratio {} ({} to {}) for {what} (judgement of this project).",
            ratio[1], ratio[0], ratio[2]
        ));
    }
    because.push(format!(
        "It begins at {:.0} % for a group that says so (judgement of this project), and ends at {:.0} % at most with {signs} of three kinds of sign: inside knowledge, control, a link to the machines.",
        PRIOR_GROUP * 100.0,
        most * 100.0
    ));
    Found {
        probability: Some(Share {
            estimate: posterior(1),
            low: posterior(0),
            high: posterior(2),
        }),
        about: None,
        confidence: Some((
            Confidence::Low,
            if linked {
                "it rests on others' word for whose machines these are, and on what the claims file says"
            } else {
                "it rests on what the claimant said and on when this was public, as the claims file has it"
            }
            .to_owned(),
        )),
        because,
        would_change,
    }
}

/// Whether more of the attack's direct senders are among machines that are ascribed to the group than are on any such list: a likelihood
/// ratio (least, best, most), where there is anything to say.
fn link(
    claim: &Claim,
    of: &Infrastructure,
    incidents: &[Incident],
    because: &mut Vec<String>,
) -> Option<[f64; 3]> {
    let begun = incidents
        .iter()
        .filter(|incident| claim.at_ns.is_some_and(|said| incident.start_ns <= said))
        .max_by_key(|incident| (incident.start_ns, incident.packets));
    let held: Vec<&Incident> = begun.map_or_else(|| incidents.iter().collect(), |one| vec![one]);
    // Forged addresses sent nothing and reflectors belong to others.
    let senders: std::collections::BTreeSet<std::net::Ipv6Addr> = held
        .iter()
        .flat_map(|incident| &incident.vectors)
        .flat_map(|vector| &vector.top_sources)
        .filter(|source| source.origin == Origin::Direct)
        .map(|source| source.address)
        .collect();
    let listed = |address: std::net::Ipv6Addr| {
        let at = of.prefixes.partition_point(|prefix| prefix.base <= address);
        at > 0 && of.prefixes[at - 1].contains(address)
    };
    let all = senders.len() as u64;
    let inside = senders.iter().filter(|address| listed(**address)).count() as u64;
    let source = match &of.url {
        Some(url) => format!("{} ({url})", of.from),
        None => of.from.clone(),
    };
    if all < SENDERS_MIN {
        because.push(format!(
            "{} lists machines that are theirs, as {source} says; only {all} senders of the attack are known to have sent under their own address, too few to hold against it.",
            of.file
        ));
        return None;
    }
    // What part of all addresses the list has, for senders of these families.
    let none = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    let part = |of_v4: bool, whole: f64| -> f64 {
        let size = |prefix: &Prefix| match prefix.base.to_ipv4_mapped() {
            // All of IPv6 has all of IPv4 in it, as this program writes it.
            None if of_v4 && prefix.contains(none) => 32f64.exp2(),
            mapped if mapped.is_some() == of_v4 => (128.0 - f64::from(prefix.len)).exp2(),
            _ => 0.0,
        };
        of.prefixes.iter().map(size).sum::<f64>() / whole
    };
    let senders_v4 = senders
        .iter()
        .filter(|address| address.to_ipv4_mapped().is_some())
        .count() as f64;
    let n = all as f64;
    let chance = (senders_v4 * part(true, ANNOUNCED_V4) + (n - senders_v4) * part(false, GLOBAL_V6)) / n;
    let share = inside as f64 / n;
    because.push(format!(
        "{} lists {} addresses and prefixes that are theirs, as {source} says. Of {all} senders that sent under their own address {inside} ({:.1} %) are among them; by the size of the list {:.2} would be.",
        of.file,
        of.prefixes.len(),
        share * 100.0,
        chance * n
    ));
    if chance > WIDE {
        because.push(format!(
            "It is too wide to show anything: above {:.1} % of all addresses it names networks and no machines.",
            WIDE * 100.0
        ));
        return None;
    }
    let ratio = ON_ANY_LIST.map(|usual| {
        // If they are theirs, any part of the senders may be on the list; if not, no more than on any list.
        if share <= usual {
            return 1.0;
        }
        let by_chance = Binomial::new(usual, all).map_or(0.0, |binomial| binomial.ln_pmf(inside));
        (-(n + 1.0).ln() - by_chance).exp().clamp(1.0, LR_LINK_MAX)
    });
    if ratio[2] <= 1.0 {
        because.push(
            "That is no more than is on any list of taken machines, and shows nothing either way: others take the same machines, and no list is whole."
                .to_owned(),
        );
        return None;
    }
    because.push(format!(
        "Up to {:.0} % ({:.0} to {:.0} %) of the senders of any attack are taken to be on any such list (judgement of this project): others take the same machines. The list is others' word; a list that was made from this attack shows nothing.",
        ON_ANY_LIST[1] * 100.0,
        ON_ANY_LIST[2] * 100.0,
        ON_ANY_LIST[0] * 100.0
    ));
    Some(ratio)
}

/// Whether a start that was told before it came is that of an attack; `None` where none was told, or the input does not reach so far.
fn announcement(
    said: u64,
    details: &Details,
    incidents: &[Incident],
    more: &Evidence,
    because: &mut Vec<String>,
) -> Option<bool> {
    let told = details.started_ns.filter(|&start| start > said)?;
    let near = TO_THE_MINUTE_S * SECOND;
    let came = incidents
        .iter()
        .filter(|incident| incident.start_ns > said)
        .find(|incident| incident.start_ns.abs_diff(told) <= near);
    if let Some(came) = came {
        because.push(format!(
            "At {} it told of an attack at {}; {} began {} from then.",
            clock(said),
            clock(told),
            describe(came),
            span(came.start_ns.abs_diff(told))
        ));
        return Some(true);
    }
    let covered = more.first_ns.is_some_and(|first| first + near <= told)
        && more.last_ns.is_some_and(|last| told + near <= last);
    because.push(format!(
        "At {} it told of an attack at {}; {}.",
        clock(said),
        clock(told),
        if covered {
            "none began then"
        } else {
            "this input does not reach there"
        }
    ));
    covered.then_some(false)
}

/// Details of a claim that was made after the start, held against the attack. They count only if the claim came before they were public.
fn inside_knowledge(said: u64, details: &Details, incident: &Incident, more: &Evidence) -> Proof {
    let mut proof = Proof::default();
    let near = TO_THE_MINUTE_S * SECOND;
    let hold = |what: &str, right: bool, proof: &mut Proof| {
        proof.says.push(format!(
            "It names {what}, which the traffic {}.",
            if right { "confirms" } else { "contradicts" }
        ));
        if right {
            proof.inside += 1;
        } else {
            proof.wrong += 1;
        }
    };
    if let Some(start) = details.started_ns.filter(|&start| start <= said) {
        hold(
            &format!("{} as the start", clock(start)),
            start.abs_diff(incident.start_ns) <= near,
            &mut proof,
        );
    }
    if let Some(end) = details.ended_ns.filter(|&end| end <= said && !incident.ongoing) {
        let right = incident.end_ns.is_some_and(|real| real.abs_diff(end) <= near);
        hold(&format!("{} as the end", clock(end)), right, &mut proof);
    }
    if let Some(vector) = &details.vector {
        hold(
            &format!("the vector {vector}"),
            incident.vectors.iter().any(|v| v.vector.name() == vector),
            &mut proof,
        );
    }
    if let Some(target) = details.target {
        hold(
            &format!("the target {target}"),
            overlap(target, incident.target),
            &mut proof,
        );
    }
    let felt = more.outage.as_ref().and_then(|outage| {
        outage
            .waves
            .iter()
            .map(|wave| wave.start_ns)
            .filter(|&start| start + TOGETHER_NS >= incident.start_ns)
            .min()
    });
    let nothing_told = proof.says.is_empty();
    match details.public_since_ns {
        _ if nothing_told => match felt {
            Some(felt) if said < felt => proof.says.push(format!(
                "It was posted at {}, before the first reports ({}), and after the attack had begun.",
                clock(said),
                clock(felt)
            )),
            _ => proof.says.push(format!(
                "It was posted at {}, {} after the attack began, and tells nothing of it that was not public.",
                clock(said),
                span(said - incident.start_ns)
            )),
        },
        Some(public) if said < public => proof.says.push(format!(
            "It was posted at {}, before these things were public ({}).",
            clock(said),
            clock(public)
        )),
        public => {
            let why = match public {
                Some(public) => format!("these things were public since {}", clock(public)),
                None => "the claims file does not say since when these things were public".to_owned(),
            };
            proof.says.push(format!("It was posted at {}: {why}, so that they are right shows nothing.", clock(said)));
            proof.inside = 0;
        }
    }
    // Who knew of it before anybody felt it knew from inside.
    if nothing_told && felt.is_some_and(|felt| said < felt) {
        proof.inside = 1;
    }
    proof
}

fn overlap(a: Prefix, b: Prefix) -> bool {
    a.contains(b.base) || b.contains(a.base)
}

// ---- C6, C7, C8: what kind of thing ----------------------------------------------------------------------------------------

/// C6: one control. How many people stand behind it is not determinable.
fn coordinated(claim: &Claim, large_group: bool, incidents: &[Incident], more: &Evidence) -> Found {
    let (spoken, mut because) = match spoken_of(claim, incidents, more) {
        Ok(spoken) => spoken,
        Err(because) => return Found::unanswerable(because),
    };
    let group = "Whether a large group of people stands behind it is not determinable from traffic: one customer of a rented botnet looks the same.";
    let would_change = vec![
        "Different tools, schedules and targets among the senders would speak for several operators; a control server's log would tell.".to_owned(),
    ];
    let seen: Vec<_> = spoken
        .iter()
        .filter_map(|incident| incident.coordination.as_ref().map(|c| (*incident, c)))
        .max_by_key(|(incident, _)| incident.packets)
        .into_iter()
        .collect();
    let [(incident, coordination)] = seen.as_slice() else {
        because.push(
            "Too few senders under their own address are known to say how alike they behave.".to_owned(),
        );
        if large_group {
            because.push(group.to_owned());
        }
        return Found {
            because,
            would_change,
            ..Found::default()
        };
    };
    if spoken.len() > 1 {
        because.push(format!(
            "Of the attacks, the largest with enough senders was looked at: {}.",
            describe(incident)
        ));
    }
    because.extend(coordination.because.iter().cloned());
    because.push(format!(
        "{:.0} % of the senders began within ten seconds of the commonest moment (median distance {:.1} s), {:.0} % stopped together; their packets have {:.1} different looks in effect, their rates vary by {:.2}; controllers: {} at least.",
        coordination.start_together * 100.0,
        coordination.start_spread_s,
        coordination.stop_together * 100.0,
        coordination.fingerprints,
        coordination.rate_variation,
        coordination.controllers_min
    ));
    if large_group {
        because.push(group.to_owned());
    }
    Found {
        probability: Some(Share {
            estimate: coordination.probability,
            low: coordination.probability,
            high: coordination.probability,
        }),
        about: large_group
            .then(|| "coordination alone; whether by a large group of people is not determinable".to_owned()),
        confidence: Some(confidence(&[incident], None, 1)),
        because,
        would_change,
    }
}

/// C7: a lot of resources.
fn many_resources(claim: &Claim, incidents: &[Incident], more: &Evidence) -> Found {
    let (spoken, mut because) = match spoken_of(claim, incidents, more) {
        Ok(spoken) => spoken,
        Err(because) => return Found::unanswerable(because),
    };
    let Some(largest) = spoken
        .iter()
        .max_by(|a, b| a.peak.bits_per_second.total_cmp(&b.peak.bits_per_second))
    else {
        return Found::unanswerable(because);
    };
    if spoken.len() > 1 {
        because.push(format!("The largest of them counts: {}.", describe(largest)));
    }
    because.extend(
        largest
            .size
            .iter()
            .map(|standing| format!("{}: {}", capitalised(standing.what), standing.says)),
    );
    because.push(format!(
        "\"A lot\" is taken as: above {:.0} % of published attacks in bits or packets per second, or above {:.0} % in requests per second (judgement of this project). It was measured where this input was recorded; what was dropped before is not in it.",
        A_LOT * 100.0,
        A_LOT_OF_REQUESTS * 100.0
    ));
    because.push(RENT.to_owned());
    let powers = || largest.size.iter().filter(|s| s.what.ends_with("per second"));
    let bar = |what: &str| {
        if what.starts_with("requests") {
            A_LOT_OF_REQUESTS
        } else {
            A_LOT
        }
    };
    // Judgement of this project: how surely an attack that stands so took much; what was seen is a lower bound.
    let probability = if powers().any(|s| s.percentile.0 >= 0.999) {
        [0.97, 0.95, 0.99]
    } else if powers().any(|s| s.percentile.0 >= bar(s.what)) {
        [0.85, 0.8, 0.95]
    } else if powers().next().is_some() {
        [0.15, 0.05, 0.3]
    } else {
        because.push("There are no published figures for what was measured here.".to_owned());
        return Found::unanswerable(because);
    };
    Found {
        probability: Some(Share {
            estimate: probability[0],
            low: probability[1],
            high: probability[2],
        }),
        about: Some("the size of the attack; resources to rent it are not the resources of a state".to_owned()),
        confidence: Some(confidence(&[largest], None, 1)),
        because,
        would_change: vec![
            "Measurements nearer to the senders, or of what providers dropped on the way: this input may have seen only a part.".to_owned(),
            "Figures of the whole distribution of attacks instead of single points of it.".to_owned(),
        ],
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// C8: an attack rather than a fault.
fn is_attack(claim: &Claim, incidents: &[Incident], more: &Evidence) -> Found {
    let waves = more
        .outage
        .as_ref()
        .map_or(&[][..], |outage| outage.waves.as_slice());
    let would_change = vec![
        "A change that was deployed, a route that was withdrawn or a dependency that failed at that moment."
            .to_owned(),
        "Reports and probes that show the service well while this traffic ran, or ill while it did not."
            .to_owned(),
    ];
    let begins = format!(
        "It begins at {:.0} % for an outage being an attack: most are faults (judgement of this project).",
        PRIOR_ATTACK * 100.0
    );
    let (spoken, mut because) = match spoken_of(claim, incidents, more) {
        Ok(spoken) => spoken,
        Err(mut because) => {
            // Reports alone cannot tell an attack from a fault; traffic of that time without an attack speaks against one.
            let covers = |start: u64, end: u64| {
                more.first_ns.is_some_and(|first| first <= start)
                    && more.last_ns.is_some_and(|last| end <= last)
            };
            let watched = match (waves, claim.at_ns) {
                ([], Some(said)) => covers(said, said),
                ([], None) => more.first_ns.is_some(),
                (waves, _) => waves.iter().all(|wave| covers(wave.start_ns, wave.end_ns)),
            };
            if !watched || !incidents.is_empty() {
                because.push("Reports and probes tell that a service is down, not why.".to_owned());
                return Found {
                    because,
                    would_change,
                    ..Found::default()
                };
            }
            because.push(begins);
            because.push(format!(
                "Likelihood ratio {LR_UNSEEN} for traffic of that time in which no attack was found (judgement of this project): slow ones, and complete HTTPS requests, look like visitors."
            ));
            return Found {
                probability: Some(ratio_share(LR_UNSEEN)),
                confidence: Some((
                    Confidence::Low,
                    "what was not found need not be absent".to_owned(),
                )),
                because,
                would_change,
                about: None,
            };
        }
    };
    let strong = spoken
        .iter()
        .any(|incident| incident.confidence > Confidence::Low);
    let mut ratio = if strong { LR_VECTOR } else { LR_VECTOR_WEAK };
    because.push(begins);
    because.push(format!(
        "Likelihood ratio {ratio} for traffic that nobody asked for and that has the look of a named vector (judgement of this project): {}. Downloads, answers, crowds of visitors and scans were set aside before.",
        spoken
            .iter()
            .flat_map(|incident| &incident.vectors)
            .take(5)
            .map(|v| format!("{} with {} packets", v.vector.label(), v.packets))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    let felt = |incident: &Incident| {
        let end = incident.end_ns.unwrap_or(u64::MAX);
        waves.iter().any(|wave| {
            incident.start_ns <= wave.end_ns.saturating_add(TOGETHER_NS)
                && wave.start_ns <= end.saturating_add(TOGETHER_NS)
        })
    };
    let mut most = ATTACK_MAX;
    let mut kinds = 1;
    if waves.is_empty() {
        because.push("No reports or probes are in this evidence: the attack is seen, that it brought the service down is not.".to_owned());
    } else if spoken.iter().any(|incident| felt(incident)) {
        ratio *= LR_TOGETHER;
        most = SURELY;
        kinds = 2;
        because.push(format!(
            "Likelihood ratio {LR_TOGETHER} for an outage that people felt at the same time (judgement of this project): {}.",
            waves_text(waves)
        ));
    } else {
        ratio *= LR_APART;
        because.push(format!(
            "Likelihood ratio {LR_APART} for an outage that people felt at another time (judgement of this project): {}.",
            waves_text(waves)
        ));
    }
    let share = ratio_share(ratio);
    Found {
        probability: Some(Share {
            estimate: share.estimate.min(most),
            low: share.low.min(most),
            high: share.high.min(most),
        }),
        about: None,
        confidence: Some(confidence(&spoken, None, kinds)),
        because,
        would_change,
    }
}

/// The probability of an attack after a likelihood ratio, which may be wrong by a factor.
fn ratio_share(ratio: f64) -> Share {
    Share {
        estimate: update(PRIOR_ATTACK, ratio),
        low: update(PRIOR_ATTACK, ratio / LR_DOUBT),
        high: update(PRIOR_ATTACK, ratio * LR_DOUBT),
    }
}

fn waves_text(waves: &[Wave]) -> String {
    let mut texts: Vec<String> = waves
        .iter()
        .take(5)
        .map(|wave| {
            format!(
                "{} to {} with {} reports",
                clock(wave.start_ns),
                clock(wave.end_ns),
                wave.reports
            )
        })
        .collect();
    if waves.len() > 5 {
        texts.push(format!("and {} more", waves.len() - 5));
    }
    texts.join(", ")
}

// ---- C9: when, and whether it is over --------------------------------------------------------------------------------------

/// Which end of an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Start,
    End,
}

/// When it began or ended.
fn at_time(
    claim: &Claim,
    (at, within_s): (u64, u64),
    end: End,
    incidents: &[Incident],
    more: &Evidence,
) -> Found {
    let word = if end == End::Start { "began" } else { "ended" };
    let would_change =
        vec!["Records from before and after this input, or of another vantage point.".to_owned()];
    if let Some(last) = more
        .last_ns
        .filter(|&last| at > last.saturating_add(within_s.saturating_mul(SECOND)))
    {
        return Found {
            because: vec![format!(
                "{} lies after the end of this input ({}).",
                clock(at),
                clock(last)
            )],
            would_change,
            ..Found::default()
        };
    }
    if let Some(first) = more
        .first_ns
        .filter(|&first| at.saturating_add(within_s.saturating_mul(SECOND)) < first)
    {
        return Found {
            because: vec![format!(
                "{} lies before the beginning of this input ({}).",
                clock(at),
                clock(first)
            )],
            would_change,
            ..Found::default()
        };
    }
    // What had begun when it was said; a start may also have been foretold.
    let begun = |incident: &&Incident| claim.at_ns.is_none_or(|said| incident.start_ns <= said.max(at));
    let moment = |incident: &Incident| match end {
        End::Start => Some(incident.start_ns),
        End::End => incident.end_ns.filter(|_| !incident.ongoing),
    };
    let nearest = incidents
        .iter()
        .filter(begun)
        .filter_map(|incident| moment(incident).map(|moment| (moment.abs_diff(at), moment, incident)))
        .min_by_key(|(off, ..)| *off);
    let running = incidents
        .iter()
        .filter(begun)
        .find(|incident| end == End::End && incident.ongoing && incident.start_ns <= at);
    let Some((off, real, incident)) = nearest else {
        let because = match running {
            Some(running) => format!("It still ran when this input ends: {}.", describe(running)),
            None => format!("No attack of which this could be said {word} in this input."),
        };
        return match running {
            Some(running) => Found {
                probability: Some(Share {
                    estimate: 0.03,
                    low: 0.01,
                    high: 0.1,
                }),
                confidence: Some(confidence(&[running], None, 1)),
                because: vec![because],
                would_change,
                about: None,
            },
            None => Found {
                because: vec![because],
                would_change,
                ..Found::default()
            },
        };
    };
    let mut because = vec![format!(
        "Of the attacks in this input, the one that {word} nearest to it {word} at {}, {} from {}: {}.",
        clock(real),
        span(off),
        clock(at),
        describe(incident)
    )];
    // An attack whose first packet is the input's first may have begun before.
    let cut = end == End::Start
        && more
            .first_ns
            .is_some_and(|first| incident.start_ns < first + 2 * SECOND);
    if cut {
        because.push("It runs already when the input begins, so it may have begun earlier.".to_owned());
        return Found {
            because,
            would_change,
            ..Found::default()
        };
    }
    // Judgement of this project: starts and ends are those of packets, as exact as the clock that recorded them.
    let [estimate, low, high] = match off / SECOND {
        off if off <= within_s => [0.97, 0.9, 0.99],
        off if off <= within_s.saturating_mul(2).saturating_add(5) => [0.3, 0.1, 0.5],
        _ => [0.03, 0.01, 0.1],
    };
    because.push(format!("The statement allows {within_s} s."));
    Found {
        probability: Some(Share { estimate, low, high }),
        about: None,
        confidence: Some(confidence(&[incident], None, 1)),
        because,
        would_change,
    }
}

/// C9: restored. All three kinds of evidence, and no wave after it.
fn restored(at: u64, incidents: &[Incident], more: &Evidence) -> Found {
    let would_change = vec![
        "Another wave within six hours; until then it is restored so far, and not over.".to_owned(),
        "Reports, probes from three networks and the rate of errors, each over the half hour after it."
            .to_owned(),
    ];
    let until = at.saturating_add(OVER_AFTER_NS);
    let waves = more
        .outage
        .as_ref()
        .map_or(&[][..], |outage| outage.waves.as_slice());
    // A later wave makes it false, whoever saw the service well in between.
    let felt_again = waves
        .iter()
        .find(|wave| wave.end_ns > at && wave.start_ns <= until);
    if let Some(wave) = felt_again {
        return Found {
            probability: Some(Share {
                estimate: 0.03,
                low: 0.01,
                high: 0.1,
            }),
            confidence: Some((Confidence::Moderate, "it rests on reports of one kind".to_owned())),
            because: vec![format!(
                "People felt it down after {}: {}. A pause between waves is not the end; six hours without one are asked for.",
                clock(at),
                waves_text(std::slice::from_ref(wave))
            )],
            would_change,
            about: None,
        };
    }
    let attacked = incidents
        .iter()
        .filter(|incident| incident.end_ns.is_none_or(|end| end > at) && incident.start_ns <= until)
        .min_by_key(|incident| incident.start_ns);
    let Some(outage) = &more.outage else {
        let mut because = Vec::new();
        if let Some(incident) = attacked {
            because.push(format!(
                "The attack went on or came again after {}: {}.",
                clock(at),
                describe(incident)
            ));
        } else if let Some(last) = more.last_ns.filter(|&last| last > at) {
            because.push(format!(
                "No attack was seen from {} until the input ends, {} later; that no attack is seen does not say that the service is well.",
                clock(at),
                span(last - at)
            ));
        } else {
            because.push(format!("{} lies after the end of this input.", clock(at)));
        }
        because.push("Neither reports nor probes are in this evidence, and whether a service is well is theirs to say.".to_owned());
        return Found {
            because,
            would_change,
            ..Found::default()
        };
    };
    if outage.until_ns < at {
        return Found {
            because: vec![format!(
                "Reports and probes are known until {}, which is before {}.",
                clock(outage.until_ns),
                clock(at)
            )],
            would_change,
            ..Found::default()
        };
    }
    let mut because = Vec::new();
    let signs = [
        (
            "reports",
            outage.end_evidence.map(|e| e >= END_EVIDENCE),
            outage.end_evidence.map_or(String::new(), |e| format!("evidence of the end {e:.0}, {END_EVIDENCE:.0} needed")),
        ),
        (
            "probes",
            outage
                .probes_ok
                // Too few places that see it well are too little to say so; a few that fail are enough against it.
                .filter(|ok| outage.probe_networks >= PROBE_NETWORKS || (*ok < PROBES_OK && outage.probe_networks > 0))
                .map(|ok| ok >= PROBES_OK),
            outage.probes_ok.map_or(String::new(), |ok| {
                format!(
                    "{:.0} % succeeded from {} networks over the last half hour, {:.0} % from {PROBE_NETWORKS} needed",
                    ok * 100.0,
                    outage.probe_networks,
                    PROBES_OK * 100.0
                )
            }),
        ),
        (
            "errors",
            outage.errors_over_usual.map(|times| times <= ERRORS_OVER_USUAL),
            outage
                .errors_over_usual
                .map_or(String::new(), |times| format!("{times:.1} times the usual, {ERRORS_OVER_USUAL} allowed")),
        ),
    ];
    for (name, good, says) in &signs {
        because.push(match good {
            Some(true) => format!("{} say it is well: {says}.", capitalised(name)),
            Some(false) => format!("{} say it is not: {says}.", capitalised(name)),
            None if says.is_empty() => format!("{} are not known.", capitalised(name)),
            None => format!("{} are too few to tell: {says}.", capitalised(name)),
        });
    }
    let good = signs.iter().filter(|(_, good, _)| *good == Some(true)).count();
    let bad = signs.iter().filter(|(_, good, _)| *good == Some(false)).count();
    let quiet = outage.until_ns - at;
    because.push(format!(
        "{} passed since then without a wave that people felt; six hours are asked for before it is called over.",
        capitalised(&span(quiet))
    ));
    if let Some(incident) = attacked {
        because.push(format!(
            "Attack traffic went on or came again: {}.",
            describe(incident)
        ));
    }
    // Judgement of this project for each number of kinds of evidence.
    let [estimate, low, high] = match (good, bad) {
        (_, 1..) => [0.1, 0.02, 0.3],
        (3, 0) if quiet >= OVER_AFTER_NS => [0.97, 0.95, 0.99],
        (3, 0) if attacked.is_some() => [0.6, 0.3, 0.8],
        (3, 0) => [0.85, 0.6, 0.94],
        (2, 0) => [0.6, 0.3, 0.8],
        _ => {
            because.push(
                "All three kinds of evidence are needed to say so, and two at least to say anything."
                    .to_owned(),
            );
            return Found {
                because,
                would_change,
                ..Found::default()
            };
        }
    };
    let confidence = match (good + bad, incidents.is_empty()) {
        (3, false) => (
            Confidence::High,
            "reports, probes and errors are all known".to_owned(),
        ),
        (3, true) => (
            Confidence::Moderate,
            "reports, probes and errors are known, the traffic is not".to_owned(),
        ),
        _ => (
            Confidence::Low,
            "not all three kinds of evidence are known".to_owned(),
        ),
    };
    Found {
        probability: Some(Share { estimate, low, high }),
        about: Some("restored so far".to_owned()),
        confidence: Some(confidence),
        because,
        would_change,
    }
}

// ---- C10, C11, C12 and the vector ------------------------------------------------------------------------------------------

/// C10: how many people. Reports are not users.
fn people_affected(at_least: u64, more: &Evidence) -> Found {
    let mut because = vec!["Reports are not users: who reports is a small and changing part of who is affected, and anybody may report twice or in another's name.".to_owned()];
    if let Some(outage) = &more.outage {
        let reports: u64 = outage.waves.iter().map(|wave| wave.reports).sum();
        let largest = outage.waves.iter().map(|wave| wave.reports).max().unwrap_or(0);
        let usual = outage.expected_reports.map_or(String::new(), |usual| {
            format!(", where an ordinary day has {usual:.0}")
        });
        because.push(format!(
            "There were {reports} reports in {} waves, {largest} in the largest{usual}; the statement speaks of {at_least} people.",
            outage.waves.len()
        ));
    } else {
        because.push("Nothing in this evidence counts people; addresses of packets are machines.".to_owned());
    }
    Found {
        because,
        confidence: Some((Confidence::Low, "nothing here counts people".to_owned())),
        would_change: vec![
            "The service's own count of sessions, in that time and usually, with the share that failed."
                .to_owned(),
        ],
        ..Found::default()
    }
}

/// Which vector.
fn vector(claim: &Claim, name: &str, incidents: &[Incident], more: &Evidence) -> Found {
    let (spoken, mut because) = match spoken_of(claim, incidents, more) {
        Ok(spoken) => spoken,
        Err(because) => return Found::unanswerable(because),
    };
    let would_change = vec!["Packets with their payload, where these are flows; the log of the servers, where requests are encrypted.".to_owned()];
    let total: u64 = spoken.iter().map(|incident| incident.packets).sum();
    let parts: Vec<_> = spoken.iter().flat_map(|incident| &incident.vectors).collect();
    let packets: u64 = parts
        .iter()
        .filter(|v| v.vector.name() == name)
        .map(|v| v.packets)
        .sum();
    let share = packets as f64 / total.max(1) as f64;
    let mut others: Vec<&str> = parts
        .iter()
        .filter(|v| v.vector.name() != name)
        .map(|v| v.vector.label())
        .collect();
    others.dedup();
    others.truncate(5);
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; also {}", others.join(", "))
    };
    let judged = if packets > 0 {
        because.push(format!(
            "{packets} of {total} attack packets, {:.1} %, are such{others}.",
            share * 100.0
        ));
        because.extend(
            parts
                .iter()
                .filter(|v| v.vector.name() == name)
                .take(2)
                .map(|v| format!("They show it by: {}.", v.why)),
        );
        // Judgement of this project: a small part is more easily another vector's companion.
        if share >= 0.05 {
            [0.97, 0.9, 0.99]
        } else {
            [0.75, 0.5, 0.9]
        }
    } else {
        because.push(format!("No attack packet of this kind was found{others}."));
        let encrypted = Vector::ALL.iter().any(|v| {
            v.name() == name && matches!(v, Vector::HttpFlood | Vector::Slowloris | Vector::SlowPost)
        });
        if encrypted {
            because.push("Requests are seen in the clear only: an attack of complete HTTPS requests looks like many visitors here.".to_owned());
            return Found {
                because,
                would_change,
                ..Found::default()
            };
        }
        [0.06, 0.02, 0.2]
    };
    Found {
        probability: Some(Share {
            estimate: judged[0],
            low: judged[1],
            high: judged[2],
        }),
        about: None,
        confidence: Some(confidence(&spoken, None, 1)),
        because,
        would_change,
    }
}

/// C11: servers behind the protection were reached directly.
fn exposed_origin(claim: &Claim, prefix: Prefix, incidents: &[Incident], more: &Evidence) -> Found {
    let would_change = vec![
        "Traffic of the protection itself at that time, and a direct request to the servers that is answered or is not.".to_owned(),
    ];
    let begun: Vec<&Incident> = incidents
        .iter()
        .filter(|incident| claim.at_ns.is_none_or(|said| incident.start_ns <= said))
        .filter(|incident| overlap(prefix, incident.target))
        .collect();
    if begun.is_empty() {
        return Found {
            because: vec![format!(
                "No attack on {prefix} is in this input; whether it would have been seen here is not known."
            )],
            would_change,
            ..Found::default()
        };
    }
    let mut because: Vec<String> = begun
        .iter()
        .take(3)
        .map(|incident| {
            format!(
                "Attack packets were sent to these addresses themselves: {}, {} packets.",
                describe(incident),
                incident.packets
            )
        })
        .collect();
    because.push(format!(
        "That {prefix} are servers behind a protection is the statement's; these data cannot show it."
    ));
    let (judged, kinds) = match more.edge_normal {
        Some(true) => {
            because.push("The protection itself got ordinary traffic meanwhile.".to_owned());
            ([0.96, 0.9, 0.99], 2)
        }
        Some(false) => {
            because.push("The protection itself was attacked too.".to_owned());
            ([0.85, 0.6, 0.95], 2)
        }
        None => {
            because.push("What the protection itself got is not known.".to_owned());
            ([0.85, 0.6, 0.95], 1)
        }
    };
    Found {
        probability: Some(Share {
            estimate: judged[0],
            low: judged[1],
            high: judged[2],
        }),
        about: Some("attack packets to these addresses, if they are what the statement says".to_owned()),
        confidence: Some(confidence(&begun, None, kinds)),
        because,
        would_change,
    }
}

/// C12: a provider was switched off. Loss can be seen; that somebody meant it cannot.
fn provider_off(network: u32, country: Option<Country>, more: &Evidence) -> Found {
    let would_change = vec![
        "How many of its addresses answer, and how many of its users come, before, during and after, country by country.".to_owned(),
        "A statement of the provider that can be verified; only people can say what was meant.".to_owned(),
    ];
    let intent = "Whether anybody switched it off, rather than that it failed, is not in such data.";
    let watched: Vec<&Loss> = more
        .losses
        .iter()
        .filter(|loss| {
            loss.network == network
                && (country.is_none() || loss.country.is_none() || loss.country == country)
        })
        .collect();
    let Some(worst) = watched.iter().min_by(|a, b| a.left.high.total_cmp(&b.left.high)) else {
        return Found {
            because: vec![
                format!("Nothing in this evidence watched whether AS{network} could be reached."),
                intent.to_owned(),
            ],
            would_change,
            ..Found::default()
        };
    };
    let mut because = vec![format!(
        "At {} {} of its usual was left.",
        clock(worst.at_ns),
        percent(worst.left)
    )];
    if worst.left.low > 0.5 {
        because.push("Most of it could be reached throughout, so it was not off.".to_owned());
        return Found {
            probability: Some(Share {
                estimate: 0.03,
                low: 0.01,
                high: 0.1,
            }),
            about: Some("a loss of connectivity; intent is not in such data".to_owned()),
            confidence: Some((
                Confidence::Moderate,
                "it rests on one kind of own evidence, connectivity".to_owned(),
            )),
            because,
            would_change,
        };
    }
    because.push(if worst.left.high < 0.5 {
        "Most of it was lost: a loss of connectivity is seen.".to_owned()
    } else {
        "Whether most of it was lost is not clear from that.".to_owned()
    });
    because.push(intent.to_owned());
    Found {
        because,
        confidence: Some((Confidence::Low, "a loss does not show a hand".to_owned())),
        would_change,
        ..Found::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{
        Coordination, CountryShare, Look, NetworkShare, Peak, Senders, Sources, Timeline, VectorShare,
    };
    use crate::claim::Grade;
    use crate::size;

    const START: u64 = 1_741_599_930 * SECOND;
    const END: u64 = START + 370 * SECOND;

    fn share(estimate: f64, low: f64, high: f64) -> Share {
        Share { estimate, low, high }
    }

    fn code(text: &str) -> Country {
        country::read(text).unwrap()
    }

    fn located<K>(key: K, estimate: f64, distinct: u64, majority: f64, first: f64) -> Located<K> {
        let half = 0.3 * estimate;
        Located {
            network: None,
            key,
            by_packets: share(estimate, estimate - half, estimate + half),
            by_sources: share(estimate * 1.05, estimate * 0.8, estimate * 1.3),
            distinct,
            majority,
            first,
            top_five: first,
            rank: (1, 9),
            usual: Some(share(estimate, estimate * 0.9, estimate * 1.1)),
            over: Some(share(1.0, 0.6, 1.5)),
        }
    }

    /// A world-wide botnet, as on 10 March 2025: Ukraine has one percent, hardly anything is forged.
    fn march_10() -> Incident {
        let world = [
            ("US", 0.22),
            ("VN", 0.14),
            ("BR", 0.12),
            ("MX", 0.09),
            ("ES", 0.07),
            ("IT", 0.07),
            ("RU", 0.02),
            ("UA", 0.01),
        ];
        let senders = Senders {
            share: share(0.995, 0.95, 1.0),
            distinct: 17_478,
            countries: world
                .iter()
                .map(|(c, s)| {
                    located(
                        code(c),
                        *s,
                        (17_478.0 * s) as u64,
                        0.0,
                        if *c == "US" { 0.95 } else { 0.01 },
                    )
                })
                .collect(),
            networks: vec![located(6_167, 0.076, 1_300, 0.0, 0.4)],
            kinds: Vec::new(),
        };
        let vectors = vec![VectorShare {
            top_sources: Vec::new(),
            vector: Vector::ALL
                .iter()
                .copied()
                .find(|v| v.name() == "syn_flood")
                .unwrap(),
            share: 1.0,
            packets: 649_977,
            bytes: 150_120_000,
            start_ns: START,
            end_ns: END,
            why: "SYNs that no ACK followed".to_owned(),
            look: Look::default(),
            sources: Vec::new(),
        }];
        let mut incident = Incident {
            id: "syn-flood-3d3328f51c".to_owned(),
            target: "198.41.30.10".parse().unwrap(),
            target_hosts: 1,
            ports: Vec::new(),
            start_ns: START,
            end_ns: Some(END),
            ongoing: false,
            peak: Peak {
                at_ns: START,
                packets_per_second: 3_990.0,
                bits_per_second: 12.53e6,
                requests_per_second: None,
            },
            packets: 649_977,
            bytes: 150_120_000,
            requests: None,
            vectors,
            timeline: Timeline {
                start_ns: START,
                step_ns: SECOND,
                packets: Vec::new(),
            },
            sources: Sources {
                distinct: 17_478,
                distinct_exact: true,
                forged: share(0.005, 0.0, 0.05),
                forged_because: Vec::new(),
                reflected: Share::default(),
                countries: Vec::new(),
                networks: Vec::new(),
                prefixes: Vec::new(),
                kinds: Vec::new(),
                classes: Vec::new(),
                not_made: Vec::new(),
                senders,
                meaning: Meaning::Senders,
            },
            audience: None,
            coordination: Some(Coordination {
                probability: 0.93,
                start_spread_s: 1.2,
                start_together: 0.96,
                stop_together: 0.9,
                fingerprints: 3.1,
                rate_variation: 0.4,
                controllers_min: 1,
                because: vec!["They began together.".to_owned()],
            }),
            size: Vec::new(),
            confidence: Confidence::High,
            caveats: Vec::new(),
        };
        incident.size = size::standings(&incident);
        incident
    }

    fn claim(proposition: Proposition) -> Claim {
        Claim {
            by: Some("somebody".to_owned()),
            said: "so it was".to_owned(),
            at_ns: None,
            url: None,
            archived: None,
            grade: None,
            details: None,
            infrastructure: None,
            earlier: None,
            proposition,
        }
    }

    fn from_country(text: &str, extent: Extent) -> Claim {
        claim(Proposition::FromCountries {
            countries: vec![code(text)],
            extent,
        })
    }

    fn input() -> Evidence {
        Evidence {
            first_ns: Some(START - 30 * SECOND),
            last_ns: Some(END + 600 * SECOND),
            ..Evidence::default()
        }
    }

    fn one(claim: Claim, incidents: &[Incident], more: &Evidence) -> Verdict {
        let verdicts = judge(&[claim], incidents, more);
        assert_eq!(verdicts.len(), 1);
        check(&verdicts[0]);
        verdicts.into_iter().next().unwrap()
    }

    /// What holds for every verdict: words fit the probability, which is never 0 or 1; confidence stands alone; no empty sentences.
    fn check(verdict: &Verdict) {
        assert_eq!(verdict.assessable, verdict.probability.is_some());
        match verdict.probability {
            Some(p) => {
                assert_eq!(words(p.estimate), verdict.words);
                assert!(
                    0.01 <= p.low && p.low <= p.estimate && p.estimate <= p.high && p.high <= 0.99,
                    "{p:?}"
                );
            }
            None => assert_eq!(verdict.words, Words::CannotBeAssessed),
        }
        let likelihoods = [
            "almost no chance",
            "likely",
            "even chance",
            "almost certain",
            "cannot be assessed",
        ];
        let mut levels = 0;
        for sentence in verdict.because.iter().chain(&verdict.would_change) {
            assert!(
                sentence.len() > 10 && (sentence.ends_with('.') || sentence.ends_with(')')),
                "{sentence:?}"
            );
            if sentence.starts_with("Confidence") {
                levels += 1;
                assert!(
                    likelihoods.iter().all(|word| !sentence.contains(word)),
                    "{sentence}"
                );
            }
        }
        assert_eq!(levels, 1, "confidence is said once: {:?}", verdict.because);
    }

    fn because(verdict: &Verdict) -> String {
        verdict.because.join(" ")
    }

    #[test]
    fn words_are_those_of_icd_203() {
        for (p, text) in [
            (0.01, "almost no chance"),
            (0.049, "almost no chance"),
            (0.05, "very unlikely"),
            (0.2, "unlikely"),
            (0.45, "roughly even chance"),
            (0.55, "likely"),
            (0.8, "very likely"),
            (0.95, "almost certain"),
            (0.99, "almost certain"),
        ] {
            assert_eq!(words(p).text(), text, "{p}");
        }
    }

    #[test]
    fn one_percent_is_not_most() {
        let verdict = one(from_country("UA", Extent::Most), &[march_10()], &input());
        assert_eq!(verdict.words, Words::AlmostNoChance);
        assert_eq!(
            verdict.confidence,
            Confidence::Moderate,
            "one kind of own evidence"
        );
        let text = because(&verdict);
        for part in [
            "1.0 % [0.7, 1.3] of the senders' packets came from Ukraine (UA)",
            "174 of 17478 addresses",
            "rank 8 of 8",
            "United States (US) 22.0 % [15.4, 28.6]",
            "normal audience it has 1.0 %",
            "1.0 [0.6, 1.5] times",
            "Forged are 0.5 % [0.0, 5.0]",
            "never that of the person",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let some = one(from_country("UA", Extent::Any), &[march_10()], &input());
        assert_eq!(some.words, Words::AlmostCertain);
        assert!(because(&some).contains("shows nothing more"));
        let absent = one(from_country("NZ", Extent::Any), &[march_10()], &input());
        assert_eq!(absent.words, Words::VeryUnlikely);
        let several = one(
            claim(Proposition::FromCountries {
                countries: ["US", "VN", "BR", "MX", "ES"].map(code).to_vec(),
                extent: Extent::Most,
            }),
            &[march_10()],
            &input(),
        );
        assert!(
            several.words >= Words::VeryLikely,
            "64 %: {:?}",
            several.probability
        );
        let network = one(
            claim(Proposition::FromNetworks {
                networks: vec![6_167],
                extent: Extent::Most,
            }),
            &[march_10()],
            &input(),
        );
        assert_eq!(network.words, Words::AlmostNoChance);
    }

    #[test]
    fn really_one_country_is_most_and_still_no_actor() {
        let mut incident = march_10();
        incident.sources.senders.countries = vec![located(code("UA"), 0.7, 12_000, 0.999, 1.0)];
        let verdict = one(
            from_country("UA", Extent::Most),
            std::slice::from_ref(&incident),
            &input(),
        );
        assert_eq!(verdict.words, Words::AlmostCertain);
        let state = one(
            claim(Proposition::ActorState {
                state: Some(code("UA")),
            }),
            &[incident],
            &input(),
        );
        assert_eq!(state.words, Words::CannotBeAssessed);
        assert!(because(&state).contains("source country is not the actor"));
        assert!(
            because(&state).contains("factor of 0.8 to 1.25"),
            "{}",
            because(&state)
        );
    }

    #[test]
    fn packets_and_senders_may_disagree() {
        let mut incident = march_10();
        let mut few_fast = located(code("UA"), 0.7, 100, 0.98, 1.0);
        few_fast.by_sources = share(0.01, 0.005, 0.02);
        incident.sources.senders.countries = vec![few_fast];
        let verdict = one(from_country("UA", Extent::Most), &[incident], &input());
        assert_eq!(verdict.confidence, Confidence::Low);
        assert!(verdict.probability.unwrap().low <= 0.011);
        assert!(because(&verdict).contains("another than counted by packets"));
    }

    #[test]
    fn forged_and_reflected_sources_say_nothing_of_places() {
        let mut forged = march_10();
        forged.sources.senders = Senders::default();
        forged.sources.forged = share(0.99, 0.9, 1.0);
        forged.sources.meaning = Meaning::Forged;
        let mut reflected = march_10();
        reflected.sources.senders = Senders::default();
        reflected.sources.reflected = share(1.0, 0.97, 1.0);
        reflected.sources.meaning = Meaning::Reflectors;
        reflected.sources.countries = vec![CountryShare {
            country: code("UA"),
            share: share(0.4, 0.3, 0.5),
            distinct: 9,
        }];
        let mut unsure = march_10();
        unsure.sources.forged = share(0.5, 0.1, 0.9);
        unsure.sources.meaning = Meaning::Undetermined;
        let mut hardly_direct = march_10();
        hardly_direct.sources.senders.share = share(0.15, 0.1, 0.2);
        for (incident, says) in [
            (&forged, "cannot be determined from source addresses"),
            (
                &reflected,
                "Reflectors in Ukraine (UA): 40.0 %; that tells nothing about the origin",
            ),
            (&unsure, "cannot be determined"),
            (&hardly_direct, "Only 15.0 %"),
        ] {
            for extent in [Extent::Any, Extent::Most] {
                let verdict = one(
                    from_country("UA", extent),
                    std::slice::from_ref(incident),
                    &input(),
                );
                assert_eq!(verdict.words, Words::CannotBeAssessed);
                assert!(because(&verdict).contains(says), "{}", because(&verdict));
            }
        }
        // Of several attacks, those whose addresses mean something answer.
        let verdict = one(from_country("UA", Extent::Most), &[forged, march_10()], &input());
        assert_eq!(verdict.words, Words::AlmostNoChance);
        assert!(
            because(&verdict).contains("both") || because(&verdict).contains("all 2 attacks"),
            "{}",
            because(&verdict)
        );
    }

    #[test]
    fn sources_answer_where_senders_were_not_traced() {
        let mut incident = march_10();
        incident.sources.senders = Senders::default();
        incident.sources.countries = vec![
            CountryShare {
                country: code("US"),
                share: share(0.9, 0.85, 0.95),
                distinct: 15_000,
            },
            CountryShare {
                country: code("UA"),
                share: share(0.01, 0.0, 0.03),
                distinct: 170,
            },
        ];
        incident.sources.networks = vec![NetworkShare {
            asn: 6_167,
            name: "Example".to_owned(),
            country: code("US"),
            kind: atlas::Kind::Mobile,
            share: share(0.9, 0.85, 0.95),
            distinct: 15_000,
        }];
        let ukraine = one(
            from_country("UA", Extent::Most),
            std::slice::from_ref(&incident),
            &input(),
        );
        assert_eq!(ukraine.words, Words::AlmostNoChance);
        assert!(because(&ukraine).contains("nor could the audience"));
        let mut half_forged = incident.clone();
        half_forged.sources.forged = share(0.34, 0.3, 0.37);
        let some = from_country("UA", Extent::Any);
        let verdict = one(some, std::slice::from_ref(&half_forged), &input());
        assert_eq!(
            verdict.words,
            Words::CannotBeAssessed,
            "a few of many forged addresses"
        );
        let most = one(from_country("US", Extent::Most), &[half_forged], &input());
        assert!(
            most.words
                <= one(
                    from_country("US", Extent::Most),
                    std::slice::from_ref(&incident),
                    &input()
                )
                .words
        );
        assert_eq!(
            one(
                from_country("US", Extent::Most),
                std::slice::from_ref(&incident),
                &input()
            )
            .words,
            Words::AlmostCertain
        );
        let network = claim(Proposition::FromNetworks {
            networks: vec![6_167],
            extent: Extent::Most,
        });
        assert_eq!(one(network, &[incident], &input()).words, Words::AlmostCertain);
    }

    #[test]
    fn a_claim_speaks_of_what_had_begun() {
        let mut later = march_10();
        later.id = "second".to_owned();
        later.start_ns = END + 300 * SECOND;
        later.end_ns = Some(END + 400 * SECOND);
        later.sources.senders.countries = vec![located(code("UA"), 0.9, 15_000, 0.999, 1.0)];
        let incidents = [march_10(), later];
        let at = |ns: u64| {
            let mut claim = from_country("UA", Extent::Most);
            claim.at_ns = Some(ns);
            one(claim, &incidents, &input())
        };
        assert_eq!(at(END).words, Words::AlmostNoChance);
        assert_eq!(at(END + 350 * SECOND).words, Words::AlmostCertain);
        let early = at(START - SECOND);
        assert_eq!(early.words, Words::CannotBeAssessed);
        assert!(because(&early).contains("before the first attack in this input began"));
        let late = at(END + 8_000 * SECOND);
        assert!(
            because(&late).contains("after this input ends"),
            "{}",
            because(&late)
        );
        let untimed = one(from_country("UA", Extent::Most), &incidents, &input());
        assert!(because(&untimed).contains("all 2 attacks of the case together"));
        let nothing = one(from_country("UA", Extent::Most), &[], &input());
        assert_eq!(nothing.words, Words::CannotBeAssessed);
    }

    #[test]
    fn a_group_that_only_says_so_is_possible_and_unproven() {
        let group = || {
            let mut claim = claim(Proposition::ActorGroup {
                name: "Dark Storm Team".to_owned(),
            });
            claim.at_ns = Some(END + 100 * SECOND);
            claim.grade = Grade::of_kind("deleted-post");
            claim
        };
        let verdict = one(group(), &[march_10()], &input());
        assert_eq!(verdict.words, Words::CannotBeAssessed);
        let text = because(&verdict);
        assert!(
            text.contains("Possible, and unproven") && text.contains("graded E5"),
            "{text}"
        );
        // Right details show nothing once they are public, or if nobody says when they were.
        let details = Details {
            started_ns: Some(START + 20 * SECOND),
            vector: Some("syn_flood".to_owned()),
            target: Some("198.41.30.0/24".parse().unwrap()),
            ..Details::default()
        };
        let told = |public: Option<u64>| {
            let mut claim = group();
            claim.details = Some(Details {
                public_since_ns: public,
                ..details.clone()
            });
            one(claim, &[march_10()], &input())
        };
        assert_eq!(told(None).words, Words::CannotBeAssessed);
        assert_eq!(told(Some(END)).words, Words::CannotBeAssessed);
        let inside = told(Some(END + 200 * SECOND));
        assert_eq!(inside.words, Words::RoughlyEvenChance, "{:?}", inside.probability);
        assert!(because(&inside).contains("Likelihood ratio 10 (5 to 20)"));
        // Wrong details count against it, public or not.
        let mut wrong = group();
        wrong.details = Some(Details {
            vector: Some("dns_amplification".to_owned()),
            ..Details::default()
        });
        assert!(one(wrong, &[march_10()], &input()).words <= Words::VeryUnlikely);
    }

    /// An attack by so many senders of 77.1.0.0/16, some of which are not known to have sent themselves.
    fn sent_by(senders: u32, of_whom_forged: u32) -> Incident {
        let mut incident = march_10();
        incident.vectors[0].top_sources = (0..senders)
            .map(|i| crate::case::TopSource {
                address: std::net::Ipv4Addr::from_bits(0x4d01_0000 + i).to_ipv6_mapped(),
                packets: 9,
                bytes: 900,
                first_ns: START,
                last_ns: END,
                origin: if i < of_whom_forged {
                    Origin::Forged
                } else {
                    Origin::Direct
                },
            })
            .collect();
        incident
    }

    #[test]
    fn senders_on_a_list_are_a_sign_that_is_capped() {
        let group = |list: &[&str]| {
            let mut claim = claim(Proposition::ActorGroup {
                name: "They".to_owned(),
            });
            claim.at_ns = Some(END + 100 * SECOND);
            let prefixes = list.iter().map(|text| text.parse().unwrap()).collect();
            claim.infrastructure = Some(Infrastructure {
                file: "botnet.txt".to_owned(),
                from: "a vendor".to_owned(),
                url: Some("https://vendor.example/list".to_owned()),
                prefixes: crate::claim::apart(prefixes),
            });
            claim
        };
        // Half of 200 direct senders.
        let half = one(
            group(&["77.1.0.128/25", "77.1.0.100/30"]),
            &[sent_by(300, 100)],
            &input(),
        );
        let text = because(&half);
        assert!(
            text.contains("Of 200 senders") && text.contains("132 (66.0 %)"),
            "{text}"
        );
        assert!(text.contains("Likelihood ratio 10 (10 to 10)"), "{text}");
        assert!(
            text.contains("https://vendor.example/list") && text.contains("others' word"),
            "{text}"
        );
        assert_eq!(
            (half.words, half.confidence),
            (Words::RoughlyEvenChance, Confidence::Low)
        );
        assert!(half.probability.unwrap().high <= 0.54, "one sign of three");
        // As many as on any list: nothing either way. So with none, and with a list of a quarter of the world.
        for (list, says) in [
            (&["77.1.0.0/30"][..], "shows nothing either way"),
            (&["9.9.9.9"], "shows nothing either way"),
            (&["64.0.0.0/2"], "too wide"),
            (&["0.0.0.0/0", "::/0"], "too wide"),
        ] {
            let none = one(group(list), &[sent_by(200, 0)], &input());
            assert_eq!(none.words, Words::CannotBeAssessed, "{list:?}");
            assert!(because(&none).contains(says), "{}", because(&none));
        }
        // Between what any list has and what would be much, the interval says so.
        let some = one(group(&["77.1.0.0/28"]), &[sent_by(200, 0)], &input());
        let probability = some.probability.unwrap();
        assert!(
            probability.low < 0.11 && probability.high > 0.3,
            "{probability:?}"
        );
        // Few senders, or only forged ones, are nothing to hold it against.
        for few in [sent_by(19, 0), sent_by(300, 290)] {
            let none = one(group(&["77.1.0.0/16"]), &[few], &input());
            assert_eq!(none.words, Words::CannotBeAssessed);
            assert!(because(&none).contains("too few"), "{}", because(&none));
        }
        let none = one(group(&["77.1.0.0/16"]), &[], &input());
        assert_eq!(none.words, Words::CannotBeAssessed);
    }

    #[test]
    fn a_habit_of_false_claims_weakens_other_signs_and_shows_nothing_alone() {
        let told = |right: u32, wrong: u32, inside: bool| {
            let mut claim = claim(Proposition::ActorGroup {
                name: "They".to_owned(),
            });
            claim.at_ns = Some(END + 100 * SECOND);
            claim.earlier = Some(crate::claim::Earlier {
                right,
                wrong,
                url: "https://press.example/claims".to_owned(),
            });
            claim.details = inside.then(|| Details {
                vector: Some("syn_flood".to_owned()),
                public_since_ns: Some(END + 200 * SECOND),
                ..Details::default()
            });
            one(claim, &[march_10()], &input())
        };
        let estimate = |verdict: &Verdict| verdict.probability.unwrap().estimate;
        let (clean, liar, mixed) = (told(0, 0, true), told(0, 3, true), told(1, 3, true));
        assert_eq!(
            estimate(&clean),
            estimate(&mixed),
            "who was right once has no such habit"
        );
        assert!((estimate(&liar) - update(PRIOR_GROUP, 5.0)).abs() < 1e-9);
        assert!(liar.probability.unwrap().high <= clean.probability.unwrap().high);
        assert!(because(&liar).contains("Likelihood ratio 0.5 (0.3 to 1) for a habit of false claims"));
        let alone = told(0, 3, false);
        assert_eq!(alone.words, Words::CannotBeAssessed);
        assert!(because(&alone).contains("0 turned out to be right and 3 to be wrong"));
    }

    #[test]
    fn an_announced_wave_shows_control() {
        let mut announcing = claim(Proposition::ActorGroup {
            name: "They".to_owned(),
        });
        announcing.at_ns = Some(START - 3_600 * SECOND);
        announcing.details = Some(Details {
            started_ns: Some(START + 10 * SECOND),
            ..Details::default()
        });
        let came = one(announcing.clone(), &[march_10()], &input());
        assert_eq!(
            came.words,
            Words::RoughlyEvenChance,
            "one sign of three: {:?}",
            came.probability
        );
        announcing.details = Some(Details {
            started_ns: Some(END + 300 * SECOND),
            ..Details::default()
        });
        let missed = one(announcing.clone(), &[march_10()], &input());
        assert!(missed.words <= Words::VeryUnlikely, "{:?}", missed.probability);
        announcing.details = Some(Details {
            started_ns: Some(END + 9_000 * SECOND),
            ..Details::default()
        });
        assert_eq!(
            one(announcing, &[march_10()], &input()).words,
            Words::CannotBeAssessed,
            "the input does not reach there"
        );
    }

    #[test]
    fn coordination_is_not_a_crowd() {
        let verdict = one(
            claim(Proposition::Coordinated { large_group: true }),
            &[march_10()],
            &input(),
        );
        assert_eq!(verdict.words, Words::VeryLikely);
        assert!(
            verdict
                .about
                .as_deref()
                .is_some_and(|about| about.contains("not determinable"))
        );
        assert!(because(&verdict).contains("not determinable from traffic"));
        let mut unknown = march_10();
        unknown.coordination = None;
        let verdict = one(
            claim(Proposition::Coordinated { large_group: false }),
            &[unknown],
            &input(),
        );
        assert_eq!(verdict.words, Words::CannotBeAssessed);
    }

    #[test]
    fn resources_are_a_matter_of_figures() {
        let small = one(claim(Proposition::ManyResources), &[march_10()], &input());
        assert_eq!(small.words, Words::VeryUnlikely, "12 Mbit/s");
        assert!(because(&small).contains("rented") && because(&small).contains("https://"));
        let sized = |bits: f64| {
            let mut incident = march_10();
            incident.peak.bits_per_second = bits;
            incident.size = size::standings(&incident);
            one(claim(Proposition::ManyResources), &[incident], &input())
        };
        assert_eq!(sized(2e9).words, Words::VeryLikely);
        let record = sized(6.5e12);
        assert_eq!(record.words, Words::AlmostCertain);
        assert!(
            record
                .about
                .as_deref()
                .is_some_and(|about| about.contains("not the resources of a state"))
        );
        let mut unmeasured = march_10();
        unmeasured.size.clear();
        assert_eq!(
            one(claim(Proposition::ManyResources), &[unmeasured], &input()).words,
            Words::CannotBeAssessed
        );
    }

    fn felt(waves: &[(u64, u64)]) -> Evidence {
        Evidence {
            outage: Some(Outage {
                service: "X".to_owned(),
                waves: waves
                    .iter()
                    .map(|(start, end)| Wave {
                        start_ns: *start,
                        end_ns: *end,
                        reports: 40_000,
                    })
                    .collect(),
                expected_reports: Some(40.0),
                until_ns: END + 20_000 * SECOND,
                ..Outage::default()
            }),
            ..input()
        }
    }

    #[test]
    fn attack_or_fault() {
        let is_attack = || claim(Proposition::IsAttack);
        let traffic = one(is_attack(), &[march_10()], &input());
        assert_eq!(traffic.words, Words::VeryLikely, "its effect is not seen");
        let both = one(is_attack(), &[march_10()], &felt(&[(START + 60 * SECOND, END)]));
        assert_eq!(
            (both.words, both.confidence),
            (Words::AlmostCertain, Confidence::High)
        );
        let apart = one(
            is_attack(),
            &[march_10()],
            &felt(&[(END + 4_000 * SECOND, END + 5_000 * SECOND)]),
        );
        assert!(apart.probability.unwrap().estimate < both.probability.unwrap().estimate);
        let mut said = is_attack();
        said.at_ns = Some(START);
        let unseen = one(said, &[], &input());
        assert!(unseen.words <= Words::VeryUnlikely);
        let reports_only = one(
            is_attack(),
            &[],
            &Evidence {
                first_ns: None,
                last_ns: None,
                ..felt(&[(START, END)])
            },
        );
        assert_eq!(reports_only.words, Words::CannotBeAssessed);
    }

    #[test]
    fn starts_and_ends() {
        let started = |at_ns: u64, within_s: u64| {
            one(
                claim(Proposition::StartedAt { at_ns, within_s }),
                &[march_10()],
                &input(),
            )
        };
        assert_eq!(started(START + 30 * SECOND, 60).words, Words::AlmostCertain);
        assert_eq!(started(START + 90 * SECOND, 60).words, Words::Unlikely);
        assert_eq!(started(START + 500 * SECOND, 60).words, Words::AlmostNoChance);
        assert_eq!(
            started(START - 3_000 * SECOND, 60).words,
            Words::CannotBeAssessed,
            "before the input"
        );
        assert_eq!(
            started(END + 3_000 * SECOND, 60).words,
            Words::CannotBeAssessed,
            "the future"
        );
        assert_eq!(started(START, u64::MAX).words, Words::AlmostCertain);
        let cut = Evidence {
            first_ns: Some(START),
            ..input()
        };
        let verdict = one(
            claim(Proposition::StartedAt {
                at_ns: START,
                within_s: 5,
            }),
            &[march_10()],
            &cut,
        );
        assert_eq!(
            verdict.words,
            Words::CannotBeAssessed,
            "it ran already when the input began"
        );
        let ended = claim(Proposition::EndedAt {
            at_ns: END - 10 * SECOND,
            within_s: 30,
        });
        assert_eq!(
            one(ended.clone(), &[march_10()], &input()).words,
            Words::AlmostCertain
        );
        let mut running = march_10();
        running.ongoing = true;
        assert_eq!(one(ended, &[running], &input()).words, Words::AlmostNoChance);
    }

    #[test]
    fn restored_needs_three_kinds_of_evidence_and_no_wave() {
        let at = END + 60 * SECOND;
        let restored = || claim(Proposition::Restored { at_ns: at });
        assert_eq!(
            one(restored(), &[march_10()], &input()).words,
            Words::CannotBeAssessed
        );
        let again = felt(&[(START, END), (END + 3_600 * SECOND, END + 4_000 * SECOND)]);
        let verdict = one(restored(), &[march_10()], &again);
        assert_eq!(verdict.words, Words::AlmostNoChance);
        assert!(because(&verdict).contains("pause between waves"));
        let well = |until: u64, probes: u32, errors: Option<f64>| {
            let mut more = felt(&[(START, END)]);
            if let Some(outage) = &mut more.outage {
                outage.until_ns = until;
                outage.end_evidence = Some(80.0);
                outage.probes_ok = Some(0.99);
                outage.probe_networks = probes;
                outage.errors_over_usual = errors;
            }
            one(restored(), &[march_10()], &more)
        };
        assert_eq!(
            well(at + 3_600 * SECOND, 3, Some(1.1)).words,
            Words::VeryLikely,
            "so far"
        );
        assert_eq!(
            well(at + 7 * 3_600 * SECOND, 3, Some(1.1)).words,
            Words::AlmostCertain
        );
        assert_eq!(well(at + 3_600 * SECOND, 3, None).words, Words::Likely);
        assert_eq!(
            well(at + 3_600 * SECOND, 1, Some(1.1)).words,
            Words::Likely,
            "probes from one network are too few to say that it is well"
        );
        assert_eq!(well(at + 3_600 * SECOND, 3, Some(9.0)).words, Words::VeryUnlikely);
        assert_eq!(well(at - SECOND, 3, Some(1.0)).words, Words::CannotBeAssessed);
    }

    #[test]
    fn reports_are_not_users_and_loss_is_not_intent() {
        let people = one(
            claim(Proposition::PeopleAffected { at_least: 40_000 }),
            &[march_10()],
            &felt(&[(START, END)]),
        );
        assert_eq!(people.words, Words::CannotBeAssessed);
        assert!(
            because(&people).contains("40000 reports in 1 waves") && because(&people).contains("not users")
        );
        let off = || {
            claim(Proposition::ProviderOff {
                network: 14_593,
                country: Some(code("UA")),
            })
        };
        assert_eq!(one(off(), &[], &input()).words, Words::CannotBeAssessed);
        let left = |left: Share| {
            let loss = Loss {
                network: 14_593,
                country: Some(code("UA")),
                at_ns: START,
                left,
            };
            one(
                off(),
                &[],
                &Evidence {
                    losses: vec![loss],
                    ..input()
                },
            )
        };
        assert_eq!(left(share(0.97, 0.9, 1.0)).words, Words::AlmostNoChance);
        let lost = left(share(0.05, 0.0, 0.1));
        assert_eq!(lost.words, Words::CannotBeAssessed);
        assert!(because(&lost).contains("loss of connectivity is seen"));
    }

    #[test]
    fn vectors_and_origins() {
        let named = |name: &str| {
            one(
                claim(Proposition::Vector {
                    name: name.to_owned(),
                }),
                &[march_10()],
                &input(),
            )
        };
        assert_eq!(named("syn_flood").words, Words::AlmostCertain);
        assert_eq!(named("dns_amplification").words, Words::VeryUnlikely);
        assert_eq!(
            named("http_flood").words,
            Words::CannotBeAssessed,
            "it may be inside TLS"
        );
        let origin = |prefix: &str, more: &Evidence| {
            one(
                claim(Proposition::ExposedOrigin {
                    prefix: prefix.parse().unwrap(),
                }),
                &[march_10()],
                more,
            )
        };
        assert_eq!(origin("198.41.30.0/24", &input()).words, Words::VeryLikely);
        let edge = Evidence {
            edge_normal: Some(true),
            ..input()
        };
        assert_eq!(origin("198.41.30.0/24", &edge).words, Words::AlmostCertain);
        assert_eq!(origin("203.0.113.0/24", &edge).words, Words::CannotBeAssessed);
    }

    /// Of statements that get a probability of so much, so many are true: senders drawn from a country whose true share is known.
    #[test]
    fn probabilities_of_most_hold_what_they_say() {
        let mut state = 1u64;
        let mut uniform = || {
            state += 1;
            (detect::conversation::mix(state) >> 11) as f64 / (1u64 << 53) as f64
        };
        const SENDERS: u64 = 60;
        let mut bins = [(0u32, 0u32); 5];
        for _ in 0..4_000 {
            let truth = uniform();
            let there = (0..SENDERS).filter(|_| uniform() < truth).count() as f64;
            let mean = (there + 1.0) / (SENDERS as f64 + 2.0);
            let half = 1.96 * (mean * (1.0 - mean) / (SENDERS as f64 + 3.0)).sqrt();
            let mut incident = march_10();
            incident.sources.senders = Senders::default();
            incident.sources.forged = Share::default();
            incident.sources.countries = vec![CountryShare {
                country: code("UA"),
                share: share(mean, mean - half, mean + half),
                distinct: there as u64,
            }];
            let p = judge(&[from_country("UA", Extent::Most)], &[incident], &input())[0]
                .probability
                .unwrap()
                .estimate;
            if truth < 0.2 {
                assert!(p < 0.05, "a share of {truth} got {p}");
            }
            if truth > 0.8 {
                assert!(p > 0.95, "a share of {truth} got {p}");
            }
            let bin = &mut bins[((p * 5.0) as usize).min(4)];
            bin.0 += 1;
            bin.1 += u32::from(truth > 0.5);
        }
        for (i, (all, true_ones)) in bins.iter().enumerate() {
            let rate = f64::from(*true_ones) / f64::from(*all);
            let (from, to) = (i as f64 / 5.0, (i + 1) as f64 / 5.0);
            assert!(
                *all > 50 && rate > from - 0.08 && rate < to + 0.08,
                "{from} to {to}: {rate} of {all}"
            );
        }
    }
}
