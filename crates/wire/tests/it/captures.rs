//! The shared captures: packets, protocols and TCP flags must be those that an independent reader counted.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The shared test data, or `None` where it is not there (which fails under CI).
pub(crate) fn data() -> Option<PathBuf> {
    let root = std::env::var_os("EPICENTER_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if root.is_dir() {
        return Some(root);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the shared data is missing at {}",
        root.display()
    );
    None
}

#[test]
fn counts_are_those_of_another_reader() {
    let Some(root) = data() else { return };
    let mut compared = 0;
    for folder in ["pcap-attack", "pcap-benign"] {
        let stats = std::fs::read_to_string(root.join(folder).join("STATS-shared.json")).unwrap();
        let stats: BTreeMap<String, serde_json::Value> = serde_json::from_str(&stats).unwrap();
        for (name, stat) in stats {
            let path = [
                root.join(folder).join(&name),
                root.join(folder).join("stopddos").join(&name),
            ]
            .into_iter()
            .find(|path| path.is_file());
            let Some(path) = path else { continue };
            let (flows, _, faults) = super::decode(&std::fs::read(&path).unwrap());
            let others = faults.count(wire::Reason::NotIp) + faults.count(wire::Reason::LinkTruncated);
            assert_eq!(
                flows.len() as u64 + others,
                stat["pkts"].as_u64().unwrap(),
                "{name}: packets"
            );
            let mut flags: BTreeMap<String, u64> = BTreeMap::new();
            for flow in flows.iter().filter(|f| f.has & wire::Flow::HAS_TCP_FLAGS != 0) {
                *flags.entry(format!("{:#06x}", flow.tcp_flags)).or_default() += 1;
            }
            for (bits, count) in stat["tcp_flags"].as_object().into_iter().flatten() {
                let (ours, theirs) = (flags.get(bits).copied().unwrap_or(0), count.as_u64().unwrap());
                // That reader also counts the segments quoted in ICMP errors.
                let quoted = flows
                    .iter()
                    .filter(|f| f.protocol == 1 && matches!(f.icmp_type, 3 | 4 | 5 | 11))
                    .count() as u64;
                assert!(
                    (ours..=ours + quoted).contains(&theirs),
                    "{name}: flags {bits}: {ours}, not {theirs}"
                );
            }
            for (protocol, count) in stat["proto"].as_object().into_iter().flatten() {
                // That reader stops at IPv6 extension headers; ours looks behind them.
                if let Ok(number) = protocol.parse::<u8>()
                    && ![0, 17, 58].contains(&number)
                {
                    let ours = flows.iter().filter(|f| f.protocol == number).count() as u64;
                    assert_eq!(ours, count.as_u64().unwrap(), "{name}: protocol {number}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} captures were compared");
}
