//! One pattern.

use super::automaton::Automaton;
use super::found::Found;
use super::workshop::Workshop;
use std::fmt;
use std::sync::OnceLock;

/// One of the patterns of an attribute.
pub(crate) struct Pattern {
    text: Box<str>,
    number: usize,
    /// The pattern by itself, for whoever looks for it in a value of his own.
    alone: OnceLock<Vec<Automaton>>,
}

impl Pattern {
    /// A pattern that was judged, with its number among those of its attribute.
    pub(crate) fn new(text: &str, number: usize) -> Self {
        Self { text: text.into(), number, alone: OnceLock::new() }
    }

    /// The pattern as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Whether the pattern is in a value, however many steps it takes to know.
    pub(crate) fn is_found_in(&self, value: &[u8]) -> bool {
        let automata = self.alone.get_or_init(|| {
            let mut automata = Workshop::default().automata(&[&self.text]);
            automata.iter_mut().for_each(|automaton| automaton.set_cache(Workshop::cache_for(1)));
            automata
        });
        let mut found = Found::new(1);
        for automaton in automata {
            automaton.search(value, &mut usize::MAX.clone(), 0, &mut found);
        }
        found.holds(0) == Some(true)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}
