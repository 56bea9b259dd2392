//! `epicenter simulate` and `epicenter score`: incidents with known truth, and how right a case is against it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use atlas::Atlas;
use range::scenario::LIBRARY;
use range::score::{Match, score};
use range::{Range, Request, Scenario};
use serde_json::Value;

use crate::args::{LogFormat, ScoreArgs, ScoreFormat, SimulateArgs};
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
    let mut range =
        Range::new(scenario, args.seed, &atlas).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    std::fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    let capture = args.output.join(format!("{stem}.pcap"));
    let truth = args.output.join(format!("{stem}.truth.json"));
    // They appear whole or not at all, the truth last.
    let mut router = args.netflow5.map(|sampling| range.router(sampling));
    let mut files = vec![Writing::capture(&capture)?];
    if router.is_some() {
        files.push(Writing::capture(
            &args.output.join(format!("{stem}.netflow5.pcap")),
        )?);
    }
    let log = args.log.map(|format| match format {
        LogFormat::Combined => range::log::combined as fn(&Request, &mut Vec<u8>),
        LogFormat::Json => range::log::json,
    });
    let mut access = log
        .map(|log| {
            Ok::<_, anyhow::Error>((
                log,
                Writing::begin(&args.output.join(format!("{stem}.access.log")))?,
            ))
        })
        .transpose()?;
    let mut lines = Vec::new();
    let (mut packets, mut sent) = (Vec::new(), Vec::new());
    while range.second_with(&mut packets, router.as_mut().map(|router| (router, &mut sent))) {
        for (file, bytes) in files.iter_mut().zip([&mut packets, &mut sent]) {
            file.write(bytes)?;
            bytes.clear();
        }
        if let Some((log, file)) = &mut access {
            range
                .requests()
                .iter()
                .for_each(|request| log(request, &mut lines));
            file.write(&lines)?;
            lines.clear();
        }
    }
    files.extend(access.map(|(_, file)| file));
    let told = range.truth();
    let mut json = serde_json::to_string_pretty(&told)?;
    json.push('\n');
    let truth_part = Part::new(&truth);
    std::fs::write(&truth_part.path, json).with_context(|| truth_part.shown())?;
    for file in files {
        file.end()?;
    }
    truth_part.keep(&truth)?;
    tell(&format!(
        "{} packets in {}, the truth about them in {}",
        told.packets,
        capture.display(),
        truth.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A scenario by its name, or of a file.
fn text_of(name: &str) -> anyhow::Result<(String, String)> {
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
            writeln!(
                out,
                "{} of {} incidents found, {} invented",
                result.found,
                result.found + result.missed,
                result.invented
            )?;
            for one in &result.incidents {
                out.write_all(words(one).as_bytes())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
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
    text
}
