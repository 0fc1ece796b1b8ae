//! Hostnames and their wildcards.

use super::draft::Item;
use super::pattern::literal;
use tse_route::config::{Location, Operator};

/// A hostname as routes and listeners have it: in lower case, perhaps with a `*.` that stands for one
/// label or more.
pub(super) type Hostname = String;

/// How specific a hostname is; a larger rank goes first. Exact ones are equally specific, because a
/// request has only one.
pub(super) fn rank(hostname: &str) -> (u8, usize) {
    if hostname.starts_with('*') { (1, hostname.len()) } else { (2, 0) }
}

/// Whether all hosts of the second hostname are hosts of the first.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        Some(suffix) => {
            let narrow = narrow.strip_prefix('*').unwrap_or(narrow);
            narrow.len() > suffix.len() && narrow.ends_with(suffix)
                || narrow == suffix && wide.len() == narrow.len() + 1 && narrow.starts_with('.')
        }
        None => wide == narrow,
    }
}

/// The hosts that two hostnames have in common.
pub(super) fn intersection(one: &str, other: &str) -> Option<Hostname> {
    if covers(one, other) {
        Some(other.to_owned())
    } else if covers(other, one) {
        Some(one.to_owned())
    } else {
        None
    }
}

/// The alternatives that hostnames make, each with its rank: all exact ones together, and each wildcard
/// by itself. Without a hostname all hosts are one.
pub(super) fn alternatives(hostnames: &[Hostname]) -> Vec<((u8, usize), Option<Item>)> {
    if hostnames.is_empty() {
        return vec![((0, 0), None)];
    }
    let (wild, mut exact): (Vec<_>, Vec<_>) =
        hostnames.iter().cloned().partition(|hostname| hostname.starts_with('*'));
    exact.dedup();
    let mut found = Vec::new();
    if !exact.is_empty() {
        found.push(((2, 0), Item::list(Location::System, "domain", Operator::In, &exact)));
    }
    for hostname in wild {
        let suffix = hostname.trim_start_matches('*');
        let item = Item::new(Location::System, "domain", Operator::Suffix, suffix);
        found.push((rank(&hostname), Some(item)));
    }
    found
}

/// An item that holds for all hosts but those of a hostname.
pub(super) fn but(hostname: &str) -> Item {
    match hostname.strip_prefix('*') {
        Some(suffix) => {
            let pattern = format!(".{}$", literal(suffix));
            Item::new(Location::System, "domain", Operator::NotRegex, &pattern)
        }
        None => Item::new(Location::System, "domain", Operator::Ne, hostname),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_have_hosts_in_common() {
        let table = [
            ("a.example", "a.example", Some("a.example")),
            ("*.example", "a.example", Some("a.example")),
            ("*.example", "a.b.example", Some("a.b.example")),
            ("*.example", "*.b.example", Some("*.b.example")),
            ("*.example", "*.example", Some("*.example")),
            ("*.example", "example", None),
            ("*.example", "aexample", None),
            ("*.b.example", "*.c.example", None),
            ("a.example", "b.example", None),
        ];
        for (one, other, common) in table {
            assert_eq!(intersection(one, other).as_deref(), common, "{one} {other}");
            assert_eq!(intersection(other, one).as_deref(), common, "{other} {one}");
        }
    }
}
