//! How long does it take to say where an attack came from? One vector, so many senders, from the list of senders to the whole trace.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::ensure;
use atlas::{Atlas, Prefix};
use detect::lane::Look;
use detect::{Attack, Clients, Part, Sender, Vector};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{RngCore, SeedableRng};

const SECOND: u64 = 1_000_000_000;

/// Machines in announced space, at distances of their networks, each with its own speed.
fn senders(n: usize, atlas: &Atlas) -> Vec<Sender> {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut all = Vec::with_capacity(n);
    while all.len() < n {
        let v4 = random.next_u64() as u32;
        let address = Ipv4Addr::from_bits(v4).to_ipv6_mapped();
        if !atlas.lookup(address).routed {
            continue;
        }
        let packets = 2 + random.next_u64() % 60;
        let ttl = 40 + (v4 >> 16).wrapping_mul(0x9e37_79b9).leading_zeros() as u8 + (v4 >> 24) as u8 % 12;
        all.push(Sender {
            pairs: 1,
            address,
            packets,
            bytes: 40 * packets,
            first_ns: random.next_u64() % (10 * SECOND),
            last_ns: 100 * SECOND - random.next_u64() % (5 * SECOND),
            ttl_min: ttl,
            ttl_max: ttl,
            ttl_first: ttl,
            completed: false,
            denied: false,
            window: 64_240,
            options: 0,
        });
    }
    all.sort_unstable();
    all.dedup_by_key(|sender| sender.address);
    all
}

pub(crate) fn run(sources: usize) -> anyhow::Result<()> {
    let atlas = Atlas::embedded();
    let senders = senders(sources, &atlas);
    let target = Ipv4Addr::new(198, 41, 30, 10).to_ipv6_mapped();
    let attack = Attack {
        target: Prefix::of(target, 128),
        hosts: vec![target],
        start_ns: 0,
        end_ns: 100 * SECOND,
        ongoing: false,
        longest_pause_s: 0,
        target_speaks: true,
        level: 0,
        input_ns: (0, 100 * SECOND),
        clients: Clients::default(),
        parts: vec![Part {
            vector: Vector::UdpFlood,
            packets: senders.iter().map(|sender| sender.packets).sum(),
            bytes: senders.iter().map(|sender| sender.bytes).sum(),
            requests: None,
            first_ns: 0,
            last_ns: 100 * SECOND,
            cells: Vec::new(),
            look: Look::default(),
            sampling: 1.0,
            companions: 0,
            why: String::new(),
            senders,
        }],
    };
    for _ in 0..5 {
        let began = Instant::now();
        let trace = ::trace::trace(&attack, &::trace::Past::default(), &atlas);
        let took = began.elapsed();
        ensure!(
            trace.distinct == attack.parts[0].senders.len() as u64,
            "all senders are counted"
        );
        let began = Instant::now();
        let placed = ::trace::share::place(&attack.parts[0].senders, None, &atlas, ::trace::Seen::ALL);
        let shares = began.elapsed();
        ensure!(!placed.countries.is_empty(), "they are placed");
        println!(
            "{} sources: {:.0} ms, of which shares by country, network, prefix and kind {:.0} ms; {} countries, forged {:.3}",
            trace.distinct,
            1e3 * took.as_secs_f64(),
            1e3 * shares.as_secs_f64(),
            trace.senders.location.countries.len(),
            trace.forged.estimate
        );
    }
    Ok(())
}
