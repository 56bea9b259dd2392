//! When an attack was, where its senders were there before and after it.

use std::net::Ipv4Addr;

use detect::{Options, Tally, Vector, judge};
use wire::{Batch, Flow};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_741_600_000;

fn syns(bot: u32, second: u64, packets: u64) -> Flow {
    Flow {
        src: Ipv4Addr::from(0x5100_0000 + bot * 77).to_ipv6_mapped(),
        dst: Ipv4Addr::from(0xc629_1e0a).to_ipv6_mapped(),
        first_ns: (START + second) * SECOND,
        last_ns: (START + second) * SECOND,
        packets,
        bytes: packets * 40,
        protocol: 6,
        src_port: 4_000,
        dst_port: 80,
        tcp_flags: Flow::SYN,
        has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS,
        ..Flow::EMPTY
    }
}

#[test]
fn a_burst_in_hours_of_trickle_is_found_in_its_second() {
    let mut tally = Tally::new();
    for from in (0..3_000).step_by(500) {
        let batch = Batch {
            flows: (from..from + 500)
                .map(|second| syns(second as u32 % 5, second, 1))
                .collect(),
            ..Batch::default()
        };
        tally.add(&batch);
    }
    let burst = Batch {
        flows: (0..5).map(|bot| syns(bot, 1_500, 1_000)).collect(),
        ..Batch::default()
    };
    tally.add(&burst);
    let findings = judge(&tally, &Options::default());
    assert_eq!(findings.attacks.len(), 1, "{findings:?}");
    let attack = &findings.attacks[0];
    assert_eq!(attack.parts[0].vector, Vector::SynFlood);
    let seconds = (attack.start_ns / SECOND - START, attack.end_ns / SECOND - START);
    assert_eq!(seconds, (1_500, 1_501));
}
