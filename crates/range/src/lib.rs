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
//! - [`exports`]: what routers and switches export of them.
//! - [`requests`] and [`log`]: requests, and the lines of an access log.
//! - [`felt`]: what the users of a service feel of it.
//! - [`people`]: who tells of it: reports, true and false, and probes.
//! - [`claims`]: what is said of it, and whether that is so.
//! - [`generate`]: a scenario, second after second.
//! - [`drill`]: all signals of a scenario together.
//! - [`truth`]: what really happened.
//! - [`score`]: how right a case was, against the truth.
#![deny(missing_docs)]

mod army;
pub mod claims;
mod crowd;
pub mod drill;
pub mod exports;
pub mod felt;
mod flows;
pub mod generate;
pub mod log;
pub mod outage;
pub mod packets;
pub mod people;
pub mod requests;
pub mod scenario;
pub mod score;
pub mod truth;
mod vectors;
mod visits;
pub mod world;

pub use drill::Drill;
pub use generate::Range;
pub use requests::Request;
pub use scenario::Scenario;
