//! `epicenter serve`: people report trouble, and everyone sees what is known.
//!
//! - [`config`]: the one file of settings.
//! - [`engine`]: the one thread that writes, judges and shows; [`state`] is what it shows, [`clock`] its time.
//! - [`traffic`]: flow exports, from which attacks are found.
//! - [`notify`]: who is told of incidents, and how.
//! - [`http`]: who asks, what is refused, and where requests go; [`pages`] are made once for everybody ([`cache`]), in each [`lang`].
//! - [`console`]: the operators' side, behind a login.

pub(crate) mod agents;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod engine;
pub(crate) mod http;
pub(crate) mod lang;
pub(crate) mod notify;
pub(crate) mod pages;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod traffic;
