//! What somebody said, and what that means: claims with their propositions.

use atlas::{Country, Prefix};

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
    /// What it says, in a form that evidence can be held against.
    pub proposition: Proposition,
}

/// Admiralty grade (NATO AJP-2.1): reliability of the source from A to F, credibility of the information from 1 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// `A` to `F`.
    pub source: char,
    /// 1 to 6.
    pub information: u8,
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
