//! Small attacks with known truth, written here packet by packet, and harmless traffic that looks like them. They are drawn without
//! any of the detector's constants.

use std::net::Ipv4Addr;

use crate::{case, epicenter};

/// A capture in the making: raw IP packets with times.
struct Scene {
    packets: Vec<(u64, Vec<u8>)>,
    random: u64,
}

const TARGET: Ipv4Addr = Ipv4Addr::new(145, 40, 9, 10);

impl Scene {
    fn new(seed: u64) -> Scene {
        Scene {
            packets: Vec::new(),
            random: seed | 1,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % n
    }

    /// One packet: time in microseconds, addresses, TTL, protocol, transport bytes.
    fn packet(&mut self, at_us: u64, src: Ipv4Addr, dst: Ipv4Addr, ttl: u8, protocol: u8, transport: &[u8]) {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, protocol, 0, 0];
        bytes[2..4].copy_from_slice(&((20 + transport.len()) as u16).to_be_bytes());
        bytes.extend(src.octets());
        bytes.extend(dst.octets());
        bytes.extend(transport);
        self.packets.push((1_700_000_000_000_000 + at_us, bytes));
    }

    /// A public address drawn from the whole space.
    fn anyone(&mut self) -> Ipv4Addr {
        loop {
            let ip = Ipv4Addr::from_bits(self.below(1 << 32) as u32);
            let first = ip.octets()[0];
            if (1..224).contains(&first) && ![10, 100, 127, 169, 172, 192, 198, 203].contains(&first) {
                return ip;
            }
        }
    }

    /// A host of a population that crowds in some networks, and its TTL, which depends on its network.
    fn host(&mut self) -> (Ipv4Addr, u8) {
        let network = self.below(200);
        let ip = Ipv4Addr::new(
            77 + (network % 17) as u8,
            (network * 7) as u8,
            self.below(30) as u8,
            1 + self.below(250) as u8,
        );
        (ip, 64 - 6 - (network * 31 % 19) as u8)
    }

    /// A complete session of a client, both directions.
    fn session(&mut self, at_us: u64) {
        let (client, ttl) = self.host();
        let port = 1024 + self.below(60_000) as u16;
        for (i, (up, flags, length)) in [
            (true, 0x02, 0),
            (false, 0x12, 0),
            (true, 0x10, 0),
            (true, 0x18, 300),
            (false, 0x18, 1200),
            (true, 0x10, 0),
            (true, 0x11, 0),
            (false, 0x11, 0),
            (true, 0x10, 0),
        ]
        .into_iter()
        .enumerate()
        {
            let (src, dst, t) = if up {
                (client, TARGET, ttl)
            } else {
                (TARGET, client, 64)
            };
            let (from, to) = if up { (port, 443) } else { (443, port) };
            self.packet(
                at_us + i as u64 * 20_000,
                src,
                dst,
                t,
                6,
                &tcp(from, to, flags, length),
            );
        }
    }

    fn judged(mut self, name: &str) -> serde_json::Value {
        self.packets.sort();
        let mut file = vec![
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
        ];
        for (at, bytes) in &self.packets {
            for word in [
                (at / 1_000_000) as u32,
                (at % 1_000_000) as u32,
                bytes.len() as u32,
                bytes.len() as u32,
            ] {
                file.extend(word.to_le_bytes());
            }
            file.extend(bytes);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), &file).unwrap();
        case(&epicenter(
            folder.path(),
            &["investigate", "--format", "json", name],
        ))
    }
}

fn tcp(from: u16, to: u16, flags: u8, payload: usize) -> Vec<u8> {
    let mut bytes = Vec::from(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    bytes.resize(20 + payload, 0x55);
    bytes
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend(((8 + payload.len()) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn only(case: &serde_json::Value) -> &serde_json::Value {
    let incidents = case["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    &incidents[0]
}

fn estimate(incident: &serde_json::Value, of: &str) -> f64 {
    incident["sources"][of]["estimate"].as_f64().unwrap()
}

#[test]
fn a_forged_syn_flood_among_clients() {
    let mut scene = Scene::new(11);
    for i in 0..200 {
        scene.session(i * 150_000);
    }
    for i in 0..6_000 {
        let src = scene.anyone();
        let ttl = if i % 2 == 0 { 241 } else { 243 };
        scene.packet(
            10_000_000 + i * 1_000,
            src,
            TARGET,
            ttl,
            6,
            &tcp(1024 + (i % 60_000) as u16, 443, 2, 0),
        );
    }
    let case = scene.judged("syn.pcap");
    let incident = only(&case);
    assert_eq!(incident["vectors"][0]["name"], "syn_flood");
    assert_eq!(incident["target"]["prefix"], "145.40.9.10/32");
    assert_eq!(incident["total"]["packets"], 6_000);
    assert_eq!(incident["start"], "2023-11-14T22:13:30Z");
    assert_eq!(incident["end"], "2023-11-14T22:13:35.999Z");
    assert_eq!(incident["ongoing"], false);
    assert_eq!(incident["sources"]["meaning"], "forged");
    assert!(estimate(incident, "forged") > 0.9);
}

#[test]
fn a_botnet_is_not_forged() {
    let mut scene = Scene::new(12);
    let bots: Vec<_> = (0..600).map(|_| scene.host()).collect();
    for i in 0..20_000u64 {
        let (src, ttl) = bots[scene.below(600) as usize];
        let port = scene.below(65_536) as u16;
        scene.packet(i * 500, src, TARGET, ttl, 17, &udp(port, 9_987, &[7; 400]));
    }
    // The target talks with others, so its silence towards the bots says something.
    for i in 0..50 {
        scene.session(i * 200_000);
    }
    let case = scene.judged("bots.pcap");
    let incident = only(&case);
    assert_eq!(incident["vectors"][0]["name"], "udp_flood");
    assert_eq!(incident["sources"]["meaning"], "senders");
    assert!(estimate(incident, "forged") < 0.2);
    assert_eq!(incident["ongoing"], true);
}

#[test]
fn reflectors_are_not_senders() {
    let mut scene = Scene::new(13);
    let reflectors: Vec<_> = (0..300).map(|_| scene.host()).collect();
    for i in 0..5_000u64 {
        let (src, ttl) = reflectors[scene.below(300) as usize];
        let mut answer = vec![0xd7, 0, 3, 0x2a];
        answer.resize(440, 0);
        scene.packet(i * 2_000, src, TARGET, ttl, 17, &udp(123, 40_000, &answer));
    }
    let case = scene.judged("ntp.pcap");
    let incident = only(&case);
    assert_eq!(incident["vectors"][0]["name"], "ntp_amplification");
    assert_eq!(incident["sources"]["meaning"], "reflectors");
    assert!(estimate(incident, "reflected") > 0.9 && estimate(incident, "forged") < 0.1);
}

#[test]
fn a_carpet_is_one_incident_on_the_prefix() {
    let mut scene = Scene::new(14);
    let bots: Vec<_> = (0..300).map(|_| scene.host()).collect();
    for i in 0..30_000u64 {
        let (src, ttl) = bots[scene.below(300) as usize];
        let dst = Ipv4Addr::new(145, 40, 9, 1 + scene.below(254) as u8);
        let port = 1 + scene.below(65_000) as u16;
        scene.packet(i * 300, src, dst, ttl, 17, &udp(port, port, &[1; 300]));
    }
    let case = scene.judged("carpet.pcap");
    let incident = only(&case);
    assert_eq!(incident["vectors"][0]["name"], "udp_flood");
    assert_eq!(incident["target"]["prefix"], "145.40.9.0/24");
    assert!(incident["target"]["hosts"].as_u64().unwrap() > 240);
}

#[test]
fn an_attack_on_one_host_of_a_carpet_stands_beside_it() {
    // The host's own floods, of the carpet's vector and of another one, before and during the carpet.
    for own_udp in [0u64, 20_000] {
        let mut scene = Scene::new(24 + own_udp);
        let bots: Vec<_> = (0..300).map(|_| scene.host()).collect();
        for i in 0..60_000u64 {
            let (src, ttl) = bots[scene.below(300) as usize];
            let dst = Ipv4Addr::new(145, 40, 9, 1 + scene.below(254) as u8);
            let port = 1 + scene.below(65_000) as u16;
            scene.packet(
                10_000_000 + i * 300,
                src,
                dst,
                ttl,
                17,
                &udp(port, port, &[1; 300]),
            );
        }
        for i in 0..20_000u64 {
            let (src, ttl) = bots[scene.below(300) as usize];
            let port = 1_024 + scene.below(60_000) as u16;
            scene.packet(i * 1_000, src, TARGET, ttl, 6, &tcp(port, 443, 2, 0));
        }
        for i in 0..own_udp {
            let (src, ttl) = bots[scene.below(300) as usize];
            scene.packet(i * 1_000, src, TARGET, ttl, 17, &udp(4_000, 443, &[2; 300]));
        }
        let case = scene.judged("beside.pcap");
        let found: Vec<(&str, Vec<&str>)> = case["incidents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|incident| {
                let vectors = incident["vectors"].as_array().unwrap();
                (
                    incident["target"]["prefix"].as_str().unwrap(),
                    vectors
                        .iter()
                        .map(|vector| vector["name"].as_str().unwrap())
                        .collect(),
                )
            })
            .collect();
        let of_host = if own_udp > 0 {
            vec!["udp_flood", "syn_flood"]
        } else {
            vec!["syn_flood"]
        };
        assert_eq!(
            found,
            [("145.40.9.0/24", vec!["udp_flood"]), ("145.40.9.10/32", of_host)]
        );
    }
}

#[test]
fn busy_is_not_attacked() {
    let mut crowd = Scene::new(15);
    for i in 0..3_000 {
        crowd.session(i * 3_000);
    }
    assert_eq!(crowd.judged("crowd.pcap")["incidents"], serde_json::json!([]));

    let mut video = Scene::new(16);
    for i in 0..20_000u64 {
        let length = 900 + video.below(400) as usize;
        video.packet(
            i * 400,
            Ipv4Addr::new(93, 184, 1, 1),
            TARGET,
            57,
            17,
            &udp(5_004, 5_004, &vec![0x80; length]),
        );
    }
    assert_eq!(video.judged("video.pcap")["incidents"], serde_json::json!([]));

    let mut resolver = Scene::new(17);
    for i in 0..5_000u64 {
        let (server, ttl) = resolver.host();
        let port = 1024 + resolver.below(60_000) as u16;
        let question = [
            0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 3, b'o', b'r', b'g', 0, 0, 1, 0, 1,
        ];
        let mut answer = question;
        answer[2] = 0x81;
        resolver.packet(i * 2_000, TARGET, server, 64, 17, &udp(port, 53, &question));
        resolver.packet(i * 2_000 + 900, server, TARGET, ttl, 17, &udp(53, port, &answer));
    }
    assert_eq!(
        resolver.judged("resolver.pcap")["incidents"],
        serde_json::json!([])
    );
}

#[test]
fn a_scan_is_named_and_is_no_attack() {
    let mut scene = Scene::new(18);
    let scanner = Ipv4Addr::new(91, 92, 93, 94);
    for i in 0..4_000u64 {
        let dst = Ipv4Addr::new(145, 40, (i >> 8) as u8, i as u8);
        scene.packet(i * 1_000, scanner, dst, 50, 6, &tcp(44_444, 23, 2, 0));
    }
    for port in 1..2_000u16 {
        scene.packet(
            6_000_000 + u64::from(port) * 1_000,
            Ipv4Addr::new(91, 92, 93, 95),
            TARGET,
            50,
            6,
            &tcp(44_444, port, 2, 0),
        );
    }
    let case = scene.judged("scan.pcap");
    assert_eq!(case["incidents"], serde_json::json!([]));
    let sources: Vec<&str> = case["scans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["91.92.93.94", "91.92.93.95"]);
}

#[test]
fn order_of_inputs_and_cutting_them_in_two_change_nothing_but_the_inputs() {
    let mut scene = Scene::new(19);
    for i in 0..4_000u64 {
        let src = scene.anyone();
        scene.packet(i * 1_000, src, TARGET, 200, 6, &tcp(9, 80, 2, 0));
    }
    let write = |packets: &[(u64, Vec<u8>)]| {
        let mut file = vec![
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
        ];
        for (at, bytes) in packets {
            for word in [
                (at / 1_000_000) as u32,
                (at % 1_000_000) as u32,
                bytes.len() as u32,
                bytes.len() as u32,
            ] {
                file.extend(word.to_le_bytes());
            }
            file.extend(bytes);
        }
        file
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all"), write(&scene.packets)).unwrap();
    std::fs::write(folder.path().join("a"), write(&scene.packets[..1_500])).unwrap();
    std::fs::write(folder.path().join("b"), write(&scene.packets[1_500..])).unwrap();
    let incidents = |files: &[&str]| {
        let mut args = vec!["investigate", "--format", "json"];
        args.extend(files);
        case(&epicenter(folder.path(), &args))["incidents"].clone()
    };
    let whole = incidents(&["all"]);
    assert_eq!(whole, incidents(&["a", "b"]));
    assert_eq!(whole, incidents(&["b", "a"]));
}
