//! What must not be lost, in one SQLite file.
//!
//! - [`journal`]: the form of the hash chain, and its check.
//! - [`file`]: the file: [`Store`] commits, [`Archive`] reads it from elsewhere, also while a store has it open.
//!
//! This room knows none of the others: entries have a kind and bytes, documents a kind, a name and text.

pub mod file;
pub mod journal;

pub use file::{Archive, Batch, Bin, Error, Limits, Store};
pub use journal::{Broken, Entry, Hash};
