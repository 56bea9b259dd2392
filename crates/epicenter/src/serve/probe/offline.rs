//! Is it them, or is it us? A probe that fails because our own network is gone says nothing about the service.
//!
//! [`judge`] decides by what else was seen at the same time: a failure counts as theirs when anything else could be reached meanwhile,
//! and as ours when nothing could, or when the machine has no way out at all. With one probed host there is no "anything else", and
//! only [`Check`] can tell.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use super::net::Trust;
use super::{Code, dns, net};

/// Other hosts that must be out of reach too before it is us; all, where there are fewer.
pub(super) const WITNESSES: usize = 3;
/// How long the system's resolvers may take to say anything.
const PATIENCE: Duration = Duration::from_secs(3);

const NO_ROUTE: &str = "we have no route to the Internet";
const NO_NAMES: &str = "our resolvers do not answer";
const NOTHING: &str = "nothing else that is probed can be reached either";

/// What the machine says of its own way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// There is a route to the Internet, of either family.
    pub(super) route: bool,
    /// The system's resolvers say anything; `None` where the system names none.
    pub(super) resolvers: Option<bool>,
}

/// A failure that may be ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure<'a> {
    /// The host that was probed; empty where it was the system's resolvers.
    pub(super) host: &'a str,
    pub(super) code: Code,
    /// When the probe began, by any clock.
    pub(super) began: u64,
}

/// The last result of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) host: &'a str,
    /// When it came, by the same clock.
    pub(super) at: u64,
    /// Something came back from there, be it the wrong thing.
    pub(super) reached: bool,
}

/// Whose trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Theirs,
    Ours(&'static str),
    /// Too few others were probed since this probe began.
    Unknown,
}

/// Whose trouble a failure is, by the results that came since its probe began and what the machine says. `others` is the number of
/// hosts that could bear [witness](is_witness). `offline` says that we were found to be so and that nothing was reached since.
pub(super) fn judge<'a>(
    failure: Failure<'_>,
    others: usize,
    since: impl Iterator<Item = Seen<'a>>,
    check: Check,
    offline: bool,
) -> Whose {
    if !failure.code.is_reachability() || is_self(failure.host) {
        return Whose::Theirs;
    }
    // Nobody can be asked where the service is: that is no statement about it, whatever else works.
    let by_name = matches!(failure.code, Code::DnsFailed | Code::DnsTimeout);
    if by_name && check.resolvers == Some(false) {
        return Whose::Ours(NO_NAMES);
    }
    if failure.code == Code::Unreachable && !check.route {
        return Whose::Ours(NO_ROUTE);
    }
    let mut meanwhile = 0;
    for seen in since.filter(|seen| seen.at >= failure.began && is_witness(seen.host, failure.host)) {
        meanwhile += 1;
        if seen.reached {
            return Whose::Theirs;
        }
    }
    // A network of its own has neither, and its hosts are reached all the same.
    if !is_inside(failure.host) && !check.route {
        return Whose::Ours(NO_ROUTE);
    }
    if !is_inside(failure.host) && check.resolvers == Some(false) {
        return Whose::Ours(NO_NAMES);
    }
    match others {
        0 => Whose::Theirs,
        _ if offline || meanwhile >= WITNESSES.min(others) => Whose::Ours(NOTHING),
        _ => Whose::Unknown,
    }
}

/// Whether what becomes of one host says anything of our way to another.
pub(super) fn is_witness(host: &str, of: &str) -> bool {
    // A resolver may answer from memory, the machine itself is always there, and neighbours are there while the world is not.
    host != of && !host.is_empty() && !is_self(host) && (is_inside(of) || !is_inside(host))
}

/// An address that is not of the open Internet.
pub(super) fn is_inside(host: &str) -> bool {
    host.parse().is_ok_and(|ip| !net::is_public(ip))
}

/// The machine itself is reached without a network, and proves none.
pub(super) fn is_self(host: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>();
    ip.is_ok_and(|ip| ip.to_canonical().is_loopback()) || host == "localhost" || host.ends_with(".localhost")
}

/// Asks the machine. No packet leaves for the routes; one question goes to the resolvers.
pub(super) async fn check(trust: &Trust) -> Check {
    Check {
        route: has_route(),
        resolvers: dns::resolvers_answer(trust, PATIENCE).await,
    }
}

/// Whether there is a way to an address of the Internet. That a socket "connects" means that a route was found.
fn has_route() -> bool {
    let v4 = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.connect((Ipv4Addr::new(192, 0, 2, 1), 9));
    let v6 = || {
        let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?.connect((far, 9))
    };
    v4().is_ok() || v6().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Check = Check {
        route: true,
        resolvers: Some(true),
    };
    const CUT: Check = Check { route: false, ..FINE };
    const DUMB: Check = Check {
        resolvers: Some(false),
        ..FINE
    };

    fn seen(host: &str, at: u64, reached: bool) -> Seen<'_> {
        Seen { host, at, reached }
    }

    fn judged(code: Code, others: &[Seen<'_>], check: Check) -> Whose {
        let failure = Failure {
            host: "shop.example",
            code,
            began: 100,
        };
        let able = others
            .iter()
            .filter(|seen| is_witness(seen.host, failure.host))
            .count();
        judge(failure, able, others.iter().copied(), check, false)
    }

    #[test]
    fn with_one_host_only_the_machine_can_tell() {
        assert_eq!(judged(Code::ConnectTimeout, &[], FINE), Whose::Theirs);
        // Its own last result is no witness.
        assert_eq!(
            judged(Code::ConnectTimeout, &[seen("shop.example", 101, false)], FINE),
            Whose::Theirs
        );
        assert!(matches!(judged(Code::ConnectTimeout, &[], CUT), Whose::Ours(_)));
        assert!(matches!(judged(Code::DnsTimeout, &[], DUMB), Whose::Ours(_)));
    }

    #[test]
    fn what_was_reached_meanwhile_shows_that_it_is_them() {
        let others = [seen("a", 101, true), seen("b", 101, false), seen("c", 102, false)];
        assert_eq!(judged(Code::ConnectTimeout, &others, FINE), Whose::Theirs);
        // In a network without a way out, neighbours are reached all the same.
        assert_eq!(judged(Code::ConnectTimeout, &others, CUT), Whose::Theirs);
        assert!(matches!(judged(Code::Unreachable, &others, CUT), Whose::Ours(_)));
        assert!(matches!(judged(Code::DnsTimeout, &others, DUMB), Whose::Ours(_)));
    }

    #[test]
    fn when_nothing_is_reached_it_is_us() {
        let three = [
            seen("a", 101, false),
            seen("b", 101, false),
            seen("c", 102, false),
        ];
        assert!(matches!(
            judged(Code::ConnectTimeout, &three, FINE),
            Whose::Ours(_)
        ));
        assert!(matches!(
            judged(Code::ConnectRefused, &three[..1], FINE),
            Whose::Ours(_)
        ));
        // What was before says nothing of now, either way.
        let mut many = three.to_vec();
        many[2].at = 99;
        assert_eq!(judged(Code::ConnectTimeout, &many, FINE), Whose::Unknown);
        many[2].reached = true;
        assert_eq!(judged(Code::ConnectTimeout, &many, FINE), Whose::Unknown);
        // While it lasts, each probe alone will do.
        let failure = Failure {
            host: "shop.example",
            code: Code::ConnectTimeout,
            began: 100,
        };
        assert!(matches!(
            judge(failure, 3, [].into_iter(), FINE, true),
            Whose::Ours(_)
        ));
        assert_eq!(judge(failure, 0, [].into_iter(), FINE, true), Whose::Theirs);
        // Three of many are enough.
        many.push(seen("d", 103, false));
        assert!(matches!(
            judged(Code::ConnectTimeout, &many, FINE),
            Whose::Ours(_)
        ));
    }

    #[test]
    fn an_answer_of_theirs_is_theirs() {
        let three = [
            seen("a", 101, false),
            seen("b", 101, false),
            seen("c", 102, false),
        ];
        for code in Code::ALL.iter().filter(|code| !code.is_reachability()) {
            assert_eq!(judged(*code, &three, CUT), Whose::Theirs, "{code:?}");
        }
    }

    #[test]
    fn the_machine_itself_is_no_network() {
        let own = Failure {
            host: "127.0.0.1",
            code: Code::ConnectRefused,
            began: 100,
        };
        assert_eq!(
            judge(own, 1, [seen("a", 101, false)].into_iter(), CUT, false),
            Whose::Theirs
        );
        // That it reaches itself does not show that it reaches others.
        let others = [
            seen("::1", 101, true),
            seen("localhost", 101, true),
            seen("a", 101, false),
        ];
        assert!(matches!(
            judged(Code::ConnectTimeout, &others, FINE),
            Whose::Ours(_)
        ));
    }

    #[test]
    fn neighbours_bear_witness_for_neighbours_only() {
        let neighbour = seen("192.168.1.1", 101, true);
        let others = [neighbour, seen("a", 101, false)];
        assert!(matches!(
            judged(Code::ConnectTimeout, &others, FINE),
            Whose::Ours(_)
        ));
        let printer = Failure {
            host: "192.168.1.9",
            code: Code::ConnectTimeout,
            began: 100,
        };
        assert_eq!(judge(printer, 2, others.into_iter(), FINE, false), Whose::Theirs);
        // A network that never had a way out is not offline.
        assert_eq!(judge(printer, 0, [].into_iter(), CUT, false), Whose::Theirs);
        let gone = Failure {
            code: Code::Unreachable,
            ..printer
        };
        assert!(matches!(
            judge(gone, 0, [].into_iter(), CUT, false),
            Whose::Ours(_)
        ));
    }
}
