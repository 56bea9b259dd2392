//! `epicenter lookup` and `epicenter atlas`.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::process::ExitCode;

use anyhow::{Context, bail};
use atlas::{Atlas, Build};

use crate::args::{AtlasArgs, BuildArgs, LookupArgs, LookupFormat, ShowArgs};
use crate::{sources, tell};

/// Addresses looked up together.
const BATCH: usize = 4_096;

/// The atlas that the options name.
pub(crate) fn open(args: &AtlasArgs) -> anyhow::Result<Atlas> {
    let atlas = match &args.atlas {
        None => Atlas::embedded(),
        Some(path) => {
            let file = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
            Atlas::from_bytes(file).with_context(|| format!("{}", path.display()))?
        }
    };
    let mut kinds = Vec::new();
    for path in &args.kinds {
        kinds.extend(sources::kinds(path)?);
    }
    Ok(if kinds.is_empty() {
        atlas
    } else {
        atlas.with_kinds(&kinds)
    })
}

/// `epicenter lookup`.
pub(crate) fn lookup(args: &LookupArgs) -> anyhow::Result<ExitCode> {
    let atlas = open(&args.atlas)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut asked = Vec::with_capacity(BATCH);
    let (mut good, mut bad) = (0u64, 0u64);
    if args.format == LookupFormat::Text {
        writeln!(
            out,
            "{:<39} {:<3} {:<10} {:<19} {:<10} {:<9} network",
            "address", "cc", "AS", "prefix", "kind", "announced"
        )?;
    }
    let mut take = |text: &str, at: &dyn Fn() -> String, out: &mut dyn Write| -> anyhow::Result<()> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        match text.parse::<IpAddr>() {
            Ok(ip) => {
                good += 1;
                asked.push(match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                });
            }
            Err(_) => {
                bad += 1;
                if bad <= 20 {
                    tell(&format!("{}: `{text}` is no IP address", at()));
                }
            }
        }
        if asked.len() >= BATCH {
            answer(&atlas, &mut asked, args.format, out)?;
        }
        Ok(())
    };
    let mut readers: Vec<(String, Box<dyn BufRead>)> = Vec::new();
    for address in &args.addresses {
        if address == "-" {
            readers.push((
                "standard input".to_owned(),
                Box::new(BufReader::new(std::io::stdin())),
            ));
        } else {
            take(address, &|| "argument".to_owned(), &mut out)?;
        }
    }
    if let Some(path) = &args.file {
        let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
        readers.push((path.display().to_string(), Box::new(BufReader::new(file))));
    }
    for (name, mut reader) in readers {
        let mut line = Vec::new();
        let mut number = 0u64;
        // A line is read in bounded pieces: an endless one is no address.
        while std::io::Read::take(&mut reader, 4_096).read_until(b'\n', &mut line)? > 0 {
            number += 1;
            let text = String::from_utf8_lossy(&line).into_owned();
            take(&text, &|| format!("{name}, line {number}"), &mut out)?;
            line.clear();
        }
    }
    answer(&atlas, &mut asked, args.format, &mut out)?;
    out.flush()?;
    if bad > 20 {
        tell(&format!("{bad} lines were no IP addresses"));
    }
    Ok(if good == 0 && bad > 0 {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

fn answer(
    atlas: &Atlas,
    asked: &mut Vec<Ipv6Addr>,
    format: LookupFormat,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut ids = Vec::with_capacity(asked.len());
    atlas.lookup_all(asked, &mut ids);
    for (address, id) in asked.iter().zip(ids) {
        let place = atlas.place(id);
        let shown = IpAddr::V6(*address).to_canonical();
        match format {
            LookupFormat::Text => writeln!(
                out,
                "{:<39} {:<3} {:<10} {:<19} {:<10} {:<9} {}",
                shown.to_string(),
                place.country,
                if place.asn == 0 {
                    "-".to_owned()
                } else {
                    format!("AS{}", place.asn)
                },
                place.prefix.to_string(),
                place.kind.name(),
                if place.routed { "yes" } else { "no" },
                place.network,
            )?,
            LookupFormat::Json => {
                let value = serde_json::json!({
                    "address": shown.to_string(),
                    "country": place.country.as_str(),
                    "asn": place.asn,
                    "network": place.network,
                    "prefix": place.prefix.to_string(),
                    "kind": place.kind.name(),
                    "routed": place.routed,
                });
                writeln!(out, "{value}")?;
            }
        }
    }
    asked.clear();
    Ok(())
}

/// `epicenter atlas build`.
pub(crate) fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let mut build = Build {
        attribution: args.attribution.clone(),
        ..Build::default()
    };
    let mut newest = String::new();
    for path in &args.sources {
        let source = sources::read(path)?;
        tell(&format!("{}: {} rows", path.display(), source.rows.len()));
        newest = newest.max(source.built.unwrap_or_default());
        build.rows.extend(source.rows);
    }
    build.built = match &args.built {
        Some(day) => {
            if day.parse::<jiff::civil::Date>().is_err() {
                bail!("--built: `{day}` is no day; give YYYY-MM-DD");
            }
            day.clone()
        }
        None if !newest.is_empty() => newest,
        None => bail!("the sources do not say when they were made; give --built YYYY-MM-DD"),
    };
    let file = build.parts().write();
    // Written beside its place and moved there whole, so that no half atlas is ever found.
    let beside = args.output.with_extension("part");
    std::fs::write(&beside, &file).with_context(|| format!("{}", beside.display()))?;
    std::fs::rename(&beside, &args.output).with_context(|| format!("{}", args.output.display()))?;
    let atlas = Atlas::from_bytes(file)?;
    tell(&format!(
        "{}: {} bytes, sha256 {}",
        args.output.display(),
        atlas.about().bytes,
        atlas.about().sha256
    ));
    Ok(ExitCode::SUCCESS)
}

/// `epicenter atlas show`.
pub(crate) fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let atlas = open(&AtlasArgs {
        atlas: args.file.clone(),
        kinds: Vec::new(),
    })?;
    let about = atlas.about();
    let mut out = std::io::stdout().lock();
    writeln!(out, "built      {}", about.built)?;
    writeln!(out, "sha256     {}", about.sha256)?;
    writeln!(out, "size       {} bytes", about.bytes)?;
    writeln!(
        out,
        "blocks     {} of IPv4, {} of IPv6",
        about.ranges[0], about.ranges[1]
    )?;
    writeln!(out, "names      {} of networks", about.networks)?;
    writeln!(
        out,
        "unusable   {:.2} % of IPv4 is special-purpose or announced by nobody",
        100.0 * atlas.ipv4_unusable_share()
    )?;
    writeln!(
        out,
        "kinds      {} rows, by this project",
        atlas::build::kinds().len()
    )?;
    for line in &about.attribution {
        writeln!(out, "from       {line}")?;
    }
    Ok(ExitCode::SUCCESS)
}
