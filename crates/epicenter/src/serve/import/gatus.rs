//! Gatus: the `endpoints` of its YAML, with what their conditions say.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use super::super::config::{Probe, Span};
use super::{Taken, is_web, pointer, typed, with_port};

/// Statuses that there are.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

/// Reads a file.
pub(super) fn read(text: &str) -> anyhow::Result<Taken> {
    let file: Value = serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        anyhow::anyhow!("is no YAML: {}", error.lines().next().unwrap_or_default())
    })?;
    let endpoints = file.get("endpoints").or_else(|| file.get("services"));
    let Some(endpoints) = endpoints.and_then(Value::as_array) else {
        bail!("there are no `endpoints` in it");
    };
    let mut taken = Taken::default();
    for endpoint in endpoints {
        one(endpoint, &mut taken);
    }
    for external in file
        .get("external-endpoints")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = text_of(external, "name");
        taken.lose(name, "is left out: it is told how it is, and not probed");
    }
    for suite in file.get("suites").and_then(Value::as_array).into_iter().flatten() {
        taken.lose(text_of(suite, "name"), "is left out: there are no suites");
    }
    for (key, why) in [
        ("alerting", "who is told is set in [[notify]] tables"),
        ("maintenance", "maintenance is not planned here"),
        ("announcements", "operators write to incidents"),
    ] {
        if file.get(key).is_some_and(|value| !value.is_null()) {
            taken.lose(key, format!("is left out: {why}"));
        }
    }
    Ok(taken)
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("").trim()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `300ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut nanoseconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3_600e9),
        ];
        // `ms` begins as `m` does: the longer unit first.
        let (unit, factor) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        nanoseconds += number * factor;
        rest = &rest[unit.len()..];
    }
    (nanoseconds < 1e19).then(|| Duration::from_nanos(nanoseconds as u64))
}

/// In whole milliseconds, one at least: finer times a configuration does not hold.
fn span(duration: Duration) -> Span {
    Span(Duration::from_millis(duration.as_millis().max(1) as u64))
}

/// What conditions say.
#[derive(Debug)]
struct Wanted {
    statuses: Option<Vec<String>>,
    contains: String,
    json: BTreeMap<String, toml::Value>,
    certificate: Duration,
    /// Slower answers are failures.
    faster: Option<Duration>,
    answer: String,
}

fn one(endpoint: &Value, taken: &mut Taken) {
    let (url, group) = (text_of(endpoint, "url"), text_of(endpoint, "group"));
    let name = match text_of(endpoint, "name") {
        "" => url,
        name => name,
    };
    if endpoint.get("enabled").and_then(Value::as_bool) == Some(false) {
        return taken.lose(name, "is left out: it is not enabled");
    }
    let mut lost = Vec::new();
    let probe = probe(endpoint, url, name, group, &mut lost);
    for why in lost {
        taken.lose(name, why);
    }
    match probe {
        Ok(probe) => taken.add(name, group, "", probe),
        Err(why) => taken.lose(name, format!("is left out: {why}")),
    }
}

fn probe(
    endpoint: &Value,
    url: &str,
    name: &str,
    group: &str,
    lost: &mut Vec<String>,
) -> Result<Probe, String> {
    let time = |value: Option<&Value>, key: &str, otherwise: u64, lost: &mut Vec<String>| {
        let text = value.and_then(Value::as_str);
        match text.map(|text| duration(text).ok_or(text)) {
            Some(Ok(found)) if !found.is_zero() => found,
            None => Duration::from_secs(otherwise),
            Some(_) => {
                lost.push(format!("`{key}` is left out: it is no duration"));
                Duration::from_secs(otherwise)
            }
        }
    };
    let nothing = Value::Null;
    let client = endpoint.get("client").unwrap_or(&nothing);
    let every = span(time(endpoint.get("interval"), "interval", 60, lost));
    let mut timeout = time(client.get("timeout"), "client.timeout", 10, lost);
    let dns = endpoint.get("dns").filter(|dns| !dns.is_null());
    let wanted = conditions(endpoint, dns.is_some(), lost);
    if let Some(faster) = wanted.faster.filter(|faster| *faster < timeout) {
        // The probe has one limit: what is too slow is a failure, and is not waited for.
        timeout = faster;
    }
    let timeout = span(timeout);
    for key in ["ssh", "maintenance-windows", "alerts"] {
        if endpoint.get(key).is_some_and(|value| !value.is_null()) {
            lost.push(format!("`{key}` is left out"));
        }
    }
    if let Some(map) = client.as_object() {
        for key in map
            .keys()
            .filter(|key| !matches!(key.as_str(), "timeout" | "ignore-redirect"))
        {
            if map[key] != Value::Bool(false) {
                lost.push(format!("`client.{key}` is left out"));
            }
        }
    }
    if let Some(dns) = dns {
        let record = text_of(dns, "query-type").to_ascii_uppercase();
        let asked = text_of(dns, "query-name");
        if asked.is_empty() {
            return Err("dns.query-name is missing".to_owned());
        }
        if !["A", "AAAA", "CNAME", "MX", "NS", "TXT"].contains(&record.as_str()) {
            return Err(format!("records of type {record} are not asked for"));
        }
        return Ok(Probe::Dns {
            name: asked.to_owned(),
            record,
            server: server(url, lost),
            answer: wanted.answer,
            every,
            timeout,
        });
    }
    if url.contains("${") {
        lost.push("`${…}` in its url is not replaced: write what it stands for".to_owned());
    }
    match url.split_once("://") {
        Some(("http" | "https", _)) if is_web(url) => {
            Ok(http(endpoint, url, name, group, wanted, [every, timeout], lost))
        }
        Some((scheme @ ("tcp" | "tls"), rest)) => {
            let address = rest.split(['/', '?']).next().unwrap_or("");
            if address
                .rsplit_once(':')
                .is_none_or(|(_, port)| port.parse::<u16>().is_err())
            {
                return Err(format!("`{url}` has no port"));
            }
            let address = address.to_owned();
            Ok(if scheme == "tcp" {
                Probe::Tcp {
                    address,
                    every,
                    timeout,
                }
            } else {
                Probe::Tls {
                    address,
                    certificate: span(wanted.certificate),
                    every,
                    timeout,
                }
            })
        }
        Some(("icmp", host)) if !host.is_empty() => Ok(Probe::Icmp {
            host: host.trim_end_matches('/').to_owned(),
            every,
            timeout,
        }),
        _ => Err(format!("there is no probe like `{url}`")),
    }
}

/// The name server that is asked.
fn server(url: &str, lost: &mut Vec<String>) -> String {
    let plain = url.rsplit("://").next().unwrap_or("");
    if plain.parse::<std::net::SocketAddr>().is_ok() {
        return plain.to_owned();
    }
    match plain.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(ip) => with_port(&ip.to_string(), 53),
        Err(_) => {
            lost.push(format!("its name server `{url}` is left out: it is no address"));
            String::new()
        }
    }
}

fn http(
    endpoint: &Value,
    url: &str,
    name: &str,
    group: &str,
    wanted: Wanted,
    [every, timeout]: [Span; 2],
    lost: &mut Vec<String>,
) -> Probe {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in endpoint
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        if text.contains("${") {
            lost.push(format!(
                "`${{…}}` in its header {name} is not replaced: write what it stands for"
            ));
        }
        headers.insert(name.clone(), text);
    }
    let mut body = text_of(endpoint, "body")
        .replace("[ENDPOINT_NAME]", name)
        .replace("[ENDPOINT_GROUP]", group)
        .replace("[ENDPOINT_URL]", url);
    if body.contains("[LOCAL_ADDRESS]") || body.contains("[RANDOM_STRING_") {
        lost.push("placeholders in its body are sent as they are written".to_owned());
    }
    if flag(endpoint, "graphql") {
        body = serde_json::json!({ "query": body }).to_string();
        if !headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("content-type"))
        {
            headers.insert("Content-Type".to_owned(), "application/json".to_owned());
        }
    }
    let client = endpoint.get("client").unwrap_or(&Value::Null);
    Probe::Http {
        url: url.to_owned(),
        method: match text_of(endpoint, "method") {
            "" => "GET".to_owned(),
            method => method.to_ascii_uppercase(),
        },
        headers,
        body,
        // Without a condition on it, Gatus takes any.
        status: wanted
            .statuses
            .unwrap_or_else(|| vec![format!("{}-{}", STATUSES.start(), STATUSES.end())]),
        contains: wanted.contains,
        json: wanted.json,
        answer_headers: BTreeMap::new(),
        redirects: if flag(client, "ignore-redirect") { 0 } else { 10 },
        http2: false,
        certificate: span_or_zero(wanted.certificate),
        every,
        timeout,
    }
}

fn span_or_zero(duration: Duration) -> Span {
    Span(Duration::from_millis(duration.as_millis() as u64))
}

/// Reads the conditions; those that no probe can have are named.
fn conditions(endpoint: &Value, is_dns: bool, lost: &mut Vec<String>) -> Wanted {
    let mut wanted = Wanted {
        statuses: None,
        contains: String::new(),
        json: BTreeMap::new(),
        certificate: Duration::ZERO,
        faster: None,
        answer: String::new(),
    };
    for condition in endpoint
        .get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = condition.as_str().unwrap_or_default();
        if condition_of(text, is_dns, &mut wanted).is_none() {
            lost.push(format!("its condition `{text}` is left out: no probe says it"));
        }
    }
    wanted
}

/// Left side, operator and right side.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    // `<=` before `<`: the longer one is meant where both are there.
    let operators = ["==", "!=", "<=", ">=", "<", ">"];
    let (at, operator) = operators
        .iter()
        .filter_map(|operator| Some((text.find(&format!(" {operator} "))?, *operator)))
        .min()?;
    let (left, right) = (&text[..at], &text[at + operator.len() + 2..]);
    Some((left.trim(), operator, right.trim()))
}

/// The values of `any(a, b)`, or the one that is there.
fn any(text: &str) -> Vec<&str> {
    match text.strip_prefix("any(").and_then(|rest| rest.strip_suffix(')')) {
        Some(list) => list.split(',').map(str::trim).collect(),
        None => vec![text],
    }
}

/// Takes one condition; `None` where no probe can have it.
fn condition_of(text: &str, is_dns: bool, wanted: &mut Wanted) -> Option<()> {
    let (left, operator, right) = parts(text)?;
    match left {
        "[STATUS]" => {
            let found = statuses(operator, right)?;
            let both = match &wanted.statuses {
                None => found,
                Some(before) => common(before, &found)?,
            };
            wanted.statuses = Some(both);
        }
        "[CONNECTED]" if (operator, right) == ("==", "true") => {}
        "[DNS_RCODE]" if is_dns && (operator, right) == ("==", "NOERROR") => {}
        "[RESPONSE_TIME]" if matches!(operator, "<" | "<=") => {
            let limit = right
                .parse()
                .ok()
                .map(Duration::from_millis)
                .or_else(|| duration(right))?;
            (!limit.is_zero()).then_some(())?;
            wanted.faster = Some(wanted.faster.map_or(limit, |before| before.min(limit)));
        }
        "[CERTIFICATE_EXPIRATION]" if matches!(operator, ">" | ">=") => {
            wanted.certificate = wanted.certificate.max(duration(right)?);
        }
        "[BODY]" if operator == "==" => {
            let pattern = right.strip_prefix("pat(").and_then(|rest| rest.strip_suffix(')'));
            match pattern {
                Some(pattern) if !is_dns => {
                    let inner = pattern.strip_prefix('*')?.strip_suffix('*')?;
                    let is_plain = !inner.is_empty() && !inner.contains(['*', '?', '[', '\\']);
                    (is_plain && wanted.contains.is_empty()).then_some(())?;
                    wanted.contains = inner.to_owned();
                }
                None if is_dns && !right.contains(['(', '[']) && wanted.answer.is_empty() => {
                    wanted.answer = right.to_owned();
                }
                // The whole body cannot be compared.
                _ => return None,
            }
        }
        left => {
            let path = left
                .strip_prefix("[BODY]")
                .filter(|_| !is_dns && operator == "==")?;
            let is_value = !right.contains('(') && !right.starts_with('[');
            is_value.then_some(())?;
            let pointer = pointer(path)?;
            (!wanted.json.contains_key(&pointer)).then_some(())?;
            wanted.json.insert(pointer, typed(right));
        }
    }
    Some(())
}

/// Statuses that are well, as ranges.
fn statuses(operator: &str, right: &str) -> Option<Vec<String>> {
    let (first, last) = (*STATUSES.start(), *STATUSES.end());
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|status| STATUSES.contains(status))
    };
    let range = |from: u16, to: u16| match from.cmp(&to) {
        std::cmp::Ordering::Less => Some(format!("{from}-{to}")),
        std::cmp::Ordering::Equal => Some(from.to_string()),
        std::cmp::Ordering::Greater => None,
    };
    match operator {
        "==" => any(right)
            .into_iter()
            .map(|one| number(one).map(|status| status.to_string()))
            .collect(),
        // One past the end is a bound too: `< 600`.
        _ => {
            let bound: u16 = right.parse().ok()?;
            let found: Vec<String> = match operator {
                "<" => range(first, bound.checked_sub(1)?.min(last))
                    .into_iter()
                    .collect(),
                "<=" => range(first, bound.min(last)).into_iter().collect(),
                ">" => range(bound.checked_add(1)?.max(first), last)
                    .into_iter()
                    .collect(),
                ">=" => range(bound.max(first), last).into_iter().collect(),
                "!=" => [
                    range(first, bound.checked_sub(1)?.min(last)),
                    range(bound.checked_add(1)?.max(first), last),
                ]
                .into_iter()
                .flatten()
                .collect(),
                _ => return None,
            };
            (!found.is_empty()).then_some(found)
        }
    }
}

/// What is in both lists of ranges.
fn common(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let ends = |text: &String| -> Option<(u16, u16)> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    let mut both = Vec::new();
    for (from, to) in a.iter().filter_map(ends) {
        for (other_from, other_to) in b.iter().filter_map(ends) {
            let (from, to) = (from.max(other_from), to.min(other_to));
            match from.cmp(&to) {
                std::cmp::Ordering::Less => both.push(format!("{from}-{to}")),
                std::cmp::Ordering::Equal => both.push(from.to_string()),
                std::cmp::Ordering::Greater => {}
            }
        }
    }
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Config;
    use super::*;

    const EXAMPLE: &str = include_str!("../../../data/import/gatus.yaml");

    fn config() -> Config {
        let printed = read(EXAMPLE).expect("YAML").print("Gatus").expect("sound");
        Config::parse(&printed).expect("sound")
    }

    #[test]
    fn endpoints_become_services_with_what_their_conditions_say() {
        let config = config();
        let slugs: Vec<&str> = config
            .service
            .iter()
            .map(|service| service.slug.as_str())
            .collect();
        assert_eq!(
            slugs,
            [
                "core-front-end",
                "core-graph",
                "database",
                "router",
                "names",
                "handshake",
                "plain"
            ]
        );
        assert_eq!(
            (config.service[0].name.as_str(), config.service[0].about.as_str()),
            ("Front end", "core")
        );
        let probes: Vec<&Probe> = config.service.iter().map(|service| &service.probe[0]).collect();
        let Probe::Http {
            status,
            json,
            contains,
            certificate,
            timeout,
            every,
            redirects,
            headers,
            ..
        } = probes[0]
        else {
            panic!("{:?}", probes[0]);
        };
        assert_eq!(status, &["200-299"]);
        assert_eq!(json["/status"], toml::Value::String("UP".to_owned()));
        assert_eq!(json["/parts/0/count"], toml::Value::Integer(3));
        assert_eq!(contains, "welcome");
        assert_eq!(certificate.0, Duration::from_secs(48 * 3_600));
        assert_eq!(
            (timeout.0, every.0),
            (Duration::from_millis(300), Duration::from_secs(90))
        );
        assert_eq!(*redirects, 0);
        assert_eq!(headers["Authorization"], "Bearer x");
        let Probe::Http {
            method,
            body,
            headers,
            status,
            timeout,
            ..
        } = probes[1]
        else {
            panic!("{:?}", probes[1]);
        };
        assert_eq!(
            (method.as_str(), body.as_str()),
            ("POST", r#"{"query":"{ users(of: \"core\") }"}"#)
        );
        assert_eq!(headers["Content-Type"], "application/json");
        assert_eq!(
            (status.as_slice(), timeout.0),
            (
                ["200".to_owned(), "429".to_owned()].as_slice(),
                Duration::from_secs(5)
            )
        );
        assert!(matches!(probes[2], Probe::Tcp { address, .. } if address == "db.example:5432"));
        assert!(matches!(probes[3], Probe::Icmp { host, .. } if host == "192.0.2.1"));
        assert!(
            matches!(probes[4], Probe::Dns { name, record, server, answer, .. }
                if name == "example.org" && record == "A" && server == "192.0.2.53:53" && answer == "192.0.2.80")
        );
        assert!(matches!(probes[5], Probe::Tls { address, certificate, .. }
                if address == "mail.example:465" && certificate.0 == Duration::from_secs(240 * 3_600)));
        // Gatus takes any status where no condition names one.
        assert!(matches!(probes[6], Probe::Http { status, .. } if status == &["100-599"]));
    }

    #[test]
    fn what_no_probe_says_is_named() {
        let taken = read(EXAMPLE).expect("YAML");
        let lost = |name: &str| -> Vec<&str> {
            let of = taken.lost.iter().filter(|(of, _)| of == name);
            of.map(|(_, why)| why.as_str()).collect()
        };
        assert_eq!(
            lost("Front end"),
            [
                "its condition `len([BODY].parts) > 2` is left out: no probe says it",
                "`alerts` is left out"
            ]
        );
        assert_eq!(lost("Graph"), ["`client.insecure` is left out"]);
        assert_eq!(lost("Off"), ["is left out: it is not enabled"]);
        assert_eq!(
            lost("Shell"),
            [
                "`ssh` is left out",
                "is left out: there is no probe like `ssh://host.example:22`"
            ]
        );
        assert_eq!(
            lost("pushed"),
            ["is left out: it is told how it is, and not probed"]
        );
        assert_eq!(lost("alerting").len(), 1);
        assert_eq!(
            lost("Plain"),
            ["its condition `[IP] == 192.0.2.80` is left out: no probe says it"]
        );
    }

    #[test]
    fn conditions_on_the_status_hold_together() {
        let of = |conditions: &[&str]| {
            let endpoint = serde_json::json!({ "conditions": conditions });
            let mut lost = Vec::new();
            let wanted = super::conditions(&endpoint, false, &mut lost);
            (wanted.statuses.unwrap_or_default().join(","), lost.len())
        };
        assert_eq!(of(&["[STATUS] == 200"]), ("200".to_owned(), 0));
        assert_eq!(of(&["[STATUS] == any(200, 404)"]), ("200,404".to_owned(), 0));
        assert_eq!(of(&["[STATUS] < 300"]), ("100-299".to_owned(), 0));
        assert_eq!(
            of(&["[STATUS] <= 300", "[STATUS] >= 200", "[STATUS] != 204"]),
            ("200-203,205-300".to_owned(), 0)
        );
        assert_eq!(
            of(&["[STATUS] > 499", "[STATUS] == 200"]),
            ("500-599".to_owned(), 1)
        );
        assert_eq!(
            of(&["[STATUS] < 0", "[STATUS] == x", "[STATUS] == 2000", "[STATUS]"]),
            (String::new(), 4)
        );
    }

    #[test]
    fn durations_are_those_of_go() {
        let ms = |text: &str| duration(text).map(|found| found.as_millis());
        assert_eq!(ms("60s"), Some(60_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1.5s"), Some(1_500));
        assert_eq!(ms("300ms"), Some(300));
        assert_eq!(ms("2m3s4ms5us"), Some(123_004));
        for text in ["", "5", "s", "-1s", "1d", "1..5s", "99999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_configuration_of_gatus_is_refused() {
        for text in ["", "a: [", "endpoints: 3", "- 1", "endpoints: {a: 1}"] {
            assert!(read(text).is_err(), "{text}");
        }
        // A small file that grows without end when it is read.
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let line = format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
            bomb.push_str(&line);
        }
        bomb.push_str("endpoints: *a11\n");
        assert!(read(&bomb).is_err());
    }
}
