//! Who usually uses a service, as a file: `epicenter.audience/1`, JSON lines, plain or compressed.
//!
//! `listen` and `serve` keep what they learn hour by hour in one, a bundle carries what `--audience` showed, and `--audience` takes
//! either. Each line stands for itself; lines that are damaged are counted and left out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::Context;
use atlas::{Country, Kind};
use detect::audience::{MAX_USES, Use};
use detect::{Regulars, Vector};
use serde::{Deserialize, Serialize};
use trace::Past;
use trace::hours::{CELLS_MAX, Cell, Hour, Hours, Sent};
use wire::access::Log;

use crate::args::mapped;
use crate::input::Source;
use crate::{case_json, series, tell};

/// Name of the form, in the first line.
pub(crate) const SCHEMA: &str = "epicenter.audience/1";
/// Bytes of a line.
const LINE_MAX: usize = 1 << 20;
/// Bytes that are read of a file, unpacked.
const BYTES_MAX: u64 = 1 << 30;
/// How far into a file its first line is looked for.
const HEAD: usize = 4_096;
/// Characters of the words that name where it was learnt.
const NAME_MAX: usize = 4_096;
const LEVEL: i32 = 6;
const HOUR_NS: u64 = 3_600_000_000_000;

/// A line. Which fields it has says what it is.
#[derive(Default, Deserialize, Serialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    /// Of the first line: where the clients below were seen, for how long, and which sample of them this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learnt_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watched_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thinned: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<IpAddr>,
    /// A client of the service, or of any where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vector: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<u32>,
    /// The service in one hour, which begins then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hour: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    from: Vec<Origin>,
}

/// Clients of one origin in one hour.
#[derive(Deserialize, Serialize)]
struct Origin {
    country: String,
    network: u32,
    kind: String,
    clients: u64,
    /// By vector: packets, clients, and clients counted once in each window.
    sent: BTreeMap<String, [u64; 3]>,
}

/// Lines that were left out: how many, and the number of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    lines: u64,
    first: u64,
}

impl Damage {
    /// In words, where there is any.
    pub(crate) fn words(&self, name: &str) -> Option<String> {
        (self.lines > 0).then(|| {
            format!(
                "{name}: {} lines are damaged and were left out, the first is line {}",
                self.lines, self.first
            )
        })
    }
}

/// The same of other addresses.
pub(crate) fn readdressed(past: &Past, address: &mut dyn FnMut(Ipv6Addr) -> Ipv6Addr) -> Past {
    let uses = past.regulars.uses().iter().map(|of| Use {
        service: address(of.service),
        client: address(of.client),
        ..*of
    });
    let uses = uses.collect();
    let anybody = past.regulars.anybody().iter().map(|of| address(*of)).collect();
    let mut hours = Hours::default();
    for (service, hour, of) in past.hours.past() {
        hours.add(address(service), hour, of.clone());
    }
    Past {
        regulars: Regulars::of(uses, anybody, past.regulars.level(), past.regulars.thinned()),
        hours,
        ..past.clone()
    }
}

/// The first bytes of a source, unpacked; none of one that can be read once only. A file that cannot be unpacked is told by whoever
/// reads it.
fn head(source: &Source) -> Vec<u8> {
    let mut head = Vec::new();
    if source.lasts()
        && let Ok(opened) = source.open()
        && let Ok(opened) = series::unpacked(opened)
    {
        let _ = opened.take(HEAD as u64).read_to_end(&mut head);
    }
    head
}

/// Whether a source is such a file: by its first line, compressed or not.
pub(crate) fn is_audience(source: &Source) -> bool {
    let head = head(source);
    let schema = format!("\"schema\":\"{SCHEMA}\"");
    head.starts_with(b"{") && head.windows(schema.len()).any(|part| part == schema.as_bytes())
}

/// Whether a source is an access log: text of which half of the first lines or more name a client.
pub(crate) fn is_log(source: &Source) -> bool {
    let head = head(source);
    let is_text = matches!(wire::recognise(&head), wire::Kind::Unknown(_)) && !head.contains(&0);
    let mut log = Log::default();
    let (mut named, mut all) = (0, 0);
    // The last line may be cut off by the end of the head.
    for line in head
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| !line.starts_with(b"#"))
    {
        named += usize::from(log.client(line).is_some());
        all += usize::from(line.ends_with(b"\n"));
    }
    is_text && named > 0 && named * 2 >= all
}

/// Reads who asked in an access log. How often says nothing of packets, so no more is taken than who it was.
///
/// # Errors
///
/// It cannot be opened or unpacked.
pub(crate) fn read_log(source: &Source) -> Result<Past, String> {
    let name = &source.name;
    let opened = source.open().map_err(|error| format!("{name}: {error}"))?;
    let opened = series::unpacked(opened).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let mut opened = BufReader::with_capacity(1 << 18, opened);
    let mut past = Past {
        name: name.clone(),
        ..Past::default()
    };
    let (mut log, mut line) = (Log::default(), Vec::new());
    let (mut clients, mut lines, mut named, mut inside) = (Vec::new(), 0u64, 0u64, 0u64);
    loop {
        line.clear();
        match opened.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tell(&format!(
                    "{name}: what comes after line {lines} cannot be read: {error}"
                ));
                break;
            }
        }
        lines += 1;
        if let Some(client) = log.client(&line) {
            named += 1;
            inside += u64::from(is_private(client));
            clients.push(client);
        }
        if clients.len() >= MAX_USES {
            let some = std::mem::take(&mut clients);
            past.regulars.join(Regulars::of(Vec::new(), some, 0, 0));
        }
    }
    past.regulars.join(Regulars::of(Vec::new(), clients, 0, 0));
    if named < lines {
        tell(&format!(
            "{name}: {} of {lines} lines name no client address and were left out",
            lines - named
        ));
    }
    if inside * 2 > named {
        tell(&format!(
            "{name}: most of its clients are private addresses: it seems to show a proxy in front and not the audience"
        ));
    }
    Ok(past)
}

fn is_private(address: Ipv6Addr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Reads a source.
///
/// # Errors
///
/// It cannot be opened or unpacked.
pub(crate) fn read(source: &Source) -> Result<(Past, Damage), String> {
    let name = &source.name;
    let opened = source.open().map_err(|error| format!("{name}: {error}"))?;
    let opened = series::unpacked(opened).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    Ok(parse(opened))
}

/// Puts what two know together.
pub(crate) fn join(past: &mut Past, other: Past) {
    past.regulars.join(other.regulars);
    past.watched_ns = past.watched_ns.saturating_add(other.watched_ns);
    if !past.name.is_empty() && !other.name.is_empty() {
        past.name.push_str(", ");
    }
    past.name.push_str(&other.name);
    for (service, hour, of) in other.hours.past() {
        past.hours.add(service, hour, of.clone());
    }
}

fn parse(source: impl Read) -> (Past, Damage) {
    let mut past = Past::default();
    let mut damage = Damage::default();
    let (mut uses, mut anybody) = (Vec::new(), Vec::new());
    let (mut level, mut thinned) = (0, 0);
    let mut source = BufReader::with_capacity(1 << 18, source.take(BYTES_MAX));
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = source
            .by_ref()
            .take(LINE_MAX as u64 + 1)
            .read_until(b'\n', &mut line);
        let is_whole = line.ends_with(b"\n");
        let understood = match read {
            Ok(0) => break,
            // A line that was cut off is damaged, as one that is too long; and behind a break nothing can be read.
            Ok(_) if is_whole => understand(&line),
            Ok(_) | Err(_) => None,
        };
        match understood {
            Some(Known::About(name, watched_ns, of_clients, of_pairs)) => {
                (past.name, past.watched_ns) = (name, watched_ns);
                (level, thinned) = (of_clients, of_pairs);
            }
            Some(Known::Use(of)) if uses.len() < MAX_USES => uses.push(of),
            Some(Known::Client(client)) if anybody.len() < MAX_USES => anybody.push(client),
            Some(Known::Hour(service, hour, of)) => past.hours.add(service, hour, of),
            Some(Known::Use(_) | Known::Client(_)) | None => {
                if damage.lines == 0 {
                    damage.first = number;
                }
                damage.lines += 1;
                if !is_whole {
                    break;
                }
            }
        }
    }
    past.regulars = Regulars::of(uses, anybody, level, thinned);
    (past, damage)
}

/// What a line says.
enum Known {
    About(String, u64, u32, u32),
    Use(Use),
    Client(Ipv6Addr),
    Hour(Ipv6Addr, u64, Hour),
}

fn understand(line: &[u8]) -> Option<Known> {
    let line: Line = serde_json::from_slice(line).ok()?;
    if let Some(schema) = line.schema {
        let name = line.learnt_from.unwrap_or_default();
        let (level, thinned) = (line.level.unwrap_or(0), line.thinned.unwrap_or(0));
        let is_sane = schema == SCHEMA && name.len() <= NAME_MAX && level < 64 && thinned < 64;
        return is_sane.then(|| Known::About(name, line.watched_ns.unwrap_or(0), level, thinned));
    }
    if let Some(hour) = line.hour {
        let cells: Option<Vec<Cell>> = line.from.into_iter().map(cell).collect();
        let of = Hour {
            watched_ns: line.watched_ns?.min(HOUR_NS),
            cells: cells.filter(|cells| cells.len() <= 16 * CELLS_MAX)?,
        };
        return Some(Known::Hour(
            mapped(line.service?),
            nanoseconds(&hour)? / HOUR_NS,
            of,
        ));
    }
    let client = mapped(line.client?);
    let Some(service) = line.service else {
        return Some(Known::Client(client));
    };
    Some(Known::Use(Use {
        service: mapped(service),
        client,
        vector: vector(&line.vector?)?,
        first_ns: nanoseconds(&line.first?)?,
        packets: line.packets?,
        seen: line.seen?,
    }))
}

fn cell(of: Origin) -> Option<Cell> {
    let country: [u8; 2] = of.country.as_bytes().try_into().ok()?;
    let sent: Option<Vec<Sent>> = of
        .sent
        .iter()
        .map(|(name, &[packets, clients, seen])| {
            Some(Sent {
                vector: vector(name)?,
                packets,
                clients,
                seen,
            })
        })
        .collect();
    let mut sent = sent?;
    sent.sort_by_key(|sent| sent.vector);
    // No sum of such numbers overflows.
    let most = sent.iter().flat_map(|s| [s.clients, s.seen]).max().unwrap_or(0);
    let is_sane = country.iter().all(u8::is_ascii_uppercase) && of.clients.max(most) <= 1 << 40;
    is_sane.then_some(Cell {
        country: Country(country),
        asn: of.network,
        kind: Kind::from_name(&of.kind)?,
        clients: of.clients,
        sent,
    })
}

fn vector(name: &str) -> Option<Vector> {
    Vector::ALL.iter().copied().find(|vector| vector.name() == name)
}

fn nanoseconds(time: &str) -> Option<u64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// The lines of what is known.
pub(crate) fn render(past: &Past) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut say = |line: &Line| -> anyhow::Result<()> {
        serde_json::to_writer(&mut lines, line)?;
        lines.push(b'\n');
        Ok(())
    };
    let address = |address: Ipv6Addr| Some(address.to_canonical());
    say(&Line {
        schema: Some(SCHEMA.to_owned()),
        learnt_from: Some(past.name.clone()),
        watched_ns: Some(past.watched_ns),
        level: Some(past.regulars.level()),
        thinned: Some(past.regulars.thinned()),
        ..Line::default()
    })?;
    for of in past.regulars.uses() {
        say(&Line {
            service: address(of.service),
            client: address(of.client),
            vector: Some(of.vector.name().to_owned()),
            first: Some(case_json::time(of.first_ns)),
            packets: Some(of.packets),
            seen: Some(of.seen),
            ..Line::default()
        })?;
    }
    for client in past.regulars.anybody() {
        say(&Line {
            client: address(*client),
            ..Line::default()
        })?;
    }
    for (service, hour, of) in past.hours.past() {
        say(&Line {
            service: address(service),
            hour: Some(case_json::time(hour * HOUR_NS)),
            watched_ns: Some(of.watched_ns),
            from: of.cells.iter().map(origin).collect(),
            ..Line::default()
        })?;
    }
    Ok(lines)
}

fn origin(cell: &Cell) -> Origin {
    let sent = |sent: &Sent| {
        (
            sent.vector.name().to_owned(),
            [sent.packets, sent.clients, sent.seen],
        )
    };
    Origin {
        country: cell.country.to_string(),
        network: cell.asn,
        kind: cell.kind.name().to_owned(),
        clients: cell.clients,
        sent: cell.sent.iter().map(sent).collect(),
    }
}

/// The same, compressed.
pub(crate) fn packed(past: &Past) -> anyhow::Result<Vec<u8>> {
    let mut packed = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
    packed.include_checksum(true)?;
    packed.write_all(&render(past)?)?;
    Ok(packed.finish()?)
}

/// What a file holds that a listener kept; nothing where there is none yet.
///
/// # Errors
///
/// It is there and is no such file: it is not to be overwritten.
pub(crate) fn kept(path: &Path) -> anyhow::Result<(Hours, Damage)> {
    if !path.exists() {
        return Ok((Hours::default(), Damage::default()));
    }
    let source = Source::file(path);
    if !is_audience(&source) {
        anyhow::bail!("{}: is there and holds no audience ({SCHEMA})", path.display());
    }
    let (past, damage) = read(&source).map_err(anyhow::Error::msg)?;
    Ok((past.hours, damage))
}

/// Keeps what a listener learnt: writes beside the file first, so that a crash leaves the old one or the new one.
pub(crate) fn keep(path: &Path, hours: &Hours) -> anyhow::Result<()> {
    let past = Past {
        hours: hours.clone(),
        ..Past::default()
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, packed(&past)?)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("{}: the audience cannot be kept", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Past {
        let address = |text: &str| mapped(text.parse().unwrap());
        let of = |client: &str, vector| Use {
            service: address("198.51.100.1"),
            client: address(client),
            vector,
            first_ns: 1_700_000_000_123_456_789,
            packets: 7,
            seen: 1,
        };
        let uses = vec![
            of("203.0.113.9", Vector::SynFlood),
            of("203.0.113.9", Vector::AckFlood),
            of("2001:db8::1", Vector::SynFlood),
        ];
        let mut hours = Hours::default();
        let sent = |vector, packets| Sent {
            vector,
            packets,
            clients: 4,
            seen: 9,
        };
        let cell = |country: &[u8; 2], asn| Cell {
            country: Country(*country),
            asn,
            kind: Kind::Access,
            clients: 5,
            sent: vec![sent(Vector::SynFlood, 40), sent(Vector::QuicFlood, 90)],
        };
        for hour in [472_222, 472_223] {
            let of = Hour {
                watched_ns: HOUR_NS,
                cells: vec![cell(b"DE", 3320), cell(b"ZZ", 0)],
            };
            hours.add(address("198.51.100.1"), hour, of);
        }
        Past {
            regulars: Regulars::of(uses, vec![address("192.0.2.1")], 0, 3),
            watched_ns: 60_000_000_000,
            name: "monday.pcap, \"tuesday\".pcap".to_owned(),
            hours,
        }
    }

    #[test]
    fn what_is_known_can_be_read_back() {
        let past = known();
        let lines = render(&past).unwrap();
        let (again, damage) = parse(&lines[..]);
        assert_eq!(damage, Damage::default());
        assert_eq!(render(&again).unwrap(), lines);
        assert_eq!(again.regulars, past.regulars);
        assert!(again.hours.past().eq(past.hours.past()));
        let source = crate::evidence::sources_of([("a", &packed(&past).unwrap()[..])].into_iter()).remove(0);
        assert!(is_audience(&source));
        assert_eq!(render(&read(&source).unwrap().0).unwrap(), lines);
    }

    #[test]
    fn damaged_lines_are_left_out_and_the_others_used() {
        let lines = render(&known()).unwrap();
        for cut in 0..lines.len() {
            let (past, damage) = parse(&lines[..cut]);
            assert!(damage.lines <= 1);
            assert!(past.regulars.uses().len() <= 3);
        }
        let text = String::from_utf8(lines).unwrap();
        for (from, to) in [
            ("\"packets\":7", "\"packets\":-7"),
            ("203.0.113.9", "203.0.113.900"),
            ("\"DE\"", "\"D\u{e9}\""),
            ("\"clients\":5", "\"clients\":99999999999999"),
            ("syn_flood", "sin_flood"),
        ] {
            let (_, damage) = parse(text.replacen(from, to, 1).as_bytes());
            assert_eq!(damage.lines, 1, "{to}");
            assert!(damage.words("a.zst").unwrap().contains("the first is line"));
        }
    }
}
