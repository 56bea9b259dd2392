//! The ring of raw export packets: segments of pcap in a directory, the oldest of which makes room.
//!
//! A segment holds the datagrams as they were decoded, each behind an IP and a UDP header with the exporter's address and ports, with
//! the time at which it was received. Beside it lies the state of the collector at its beginning (templates, sampling rates), so that
//! any segment can be investigated without those before it. Writing has a thread of its own: a slow disk loses recordings, which are
//! counted, and never traffic.

use std::fs::File;
use std::io::Write;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use anyhow::Context;
use wire::write::{RECORD_HEADER, checksum, pcap_header, record_header};

use crate::socket::{CHUNK_MAX, Chunk, Datagram, Shared};
use crate::tell;

/// Segments in a ring.
const SEGMENTS: u64 = 16;
/// The smallest segment; it is over with the chunk in which it reaches its size.
const SEGMENT_MIN: u64 = 64 << 10;
/// Chunks that wait for the disk: 64 MiB.
const QUEUE: usize = 256;
const PREFIX: &str = "epicenter-";
/// LINKTYPE_RAW: packets begin with their IP header.
const RAW_IP: u32 = 101;
const SNAPLEN: u32 = 262_144;

/// What the writing thread is given.
enum Work {
    /// A new segment begins, at this time and with this state of the collector.
    Segment(u64, Vec<u8>),
    Chunk(Chunk),
}

/// The side of the decoder.
#[derive(Debug)]
pub(crate) struct Recorder {
    work: mpsc::SyncSender<Work>,
    segment_bytes: u64,
    written: u64,
    begun: bool,
}

impl Recorder {
    /// Opens the ring and starts its thread.
    ///
    /// # Errors
    ///
    /// A directory that cannot be made or read.
    pub(crate) fn start<'scope>(
        directory: &Path,
        bytes: u64,
        scope: &'scope std::thread::Scope<'scope, '_>,
        shared: &'scope Shared,
    ) -> anyhow::Result<Recorder> {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let mut ring = Ring::open(directory, bytes, shared)?;
        let (work, works) = mpsc::sync_channel(QUEUE);
        scope.spawn(move || {
            for work in works {
                match work {
                    Work::Segment(at_ns, state) => ring.next_segment(at_ns, &state),
                    Work::Chunk(chunk) => {
                        ring.write(&chunk);
                        shared.give_back(chunk);
                    }
                }
            }
        });
        Ok(Recorder {
            work,
            segment_bytes: (bytes / SEGMENTS).max(SEGMENT_MIN),
            written: 0,
            begun: false,
        })
    }

    /// Whether the next chunk begins a segment: then the state of the collector is wanted before the chunk is decoded.
    pub(crate) fn wants_state(&self) -> bool {
        !self.begun || self.written >= self.segment_bytes
    }

    /// Begins a segment.
    pub(crate) fn segment(&mut self, at_ns: u64, state: Vec<u8>) {
        (self.begun, self.written) = (true, 0);
        // Between segments the disk is waited for: without its beginning a segment cannot be read.
        let _ = self.work.send(Work::Segment(at_ns, state));
    }

    /// Records a chunk, or gives it back where the disk does not keep up.
    pub(crate) fn record(&mut self, chunk: Chunk, shared: &Shared) {
        self.written += chunk
            .datagrams
            .iter()
            .map(|datagram| RECORD_HEADER as u64 + 28 + chunk.payload(datagram).len() as u64)
            .sum::<u64>();
        if let Err(error) = self.work.try_send(Work::Chunk(chunk)) {
            let (mpsc::TrySendError::Full(work) | mpsc::TrySendError::Disconnected(work)) = error;
            if let Work::Chunk(chunk) = work {
                shared
                    .unrecorded
                    .fetch_add(chunk.datagrams.len() as u64, Ordering::Relaxed);
                shared.give_back(chunk);
            }
        }
    }
}

/// The segments on disk.
struct Ring<'a> {
    directory: PathBuf,
    bytes: u64,
    number: u64,
    segment: Option<File>,
    /// Bytes of a chunk as they are written.
    buffer: Vec<u8>,
    told: bool,
    shared: &'a Shared,
}

impl<'a> Ring<'a> {
    fn open(directory: &Path, bytes: u64, shared: &'a Shared) -> anyhow::Result<Ring<'a>> {
        let mut ring = Ring {
            directory: directory.to_owned(),
            bytes,
            number: 0,
            segment: None,
            buffer: Vec::new(),
            told: false,
            shared,
        };
        let segments = ring.segments().with_context(|| directory.display().to_string())?;
        ring.number = segments.iter().map(|(number, ..)| *number).max().unwrap_or(0);
        Ok(ring)
    }

    /// Number, name without ending and size of every segment, the oldest first. Other files are not ours.
    fn segments(&self) -> std::io::Result<Vec<(u64, String, u64)>> {
        let mut sizes: std::collections::BTreeMap<(u64, String), u64> = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".pcap").or(name.strip_suffix(".state"));
            let number = stem
                .and_then(|stem| stem.strip_prefix(PREFIX))
                .and_then(|rest| rest.rsplit_once('-'))
                .and_then(|(_, number)| number.parse().ok());
            if let (Some(stem), Some(number)) = (stem, number) {
                let size = entry.metadata().map_or(0, |meta| meta.len());
                *sizes.entry((number, stem.to_owned())).or_default() += size;
            }
        }
        Ok(sizes
            .into_iter()
            .map(|((number, stem), size)| (number, stem, size))
            .collect())
    }

    fn next_segment(&mut self, at_ns: u64, state: &[u8]) {
        self.segment = None;
        if let Err(error) = self.begin(at_ns, state) {
            self.failed(&error);
        }
    }

    fn begin(&mut self, at_ns: u64, state: &[u8]) -> std::io::Result<()> {
        // Room for a whole segment is made first, so that the ring is never larger than it may be.
        let segments = self.segments()?;
        let mut total: u64 = segments.iter().map(|(.., size)| size).sum();
        for (_, stem, size) in &segments {
            let segment = (self.bytes / SEGMENTS).max(SEGMENT_MIN) + CHUNK_MAX as u64 + state.len() as u64;
            if total + segment <= self.bytes {
                break;
            }
            for ending in ["pcap", "state"] {
                match std::fs::remove_file(self.directory.join(format!("{stem}.{ending}"))) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            total -= size;
        }
        self.number += 1;
        let time = jiff::Timestamp::from_second((at_ns / 1_000_000_000) as i64).unwrap_or_default();
        let stem = format!("{PREFIX}{}-{:06}", time.strftime("%Y%m%dT%H%M%SZ"), self.number);
        std::fs::write(self.directory.join(format!("{stem}.state")), state)?;
        let mut segment = File::create(self.directory.join(format!("{stem}.pcap")))?;
        segment.write_all(&pcap_header(SNAPLEN, RAW_IP))?;
        self.segment = Some(segment);
        Ok(())
    }

    fn write(&mut self, chunk: &Chunk) {
        let Some(segment) = &mut self.segment else {
            self.lose(chunk);
            return;
        };
        // One write for a chunk: the system is asked a few thousand times a second at most.
        self.buffer.clear();
        for datagram in &chunk.datagrams {
            let payload = chunk.payload(datagram);
            headers(datagram, payload, &mut self.buffer);
            self.buffer.extend_from_slice(payload);
        }
        if let Err(error) = segment.write_all(&self.buffer) {
            self.lose(chunk);
            self.segment = None;
            self.failed(&error);
        }
    }

    fn lose(&self, chunk: &Chunk) {
        self.shared
            .unrecorded
            .fetch_add(chunk.datagrams.len() as u64, Ordering::Relaxed);
    }

    /// Says it once; the next segment may work again.
    fn failed(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            tell(&format!(
                "{}: cannot record: {error}; listening goes on, and each new segment tries again",
                self.directory.display()
            ));
        }
    }
}

/// Record header, IP header and UDP header before a payload. Our own address was not kept: it is the unspecified one.
fn headers(datagram: &Datagram, payload: &[u8], out: &mut Vec<u8>) {
    let udp = 8 + payload.len() as u16;
    let from = datagram.from.address;
    let length = payload.len() as u32 + if from.to_ipv4_mapped().is_some() { 28 } else { 48 };
    out.extend(record_header(datagram.received_ns, length, length));
    if let Some(from) = from.to_ipv4_mapped() {
        let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // An IPv4 datagram carries 65,507 bytes at most, so this does not overflow.
        ip[2..4].copy_from_slice(&(20 + udp).to_be_bytes());
        ip[12..16].copy_from_slice(&from.octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(ip);
    } else {
        out.extend([0x60, 0, 0, 0]);
        out.extend(udp.to_be_bytes());
        out.extend([17, 64]);
        out.extend(from.octets());
        out.extend(Ipv6Addr::UNSPECIFIED.octets());
    }
    out.extend(datagram.from.port.to_be_bytes());
    out.extend(datagram.to_port.to_be_bytes());
    out.extend(udp.to_be_bytes());
    // The checksum was the kernel's business; zero says that there is none.
    out.extend([0, 0]);
}
