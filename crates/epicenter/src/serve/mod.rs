//! `epicenter serve`: people report trouble, and everyone sees what is known.

pub(crate) mod config;
pub(crate) mod lang;
pub(crate) mod probe;
