//! `epicenter verify`: somebody's evidence, checked and computed anew. It reads, and writes nothing anywhere but its answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use atlas::{Atlas, Prefix};
use incident::Case;
use indicatif::ProgressBar;
use minisign::PublicKey;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::CertificateDer;
use trace::Past;

use crate::args::VerifyArgs;
use crate::bundle::{self, Files, Manifest, Problem, sha256};
use crate::evidence::{self, Design, INPUTS, METHOD, SETTINGS, Sample, Selection, differences, essence};
use crate::input::{Source, Where};
use crate::investigate::{Examined, Settings, examine};
use crate::timestamp::Signature;
use crate::{audience, case_json, claims, keys, sources, timestamp};

/// Differences that are shown.
const SHOWN: usize = 20;
/// Entries of a list in the settings at most.
const LIST_MAX: usize = 10_000;

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let shown = args.bundle.display();
    // A key that is none is said before the work.
    let key = args.public_key.as_deref().map(keys::public).transpose()?;
    let authorities = args
        .tsa_ca
        .as_ref()
        .map(|path| {
            let shown = || path.display().to_string();
            let pem = std::fs::read(path).with_context(shown)?;
            timestamp::authorities(&pem).map_err(|what| anyhow::anyhow!("{}: {what}", shown()))
        })
        .transpose()?;
    let files = bundle::read(&args.bundle, args.limit).with_context(|| format!("{shown}: does not hold"))?;
    let mut report = Report::default();
    let bytes: usize = files.values().map(Vec::len).sum();
    report.line("bundle", format!("{} files, {bytes} bytes", files.len()));
    let (about, problems) = bundle::check(&files);
    if problems.is_empty() {
        report.line(
            "manifest",
            format!(
                "every file is as it says; Merkle root {}, SHA-256 {}",
                about.root,
                digest_of(&files, bundle::MANIFEST)
            ),
        );
    }
    report.problems.extend(problems);
    stamped(&files, authorities.as_deref(), &mut report);
    signed(&files, key.as_ref(), &mut report);
    match recomputed(&files, &about, args, &mut report) {
        Ok(()) => {}
        Err(problem) => report.problems.push(problem),
    }
    let holds = report.problems.is_empty();
    let mut out = std::io::stdout().lock();
    for problem in &report.problems {
        writeln!(report.text, "WRONG       {}: {}", problem.file, problem.what)?;
    }
    report.line("result", if holds { "holds" } else { "DOES NOT HOLD" });
    out.write_all(report.text.as_bytes())?;
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What is said, and what is wrong.
#[derive(Default)]
struct Report {
    text: String,
    problems: Vec<Problem>,
}

impl Report {
    fn line(&mut self, of: &str, what: impl AsRef<str>) {
        let _ = writeln!(self.text, "{of:<12}{}", what.as_ref());
    }
}

fn digest_of(files: &Files, name: &str) -> String {
    files.get(name).map_or_else(String::new, |bytes| sha256(bytes))
}

/// Whether the time stamp, where there is one, is of this manifest, and whose it is.
fn stamped(files: &Files, authorities: Option<&[CertificateDer<'_>]>, report: &mut Report) {
    let mut wrong = |what: &str| report.problems.push(Problem::new(bundle::TOKEN, what));
    let manifest = files.get(bundle::MANIFEST).map_or(&[][..], |bytes| bytes);
    let Some(token) = files.get(bundle::TOKEN) else {
        if authorities.is_some() {
            wrong("is missing: no authority has stamped this bundle");
        }
        return;
    };
    let stamp = match timestamp::read(token) {
        Ok(stamp) if bundle::hex(&stamp.digest) == sha256(manifest) => stamp,
        Ok(_) => return wrong("stamps another manifest"),
        Err(what) => return wrong(what),
    };
    let says = match timestamp::signature(token, authorities) {
        Err(what) => return wrong(what),
        Ok(Signature::Vouched(name)) => {
            format!("by {name}, whose certificate leads to the CA that was given")
        }
        Ok(Signature::By(name)) => {
            format!("by the certificate {name}, for which nobody has vouched: --tsa-ca CA.pem names who does")
        }
        Ok(Signature::Unchecked(why)) if authorities.is_some() => {
            return wrong(&format!("was not checked: {why}"));
        }
        Ok(Signature::Unchecked(why)) => format!("by nobody knows whom: {why}"),
    };
    report.line("time stamp", format!("of this manifest, {}, {says}", stamp.time));
}

/// Whose signature there is, and whether it holds.
fn signed(files: &Files, wanted: Option<&PublicKey>, report: &mut Report) {
    let manifest = files.get(bundle::MANIFEST).map_or(&[][..], |bytes| bytes);
    let Some(signature) = files.get(bundle::SIGNATURE) else {
        match wanted {
            Some(key) => report.problems.push(Problem::new(
                bundle::SIGNATURE,
                format!("is missing: the key {} has not signed", keys::id(key.keynum())),
            )),
            None => report.line("signature", "none: nobody stands for this bundle"),
        }
        return;
    };
    let signature = match keys::signature(signature) {
        Ok(signature) => signature,
        Err(what) => return report.problems.push(Problem::new(bundle::SIGNATURE, what)),
    };
    let id = keys::id(signature.keynum());
    let enclosed = files
        .get("signer.pub")
        .and_then(|bytes| keys::public_bytes(bytes));
    let Some(key) = wanted.or(enclosed.as_ref()) else {
        report.line(
            "signature",
            format!("by the key {id}, which is not here: give it with --public-key"),
        );
        return;
    };
    if signature.keynum() != key.keynum() {
        report.problems.push(Problem::new(
            bundle::SIGNATURE,
            format!("is by the key {id}, and not by {}", keys::id(key.keynum())),
        ));
    } else if !keys::verifies(key, &signature, manifest) {
        report.problems.push(Problem::new(
            bundle::SIGNATURE,
            format!("is no signature of manifest.json by the key {id}"),
        ));
    } else if wanted.is_some() {
        report.line(
            "signature",
            format!("by the key {id}, the one that was asked for"),
        );
    } else {
        report.line(
            "signature",
            format!(
                "by the key {id} ({}), which came with the bundle: hold it against what its owner publishes",
                key.to_base64()
            ),
        );
    }
}

/// What `settings.json` says.
struct Told {
    settings: Settings,
    kinds: Vec<String>,
    files: Vec<(String, usize, u64, String)>,
    design: Design,
    same_as_inputs: bool,
    anonymized: bool,
}

/// Computes the case anew and holds it against the one in the bundle.
fn recomputed(
    files: &Files,
    about: &Manifest,
    args: &VerifyArgs,
    report: &mut Report,
) -> Result<(), Problem> {
    let told = settings(files).map_err(|error| Problem::new("settings.json", format!("{error:#}")))?;
    let atlas = atlas(files, &told)?;
    measure(files, &told, args.limit)?;
    let packets: Vec<String> = told.files.iter().map(|(name, ..)| name.clone()).collect();
    report.line(
        "evidence",
        format!(
            "{}; {}{}",
            packets.join(", "),
            match told.design.sample {
                None => "complete".to_owned(),
                Some(sample) => format!(
                    "a sample, one packet in {} by the seed {:016x}: its case is an estimate",
                    sample.one_in, sample.seed
                ),
            },
            if told.anonymized {
                "; addresses were replaced"
            } else {
                ""
            }
        ),
    );
    if about.version != env!("CARGO_PKG_VERSION") {
        report.line(
            "engine",
            format!(
                "the bundle is of version {}, this is {}: compared all the same",
                about.version,
                env!("CARGO_PKG_VERSION")
            ),
        );
    }
    let evidence = evidence::sources_of(
        told.files
            .iter()
            .filter_map(|(name, ..)| Some((name.as_str(), files.get(name)?.as_slice()))),
    );
    let settings = evidence::settings_of(&told.settings, told.design)
        .map_err(|error| Problem::new("settings.json", error.to_string()))?;
    let (case, _) = compute(&evidence, &settings, &atlas, args.threads)
        .map_err(|error| Problem::new("evidence", format!("{error:#}")))?;
    let rendered =
        case_json::render(&case, &atlas).map_err(|error| Problem::new("case.json", error.to_string()))?;
    compare(files, "case.json", &rendered, "from the evidence", report);
    whole(files, &told, &rendered, report);
    if !args.inputs.is_empty() {
        inputs(files, &told, &atlas, args, report)?;
    } else {
        report.line(
            "inputs",
            "not checked: whoever holds them gives them with --inputs",
        );
    }
    Ok(())
}

/// The case of some sources, and the audience that it rests on; an input that cannot be read is an error.
fn compute(
    sources: &[Source],
    settings: &Settings,
    atlas: &Atlas,
    threads: u8,
) -> anyhow::Result<(Case, Past)> {
    match examine(sources, settings, atlas, threads, &ProgressBar::hidden())? {
        Some(Examined {
            case,
            audience,
            unread: 0,
        }) => Ok((case, audience)),
        _ => bail!("cannot be read"),
    }
}

/// Holds a case that was computed against the one in the bundle.
fn compare(files: &Files, name: &str, computed: &str, from: &str, report: &mut Report) {
    let Some(said) = files.get(name) else {
        return report.problems.push(Problem::new(name, "is missing"));
    };
    if said == computed.as_bytes() {
        let incidents = serde_json::from_str::<Value>(computed)
            .ok()
            .and_then(|case| case["incidents"].as_array().map(Vec::len))
            .unwrap_or(0);
        return report.line(
            "case",
            format!(
                "computed {from}: the same {} bytes, {incidents} incidents",
                said.len()
            ),
        );
    }
    let Ok(mut said) = serde_json::from_slice::<Value>(said) else {
        return report.problems.push(Problem::new(name, "is no JSON"));
    };
    let mut computed: Value = serde_json::from_str(computed).unwrap_or_default();
    // Another version names itself; what matters is whether it finds the same.
    let (theirs, ours) = (&said["engine"]["version"], &computed["engine"]["version"]);
    let versions = theirs != ours;
    said["engine"]["version"].take();
    computed["engine"]["version"].take();
    let mut paths = Vec::new();
    differences(&said, &computed, "", SHOWN, &mut paths);
    match paths.len() {
        0 if versions => report.line(
            "case",
            format!("computed {from}: the same values, by another version"),
        ),
        0 => report.problems.push(Problem::new(
            name,
            format!("has the values that were computed {from}, in other bytes"),
        )),
        n => report.problems.push(Problem::new(
            name,
            format!(
                "is not what was computed {from}; it differs at {}{}",
                paths.join(", "),
                if n >= SHOWN { " and further" } else { "" }
            ),
        )),
    }
}

/// Whether the case of the evidence and that of the inputs are as alike as the settings say.
fn whole(files: &Files, told: &Told, computed: &str, report: &mut Report) {
    const NAME: &str = "case-of-inputs.json";
    let Some(bytes) = files.get(NAME) else {
        if !told.anonymized {
            report.problems.push(Problem::new(NAME, "is missing"));
        }
        return;
    };
    let essences = std::str::from_utf8(bytes)
        .map_err(anyhow::Error::from)
        .and_then(|text| Ok((essence(text)?, essence(computed)?)));
    match essences {
        Ok((of_inputs, of_evidence)) if (of_inputs == of_evidence) != told.same_as_inputs => {
            report.problems.push(Problem::new(
                NAME,
                "is not as like the case of the evidence as settings.json says",
            ));
        }
        Ok(_) => {}
        Err(_) => report.problems.push(Problem::new(NAME, "is no case")),
    }
}

/// Computes the case of the whole inputs, and takes the evidence out of them again.
fn inputs(
    files: &Files,
    told: &Told,
    atlas: &Atlas,
    args: &VerifyArgs,
    report: &mut Report,
) -> Result<(), Problem> {
    const NAME: &str = "inputs.json";
    let named = |of| listed(files, of).map_err(|error| Problem::new(NAME, format!("{error:#}")));
    let (listed, of_audience) = (named("inputs")?, named("audience")?);
    let mut given = BTreeMap::new();
    for path in &args.inputs {
        let source = Source::file(path);
        if !source.lasts() {
            return Err(Problem::new(&source.name, "is no file"));
        }
        let (_, digest) =
            evidence::digest(&source).map_err(|error| Problem::new(&source.name, format!("{error:#}")))?;
        if !listed
            .iter()
            .chain(&of_audience)
            .any(|(_, listed)| *listed == digest)
        {
            report.problems.push(Problem::new(
                &source.name,
                format!("is none of the inputs: its SHA-256 is {digest}"),
            ));
        }
        given.insert(digest, path.clone());
    }
    let mut whole = Vec::new();
    for (name, digest) in &listed {
        match given.get(digest) {
            Some(path) => whole.push(Source {
                name: name.clone(),
                place: Where::File(path.clone()),
            }),
            None => report.problems.push(Problem::new(
                name,
                format!("is an input that was not given (SHA-256 {digest})"),
            )),
        }
    }
    if whole.len() < listed.len() || !report.problems.is_empty() && whole.is_empty() {
        return Ok(());
    }
    if told.anonymized {
        report.line(
            "inputs",
            "they are those that the bundle names; their case names addresses and is not in it",
        );
        return Ok(());
    }
    let of_inputs = |error: anyhow::Error| Problem::new(NAME, format!("{error:#}"));
    let mut settings = told.settings.clone();
    let raw: Vec<Source> = of_audience
        .iter()
        .filter_map(|(name, digest)| {
            Some(Source {
                name: name.clone(),
                place: Where::File(given.get(digest)?.clone()),
            })
        })
        .collect();
    let is_raw = !raw.is_empty() && raw.len() == of_audience.len();
    if is_raw {
        settings.audience = raw;
    }
    let (case, usual) = compute(&whole, &settings, atlas, args.threads).map_err(of_inputs)?;
    if is_raw {
        let kept = evidence::audience_of(files.get(evidence::AUDIENCE).map(Vec::as_slice));
        let same = match kept.first().map(audience::read) {
            Some(Ok((kept, _))) => {
                audience::render(&kept).map_err(of_inputs)? == audience::render(&usual).map_err(of_inputs)?
            }
            _ => false,
        };
        if same {
            report.line("audience", "is what the inputs that show it give");
        } else {
            let what = "is not what the inputs that show it give";
            report.problems.push(Problem::new(evidence::AUDIENCE, what));
        }
    } else if !of_audience.is_empty() {
        let names: Vec<&str> = of_audience.iter().map(|(name, _)| name.as_str()).collect();
        report.line(
            "audience",
            format!("taken from the bundle: not checked against {}", names.join(", ")),
        );
    }
    let rendered = case_json::render(&case, atlas).map_err(of_inputs)?;
    compare(
        files,
        "case-of-inputs.json",
        &rendered,
        "from the whole inputs",
        report,
    );
    // The evidence is what its design takes out of the inputs, or somebody chose it.
    let digests: Vec<String> = listed.iter().map(|(_, digest)| digest.clone()).collect();
    if let Some(sample) = told.design.sample
        && sample.seed != Sample::seed(&digests)
    {
        report.problems.push(Problem::new(
            "settings.json",
            "the seed of the sample is not that of the inputs",
        ));
    }
    let focus = evidence::Focus::of(&case);
    let limit = u64::MAX;
    let again =
        evidence::gather(&whole, &told.settings, &focus, told.design, limit, None).map_err(of_inputs)?;
    let mut same = again.files.len() == told.files.len();
    for (file, (name, _, bytes, digest)) in again.files.iter().zip(&told.files) {
        if (&file.name, file.bytes, &file.sha256) != (name, *bytes, digest) {
            same = false;
            report.problems.push(Problem::new(
                name,
                "is not what its design takes out of the inputs",
            ));
        }
    }
    if same {
        report.line("inputs", "the evidence is what its design takes out of them");
    }
    Ok(())
}

/// Names and digests of the inputs, or of those of the audience.
fn listed(files: &Files, of: &str) -> anyhow::Result<Vec<(String, String)>> {
    let value: Value = serde_json::from_slice(files.get("inputs.json").context("is missing")?)?;
    if value["schema"] != INPUTS {
        bail!("its schema is {}, this program reads {INPUTS}", value["schema"]);
    }
    // Bundles of before name no inputs of an audience.
    let none = Vec::new();
    let list = match of {
        "inputs" => value[of].as_array().context("names no inputs")?,
        _ => value[of].as_array().unwrap_or(&none),
    };
    list.iter()
        .take(LIST_MAX)
        .map(|input| Ok((text(&input["name"])?, text(&input["sha256"])?)))
        .collect()
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("a text is missing")?.to_owned())
}

fn number(value: &Value) -> anyhow::Result<u64> {
    value.as_u64().context("a number is missing")
}

fn list(value: &Value) -> anyhow::Result<&Vec<Value>> {
    let list = value.as_array().context("a list is missing")?;
    if list.len() > LIST_MAX {
        bail!("a list is longer than {LIST_MAX}");
    }
    Ok(list)
}

fn settings(files: &Files) -> anyhow::Result<Told> {
    let value: Value = serde_json::from_slice(files.get("settings.json").context("is missing")?)?;
    if value["schema"] != SETTINGS {
        bail!("its schema is {}, this program reads {SETTINGS}", value["schema"]);
    }
    let file = |name: &str| {
        files
            .get(name)
            .with_context(|| format!("names {name:?}, which is missing"))
    };
    let networks = list(&value["networks"])?
        .iter()
        .map(|network| text(network)?.parse::<Prefix>().map_err(anyhow::Error::msg))
        .collect::<anyhow::Result<_>>()?;
    let rates = list(&value["sampling"])?
        .iter()
        .map(|of| {
            let exporter = match &of["exporter"] {
                Value::Null => None,
                named => Some(text(named)?.parse::<IpAddr>()?),
            };
            Ok((exporter, u32::try_from(number(&of["rate"])?)?))
        })
        .collect::<anyhow::Result<_>>()?;
    let state = match &value["state"] {
        Value::Null => None,
        named => Some(file(&text(named)?)?.clone()),
    };
    let (claims, claims_file) = match &value["claims"] {
        Value::Null => (Vec::new(), None),
        named => {
            let name = text(named)?;
            let bytes = file(&name)?;
            let path = |file: &str| format!("claims/{file}");
            let beside = claims::Beside {
                is_there: &|file| files.contains_key(&path(file)),
                read: &|file| files.get(&path(file)).cloned(),
            };
            let claims = claims::parse(&name, bytes, &beside).map_err(anyhow::Error::msg)?;
            (claims, Some(bytes.clone()))
        }
    };
    let audience = match &value["audience"] {
        Value::Null => Vec::new(),
        named => evidence::audience_of(Some(file(&text(named)?)?)),
    };
    let services = match &value["services"] {
        // Bundles of before services had addresses.
        Value::Null => Vec::new(),
        named => list(named)?
            .iter()
            .map(|of| {
                Ok((
                    text(&of["name"])?,
                    text(&of["prefix"])?.parse().map_err(anyhow::Error::msg)?,
                ))
            })
            .collect::<anyhow::Result<_>>()?,
    };
    let kinds = list(&value["kinds"])?
        .iter()
        .map(text)
        .collect::<anyhow::Result<_>>()?;
    let taken = &value["evidence"];
    let sample = match &taken["sample"] {
        Value::Null => None,
        sample if sample["method"] == METHOD => Some(Sample {
            one_in: number(&sample["one_in"])?.max(1),
            seed: u64::from_str_radix(&text(&sample["seed"])?, 16).context("the seed is no number")?,
        }),
        sample => bail!(
            "samples by {}, which this program does not know",
            sample["method"]
        ),
    };
    let selection = match taken["selection"].as_str() {
        Some("targets") => Selection::Targets,
        Some("all") => Selection::All,
        _ => bail!("does not say which packets were kept"),
    };
    let files = list(&taken["files"])?
        .iter()
        .map(|of| {
            let name = text(&of["name"])?;
            file(&name)?;
            let input = usize::try_from(number(&of["input"])?)?;
            Ok((name, input, number(&of["bytes"])?, text(&of["sha256"])?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if files.is_empty() {
        bail!("names no evidence");
    }
    Ok(Told {
        settings: Settings {
            networks,
            rates,
            packet_rate: u32::try_from(number(&value["packet_sampling"])?)?,
            state,
            services,
            claims,
            claims_file,
            audience,
        },
        kinds,
        files,
        design: Design { selection, sample },
        same_as_inputs: taken["same_as_inputs"]
            .as_bool()
            .context("does not say whether the cases are the same")?,
        anonymized: !value["anonymized"].is_null(),
    })
}

/// The atlas of the bundle, with its kinds.
fn atlas(files: &Files, told: &Told) -> Result<Atlas, Problem> {
    const NAME: &str = "atlas.bin";
    let bytes = files.get(NAME).ok_or_else(|| Problem::new(NAME, "is missing"))?;
    let atlas = Atlas::from_bytes(bytes.clone()).map_err(|error| Problem::new(NAME, error.to_string()))?;
    let mut kinds = Vec::new();
    for name in &told.kinds {
        let text = files
            .get(name)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| Problem::new(name, "is missing, or is no text"))?;
        kinds
            .extend(sources::kinds_of(text, name).map_err(|error| Problem::new(name, format!("{error:#}")))?);
    }
    Ok(if kinds.is_empty() {
        atlas
    } else {
        atlas.with_kinds(&kinds)
    })
}

/// Unpacks the evidence once only to see that it has the size and the digest that the settings say, and no more than allowed: what is
/// packed inside what is packed is refused.
fn measure(files: &Files, told: &Told, limit: u64) -> Result<(), Problem> {
    let mut left = limit;
    for (name, _, said, digest) in &told.files {
        let wrong = |what: String| Problem::new(name, what);
        let packed = files.get(name).map_or(&[][..], |bytes| bytes);
        if *said > left {
            return Err(wrong(format!(
                "is {said} bytes unpacked, which is more than --limit allows in all"
            )));
        }
        left -= said;
        let mut unpacked = zstd::stream::read::Decoder::with_buffer(packed)
            .map_err(|error| wrong(format!("is no zstd stream: {error}")))?;
        let mut hash = <sha2::Sha256 as sha2::Digest>::new();
        let (mut bytes, mut buffer, mut first) = (0u64, vec![0; 1 << 18], true);
        loop {
            let read = unpacked
                .read(&mut buffer)
                .map_err(|error| wrong(format!("is damaged after {bytes} unpacked bytes: {error}")))?;
            if read == 0 {
                break;
            }
            if std::mem::take(&mut first)
                && matches!(
                    wire::recognise(&buffer[..read]),
                    wire::Kind::Gzip | wire::Kind::Zstd
                )
            {
                return Err(wrong("is packed inside what is packed".to_owned()));
            }
            bytes += read as u64;
            if bytes > *said {
                return Err(wrong(format!(
                    "is more than the {said} bytes unpacked that settings.json says"
                )));
            }
            sha2::Digest::update(&mut hash, &buffer[..read]);
        }
        if bytes != *said {
            return Err(wrong(format!(
                "is {bytes} bytes unpacked, settings.json says {said}"
            )));
        }
        if bundle::hex(&sha2::Digest::finalize(hash)) != *digest {
            return Err(wrong(
                "has not the digest unpacked that settings.json says".to_owned(),
            ));
        }
    }
    Ok(())
}
