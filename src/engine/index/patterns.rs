//! Regular expressions: one pass over the value finds all patterns that are in it.

use crate::engine::matches::Patterns as Automaton;
use crate::engine::sorted::sort_by;

/// The most patterns of one automaton: its states grow with them, and it is fast only as long as
/// the states that a value leads through stay in its cache.
const MAX_PATTERNS: usize = 1_000;

/// Patterns, compiled into as few automata as their sizes allow.
#[derive(Clone, Debug)]
pub(super) struct Patterns<N> {
    sets: Vec<(Automaton, Box<[N]>)>,
}

impl<N> Patterns<N> {
    /// From different patterns; what is filed under patterns that don't compile is handed back.
    pub(super) fn new(mut filed: Vec<(Box<[u8]>, N)>) -> (Self, Vec<N>) {
        // The order of a hash map would make configurations differ from run to run.
        sort_by(&mut filed, |(left, _), (right, _)| left.cmp(right));
        let mut patterns = Self { sets: Vec::new() };
        let mut unfiled = Vec::new();
        while !filed.is_empty() {
            let rest = filed.split_off(filed.len().min(MAX_PATTERNS));
            patterns.add(filed, &mut unfiled);
            filed = rest;
        }
        (patterns, unfiled)
    }

    fn add(&mut self, mut filed: Vec<(Box<[u8]>, N)>, unfiled: &mut Vec<N>) {
        // A configured pattern is text; one that is not would not compile.
        let text = |pattern| std::str::from_utf8(pattern).unwrap_or("(");
        let texts: Vec<&str> = filed.iter().map(|(pattern, _)| text(pattern)).collect();
        match Automaton::compile(&texts) {
            Some(set) => {
                self.sets.push((set, filed.into_iter().map(|(_, node)| node).collect()));
            }
            None if filed.len() <= 1 => unfiled.extend(filed.into_iter().map(|(_, node)| node)),
            None => {
                let half = filed.split_off(filed.len() / 2);
                self.add(filed, unfiled);
                self.add(half, unfiled);
            }
        }
    }

    /// Visits what is filed under the patterns that are found in a value.
    pub(super) fn visit<'i>(&'i self, value: &[u8], mut found: impl FnMut(&'i N)) {
        for (set, nodes) in &self.sets {
            set.visit(value, |pattern| {
                if let Some(node) = nodes.get(pattern) {
                    found(node);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::matches::literal_pattern as literal;

    fn seen(patterns: &Patterns<u32>, value: &[u8]) -> Vec<u32> {
        let mut seen = Vec::new();
        patterns.visit(value, |position| seen.push(*position));
        seen.sort_unstable();
        seen
    }

    #[test]
    fn all_patterns_are_found() {
        let filed = ["^a", "b$", "", r"\d+", "(?i)AB", &literal(b"a.b"), &literal("é".as_bytes())];
        let filed = (0..).zip(filed).map(|(at, pattern)| (pattern.as_bytes().into(), at));
        let (patterns, unfiled) = Patterns::new(filed.collect());
        assert!(unfiled.is_empty());
        let table: &[(&[u8], &[u32])] = &[
            (b"", &[2]),
            (b"ab", &[0, 1, 2, 4]),
            (b"a.b", &[0, 1, 2, 5]),
            (b"x1", &[2, 3]),
            ("caf\u{e9}".as_bytes(), &[2, 6]),
            (b"\xff\xfe7", &[2, 3]),
        ];
        for (value, expected) in table {
            assert_eq!(seen(&patterns, value), *expected, "{value:?}");
        }
    }

    #[test]
    fn large_sets_are_split_and_faults_handed_back() {
        let large =
            (0..40).map(|at| (format!("{at}(?:[a-z]{{100}}){{60}}").into_bytes().into(), at));
        let bad = [(Box::from(*b"("), 99)];
        let small = [(Box::from(*b"x"), 100)];
        let (patterns, unfiled) = Patterns::new(large.chain(bad).chain(small).collect());
        assert!(patterns.sets.len() > 1);
        assert_eq!(unfiled, [99]);
        let value = format!("7{}", "x".repeat(6_000));
        assert_eq!(seen(&patterns, value.as_bytes()), [7, 100]);
    }
}
