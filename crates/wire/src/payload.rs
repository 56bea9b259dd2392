//! The first bytes of a payload that tell protocols apart.
//!
//! Only what names an attack vector is looked for, and only in what was captured. Where a protocol lives on one port, the
//! port is asked first: it is cheap, and it keeps random bytes of a flood from being called something. Answers and
//! questions are told apart, because reflection is made of answers.

use crate::flow::{Batch, Dns, Flow, Hint, Http};

/// Labels of a DNS name that are read (RFC 1035 allows 127 in 255 bytes).
const LABELS_MAX: usize = 127;

/// Looks at a UDP payload: sets the hint, and the detail of DNS messages.
#[inline]
pub(crate) fn udp(payload: &[u8], flow: &mut Flow, batch: &mut Batch) {
    let (from, to) = (flow.src_port, flow.dst_port);
    if from == 53 || to == 53 {
        if let Some(dns) = dns(payload, flow.payload, batch) {
            flow.hint = if payload[2] & 0x80 != 0 {
                Hint::DnsAnswer
            } else {
                Hint::DnsQuery
            };
            flow.detail = batch.dns.len() as u32;
            batch.dns.push(dns);
        }
        return;
    }
    flow.hint = udp_hint(payload, from, to);
}

fn udp_hint(p: &[u8], from: u16, to: u16) -> Hint {
    let on = |port: u16| from == port || to == port;
    let starts = |prefix: &[u8]| p.starts_with(prefix);
    // Forms that are unmistakable on any port.
    if let [0xff, 0xff, 0xff, 0xff, kind, ..] = p {
        return if *kind == 0x54 || *kind == 0x55 || *kind == 0x56 || starts(b"\xff\xff\xff\xffget") {
            Hint::SourceQuery
        } else {
            Hint::GameAnswer
        };
    }
    if starts(b"HTTP/1.1 200") || starts(b"NOTIFY * HTTP") {
        return Hint::SsdpAnswer;
    }
    if starts(b"M-SEARCH") {
        return Hint::SsdpRequest;
    }
    if starts(b"d1:") {
        return Hint::BitTorrent;
    }
    if starts(b"SIP/2.0 ") || sip_request(p) {
        return Hint::Sip;
    }
    if p.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]) && p[0] < 4 {
        return Hint::Stun;
    }
    if let [20..=25, 0xfe, 0xff | 0xfd, ..] = p {
        return Hint::Dtls;
    }
    match () {
        () if on(123) => ntp(p),
        () if on(11211) => memcached(p, from == 11211),
        () if on(389) => cldap(p),
        () if on(161) => snmp(p),
        () if from == 19 && p.len() >= 16 && p.iter().all(|b| matches!(b, 10 | 13 | 32..=126)) => {
            Hint::Chargen
        }
        () if on(3702) && (starts(b"<?xml") || starts(b"<soap") || contains(p, b"Envelope")) => Hint::Wsd,
        () if on(3283) && from == 3283 => Hint::Arms,
        () if on(5683) && p.first().is_some_and(|b| b >> 6 == 1) => Hint::Coap,
        () if from == 137 && p.get(2).is_some_and(|b| b & 0x80 != 0) => Hint::NetbiosAnswer,
        () if from == 111 && p.get(4..8) == Some(&[0, 0, 0, 1]) => Hint::RpcbindAnswer,
        () if from == 10001 && p.len() > 8 => Hint::UbiquitiDiscovery,
        () if from == 37810 && (starts(b"{") || contains(p, b"DHIP") || contains(p, b"deviceDiscover")) => {
            Hint::DhcpDiscover
        }
        () if from == 37810 && p.len() >= 32 => Hint::DhcpDiscover,
        () if on(47808) && starts(&[0x81]) => Hint::Bacnet,
        () if on(500) || on(4500) => isakmp(p, on(4500)),
        () if on(427) && matches!(p, [1 | 2, 1..=11, ..]) => Hint::Slp,
        () if from == 3389 => Hint::RdpUdp,
        () if from == 1434 && starts(&[0x05]) => Hint::Mssql,
        () if from == 520 && matches!(p, [2, 1 | 2, 0, 0, ..]) => Hint::Rip,
        () if on(5353) && p.len() >= 12 => Hint::Mdns,
        () if on(1194) && p.first().is_some_and(|b| matches!(b >> 3, 1..=10)) => Hint::OpenVpn,
        () if on(1701) && p.first().is_some_and(|b| b & 0x80 != 0) => Hint::L2tp,
        () if on(443) || on(80) || on(8443) => quic(p),
        () if to == 69 || from == 69 => Hint::None,
        // A TFTP server answers from a port of its own choice, in blocks of 512 bytes (RFC 1350).
        () if p.len() == 516 && starts(&[0, 3]) && p[2] == 0 && p[3] <= 8 => Hint::TftpData,
        () if on(51820) && matches!(p, [1..=4, 0, 0, 0, ..]) => Hint::WireGuard,
        () if p.len() > 12 && p[0] >> 6 == 2 && from >= 1024 && to >= 1024 && from.is_multiple_of(2) => {
            Hint::Rtp
        }
        () => Hint::None,
    }
}

fn contains(p: &[u8], needle: &[u8]) -> bool {
    p[..p.len().min(256)]
        .windows(needle.len())
        .any(|window| window == needle)
}

fn sip_request(p: &[u8]) -> bool {
    const METHODS: &[&[u8]] = &[
        b"INVITE sip",
        b"REGISTER sip",
        b"OPTIONS sip",
        b"BYE sip",
        b"ACK sip",
        b"CANCEL sip",
        b"NOTIFY sip",
        b"SUBSCRIBE sip",
    ];
    METHODS.iter().any(|method| p.starts_with(method))
}

/// NTP (RFC 5905; mode 6 RFC 9327; mode 7 is ntpd's own, with its response bit at the top).
fn ntp(p: &[u8]) -> Hint {
    let [first, second, ..] = p else { return Hint::None };
    match first & 7 {
        7 if first & 0x80 != 0 => Hint::NtpPrivateAnswer,
        6 if second & 0x80 != 0 => Hint::NtpControlAnswer,
        6 | 7 => Hint::NtpControlRequest,
        1..=5 => Hint::Ntp,
        _ => Hint::None,
    }
}

/// memcached over UDP: an 8-byte frame header, then text.
fn memcached(p: &[u8], from_server: bool) -> Hint {
    const ANSWERS: &[&[u8]] = &[b"VALUE", b"STAT", b"END", b"ERROR", b"STORED", b"VERSION"];
    let text = p.get(8..).unwrap_or(&[]);
    match () {
        () if !from_server => Hint::MemcachedRequest,
        () if ANSWERS.iter().any(|answer| text.starts_with(answer)) => Hint::MemcachedAnswer,
        // Later datagrams of one answer carry the value alone; their header numbers them.
        () if p.len() >= 8 && p[6] == 0 && p[7] == 0 => Hint::MemcachedAnswer,
        () => Hint::None,
    }
}

/// Length of a BER tag and length at the start, and whether the tag is this one.
fn ber(p: &[u8], tag: u8) -> Option<usize> {
    match p {
        [t, length, ..] if *t == tag && *length < 0x80 => Some(2),
        [t, length, ..] if *t == tag && *length <= 0x84 => Some(2 + usize::from(length & 0x7f)),
        _ => None,
    }
}

/// CLDAP (RFC 1798): SEQUENCE, messageID, then search request (0x63), entry (0x64) or done (0x65).
fn cldap(p: &[u8]) -> Hint {
    let operation = (|| {
        let at = ber(p, 0x30)?;
        let id = p.get(at..)?;
        let at_id = ber(id, 0x02)?;
        id.get(at_id + usize::from(*id.get(1)?)).copied()
    })();
    match operation {
        Some(0x64 | 0x65) => Hint::CldapAnswer,
        Some(0x63) => Hint::CldapRequest,
        _ => Hint::None,
    }
}

/// SNMP (RFC 3416): the PDU tag stands after version and community; SNMPv3 hides it and is told by port.
fn snmp(p: &[u8]) -> Hint {
    let tag = (|| {
        let mut rest = p.get(ber(p, 0x30)?..)?;
        for tag in [0x02, 0x04] {
            let head = ber(rest, tag)?;
            rest = rest.get(head + usize::from(*rest.get(1)?)..)?;
        }
        rest.first().copied()
    })();
    match tag {
        Some(0xa2 | 0xa8) => Hint::SnmpAnswer,
        Some(0xa0 | 0xa1 | 0xa3 | 0xa5) => Hint::SnmpRequest,
        _ => Hint::None,
    }
}

/// ISAKMP (RFC 7296 section 3.1). On port 4500 four zero bytes mark it; anything else there is ESP in UDP (RFC 3948).
fn isakmp(p: &[u8], marked: bool) -> Hint {
    let header = if marked && p.starts_with(&[0; 4]) {
        &p[4..]
    } else {
        p
    };
    match header.get(17) {
        Some(0x10 | 0x20) if header.len() >= 28 => Hint::Isakmp,
        _ => Hint::None,
    }
}

/// QUIC (RFC 9000 section 17, RFC 9369).
fn quic(p: &[u8]) -> Hint {
    let [first, rest @ ..] = p else { return Hint::None };
    if first & 0xc0 == 0xc0 {
        let version = rest.first_chunk::<4>().map_or(0, |v| u32::from_be_bytes(*v));
        let known = version == 1
            || version == 0x6b33_43cf
            || version >> 8 == 0xff00
            || version & 0x0f0f_0f0f == 0x0a0a_0a0a
            || version >> 24 == u32::from(b'Q');
        return if known { Hint::QuicInitial } else { Hint::None };
    }
    if first & 0xc0 == 0x40 && p.len() >= 20 {
        Hint::QuicShort
    } else {
        Hint::None
    }
}

/// Reads a DNS message's header and first question (RFC 1035 section 4.1). `None` where it cannot be one.
fn dns(p: &[u8], sent: u16, batch: &mut Batch) -> Option<Dns> {
    let header = p.first_chunk::<12>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let questions = word(4);
    let opcode = header[2] >> 3 & 15;
    if opcode > 6 || questions > 16 {
        return None;
    }
    let start = batch.names.len();
    let mut dns = Dns {
        name_start: start as u32,
        name_len: 0,
        first_label_len: 0,
        rcode: header[3] & 15,
        qtype: 0,
        answers: word(6),
        size: sent,
    };
    if questions > 0 {
        let mut at = 12;
        for number in 0..LABELS_MAX {
            let Some(&length) = p.get(at) else { break };
            if length == 0 {
                let kind = p.get(at + 1..at + 3);
                dns.qtype = kind.map_or(0, |k| u16::from_be_bytes([k[0], k[1]]));
                break;
            }
            // A first question has nothing before it that a pointer could point to.
            let (true, Some(label)) = (length < 64, p.get(at + 1..at + 1 + usize::from(length))) else {
                break;
            };
            if number == 0 {
                dns.first_label_len = length;
            } else {
                batch.names.push(b'.');
            }
            batch.names.extend(label.iter().map(|&b| match b {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => b,
                b'A'..=b'Z' => b.to_ascii_lowercase(),
                b'!'..=b'~' => b,
                _ => b'?',
            }));
            at += 1 + usize::from(length);
        }
    }
    dns.name_len = (batch.names.len() - start).min(65_535) as u16;
    Some(dns)
}

/// Looks at a TCP payload: sets the hint, and the detail of HTTP heads.
#[inline]
pub(crate) fn tcp(payload: &[u8], flow: &mut Flow, batch: &mut Batch) {
    match payload {
        [b'A'..=b'Z', second, ..] if second.is_ascii_uppercase() => {
            if payload.starts_with(b"HTTP/1.") {
                flow.hint = Hint::HttpResponse;
                flow.detail = batch.http.len() as u32;
                batch.http.push(response(payload, flow.payload));
            } else if payload.starts_with(b"PRI * HTTP/2") {
                flow.hint = Hint::Http2;
            } else if payload.starts_with(b"SSH-") {
                flow.hint = Hint::Ssh;
            } else if let Some(http) = request(payload, flow.payload) {
                flow.hint = Hint::HttpRequest;
                flow.detail = batch.http.len() as u32;
                batch.http.push(http);
            }
        }
        [0x16, 3, 0..=4, _, _, 1, ..] => flow.hint = Hint::TlsClientHello,
        [0x14..=0x17, 3, 0..=4, ..] => flow.hint = Hint::Tls,
        _ => {}
    }
}

/// FNV-1a, 64 bits: enough to count distinct values.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A request head (RFC 9112 section 3): method, space, target, and a version unless the line is cut off.
fn request(p: &[u8], sent: u16) -> Option<Http> {
    const METHODS: &[&[u8]] = &[
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"CONNECT ",
        b"TRACE ",
        b"PATCH ",
        b"PROPFIND ",
    ];
    let method = METHODS.iter().find(|method| p.starts_with(method))?;
    let line_end = p
        .iter()
        .position(|&b| b == b'\r' || b == b'\n')
        .unwrap_or(p.len());
    let line = p.get(method.len()..line_end)?;
    let target_end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let target = &line[..target_end];
    let version = &line[target_end..];
    if line_end < p.len() && !version.starts_with(b" HTTP/") && !version.is_empty() {
        return None;
    }
    let query = target.iter().position(|&b| b == b'?');
    let length = header(p, b"content-length:")
        .and_then(|v| std::str::from_utf8(v).ok())
        .and_then(|v| v.trim().parse().ok());
    Some(Http {
        path_hash: hash(&target[..query.unwrap_or(target.len())]),
        target_hash: hash(target),
        agent_hash: header(p, b"user-agent:").map_or(0, |agent| hash(agent).max(1)),
        method: p[0],
        has_query: query.is_some(),
        head_complete: p.windows(4).any(|w| w == b"\r\n\r\n") || p.windows(2).any(|w| w == b"\n\n"),
        whole: p.len() >= usize::from(sent),
        content_length: length.unwrap_or(0),
        status: 0,
    })
}

/// The status of a response head (RFC 9112 section 4).
fn response(p: &[u8], sent: u16) -> Http {
    let status = p
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok());
    Http {
        path_hash: 0,
        target_hash: 0,
        agent_hash: 0,
        method: 0,
        has_query: false,
        head_complete: p.windows(4).any(|w| w == b"\r\n\r\n"),
        whole: p.len() >= usize::from(sent),
        content_length: 0,
        status: status.unwrap_or(999),
    }
}

/// Value of a header field, by its name in lower case with the colon.
fn header<'a>(p: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    p.split(|&b| b == b'\n').skip(1).find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(from: u16, to: u16, payload: &[u8]) -> (Hint, Batch) {
        let mut batch = Batch::default();
        let mut flow = Flow {
            src_port: from,
            dst_port: to,
            payload: payload.len() as u16,
            ..Flow::EMPTY
        };
        udp(payload, &mut flow, &mut batch);
        (flow.hint, batch)
    }

    #[test]
    fn answers_and_questions_are_told_apart() {
        let cases: &[(u16, u16, &[u8], Hint)] = &[
            (123, 99, &[0xd7, 0, 3, 42], Hint::NtpPrivateAnswer),
            (99, 123, &[0x17, 0, 3, 42], Hint::NtpControlRequest),
            (123, 99, &[0x24, 1, 3, 0xe7], Hint::Ntp),
            (40000, 99, b"HTTP/1.1 200 OK\r\n", Hint::SsdpAnswer),
            (99, 1900, b"M-SEARCH * HTTP/1.1\r\n", Hint::SsdpRequest),
            (
                11211,
                99,
                b"\0\x01\0\0\0\x01\0\0VALUE a 0 9\r\n",
                Hint::MemcachedAnswer,
            ),
            (
                389,
                99,
                &[0x30, 0x84, 0, 0, 5, 1, 2, 1, 7, 0x64, 0x84],
                Hint::CldapAnswer,
            ),
            (99, 389, &[0x30, 0x25, 2, 1, 1, 0x63, 0x20], Hint::CldapRequest),
            (
                161,
                99,
                &[
                    0x30, 0x40, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa2, 0x33,
                ],
                Hint::SnmpAnswer,
            ),
            (
                99,
                161,
                &[
                    0x30, 0x40, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa5, 0x33,
                ],
                Hint::SnmpRequest,
            ),
            (
                99,
                27015,
                b"\xff\xff\xff\xffTSource Engine Query\0",
                Hint::SourceQuery,
            ),
            (27015, 99, b"\xff\xff\xff\xffI\x11name", Hint::GameAnswer),
            (5060, 99, b"SIP/2.0 200 OK\r\n", Hint::Sip),
            (99, 443, &[0xc3, 0, 0, 0, 1, 8, 1, 2, 3], Hint::QuicInitial),
            (50000, 60000, &[0; 24], Hint::None),
        ];
        for (from, to, payload, expected) in cases {
            assert_eq!(hint(*from, *to, payload).0, *expected, "{from} {to}");
        }
    }

    #[test]
    fn dns_names_are_read_and_bounded() {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03WwW\x07example\x03com\0\0\xff\0\x01");
        let (hint_seen, batch) = hint(999, 53, &query);
        assert_eq!(hint_seen, Hint::DnsQuery);
        let dns = batch.dns[0];
        assert_eq!(&batch.names[..usize::from(dns.name_len)], b"www.example.com");
        assert_eq!((dns.qtype, dns.first_label_len), (255, 3));
        // A pointer loop and a name that runs out of the packet end where they are.
        query.truncate(12);
        query.extend([0xc0, 12]);
        assert_eq!(hint(999, 53, &query).1.dns[0].name_len, 0);
        query.truncate(12);
        query.extend([60, b'a']);
        assert_eq!(hint(999, 53, &query).1.dns[0].name_len, 0);
    }

    #[test]
    fn http_heads_say_what_was_asked() {
        let head = b"GET /page?x=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n";
        let whole = request(head, head.len() as u16).unwrap();
        assert!(whole.has_query && whole.head_complete && whole.whole && whole.agent_hash != 0);
        let slow = request(b"GET /?77 HTTP/1.1\r\n", 19).unwrap();
        assert!(!slow.head_complete && slow.whole);
        let cut = request(&head[..10], head.len() as u16).unwrap();
        assert!(!cut.whole);
        assert!(request(b"GET lost in a sentence here\r\n", 20).is_none());
        assert_eq!(response(b"HTTP/1.1 408 Request Timeout\r\n\r\n", 32).status, 408);
        let post = request(b"POST /a HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 40).unwrap();
        assert_eq!(post.content_length, 5000);
    }
}
