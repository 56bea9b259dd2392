//! What people and other programs are shown of real attacks.

use crate::{case, code, epicenter, err, out, shared_data};

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

/// What stands between two texts, for the parts of a page.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let after = page.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    after.split_once(to).map_or(after, |(part, _)| part)
}

#[test]
fn the_report_of_a_simulated_attack_is_one_sound_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for scenario in ["botnet-syn", "forged-world", "reflected-dns", "flash-crowd"] {
        assert_eq!(code(&epicenter(folder, &["simulate", scenario])), 0, "{scenario}");
    }
    let report = |scenario: &str, more: &[&str]| {
        let input = format!("{scenario}-1.pcap");
        let output = epicenter(
            folder,
            &[&["investigate", "--format", "html", &input], more].concat(),
        );
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output)
    };
    let page = report("botnet-syn", &[]);
    assert!(
        page.starts_with("<!doctype html>") && page.len() < 250_000,
        "{} bytes",
        page.len()
    );
    for never in ["<script", " src=", "@import", "url(", "<link rel=\"stylesheet"] {
        assert!(!page.contains(never), "{never}");
    }
    for part in [
        "What and when",
        "Vectors",
        "Senders by country",
        "Networks",
        "What we do not know",
        "What was read",
        "How to recompute this",
        "epicenter investigate --format html botnet-syn-1.pcap",
        "class=\"map\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Neither threads nor the place of the output change a byte.
    assert_eq!(page, report("botnet-syn", &["--threads", "1"]));
    report("botnet-syn", &["-o", "report.html"]);
    assert_eq!(page, std::fs::read_to_string(folder.join("report.html")).unwrap());

    let forged = report("forged-world", &[]);
    assert!(forged.contains("mean nothing for who sent them") && !forged.contains("class=\"map\""));
    assert!(!forged.contains("Senders by country") && !forged.contains("by network"));
    let reflected = report("reflected-dns", &[]);
    assert!(reflected.contains("Reflectors by country") && reflected.contains("class=\"map\""));
    assert!(!reflected.contains("Senders by country"));
    // The numbers are those of the case.
    let case = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "reflected-dns-1.pcap"],
    ));
    let first = &case["incidents"][0]["sources"]["countries"][0];
    let percent = |end: &str| first["share"][end].as_f64().unwrap() * 100.0;
    let share = format!(
        "{:.1} % [{:.1}, {:.1}]",
        percent("estimate"),
        percent("low"),
        percent("high")
    );
    let table = between(&reflected, "Reflectors by country: share", "</tbody>");
    assert!(
        table.contains(&share) && table.contains(&format!(">{}<", first["code"].as_str().unwrap())),
        "{share} in {table}"
    );
    let crowd = report("flash-crowd", &[]);
    assert!(between(&crowd, "<h1>", "</h1>").starts_with("No attack found in"));
}
