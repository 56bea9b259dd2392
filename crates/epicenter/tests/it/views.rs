//! What people and other programs are shown of real attacks.

use crate::{epicenter, out, shared_data};

#[test]
fn the_page_says_first_what_the_sources_are_worth() {
    let Some(root) = shared_data() else { return };
    let forged = out(&epicenter(
        &root,
        &[
            "investigate",
            "pcap-attack/stopddos/pkt.TCP.synflood.spoofed.pcap",
        ],
    ));
    let warning = forged
        .find("THE SOURCES ARE FORGED")
        .expect("the warning is there");
    let countries = forged.find("Countries of the").expect("countries come second");
    assert!(warning < countries);
    assert!(
        forged.starts_with("SYN flood on 10.10.10.10: 37,841 packets from 37,623 addresses in 23.7 s"),
        "{forged}"
    );
    let reflected = out(&epicenter(
        &root,
        &["investigate", "pcap-attack/stopddos/amp.UDP.snmp.src161.pcapng"],
    ));
    assert!(
        reflected.contains("THE SOURCES ARE REFLECTORS")
            && reflected.contains("Countries of the reflectors (abused machines)")
    );
    for page in [forged, reflected] {
        assert!(page.contains("it never shows who did it"));
        assert!(page.contains("DB-IP"), "the attribution is in the report");
        // Every line with a bar has its interval.
        for line in page
            .lines()
            .filter(|line| line.contains(" % [") || line.contains("─┤"))
        {
            assert!(line.contains('[') && line.contains(']'), "{line}");
        }
    }
}

#[test]
fn the_fingerprint_has_the_fields_of_its_format() {
    let Some(root) = shared_data() else { return };
    let text = out(&epicenter(
        &root,
        &[
            "investigate",
            "--format",
            "fingerprint",
            "pcap-attack/stopddos/pkt.TCP.synflood.spoofed.pcap",
        ],
    ));
    let print: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(print["target"], "10.10.10.10");
    assert_eq!(print["total_packets"], 37_841);
    assert_eq!(print["total_ips"], 37_623);
    assert_eq!(print["duration_seconds"], 23);
    assert_eq!(
        print["tags"],
        serde_json::json!([
            "Spoofed source addresses",
            "TCP",
            "TCP SYN flag attack",
            "TCP flood attack"
        ])
    );
    assert_eq!(print["key"].as_str().unwrap().len(), 32);
    let vector = &print["attack_vectors"][0];
    assert_eq!(vector["protocol"], "TCP");
    assert_eq!(vector["tcp_flags"], serde_json::json!({ "......S.": 1.0 }));
    assert_eq!(vector["source_ips"].as_array().unwrap().len(), 37_623);
    assert_eq!(vector["destination_ports"], serde_json::json!({ "25565": 1.0 }));
    for field in [
        "service",
        "fraction_of_attack",
        "source_port",
        "nr_packets",
        "nr_megabytes",
        "time_start",
        "ttl",
    ] {
        assert!(!vector[field].is_null(), "{field}");
    }
}
