//! `epicenter serve`: people report trouble, and everyone sees what is known.
//!
//! - [`config`]: the one file of settings.
//! - [`engine`]: the one thread that writes, judges and shows; [`state`] is what it shows, [`clock`] its time.
//! - [`traffic`]: flow exports, from which attacks are found.
//! - [`notify`]: who is told of incidents, and how.
//! - [`http`]: who asks, what is refused, and where requests go; [`pages`] are made once for everybody ([`cache`]), in each [`lang`].
//! - [`console`]: the operators' side, behind a login.
//! - [`api`]: what is known, for programs, as [`openapi`] says; [`statuspage`], [`metrics`] and [`feeds`] are for those who speak
//!   other forms.
//! - [`import`] takes services over from other programs, and [`backup`] copies the data file.

pub(crate) mod agents;
pub(crate) mod api;
pub(crate) mod backup;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod engine;
pub(crate) mod feeds;
pub(crate) mod http;
pub(crate) mod import;
pub(crate) mod lang;
pub(crate) mod metrics;
pub(crate) mod notify;
pub(crate) mod openapi;
pub(crate) mod pages;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod statuspage;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod traffic;
