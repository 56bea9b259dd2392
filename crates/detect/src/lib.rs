//! Is something wrong, with what, since when?
#![deny(missing_docs)]

pub mod vector;

pub use vector::Vector;
