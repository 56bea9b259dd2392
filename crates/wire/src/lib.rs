//! What do the bytes say?
//!
//! `wire` turns bytes from outside into records: a [`Flow`] is one direction of traffic between two addresses, and a
//! packet is a flow of one. Decoders fill a [`Batch`] that the caller owns and reuses, so that nothing is allocated per
//! record, and they never fail: they give what they understood and count the rest as [`Faults`].
//!
//! - [`flow`]: the record, and the batch of records with their details (DNS, HTTP, tunnels).
//! - [`fault`]: what was wrong with the input, counted by reason.
//! - [`recognise`]: which kind of input some bytes are, by content.
//! - [`capture`]: pcap and pcapng files, as a stream of packets.
//! - [`packet`]: one captured packet, from its link layer to the first bytes of its payload.
//! - [`payload`]: the first bytes of a payload that tell protocols apart.
#![deny(missing_docs)]

pub mod capture;
pub mod fault;
pub mod flow;
pub mod packet;
pub mod payload;
pub mod recognise;

pub use capture::Capture;
pub use fault::{Fault, Faults, Reason};
pub use flow::{Batch, Dns, Flow, Fragment, Hint, Http, Inner};
pub use recognise::{Kind, recognise};
