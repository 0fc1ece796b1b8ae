//! Ordered comparisons: the bounds that admit a value, found by binary searches.

use super::member::{Member, positions};
use crate::engine::matches::{Bound, Scale};
use crate::engine::sorted::sort_by;

/// Bounds, sorted as they are compared.
///
/// Whether a bound is compared as a version or as a decimal number depends on the value too, so
/// that those that can be either are sorted twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// Versions in any case.
    versions: Sides,
    /// The others, for values that are versions.
    as_versions: Sides,
    /// The others, for values that are not.
    as_decimals: Sides,
}

/// Lower bounds and upper ones.
type Sides = [Ladder; 2];

impl Bounds {
    pub(super) fn new(filed: Vec<(&Bound, Vec<Member>)>) -> Self {
        let (versions, others): (Vec<_>, Vec<_>) =
            filed.into_iter().partition(|(bound, _)| bound.is_version());
        Self {
            versions: sides(&versions, Scale::Version),
            as_versions: sides(&others, Scale::Version),
            as_decimals: sides(&others, Scale::Decimal),
        }
    }

    fn is_empty(&self) -> bool {
        let mut ladders =
            [&self.versions, &self.as_versions, &self.as_decimals].into_iter().flatten();
        ladders.all(|ladder| ladder.bounds.is_empty())
    }

    /// Visits the rules that are filed under the bounds that admit a value, list by list.
    pub(super) fn visit<'i>(&'i self, value: &[u8], mut found: impl FnMut(&'i [u32])) {
        if self.is_empty() {
            return;
        }
        let others =
            if Bound::is_version_value(value) { &self.as_versions } else { &self.as_decimals };
        for ladder in self.versions.iter().chain(others) {
            ladder.visit(value, &mut found);
        }
    }
}

fn sides(filed: &[(&Bound, Vec<Member>)], scale: Scale) -> Sides {
    [true, false].map(|lower| {
        let mut rungs: Vec<_> = filed
            .iter()
            .filter(|(bound, _)| bound.is_lower() == lower && bound.is_on(scale))
            .collect();
        sort_by(&mut rungs, |(left, _), (right, _)| left.cmp_openness(right, scale));
        let bounds = rungs.iter().map(|(bound, _)| (*bound).clone()).collect();
        // Each span collects the rules of as many rungs as the lowest set bit of its number says
        // (Fenwick, 1994): those of the first n rungs lie in as many spans as n has bits.
        let spans = (1..=rungs.len()).map(|end| {
            let start = end - (end & end.wrapping_neg());
            let covered = rungs.get(start..end).unwrap_or_default();
            positions(covered.iter().flat_map(|(_, members)| members))
        });
        Ladder { bounds, spans: spans.collect() }
    })
}

/// Bounds of one side on one scale: those that admit more values come first.
#[derive(Clone, Debug, Default)]
struct Ladder {
    bounds: Box<[Bound]>,
    spans: Box<[Box<[u32]>]>,
}

impl Ladder {
    fn visit<'i>(&'i self, value: &[u8], found: &mut impl FnMut(&'i [u32])) {
        let mut end = self.bounds.partition_point(|bound| bound.admits(value));
        while end > 0 {
            if let Some(span) = self.spans.get(end - 1) {
                found(span);
            }
            end &= end - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::member::Member;
    use crate::engine::matches::Relation;

    #[test]
    fn the_bounds_that_admit_are_found() {
        let texts = ["1", "1.0", "-3", "1.5", "2", "v1", "v2", "1.10.0", "1.9.0", "2-rc1", "10"];
        let relations =
            [Relation::Greater, Relation::GreaterOrEqual, Relation::Less, Relation::LessOrEqual];
        let bounds: Vec<Bound> = texts
            .iter()
            .flat_map(|text| relations.map(|relation| Bound::compile(relation, text.as_bytes())))
            .collect::<Result<_, _>>()
            .expect("bounds");
        let filed = (0..).zip(&bounds).map(|(at, bound)| (bound, vec![Member::at(at)])).collect();
        let index = Bounds::new(filed);
        for value in texts.iter().chain(&["", "x", "0", "v", "1.2.3", "1.5.0", "-4", "1.50", "+7"])
        {
            let mut seen: Vec<u32> = Vec::new();
            index.visit(value.as_bytes(), |rules| seen.extend(rules));
            seen.sort_unstable();
            let admitting: Vec<u32> = (0..)
                .zip(&bounds)
                .filter(|(_, bound)| bound.admits(value.as_bytes()))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(seen, admitting, "{value}");
        }
    }
}
