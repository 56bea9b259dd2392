//! What would it look like, with the truth known?
//!
//! A [`Scenario`] and a seed give packets and the truth about them: who attacked whom with what, from where, and which source
//! addresses are forged. Deterministic, and streaming: a second at a time, in memory that does not grow with length. Drawn
//! independently of the rooms that judge: nothing here knows a threshold of theirs.
//!
//! - [`scenario`]: what is to happen, from TOML.
//! - [`world`]: addresses by country, and how far away they are.
//! - `vectors`: what the packets of each vector look like.
//! - `army`: an attack, its machines and what they send.
//! - `crowd`: an audience, who comes when and what they ask for.
//! - `visits`: whole TCP connections.
//! - [`outage`]: load against capacity, and what a service still does.
//! - [`packets`]: bytes of packets and captures.
//! - [`requests`] and [`log`]: requests, and the lines of an access log.
//! - [`exports`]: what a router exports of them.
//! - [`felt`]: what the users of a service feel of it.
//! - [`generate`]: a scenario, second after second.
//! - [`truth`]: what really happened.
//! - [`score`]: how right a case was, against the truth.
#![deny(missing_docs)]

mod army;
mod crowd;
pub mod exports;
pub mod felt;
pub mod generate;
pub mod log;
pub mod outage;
pub mod packets;
pub mod requests;
pub mod scenario;
pub mod score;
pub mod truth;
mod vectors;
mod visits;
pub mod world;

pub use generate::Range;
pub use requests::Request;
pub use scenario::Scenario;
