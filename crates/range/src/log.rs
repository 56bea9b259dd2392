//! Lines of an access log.

use std::net::Ipv6Addr;

use crate::requests::{HOST, Request};

fn address(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(v4) => v4.to_string(),
        None => address.to_string(),
    }
}

fn time(ns: u64) -> Option<jiff::civil::DateTime> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(time))
}

/// Appends a line in the combined log format of the Apache HTTP server: its times are whole seconds.
pub fn combined(request: &Request, out: &mut Vec<u8>) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let when = time(request.time_ns).map_or_else(String::new, |t| {
        format!(
            "{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000",
            t.day(),
            MONTHS[(t.month() - 1) as usize],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    });
    let head = request.head;
    out.extend(format!("{} - - [{when}] \"{} ", address(request.client), head.method()).bytes());
    head.target(out);
    let referer = head.referer().unwrap_or_else(|| "-".to_owned());
    out.extend(
        format!(
            " HTTP/1.1\" {} {} \"{referer}\" \"{}\"\n",
            request.status,
            request.bytes,
            head.agent()
        )
        .bytes(),
    );
}

/// Appends a JSON object in a line, with the server's address and times to the millisecond.
pub fn json(request: &Request, out: &mut Vec<u8>) {
    let head = request.head;
    let mut target = Vec::new();
    head.target(&mut target);
    let when = jiff::Timestamp::from_millisecond((request.time_ns / 1_000_000) as i64)
        .map_or_else(|_| String::new(), |time| format!("{time:.3}"));
    let line = serde_json::json!({
        "time": when,
        "remote_addr": address(request.client),
        "server_addr": address(request.server),
        "host": HOST,
        "method": head.method(),
        "uri": String::from_utf8_lossy(&target),
        "protocol": "HTTP/1.1",
        "status": request.status,
        "bytes": request.bytes,
        "referer": head.referer(),
        "user_agent": head.agent(),
    });
    out.extend(line.to_string().bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{Head, Page};

    #[test]
    fn lines_are_as_servers_write_them() {
        let request = Request {
            time_ns: 1_741_599_900_123_456_789,
            client: "::ffff:192.0.2.7".parse().unwrap(),
            server: "2001:db8::1".parse().unwrap(),
            status: 200,
            bytes: 512,
            head: Head {
                page: Page::Article(7),
                agent: 9,
                refers: true,
            },
        };
        let mut line = Vec::new();
        combined(&request, &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "192.0.2.7 - - [10/Mar/2025:09:45:00 +0000] \"GET /articles/7 HTTP/1.1\" 200 512 \"https://www.example.org/\" \
             \"python-requests/2.31.0\"\n"
        );
        let mut line = Vec::new();
        json(&request, &mut line);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["time"], "2025-03-10T09:45:00.123Z");
        assert_eq!(
            (&value["uri"], &value["status"]),
            (&"/articles/7".into(), &200.into())
        );
        assert_eq!(value["server_addr"], "2001:db8::1");
    }
}
