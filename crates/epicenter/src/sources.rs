//! Other people's address databases, read into rows: MMDB (MaxMind, DB-IP and IPinfo layouts) and CSV.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, bail};
use atlas::{Country, Prefix, Row};
use serde_json::Value;

/// The rows of one source, and the day it was built where it says so.
pub(crate) struct Source {
    pub(crate) rows: Vec<Row>,
    pub(crate) built: Option<String>,
}

/// Reads a source, whatever it is.
pub(crate) fn read(path: &Path) -> anyhow::Result<Source> {
    let bytes = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    // An MMDB file ends with its metadata, behind this mark.
    if bytes
        .windows(14)
        .rev()
        .take(128 << 10)
        .any(|window| window == b"\xab\xcd\xefMaxMind.com")
    {
        mmdb(bytes).with_context(|| format!("{}", path.display()))
    } else {
        csv_rows(&bytes).with_context(|| format!("{}", path.display()))
    }
}

fn mmdb(bytes: Vec<u8>) -> anyhow::Result<Source> {
    let reader = maxminddb::Reader::from_source(bytes)?;
    let built = jiff::Timestamp::from_second(reader.metadata().build_epoch as i64)?
        .strftime("%Y-%m-%d")
        .to_string();
    let mut rows = Vec::new();
    for found in reader.networks(maxminddb::WithinOptions::default())? {
        let found = found?;
        let network: Prefix = found.network()?.to_string().parse().map_err(anyhow::Error::msg)?;
        let Some(value) = found.decode::<Value>()? else {
            continue;
        };
        let row = Row {
            first: network.base,
            last: network.last(),
            country: country_of(&value),
            network: network_of(&value),
            kind: None,
        };
        if row.country.is_some() || row.network.is_some() {
            rows.push(row);
        }
    }
    Ok(Source {
        rows,
        built: Some(built),
    })
}

fn country(text: &str) -> Option<Country> {
    let upper = text.trim().to_ascii_uppercase();
    let code: [u8; 2] = upper.as_bytes().try_into().ok()?;
    (code.iter().all(u8::is_ascii_uppercase) && code != *b"ZZ").then_some(Country(code))
}

/// MaxMind: country.iso_code, else registered_country.iso_code. IPinfo and others: country or country_code.
fn country_of(value: &Value) -> Option<Country> {
    let text = [
        "/country/iso_code",
        "/country_code",
        "/country",
        "/registered_country/iso_code",
    ]
    .iter()
    .find_map(|path| value.pointer(path)?.as_str())?;
    country(text)
}

/// MaxMind and DB-IP: autonomous_system_number and _organization. IPinfo: asn ("AS123") and as_name or name.
fn network_of(value: &Value) -> Option<(u32, String)> {
    let number = ["autonomous_system_number", "asn"]
        .iter()
        .find_map(|key| value.get(key))?;
    let asn = match number {
        Value::Number(n) => n.as_u64()?.try_into().ok()?,
        Value::String(text) => asn(text)?,
        _ => return None,
    };
    let name = [
        "autonomous_system_organization",
        "as_name",
        "name",
        "as_domain",
        "organization",
    ]
    .iter()
    .find_map(|key| value.get(key)?.as_str())
    .unwrap_or("");
    Some((asn, name.to_owned()))
}

fn asn(text: &str) -> Option<u32> {
    text.trim()
        .trim_start_matches("AS")
        .trim_start_matches("as")
        .parse()
        .ok()
        .filter(|&asn| asn != 0)
}

/// An address, or a number as some tables write it.
fn address(text: &str) -> Option<Ipv6Addr> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        });
    }
    match text.parse::<u128>().ok()? {
        v4 if v4 <= u128::from(u32::MAX) => Some(std::net::Ipv4Addr::from_bits(v4 as u32).to_ipv6_mapped()),
        v6 => Some(Ipv6Addr::from_bits(v6)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Start,
    End,
    Network,
    Country,
    Asn,
    Name,
    Other,
}

fn column(name: &str) -> Column {
    match name.trim().to_ascii_lowercase().as_str() {
        "start" | "start_ip" | "ip_range_start" | "range_start" => Column::Start,
        "end" | "end_ip" | "ip_range_end" | "range_end" => Column::End,
        "network" | "cidr" | "prefix" => Column::Network,
        "country" | "country_code" | "country_iso_code" => Column::Country,
        "asn" | "autonomous_system_number" => Column::Asn,
        "name" | "as_name" | "autonomous_system_organization" => Column::Name,
        _ => Column::Other,
    }
}

fn csv_rows(bytes: &[u8]) -> anyhow::Result<Source> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut columns: Option<Vec<Column>> = None;
    let mut rows = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let line = i + 1;
        let record = record.with_context(|| format!("line {line}"))?;
        let columns = match &columns {
            Some(columns) => columns,
            None => {
                let named: Vec<Column> = record.iter().map(column).collect();
                let is_header = named.iter().any(|c| matches!(c, Column::Start | Column::Network));
                let guessed = match record.len() {
                    _ if is_header => named,
                    3 => vec![Column::Start, Column::End, Column::Country],
                    4 => vec![Column::Start, Column::End, Column::Asn, Column::Name],
                    n => bail!(
                        "line {line}: {n} columns and no header; give start,end,country or start,end,asn,name or a header"
                    ),
                };
                columns = Some(guessed);
                if is_header {
                    continue;
                }
                columns.as_ref().expect("just set")
            }
        };
        let field = |wanted: Column| {
            columns
                .iter()
                .position(|c| *c == wanted)
                .and_then(|at| record.get(at))
        };
        let (first, last) = match (field(Column::Network), field(Column::Start), field(Column::End)) {
            (Some(network), ..) => {
                let prefix: Prefix = network
                    .parse()
                    .map_err(anyhow::Error::msg)
                    .with_context(|| format!("line {line}"))?;
                (prefix.base, prefix.last())
            }
            (_, Some(start), Some(end)) => {
                let (Some(first), Some(last)) = (address(start), address(end)) else {
                    bail!("line {line}: `{start}` or `{end}` is no address");
                };
                (first, last)
            }
            _ => bail!("line {line}: no range: a network column, or start and end, are needed"),
        };
        if first > last {
            bail!("line {line}: the range ends before it starts");
        }
        let network = field(Column::Asn)
            .and_then(asn)
            .map(|asn| (asn, field(Column::Name).unwrap_or("").to_owned()));
        rows.push(Row {
            first,
            last,
            country: field(Column::Country).and_then(country),
            network,
            kind: None,
        });
    }
    if rows.is_empty() {
        bail!("it has no rows");
    }
    Ok(Source { rows, built: None })
}

/// The user's own prefixes with kinds: `PREFIX KIND` a line, `#` begins a comment.
pub(crate) fn kinds(path: &Path) -> anyhow::Result<Vec<(Prefix, atlas::Kind)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    kinds_of(&text, &path.display().to_string())
}

/// The same from the text of such a file, with its name for errors.
pub(crate) fn kinds_of(text: &str, name: &str) -> anyhow::Result<Vec<(Prefix, atlas::Kind)>> {
    let mut kinds = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line_number = i + 1;
        let said = line.split('#').next().unwrap_or("").trim();
        if said.is_empty() {
            continue;
        }
        let at = || format!("{name}, line {line_number}");
        let mut words = said.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let (Some(prefix), Some(kind)) = (words.next(), words.next()) else {
            bail!("{}: `PREFIX KIND` is expected, as in `192.0.2.0/24 tor`", at());
        };
        let prefix: Prefix = prefix.parse().map_err(anyhow::Error::msg).with_context(at)?;
        let kind = atlas::Kind::from_name(kind).with_context(|| {
            let names: Vec<_> = atlas::Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("{}: `{kind}` is no kind; kinds are {}", at(), names.join(", "))
        })?;
        kinds.push((prefix, kind));
    }
    Ok(kinds)
}
