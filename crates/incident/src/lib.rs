//! What happened?
#![deny(missing_docs)]

pub mod case;

pub use case::Case;
