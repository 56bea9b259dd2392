//! What is known, as the pages and the API read it: values that are replaced as a whole and never changed, so that a reader waits for
//! nobody. Only the engine writes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use atlas::Country;
use incident::case::{Confidence, Share, Verdict};
use incident::outage::{Attacked, Cause, Outage, Probed, Wave};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::cache::Pages;
use super::config::{Config, Service};
use crate::case_json::confidence;

/// Seconds of one bin of the charts.
pub(crate) const BIN_S: u64 = 900;
/// Bins of a chart: a day.
pub(crate) const BINS: usize = 96;
/// Networks that are told apart in a bin; the others are counted as network 0.
pub(crate) const BIN_NETWORKS_MAX: usize = 256;
/// Incidents that are kept at hand; older ones are read from the file.
pub(crate) const INCIDENTS_MAX: usize = 5_000;

/// Everything that is read.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: ArcSwap<Config>,
    /// Services by slug.
    pub(crate) services: ArcSwap<BTreeMap<Arc<str>, Arc<Slot>>>,
    /// Incidents by id.
    pub(crate) incidents: ArcSwap<BTreeMap<String, Arc<Incident>>>,
    /// Counts up with every change of any service; the front page is made anew when it did.
    pub(crate) changed: watch::Sender<u64>,
    /// The front page in each language.
    pub(crate) front: ArcSwap<Pages>,
    /// What persons are hashed with today.
    pub(crate) keys: ArcSwap<Keys>,
    pub(crate) counters: Counters,
    /// What is sent to those who are told.
    pub(crate) letters: super::notify::Letters,
    /// The last commit found no room.
    pub(crate) is_full: AtomicBool,
    /// When the engine last looked around, nanoseconds since 1970.
    pub(crate) alive_ns: AtomicU64,
}

/// A service, for as long as it is configured.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) view: ArcSwap<View>,
    /// The version of the view, for those who want to hear of the next.
    pub(crate) changed: watch::Sender<u64>,
}

/// Secret of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Days since 1970.
    pub(crate) day: u64,
    pub(crate) key: [u8; 32],
}

/// What happened since the start, for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) limited: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_busy: AtomicU64,
    pub(crate) honeypot: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) journal: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) listeners: AtomicU64,
}

/// A quarter of an hour of a service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Bin {
    /// Its start, seconds since 1970.
    pub(crate) start_s: u64,
    pub(crate) reports: u64,
    /// Reports that were expected in the minutes for which that is known.
    pub(crate) expected: f64,
    pub(crate) minutes_known: u8,
    pub(crate) tried: u64,
    pub(crate) failed: u64,
    pub(crate) countries: BTreeMap<Country, u64>,
    pub(crate) networks: BTreeMap<u32, u64>,
    pub(crate) symptoms: BTreeMap<String, u64>,
}

/// Where a service stands, in the words of status pages.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// The detector does not know yet what is usual.
    Learning,
    #[default]
    Operational,
    Closed,
    Resolved,
    Recovering,
    Suspected,
    Confirmed,
    /// Confirmed, and it is known why.
    Identified,
}

impl Standing {
    /// People have trouble now.
    pub(crate) fn is_trouble(self) -> bool {
        self >= Standing::Recovering
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Standing::Learning => "learning",
            Standing::Operational => "operational",
            Standing::Closed => "closed",
            Standing::Resolved => "resolved",
            Standing::Recovering => "recovering",
            Standing::Suspected => "suspected",
            Standing::Confirmed => "confirmed",
            Standing::Identified => "identified",
        }
    }
}

/// A probe of a service from a place, as it was last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probing {
    pub(crate) place: String,
    /// Its number among the service's probes, and its kind.
    pub(crate) probe: usize,
    pub(crate) kind: String,
    pub(crate) at_ns: u64,
    /// Whether it worked; `None` where there is no data.
    pub(crate) ok: Option<bool>,
    /// Why not, in words.
    pub(crate) reason: String,
    /// How long it took.
    pub(crate) ms: Option<f64>,
    pub(crate) certificate_ends_s: Option<u64>,
    /// Tried and failed since the start.
    pub(crate) tried: u64,
    pub(crate) failed: u64,
}

/// An attack that the traffic shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attack {
    pub(crate) attacked: Attacked,
    /// What it is, in words: `SYN flood`.
    pub(crate) vectors: String,
    /// One sentence.
    pub(crate) headline: String,
    pub(crate) is_running: bool,
    /// What came later showed that it was none.
    pub(crate) is_withdrawn: bool,
    /// All that is known of it, against which claims are held.
    pub(crate) incident: Option<Arc<incident::case::Incident>>,
}

/// All that is known of a service.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) service: Service,
    pub(crate) version: u64,
    /// When it was made.
    pub(crate) at_ns: u64,
    pub(crate) standing: Standing,
    pub(crate) is_learning: bool,
    /// The last day, oldest first; the last one is not over.
    pub(crate) bins: Vec<Bin>,
    /// Reports of the last 60 minutes and of the minute that is not over, and those expected in the 60 minutes.
    pub(crate) last_hour: (u64, f64),
    pub(crate) last_15: (u64, f64),
    /// Places whose probes fail, of all, and since when they do.
    pub(crate) failing: (usize, usize),
    pub(crate) failing_since_ns: Option<u64>,
    pub(crate) probes: Vec<Probing>,
    /// Running attacks on its networks.
    pub(crate) attacks: Vec<Attack>,
    /// The incident that is open or may get another wave.
    pub(crate) incident: Option<Arc<Incident>>,
    /// What was said of it, and what the evidence says of that.
    pub(crate) said: Vec<Said>,
    /// Its incidents, newest first, 20 at most.
    pub(crate) past: Vec<Arc<Incident>>,
    /// The page in each language, once somebody asked.
    pub(crate) pages: Pages,
}

impl View {
    /// What was counted of the last day, the most first.
    pub(crate) fn countries(&self) -> Vec<(Country, u64)> {
        most(
            self.bins
                .iter()
                .flat_map(|bin| &bin.countries)
                .map(|(k, n)| (*k, *n)),
        )
    }

    /// As [`countries`](View::countries), by AS number; 0 for those not told apart.
    pub(crate) fn networks(&self) -> Vec<(u32, u64)> {
        most(
            self.bins
                .iter()
                .flat_map(|bin| &bin.networks)
                .map(|(k, n)| (*k, *n)),
        )
    }

    /// As [`countries`](View::countries).
    pub(crate) fn symptoms(&self) -> Vec<(String, u64)> {
        most(
            self.bins
                .iter()
                .flat_map(|bin| &bin.symptoms)
                .map(|(k, n)| (k.clone(), *n)),
        )
    }
}

fn most<K: Ord>(counts: impl Iterator<Item = (K, u64)>) -> Vec<(K, u64)> {
    let mut sums: BTreeMap<K, u64> = BTreeMap::new();
    for (key, n) in counts {
        *sums.entry(key).or_default() += n;
    }
    let mut sorted: Vec<(K, u64)> = sums.into_iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    sorted
}

/// What somebody said of a service, and what the evidence says of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Said {
    pub(crate) by: Option<String>,
    pub(crate) said: String,
    pub(crate) at_ns: Option<u64>,
    pub(crate) url: Option<String>,
    /// The verdict, in the words of ICD 203.
    pub(crate) words: String,
    /// What the words speak of, where that is less than what was said.
    pub(crate) about: Option<String>,
    pub(crate) confidence: String,
    pub(crate) because: Vec<String>,
    pub(crate) would_change: Vec<String>,
    /// When that was found.
    pub(crate) judged_ns: u64,
}

impl Said {
    pub(crate) fn of(verdict: &Verdict, judged_ns: u64) -> Said {
        Said {
            by: verdict.claim.by.clone(),
            said: verdict.claim.said.clone(),
            at_ns: verdict.claim.at_ns,
            url: verdict.claim.url.clone(),
            words: verdict.words.text().to_owned(),
            about: verdict.about.clone(),
            confidence: confidence(verdict.confidence).to_owned(),
            because: verdict.because.clone(),
            would_change: verdict.would_change.clone(),
            judged_ns,
        }
    }
}

/// Something that an operator wrote.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Update {
    pub(crate) at_ns: u64,
    pub(crate) who: String,
    pub(crate) text: String,
}

/// Why, as it is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Because {
    /// `attack`, `own-fault`, `neighbour`, `brigade`, `provider`, `unknown`.
    pub(crate) kind: String,
    /// The attacks, the neighbour, or the network.
    pub(crate) of: Vec<String>,
    pub(crate) confidence: String,
    pub(crate) because: Vec<String>,
}

/// An incident of a service: what was observed, and what its operators said.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Incident {
    pub(crate) id: String,
    /// Slug of the service.
    pub(crate) service: String,
    pub(crate) standing: Standing,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: Option<u64>,
    pub(crate) waves: Vec<Wave>,
    pub(crate) reports: u64,
    pub(crate) expected: f64,
    /// Share of the reports that the limit on networks took away.
    pub(crate) limited: f64,
    /// Code, estimate and interval.
    pub(crate) countries: Vec<(Country, [f64; 3])>,
    pub(crate) networks: Vec<(u32, [f64; 3])>,
    pub(crate) symptoms: Vec<(String, f64)>,
    pub(crate) probed: Option<Probed>,
    pub(crate) cause: Because,
    pub(crate) confidence: String,
    pub(crate) caveats: Vec<String>,
    /// What the traffic shows, one sentence for each attack.
    pub(crate) attacks: Vec<String>,
    /// Who has it in hand, and since when.
    #[serde(default)]
    pub(crate) acknowledged: Option<(String, u64)>,
    #[serde(default)]
    pub(crate) updates: Vec<Update>,
    #[serde(default)]
    pub(crate) post_mortem: Option<Update>,
    /// The incident to which this one belongs.
    #[serde(default)]
    pub(crate) merged_into: Option<String>,
    /// A cause that an operator named; it stands before what was found.
    #[serde(default)]
    pub(crate) named_cause: Option<String>,
}

impl Incident {
    /// What was observed; what people said of it is taken from `before`.
    pub(crate) fn of(
        outage: &Outage,
        standing: Standing,
        attacks: &[Attack],
        before: Option<&Incident>,
    ) -> Incident {
        let numbers = |share: &Share| [share.estimate, share.low, share.high];
        let of = match &outage.cause {
            Cause::Attack(ids) => ids.clone(),
            Cause::Neighbour(name) => vec![name.clone()],
            Cause::Provider(asn) => vec![format!("AS{asn}")],
            Cause::OwnFault | Cause::Brigade | Cause::Unknown => Vec::new(),
        };
        let known = outage.cause != Cause::Unknown && outage.cause_confidence != Confidence::Low;
        let standing = match standing {
            Standing::Confirmed if known || before.is_some_and(|before| before.named_cause.is_some()) => {
                Standing::Identified
            }
            standing => standing,
        };
        Incident {
            id: outage.id.clone(),
            service: outage.service.clone(),
            standing,
            start_ns: outage.start_ns(),
            end_ns: outage.end_ns(),
            reports: outage.reports,
            expected: outage.expected,
            limited: outage.limited,
            countries: outage.countries.iter().map(|(c, s)| (*c, numbers(s))).collect(),
            networks: outage.networks.iter().map(|(n, s)| (*n, numbers(s))).collect(),
            symptoms: outage.symptoms.clone(),
            probed: outage.probed,
            attacks: attacks
                .iter()
                .filter(|attack| of.contains(&attack.attacked.id))
                .map(|attack| attack.headline.clone())
                .collect(),
            cause: Because {
                kind: outage.cause.name().to_owned(),
                of,
                confidence: confidence(outage.cause_confidence).to_owned(),
                because: outage.because.clone(),
            },
            confidence: confidence(outage.confidence).to_owned(),
            caveats: outage.caveats.clone(),
            waves: outage.waves.clone(),
            acknowledged: before.and_then(|before| before.acknowledged.clone()),
            updates: before.map_or(Vec::new(), |before| before.updates.clone()),
            post_mortem: before.and_then(|before| before.post_mortem.clone()),
            merged_into: before.and_then(|before| before.merged_into.clone()),
            named_cause: before.and_then(|before| before.named_cause.clone()),
        }
    }

    /// The cause as it is told: an operator's word first.
    pub(crate) fn told_cause(&self) -> &str {
        self.named_cause.as_deref().unwrap_or(&self.cause.kind)
    }
}
