//! What somebody said, and what that means: claims with their propositions.

use atlas::{Country, Prefix};

use crate::country;

/// What somebody said.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Who said it.
    pub by: Option<String>,
    /// The words.
    pub said: String,
    /// When it was said.
    pub at_ns: Option<u64>,
    /// Where it can be read.
    pub url: Option<String>,
    /// An archived copy: the file's name.
    pub archived: Option<String>,
    /// How far its source is to be trusted and how well it is confirmed, before the traffic is asked.
    pub grade: Option<Grade>,
    /// What it tells beyond the deed, where it claims responsibility.
    pub details: Option<Details>,
    /// Machines that somebody ascribes to whoever is said to have done it.
    pub infrastructure: Option<Infrastructure>,
    /// What became of earlier claims of the same claimant.
    pub earlier: Option<Earlier>,
    /// What it says, in a form that evidence can be held against.
    pub proposition: Proposition,
}

/// What a claim of responsibility tells of the attack that only who was there can know, or so the claim would have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// When it began or, where that lies after the words, was to begin.
    pub started_ns: Option<u64>,
    /// When it ended.
    pub ended_ns: Option<u64>,
    /// Its vector, by the name that a case gives it.
    pub vector: Option<String>,
    /// Which addresses were attacked.
    pub target: Option<Prefix>,
    /// Since when anybody could know these things. Without it they are taken as publicly known: they then show nothing.
    pub public_since_ns: Option<u64>,
}

/// Machines that somebody ascribes to the one who is said to have done it.
#[derive(Clone, Debug, PartialEq)]
pub struct Infrastructure {
    /// The name of the file that lists them.
    pub file: String,
    /// Who says that they are theirs.
    pub from: String,
    /// Where that can be read.
    pub url: Option<String>,
    /// Their addresses: sorted, and none inside another. See [`apart`].
    pub prefixes: Vec<Prefix>,
}

/// Prefixes sorted by their addresses, without those that lie inside others.
pub fn apart(mut prefixes: Vec<Prefix>) -> Vec<Prefix> {
    prefixes.sort_unstable_by_key(|prefix| (prefix.base, prefix.len));
    // Prefixes nest or are apart: what lies inside another adds nothing.
    prefixes.dedup_by(|next, kept| kept.contains(next.base));
    prefixes
}

/// Earlier claims of the same claimant, counted by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Those that turned out to be right.
    pub right: u32,
    /// Those that turned out to be wrong.
    pub wrong: u32,
    /// Where that can be read.
    pub url: String,
}

/// Admiralty grade (NATO AJP-2.1): reliability of the source from A to F, credibility of the information from 1 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// `A` to `F`.
    pub source: char,
    /// 1 to 6.
    pub information: u8,
}

/// Kinds of source with the grade that a claim of theirs gets where none is given, and why (judgement of this project).
pub const SOURCE_KINDS: &[(&str, Grade, &str)] = &[
    (
        "owner",
        Grade::new('C', 3),
        "the owner knows the systems and has an interest in the answer",
    ),
    (
        "own-measurement",
        Grade::new('B', 2),
        "a measurement that can be recomputed",
    ),
    (
        "researcher-with-data",
        Grade::new('B', 2),
        "a named researcher who shows data",
    ),
    (
        "researcher",
        Grade::new('C', 3),
        "a named researcher without data",
    ),
    (
        "anonymous-industry",
        Grade::new('C', 3),
        "somebody in the trade whom only the reporter knows",
    ),
    (
        "group-post",
        Grade::new('E', 4),
        "whoever claims a deed gains by it",
    ),
    (
        "deleted-post",
        Grade::new('E', 5),
        "a claim of a deed that was taken back",
    ),
    (
        "screenshot",
        Grade::new('F', 6),
        "it shows that a site was unreachable, which anybody could see, and nothing of who did it",
    ),
];

impl Grade {
    /// A grade of the scale.
    const fn new(source: char, information: u8) -> Grade {
        Grade { source, information }
    }

    /// The grade of a kind of source; see [`SOURCE_KINDS`].
    pub fn of_kind(kind: &str) -> Option<Grade> {
        SOURCE_KINDS
            .iter()
            .find(|(name, ..)| *name == kind)
            .map(|(_, grade, _)| *grade)
    }

    /// The two halves in the words of the Admiralty code.
    pub fn words(self) -> (&'static str, &'static str) {
        let source = match self.source {
            'A' => "reliable",
            'B' => "usually reliable",
            'C' => "fairly reliable",
            'D' => "not usually reliable",
            'E' => "unreliable",
            _ => "of a reliability that cannot be judged",
        };
        let information = match self.information {
            1 => "confirmed",
            2 => "probably true",
            3 => "possibly true",
            4 => "doubtful",
            5 => "improbable",
            _ => "of a truth that cannot be judged",
        };
        (source, information)
    }
}

/// Reads `C3`. The text says what is wrong.
impl std::str::FromStr for Grade {
    type Err = String;

    fn from_str(text: &str) -> Result<Grade, String> {
        match text.as_bytes() {
            [source @ b'A'..=b'F', information @ b'1'..=b'6'] => {
                Ok(Grade::new(char::from(*source), information - b'0'))
            }
            _ => Err(format!(
                "`{text}` is no grade: a letter A to F and a digit 1 to 6, like C3"
            )),
        }
    }
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.source, self.information)
    }
}

/// How much of the attack a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Some of it.
    Any,
    /// More than half of it.
    Most,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposition {
    /// The attack's traffic came from these countries.
    FromCountries {
        /// Which.
        countries: Vec<Country>,
        /// How much of it.
        extent: Extent,
    },
    /// The attack's traffic came from these networks.
    FromNetworks {
        /// AS numbers.
        networks: Vec<u32>,
        /// How much of it.
        extent: Extent,
    },
    /// A state did it.
    ActorState {
        /// Which, where one is named.
        state: Option<Country>,
    },
    /// A named group did it.
    ActorGroup {
        /// Its name.
        name: String,
    },
    /// It was coordinated.
    Coordinated {
        /// By a large group of people.
        large_group: bool,
    },
    /// It took a lot of resources.
    ManyResources,
    /// It is an attack rather than a fault.
    IsAttack,
    /// It began then.
    StartedAt {
        /// When.
        at_ns: u64,
        /// Seconds by which that may be off.
        within_s: u64,
    },
    /// It ended then.
    EndedAt {
        /// When.
        at_ns: u64,
        /// Seconds by which that may be off.
        within_s: u64,
    },
    /// The service is restored since then.
    Restored {
        /// When.
        at_ns: u64,
    },
    /// So many people are affected.
    PeopleAffected {
        /// At least.
        at_least: u64,
    },
    /// This vector was used.
    Vector {
        /// Its name, as in a case.
        name: String,
    },
    /// Servers behind the protection were reached directly.
    ExposedOrigin {
        /// Their addresses.
        prefix: Prefix,
    },
    /// A provider was switched off.
    ProviderOff {
        /// AS number of the provider.
        network: u32,
        /// In which country, where one is named.
        country: Option<Country>,
    },
}

impl Proposition {
    /// The name of its kind, as claims files and cases have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Proposition::FromCountries { .. } => "from-countries",
            Proposition::FromNetworks { .. } => "from-networks",
            Proposition::ActorState { .. } => "actor-state",
            Proposition::ActorGroup { .. } => "actor-group",
            Proposition::Coordinated { .. } => "coordinated",
            Proposition::ManyResources => "many-resources",
            Proposition::IsAttack => "is-attack",
            Proposition::StartedAt { .. } => "started-at",
            Proposition::EndedAt { .. } => "ended-at",
            Proposition::Restored { .. } => "restored",
            Proposition::PeopleAffected { .. } => "people-affected",
            Proposition::Vector { .. } => "vector",
            Proposition::ExposedOrigin { .. } => "exposed-origin",
            Proposition::ProviderOff { .. } => "provider-off",
        }
    }

    /// The sentence that is judged, for people.
    pub fn sentence(&self) -> String {
        let part = |extent: Extent| match extent {
            Extent::Any => "Some",
            Extent::Most => "Most",
        };
        match self {
            Proposition::FromCountries { countries, extent } => {
                let names: Vec<String> = countries.iter().map(|c| country::named(*c)).collect();
                format!(
                    "{} of the attack's traffic came from {}.",
                    part(*extent),
                    names.join(", ")
                )
            }
            Proposition::FromNetworks { networks, extent } => {
                let names: Vec<String> = networks.iter().map(|asn| format!("AS{asn}")).collect();
                format!(
                    "{} of the attack's traffic came from {}.",
                    part(*extent),
                    names.join(", ")
                )
            }
            Proposition::ActorState { state: Some(state) } => {
                format!("The state of {} did it.", country::named(*state))
            }
            Proposition::ActorState { state: None } => "A state did it.".to_owned(),
            Proposition::ActorGroup { name } => format!("{name} did it."),
            Proposition::Coordinated { large_group: true } => {
                "It was coordinated, by a large group of people.".to_owned()
            }
            Proposition::Coordinated { large_group: false } => "It was coordinated.".to_owned(),
            Proposition::ManyResources => "It took a lot of resources.".to_owned(),
            Proposition::IsAttack => "It is an attack rather than a fault.".to_owned(),
            Proposition::StartedAt { at_ns, within_s } => {
                format!("It began at {}, give or take {within_s} s.", clock(*at_ns))
            }
            Proposition::EndedAt { at_ns, within_s } => {
                format!("It ended at {}, give or take {within_s} s.", clock(*at_ns))
            }
            Proposition::Restored { at_ns } => {
                format!("The service is restored since {}.", clock(*at_ns))
            }
            Proposition::PeopleAffected { at_least } => {
                format!("At least {at_least} people are affected.")
            }
            Proposition::Vector { name } => format!("The attack was a {name}."),
            Proposition::ExposedOrigin { prefix } => {
                format!("Servers behind the protection, {prefix}, were reached directly.")
            }
            Proposition::ProviderOff {
                network,
                country: None,
            } => {
                format!("AS{network} was switched off.")
            }
            Proposition::ProviderOff {
                network,
                country: Some(country),
            } => format!("AS{network} was switched off in {}.", country::named(*country)),
        }
    }
}

/// A time in words of RFC 3339, to the second, in UTC.
pub fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil date from a count of days: years begin in March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0u64, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_741_600_000, "2025-03-10T09:46:40Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(clock(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn prefixes_apart_hold_the_same_addresses() {
        let of = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<Prefix>>()
        };
        assert_eq!(
            apart(of(&[
                "77.1.2.3",
                "77.1.0.0/16",
                "2a00::/16",
                "77.1.0.0/24",
                "76.0.0.0/8"
            ])),
            of(&["76.0.0.0/8", "77.1.0.0/16", "2a00::/16"])
        );
    }

    #[test]
    fn grades_are_read_and_written() {
        assert_eq!("C3".parse::<Grade>().map(|g| g.to_string()), Ok("C3".to_owned()));
        for wrong in ["", "G1", "A0", "A7", "c3", "C3 ", "C33"] {
            assert!(wrong.parse::<Grade>().is_err(), "{wrong}");
        }
        assert_eq!(
            Grade::of_kind("deleted-post").map(|g| g.to_string()),
            Some("E5".to_owned())
        );
        assert_eq!(Grade::of_kind("neighbour"), None);
        for (kind, grade, _) in SOURCE_KINDS {
            assert!(grade.to_string().parse::<Grade>().is_ok(), "{kind}");
        }
    }
}
