//! What happened?
//!
//! [`investigate`] takes what was counted, judges it, traces each attack, and returns a [`Case`]: plain values that the house
//! prints. It says how good the evidence is and what is not known, because a share without that is a rumour.
//!
//! - [`case`]: the types of a case.
//! - [`investigation`]: from a tally to a case.
#![deny(missing_docs)]

pub mod case;
pub mod investigation;

pub use case::Case;
pub use investigation::investigate;
