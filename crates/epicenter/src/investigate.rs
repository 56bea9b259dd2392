//! `epicenter investigate`: recorded input to a case.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use atlas::{Atlas, Prefix};
use detect::{Attack, Options, Regulars, Tally};
use incident::Case;
use incident::case::{EXPORTERS_SHOWN, Input, Signals};
use incident::claim::Claim;
use incident::outage::{Attacked, Outage};
use incident::verdict::Evidence;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trace::Past;
use wire::{Batch, Collector};

use crate::args::{Format, InvestigateArgs, mapped};
use crate::case_text::Style;
use crate::input::{self, Source};
use crate::signals::Signal;
use crate::{
    audience, case_html, case_json, case_text, claims, dots, evidence, fingerprint, lookup, misp, signals,
    stix, tell, xarf,
};

/// Bytes from which on a progress bar is worth the eye.
const PROGRESS_FROM: u64 = 32 << 20;

/// Runs the command.
pub(crate) fn run(args: &InvestigateArgs) -> anyhow::Result<ExitCode> {
    evidence::check_usage(args);
    // Counting needs no atlas, so it is loaded while the input is read; but a wrong --atlas is told before an hour of reading.
    let atlas = lookup::open(&args.atlas)?;
    let settings = Settings::of(args)?;
    let sources: Vec<Source> = args.inputs.iter().map(|path| Source::file(path)).collect();
    let wanted = match args.format {
        Format::Bundle => Some(evidence::Wanted::of(args, &sources)?),
        _ => None,
    };
    let bar = progress_bar(args);
    let examined = examine(&sources, &settings, &atlas, args.threads, &bar)?;
    bar.finish_and_clear();
    let Some(Examined {
        case,
        audience,
        unread,
    }) = examined
    else {
        return Ok(ExitCode::from(1));
    };
    let printed = match args.format {
        Format::Json => case_json::render(&case, &atlas)?,
        Format::Text => case_text::render(
            &case,
            &atlas,
            Style::of(args.output.is_none() && std::io::stdout().is_terminal()),
        ),
        Format::Html => case_html::render(&case, &atlas, &command(std::env::args_os().skip(1))),
        Format::Fingerprint => {
            if case.incidents.is_empty() {
                tell("no attack was found, so there is no fingerprint");
            }
            fingerprint::render(&case)?
        }
        Format::Stix => stix::render(&case, &atlas, &args.share)?,
        Format::Misp => misp::render(&case, &args.share)?,
        Format::Dots => dots::render(&case, &args.share),
        Format::Xarf => {
            let (reports, unsaid) = xarf::render(&case, &atlas, &args.share)?;
            unsaid.iter().for_each(|line| tell(line));
            reports
        }
        Format::Bundle => String::new(),
    };
    match wanted {
        Some(_) if unread > 0 => bail!("a bundle needs all of its inputs"),
        Some(wanted) => evidence::make(
            &wanted,
            &sources,
            &settings,
            &atlas,
            (&case, audience),
            args.threads,
        )?,
        None => write(args.output.as_deref(), &printed)?,
    }
    Ok(match () {
        () if args.fail_on_attack && !case.incidents.is_empty() => ExitCode::from(3),
        () if unread > 0 => ExitCode::from(1),
        () => ExitCode::SUCCESS,
    })
}

/// All that decides a case beside the bytes of its inputs and the atlas. Whoever has these three has the case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Only targets in these prefixes, where there are any.
    pub(crate) networks: Vec<Prefix>,
    /// Sampling rates of exporters (of all: `None`) that win over what they say.
    pub(crate) rates: Vec<(Option<IpAddr>, u32)>,
    /// Captured packets are one of so many.
    pub(crate) packet_rate: u32,
    /// Templates and rates known from before.
    pub(crate) state: Option<Vec<u8>>,
    /// Where services are.
    pub(crate) services: Vec<(String, Prefix)>,
    /// Statements that are held against the evidence, and the file that they are of.
    pub(crate) claims: Vec<Claim>,
    pub(crate) claims_file: Option<Vec<u8>>,
    /// Other traffic that shows who normally uses the targets.
    pub(crate) audience: Vec<Source>,
}

impl Settings {
    fn of(args: &InvestigateArgs) -> anyhow::Result<Settings> {
        // What is wrong with the state is said here, with its name.
        args.exports.collector()?;
        Ok(Settings {
            networks: args.network.clone(),
            rates: args.exports.sampling.clone(),
            packet_rate: args.packet_sampling,
            state: args.exports.saved()?,
            services: args.service.clone(),
            claims: args
                .claims
                .as_deref()
                .map(claims::read)
                .transpose()?
                .unwrap_or_default(),
            claims_file: match &args.claims {
                Some(path) => Some(std::fs::read(path).with_context(|| path.display().to_string())?),
                None => None,
            },
            audience: args.audience.iter().map(|path| Source::file(path)).collect(),
        })
    }

    /// A collector that knows what was said.
    pub(crate) fn collector(&self) -> anyhow::Result<Collector> {
        let mut collector = Collector::new();
        for &(exporter, rate) in &self.rates {
            collector.set_rate(exporter.map(mapped), rate);
        }
        collector.set_packet_rate(self.packet_rate);
        if let Some(saved) = &self.state
            && !collector.load(saved, 0)
        {
            bail!("the state of exporters is none, or damaged");
        }
        Ok(collector)
    }
}

/// A case, what of the audience it rests on, and how many inputs could not be read for it.
pub(crate) struct Examined {
    pub(crate) case: Case,
    pub(crate) audience: Past,
    pub(crate) unread: u32,
}

/// From inputs to the case: the one way, of `investigate` and of `verify`. `None` where no input could be read; what is wrong with
/// each was told.
pub(crate) fn examine(
    sources: &[Source],
    settings: &Settings,
    atlas: &Atlas,
    threads: u8,
    bar: &ProgressBar,
) -> anyhow::Result<Option<Examined>> {
    let mut collector = settings.collector()?;
    let mut read = read_all(sources, threads, &mut collector, bar);
    // A sampling rate that was told after records that needed it: the same input once more, with the rates known from the start. What
    // came through a pipe is gone, and the case says so.
    let again = collector.is_late() && sources.iter().all(Source::lasts);
    if again {
        let mut informed = settings.collector()?;
        informed.load(&collector.save(), 0);
        collector = informed;
        drop(std::mem::take(&mut read.tally));
        read = read_all(sources, threads, &mut collector, bar);
    }
    let (known, others): (Vec<&Source>, Vec<&Source>) = settings
        .audience
        .iter()
        .partition(|source| audience::is_audience(source));
    let (logs, traffic): (Vec<&Source>, Vec<&Source>) =
        others.into_iter().partition(|source| audience::is_log(source));
    // The audience has a collector of its own: what its exporters are called and lost is no part of this case.
    let of_audience = read_all(traffic, threads, &mut settings.collector()?, bar);
    if !of_audience.signal_files.is_empty() {
        tell("--audience takes traffic: reports and probes do not show who uses a service");
    }
    let mut unread_audience = of_audience.unread;
    let mut known_before = Past::default();
    for source in known {
        match audience::read(source) {
            Ok((past, damage)) => {
                damage.words(&source.name).iter().for_each(|words| tell(words));
                audience::join(&mut known_before, past);
            }
            Err(problem) => {
                unread_audience += 1;
                tell(&problem);
            }
        }
    }
    for source in logs {
        match audience::read_log(source) {
            Ok(past) => audience::join(&mut known_before, past),
            Err(problem) => {
                unread_audience += 1;
                tell(&problem);
            }
        }
    }
    let Read {
        tally,
        inputs,
        signals,
        signal_files,
        unread,
    } = read;
    if inputs.is_empty() && signal_files.is_empty() {
        return Ok(None);
    }
    let options = Options {
        networks: settings.networks.clone(),
        ..Options::default()
    };
    // Of the audience no more is kept than what concerns the targets: it can be handed on with the case.
    let mut usual = Past::default();
    let past = |attacks: &[Attack]| {
        let names: Vec<&str> = of_audience
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        usual = Past {
            regulars: Regulars::of_targets(&of_audience.tally, attacks, trace::audience::CLIENTS_MIN),
            watched_ns: of_audience.inputs.iter().map(watched_ns).sum(),
            name: names.join(", "),
            ..Past::default()
        };
        audience::join(&mut usual, known_before);
        let mut hosts: Vec<_> = attacks.iter().flat_map(|attack| attack.hosts.clone()).collect();
        hosts.sort_unstable();
        usual.hours = usual.hours.of(&hosts);
        usual.clone()
    };
    let mut case = incident::investigate_against(&tally, past, atlas, &options, inputs);
    case.exporters = collector.exporters().collect();
    case.exporters
        .sort_by(|a, b| b.records.cmp(&a.records).then(a.address.cmp(&b.address)));
    case.exporters.truncate(EXPORTERS_SHOWN);
    drop(tally);
    case.signals = signal_files;
    case.outages = outages(&case, signals, &settings.services);
    case.verdicts = incident::judge(&settings.claims, &case.incidents, &Evidence::of(&case));
    Ok(Some(Examined {
        case,
        audience: usual,
        unread: unread + unread_audience,
    }))
}

/// What reading all inputs gave.
#[derive(Default)]
struct Read {
    tally: Tally,
    inputs: Vec<Input>,
    signals: Vec<Signal>,
    signal_files: Vec<Signals>,
    /// Inputs that could not be read at all.
    unread: u32,
}

/// How much time an input covers.
fn watched_ns(input: &Input) -> u64 {
    let span = input.first_ns.zip(input.last_ns);
    span.map_or(0, |(first, last)| last.saturating_sub(first))
}

fn read_all<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
    threads: u8,
    collector: &mut Collector,
    bar: &ProgressBar,
) -> Read {
    let mut read = Read::default();
    for source in sources {
        if signals::is_signals(source) {
            match signals::read(source, &mut read.signals) {
                Ok(told) => read.signal_files.push(told),
                Err(problem) => {
                    read.unread += 1;
                    bar.suspend(|| tell(&problem));
                }
            }
            continue;
        }
        let how = input::How {
            threads,
            keep_exported: false,
            progress: &|bytes| bar.inc(bytes),
        };
        match input::read(source, &how, collector, |batch| read.tally.add(batch)) {
            Ok(input) => read.inputs.push(input),
            Err(problem) => {
                read.unread += 1;
                bar.suspend(|| tell(&problem));
            }
        }
    }
    let mut rest = Batch::default();
    collector.give_up(&mut rest);
    if let Some(last) = read.inputs.last_mut() {
        last.faults.extend(input::faults(&rest.faults));
    }
    read
}

/// What people and probes saw, held against what the traffic shows.
fn outages(case: &Case, signals: Vec<Signal>, services: &[(String, Prefix)]) -> Vec<Outage> {
    if signals.is_empty() {
        return Vec::new();
    }
    let attacks: Vec<Attacked> = case.incidents.iter().map(Attacked::of).collect();
    let first = case.inputs.iter().filter_map(|input| input.first_ns).min();
    let last = case.inputs.iter().filter_map(|input| input.last_ns).max();
    let addresses: BTreeMap<String, Prefix> = services.iter().cloned().collect();
    let mut news = Vec::new();
    let watch = signals::watch(signals, &mut news);
    watch.outages(&attacks, first.zip(last), &addresses)
}

/// The command line as it can be given to a shell again, without what does not change the result.
fn command(args: impl Iterator<Item = std::ffi::OsString>) -> String {
    const SINGLE: [&str; 1] = ["--no-progress"];
    const WITH_VALUE: [&str; 3] = ["-o", "--output", "--threads"];
    let mut words = vec!["epicenter".to_owned()];
    let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
    let mut inputs_only = false;
    while let Some(arg) = args.next() {
        if !inputs_only {
            if WITH_VALUE.contains(&arg.as_str()) {
                args.next();
                continue;
            }
            let joined = WITH_VALUE[1..]
                .iter()
                .any(|name| arg.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
            let short = arg.starts_with("-o");
            if joined || short || SINGLE.contains(&arg.as_str()) {
                continue;
            }
            inputs_only = arg == "--";
        }
        words.push(quoted(&arg));
    }
    words.join(" ")
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn write(path: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match path {
        Some(path) => std::fs::write(path, text).with_context(|| format!("{}", path.display())),
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            Ok(out.flush()?)
        }
    }
}

fn progress_bar(args: &InvestigateArgs) -> ProgressBar {
    let total: Option<u64> = args
        .inputs
        .iter()
        .map(|path| std::fs::metadata(path).ok().map(|meta| meta.len()))
        .sum();
    let shown = !args.no_progress
        && std::io::stderr().is_terminal()
        && total.is_none_or(|bytes| bytes >= PROGRESS_FROM);
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(bytes) => ProgressBar::new(bytes),
        None => ProgressBar::no_length(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    let form = if total.is_some() {
        "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
    } else {
        "{spinner} {bytes} {bytes_per_sec}"
    };
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
