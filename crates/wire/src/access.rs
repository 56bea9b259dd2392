//! Access logs: who asked.
//!
//! Web servers and balancers write many forms of lines (Common and Combined Log Format, with a syslog header or without, HAProxy, AWS
//! ALB, nginx's error log, W3C Extended, JSON of Caddy and Traefik), and nearly all name the client's address before any other one.
//! So a line's client is the first address in it, but for W3C, which has a line that names its columns, and for JSON, where names are
//! asked. No more than the client is read of a line yet.

use std::net::{IpAddr, Ipv6Addr};

/// Words of a line that are looked at.
const WORDS_MAX: usize = 24;
/// Names of the client's address in JSON lines: what a proxy in front says of it goes before what the server saw.
const NAMES: [&str; 9] = [
    "client_ip",
    "clientip",
    "client.ip",
    "ClientHost",
    "ClientIP",
    "remote_ip",
    "remote_addr",
    "remoteIP",
    "client",
];

/// Reads the lines of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Where the client is in lines of W3C Extended form, once `#Fields:` told it.
    column: Option<usize>,
}

impl Log {
    /// The client of the next line (IPv4 as IPv4-mapped); `None` where it names none, as comments do.
    pub fn client(&mut self, line: &[u8]) -> Option<Ipv6Addr> {
        let line = line.trim_ascii();
        if let Some(fields) = line.strip_prefix(b"#Fields:") {
            let mut names = fields
                .split(|b| b.is_ascii_whitespace())
                .filter(|n| !n.is_empty());
            self.column = names.position(|name| name == b"c-ip");
            return None;
        }
        match (line.first()?, self.column) {
            (b'#', _) => None,
            (b'{', _) => NAMES.iter().find_map(|name| named(line, name)),
            (_, Some(column)) => {
                let mut words = line.split(|b| b.is_ascii_whitespace());
                words.nth(column).and_then(address)
            }
            (_, None) => {
                let between = |b: &u8| b.is_ascii_whitespace() || b"\"[](),;=<>".contains(b);
                let mut words = line.split(between).filter(|word| !word.is_empty());
                words.by_ref().take(WORDS_MAX).find_map(address)
            }
        }
    }
}

/// The address that a JSON line has under a name, at whatever depth.
fn named(line: &[u8], name: &str) -> Option<Ipv6Addr> {
    let quoted = format!("\"{name}\"");
    let at = line
        .windows(quoted.len())
        .position(|part| part == quoted.as_bytes())?;
    let rest = line[at + quoted.len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    address(&rest[..rest.iter().position(|b| *b == b'"')?])
}

/// An address, with or without a port behind it.
fn address(word: &[u8]) -> Option<Ipv6Addr> {
    // The longest is an IPv4-mapped IPv6 address with brackets and port.
    let word = std::str::from_utf8(word.get(..word.len().min(64))?).ok()?;
    let word = word.trim_end_matches([':', '.']);
    let parsed = word.parse().ok().or_else(|| {
        let (before, port) = word.rsplit_once(':')?;
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let bare = before
            .strip_prefix('[')
            .and_then(|b| b.strip_suffix(']'))
            .unwrap_or(before);
        // Of an IPv6 address without brackets the last group is no port.
        (is_port && (bare.len() < before.len() || !bare.contains(':'))).then(|| bare.parse().ok())?
    })?;
    Some(match parsed {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(line: &str) -> Option<String> {
        Log::default()
            .client(line.as_bytes())
            .map(|a| a.to_canonical().to_string())
    }

    #[test]
    fn the_client_is_found_in_the_forms_that_servers_write() {
        for (line, expected) in [
            (
                "192.0.2.7 - - [04/Jan/2020:07:25:02 +0000] \"GET / HTTP/1.1\" 404 522 \"-\" \"curl/7.6.1\"",
                "192.0.2.7",
            ),
            (
                "\"192.0.2.7 - - [22/Dec/2016:15:19:05 +0300] \"GET / HTTP/1.1\" 200 1\"",
                "192.0.2.7",
            ),
            (
                "2001:db8::2a - - [01/Sep/2017:00:00:00 +0200] \"GET / HTTP/1.1\" 200 8543",
                "2001:db8::2a",
            ),
            (
                "www.example.org:443 192.0.2.7 - - [01/Sep/2017:00:00:00 +0200] \"GET / HTTP/1.1\" 200 8",
                "192.0.2.7",
            ),
            (
                "Sep 15 16:13:46 ip-172-31-43-28.internal nginx[2869]: 192.0.2.7 - - [15/Sep/2021:16:13:46 +0000] \"GET /\"",
                "192.0.2.7",
            ),
            (
                "https 2023-04-26T12:23:00.186641Z app/5462/490d 192.0.2.7:44740 10.0.0.1:80 0.086 200",
                "192.0.2.7",
            ),
            (
                "Feb  6 12:14:14 lb haproxy[14389]: [2001:db8::1]:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1",
                "2001:db8::1",
            ),
            (
                "2021/09/30 09:23:53 [error] 19#19: *17 user was not found, client: 192.0.2.7, server: _, request: \"GET /\"",
                "192.0.2.7",
            ),
            (
                "[24/Jan/2022:16:51:02 +0000] - 404 404 - GET http a.local \"/\" [Client 192.0.2.7] [Length 192]",
                "192.0.2.7",
            ),
            (
                "{\"ts\":1.5,\"request\":{\"remote_ip\":\"172.17.0.1\",\"client_ip\": \"192.0.2.7\",\"uri\":\"/\"}}",
                "192.0.2.7",
            ),
            (
                "{\"ClientAddr\":\"192.0.2.7:39490\",\"ClientHost\":\"192.0.2.7\"}",
                "192.0.2.7",
            ),
            (
                "::ffff:192.0.2.7 - - [04/Jan/2020:07:25:02 +0000] \"GET / HTTP/1.1\" 200 1",
                "192.0.2.7",
            ),
        ] {
            assert_eq!(client(line).as_deref(), Some(expected), "{line}");
        }
        for line in [
            "",
            "in24.inetnebr.com - - [01/Aug/1995:00:00:01 -0400] \"GET / HTTP/1.0\" 200 1839",
            "{\"message\":\"192.0.2.7 is no field\"}",
            "{\"client_ip\":7}",
            "{\"client_ip\"",
            "timestamp,value",
            "16:13:46 1.2.3 1.2.3.4.5 999.1.1.1",
        ] {
            assert_eq!(client(line), None, "{line}");
        }
    }

    #[test]
    fn columns_are_those_that_the_log_names() {
        let mut log = Log::default();
        assert_eq!(log.client(b"#Version: 1.0"), None);
        assert_eq!(
            log.client(b"#Fields: date time s-ip cs-method c-ip sc-status\r"),
            None
        );
        let line = b"2025-03-10 09:00:01 198.51.100.1 GET 192.0.2.7 200\r\n";
        assert_eq!(log.client(line).unwrap().to_canonical().to_string(), "192.0.2.7");
        assert_eq!(log.client(b"2025-03-10 09:00:01"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u64;
        for _ in 0..2_000 {
            let line: Vec<u8> = (0..80)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b"{}\"[]:.,= 012f\xff\n#client_ip"[(seed >> 33) as usize % 26]
                })
                .collect();
            Log::default().client(&line);
        }
    }
}
