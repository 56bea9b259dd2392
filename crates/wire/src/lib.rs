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
//! - [`collector`]: export messages (NetFlow, IPFIX, sFlow) and what is remembered of their exporters.
//! - [`messages`]: files of bare export messages.
//! - `netflow`, `sflow`: the formats of fixed form; `template`, `field`, `columns`: those with templates.
//! - [`sampling`]: at which rate an exporter samples. [`sequence`]: what was lost on the way.
//! - [`access`]: lines of access logs, and who asked.
//! - [`write`](mod@write): headers of a pcap and blocks of a pcapng, for whoever makes one.
//! - [`evidence`]: how much of a packet decides what it is decoded to, and the same packet without its addresses.
//! - [`redact`]: export messages without their addresses.
#![deny(missing_docs)]

pub mod access;
pub mod capture;
pub mod collector;
mod columns;
pub mod evidence;
pub mod fault;
mod field;
pub mod flow;
pub mod messages;
mod netflow;
pub mod packet;
pub mod payload;
pub mod recognise;
pub mod redact;
pub mod sampling;
pub mod sequence;
mod sflow;
mod template;
pub mod write;

pub use capture::Capture;
pub use collector::{Collector, Exporter, Origin};
pub use fault::{Fault, Faults, Reason};
pub use flow::{Batch, Dns, Exported, Flow, Format, Fragment, Hint, Http, Inner, Raw};
pub use messages::Messages;
pub use recognise::{Kind, recognise};
pub use redact::Redactor;
