//! Clients of one host that behave alike and began together, beside everybody else.
//!
//! An attack that stands beside an audience is lost in the sums over all clients. But bots run one program: they ask for the same few
//! things in the same way, and they begin when they are told to. So the clients are grouped by what they ask for ([`Shape`] and pages), and
//! of each group it is asked whether its clients began together where those of the others came as they always come ([`edge`]).

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::conversation::{HttpTalk, distinct_of_bins};
use crate::tally::Tally;
use crate::vector::Vector;

/// Requests from which on a client shows a shape. Somebody whose page does not come asks again, but hardly five times.
pub(crate) const REPEATS: u64 = 5;
/// Clients from which on it can be said that they began together: of fewer, chance is a good answer.
pub(crate) const GROUP_MIN: usize = 10;
/// Other clients that must have been there before, so that something is known of how clients come.
pub(crate) const OTHERS_MIN: usize = 20;
/// Seconds that must have been seen before the group began. In fewer, a group that comes at random may just not have come yet.
const QUIET_MIN: f64 = 10.0;
/// So many times as many clients began in a second as before, and as the others' did. Audiences grow tenfold within seconds (a link in
/// the news); with ten clients that come at random, luck makes five of one.
const TIMES: f64 = 20.0;
const SECOND: f64 = 1e9;

/// A client's HTTP with the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// Number of the conversation.
    pub(crate) index: usize,
    /// What was said.
    pub(crate) http: HttpTalk,
    /// The shape of what it asked for.
    pub(crate) shape: Option<Shape>,
    /// First packet of the client.
    pub(crate) first_ns: u64,
    /// Last packet of the client.
    pub(crate) last_ns: u64,
    /// Packets and bytes of its requests.
    pub(crate) heads: (u64, u64),
    /// Packets of the host to it were captured.
    pub(crate) speaks: bool,
}

/// What clients do that show a page to nobody. A browser that loads a page loads what is on it, from other paths; even one that gets an
/// error asks for the icon of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// One and the same thing again and again.
    Same,
    /// Another query on the same few pages each time.
    Queries,
    /// Nothing but posts to the same few pages.
    Posts,
}

impl Shape {
    /// The shape of what a client asked for, if it has one.
    pub(crate) fn of(talk: &HttpTalk) -> Option<Shape> {
        // As many pages as tools are given; audiences see more of a site, or load more with each page.
        let few = talk.paths.count_ones() <= 3;
        let nearly_all = |some: u64| some * 5 >= talk.requests * 4;
        let distinct = distinct_of_bins(&talk.targets).unwrap_or(f64::INFINITY);
        if few && nearly_all(talk.posts) {
            Some(Shape::Posts)
        } else if few && nearly_all(talk.queries) && distinct >= 0.7 * (talk.requests as f64).min(800.0) {
            Some(Shape::Queries)
        } else if talk.targets.iter().map(|word| word.count_ones()).sum::<u32>() == 1 {
            Some(Shape::Same)
        } else {
            None
        }
    }
}

/// The HTTP that a host's clients speak with it, in the order of conversations. `members` are the host's conversations.
pub(crate) fn talks(tally: &Tally, address: Ipv6Addr, members: &[(u32, u32)]) -> Vec<Talk> {
    let conversations = tally.conversations();
    let talk = |index: usize| {
        let http = *conversations.http(index).filter(|http| http.requests > 0)?;
        let target_is_low = conversations.get(index).low == address;
        let mut talk = Talk {
            index,
            http,
            shape: Shape::of(&http),
            first_ns: u64::MAX,
            last_ns: 0,
            heads: (0, 0),
            speaks: false,
        };
        for strand in conversations.strands(index) {
            if strand.forward == target_is_low {
                talk.speaks = true;
                continue;
            }
            talk.first_ns = talk.first_ns.min(strand.first_ns);
            talk.last_ns = talk.last_ns.max(strand.last_ns);
            if strand.vector == Vector::HttpFlood {
                talk.heads = (strand.packets, strand.bytes);
            }
        }
        // Where the requests are the host's own, it is the client.
        (talk.heads.0 > 0).then_some(talk)
    };
    members
        .iter()
        .filter_map(|&(_, index)| talk(index as usize))
        .collect()
}

/// Groups of clients that ask for the same in the same way often enough to show it, as positions in `talks`.
pub(crate) fn groups(talks: &[Talk]) -> Vec<(Shape, Vec<usize>)> {
    let mut groups: BTreeMap<(Shape, u64), Vec<usize>> = BTreeMap::new();
    for (at, talk) in talks.iter().enumerate() {
        if talk.http.requests >= REPEATS
            && let Some(shape) = talk.shape
        {
            groups.entry((shape, talk.http.paths)).or_default().push(at);
        }
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|((shape, _), members)| (shape, members))
        .collect();
    groups.retain(|(_, members)| members.len() >= GROUP_MIN);
    groups
}

/// When a group began all at once, and how many of it were there before; `None` where it did not, or where that cannot be seen. `own` and
/// `others` are the times at which the clients began, in order, and `since` when the input did.
///
/// The edge is where the group's rate stands most above what it was before, in multiples of what became of the rate of the others: a tenth
/// of the group may be somebody else who behaves like it. The rate after the edge is that of the first half, since bots that all run have
/// all begun.
pub(crate) fn edge(own: &[u64], others: &[u64], since: u64) -> Option<(u64, usize)> {
    let seconds = |ns: u64| ns as f64 / SECOND;
    let half = own.len() / 2;
    if own.len() < GROUP_MIN {
        return None;
    }
    let mut best = (TIMES, None);
    for (before, &at) in own.iter().enumerate().take(own.len() / 10 + 1) {
        let quiet = seconds(at.saturating_sub(since));
        let others_before = others.partition_point(|start| *start < at);
        if quiet < QUIET_MIN || others_before < OTHERS_MIN {
            continue;
        }
        let middle = own[half];
        let lasts = seconds(middle - at).max(1.0);
        let times = |before: usize, after: usize| (after as f64 / lasts) / ((before + 1) as f64 / quiet);
        let others_after = others.partition_point(|start| *start <= middle) - others_before;
        let more = times(before, half - before) / times(others_before, others_after).max(1.0);
        if more >= best.0 {
            best = (more, Some((at, before)));
        }
    }
    best.1
}

/// When a group ended all at once, in the same way; the times are those at which clients were last there, and `until` is the end of the
/// input.
pub(crate) fn edge_down(own: &[u64], others: &[u64], until: u64) -> Option<u64> {
    let mirrored =
        |times: &[u64]| -> Vec<u64> { times.iter().rev().map(|at| until - (*at).min(until)).collect() };
    edge(&mirrored(own), &mirrored(others), 0).map(|(at, _)| until - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// Starts spread evenly over some seconds.
    fn evenly(from: u64, to: u64, count: u64) -> Vec<u64> {
        (0..count)
            .map(|i| from * S + i * (to - from) * S / count)
            .collect()
    }

    #[test]
    fn who_began_together_is_told_from_who_came_as_always() {
        let audience = evenly(0, 90, 900);
        let mut bots = evenly(30, 35, 200);
        assert_eq!(edge(&bots, &audience, 0), Some((30 * S, 0)));
        // Somebody like them was there before.
        bots.splice(0..0, [3 * S, 17 * S]);
        assert_eq!(edge(&bots, &audience, 0), Some((30 * S, 2)));
        for count in [10, 50, 1_000] {
            assert_eq!(
                edge(&evenly(0, 90, count), &audience, 0),
                None,
                "{count} that come as always"
            );
        }
        assert_eq!(
            edge(&evenly(0, 3, 200), &audience, 0),
            None,
            "were there when the input began"
        );
        assert_eq!(edge(&evenly(30, 35, 9), &audience, 0), None, "too few");
        assert_eq!(edge(&evenly(30, 35, 200), &[], 0), None, "nobody to compare with");
    }

    #[test]
    fn a_crowd_that_comes_with_everybody_else_did_not_begin_alone() {
        let mut audience = evenly(0, 30, 100);
        audience.extend(evenly(30, 60, 3_000));
        let mut crowd = evenly(0, 30, 20);
        crowd.extend(evenly(30, 60, 600));
        assert_eq!(edge(&crowd, &audience, 0), None);
    }

    #[test]
    fn the_end_is_seen_in_the_same_way() {
        let audience = evenly(0, 90, 900);
        let ends = evenly(55, 60, 200);
        let end = edge_down(&ends, &audience, 90 * S).unwrap();
        assert_eq!(end, *ends.last().unwrap());
        assert_eq!(edge_down(&evenly(0, 90, 200), &audience, 90 * S), None);
    }

    #[test]
    fn browsers_have_no_shape() {
        let talk = |requests, queries, posts, paths, targets: u64| HttpTalk {
            requests,
            queries,
            posts,
            paths,
            targets: [targets, 0, 0, 0],
            ..HttpTalk::default()
        };
        assert_eq!(Shape::of(&talk(6, 0, 0, 1, 1)), Some(Shape::Same));
        assert_eq!(Shape::of(&talk(6, 6, 0, 1, 0x3f)), Some(Shape::Queries));
        assert_eq!(Shape::of(&talk(6, 0, 6, 1, 1)), Some(Shape::Posts));
        assert_eq!(
            Shape::of(&talk(6, 6, 0, 1, 1)),
            Some(Shape::Same),
            "one query again and again"
        );
        assert_eq!(Shape::of(&talk(6, 0, 0, 3, 3)), None, "a page and its icon");
        assert_eq!(Shape::of(&talk(6, 1, 1, 0x3f, 0x3f)), None);
    }
}
