//! Inputs: opened, recognised by content, decompressed, and decoded into batches.
//!
//! With two threads one reads, decompresses and decodes while the other counts; batches travel through a short queue and
//! come back empty, so that memory is bounded and nothing is allocated per packet. With one thread the same steps take turns.
//! Batches are counted in the order of the input in both, so the result is the same.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use incident::case::{Input, InputFault};
use wire::{Batch, Capture, Collector, Faults, Format, Kind, Messages, Reason};

/// Bytes read at once.
const READ: usize = 512 << 10;
/// Batches between the threads.
const QUEUE: usize = 8;
/// Compressed streams inside compressed streams that are opened.
const NESTED_MAX: usize = 2;

/// What this program accepts, for error messages.
const ACCEPTED: &str = "pcap and pcapng captures (of packets, or of NetFlow, IPFIX or sFlow export packets), IPFIX files and bare export messages; plain, gzip or zstd";

/// Where an input comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name in the case.
    pub(crate) name: String,
    /// Where its bytes are.
    pub(crate) place: Where,
}

/// Where bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Where {
    /// In a file, `-` for standard input.
    File(PathBuf),
    /// Here.
    Here(Arc<[u8]>),
}

impl Source {
    /// A file under its own name.
    pub(crate) fn file(path: &Path) -> Source {
        Source {
            name: path.display().to_string(),
            place: Where::File(path.to_owned()),
        }
    }

    /// Whether it can be read twice: what came through a pipe is gone.
    pub(crate) fn lasts(&self) -> bool {
        match &self.place {
            Where::File(path) => path.is_file(),
            Where::Here(_) => true,
        }
    }

    /// Its bytes from the start.
    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send>, String> {
        match &self.place {
            Where::File(path) => open(path),
            Where::Here(bytes) => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
        }
    }
}

/// How an input is read.
pub(crate) struct How<'a> {
    /// 1, or more for reading and counting at the same time.
    pub(crate) threads: u8,
    /// Whether what exporters say beyond the record is kept.
    pub(crate) keep_exported: bool,
    /// Told how many bytes of the file were read.
    pub(crate) progress: &'a (dyn Fn(u64) + Sync),
}

/// Reads one input to its end and gives its batches to `count`. Templates and sampling rates that it teaches stay in the `collector`.
///
/// # Errors
///
/// A line for people, where the input cannot be read at all. Damage further in is noted as faults of the input.
pub(crate) fn read(
    source: &Source,
    how: &How<'_>,
    collector: &mut Collector,
    mut count: impl FnMut(&Batch) + Send,
) -> Result<Input, String> {
    let name = source.name.clone();
    let bytes = std::sync::atomic::AtomicU64::new(0);
    let source = source.open().map_err(|problem| format!("{name}: {problem}"))?;
    let metered = Metered {
        source,
        bytes: &bytes,
        progress: how.progress,
    };
    let before = (collector.totals(), collector.lost());
    let mut decoder = Decoder::open(Box::new(BufReader::with_capacity(READ, metered)), collector)
        .map_err(|problem| format!("{name}: {problem}"))?;
    let is_empty = matches!(decoder.records, Records::None);
    let mut input = Input {
        name,
        kind: "empty",
        bytes: 0,
        records: 0,
        packets: 0,
        octets: 0,
        first_ns: None,
        last_ns: None,
        faults: Vec::new(),
    };
    let mut faults = Faults::default();
    let mut note = |batch: &Batch, input: &mut Input| {
        for flow in &batch.flows {
            input.packets += flow.scaled_packets();
            input.octets += flow.scaled_bytes();
            input.first_ns = Some(
                input
                    .first_ns
                    .map_or(flow.first_ns, |first| first.min(flow.first_ns)),
            );
            input.last_ns = Some(input.last_ns.map_or(flow.last_ns, |last| last.max(flow.last_ns)));
        }
        input.records += batch.flows.len() as u64;
        faults.merge(&batch.faults);
        count(batch);
    };
    let new_batch = || Batch {
        keep_exported: how.keep_exported,
        ..Batch::default()
    };
    if how.threads <= 1 {
        let mut batch = new_batch();
        while decoder.fill(&mut batch) {
            note(&batch, &mut input);
        }
        drop(decoder);
    } else {
        std::thread::scope(|scope| {
            let (full, filled) = mpsc::sync_channel::<Batch>(QUEUE);
            let (empty, emptied) = mpsc::channel::<Batch>();
            scope.spawn(move || {
                let mut made = 0;
                loop {
                    let mut batch = match emptied.try_recv() {
                        Ok(batch) => batch,
                        Err(_) if made < QUEUE + 2 => {
                            made += 1;
                            new_batch()
                        }
                        Err(_) => match emptied.recv() {
                            Ok(batch) => batch,
                            Err(_) => return,
                        },
                    };
                    let more = decoder.fill(&mut batch);
                    if !more || full.send(batch).is_err() {
                        return;
                    }
                }
            });
            for batch in filled {
                note(&batch, &mut input);
                // The reader may be done and gone: then the batch is simply dropped.
                let _ = empty.send(batch);
            }
        });
    }
    input.bytes = bytes.load(std::sync::atomic::Ordering::Relaxed);
    if !is_empty {
        let (totals, lost) = (collector.totals(), collector.lost());
        let of = |format: Format| totals.records[format as usize] - before.0.records[format as usize];
        let messages: u64 = (0..Format::ALL.len())
            .map(|i| totals.messages[i] - before.0.messages[i])
            .sum();
        input.kind = kind(input.records, messages, of);
        faults.note_many(Reason::ExportLost, lost.saturating_sub(before.1), 0);
    }
    input.faults = self::faults(&faults);
    Ok(input)
}

/// Reads one input to its end for what it teaches the collector.
pub(crate) fn read_all_of(source: &Source, collector: &mut Collector) -> anyhow::Result<()> {
    let told = |problem| anyhow::anyhow!("{}: {problem}", source.name);
    let opened = Box::new(BufReader::with_capacity(READ, source.open().map_err(told)?));
    let mut decoder = Decoder::open(opened, collector).map_err(told)?;
    let mut batch = Batch::default();
    while decoder.fill(&mut batch) {}
    Ok(())
}

/// Reads one input once more for its raw packets and messages, which the batches hold beside their records.
pub(crate) fn read_raw(
    source: &Source,
    collector: &mut Collector,
    mut take: impl FnMut(&Batch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let told = |problem| anyhow::anyhow!("{}: {problem}", source.name);
    let opened = Box::new(BufReader::with_capacity(READ, source.open().map_err(told)?));
    let mut decoder = Decoder::open(opened, collector).map_err(told)?;
    let mut batch = Batch {
        keep_raw: true,
        ..Batch::default()
    };
    while decoder.fill(&mut batch) {
        take(&batch)?;
    }
    Ok(())
}

/// Faults as the case has them.
pub(crate) fn faults(faults: &Faults) -> Vec<InputFault> {
    faults
        .iter()
        .map(|fault| InputFault {
            reason: fault.reason.name(),
            count: fault.count,
            first_offset: fault.first_offset,
        })
        .collect()
}

/// What an input is, by what its records are. The fixed forms v1 and v7 count as v5, of which they are variants.
fn kind(records: u64, messages: u64, of: impl Fn(Format) -> u64) -> &'static str {
    let exported: u64 = Format::ALL.iter().map(|format| of(*format)).sum();
    let kinds = [
        ("packets", records.saturating_sub(exported)),
        (
            "netflow5",
            of(Format::Netflow1) + of(Format::Netflow5) + of(Format::Netflow7),
        ),
        ("netflow9", of(Format::Netflow9)),
        ("ipfix", of(Format::Ipfix)),
        ("sflow", of(Format::Sflow)),
    ];
    let mut there = kinds.iter().filter(|(_, count)| *count > 0);
    match (there.next(), there.next()) {
        (Some((kind, _)), None) => kind,
        (Some(_), Some(_)) => "mixed",
        // Messages without any record, templates for example.
        (None, _) if messages > 0 => "mixed",
        (None, _) => "packets",
    }
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, String> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("there is no such file".to_owned()),
        Err(error) => Err(format!("cannot be opened: {error}")),
        Ok(file) => match file.metadata() {
            Ok(meta) if meta.is_dir() => Err(format!("is a directory; name the files in it ({ACCEPTED})")),
            _ => Ok(Box::new(file)),
        },
    }
}

/// Counts what was read of the file itself, compressed or not.
struct Metered<'a> {
    source: Box<dyn Read + Send>,
    bytes: &'a std::sync::atomic::AtomicU64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes
            .fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        (self.progress)(read as u64);
        Ok(read)
    }
}

/// What decodes an input.
enum Records {
    None,
    Capture(Capture),
    Messages(Messages),
}

impl Records {
    fn decode(&mut self, input: &[u8], collector: &mut Collector, batch: &mut Batch) -> usize {
        match self {
            Records::None => 0,
            Records::Capture(capture) => capture.decode(input, collector, batch),
            Records::Messages(messages) => messages.decode(input, collector, batch),
        }
    }

    /// Uses the end of the input; returns how much of it was used (all, unless the batch is full).
    fn finish(&mut self, rest: &[u8], collector: &mut Collector, batch: &mut Batch) -> usize {
        match self {
            Records::None => rest.len(),
            Records::Capture(capture) => {
                capture.finish(rest, collector, batch);
                rest.len()
            }
            Records::Messages(messages) => messages.finish(rest, collector, batch),
        }
    }
}

/// An input being decoded.
struct Decoder<'a> {
    source: Box<dyn BufRead + Send + 'a>,
    records: Records,
    collector: &'a mut Collector,
    /// Bytes read and not yet consumed are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    compressed: bool,
    done: bool,
}

impl<'a> Decoder<'a> {
    fn open(
        mut source: Box<dyn BufRead + Send + 'a>,
        collector: &'a mut Collector,
    ) -> Result<Decoder<'a>, String> {
        let mut compressed = false;
        for _ in 0..=NESTED_MAX {
            let head = head(&mut *source).map_err(|error| format!("cannot be read: {error}"))?;
            match wire::recognise(&head) {
                Kind::Gzip => {
                    compressed = true;
                    let unpacked = flate2::bufread::MultiGzDecoder::new(Rejoined { head, at: 0, source });
                    source = Box::new(BufReader::with_capacity(READ, unpacked));
                }
                Kind::Zstd => {
                    compressed = true;
                    let unpacked = zstd::stream::read::Decoder::with_buffer(Rejoined { head, at: 0, source })
                        .map_err(|error| format!("the zstd stream cannot be opened: {error}"))?;
                    source = Box::new(BufReader::with_capacity(READ, unpacked));
                }
                Kind::Unknown(looks) => {
                    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                    return Err(format!(
                        "looks like {looks} (first bytes {}); accepted are {ACCEPTED}",
                        first.join(" ")
                    ));
                }
                kind => {
                    return Ok(Decoder {
                        records: match Capture::new(kind) {
                            Some(capture) => Records::Capture(capture),
                            None if kind == Kind::Messages => Records::Messages(Messages::new()),
                            None => Records::None,
                        },
                        collector,
                        buffer: vec![0; Capture::NEEDS_MAX + READ],
                        source: Box::new(Rejoined { head, at: 0, source }),
                        start: 0,
                        end: 0,
                        offset: 0,
                        compressed,
                        done: false,
                    });
                }
            }
        }
        Err(format!(
            "is compressed more than {NESTED_MAX} times; accepted are {ACCEPTED}"
        ))
    }

    /// Fills a batch. False when there is nothing more.
    fn fill(&mut self, batch: &mut Batch) -> bool {
        batch.clear();
        if matches!(self.records, Records::None) {
            return false;
        }
        while self.done && self.start < self.end && !batch.is_full() {
            let rest = &self.buffer[self.start..self.end];
            self.start += self.records.finish(rest, self.collector, batch);
        }
        while !batch.is_full() && !self.done {
            let consumed = self
                .records
                .decode(&self.buffer[self.start..self.end], self.collector, batch);
            self.start += consumed;
            if batch.is_full() {
                break;
            }
            // More bytes are needed: what is left moves to the front, and the file is read behind it.
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.done = true;
                    self.start = self
                        .records
                        .finish(&self.buffer[..self.end], self.collector, batch);
                }
                Ok(read) => {
                    self.end += read;
                    self.offset += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.done = true;
                    batch.faults.note(
                        if self.compressed {
                            Reason::Compression
                        } else {
                            Reason::Read
                        },
                        self.offset,
                    );
                    self.start = self
                        .records
                        .finish(&self.buffer[..self.end], self.collector, batch);
                }
            }
        }
        let more = !self.done || self.start < self.end;
        !batch.flows.is_empty() || batch.faults.iter().next().is_some() || more
    }
}

/// The first bytes of a stream: 512, or fewer where it ends.
fn head(source: &mut (dyn BufRead + Send + '_)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    match source.take(512).read_to_end(&mut head) {
        // A damaged stream may still begin well.
        Err(error) if head.is_empty() => Err(error),
        _ => Ok(head),
    }
}

/// A stream with its first bytes put back.
struct Rejoined<'a> {
    head: Vec<u8>,
    at: usize,
    source: Box<dyn BufRead + Send + 'a>,
}

impl Read for Rejoined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at < self.head.len() {
            let n = buffer.len().min(self.head.len() - self.at);
            buffer[..n].copy_from_slice(&self.head[self.at..self.at + n]);
            self.at += n;
            return Ok(n);
        }
        self.source.read(buffer)
    }
}

impl BufRead for Rejoined<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at < self.head.len() {
            Ok(&self.head[self.at..])
        } else {
            self.source.fill_buf()
        }
    }

    fn consume(&mut self, n: usize) {
        let from_head = n.min(self.head.len() - self.at);
        self.at += from_head;
        self.source.consume(n - from_head);
    }
}
