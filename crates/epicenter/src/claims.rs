//! Claims files, and `epicenter claims propose`: from sentences to propositions, by hand of a person.
//!
//! A claims file is TOML (`docs/claims.md`). Everything in it is checked before any traffic is read; what is wrong is said with file
//! and line and with what is allowed. Nothing is guessed: a claim without a proposition is refused, with the one that its words
//! suggest.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Component, Path};
use std::process::ExitCode;

use anyhow::{Context, bail};
use atlas::{Country, Prefix};
use detect::Vector;
use incident::claim::{
    self, Claim, Details, Earlier, Extent, Grade, Infrastructure, Proposition, SOURCE_KINDS,
};
use incident::{country, propose};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::ProposeArgs;
use crate::tell;

/// Largest claims file.
const FILE_MAX: u64 = 1 << 20;
/// Most claims of a file.
const CLAIMS_MAX: usize = 1_000;
/// Longest text of a claim, in characters.
const TEXT_MAX: usize = 10_000;
/// Most countries or networks of a claim.
const LIST_MAX: usize = 1_000;
/// Largest list of addresses, and most addresses and prefixes in it.
const ADDRESSES_FILE_MAX: u64 = 4 << 20;
/// See [`ADDRESSES_FILE_MAX`].
const ADDRESSES_MAX: usize = 200_000;
/// Most earlier claims of a claimant.
const EARLIER_MAX: u64 = 100_000;
/// Seconds by which a start or end may be off where the claim does not say.
const WITHIN_S: u64 = 60;

const CLAIM_KEYS: &[&str] = &[
    "by",
    "said",
    "at",
    "url",
    "archived",
    "grade",
    "source_kind",
    "details",
    "infrastructure",
    "earlier",
    "proposition",
];
const INFRASTRUCTURE_KEYS: &[&str] = &["file", "from", "url"];
const EARLIER_KEYS: &[&str] = &["right", "wrong", "url"];
const DETAIL_KEYS: &[&str] = &["started", "ended", "vector", "target", "public_since"];
/// Kinds of proposition with their fields.
const KINDS: &[(&str, &[&str])] = &[
    ("from-countries", &["countries", "extent"]),
    ("from-networks", &["networks", "extent"]),
    ("actor-state", &["state"]),
    ("actor-group", &["name"]),
    ("coordinated", &["large_group"]),
    ("many-resources", &[]),
    ("is-attack", &[]),
    ("started-at", &["at", "within_s"]),
    ("ended-at", &["at", "within_s"]),
    ("restored", &["at"]),
    ("people-affected", &["at_least"]),
    ("vector", &["name"]),
    ("exposed-origin", &["prefix"]),
    ("provider-off", &["network", "country"]),
];

/// The claims of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Claim>> {
    let name = path.display().to_string();
    let bytes = at_most(path, FILE_MAX).with_context(|| name.clone())?;
    if bytes.len() as u64 > FILE_MAX {
        bail!("{name}: larger than a claims file may be ({FILE_MAX} bytes)");
    }
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let beside = |file: &str| {
        let path = folder.join(file);
        path.is_file().then_some(path)
    };
    parse(
        &name,
        &bytes,
        &Beside {
            is_there: &|file| beside(file).is_some(),
            read: &|file| at_most(&beside(file)?, ADDRESSES_FILE_MAX).ok(),
        },
    )
    .map_err(anyhow::Error::msg)
}

/// The bytes of a file, and one more than allowed of one that is too large.
fn at_most(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What lies beside a claims file, on disk or in a bundle.
pub(crate) struct Beside<'a> {
    /// Whether a file does.
    pub(crate) is_there: &'a dyn Fn(&str) -> bool,
    /// Its bytes.
    pub(crate) read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Beside<'static> {
    /// Nothing does.
    pub(crate) const NOTHING: Beside<'static> = Beside {
        is_there: &|_| false,
        read: &|_| None,
    };
}

/// The claims of a text, with what lies beside it.
pub(crate) fn parse(name: &str, bytes: &[u8], beside: &Beside<'_>) -> Result<Vec<Claim>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, error.valid_up_to());
        format!("{name}, line {line}: not UTF-8")
    })?;
    let source = Source { name, text };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        source.wrong(at, error.message().lines().next().unwrap_or("no TOML"))
    })?;
    let root = document.get_ref();
    source.known(root, &["claim"], "a claims file")?;
    let Some(claims) = root.get("claim") else {
        return Err(format!("{name}: no [[claim]] in it"));
    };
    let list = claims
        .get_ref()
        .as_array()
        .ok_or_else(|| source.wrong(claims.span().start, "claims are written as [[claim]]"))?;
    if list.len() > CLAIMS_MAX {
        return Err(format!(
            "{name}: {} claims, and {CLAIMS_MAX} are allowed",
            list.len()
        ));
    }
    list.iter().map(|claim| source.claim(claim, beside)).collect()
}

/// A list of addresses and prefixes, one a line, `#` before remarks.
fn addresses(name: &str, bytes: &[u8]) -> Result<Vec<Prefix>, String> {
    if bytes.len() as u64 > ADDRESSES_FILE_MAX {
        return Err(format!(
            "{name}: larger than a list of addresses may be ({ADDRESSES_FILE_MAX} bytes)"
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, error.valid_up_to());
        format!("{name}, line {line}: not UTF-8")
    })?;
    let mut prefixes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let word = line.split('#').next().unwrap_or("").trim();
        if word.is_empty() {
            continue;
        }
        if prefixes.len() >= ADDRESSES_MAX {
            return Err(format!(
                "{name}, line {}: more than {ADDRESSES_MAX} addresses",
                number + 1
            ));
        }
        prefixes.push(
            word.parse()
                .map_err(|what: String| format!("{name}, line {}: {}", number + 1, shown(&what)))?,
        );
    }
    if prefixes.is_empty() {
        return Err(format!("{name}: no address in it"));
    }
    Ok(claim::apart(prefixes))
}

/// A list of addresses as [`addresses`] reads it.
pub(crate) fn listed(prefixes: &[Prefix]) -> String {
    let mut text = String::from("# Addresses were replaced as in the evidence.\n");
    for prefix in prefixes {
        let _ = writeln!(text, "{prefix}");
    }
    text
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    bytes.iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// A claims file while it is read.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Source<'_> {
    fn wrong(&self, at: usize, what: &str) -> String {
        format!(
            "{}, line {}: {what}",
            self.name,
            line_of(self.text.as_bytes(), at)
        )
    }

    /// Refuses keys that are not known.
    fn known(&self, table: &DeTable, allowed: &[&str], of: &str) -> Result<(), String> {
        for key in table.keys() {
            let word: &str = key.get_ref();
            if !allowed.contains(&word) {
                let allowed = if allowed.is_empty() {
                    "none is allowed".to_owned()
                } else {
                    format!("allowed are {}", allowed.join(", "))
                };
                return Err(self.wrong(
                    key.span().start,
                    &format!("`{}` is no key of {of}; {allowed}", shown(word)),
                ));
            }
        }
        Ok(())
    }

    fn table<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Result<&'v DeTable<'i>, String> {
        value
            .get_ref()
            .as_table()
            .ok_or_else(|| self.wrong(value.span().start, &format!("{what} must be a table")))
    }

    fn string<'v>(&self, key: &str, value: &'v Value) -> Result<&'v str, String> {
        let text = value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong(value.span().start, &format!("{key} must be a text in quotes")))?;
        if text.chars().count() > TEXT_MAX {
            return Err(self.wrong(
                value.span().start,
                &format!("{key} is longer than {TEXT_MAX} characters"),
            ));
        }
        if text.trim().is_empty() {
            return Err(self.wrong(value.span().start, &format!("{key} is empty")));
        }
        Ok(text)
    }

    fn integer(&self, key: &str, value: &Value, least: u64, most: u64) -> Result<u64, String> {
        value
            .get_ref()
            .as_integer()
            .and_then(|number| {
                u64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix()).ok()
            })
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                self.wrong(
                    value.span().start,
                    &format!("{key} must be a whole number from {least} to {most}"),
                )
            })
    }

    /// A time with its zone, as a text or as TOML has it, in nanoseconds.
    fn time(&self, key: &str, value: &Value) -> Result<u64, String> {
        let at = value.span().start;
        let text = match value.get_ref() {
            DeValue::Datetime(time) => time.to_string(),
            _ => self.string(key, value)?.to_owned(),
        };
        if text == propose::FILL_IN {
            return Err(self.wrong(at, &format!("{key} is still to be filled in")));
        }
        let stamp: Result<jiff::Timestamp, _> = text.parse();
        let zone_missing = || text.parse::<jiff::civil::DateTime>().is_ok();
        match stamp {
            Ok(stamp) => u64::try_from(stamp.as_nanosecond()).map_err(|_| {
                self.wrong(at, &format!("{key}: {} is before 1970 or beyond what can be counted", shown(&text)))
            }),
            Err(_) if zone_missing() => Err(self.wrong(
                at,
                &format!("{key}: {} has no time zone; write 2025-03-10T20:30:00Z, or an offset like +02:00 behind it", shown(&text)),
            )),
            Err(_) => Err(self.wrong(
                at,
                &format!("{key}: `{}` is no time; write it like 2025-03-10T20:30:00Z", shown(&text)),
            )),
        }
    }

    fn country(&self, key: &str, value: &Value) -> Result<Country, String> {
        let text = self.string(key, value)?;
        country::read(text).ok_or_else(|| {
            self.wrong(
                value.span().start,
                &format!("{key}: there is no country `{}`; write its ISO 3166-1 code, like UA, or its English name", shown(text)),
            )
        })
    }

    fn prefix(&self, key: &str, value: &Value) -> Result<Prefix, String> {
        let text = self.string(key, value)?;
        if text == propose::FILL_IN {
            return Err(self.wrong(value.span().start, &format!("{key} is still to be filled in")));
        }
        text.parse()
            .map_err(|what: String| self.wrong(value.span().start, &format!("{key}: {}", shown(&what))))
    }

    fn vector(&self, key: &str, value: &Value) -> Result<String, String> {
        let text = self.string(key, value)?;
        if Vector::ALL.iter().any(|vector| vector.name() == text) {
            return Ok(text.to_owned());
        }
        let names: Vec<&str> = Vector::ALL.iter().map(|vector| vector.name()).collect();
        Err(self.wrong(
            value.span().start,
            &format!(
                "{key}: `{}` is no vector; allowed are {}",
                shown(text),
                names.join(", ")
            ),
        ))
    }

    fn list<'v, 'i, T>(
        &self,
        key: &str,
        value: &'v Value<'i>,
        one: impl Fn(&'v Value<'i>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let list = value
            .get_ref()
            .as_array()
            .filter(|list| !list.is_empty() && list.len() <= LIST_MAX)
            .ok_or_else(|| {
                self.wrong(
                    value.span().start,
                    &format!("{key} must be a list of 1 to {LIST_MAX} in brackets"),
                )
            })?;
        list.iter().map(one).collect()
    }

    fn claim(&self, value: &Value, beside: &Beside<'_>) -> Result<Claim, String> {
        let table = self.table(value, "a claim")?;
        self.known(table, CLAIM_KEYS, "a claim")?;
        // The line of a claim is that of its first key, where it has one.
        let at = table
            .keys()
            .map(|key| key.span().start)
            .min()
            .unwrap_or(value.span().start);
        let said = table
            .get("said")
            .ok_or_else(|| self.wrong(at, "a claim needs `said`, the words"))?;
        let said = self.string("said", said)?.to_owned();
        let text = |key: &str| -> Result<Option<String>, String> {
            table
                .get(key)
                .map(|value| self.string(key, value).map(str::to_owned))
                .transpose()
        };
        let grade = match (table.get("grade"), table.get("source_kind")) {
            (Some(_), Some(kind)) => {
                return Err(self.wrong(kind.span().start, "give `grade` or `source_kind`, not both"));
            }
            (Some(grade), None) => {
                let written: Result<Grade, String> = self.string("grade", grade)?.parse();
                Some(written.map_err(|what| self.wrong(grade.span().start, &shown(&what)))?)
            }
            (None, Some(kind)) => {
                let word = self.string("source_kind", kind)?;
                Some(Grade::of_kind(word).ok_or_else(|| {
                    let names: Vec<&str> = SOURCE_KINDS.iter().map(|(name, ..)| *name).collect();
                    self.wrong(
                        kind.span().start,
                        &format!(
                            "`{}` is no source_kind; allowed are {}",
                            shown(word),
                            names.join(", ")
                        ),
                    )
                })?)
            }
            (None, None) => None,
        };
        let archived = table
            .get("archived")
            .map(|value| self.beside("archived", value, beside))
            .transpose()?;
        let at_ns = table.get("at").map(|value| self.time("at", value)).transpose()?;
        let details = table
            .get("details")
            .map(|value| self.details(value))
            .transpose()?;
        let infrastructure = table
            .get("infrastructure")
            .map(|value| self.infrastructure(value, beside))
            .transpose()?;
        let earlier = table
            .get("earlier")
            .map(|value| self.earlier(value))
            .transpose()?;
        let Some(proposition) = table.get("proposition") else {
            return Err(self.wrong(at, &missing_proposition(&said)));
        };
        let proposition = self.proposition(proposition)?;
        for key in ["infrastructure", "earlier"] {
            if let Some(value) = table.get(key)
                && !matches!(proposition, Proposition::ActorGroup { .. })
            {
                return Err(self.wrong(
                    value.span().start,
                    &format!("{key} is for a proposition of the kind actor-group"),
                ));
            }
        }
        Ok(Claim {
            by: text("by")?,
            said,
            at_ns,
            url: text("url")?,
            archived,
            grade,
            details,
            infrastructure,
            earlier,
            proposition,
        })
    }

    /// The name of a file beside the claims file, which is there.
    fn beside(&self, key: &str, value: &Value, beside: &Beside<'_>) -> Result<String, String> {
        let name = self.string(key, value)?;
        let at = value.span().start;
        let plain = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain || name.contains(['\\', '\0', '\n']) {
            return Err(self.wrong(
                at,
                &format!("{key} must name a file beside this one, without .. and not from the root"),
            ));
        }
        if !(beside.is_there)(name) {
            return Err(self.wrong(
                at,
                &format!("{key}: there is no file `{}` beside this one", shown(name)),
            ));
        }
        Ok(name.to_owned())
    }

    fn infrastructure(&self, value: &Value, beside: &Beside<'_>) -> Result<Infrastructure, String> {
        let at = value.span().start;
        let table = self.table(value, "infrastructure")?;
        self.known(table, INFRASTRUCTURE_KEYS, "infrastructure")?;
        let need = |key: &str, what: &str| {
            table
                .get(key)
                .ok_or_else(|| self.wrong(at, &format!("infrastructure needs `{key}`, {what}")))
        };
        let file = need("file", "a list of addresses beside this file")?;
        let name = self.beside("file", file, beside)?;
        let from = self
            .string("from", need("from", "who says that these are theirs")?)?
            .to_owned();
        let bytes = (beside.read)(&name)
            .ok_or_else(|| self.wrong(at, &format!("file: `{}` cannot be read", shown(&name))))?;
        Ok(Infrastructure {
            prefixes: addresses(&name, &bytes)?,
            file: name,
            from,
            url: table
                .get("url")
                .map(|value| self.string("url", value).map(str::to_owned))
                .transpose()?,
        })
    }

    fn earlier(&self, value: &Value) -> Result<Earlier, String> {
        let at = value.span().start;
        let table = self.table(value, "earlier")?;
        self.known(table, EARLIER_KEYS, "earlier")?;
        let need = |key: &str| {
            table
                .get(key)
                .ok_or_else(|| self.wrong(at, &format!("earlier needs `{key}`")))
        };
        let count = |key: &str| -> Result<u32, String> {
            let number = self.integer(key, need(key)?, 0, EARLIER_MAX)?;
            Ok(u32::try_from(number).unwrap_or(u32::MAX))
        };
        Ok(Earlier {
            right: count("right")?,
            wrong: count("wrong")?,
            url: self.string("url", need("url")?)?.to_owned(),
        })
    }

    fn details(&self, value: &Value) -> Result<Details, String> {
        let table = self.table(value, "details")?;
        self.known(table, DETAIL_KEYS, "details")?;
        let time = |key: &str| table.get(key).map(|value| self.time(key, value)).transpose();
        let details = Details {
            started_ns: time("started")?,
            ended_ns: time("ended")?,
            vector: table
                .get("vector")
                .map(|value| self.vector("vector", value))
                .transpose()?,
            target: table
                .get("target")
                .map(|value| self.prefix("target", value))
                .transpose()?,
            public_since_ns: time("public_since")?,
        };
        if let (Some(start), Some(end)) = (details.started_ns, details.ended_ns)
            && end < start
        {
            return Err(self.wrong(value.span().start, "details: it ended before it started"));
        }
        Ok(details)
    }

    fn proposition(&self, value: &Value) -> Result<Proposition, String> {
        let at = value.span().start;
        let table = self.table(value, "proposition")?;
        let kinds = || KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
        let kind = table.get("kind").ok_or_else(|| {
            self.wrong(
                at,
                &format!("a proposition needs a kind; allowed are {}", kinds()),
            )
        })?;
        let word = self.string("kind", kind)?;
        let (name, fields) = KINDS.iter().find(|(name, _)| *name == word).ok_or_else(|| {
            self.wrong(
                kind.span().start,
                &format!(
                    "`{}` is no kind of proposition; allowed are {}",
                    shown(word),
                    kinds()
                ),
            )
        })?;
        let allowed: Vec<&str> = std::iter::once("kind").chain(fields.iter().copied()).collect();
        self.known(table, &allowed, &format!("a proposition of the kind {name}"))?;
        let need = |key: &str| {
            table
                .get(key)
                .ok_or_else(|| self.wrong(at, &format!("a proposition of the kind {name} needs `{key}`")))
        };
        let network = |key: &str, value: &Value| -> Result<u32, String> {
            let number = match value.get_ref().as_str() {
                // `AS14593` is how it is written everywhere else.
                Some(text) => text
                    .strip_prefix("AS")
                    .and_then(|digits| digits.parse().ok())
                    .filter(|&asn| asn > 0),
                None => {
                    return self
                        .integer(key, value, 1, u64::from(u32::MAX))
                        .map(|asn| asn as u32);
                }
            };
            number.ok_or_else(|| {
                self.wrong(
                    value.span().start,
                    &format!("{key}: write an AS number, like 14593"),
                )
            })
        };
        let extent = || -> Result<Extent, String> {
            let Some(value) = table.get("extent") else {
                return Ok(Extent::Most);
            };
            match self.string("extent", value)? {
                "any" => Ok(Extent::Any),
                "most" => Ok(Extent::Most),
                other => Err(self.wrong(
                    value.span().start,
                    &format!("`{}` is no extent; allowed are any, most", shown(other)),
                )),
            }
        };
        let at_and_within = || -> Result<(u64, u64), String> {
            let within = table.get("within_s").map_or(Ok(WITHIN_S), |value| {
                self.integer("within_s", value, 0, 7 * 86_400)
            })?;
            Ok((self.time("at", need("at")?)?, within))
        };
        Ok(match *name {
            "from-countries" => Proposition::FromCountries {
                countries: distinct(self.list("countries", need("countries")?, |one| {
                    self.country("countries", one)
                })?),
                extent: extent()?,
            },
            "from-networks" => Proposition::FromNetworks {
                networks: distinct(self.list("networks", need("networks")?, |one| network("networks", one))?),
                extent: extent()?,
            },
            "actor-state" => Proposition::ActorState {
                state: table
                    .get("state")
                    .map(|value| self.country("state", value))
                    .transpose()?,
            },
            "actor-group" => Proposition::ActorGroup {
                name: self.string("name", need("name")?)?.to_owned(),
            },
            "coordinated" => Proposition::Coordinated {
                large_group: match table.get("large_group") {
                    None => false,
                    Some(value) => value
                        .get_ref()
                        .as_bool()
                        .ok_or_else(|| self.wrong(value.span().start, "large_group must be true or false"))?,
                },
            },
            "many-resources" => Proposition::ManyResources,
            "is-attack" => Proposition::IsAttack,
            "started-at" => {
                let (at_ns, within_s) = at_and_within()?;
                Proposition::StartedAt { at_ns, within_s }
            }
            "ended-at" => {
                let (at_ns, within_s) = at_and_within()?;
                Proposition::EndedAt { at_ns, within_s }
            }
            "restored" => Proposition::Restored {
                at_ns: self.time("at", need("at")?)?,
            },
            "people-affected" => Proposition::PeopleAffected {
                at_least: self.integer("at_least", need("at_least")?, 1, 1 << 40)?,
            },
            "vector" => Proposition::Vector {
                name: self.vector("name", need("name")?)?,
            },
            "exposed-origin" => Proposition::ExposedOrigin {
                prefix: self.prefix("prefix", need("prefix")?)?,
            },
            // The last of the table.
            _ => Proposition::ProviderOff {
                network: network("network", need("network")?)?,
                country: table
                    .get("country")
                    .map(|value| self.country("country", value))
                    .transpose()?,
            },
        })
    }
}

/// Each once, in the order given.
fn distinct<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for one in list {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// A text of somebody else's in a message: on one line, and not endless.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut out: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

fn missing_proposition(said: &str) -> String {
    let start = "this claim has no proposition, the statement that can be judged";
    match propose::propose(said).first() {
        Some(first) => format!(
            "{start}. Its words ({}) suggest\n    proposition = {}\nIf that is what was meant, write it there; `epicenter claims propose` shows what else it may mean",
            first
                .words
                .iter()
                .map(|word| shown(word))
                .collect::<Vec<_>>()
                .join(", "),
            first.toml
        ),
        None => format!(
            "{start}, and its words suggest none; write proposition = {{ kind = \"...\" }} with one of {}",
            KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// `epicenter claims propose`.
pub(crate) fn propose(args: &ProposeArgs) -> anyhow::Result<ExitCode> {
    let mut sentences = Vec::new();
    for sentence in &args.sentences {
        if sentence != "-" {
            sentences.push(sentence.clone());
            continue;
        }
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(FILE_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            bail!("standard input: more than {FILE_MAX} bytes of sentences");
        }
        let text = String::from_utf8_lossy(&bytes);
        sentences.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(str::to_owned),
        );
    }
    let mut out = std::io::stdout().lock();
    let mut none = 0u32;
    for sentence in &sentences {
        let page = proposed(sentence);
        if page.is_none() {
            none += 1;
            tell(&format!(
                "`{}`: no words in it that suggest a proposition",
                shown(sentence)
            ));
        }
        out.write_all(page.unwrap_or_default().as_bytes())?;
    }
    out.flush()?;
    Ok(if none > 0 && none as usize == sentences.len() {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// A claim as TOML with what its words suggest, the others as comments.
fn proposed(sentence: &str) -> Option<String> {
    let said: String = sentence.chars().take(TEXT_MAX).collect();
    let proposals = propose::propose(&said);
    let (first, others) = proposals.split_first()?;
    let mut page = String::new();
    let words = |words: &[String]| {
        words
            .iter()
            .map(|word| format!("\"{}\"", shown(word)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let _ = writeln!(page, "# PROPOSED from words alone: {}.", words(&first.words));
    let _ = writeln!(
        page,
        "# A person must confirm or change it, and fill in who said it, when, and where it can be read."
    );
    let _ = writeln!(page, "[[claim]]");
    let _ = writeln!(page, "said = {}", propose::quoted(&said));
    let _ = writeln!(page, "# by = \"\"");
    let _ = writeln!(page, "# at = \"2025-03-10T20:30:00Z\"");
    let _ = writeln!(page, "# url = \"\"");
    let _ = writeln!(page, "proposition = {}", first.toml);
    for other in others {
        let _ = writeln!(page, "# It may also say ({}):", words(&other.words));
        let _ = writeln!(page, "# proposition = {}", other.toml);
    }
    page.push('\n');
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::case::{
        Confidence, Coordination, Incident, Located, Meaning, Peak, Senders, Share, Sources, Timeline,
        Verdict, Words,
    };
    use incident::verdict::Evidence;

    const MARCH_10: &str = include_str!("../../../claims/march-10.toml");

    fn read_text(text: &str) -> Result<Vec<Claim>, String> {
        let beside = Beside {
            is_there: &|name| name == "post.html" || name.ends_with(".txt"),
            read: &|name| match name {
                "botnet.txt" => Some(b"# theirs\n77.1.2.3\n77.1.0.0/16 # all\n\n2a00:1450::/32\n".to_vec()),
                "wrong.txt" => Some(b"77.1.2.3\nten\n".to_vec()),
                "empty.txt" => Some(b"# none\n".to_vec()),
                "large.txt" => Some("1.2.3.4\n".repeat(ADDRESSES_MAX + 1).into_bytes()),
                "huge.txt" => Some(vec![b'#'; ADDRESSES_FILE_MAX as usize + 1]),
                _ => None,
            },
        };
        parse("claims.toml", text.as_bytes(), &beside)
    }

    fn refused(text: &str, line: usize, says: &str) {
        let error = read_text(text).expect_err(text);
        assert!(
            error.starts_with(&format!("claims.toml, line {line}: ")),
            "{text}\n{error}"
        );
        assert!(error.contains(says), "{text}\n{error}");
    }

    #[test]
    fn every_kind_is_read() {
        for (kind, fields) in [
            (
                "from-countries",
                "countries = [\"UA\", \"Russia\", \"ua\"], extent = \"any\"",
            ),
            ("from-networks", "networks = [14593, \"AS3320\"]"),
            ("actor-state", ""),
            ("actor-state", "state = \"Ukraine\""),
            ("actor-group", "name = \"They\""),
            ("coordinated", "large_group = true"),
            ("many-resources", ""),
            ("is-attack", ""),
            ("started-at", "at = 2025-03-10T09:45:00Z, within_s = 5"),
            ("ended-at", "at = \"2025-03-10T11:45:00+02:00\""),
            ("restored", "at = 2025-03-10T09:45:00.5Z"),
            ("people-affected", "at_least = 40_000"),
            ("vector", "name = \"syn_flood\""),
            ("exposed-origin", "prefix = \"2001:db8::/32\""),
            ("provider-off", "network = 14593, country = \"UA\""),
        ] {
            let comma = if fields.is_empty() { "" } else { ", " };
            let text =
                format!("[[claim]]\nsaid = \"x\"\nproposition = {{ kind = \"{kind}\"{comma}{fields} }}\n");
            let claims = read_text(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(claims[0].proposition.kind(), kind);
        }
        assert_eq!(KINDS.len(), 14, "each of them is above");
        let claims = read_text(
            "[[claim]]\nsaid = \"x\"\nat = \"2025-03-10T22:30:00+02:00\"\narchived = \"post.html\"\nsource_kind = \"owner\"\ndetails = { started = 2025-03-10T09:45:00Z, vector = \"syn_flood\", target = \"192.0.2.0/24\", public_since = 2025-03-10T10:00:00Z }\nproposition = { kind = \"from-countries\", countries = [\"UA\", \"Ukraine\"] }\n",
        )
        .unwrap();
        assert_eq!(claims[0].at_ns, Some(1_741_638_600_000_000_000));
        assert_eq!(claims[0].grade.map(|g| g.to_string()).as_deref(), Some("C3"));
        assert!(
            claims[0]
                .details
                .as_ref()
                .is_some_and(|d| d.started_ns.is_some() && d.target.is_some())
        );
        let twice = Proposition::FromCountries {
            countries: vec![Country(*b"UA")],
            extent: Extent::Most,
        };
        assert_eq!(claims[0].proposition, twice);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let claim = |rest: &str| format!("# a comment\n[[claim]]\nsaid = \"x\"\n{rest}\n");
        let meant = |fields: &str| claim(&format!("proposition = {{ {fields} }}"));
        refused(
            &claim("foo = 1"),
            4,
            "`foo` is no key of a claim; allowed are by, said",
        );
        refused("clam = 1\n", 1, "allowed are claim");
        refused("claim = 1\n", 1, "[[claim]]");
        refused(&meant("kind = \"from-moon\""), 4, "allowed are from-countries");
        refused(&meant("countries = [\"UA\"]"), 4, "needs a kind");
        refused(&meant("kind = \"from-countries\""), 4, "needs `countries`");
        refused(
            &meant("kind = \"from-countries\", countries = []"),
            4,
            "list of 1 to 1000",
        );
        refused(
            &meant("kind = \"from-countries\", countries = [\"UA\", \"QQ\"]"),
            4,
            "no country `QQ`",
        );
        refused(
            &meant("kind = \"from-countries\", countries = [\"UA\"], extent = \"all\""),
            4,
            "any, most",
        );
        refused(
            &meant("kind = \"is-attack\", countries = [\"UA\"]"),
            4,
            "`countries` is no key",
        );
        refused(
            &meant("kind = \"from-networks\", networks = [0]"),
            4,
            "whole number from 1",
        );
        refused(
            &meant("kind = \"from-networks\", networks = [\"Telekom\"]"),
            4,
            "AS number",
        );
        refused(
            &meant("kind = \"started-at\", at = \"2025-03-10T09:45:00\""),
            4,
            "no time zone",
        );
        refused(
            &meant("kind = \"started-at\", at = 2025-03-10T09:45:00"),
            4,
            "no time zone",
        );
        refused(
            &meant("kind = \"restored\", at = \"FILL IN\""),
            4,
            "to be filled in",
        );
        refused(&meant("kind = \"restored\", at = \"noon\""), 4, "is no time");
        refused(
            &meant("kind = \"restored\", at = \"1912-01-01T00:00:00Z\""),
            4,
            "before 1970",
        );
        refused(
            &meant("kind = \"vector\", name = \"big_flood\""),
            4,
            "allowed are",
        );
        refused(
            &meant("kind = \"exposed-origin\", prefix = \"192.0.2.1/24\""),
            4,
            "bits set",
        );
        refused(
            &meant("kind = \"people-affected\", at_least = -1"),
            4,
            "whole number",
        );
        refused(
            &claim("at = \"2025-03-10 20:30\"\nproposition = { kind = \"is-attack\" }"),
            4,
            "no time zone",
        );
        refused(
            &claim("grade = \"G7\"\nproposition = { kind = \"is-attack\" }"),
            4,
            "is no grade",
        );
        refused(
            &claim("source_kind = \"friend\""),
            4,
            "allowed are owner, own-measurement",
        );
        refused(&claim("archived = \"../post.html\""), 4, "without ..");
        refused(&claim("archived = \"/etc/passwd\""), 4, "not from the root");
        refused(
            &claim("archived = \"gone.html\""),
            4,
            "there is no file `gone.html`",
        );
        refused("[[claim]]\nby = \"x\"\n", 2, "needs `said`");
        refused("[[claim]]\nsaid = \"\"\n", 2, "empty");
        refused("[[claim]]\nsaid = \"x\n", 2, "");
        refused("[[claim]]\nsaid = \"x\"\nsaid = \"y\"\n", 3, "");
        refused(
            &format!("[[claim]]\nsaid = \"{}\"\n", "x".repeat(TEXT_MAX + 1)),
            2,
            "longer than 10000",
        );
        assert!(read_text("").unwrap_err().contains("no [[claim]]"));
        assert!(
            read_text(&"[[claim]]\n".repeat(CLAIMS_MAX + 1))
                .unwrap_err()
                .contains("1000 are allowed")
        );
        assert!(
            parse("claims.toml", b"[[claim]]\n\xff", &Beside::NOTHING)
                .unwrap_err()
                .starts_with("claims.toml, line 2: not UTF-8")
        );
    }

    #[test]
    fn infrastructure_and_earlier_claims_are_read_with_their_sources() {
        let claim = |rest: &str| {
            format!(
                "[[claim]]\nsaid = \"x\"\n{rest}\nproposition = {{ kind = \"actor-group\", name = \"They\" }}\n"
            )
        };
        let list = |file: &str| {
            claim(&format!(
                "infrastructure = {{ file = \"{file}\", from = \"a vendor\" }}"
            ))
        };
        let claims = read_text(&claim(
            "infrastructure = { file = \"botnet.txt\", from = \"a vendor\", url = \"https://v.example\" }\nearlier = { right = 0, wrong = 3, url = \"https://w.example\" }",
        ))
        .unwrap();
        let of = claims[0].infrastructure.as_ref().unwrap();
        assert_eq!(
            of.prefixes,
            ["77.1.0.0/16", "2a00:1450::/32"].map(|text| text.parse().unwrap()),
            "sorted, and what lies inside another is left out"
        );
        assert_eq!(
            (of.from.as_str(), of.url.as_deref()),
            ("a vendor", Some("https://v.example"))
        );
        let earlier = claims[0].earlier.as_ref().unwrap();
        assert_eq!((earlier.right, earlier.wrong), (0, 3));
        // Written and read again it is the same list.
        assert_eq!(
            addresses("x", listed(&of.prefixes).as_bytes()).as_ref(),
            Ok(&of.prefixes)
        );
        for file in [
            "../botnet.txt",
            "/botnet.txt",
            "a/../../botnet.txt",
            "a\\\\botnet.txt",
        ] {
            refused(&list(file), 3, "must name a file beside this one");
        }
        refused(&list("post.htm"), 3, "there is no file `post.htm`");
        refused(&list("gone.txt"), 3, "cannot be read");
        for (file, says) in [
            ("wrong.txt", "wrong.txt, line 2: `ten` is no address"),
            ("empty.txt", "empty.txt: no address"),
            ("large.txt", "large.txt, line 200001: more than 200000"),
            ("huge.txt", "huge.txt: larger than"),
        ] {
            assert!(read_text(&list(file)).unwrap_err().starts_with(says), "{file}");
        }
        refused(
            &claim("infrastructure = { file = \"botnet.txt\" }"),
            3,
            "needs `from`",
        );
        refused(&claim("infrastructure = { from = \"x\" }"), 3, "needs `file`");
        refused(
            &claim("infrastructure = { list = \"x\" }"),
            3,
            "allowed are file, from, url",
        );
        refused(&claim("earlier = { right = 0, wrong = 3 }"), 3, "needs `url`");
        refused(&claim("earlier = { right = 0, url = \"x\" }"), 3, "needs `wrong`");
        refused(
            &claim("earlier = { right = -1, wrong = 0, url = \"x\" }"),
            3,
            "right must be a whole number from 0",
        );
        refused(
            "[[claim]]\nsaid = \"x\"\nearlier = { right = 0, wrong = 1, url = \"x\" }\nproposition = { kind = \"is-attack\" }\n",
            3,
            "earlier is for a proposition of the kind actor-group",
        );
    }

    #[test]
    fn a_claim_without_proposition_is_refused_with_one() {
        let said = "said = \"IP addresses originating in the Ukraine area\"";
        refused(
            &format!("\n[[claim]]\nby = \"the owner\"\n{said}\n"),
            3,
            "proposition = { kind = \"from-countries\", countries = [\"UA\"], extent = \"most\" }",
        );
        refused("[[claim]]\nsaid = \"Well.\"\n", 2, "its words suggest none");
        // What is proposed is a claims file, once a person has written it down.
        let page = proposed("IP addresses originating in the \"Ukraine\" area\u{7}").unwrap();
        assert_eq!(read_text(&page).map(|claims| claims.len()), Ok(1), "{page}");
        for sentence in [
            "Russia is behind it",
            "2 million people were affected",
            "It was a SYN flood by Dark Storm Team",
            "coordinated",
        ] {
            let page = proposed(sentence).unwrap();
            read_text(&page).unwrap_or_else(|error| panic!("{error}\n{page}"));
        }
    }

    /// A small generator, so that the same bytes are tried each time.
    fn draw(state: &mut u64) -> u64 {
        *state += 1;
        detect::conversation::mix(*state)
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 7;
        for round in 0..3_000u64 {
            let mut bytes: Vec<u8> = if round % 3 == 0 {
                (0..draw(&mut state) % 200)
                    .map(|_| draw(&mut state) as u8)
                    .collect()
            } else {
                // One claim's lines, so that most of what is changed is looked at.
                let lines: Vec<&str> = MARCH_10.lines().collect();
                let from = draw(&mut state) as usize % lines.len();
                lines[from..(from + 30).min(lines.len())].join("\n").into_bytes()
            };
            for _ in 0..draw(&mut state) % 6 {
                if bytes.is_empty() {
                    break;
                }
                let at = draw(&mut state) as usize % bytes.len();
                match draw(&mut state) % 4 {
                    0 => bytes[at] = draw(&mut state) as u8,
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, b"\"[]{}=#\n\\'-.0e"[draw(&mut state) as usize % 14]),
                    _ => {
                        let tail = bytes.split_off(at);
                        bytes.extend(tail.iter().rev());
                    }
                }
            }
            if let Err(error) = parse("claims.toml", &bytes, &Beside::NOTHING) {
                assert!(error.starts_with("claims.toml"), "{error}");
            }
            let _ = proposed(&String::from_utf8_lossy(&bytes));
        }
        assert!(read_text(&format!("x = {}", "[".repeat(100_000))).is_err());
    }

    fn share(estimate: f64, low: f64, high: f64) -> Share {
        Share { estimate, low, high }
    }

    /// A case like that day's: a world-wide botnet, Ukraine one percent, hardly anything forged, all under one control.
    fn that_day() -> Incident {
        let start = 1_741_599_930_000_000_000;
        let world = [
            ("US", 0.22),
            ("VN", 0.14),
            ("BR", 0.12),
            ("MX", 0.09),
            ("ES", 0.07),
            ("IT", 0.07),
            ("UA", 0.01),
        ];
        Incident {
            id: "syn-flood-0000000001".to_owned(),
            target: "198.41.30.10".parse().unwrap(),
            target_hosts: 1,
            ports: Vec::new(),
            start_ns: start,
            end_ns: Some(start + 370_000_000_000),
            ongoing: false,
            peak: Peak {
                at_ns: start,
                packets_per_second: 4e8,
                bits_per_second: 3e12,
                requests_per_second: None,
            },
            packets: 649_977,
            bytes: 150_120_000,
            requests: None,
            vectors: Vec::new(),
            timeline: Timeline {
                start_ns: start,
                step_ns: 1,
                packets: Vec::new(),
            },
            sources: Sources {
                distinct: 17_478,
                distinct_exact: true,
                forged: share(0.005, 0.0, 0.05),
                forged_because: Vec::new(),
                reflected: Share::default(),
                countries: Vec::new(),
                networks: Vec::new(),
                prefixes: Vec::new(),
                kinds: Vec::new(),
                classes: Vec::new(),
                not_made: Vec::new(),
                senders: Senders {
                    share: share(0.99, 0.95, 1.0),
                    distinct: 17_478,
                    countries: world
                        .iter()
                        .map(|(code, part)| Located {
                            network: None,
                            key: country::read(code).unwrap(),
                            by_packets: share(*part, part * 0.6, part * 1.4),
                            by_sources: share(*part, part * 0.6, part * 1.4),
                            distinct: (part * 17_478.0) as u64,
                            majority: 0.0,
                            first: if *code == "US" { 0.9 } else { 0.02 },
                            top_five: 0.5,
                            rank: (1, 9),
                            usual: None,
                            over: None,
                        })
                        .collect(),
                    networks: Vec::new(),
                    kinds: Vec::new(),
                },
                meaning: Meaning::Senders,
            },
            audience: None,
            coordination: Some(Coordination {
                probability: 0.9,
                start_spread_s: 1.0,
                start_together: 0.95,
                stop_together: 0.9,
                fingerprints: 2.0,
                rate_variation: 0.3,
                controllers_min: 1,
                because: vec!["They began together.".to_owned()],
            }),
            size: Vec::new(),
            confidence: Confidence::High,
            caveats: Vec::new(),
        }
    }

    #[test]
    fn the_claims_of_that_day_are_judged() {
        let claims = parse("march-10.toml", MARCH_10.as_bytes(), &Beside::NOTHING)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(claims.len(), 13);
        assert!(
            claims
                .iter()
                .all(|claim| claim.by.is_some() && claim.url.is_some())
        );
        let mut day = that_day();
        day.size = incident::size::standings(&day);
        let evidence = Evidence {
            first_ns: Some(day.start_ns - 60_000_000_000),
            last_ns: Some(day.start_ns + 600_000_000_000),
            ..Evidence::default()
        };
        let verdicts = incident::judge(&claims, &[day], &evidence);
        let of = |by: &str, kind: &str, has: &str| -> &Verdict {
            verdicts
                .iter()
                .find(|v| {
                    v.claim.proposition.kind() == kind
                        && v.claim.said.contains(has)
                        && v.claim.by.as_deref().is_some_and(|b| b.contains(by))
                })
                .unwrap_or_else(|| panic!("{by} {kind}"))
        };
        assert!(of("Musk", "from-countries", "not sure").words <= Words::VeryUnlikely);
        assert_eq!(
            of("Musk", "from-countries", "some of them").words,
            Words::AlmostCertain
        );
        assert_eq!(of("Musk", "actor-state", "").words, Words::CannotBeAssessed);
        assert_eq!(of("Cragle", "actor-state", "").words, Words::CannotBeAssessed);
        let group = of("Dark Storm", "actor-group", "");
        assert!(!group.assessable && group.because[0].contains("unproven"));
        let coordinated = of("Musk", "coordinated", "");
        assert!(coordinated.words >= Words::Likely && coordinated.words != Words::CannotBeAssessed);
        assert!(
            coordinated
                .about
                .as_deref()
                .is_some_and(|about| about.contains("not determinable"))
        );
        assert_eq!(
            of("Musk", "many-resources", "").words,
            Words::AlmostCertain,
            "3 Tbit/s"
        );
        assert!(of("Musk", "is-attack", "").words >= Words::VeryLikely);
        assert_eq!(of("source", "started-at", "").words, Words::AlmostCertain);
        assert_eq!(
            of("Financial", "people-affected", "").words,
            Words::CannotBeAssessed
        );
    }
}
