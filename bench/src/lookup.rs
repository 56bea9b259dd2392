//! Address lookup: fifty million random addresses of each family, ours against the maxminddb crate, in one run. Every answer that
//! both give is compared first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use atlas::{Atlas, PlaceId};

const LOOKUPS: usize = 50_000_000;
const BATCH: usize = 4_096;
/// The rival is slower: it gets fewer, and its rate is what counts.
const RIVAL_LOOKUPS: usize = 2_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn ipv4(&mut self) -> Ipv6Addr {
        Ipv4Addr::from_bits(self.next() as u32).to_ipv6_mapped()
    }

    /// Random inside the /32 blocks from which registries allocate, where there is something to find.
    fn ipv6(&mut self) -> Ipv6Addr {
        const TOPS: [u16; 12] = [
            0x2001, 0x2400, 0x2402, 0x2404, 0x2406, 0x2600, 0x2604, 0x2607, 0x2800, 0x2804, 0x2a02, 0x2a0e,
        ];
        let top = u128::from(TOPS[self.next() as usize % TOPS.len()]) << 112;
        let rest = u128::from(self.next()) << 48 | u128::from(self.next() >> 16);
        Ipv6Addr::from_bits(top | rest)
    }
}

pub(crate) fn run(country: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let atlas = Atlas::embedded();
    println!(
        "load the embedded atlas: {:.1} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    let country = maxminddb::Reader::open_readfile(country)?;
    for (family, draw) in [
        ("IPv4", Random::ipv4 as fn(&mut Random) -> Ipv6Addr),
        ("IPv6", Random::ipv6),
    ] {
        compare(&atlas, &country, draw)?;
        let ours = rate_of_ours(&atlas, draw);
        let theirs = rate_of_maxminddb(&country, draw)?;
        println!(
            "{family}: epicenter {:.1} M/s, maxminddb {:.2} M/s (country code alone), ratio {:.0}",
            ours / 1e6,
            theirs / 1e6,
            ours / theirs
        );
    }
    Ok(())
}

/// Countries must agree wherever both know one.
fn compare(
    atlas: &Atlas,
    country: &maxminddb::Reader<Vec<u8>>,
    draw: fn(&mut Random) -> Ipv6Addr,
) -> anyhow::Result<()> {
    let mut random = Random(99);
    let mut both = 0;
    for _ in 0..200_000 {
        let address = draw(&mut random);
        let place = atlas.lookup(address);
        let Some(code) = code(country, address)? else {
            continue;
        };
        if place.kind != atlas::Kind::Reserved {
            anyhow::ensure!(
                place.country.as_str() == code,
                "{address}: {} and {code}",
                place.country
            );
            both += 1;
        }
    }
    println!("{both} answers agree");
    Ok(())
}

fn code(country: &maxminddb::Reader<Vec<u8>>, address: Ipv6Addr) -> anyhow::Result<Option<String>> {
    let found = country.lookup(IpAddr::V6(address).to_canonical())?;
    let Some(value) = found.decode::<serde_json::Value>()? else {
        return Ok(None);
    };
    Ok(value
        .get("country_code")
        .or(value.pointer("/country/iso_code"))
        .and_then(|v| v.as_str())
        .map(str::to_owned))
}

fn rate_of_ours(atlas: &Atlas, draw: fn(&mut Random) -> Ipv6Addr) -> f64 {
    let mut random = Random(7);
    let addresses: Vec<Ipv6Addr> = (0..BATCH * 256).map(|_| draw(&mut random)).collect();
    let mut ids: Vec<PlaceId> = Vec::with_capacity(BATCH);
    let mut sum = 0u64;
    let started = Instant::now();
    let mut done = 0;
    while done < LOOKUPS {
        for batch in addresses.chunks(BATCH) {
            ids.clear();
            atlas.lookup_all(batch, &mut ids);
            sum = sum.wrapping_add(u64::from(ids[batch.len() / 2].0));
            done += batch.len();
        }
    }
    let rate = done as f64 / started.elapsed().as_secs_f64();
    std::hint::black_box(sum);
    rate
}

fn rate_of_maxminddb(
    country: &maxminddb::Reader<Vec<u8>>,
    draw: fn(&mut Random) -> Ipv6Addr,
) -> anyhow::Result<f64> {
    let mut random = Random(7);
    let addresses: Vec<IpAddr> = (0..RIVAL_LOOKUPS)
        .map(|_| IpAddr::V6(draw(&mut random)).to_canonical())
        .collect();
    let mut sum = 0usize;
    let started = Instant::now();
    for address in &addresses {
        // One path of a country database, not whole records and no AS: the rival at its best.
        let code: Option<&str> = country
            .lookup(*address)?
            .decode_path(&maxminddb::path!["country_code"])?;
        sum = sum.wrapping_add(code.map_or(0, str::len));
    }
    let rate = addresses.len() as f64 / started.elapsed().as_secs_f64();
    std::hint::black_box(sum);
    Ok(rate)
}
