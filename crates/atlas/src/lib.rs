//! Who is this address?
//!
//! An [`Atlas`] maps any IPv4 or IPv6 address to its [`Place`]: country, AS number and name, prefix, kind of network, and
//! whether anybody announces the address. A snapshot is inside the binary ([`Atlas::embedded`]); a newer one is built from
//! tables ([`build`]).
//!
//! - [`place`]: the answer's types.
//! - [`build`]: from tables of ranges to an atlas file.
//! - [`file`](mod@file): the format of that file.
//! - [`lookup`]: the structure that answers.
#![deny(missing_docs)]

pub mod build;
pub mod file;
pub mod lookup;
pub mod place;

pub use build::{Build, Row};
pub use file::{About, Error, Space};
pub use lookup::Atlas;
pub use place::{Country, Kind, Place, PlaceId, Prefix};
