//! The patterns of each attribute, and how many steps looking for them may take.

use super::automaton::{Automaton, MOST_STEPS};
use super::found::Found;
use super::pattern::Pattern;
use super::workshop::Workshop;
use std::sync::Arc;

/// Attributes that share the steps of a request get at least so many each.
const LEAST_STEPS: usize = 512;

/// The searches of a table, by the positions of its attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Searches {
    automata: Box<[Box<[Automaton]>]>,
    /// How many steps each attribute's search may take.
    ///
    /// Its part of the steps of a request is an attribute's own, whatever the others need: rules
    /// that are asked in another order decide the same.
    steps: usize,
}

impl Searches {
    /// From the patterns of each attribute, which were judged.
    pub(crate) fn new(patterns: &[Vec<Arc<Pattern>>], mut workshop: Workshop) -> Self {
        let mut automata: Vec<Vec<Automaton>> = patterns
            .iter()
            .map(|patterns| {
                let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.text()).collect();
                if texts.is_empty() { Vec::new() } else { workshop.automata(&texts) }
            })
            .collect();
        let is_counted = |automata: &&Vec<Automaton>| automata.iter().any(Automaton::is_counted);
        let counted = automata.iter().filter(is_counted).count();
        let cache = Workshop::cache_for(
            automata.iter().flatten().filter(|automaton| automaton.is_counted()).count(),
        );
        automata.iter_mut().flatten().for_each(|automaton| automaton.set_cache(cache));
        Self {
            automata: automata.into_iter().map(Into::into).collect(),
            steps: (MOST_STEPS / counted.max(1)).max(LEAST_STEPS),
        }
    }

    #[cfg(test)]
    pub(crate) fn starve(&mut self) {
        self.steps = 0;
    }

    /// Searches the value of an attribute for all of its patterns.
    pub(crate) fn find(&self, attribute: usize, value: &[u8]) -> Found {
        let automata: &[Automaton] = self.automata.get(attribute).map_or(&[], AsRef::as_ref);
        let mut found = Found::new(automata.iter().map(Automaton::patterns).sum());
        let mut steps = self.steps;
        let mut offset = 0;
        for automaton in automata {
            automaton.search(value, &mut steps, offset, &mut found);
            offset += automaton.patterns();
        }
        found
    }
}
