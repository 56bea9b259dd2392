//! Uptime Kuma: the file of "Export" (`monitorList`), or the list of monitors alone, as its socket gives it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use serde_json::Value;

use super::super::config::{Probe, Span};
use super::{Taken, is_web, pointer, typed, with_port};

/// Reads a file.
pub(super) fn read(text: &str) -> anyhow::Result<Taken> {
    let file: Value = serde_json::from_str(text).context("is no JSON")?;
    let list = file.get("monitorList").unwrap_or(&file);
    let monitors: Vec<&Value> = match list {
        Value::Array(list) => list.iter().collect(),
        // By id, as the socket gives it.
        Value::Object(map) if map.values().all(|one| one.get("type").is_some()) => map.values().collect(),
        _ => bail!("there is no `monitorList` in it"),
    };
    let groups: BTreeMap<u64, &str> = monitors
        .iter()
        .filter(|one| text_of(one, "type") == "group")
        .filter_map(|one| Some((number(one, "id")? as u64, text_of(one, "name"))))
        .collect();
    let mut taken = Taken::default();
    for monitor in &monitors {
        let group = number(monitor, "parent")
            .and_then(|id| groups.get(&(id as u64)))
            .copied();
        one(monitor, group.unwrap_or(""), &mut taken);
    }
    for (key, why) in [
        ("notificationList", "who is told is set in [[notify]] tables"),
        ("proxyList", "probes go out directly, through no proxy"),
    ] {
        if file
            .get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
        {
            taken.lose(key, format!("is left out: {why}"));
        }
    }
    Ok(taken)
}

fn text_of<'a>(monitor: &'a Value, key: &str) -> &'a str {
    monitor.get(key).and_then(Value::as_str).unwrap_or("").trim()
}

/// A number, also one that was written as text.
fn number(monitor: &Value, key: &str) -> Option<f64> {
    let value = monitor.get(key)?;
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// A truth: SQLite has 0 and 1 for it.
fn flag(monitor: &Value, key: &str) -> bool {
    match monitor.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

fn seconds(number: f64) -> Span {
    Span(Duration::from_millis((number * 1_000.0).clamp(1.0, 1e12) as u64))
}

fn one(monitor: &Value, group: &str, taken: &mut Taken) {
    let named = [
        text_of(monitor, "name"),
        text_of(monitor, "hostname"),
        text_of(monitor, "url"),
    ];
    let name = named
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("(without a name)");
    let kind = text_of(monitor, "type");
    if kind == "group" {
        // It is what its members are called after.
        return;
    }
    if monitor.get("active").is_some() && !flag(monitor, "active") {
        return taken.lose(name, "is left out: it is paused");
    }
    if flag(monitor, "upsideDown") {
        return taken.lose(
            name,
            "is left out: it is upside down, and a probe is well when it works",
        );
    }
    let every = number(monitor, "interval").filter(|s| *s > 0.0).unwrap_or(60.0);
    // Where none is set, Uptime Kuma takes four fifths of the interval.
    let usual = (every * 0.8).min(super::TIMEOUT_MAX.as_secs_f64());
    let timeout = number(monitor, "timeout").filter(|s| *s > 0.0).unwrap_or(usual);
    let (every, timeout) = (seconds(every), seconds(timeout));
    let host = text_of(monitor, "hostname");
    let mut lost = Vec::new();
    let probe = match kind {
        "http" | "keyword" | "json-query" => http(monitor, kind, every, timeout, &mut lost),
        "port" => match number(monitor, "port").filter(|port| (1.0..65_536.0).contains(port)) {
            Some(port) if !host.is_empty() => Ok(Probe::Tcp {
                address: with_port(host, port as u64),
                every,
                timeout,
            }),
            _ => Err("host or port is missing".to_owned()),
        },
        "ping" if host.is_empty() => Err("the host is missing".to_owned()),
        "ping" => Ok(Probe::Icmp {
            host: host.to_owned(),
            every,
            timeout,
        }),
        "dns" => dns(monitor, host, every, timeout, &mut lost),
        "" => Err("it has no type".to_owned()),
        kind => Err(format!("there is no probe like its type `{kind}`")),
    };
    for why in lost {
        taken.lose(name, why);
    }
    match probe {
        Ok(probe) => taken.add(name, group, text_of(monitor, "description"), probe),
        Err(why) => taken.lose(name, format!("is left out: {why}")),
    }
    let conditions = monitor.get("conditions").and_then(Value::as_array);
    if conditions.is_some_and(|list| !list.is_empty()) {
        taken.lose(name, "`conditions` are left out");
    }
}

fn http(
    monitor: &Value,
    kind: &str,
    every: Span,
    timeout: Span,
    lost: &mut Vec<String>,
) -> Result<Probe, String> {
    let url = text_of(monitor, "url");
    if !is_web(url) {
        return Err(format!("`{url}` is no address of the web"));
    }
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    match monitor.get("headers") {
        // A text that holds JSON.
        Some(Value::String(text)) if !text.trim().is_empty() => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(map)) => {
                headers.extend(map.iter().map(|(name, value)| (name.clone(), plain(value))))
            }
            _ => lost.push("`headers` are left out: they are no JSON object".to_owned()),
        },
        Some(Value::Object(map)) => {
            headers.extend(map.iter().map(|(name, value)| (name.clone(), plain(value))))
        }
        _ => {}
    }
    let body = text_of(monitor, "body").to_owned();
    if !body.is_empty()
        && !headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("content-type"))
    {
        let kind = match text_of(monitor, "httpBodyEncoding") {
            "xml" => "text/xml; charset=utf-8",
            "form" => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        headers.insert("Content-Type".to_owned(), kind.to_owned());
    }
    match text_of(monitor, "authMethod") {
        "" | "null" => {}
        "basic" => {
            let user = format!(
                "{}:{}",
                text_of(monitor, "basic_auth_user"),
                text_of(monitor, "basic_auth_pass")
            );
            let encoded = base64::engine::general_purpose::STANDARD.encode(user);
            headers.insert("Authorization".to_owned(), format!("Basic {encoded}"));
        }
        method => lost.push(format!("its way to log in, `{method}`, is left out")),
    }
    let status: Vec<String> = monitor
        .get("accepted_statuscodes")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let mut contains = String::new();
    if kind == "keyword" {
        if flag(monitor, "invertKeyword") {
            lost.push("that its keyword must not be there is left out".to_owned());
        } else {
            contains = monitor
                .get("keyword")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned();
        }
    }
    let mut json = BTreeMap::new();
    if kind == "json-query" {
        let path = text_of(monitor, "jsonPath");
        let operator = text_of(monitor, "jsonPathOperator");
        let wanted = monitor.get("expectedValue").map(plain).unwrap_or_default();
        let path_of = path
            .strip_prefix('$')
            .map_or_else(|| format!(".{path}"), str::to_owned);
        match pointer(&path_of) {
            Some(pointer) if matches!(operator, "" | "==") => drop(json.insert(pointer, typed(&wanted))),
            Some(_) => lost.push(format!("its query is left out: `{operator}` is no equality")),
            None => lost.push(format!("its query is left out: `{path}` is more than a path")),
        }
    }
    for (key, why) in [
        (
            "ignoreTls",
            "its certificate is checked: that it may be wrong is left out",
        ),
        (
            "expiryNotification",
            "the warning of a certificate that ends is left out: `certificate` makes one that ends soon a failure",
        ),
        ("proxyId", "its proxy is left out"),
    ] {
        if flag(monitor, key) {
            lost.push(why.to_owned());
        }
    }
    Ok(Probe::Http {
        url: url.to_owned(),
        method: match text_of(monitor, "method") {
            "" => "GET".to_owned(),
            method => method.to_ascii_uppercase(),
        },
        headers,
        body,
        status: if status.is_empty() {
            vec!["200-299".to_owned()]
        } else {
            status
        },
        contains,
        json,
        answer_headers: BTreeMap::new(),
        redirects: number(monitor, "maxredirects").map_or(10, |n| n.min(20.0) as u8),
        http2: false,
        certificate: Span(Duration::ZERO),
        every,
        timeout,
    })
}

/// A value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

fn dns(
    monitor: &Value,
    name: &str,
    every: Span,
    timeout: Span,
    lost: &mut Vec<String>,
) -> Result<Probe, String> {
    let record = match text_of(monitor, "dns_resolve_type") {
        "" => "A",
        record => record,
    };
    if name.is_empty() {
        return Err("the name is missing".to_owned());
    }
    if !["A", "AAAA", "CNAME", "MX", "NS", "TXT"].contains(&record) {
        return Err(format!("records of type {record} are not asked for"));
    }
    let port = number(monitor, "port")
        .filter(|port| (1.0..65_536.0).contains(port))
        .unwrap_or(53.0) as u64;
    let mut servers = text_of(monitor, "dns_resolve_server").split(',').map(str::trim);
    let first = servers.next().unwrap_or("");
    if servers.next().is_some() {
        lost.push(format!("only the first of its name servers, {first}, is asked"));
    }
    let server = match first.parse::<std::net::IpAddr>() {
        Ok(_) => with_port(first, port),
        Err(_) if first.is_empty() => String::new(),
        Err(_) => {
            lost.push(format!("its name server `{first}` is left out: it is no address"));
            String::new()
        }
    };
    Ok(Probe::Dns {
        name: name.to_owned(),
        record: record.to_owned(),
        server,
        answer: String::new(),
        every,
        timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Config;
    use super::*;

    const EXPORT: &str = include_str!("../../../data/import/uptime-kuma.json");

    #[test]
    fn an_export_becomes_a_configuration() {
        let taken = read(EXPORT).expect("an export");
        let printed = taken.print("Uptime Kuma").expect("sound");
        let config = Config::parse(&printed).expect("sound");
        let named: Vec<(&str, &str)> = config
            .service
            .iter()
            .map(|service| (service.slug.as_str(), service.name.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                ("web-shop", "Shop"),
                ("web-shop-2", "Shop!"),
                ("api", "API"),
                ("mail", "Mail"),
                ("router", "Router"),
                ("names", "Names"),
            ]
        );
        assert_eq!(config.service[0].about, "Web: Where people buy");
        assert_eq!(config.service[0].url, "https://shop.example");
        let probes: Vec<&Probe> = config.service.iter().map(|service| &service.probe[0]).collect();
        let Probe::Http {
            status,
            headers,
            redirects,
            every,
            timeout,
            method,
            body,
            ..
        } = probes[0]
        else {
            panic!("{:?}", probes[0]);
        };
        assert_eq!(status, &["200-299", "418"]);
        assert_eq!(headers["X-Check"], "1");
        assert_eq!(headers["Authorization"], "Basic bWU6c2VjcmV0");
        assert_eq!(headers["Content-Type"], "application/json");
        assert_eq!(
            (method.as_str(), body.as_str(), *redirects),
            ("POST", "{\"ping\":true}", 3)
        );
        assert_eq!(
            (every.0, timeout.0),
            (Duration::from_secs(30), Duration::from_millis(24_500))
        );
        assert!(matches!(probes[1], Probe::Http { contains, .. } if contains == " in stock "));
        let Probe::Http { json, timeout, .. } = probes[2] else {
            panic!("{:?}", probes[2]);
        };
        assert_eq!(json["/data/0/up"], toml::Value::Boolean(true));
        // None was set: four fifths of the interval.
        assert_eq!(timeout.0, Duration::from_secs(48));
        assert!(matches!(probes[3], Probe::Tcp { address, .. } if address == "[2001:db8::25]:25"));
        assert!(matches!(probes[4], Probe::Icmp { host, .. } if host == "192.0.2.1"));
        assert!(matches!(probes[5], Probe::Dns { name, record, server, .. }
                if name == "shop.example" && record == "MX" && server == "192.0.2.53:5353"));
    }

    #[test]
    fn what_is_lost_is_named() {
        let taken = read(EXPORT).expect("an export");
        let lost = |name: &str| -> Vec<&str> {
            let of = taken.lost.iter().filter(|(of, _)| of == name);
            of.map(|(_, why)| why.as_str()).collect()
        };
        assert_eq!(lost("Paused"), ["is left out: it is paused"]);
        assert_eq!(
            lost("Broker"),
            ["is left out: there is no probe like its type `mqtt`"]
        );
        assert_eq!(
            lost("Authority"),
            ["is left out: records of type CAA are not asked for"]
        );
        assert_eq!(lost("Must fail").len(), 1);
        assert_eq!(
            lost("Shop"),
            ["its certificate is checked: that it may be wrong is left out"]
        );
        assert_eq!(
            lost("Names"),
            ["only the first of its name servers, 192.0.2.53, is asked"]
        );
        assert_eq!(lost("notificationList").len(), 1);
    }

    #[test]
    fn what_is_no_export_is_refused() {
        for text in ["", "[", "{}x", "{\"a\":1}", "7", "{\"monitorList\":3}"] {
            assert!(read(text).is_err(), "{text}");
        }
        let list = r#"[{"type":"ping","hostname":"192.0.2.9","interval":"20"}]"#;
        assert_eq!(read(list).expect("a list").services.len(), 1);
        let map = r#"{"4":{"type":"ping","hostname":"192.0.2.9","active":1,"interval":0.2}}"#;
        let taken = read(map).expect("a map");
        assert_eq!(taken.services[0].name, "192.0.2.9");
        taken
            .print("Uptime Kuma")
            .expect("the interval is one that may be");
    }
}
