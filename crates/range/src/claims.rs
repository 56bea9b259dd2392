//! What is said of an incident, and whether that is so.
//!
//! The truth of a claim is computed from what was generated, where that decides it; where it does not, the scenario may say so itself;
//! else it is not known.

use atlas::{Atlas, Prefix};
use serde::{Deserialize, Serialize};

use crate::scenario::{self, Error, Scenario};
use crate::truth::{Incident, Truth};

/// Most claims of a scenario.
pub const CLAIMS_MAX: usize = 1_000;

/// What somebody says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who.
    pub by: Option<String>,
    /// The words.
    pub said: String,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// Where it can be read.
    pub url: Option<String>,
    /// An archived copy.
    pub archived: Option<String>,
    /// Admiralty grade of the source, A to F and 1 to 6.
    pub grade: Option<String>,
    /// What kind of source it is, in place of a grade, by the words of `epicenter investigate --claims`.
    pub source_kind: Option<String>,
    /// Whether it is so, where that does not follow from what is generated.
    #[serde(rename = "true", skip_serializing)]
    pub holds: Option<bool>,
    /// What it says, in a form that can be true or false. Last, as TOML wants tables.
    pub proposition: Proposition,
}

/// How much of the attack a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Some of it.
    Any,
    /// More than half of it.
    Most,
}

/// What a claim says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proposition {
    /// The attack's packets came from these countries.
    FromCountries {
        /// Which.
        countries: Vec<String>,
        /// How much of it.
        extent: Extent,
    },
    /// The attack's packets came from these networks.
    FromNetworks {
        /// AS numbers.
        networks: Vec<u32>,
        /// How much of it.
        extent: Extent,
    },
    /// A state did it.
    ActorState {
        /// Which.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// A group did it.
    ActorGroup {
        /// Its name.
        name: String,
    },
    /// It was coordinated.
    Coordinated {
        /// By many people.
        #[serde(default)]
        large_group: bool,
    },
    /// It took a lot.
    ManyResources {},
    /// It is an attack, not a fault.
    IsAttack {},
    /// It began then.
    StartedAt {
        /// When, RFC 3339.
        at: String,
        /// Seconds by which that may be off.
        within_s: u64,
    },
    /// It ended then.
    EndedAt {
        /// When, RFC 3339.
        at: String,
        /// Seconds by which that may be off.
        within_s: u64,
    },
    /// All is well since then.
    Restored {
        /// When, RFC 3339.
        at: String,
    },
    /// So many people felt it.
    PeopleAffected {
        /// At least.
        at_least: u64,
    },
    /// This vector was used.
    Vector {
        /// Its name.
        name: String,
    },
    /// Servers behind the protection were reached.
    ExposedOrigin {
        /// Their addresses.
        prefix: String,
    },
    /// A provider was switched off.
    ProviderOff {
        /// Its AS number.
        network: u32,
        /// In this country.
        #[serde(skip_serializing_if = "Option::is_none")]
        country: Option<String>,
    },
}

/// A claim, and whether it is so.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimTruth {
    /// The words.
    pub said: String,
    /// What they say.
    pub proposition: Proposition,
    /// Whether it is so; none where that is not known.
    pub holds: Option<bool>,
}

/// Checks the claims of a scenario.
pub(crate) fn check(scenario: &Scenario, atlas: &Atlas) -> Result<(), Error> {
    if scenario.claim.len() > CLAIMS_MAX {
        return Err(Error(format!(
            "claim: {} are more than {CLAIMS_MAX}",
            scenario.claim.len()
        )));
    }
    for (n, claim) in scenario.claim.iter().enumerate() {
        let wrong = |field: &str, what: String| Error(format!("claim {}: {field}: {what}", n + 1));
        let time = |field: &str, text: &str| match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(()),
            Err(_) => Err(wrong(
                field,
                format!("{text:?} is no time like 2025-03-10T17:25:00Z"),
            )),
        };
        let known = |field: &str, code: &str| {
            let mix = [(code.to_owned(), 1.0)].into();
            scenario::countries(&mix, atlas).map_err(|what| wrong(field, what))
        };
        if claim.said.trim().is_empty() {
            return Err(wrong("said", "nothing is said".to_owned()));
        }
        if scenario.claim[..n].iter().any(|other| other.said == claim.said) {
            return Err(wrong("said", format!("{:?} is there twice", claim.said)));
        }
        if let Some(at) = &claim.at {
            time("at", at)?;
        }
        if let Some(grade) = &claim.grade
            && !matches!(grade.as_bytes(), [b'A'..=b'F', b'1'..=b'6'])
        {
            return Err(wrong(
                "grade",
                format!("{grade:?} is not A to F and 1 to 6, as in C3"),
            ));
        }
        match &claim.proposition {
            Proposition::FromCountries { countries, .. } => {
                if countries.is_empty() {
                    return Err(wrong("countries", "none is named".to_owned()));
                }
                for code in countries {
                    known("countries", code)?;
                }
            }
            Proposition::FromNetworks { networks, .. } if networks.is_empty() => {
                return Err(wrong("networks", "none is named".to_owned()));
            }
            Proposition::ActorState { state: Some(code) } => {
                known("state", code)?;
            }
            Proposition::ProviderOff {
                country: Some(code), ..
            } => {
                known("country", code)?;
            }
            Proposition::StartedAt { at, .. }
            | Proposition::EndedAt { at, .. }
            | Proposition::Restored { at } => time("at", at)?,
            Proposition::ExposedOrigin { prefix } => {
                scenario::target(prefix).map_err(|what| wrong("prefix", what))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The claims as TOML, as `epicenter investigate --claims` takes them; nothing where there are none.
pub fn toml(scenario: &Scenario) -> Option<String> {
    #[derive(Serialize)]
    struct File<'a> {
        claim: &'a [Claim],
    }
    if scenario.claim.is_empty() {
        return None;
    }
    toml::to_string(&File {
        claim: &scenario.claim,
    })
    .ok()
}

/// The claims of a scenario, and whether they are so by what was generated of it.
pub(crate) fn judged(scenario: &Scenario, truth: &Truth) -> Vec<ClaimTruth> {
    scenario
        .claim
        .iter()
        .map(|claim| ClaimTruth {
            said: claim.said.clone(),
            holds: holds(&claim.proposition, scenario, truth).or(claim.holds),
            proposition: claim.proposition.clone(),
        })
        .collect()
}

fn ns(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// Whether it is so, where what was generated decides it.
fn holds(proposition: &Proposition, scenario: &Scenario, truth: &Truth) -> Option<bool> {
    let incidents = &truth.incidents;
    let times = |of: fn(&Incident) -> &str| incidents.iter().filter_map(move |incident| ns(of(incident)));
    let near = |time: Option<u64>, at: &str, within_s: u64| -> Option<bool> {
        let (Some(time), Some(at)) = (time, ns(at)) else {
            return Some(false);
        };
        Some(time.abs_diff(at) <= within_s.saturating_mul(1_000_000_000))
    };
    match proposition {
        Proposition::FromCountries { countries, extent } => from(
            incidents,
            |incident| {
                incident
                    .senders
                    .iter()
                    .filter(|share| countries.contains(&share.key))
                    .map(|s| s.share)
                    .sum()
            },
            *extent,
        ),
        Proposition::FromNetworks { networks, extent } => from(
            incidents,
            |incident| {
                incident
                    .sender_networks
                    .iter()
                    .filter(|share| networks.contains(&share.key))
                    .map(|s| s.share)
                    .sum()
            },
            *extent,
        ),
        // Traffic is made here by machines; whose they are is not generated.
        Proposition::ActorState { .. } | Proposition::ActorGroup { .. } | Proposition::ManyResources {} => {
            None
        }
        // Everything that attacks here is started by one hand, as one `[[attack]]`; how many people that hand belongs to is not
        // generated.
        Proposition::Coordinated { large_group } => match (incidents.is_empty(), large_group) {
            (true, _) => Some(false),
            (false, false) => Some(true),
            (false, true) => None,
        },
        Proposition::IsAttack {} => Some(!incidents.is_empty()),
        Proposition::StartedAt { at, within_s } => near(times(|i| &i.start).min(), at, *within_s),
        Proposition::EndedAt { at, within_s } => near(times(|i| &i.end).max(), at, *within_s),
        Proposition::Restored { at } => {
            let at = ns(at)?;
            // Where no service is named nobody felt anything.
            (!truth.services.is_empty()).then(|| {
                truth
                    .outages
                    .iter()
                    .all(|outage| ns(&outage.end).is_some_and(|end| end <= at))
            })
        }
        Proposition::PeopleAffected { at_least } => truth.people.as_ref().map(|people| {
            people
                .services
                .iter()
                .any(|service| service.affected >= *at_least)
        }),
        Proposition::Vector { name } => Some(
            incidents
                .iter()
                .any(|incident| incident.vectors.iter().any(|vector| vector.name == *name)),
        ),
        Proposition::ExposedOrigin { prefix } => {
            let prefix: Prefix = scenario::target(prefix).ok()?;
            let hit = incidents
                .iter()
                .filter_map(|incident| scenario::target(&incident.target).ok());
            Some(
                hit.into_iter()
                    .any(|target| prefix.contains(target.base) || target.contains(prefix.base)),
            )
        }
        // A country that is cut off as a whole says nothing of one provider.
        Proposition::ProviderOff { network, .. } => {
            let off = scenario.cut.iter().any(|cut| cut.networks.contains(network));
            let country = scenario.cut.iter().any(|cut| !cut.countries.is_empty());
            (off || !country).then_some(off)
        }
    }
}

/// Whether packets came from somewhere: `share` is that of an incident's packets whose senders are known. Where the others could
/// decide it, it is not known.
fn from(incidents: &[Incident], share: impl Fn(&Incident) -> f64, extent: Extent) -> Option<bool> {
    let all: f64 = incidents.iter().map(|incident| incident.packets as f64).sum();
    if all == 0.0 {
        return Some(false);
    }
    let (mut here, mut hidden) = (0.0, 0.0);
    for incident in incidents {
        let direct = (1.0 - incident.forged - incident.reflected).clamp(0.0, 1.0);
        here += incident.packets as f64 * direct * share(incident) / all;
        hidden += incident.packets as f64 * (1.0 - direct) / all;
    }
    match extent {
        Extent::Any if here > 0.0 => Some(true),
        Extent::Any => (hidden <= 0.0).then_some(false),
        Extent::Most if here > 0.5 => Some(true),
        Extent::Most => (here + hidden <= 0.5).then_some(false),
    }
}
