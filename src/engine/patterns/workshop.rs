//! From the text of patterns to automata.

use super::automaton::Automaton;
use super::program::Program;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::syntax;

/// The largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The largest sum of all compiled patterns of a configuration, in bytes.
const MAX_BYTES: usize = 32 << 20;
/// The largest automaton of several patterns, in bytes.
const MAX_SET_BYTES: usize = 8 << 20;
/// How much memory the states of all automata may take that are made as values lead to them; an
/// automaton that needs more than its part makes them anew.
const CACHES: usize = 16 << 20;
/// The bounds of one automaton's part.
const CACHE: std::ops::RangeInclusive<usize> = 16 << 10..=4 << 20;
/// How much work it may be to make all states of the automata of a configuration in advance, in
/// steps of a search.
const ADVANCE: usize = 20_000_000;

/// Where the patterns of a configuration are compiled: what it has left.
#[derive(Debug)]
pub(crate) struct Workshop {
    bytes: usize,
    advance: usize,
}

impl Default for Workshop {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, advance: ADVANCE }
    }
}

impl Workshop {
    #[cfg(test)]
    pub(super) fn with_advance(advance: usize) -> Self {
        Self { advance, ..Self::default() }
    }

    /// Whether a pattern over bytes can be used.
    ///
    /// Patterns know nothing of Unicode: `.` is any byte but a newline, `\w`, `\d` and `(?i)` are
    /// ASCII's. Values are bytes that a client chose, and the tables of Unicode are larger than the
    /// rest of the filter.
    pub(crate) fn judge(&mut self, text: &str) -> Result<(), String> {
        let limit = MAX_PATTERN_BYTES.min(self.bytes);
        let nfa = compile(&[text], limit).map_err(|error| match error.size_limit() {
            Some(MAX_PATTERN_BYTES) => {
                // What it took to find out counts too.
                self.bytes = self.bytes.saturating_sub(MAX_PATTERN_BYTES);
                format!("the pattern is larger than {MAX_PATTERN_BYTES} bytes when compiled")
            }
            Some(_) => {
                self.bytes = 0;
                format!("the patterns up to here are larger than {MAX_BYTES} bytes when compiled")
            }
            None => format!("not a regular expression: {}", reason(text, &error)),
        })?;
        if nfa.look_set_any().contains_word_unicode() {
            return Err("not a regular expression over bytes: `\\b` knows ASCII only".to_owned());
        }
        self.bytes = self.bytes.saturating_sub(nfa.memory_usage());
        Ok(())
    }

    /// Compiles patterns that were judged, into as few automata as their sizes allow. Each is a
    /// range of patterns.
    pub(crate) fn automata(&mut self, texts: &[&str]) -> Vec<Automaton> {
        match compile(texts, MAX_SET_BYTES) {
            Ok(nfa) => vec![Automaton::new(Program::new(nfa), &mut self.advance)],
            Err(_) => match texts.split_at_checked(texts.len() / 2) {
                Some((left, right)) if !left.is_empty() => {
                    let mut automata = self.automata(left);
                    automata.extend(self.automata(right));
                    automata
                }
                _ => Vec::new(),
            },
        }
    }

    /// The part of the memory for states that each of so many automata gets, in bytes.
    pub(crate) fn cache_for(automata: usize) -> usize {
        (CACHES / automata.max(1)).clamp(*CACHE.start(), *CACHE.end())
    }
}

/// How many states a pattern has; none if it does not compile.
pub(crate) fn count_states(text: &str) -> usize {
    compile(&[text], MAX_PATTERN_BYTES).map_or(0, |nfa| nfa.states().len())
}

/// The pattern that finds exactly this text.
pub(crate) fn literal(text: &[u8]) -> String {
    text.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn compile(texts: &[&str], limit: usize) -> Result<NFA, Box<thompson::BuildError>> {
    let config =
        NFA::config().utf8(false).nfa_size_limit(Some(limit)).which_captures(WhichCaptures::None);
    NFA::compiler().configure(config).syntax(bytewise()).build_many(texts).map_err(Box::new)
}

fn bytewise() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// What is wrong, in a line: the library's message draws the pattern over several, and the last
/// one says it.
fn reason(text: &str, error: &thompson::BuildError) -> String {
    let text = match syntax::parse_with(text, &bytewise()) {
        Err(error) => error.to_string(),
        Ok(_) => error.to_string(),
    };
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
