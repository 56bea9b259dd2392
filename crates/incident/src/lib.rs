//! What happened?
//!
//! [`investigate`] takes what was counted, judges it, traces each attack, and returns a [`Case`]: plain values that the house
//! prints. It says how good the evidence is and what is not known, because a share without that is a rumour.
//!
//! [`Engine`] does the same while the traffic is still coming, and says when incidents begin, change and end.
//!
//! - [`case`]: the types of a case.
//! - [`claim`]: what somebody said, in a form that evidence can be held against.
//! - [`country`]: countries by the names that people use.
//! - [`engine`]: incidents as they happen.
//! - [`investigation`]: from a tally to a case.
//! - [`outage`]: services in trouble, as people and probes see it.
//! - [`propose`](mod@propose): what a sentence may mean, for a person to confirm.
//! - [`size`]: how large it is against what others have published.
//! - [`verdict`]: what the evidence says of the claims.
#![deny(missing_docs)]

pub mod case;
pub mod claim;
pub mod country;
pub mod engine;
pub mod investigation;
pub mod outage;
pub mod propose;
pub mod size;
pub mod verdict;

pub use case::Case;
pub use engine::Engine;
pub use investigation::{investigate, investigate_against};
pub use verdict::judge;
