//! `fixtures/capture/*`: one oddity each, with the expected records beside it, one a line. The expected files were made by this
//! decoder, read by eye, and compared with what tshark 4.0.17 says of addresses, ports, lengths and times.

use std::fmt::Write;
use std::path::PathBuf;

fn rendered(data: &[u8]) -> String {
    let (flows, details, faults) = super::decode(data);
    let mut text = String::new();
    for flow in flows {
        let _ = write!(
            text,
            "{} {} -> {} proto {} ports {} {} bytes {} payload {} ttl {} flags {:#04x} options {:#04x} vlan {} {:?} {:?}",
            flow.first_ns,
            std::net::IpAddr::V6(flow.src).to_canonical(),
            std::net::IpAddr::V6(flow.dst).to_canonical(),
            flow.protocol,
            flow.src_port,
            flow.dst_port,
            flow.bytes,
            flow.payload,
            flow.ttl,
            flow.tcp_flags,
            flow.tcp_options,
            flow.vlan,
            flow.fragment,
            flow.hint,
        );
        if flow.fragment != wire::Fragment::None {
            let _ = write!(text, " train {} at {}", flow.fragment_id, flow.fragment_offset);
        }
        if flow.icmp_type != 0 {
            let _ = write!(text, " icmp {}", flow.icmp_type);
        }
        text.push('\n');
    }
    for dns in &details.dns {
        let start = dns.name_start as usize;
        let name = String::from_utf8_lossy(&details.names[start..start + usize::from(dns.name_len)]);
        let _ = writeln!(
            text,
            "dns {name} type {} answers {} rcode {} size {}",
            dns.qtype, dns.answers, dns.rcode, dns.size
        );
    }
    for http in &details.http {
        let _ = writeln!(
            text,
            "http method {} query {} complete {} status {}",
            char::from(http.method.max(b'-')),
            http.has_query,
            http.head_complete,
            http.status
        );
    }
    for inner in &details.inner {
        let _ = writeln!(
            text,
            "inner proto {} ports {} {} bytes {}",
            inner.protocol, inner.src_port, inner.dst_port, inner.bytes
        );
    }
    for fault in faults.iter() {
        let _ = writeln!(
            text,
            "fault {} x{} at {}",
            fault.reason.name(),
            fault.count,
            fault.first_offset
        );
    }
    text
}

#[test]
fn every_fixture_decodes_as_expected() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/capture");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|ext| ext == "pcap" || ext == "pcapng")
    });
    files.sort();
    assert!(files.len() >= 25, "only {} fixtures", files.len());
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    for path in files {
        let got = rendered(&std::fs::read(&path).unwrap());
        let beside = path.with_extension(format!(
            "{}.expected",
            path.extension().unwrap().to_string_lossy()
        ));
        if update {
            std::fs::write(&beside, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(got, expected, "{}", path.display());
    }
}
