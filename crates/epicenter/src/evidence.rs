//! What a case rests on, made into a bundle: the packets and export messages behind it, and everything else that decides it.
//!
//! Inputs are read again, now for their raw packets. Those that belong to the targets and scanners of the case are kept, cut to the bytes
//! that decide their records, and the case is computed anew from what was kept, by the same function. Where it is not the same, all
//! packets are kept. What does not fit is sampled by a rule that the inputs themselves seed, so that nobody can have chosen it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use atlas::{Atlas, Prefix};
use clap::CommandFactory;
use incident::Case;
use indicatif::ProgressBar;
use minisign::{PublicKey, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trace::Past;
use wire::evidence::{RAW, Trial};
use wire::write::{PCAPNG_PACKET, pcapng_interface, pcapng_packet, pcapng_section};
use wire::{Batch, Collector, Flow, Raw, Redactor};

use crate::args::{Anonymize, Cli, Format, InvestigateArgs};
use crate::bundle::{self, Files, hex, sha256};
use crate::input::{self, Source, Where};
use crate::investigate::{Examined, Settings, examine};
use crate::pseudonym::{Addresses, Permutation};
use crate::{audience, case_json, claims, keys, tell};

/// Name of the form of `settings.json`.
pub(crate) const SETTINGS: &str = "epicenter.settings/1";
/// Name of the form of `inputs.json`.
pub(crate) const INPUTS: &str = "epicenter.inputs/1";
/// What the sampling rule is called.
pub(crate) const METHOD: &str = "sha256-counter";
/// Name of what showed the audience, in a bundle.
pub(crate) const AUDIENCE: &str = "audience.jsonl.zst";
/// Name of the claims in a bundle.
pub(crate) const CLAIMS: &str = "claims/claims.toml";
/// How the names of captures end.
const CAPTURE: &str = "pcapng";
/// Compression of the evidence.
const LEVEL: i32 = 12;
/// Values that differ which are looked at, to list their kinds.
const CHANGED_MAX: usize = 100_000;
/// Bytes of a key for pseudonyms at least.
const KEY_MIN: usize = 16;

/// What goes into a bundle beside the case, and where it goes.
pub(crate) struct Wanted {
    output: PathBuf,
    limit: u64,
    signer: Option<(SecretKey, PublicKey)>,
    token: Option<Vec<u8>>,
    anonymize: Option<(Anonymize, [u8; 32])>,
    anonymize_targets: bool,
    /// Files that claims name, carried along under these names.
    carried: Vec<(String, Vec<u8>)>,
    /// Tables of kinds that were laid over the atlas.
    kinds: Vec<Vec<u8>>,
}

/// Ends the program where options of bundles are given without one.
pub(crate) fn check_usage(args: &InvestigateArgs) {
    let of = &args.bundle;
    let given = of.sign_key.is_some() || of.timestamp_token.is_some() || of.anonymize.is_some();
    if given && args.format != Format::Bundle {
        let error = clap::error::ErrorKind::ArgumentConflict;
        let says = "--sign-key, --timestamp-token and --anonymize are for --format bundle";
        Cli::command().error(error, says).exit();
    }
}

impl Wanted {
    /// What the options want. What is wrong with them is said before an hour of reading.
    pub(crate) fn of(args: &InvestigateArgs, sources: &[Source]) -> anyhow::Result<Wanted> {
        let output = args
            .output
            .clone()
            .context("--format bundle needs -o FOLDER or -o FILE.tar")?;
        if output.symlink_metadata().is_ok() {
            bail!(
                "{}: is there already; a bundle does not overwrite",
                output.display()
            );
        }
        if let Some(source) = sources.iter().find(|source| !source.lasts()) {
            bail!(
                "{}: evidence is taken in a second reading; a bundle needs inputs that are files",
                source.name
            );
        }
        let of = &args.bundle;
        let anonymize = match (of.anonymize, &of.anonymize_key) {
            (None, _) => None,
            (Some(how), None) => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("no random key: {error}"))?;
                Some((how, key))
            }
            (Some(how), Some(path)) => {
                let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
                if bytes.len() < KEY_MIN {
                    bail!("{}: a key has {KEY_MIN} bytes at least", path.display());
                }
                Some((how, Sha256::digest(bytes).into()))
            }
        };
        if anonymize.is_some() && args.exports.state.is_some() {
            bail!(
                "--anonymize: the file of --state names exporters by their addresses, which cannot be taken out of it"
            );
        }
        if let Some(path) = args.audience.iter().find(|path| !path.is_file()) {
            bail!(
                "{}: a bundle names the digests of its inputs, so it needs files",
                path.display()
            );
        }
        let mut carried = Vec::new();
        if let Some(path) = &args.claims {
            let folder = path.parent().unwrap_or(std::path::Path::new(""));
            for claim in claims::read(path)? {
                let list = claim.infrastructure.map(|of| of.file);
                for file in claim.archived.into_iter().chain(list) {
                    let name = format!("claims/{file}");
                    if name == CLAIMS {
                        bail!(
                            "{}: a file beside it has the name that it has in a bundle",
                            path.display()
                        );
                    }
                    if carried.iter().all(|(known, _)| *known != name) {
                        let from = folder.join(&file);
                        carried.push((
                            name,
                            std::fs::read(&from).with_context(|| from.display().to_string())?,
                        ));
                    }
                }
            }
        }
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
        Ok(Wanted {
            output,
            limit: of.evidence_limit,
            signer: of.sign_key.as_deref().map(keys::secret).transpose()?,
            token: of.timestamp_token.as_ref().map(read).transpose()?,
            anonymize,
            anonymize_targets: of.anonymize_targets,
            carried,
            kinds: args.atlas.kinds.iter().map(read).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Which packets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Those of the incidents' targets and of scanners, both ways, and the first and the last of all.
    Targets,
    /// All that are records.
    All,
}

/// One of so many packets, drawn by a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) one_in: u64,
    pub(crate) seed: u64,
}

impl Sample {
    /// The seed that inputs of these digests give.
    pub(crate) fn seed(digests: &[String]) -> u64 {
        first_u64(&Sha256::digest(digests.concat()))
    }

    /// Whether the packet of this number, counted from 0 over all that are eligible, is drawn.
    fn draws(&self, number: u64) -> bool {
        let hash = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .finalize();
        first_u64(&hash).is_multiple_of(self.one_in)
    }
}

fn first_u64(hash: &[u8]) -> u64 {
    hash.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// How evidence is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) selection: Selection,
    pub(crate) sample: Option<Sample>,
}

/// Whose packets matter for a case.
pub(crate) struct Focus {
    /// Ranges of the targets' addresses, sorted and apart.
    targets: Vec<(Ipv6Addr, Ipv6Addr)>,
    scanners: BTreeSet<Ipv6Addr>,
    /// Times of the first and the last record of each input.
    ends: BTreeSet<u64>,
}

impl Focus {
    pub(crate) fn of(case: &Case) -> Focus {
        let mut targets: Vec<(Ipv6Addr, Ipv6Addr)> = case
            .incidents
            .iter()
            .map(|incident| (incident.target.base, incident.target.last()))
            .collect();
        targets.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
        // Prefixes nest or are apart: what lies inside another adds nothing.
        targets.dedup_by(|next, kept| next.0 <= kept.1);
        Focus {
            targets,
            scanners: case.scans.iter().map(|scan| scan.source).collect(),
            ends: case
                .inputs
                .iter()
                .flat_map(|input| [input.first_ns, input.last_ns])
                .flatten()
                .collect(),
        }
    }

    fn matters(&self, flow: &Flow) -> bool {
        let target = |address: Ipv6Addr| {
            let at = self.targets.partition_point(|range| range.0 <= address);
            at > 0 && address <= self.targets[at - 1].1
        };
        let of = |address: Ipv6Addr| target(address) || self.scanners.contains(&address);
        of(flow.dst)
            || of(flow.src)
            || self.ends.contains(&flow.first_ns)
            || self.ends.contains(&flow.last_ns)
    }
}

/// A file of evidence.
pub(crate) struct Taken {
    /// Its name in the bundle.
    pub(crate) name: String,
    /// The input that it is of, from 0.
    pub(crate) input: usize,
    /// Packets and messages in it.
    pub(crate) packets: u64,
    /// Its size before compression.
    pub(crate) bytes: u64,
    /// SHA-256 before compression.
    pub(crate) sha256: String,
    /// It, compressed.
    pub(crate) packed: Vec<u8>,
}

/// What taking evidence gave.
pub(crate) struct Gathered {
    pub(crate) files: Vec<Taken>,
    /// Bytes of what a sample may leave out: packets.
    packets_bytes: u64,
    /// Bytes of what it may not: export messages.
    exports_bytes: u64,
    /// Whether the limit was kept. Where not, the files end early.
    fits: bool,
}

/// Replaces addresses, and notes what came of it.
pub(crate) struct Redaction<'a> {
    pub(crate) addresses: std::cell::RefCell<Addresses>,
    atlas: &'a Atlas,
    /// Blocks of the atlas in which addresses of the evidence lie.
    blocks: std::cell::RefCell<BTreeSet<atlas::PlaceId>>,
    /// For the export messages: what is known of them before the first is rewritten.
    exports: Redactor,
    /// Packets and messages whose records are not the same without what was taken out.
    altered: u64,
}

impl<'a> Redaction<'a> {
    fn new(addresses: Addresses, atlas: &'a Atlas, exports: Redactor) -> Redaction<'a> {
        Redaction {
            addresses: addresses.into(),
            atlas,
            blocks: BTreeSet::new().into(),
            exports,
            altered: 0,
        }
    }

    fn address(&self, address: Ipv6Addr) -> Ipv6Addr {
        let mut id = Vec::with_capacity(1);
        self.atlas.lookup_all(&[address], &mut id);
        self.blocks.borrow_mut().extend(id);
        self.addresses.borrow_mut().of(address)
    }
}

/// A file of evidence in the making.
struct Writer {
    packed: zstd::stream::Encoder<'static, Vec<u8>>,
    hash: Sha256,
    links: Vec<u16>,
    /// How its name ends.
    form: &'static str,
    packets: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn new() -> anyhow::Result<Writer> {
        let mut packed = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
        packed.include_checksum(true)?;
        Ok(Writer {
            packed,
            hash: Sha256::new(),
            links: Vec::new(),
            form: CAPTURE,
            packets: 0,
            bytes: 0,
            buffer: Vec::new(),
        })
    }

    fn packet(
        &mut self,
        link_type: Option<u16>,
        time_ns: u64,
        original: u32,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        self.packets += 1;
        let Some(link_type) = link_type else {
            self.form = "messages";
            return self.write(bytes);
        };
        self.begin()?;
        let known = self.links.iter().position(|known| *known == link_type);
        let interface = match known {
            Some(interface) => interface,
            None => {
                self.links.push(link_type);
                self.write(&pcapng_interface(link_type))?;
                self.links.len() - 1
            }
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        pcapng_packet(interface as u32, time_ns, original, bytes, &mut buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        Ok(())
    }

    /// Bytes of JSON lines.
    fn lines(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.form = "jsonl";
        self.write(bytes)
    }

    /// A capture begins with its section, even where nothing follows.
    fn begin(&mut self) -> anyhow::Result<()> {
        if self.bytes == 0 && self.form == CAPTURE {
            self.write(&pcapng_section())?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(self.packed.write_all(bytes)?)
    }

    fn end(mut self, input: usize) -> anyhow::Result<Taken> {
        self.begin()?;
        let form = self.form;
        Ok(Taken {
            name: format!("evidence/{}.{form}.zst", input + 1),
            input,
            packets: self.packets,
            bytes: self.bytes,
            sha256: hex(&self.hash.finalize()),
            packed: self.packed.finish()?,
        })
    }
}

/// Takes the evidence of a case out of its inputs, by a design, up to a limit of bytes.
pub(crate) fn gather(
    sources: &[Source],
    settings: &Settings,
    focus: &Focus,
    design: Design,
    limit: u64,
    mut redaction: Option<&mut Redaction<'_>>,
) -> anyhow::Result<Gathered> {
    let mut collector = settings.collector()?;
    if let Some(redaction) = redaction.as_deref_mut() {
        redaction.altered = 0;
        redaction.blocks.borrow_mut().clear();
    }
    let mut gathered = Gathered {
        files: Vec::new(),
        packets_bytes: 0,
        exports_bytes: 0,
        fits: true,
    };
    let mut trial = Trial::new();
    let mut exports = redaction
        .as_deref()
        .map(|redaction| redaction.exports.clone())
        .unwrap_or_default();
    let (mut number, mut written) = (0, 0);
    for (at, source) in sources.iter().enumerate() {
        let mut writer = Writer::new()?;
        // Reports and probes go along whole: they name no address, and each counts.
        if crate::signals::is_signals(source) {
            let opened = source
                .open()
                .map_err(|problem| anyhow::anyhow!("{}: {problem}", source.name))?;
            let mut lines = crate::series::unpacked(opened).with_context(|| source.name.clone())?;
            let mut buffer = vec![0; 1 << 16];
            loop {
                let read = lines.read(&mut buffer).with_context(|| source.name.clone())?;
                if read == 0 {
                    break;
                }
                gathered.exports_bytes += read as u64;
                written += read as u64;
                gathered.fits &= written <= limit;
                if gathered.fits {
                    writer.lines(&buffer[..read])?;
                }
            }
            gathered.files.push(writer.end(at)?);
            continue;
        }
        input::read_raw(source, &mut collector, |batch| {
            for (index, raw) in batch.raw.iter().enumerate() {
                let end = batch
                    .raw
                    .get(index + 1)
                    .map_or(batch.flows.len(), |next| next.first);
                let flows = &batch.flows[raw.first..end];
                let bytes = &batch.raw_bytes[raw.start..raw.start + raw.len];
                // Export messages go along whole: templates, rates and sequence numbers are in all of them.
                if !raw.export {
                    let matters =
                        design.selection == Selection::All || flows.iter().any(|flow| focus.matters(flow));
                    if !matters {
                        continue;
                    }
                    number += 1;
                    if design.sample.is_some_and(|sample| !sample.draws(number - 1)) {
                        continue;
                    }
                }
                let (link_type, original, kept) = match redaction.as_deref_mut() {
                    None if raw.export => (raw.link_type, raw.original, bytes.to_vec()),
                    None => {
                        let link_type = raw.link_type.unwrap_or(RAW);
                        let needed = trial.needed(link_type, bytes, raw.original);
                        (raw.link_type, raw.original, bytes[..needed].to_vec())
                    }
                    Some(redaction) => redacted(&mut trial, &mut exports, raw, bytes, redaction)
                        .with_context(|| source.name.clone())?,
                };
                let size = match link_type {
                    Some(_) => (PCAPNG_PACKET + kept.len().next_multiple_of(4)) as u64,
                    None => kept.len() as u64,
                };
                let sum = if raw.export {
                    &mut gathered.exports_bytes
                } else {
                    &mut gathered.packets_bytes
                };
                *sum += size;
                written += size;
                gathered.fits &= written <= limit;
                if gathered.fits {
                    writer.packet(link_type, raw.time_ns, original, &kept)?;
                }
            }
            Ok(())
        })?;
        gathered.files.push(writer.end(at)?);
    }
    Ok(gathered)
}

/// Reads the inputs for how their export messages are decoded, as often as `examine` reads them.
fn exports_of(sources: &[Source], settings: &Settings) -> anyhow::Result<Redactor> {
    let mut redactor = Redactor::new();
    let read = |collector: &mut Collector| -> anyhow::Result<()> {
        for source in sources {
            if !crate::signals::is_signals(source) {
                input::read_all_of(source, collector)?;
            }
        }
        collector.give_up(&mut Batch::default());
        Ok(())
    };
    let learned = redactor.learn(settings.collector()?, read)?;
    if learned.is_late() {
        let mut informed = settings.collector()?;
        informed.load(&learned.save(), 0);
        redactor.learn(informed, read)?;
    }
    Ok(redactor)
}

/// A packet or message with other addresses.
fn redacted(
    trial: &mut Trial,
    exports: &mut Redactor,
    raw: &Raw,
    bytes: &[u8],
    redaction: &mut Redaction<'_>,
) -> anyhow::Result<(Option<u16>, u32, Vec<u8>)> {
    let map = |address| redaction.address(address);
    if raw.export {
        let Some(other) = exports.message(raw.link_type, bytes, raw.original, raw.time_ns, &map) else {
            bail!("--anonymize: an export message has no place for addresses");
        };
        redaction.altered += u64::from(!other.same);
        return Ok((other.link_type, other.original, other.bytes));
    }
    let link_type = raw.link_type.unwrap_or(RAW);
    let Some(other) = trial.redacted(link_type, bytes, raw.original, &map) else {
        bail!("--anonymize: a packet has no place for addresses");
    };
    let (original, same, bytes) = (other.original, other.same, other.bytes.to_vec());
    redaction.altered += u64::from(!same);
    Ok((Some(RAW), original, bytes))
}

/// The smallest "one in N" that should fit.
fn rate(gathered: &Gathered, limit: u64) -> anyhow::Result<u64> {
    let room = limit.saturating_sub(gathered.exports_bytes);
    // A sample of packets says little below this.
    if room < 1 << 16 {
        bail!(
            "the export messages alone are {} bytes, and they are not sampled: give --evidence-limit {}MiB or more",
            gathered.exports_bytes,
            (gathered.exports_bytes >> 20) + 2
        );
    }
    let exact = gathered.packets_bytes as f64 / room as f64;
    // Two per cent for the luck of the draw.
    Ok((exact * 1.02).ceil().max(2.0) as u64)
}

/// Takes evidence that fits: all of it, or a sample.
fn fitting(
    sources: &[Source],
    settings: &Settings,
    focus: &Focus,
    selection: Selection,
    (limit, seed): (u64, u64),
    mut redaction: Option<&mut Redaction<'_>>,
) -> anyhow::Result<(Design, Gathered)> {
    let mut design = Design {
        selection,
        sample: None,
    };
    let mut gathered = gather(sources, settings, focus, design, limit, redaction.as_deref_mut())?;
    let mut one_in = 1;
    while !gathered.fits {
        one_in = if design.sample.is_none() {
            rate(&gathered, limit)?
        } else {
            one_in + 1 + one_in / 50
        };
        if u32::try_from(one_in).is_err() {
            bail!("--evidence-limit: nothing fits into {limit} bytes");
        }
        design.sample = Some(Sample { one_in, seed });
        gathered = gather(sources, settings, focus, design, limit, redaction.as_deref_mut())?;
    }
    Ok((design, gathered))
}

/// The settings under which evidence of a design gives its case.
pub(crate) fn settings_of(settings: &Settings, design: Design) -> anyhow::Result<Settings> {
    let rate = u64::from(settings.packet_rate.max(1)) * design.sample.map_or(1, |sample| sample.one_in);
    Ok(Settings {
        packet_rate: u32::try_from(rate)
            .ok()
            .context("the sampling rate is too large")?,
        ..settings.clone()
    })
}

/// Files of evidence as inputs.
pub(crate) fn sources_of<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Source> {
    files
        .map(|(name, bytes)| Source {
            name: name.to_owned(),
            place: Where::Here(Arc::from(bytes)),
        })
        .collect()
}

/// What a bundle kept of the audience, as the input that shows it.
pub(crate) fn audience_of(kept: Option<&[u8]>) -> Vec<Source> {
    sources_of(kept.into_iter().map(|bytes| (AUDIENCE, bytes)))
}

/// What two cases have to have in common to be one: everything but the names and sizes of the inputs, and the atlas.
pub(crate) fn essence(case: &str) -> anyhow::Result<Value> {
    let mut value: Value = serde_json::from_str(case)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("inputs");
        // Of a file of reports the name alone is another one.
        for file in fields
            .get_mut("signals")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            file["name"].take();
        }
        fields.remove("engine");
    }
    Ok(value)
}

/// Where two JSON values differ, as paths.
pub(crate) fn differences(a: &Value, b: &Value, path: &str, max: usize, out: &mut Vec<String>) {
    if out.len() >= max || a == b {
        return;
    }
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let side =
                    |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differences(&side(left), &side(right), &format!("{path}.{key}"), max, out);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (i, (x, y)) in left.iter().zip(right).enumerate() {
                differences(x, y, &format!("{path}[{i}]"), max, out);
            }
        }
        _ => out.push(if path.is_empty() {
            "$".to_owned()
        } else {
            format!("${path}")
        }),
    }
}

/// A path for all elements of its lists.
fn without_places(path: &str) -> String {
    let mut parts = path.split('[');
    let mut all = parts.next().unwrap_or("").to_owned();
    for part in parts {
        all.push_str("[*]");
        all.push_str(part.split_once(']').map_or("", |(_, rest)| rest));
    }
    all
}

/// Size and SHA-256 of an input, as it lies there.
pub(crate) fn digest(source: &Source) -> anyhow::Result<(u64, String)> {
    let told = |problem| anyhow::anyhow!("{}: {problem}", source.name);
    let mut reader = source.open().map_err(told)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
    loop {
        match reader.read(&mut buffer).with_context(|| source.name.clone())? {
            0 => return Ok((size, hex(&hash.finalize()))),
            read => {
                size += read as u64;
                hash.update(&buffer[..read]);
            }
        }
    }
}

/// The case that evidence gives.
fn case_of(
    gathered: &Gathered,
    settings: &Settings,
    design: Design,
    atlas: &Atlas,
    threads: u8,
) -> anyhow::Result<String> {
    let sources = sources_of(
        gathered
            .files
            .iter()
            .map(|file| (file.name.as_str(), &file.packed[..])),
    );
    let settings = settings_of(settings, design)?;
    match examine(&sources, &settings, atlas, threads, &ProgressBar::hidden())? {
        Some(Examined { case, unread: 0, .. }) => case_json::render(&case, atlas),
        _ => bail!("the evidence cannot be read back"),
    }
}

/// Makes the bundle of a case.
pub(crate) fn make(
    wanted: &Wanted,
    sources: &[Source],
    settings: &Settings,
    atlas: &Atlas,
    (case, usual): (&Case, Past),
    threads: u8,
) -> anyhow::Result<()> {
    let whole = case_json::render(case, atlas)?;
    let digests: Vec<(u64, String)> = sources.iter().map(digest).collect::<anyhow::Result<_>>()?;
    let of_audience: Vec<(u64, String)> = settings
        .audience
        .iter()
        .map(digest)
        .collect::<anyhow::Result<_>>()?;
    let audience_names: Vec<String> = settings
        .audience
        .iter()
        .map(|source| source.name.clone())
        .collect();
    // From here on the audience is what was kept of it: the bundle has no more.
    let mut settings = settings.clone();
    let mut audience = match settings.audience.is_empty() {
        true => None,
        false => Some(audience::packed(&usual)?),
    };
    settings.audience = audience_of(audience.as_deref());
    let seed = Sample::seed(
        &digests
            .iter()
            .map(|(_, digest)| digest.clone())
            .collect::<Vec<_>>(),
    );
    let room = (wanted.limit, seed);
    let focus = Focus::of(case);
    let take = |selection| -> anyhow::Result<(Design, Gathered, String, bool)> {
        let (design, gathered) = fitting(sources, &settings, &focus, selection, room, None)?;
        let told = case_of(&gathered, &settings, design, atlas, threads)?;
        let same = essence(&told)? == essence(&whole)?;
        Ok((design, gathered, told, same))
    };
    // Only the targets' packets, if they give the case; else all of them.
    let selection = if case.incidents.is_empty() {
        Selection::All
    } else {
        Selection::Targets
    };
    let (mut design, mut gathered, mut told, mut same) = take(selection)?;
    if !same && design.sample.is_none() && selection == Selection::Targets {
        (design, gathered, told, same) = take(Selection::All)?;
    }
    let mut files = Files::new();
    let mut anonymized = Value::Null;
    let mut atlas_file = atlas.file().to_vec();
    let mut kinds = wanted.kinds.clone();
    // Lists of addresses that claims name, with the addresses that they have in the bundle.
    let mut lists = Files::new();
    if let Some((how, key)) = wanted.anonymize {
        let targets: Vec<Prefix> = case.incidents.iter().map(|incident| incident.target).collect();
        let kept: &[Prefix] = if wanted.anonymize_targets { &[] } else { &targets };
        let addresses = match how {
            Anonymize::Truncate => Addresses::Truncated(kept.to_vec()),
            Anonymize::Hash => Addresses::Hashed(Permutation::new(key, kept)),
        };
        let mut redaction = Redaction::new(addresses, atlas, exports_of(sources, &settings)?);
        (design, gathered) = fitting(
            sources,
            &settings,
            &focus,
            design.selection,
            room,
            Some(&mut redaction),
        )?;
        let altered = redaction.altered;
        if audience.is_some() {
            let other = audience::readdressed(&usual, &mut |address| redaction.address(address));
            audience = Some(audience::packed(&other)?);
            settings.audience = audience_of(audience.as_deref());
        }
        let mut addresses = redaction.addresses.into_inner();
        for network in &mut settings.networks {
            *network = addresses.prefix(*network);
        }
        for (_, prefix) in &mut settings.services {
            *prefix = addresses.prefix(*prefix);
        }
        for (exporter, _) in &mut settings.rates {
            if let Some(exporter) = exporter {
                *exporter = addresses.of(crate::args::mapped(*exporter)).to_canonical();
            }
        }
        for of in settings
            .claims
            .iter_mut()
            .filter_map(|claim| claim.infrastructure.as_mut())
        {
            let other = of.prefixes.iter().map(|prefix| addresses.prefix(*prefix));
            of.prefixes = incident::claim::apart(other.collect());
            lists.insert(
                format!("claims/{}", of.file),
                claims::listed(&of.prefixes).into_bytes(),
            );
        }
        let moved;
        let used = match &mut addresses {
            Addresses::Truncated(_) => atlas,
            hashed => {
                let blocks = redaction.blocks.into_inner();
                let parts = atlas.moved(&mut |prefix| hashed.prefix(prefix), &|id| blocks.contains(&id));
                // Its kinds are in it.
                kinds.clear();
                atlas_file = parts.write();
                moved = Atlas::from_bytes(atlas_file.clone())?;
                &moved
            }
        };
        told = case_of(&gathered, &settings, design, used, threads)?;
        let mut changed = Vec::new();
        differences(&essence(&whole)?, &essence(&told)?, "", CHANGED_MAX, &mut changed);
        same = changed.is_empty();
        let changed: BTreeSet<String> = changed.iter().map(|path| without_places(path)).collect();
        anonymized = json!({
            "method": how.name(),
            "targets": wanted.anonymize_targets,
            "altered_packets": altered,
            "changed": changed,
        });
    } else {
        files.insert("case-of-inputs.json".to_owned(), whole.into_bytes());
    }
    let state = settings.state.as_ref().map(|state| {
        files.insert("settings/state.bin".to_owned(), state.clone());
        "settings/state.bin"
    });
    let has_audience = audience.map(|bytes| {
        files.insert(AUDIENCE.to_owned(), bytes);
        AUDIENCE
    });
    let claims = settings.claims_file.as_ref().map(|bytes| {
        files.insert(CLAIMS.to_owned(), bytes.clone());
        CLAIMS
    });
    let kinds: Vec<String> = kinds
        .into_iter()
        .enumerate()
        .map(|(i, bytes)| {
            let name = format!("settings/kinds-{}.txt", i + 1);
            files.insert(name.clone(), bytes);
            name
        })
        .collect();
    let told_settings = json!({
        "schema": SETTINGS,
        "networks": settings.networks.iter().map(Prefix::to_string).collect::<Vec<_>>(),
        "sampling": settings.rates.iter().map(|(exporter, rate)| json!({
            "exporter": exporter.map(|exporter| exporter.to_string()), "rate": rate,
        })).collect::<Vec<_>>(),
        "packet_sampling": settings.packet_rate.max(1),
        "state": state,
        "kinds": kinds,
        "claims": claims,
        "audience": has_audience,
        "services": settings.services.iter().map(|(name, prefix)| json!({
            "name": name, "prefix": prefix.to_string(),
        })).collect::<Vec<_>>(),
        "evidence": {
            "files": gathered.files.iter().map(|file| json!({
                "name": file.name, "input": file.input, "packets": file.packets, "bytes": file.bytes, "sha256": file.sha256,
            })).collect::<Vec<_>>(),
            "selection": match design.selection { Selection::Targets => "targets", Selection::All => "all" },
            "sample": design.sample.map(|sample| json!({
                "method": METHOD, "one_in": sample.one_in, "seed": format!("{:016x}", sample.seed),
            })),
            "complete": design.sample.is_none(),
            "same_as_inputs": same,
        },
        "anonymized": anonymized,
    });
    let listed = |names: &[String], digests: &[(u64, String)]| -> Vec<Value> {
        let of = names.iter().zip(digests);
        of.map(|(name, (size, sha256))| json!({ "name": name, "size": size, "sha256": sha256 }))
            .collect()
    };
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let told_inputs = json!({
        "schema": INPUTS,
        "inputs": listed(&names, &digests),
        "audience": listed(&audience_names, &of_audience),
    });
    let pretty = |value: &Value| -> anyhow::Result<Vec<u8>> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        Ok(text.into_bytes())
    };
    files.insert("README.txt".to_owned(), readme(design, same, wanted).into_bytes());
    files.insert("atlas.bin".to_owned(), atlas_file);
    files.insert("case.json".to_owned(), told.into_bytes());
    files.insert("inputs.json".to_owned(), pretty(&told_inputs)?);
    files.insert("settings.json".to_owned(), pretty(&told_settings)?);
    for file in gathered.files {
        files.insert(file.name, file.packed);
    }
    files.extend(wanted.carried.iter().cloned());
    files.extend(lists);
    if let Some((_, public)) = &wanted.signer {
        files.insert(
            "signer.pub".to_owned(),
            public.to_box()?.into_string().into_bytes(),
        );
    }
    let (manifest, root) = bundle::manifest(&files);
    if let Some((secret, public)) = &wanted.signer {
        let comment = format!("{} root {root}", bundle::SCHEMA);
        let signature = keys::sign(secret, public, manifest.as_bytes(), &comment)?;
        files.insert(bundle::SIGNATURE.to_owned(), signature.into_bytes());
    }
    if let Some(token) = &wanted.token {
        files.insert(bundle::TOKEN.to_owned(), token.clone());
    }
    let digest = sha256(manifest.as_bytes());
    files.insert(bundle::MANIFEST.to_owned(), manifest.into_bytes());
    let last = case
        .inputs
        .iter()
        .filter_map(|input| input.last_ns)
        .max()
        .unwrap_or(0);
    bundle::write(&files, &wanted.output, last / 1_000_000_000)?;
    tell(&format!(
        "{}: SHA-256 of the manifest {digest}",
        wanted.output.display()
    ));
    if let Some(sample) = design.sample {
        tell(&format!(
            "the evidence did not fit --evidence-limit: it is a sample of one packet in {}, and case.json is the case of that sample",
            sample.one_in
        ));
    } else if !same && wanted.anonymize.is_some() {
        tell("without the addresses some numbers of the case are others: settings.json lists them");
    } else if !same {
        tell("the case of the evidence is not in all numbers that of the inputs; both are in the bundle");
    }
    Ok(())
}

/// What the bundle is, for whoever finds it.
fn readme(design: Design, same: bool, wanted: &Wanted) -> String {
    let mut text = String::from(
        "This is a case of Epicenter with its evidence: what happened in some recorded traffic, and the packets that show it.

HOW TO CHECK IT
  epicenter verify THIS_FOLDER_OR_TAR
computes the case anew from the evidence and says whether it is the same, byte for byte. Without the program: manifest.json has the
SHA-256 of every file (sha256sum), and `minisign -Vm manifest.json -p KEY.pub` checks the signature, if there is one. Take the key from
its owner, not from here. The evidence is zstd-compressed pcapng, which Wireshark reads once unpacked.

WHAT IS IN IT
  case.json            the case, as computed from evidence/ with atlas.bin and settings.json
  case-of-inputs.json  the case of the whole inputs, for whoever holds them (absent where addresses were taken out)
  inputs.json          names, sizes and SHA-256 of the inputs
  evidence/            packets, cut to the bytes that decide what they are; export messages whole (without addresses: what is decoded)
  audience.jsonl.zst   who used the targets in the inputs of --audience, or hour by hour before (absent where nothing was given)
  atlas.bin            the table of addresses that was used
  settings.json        every option that decides the result, and how the evidence was taken
  manifest.json        size and SHA-256 of every file, and the root of their Merkle tree
",
    );
    text.push_str("\nHOW THE EVIDENCE WAS TAKEN\n");
    text.push_str(match design.selection {
        Selection::Targets => {
            "Packets from and to the targets of the incidents and from and to scanners, and the first and last packet of each input. Other\nhosts' packets are left out.\n"
        }
        Selection::All => "All packets that carry IP.\n",
    });
    text.push_str("Payloads are cut behind the bytes that tell what a packet is. Bytes that are no IP packet are left out.\n");
    if let Some(sample) = design.sample {
        text.push_str(&format!(
            "They were too many: packet number i of them (from 0) is here if the first 8 bytes of SHA-256(seed, i), both as 8 bytes, big end
first, are a multiple of {}. The seed {:016x} is the first 8 bytes of SHA-256 of the inputs' digests in hex, one after the other:
nobody chose it. case.json is the case of this sample, with that rate applied; its numbers are estimates.\n",
            sample.one_in, sample.seed
        ));
    }
    match wanted.anonymize {
        None if same => text.push_str("The case is the same as that of the whole inputs.\n"),
        None => text.push_str("The case differs from that of the whole inputs: compare case.json with case-of-inputs.json.\n"),
        Some((Anonymize::Truncate, _)) => text.push_str(
            "Addresses are truncated to /24 (IPv4) and /48 (IPv6). Hosts of one such block cannot be told apart: numbers of sources and the
tests on sources are those of blocks. settings.json lists the values that changed.\n",
        ),
        Some((Anonymize::Hash, _)) => text.push_str(
            "Addresses are pseudonyms under a key that is not here. Addresses that shared a prefix still share one; special-purpose space stays
special; atlas.bin gives the pseudonyms the places of the real addresses. Network, country and size of a block can give a block away;
hosts inside it they cannot. settings.json lists the values that changed. Estimates and intervals of countries, networks and kinds
are those of the inputs.\n",
        ),
    }
    if wanted.anonymize.is_some() {
        text.push_str(if wanted.anonymize_targets {
            "The targets' addresses were replaced as well.\n"
        } else {
            "The targets' addresses are the real ones.\n"
        });
    }
    text.push_str(
        "
WHAT IT CANNOT SHOW
That the packets are real: whoever made the bundle could have made them up. A signature says who stands for them, the time-stamp token
(if there is one) that they were there at a time. Traffic shows where packets came from at most; it never shows who did it.
",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_drawn_by_its_seed_and_at_its_rate() {
        let sample = |seed| Sample { one_in: 10, seed };
        let drawn = |seed| {
            (0..20_000)
                .filter(|i| sample(seed).draws(*i))
                .collect::<Vec<u64>>()
        };
        let first = drawn(1);
        assert!((1_850..2_150).contains(&first.len()), "{}", first.len());
        assert_eq!(first, drawn(1));
        assert_ne!(first, drawn(2));
        assert_ne!(Sample::seed(&["a".to_owned()]), Sample::seed(&["b".to_owned()]));
    }

    #[test]
    fn differences_are_named_by_their_path() {
        let a = json!({ "x": [1, { "y": 2 }], "z": "t", "same": null });
        let b = json!({ "x": [1, { "y": 3 }], "w": true, "same": null });
        let mut out = Vec::new();
        differences(&a, &b, "", 10, &mut out);
        assert_eq!(out, ["$.w", "$.x[1].y", "$.z"]);
        assert_eq!(without_places("$.x[1].y[22]"), "$.x[*].y[*]");
        let mut few = Vec::new();
        differences(&a, &b, "", 1, &mut few);
        assert_eq!(few.len(), 1);
        let mut none = Vec::new();
        differences(&a, &a, "", 10, &mut none);
        assert!(none.is_empty());
    }
}
