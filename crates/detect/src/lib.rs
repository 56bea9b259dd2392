//! Is something wrong, with what, since when?
//!
//! Records are counted once into a [`Tally`] of bounded size, and the tally is judged as often as one likes. Nothing here
//! knows a clock, a file or a thread: time is the time of the records.
//!
//! - [`vector`]: the names of attack vectors, and the candidate vector of a single record.
//! - [`conversation`]: who exchanged what with whom.
//! - [`lane`]: what reached each target, by vector and second.
//! - [`tally`]: both, filled from batches of records.
//! - [`exchange`]: did the target ask for it?
//! - [`requests`]: attacks over completed connections, also beside an audience.
//! - [`judge`]: from counts to attacks.
//! - [`audience`]: who uses a service.
//! - [`surge`]: counts of any kind that rise or fall more than their past allows.
//! - [`novelty`]: real-valued series that leave what they have ever been.
//! - [`rails`]: several kinds of evidence about one service.
#![deny(missing_docs)]

mod alike;
pub mod audience;
pub mod conversation;
pub mod exchange;
pub mod judge;
pub mod lane;
pub mod novelty;
pub mod rails;
pub mod requests;
pub mod surge;
pub mod tally;
pub mod vector;

pub use audience::{Client, Clients, Regulars};
pub use judge::{Attack, Findings, Options, Part, Scan, Sender, judge};
pub use tally::Tally;
pub use vector::{Mechanism, Transport, Vector};
