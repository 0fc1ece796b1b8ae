//! Stickiness: the same key goes to the same upstream, on every node, without a memory.
//!
//! Weighted rendezvous hashing. Every upstream of the rule draws a number from the key, and the
//! smallest number, divided by the weight, wins:
//!
//! ```text
//! seed   = XXH64(name of the rule, 0)
//! client = XXH64(key, seed)
//! h      = XXH64(name of the upstream, client)
//! u      = ((h >> 12) + 0.5) / 2^52            evenly distributed in (0, 1)
//! cost   = -ln(u) / weight                     the smallest cost wins
//! ```
//!
//! The service's own upstream and a rule without a name have the empty name; an upstream that is
//! listed a second time has the name with `#2` behind it.
//!
//! An upstream's cost depends on nothing but its own weight. So where one weight grows against
//! the others, the only keys that move are those that the growing upstream wins, and it loses
//! none; that is the least that can move. (No scheme without a memory can be minimal for *every*
//! change of three or more weights at once. This one is the maximally consistent one: Moulton and
//! Jiang, "Maximally Consistent Sampling and the Jaccard Index of Probability Distributions", 2018.)

use twox_hash::XxHash64;

/// The number that clients of a rule are told apart by; `rule` is its name.
pub(crate) fn seed(rule: &str) -> u64 {
    XxHash64::oneshot(0, rule.as_bytes())
}

/// The client's own number.
pub(crate) fn client(seed: u64, key: &[u8]) -> u64 {
    XxHash64::oneshot(seed, key)
}

/// The position of the upstream that a client goes to; none where every weight is 0.
pub(crate) fn choose<'n>(
    upstreams: impl Iterator<Item = (&'n [u8], u64)>,
    client: u64,
) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (index, (name, weight)) in upstreams.enumerate().filter(|(_, (_, weight))| *weight > 0) {
        let cost = draw(name, client) / weight as f64;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, index));
        }
    }
    best.map(|(_, index)| index)
}

/// An exponentially distributed number that belongs to the upstream and the client.
fn draw(name: &[u8], client: u64) -> f64 {
    let hash = XxHash64::oneshot(client, name);
    let even = ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -even.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignments(rule: &str, upstreams: &[(&str, u64)], users: u64) -> Vec<usize> {
        let seed = seed(rule);
        let choose = |user: u64| {
            let upstreams = upstreams.iter().map(|(name, weight)| (name.as_bytes(), *weight));
            choose(upstreams, client(seed, format!("user-{user}").as_bytes()))
        };
        (0..users).map(|user| choose(user).expect("some weight is not 0")).collect()
    }

    /// Computed by another program from the description above.
    #[test]
    fn golden_vectors() {
        assert_eq!(seed(""), 0xef46_db37_51d8_e999); // XXH64 of nothing, as its author published it
        assert_eq!(seed("checkout"), 0x3565_d2b2_6259_a99d);
        assert_eq!(client(seed("checkout"), b"user-1"), 0x6f27_53da_334b_389d);

        let canary = assignments("checkout", &[("stable", 9_000), ("canary", 1_000)], 40);
        let users: Vec<_> = (0..40).filter(|user| canary[*user] == 1).collect();
        assert_eq!(users, [5, 7, 10, 16, 37]);

        let three = assignments("", &[("a", 2_000), ("b", 3_000), ("", 5_000)], 20);
        assert_eq!(three, [2, 0, 2, 2, 1, 2, 2, 2, 2, 2, 1, 2, 1, 2, 0, 0, 0, 1, 0, 2]);
    }

    #[test]
    fn only_weights_above_zero_are_chosen() {
        assert_eq!(choose([(&b"a"[..], 0), (b"b", 0)].into_iter(), 7), None);
        assert_eq!(choose([(&b"a"[..], 0), (b"b", 1)].into_iter(), 7), Some(1));
    }
}
