//! `epicenter simulate` and `epicenter score`: incidents with known truth, and how right a case is against it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use atlas::Atlas;
use range::drill::Signals;
use range::exports::{Exporter, Format};
use range::scenario::LIBRARY;
use range::score::{Match, Score, score};
use range::{Drill, Request, Scenario};
use serde_json::Value;

use crate::args::{ExportFormat, LogFormat, ScoreArgs, ScoreFormat, SimulateArgs};
use crate::tell;

/// Runs `simulate`.
pub(crate) fn simulate(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let atlas = Atlas::embedded();
    let Some(name) = args.scenario.as_ref().filter(|_| !args.list) else {
        let mut out = std::io::stdout().lock();
        for (name, text) in LIBRARY {
            let scenario = Scenario::read(text, &atlas).with_context(|| (*name).to_owned())?;
            writeln!(out, "{name:<20} {:>5} s  {}", scenario.seconds, scenario.about)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let (shown, text) = text_of(name)?;
    if args.show {
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let scenario = Scenario::read(&text, &atlas).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let stem = format!("{}-{}", scenario.name, args.seed);
    let claims = range::claims::toml(&scenario);
    let has_places = !scenario.place.is_empty();
    let has_people = scenario.people.is_some();
    let instead = exporters_of(args, &scenario);
    let mut drill =
        Drill::new(scenario, args.seed, &atlas).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let mut signals = Signals {
        exports: formats_of(args)
            .into_iter()
            .map(|format| drill.exporters(format, instead.as_deref()))
            .collect(),
        ..Signals::default()
    };
    std::fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    let path = |kind: &str| args.output.join(format!("{stem}.{kind}"));
    let truth = path("truth.json");
    // They appear whole or not at all, the truth last.
    let mut files = Vec::new();
    let done = if let Some(to) = args.live {
        crate::drill::send(to, args.speed, &mut drill, &mut signals)?
    } else {
        let mut captures = vec![Writing::capture(&path("pcap"))?];
        for (exporters, _) in &signals.exports {
            let name = format!("{}.pcap", exporters.format().name());
            captures.push(Writing::capture(&path(&name))?);
        }
        let mut reports = has_people
            .then(|| Writing::begin(&path("reports.jsonl")))
            .transpose()?;
        let mut probes = has_places
            .then(|| Writing::begin(&path("probes.jsonl")))
            .transpose()?;
        let mut access = match args.log {
            Some(format) => Some((line_of(format), Writing::begin(&path("access.log"))?)),
            None => None,
        };
        let mut bytes = Vec::new();
        while drill.second(&mut signals) {
            captures[0].write(&signals.packets)?;
            for (capture, (exporters, sent)) in captures[1..].iter_mut().zip(&signals.exports) {
                bytes.clear();
                sent.iter()
                    .for_each(|datagram| datagram.write(exporters.format(), &mut bytes));
                capture.write(&bytes)?;
            }
            if let Some(file) = &mut reports {
                file.write(&signals.reports)?;
            }
            if let Some(file) = &mut probes {
                file.write(&signals.probes)?;
            }
            if let Some((line, file)) = &mut access
                && drill.has_begun()
            {
                bytes.clear();
                drill
                    .range()
                    .requests()
                    .iter()
                    .for_each(|request| line(request, &mut bytes));
                file.write(&bytes)?;
            }
            signals.clear();
        }
        files.extend(captures);
        files.extend(reports);
        files.extend(probes);
        files.extend(access.map(|(_, file)| file));
        format!("in {}", path("pcap").display())
    };
    if let Some(claims) = claims {
        let mut file = Writing::begin(&path("claims.toml"))?;
        file.write(claims.as_bytes())?;
        files.push(file);
    }
    let told = drill.truth();
    let mut json = serde_json::to_string_pretty(&told)?;
    json.push('\n');
    let truth_part = Part::new(&truth);
    std::fs::write(&truth_part.path, json).with_context(|| truth_part.shown())?;
    for file in files {
        file.end()?;
    }
    truth_part.keep(&truth)?;
    for (exporters, _) in &signals.exports {
        if exporters.left_out() > 0 {
            tell(&format!(
                "NetFlow v5 has no room for IPv6: {} flows are left out",
                exporters.left_out()
            ));
        }
    }
    tell(&format!(
        "{} packets {done}, the truth about them in {}",
        told.packets,
        truth.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The forms of export that are asked for.
fn formats_of(args: &SimulateArgs) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    let asked = args.export.iter().map(|format| match format {
        ExportFormat::Netflow5 => Format::Netflow5,
        ExportFormat::Netflow9 => Format::Netflow9,
        ExportFormat::Ipfix => Format::Ipfix,
        ExportFormat::Sflow => Format::Sflow,
    });
    for format in asked.chain(args.netflow5.map(|_| Format::Netflow5)) {
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    if formats.is_empty() && args.live.is_some() {
        formats.push(Format::Netflow9);
    }
    formats
}

/// The exporters that the arguments ask for instead of the scenario's.
fn exporters_of(args: &SimulateArgs, scenario: &Scenario) -> Option<Vec<Exporter>> {
    let sampling = args.sampling.or(args.netflow5);
    if args.exporters.is_none() && sampling.is_none() {
        return None;
    }
    let mut exporters = match args.exporters {
        Some(count) => (0..i64::from(count))
            .map(|n| Exporter {
                skew_ms: n * 500,
                ..Exporter::default()
            })
            .collect(),
        None if scenario.exporter.is_empty() => vec![Exporter::default()],
        None => scenario.exporter.clone(),
    };
    if let Some(sampling) = sampling {
        exporters
            .iter_mut()
            .for_each(|exporter| exporter.sampling = sampling);
    }
    Some(exporters)
}

/// How a request is written into an access log.
fn line_of(format: LogFormat) -> fn(&Request, &mut Vec<u8>) {
    match format {
        LogFormat::Combined => range::log::combined,
        LogFormat::Json => range::log::json,
    }
}

/// A scenario by its name, or of a file.
pub(crate) fn text_of(name: &str) -> anyhow::Result<(String, String)> {
    if let Some((_, text)) = LIBRARY.iter().find(|(known, _)| *known == name) {
        return Ok((name.to_owned(), (*text).to_owned()));
    }
    let path = Path::new(name);
    if !path.exists() {
        bail!(
            "{name}: neither a file nor a scenario of the library (`epicenter simulate --list` shows them)"
        );
    }
    let text = std::fs::read_to_string(path).with_context(|| name.to_owned())?;
    Ok((name.to_owned(), text))
}

/// A file that is not whole yet; it goes away unless it is kept.
struct Part {
    path: PathBuf,
}

impl Part {
    fn new(path: &Path) -> Part {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        Part { path: name.into() }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn keep(self, path: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.path, path).with_context(|| path.display().to_string())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It was kept, or it is worth nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file that is being written.
struct Writing {
    part: Part,
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
}

impl Writing {
    fn begin(path: &Path) -> anyhow::Result<Writing> {
        let part = Part::new(path);
        let file = std::fs::File::create(&part.path).with_context(|| part.shown())?;
        Ok(Writing {
            part,
            path: path.to_owned(),
            file: std::io::BufWriter::with_capacity(1 << 20, file),
        })
    }

    fn capture(path: &Path) -> anyhow::Result<Writing> {
        let mut writing = Writing::begin(path)?;
        writing.write(&range::packets::pcap_header())?;
        Ok(writing)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| self.part.shown())
    }

    fn end(self) -> anyhow::Result<()> {
        let file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .with_context(|| self.part.shown())?;
        self.part.keep(&self.path)
    }
}

/// Runs `score`.
pub(crate) fn run_score(args: &ScoreArgs) -> anyhow::Result<ExitCode> {
    let read = |path: &Path| -> anyhow::Result<Value> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| format!("{}: no JSON", path.display()))
    };
    let result =
        score(&read(&args.case)?, &read(&args.truth)?).map_err(|problem| anyhow::anyhow!(problem))?;
    let mut out = std::io::stdout().lock();
    match args.format {
        ScoreFormat::Json => writeln!(out, "{:#}", serde_json::to_value(&result)?)?,
        ScoreFormat::Text => {
            out.write_all(score_in_words(&result).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A score for people.
pub(crate) fn score_in_words(score: &Score) -> String {
    let mut text = format!(
        "{} of {} incidents found, {} invented\n",
        score.found,
        score.found + score.missed,
        score.invented
    );
    score.incidents.iter().for_each(|one| text.push_str(&words(one)));
    text.push_str(&rest_in_words(score));
    text
}

fn words(m: &Match) -> String {
    let inside = |covered: bool| {
        if covered {
            "the truth is in its interval"
        } else {
            "THE TRUTH IS NOT IN ITS INTERVAL"
        }
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "  {}: target {}",
        m.target,
        if m.target_is_right {
            "right"
        } else {
            "not exactly right"
        }
    );
    let _ = writeln!(
        text,
        "    start {:+.3} s, end {:+.3} s, {:.3} times the packets",
        m.start_error_s, m.end_error_s, m.packets_ratio
    );
    let _ = writeln!(
        text,
        "    vectors: {} right, {} missing, {} invented",
        m.vectors_right, m.vectors_missing, m.vectors_invented
    );
    let _ = writeln!(
        text,
        "    forged share {:+.3}, {} (which is {:.2} wide)",
        m.forged_error,
        inside(m.forged_covered),
        m.forged_width
    );
    let _ = writeln!(
        text,
        "    reflected share {:+.3}, {}",
        m.reflected_error,
        inside(m.reflected_covered)
    );
    let _ = writeln!(
        text,
        "    countries: {} of {} covered, {:.3} apart; networks: {} of {} covered",
        m.countries_covered, m.countries, m.countries_distance, m.networks_covered, m.networks
    );
    if m.senders > 0 {
        let _ = writeln!(
            text,
            "    countries of the senders: {} of {} covered",
            m.senders_covered, m.senders
        );
    }
    text
}

/// What a score says of outages and verdicts, where there are any.
fn rest_in_words(score: &Score) -> String {
    let mut text = String::new();
    let outages = &score.outages;
    if outages.found + outages.missed + outages.invented + outages.seen_through > 0 {
        let _ = writeln!(
            text,
            "{} of {} outages found, {} invented, {} rightly laid to a neighbour or a brigade",
            outages.found,
            outages.found + outages.missed,
            outages.invented,
            outages.seen_through
        );
        for one in &outages.list {
            let end = one
                .end_error_s
                .map_or("open".to_owned(), |error| format!("{error:+.0} s"));
            let cause = match one.cause_is_right {
                Some(true) => ", which it was",
                Some(false) => ", WHICH IT WAS NOT",
                None => "",
            };
            let _ = writeln!(
                text,
                "  {}: start {:+.0} s, end {end}, cause {}{cause}",
                one.service, one.start_error_s, one.cause
            );
        }
    }
    let verdicts = &score.verdicts;
    if verdicts.list.is_empty() {
        return text;
    }
    let brier = verdicts
        .brier
        .map_or("-".to_owned(), |brier| format!("{brier:.3}"));
    let _ = writeln!(
        text,
        "{} verdicts on claims whose truth is known, Brier score {brier}; {} declined, {} missing, {} that nobody knows",
        verdicts.judged, verdicts.declined, verdicts.missing, verdicts.unknowable
    );
    let _ = writeln!(
        text,
        "  \"likely\" or stronger: {} of {} were true; \"unlikely\" or weaker: {} of {} were false",
        verdicts.likely_right, verdicts.likely, verdicts.unlikely_right, verdicts.unlikely
    );
    for one in &verdicts.list {
        let holds = match one.holds {
            Some(true) => "true",
            Some(false) => "false",
            None => "not known",
        };
        let _ = writeln!(text, "  {holds:<9} {:<37} {}", one.words, one.said);
    }
    text
}
