//! `atlas` from outside: the snapshot, the table of kinds, and building against a slow and obvious search.
#![allow(
    clippy::disallowed_methods,
    reason = "tests read files and the environment; the room itself does not"
)]

use std::net::{IpAddr, Ipv6Addr};

use atlas::{Atlas, Build, Country, Kind, Prefix, Row};
use proptest::prelude::*;

fn ip(text: &str) -> Ipv6Addr {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[test]
fn known_addresses_are_where_they_are() {
    let atlas = Atlas::embedded();
    for (address, country, asn, kind, routed) in [
        ("8.8.8.8", "US", 15169, Kind::Anycast, true),
        ("1.1.1.1", "AU", 13335, Kind::Anycast, true),
        ("2606:4700::1111", "US", 13335, Kind::Anycast, true),
        ("98.97.1.1", "US", 14593, Kind::Satellite, true),
        ("192.168.1.1", "ZZ", 0, Kind::Reserved, false),
        ("10.10.10.10", "ZZ", 0, Kind::Reserved, false),
        ("100.64.0.1", "ZZ", 0, Kind::Reserved, false),
        ("127.0.0.1", "ZZ", 0, Kind::Reserved, false),
        ("240.0.0.1", "ZZ", 0, Kind::Reserved, false),
        ("255.255.255.255", "ZZ", 0, Kind::Reserved, false),
        ("2001:db8::1", "ZZ", 0, Kind::Reserved, false),
        ("ff02::1", "ZZ", 0, Kind::Reserved, false),
        ("fe80::1", "ZZ", 0, Kind::Reserved, false),
        ("::1", "ZZ", 0, Kind::Reserved, false),
    ] {
        let place = atlas.lookup(ip(address));
        let got = (place.country.as_str(), place.asn, place.kind, place.routed);
        assert_eq!(got, (country, asn, kind, routed), "{address}");
        assert!(place.prefix.contains(ip(address)), "{address}: {}", place.prefix);
    }
    assert_eq!(atlas.about().sha256.len(), 64);
    assert!((0.15..0.40).contains(&atlas.ipv4_unusable_share()));
}

#[test]
fn every_kind_is_of_the_network_that_its_row_names() {
    let atlas = Atlas::embedded();
    // Every AS number of the table must be in the snapshot under that name; so no row is of another network.
    let mut names: std::collections::BTreeMap<u32, String> = std::collections::BTreeMap::new();
    let mut address = 0u64;
    while address < 1 << 32 {
        let at = std::net::Ipv4Addr::from_bits(address as u32).to_ipv6_mapped();
        let place = atlas.lookup(at);
        names.entry(place.asn).or_insert_with(|| place.network.to_owned());
        address += 1 << (128 - place.prefix.len);
    }
    let rows = atlas::build::kinds();
    assert!(rows.len() > 100);
    for row in rows {
        assert!(!row.reason.is_empty(), "{row:?} has no reason");
        assert!(
            row.asn.is_some() != row.prefix.is_some(),
            "{row:?}: an AS number or a prefix"
        );
        if let Some(asn) = row.asn
            && let Some(name) = names.get(&asn)
        {
            assert_eq!(*name, row.name, "AS{asn}");
        }
        if let Some(prefix) = row.prefix {
            assert_eq!(atlas.lookup(prefix.base).kind, row.kind, "{prefix}");
        }
    }
}

#[test]
fn special_purpose_space_is_never_announced() {
    let atlas = Atlas::embedded();
    let special = atlas::build::special();
    assert!(special.len() >= 28);
    for (prefix, name) in special {
        let place = atlas.lookup(prefix.base);
        assert_eq!(
            (place.kind, place.routed, place.country),
            (Kind::Reserved, false, Country::UNKNOWN),
            "{prefix}"
        );
        assert!(
            prefix.contains(place.prefix.base) || place.prefix.contains(prefix.base),
            "{prefix} {name}"
        );
    }
}

#[test]
fn own_kinds_win_and_leave_neighbours_alone() {
    let plain = Atlas::embedded();
    let own: Vec<_> = [
        ("8.8.8.0/24", Kind::Tor),
        ("8.8.8.8", Kind::Proxy),
        ("2a02:2450::/40", Kind::Mobile),
    ]
    .map(|(prefix, kind)| (prefix.parse().unwrap(), kind))
    .to_vec();
    let atlas = Atlas::embedded().with_kinds(&own);
    assert_eq!(atlas.lookup(ip("8.8.8.7")).kind, Kind::Tor);
    assert_eq!(atlas.lookup(ip("8.8.8.8")).kind, Kind::Proxy);
    assert_eq!(atlas.lookup(ip("8.8.8.9")).kind, Kind::Tor);
    assert_eq!(atlas.lookup(ip("2a02:2450::1")).kind, Kind::Mobile);
    for outside in ["8.8.7.255", "8.8.9.0", "2a02:2450:100::", "1.2.3.4"] {
        assert_eq!(
            atlas.lookup(ip(outside)),
            atlas::Place {
                prefix: atlas.lookup(ip(outside)).prefix,
                ..plain.lookup(ip(outside))
            }
        );
    }
    assert_eq!(atlas.lookup(ip("8.8.8.8")).asn, 15169);
}

#[test]
fn damaged_files_are_refused() {
    let file = Build {
        built: "2026-01-01".into(),
        ..Build::default()
    }
    .parts()
    .write();
    assert!(Atlas::from_bytes(file.clone()).is_ok());
    for cut in 0..file.len() {
        assert!(Atlas::from_bytes(file[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    assert!(Atlas::from_bytes(b"EPCATLAS\x02rest".to_vec()).is_err());
    assert!(Atlas::from_bytes(Vec::new()).is_err());
}

/// The n-th address of a small part of each address space.
fn numbered(v6: bool, n: u32) -> Ipv6Addr {
    if v6 {
        Ipv6Addr::from_bits(0x2a00_u128 << 112 | u128::from(n) << 60)
    } else {
        std::net::Ipv4Addr::from_bits(0x0900_0000 + n).to_ipv6_mapped()
    }
}

/// Rows over a small part of each address space, so that they overlap.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (any::<bool>(), 0u32..400, 1u32..200, 0usize..4, 0u32..5).prop_map(
        |(v6, start, length, country, asn)| {
            let at = |n: u32| {
                if v6 {
                    Ipv6Addr::from_bits(0x2a00_u128 << 112 | u128::from(n) << 60)
                } else {
                    std::net::Ipv4Addr::from_bits(0x0900_0000 + n).to_ipv6_mapped()
                }
            };
            Row {
                first: at(start),
                last: Ipv6Addr::from_bits(at(start + length).to_bits() - 1),
                country: [None, Some("US"), Some("DE"), Some("BR")][country]
                    .map(|c| Country(c.as_bytes().try_into().unwrap())),
                network: (asn > 0).then(|| (asn, format!("net {asn}"))),
                kind: None,
            }
        },
    );
    prop::collection::vec(row, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::with_cases(60) })]

    #[test]
    fn an_atlas_answers_as_a_slow_search_does(rows in rows(), probes in prop::collection::vec((any::<bool>(), 0u32..620), 1..60)) {
        let file = Build { built: "2026-01-01".into(), attribution: vec!["test".into()], rows: rows.clone() }.parts().write();
        let atlas = Atlas::from_bytes(file).unwrap();
        for (v6, n) in probes {
            let address = numbered(v6, n);
            let holds = |row: &&Row| row.first <= address && address <= row.last;
            let country = rows.iter().filter(holds).filter_map(|row| row.country).next_back().unwrap_or(Country::UNKNOWN);
            let network = rows.iter().filter(holds).filter_map(|row| row.network.clone()).next_back();
            let place = atlas.lookup(address);
            prop_assert_eq!(place.country, country);
            prop_assert_eq!(place.asn, network.as_ref().map_or(0, |n| n.0));
            prop_assert_eq!(place.routed, network.is_some());
            prop_assert_eq!(place.network, network.as_ref().map_or("", |n| &n.1));
            prop_assert!(place.prefix.contains(address));
        }
    }
}

#[test]
fn a_moved_atlas_says_the_same_of_moved_addresses() {
    let atlas = Atlas::embedded();
    // Turns one bit inside 8.0.0.0/7 and the first bit behind 2a00::/12.
    let turn = |prefix: Prefix| {
        let (bits, len) = (prefix.base.to_bits(), prefix.len);
        let flip = match prefix.base.to_ipv4_mapped() {
            Some(v4) if v4.octets()[0] >> 1 == 4 && len >= 112 => 1 << 16,
            None if bits >> 116 == 0x2a0 && len >= 13 => 1 << 115,
            _ => 0,
        };
        Prefix::of(Ipv6Addr::from_bits(bits ^ flip), len)
    };
    let google = ip("8.8.8.8");
    let mut ids = Vec::new();
    atlas.lookup_all(&[google], &mut ids);
    let wanted = ids[0];
    let parts = atlas.moved(&mut { turn }, &|id| id == wanted);
    let moved = Atlas::from_bytes(parts.write()).unwrap();
    let before = atlas.lookup(google);
    let after = moved.lookup(ip("8.9.8.8"));
    assert_eq!(
        (before.asn, before.network, before.country, before.prefix.len),
        (after.asn, after.network, after.country, after.prefix.len)
    );
    let other = moved.lookup(ip("1.1.1.1"));
    assert_eq!(
        (other.asn, other.routed, other.country),
        (0, true, Country::UNKNOWN)
    );
    let private = moved.lookup(ip("10.0.0.1"));
    assert_eq!((private.kind, private.routed), (Kind::Reserved, false));
    assert!((moved.ipv4_unusable_share() - atlas.ipv4_unusable_share()).abs() < 1e-12);
    // How much space each country has is told though its blocks are not named, and stays told.
    assert_eq!(moved.space(), atlas.space());
    let twice = moved.moved(&mut { turn }, &|_| true);
    assert_eq!(twice.space, atlas.space());
    let addresses: u64 = atlas.space().iter().map(|space| space.ipv4).sum();
    let usable = 1.0 - atlas.ipv4_unusable_share();
    assert!((addresses as f64 / 2f64.powi(32) - usable).abs() < 1e-9);
    // A file ends behind its rows where they tell it themselves, and what is cut short is refused.
    let own = atlas::file::Parts::read(atlas.file()).unwrap();
    assert!(own.space.is_empty());
    let damaged = atlas::file::Parts {
        space: vec![atlas::Space {
            country: Country(*b"u1"),
            ipv4: 1,
            ipv6: 1,
            ipv6_blocks: 1,
        }],
        ..parts
    };
    assert!(Atlas::from_bytes(damaged.write()).is_err());
}

#[test]
fn networks_have_names_by_number() {
    let atlas = Atlas::embedded();
    let place = atlas.lookup(
        "8.8.8.8"
            .parse::<std::net::Ipv4Addr>()
            .expect("an address")
            .to_ipv6_mapped(),
    );
    assert_eq!(atlas.network(place.asn), Some(place.network));
    assert_eq!(atlas.network(0), None);
    assert_eq!(atlas.network(u32::MAX), None);
}
