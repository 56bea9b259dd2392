//! What happened?
//!
//! [`investigate`] takes what was counted, judges it, traces each attack, and returns a [`Case`]: plain values that the house
//! prints. It says how good the evidence is and what is not known, because a share without that is a rumour.
//!
//! [`Engine`] does the same while the traffic is still coming, and says when incidents begin, change and end.
//!
//! - [`case`]: the types of a case.
//! - [`claim`]: what somebody said, in a form that evidence can be held against.
//! - [`engine`]: incidents as they happen.
//! - [`investigation`]: from a tally to a case.
//! - [`outage`]: services in trouble, as people and probes see it.
#![deny(missing_docs)]

pub mod case;
pub mod claim;
pub mod engine;
pub mod investigation;
pub mod outage;

pub use case::Case;
pub use engine::Engine;
pub use investigation::{investigate, investigate_against};
