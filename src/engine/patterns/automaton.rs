//! The search: one state for each set of live ones.

use super::found::Found;
use super::program::{Before, Program, Work};
use hashbrown::HashTable;
use regex_automata::util::pool::Pool;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// How many steps the searches of a request may take in all: `tests/fuel.rs` counts what they cost.
pub(crate) const MOST_STEPS: usize = 40_000;
/// The steps that it takes to look a state up or to make it, besides one for each live state.
const STEPS_OF_STATE: usize = 24;
/// Automata of up to so many states are made in advance.
const FEW_STATES: usize = 256;
/// So many steps may be spent on that for one automaton.
const FEW_STEPS: usize = 200_000;

/// Where a step leads that was not taken yet.
const UNKNOWN: u32 = u32::MAX;
/// Where it leads where nothing can be found any more.
const OVER: u32 = u32::MAX - 1;
/// What marks a state that patterns are found at.
const FOUND: u32 = 1 << 31;

/// Patterns that are searched for together.
#[derive(Clone)]
pub(crate) struct Automaton(Kind);

#[derive(Clone)]
enum Kind {
    /// All states are known.
    Complete(Arc<Complete>),
    /// States are made as values lead to them.
    Lazy { program: Arc<Program>, states: Option<Arc<Pool<States, MakeStates>>> },
}

type MakeStates = Box<dyn Fn() -> States + Send + Sync + UnwindSafe + RefUnwindSafe>;

struct Complete {
    classes: Box<[u8; 256]>,
    patterns: usize,
    rows: Rows,
    matches: Box<[Box<[u32]>]>,
}

impl Automaton {
    /// `advance` is how many steps may be taken in advance; what was needed is taken from it.
    pub(super) fn new(program: Program, advance: &mut usize) -> Self {
        let mut states = States::new(&program, usize::MAX);
        let most = FEW_STEPS.min(*advance);
        let used = states.complete(&program, most);
        *advance = advance.saturating_sub(used.unwrap_or(most));
        Self(match used {
            Some(_) => Kind::Complete(Arc::new(Complete {
                classes: Box::new(*program.all_classes()),
                patterns: program.patterns(),
                matches: states.states.iter().map(|live| states.matches(live).into()).collect(),
                rows: states.rows,
            })),
            None => Kind::Lazy { program: Arc::new(program), states: None },
        })
    }

    /// How many patterns it has.
    pub(crate) fn patterns(&self) -> usize {
        match &self.0 {
            Kind::Complete(complete) => complete.patterns,
            Kind::Lazy { program, .. } => program.patterns(),
        }
    }

    /// Whether a search takes steps that are counted.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.0, Kind::Lazy { .. })
    }

    /// Sets how many bytes the states may take that are made on the way.
    pub(crate) fn set_cache(&mut self, bytes: usize) {
        if let Kind::Lazy { program, states } = &mut self.0 {
            let program = Arc::clone(program);
            let make: MakeStates = Box::new(move || States::new(&program, bytes));
            *states = Some(Arc::new(Pool::new(make)));
        }
    }

    /// Searches a value for all patterns. `steps` is how many may be taken, of which what was
    /// needed is taken away; without enough of them the search ends early.
    pub(crate) fn search(&self, value: &[u8], steps: &mut usize, offset: usize, found: &mut Found) {
        match &self.0 {
            Kind::Complete(complete) => complete.search(value, offset, found),
            Kind::Lazy { program, states: Some(states) } => {
                if !states.get().search(program, value, steps, offset, found) {
                    found.cut();
                }
            }
            Kind::Lazy { .. } => found.cut(),
        }
    }
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_counted() { "Lazy" } else { "Complete" };
        f.debug_tuple(name).field(&self.patterns()).finish()
    }
}

/// For each state its steps, where each class of bytes leads, and where the value's end does. A
/// state's number is where its row begins.
#[derive(Debug, Default)]
struct Rows {
    cells: Vec<u32>,
    /// The length of a row.
    width: usize,
}

impl Rows {
    #[inline]
    fn get(&self, row: u32, column: usize) -> u32 {
        self.cells.get(row as usize + column).copied().unwrap_or(OVER)
    }

    fn index(&self, row: u32) -> usize {
        (row & !FOUND) as usize / self.width.max(1)
    }
}

impl Complete {
    fn search(&self, value: &[u8], offset: usize, found: &mut Found) {
        let goal = found.len() + self.patterns;
        let mut state = 0;
        let mut left = value;
        loop {
            let column = match left.split_first() {
                Some((byte, rest)) => {
                    left = rest;
                    1 + usize::from(self.classes.get(usize::from(*byte)).copied().unwrap_or(0))
                }
                None => self.rows.width - 1,
            };
            let next = self.rows.get(state, column);
            if next >= FOUND {
                if next >= OVER {
                    return;
                }
                let matches = self.matches.get(self.rows.index(next));
                for pattern in matches.into_iter().flatten() {
                    found.insert(offset + *pattern as usize);
                }
                if found.len() == goal {
                    return;
                }
            }
            // Behind the end nothing leads on.
            if column == self.rows.width - 1 {
                return;
            }
            state = next & !FOUND;
        }
    }
}

/// States that were made.
struct States {
    rows: Rows,
    states: Vec<Live>,
    /// What the states stand for, one behind the other.
    reached: Vec<u32>,
    /// The numbers of the states, by what they stand for.
    numbers: HashTable<u32>,
    work: Work,
    /// How many bytes the states may take.
    limit: usize,
}

/// A set of live states, after finding patterns.
struct Live {
    before: Before,
    /// Where its states stand in what all stand for, where the patterns begin that were found, and
    /// where they end.
    start: u32,
    matches: u32,
    end: u32,
    hash: u64,
}

impl States {
    fn new(program: &Program, limit: usize) -> Self {
        let rows = Rows { cells: Vec::new(), width: program.classes() + 2 };
        let mut states = Self {
            rows,
            states: Vec::new(),
            reached: Vec::new(),
            numbers: HashTable::new(),
            work: program.work(),
            limit,
        };
        states.begin(program);
        states
    }

    /// Forgets all states but the first.
    fn begin(&mut self, program: &Program) {
        self.rows.cells.clear();
        self.states.clear();
        self.reached.clear();
        self.numbers.clear();
        let reached = std::mem::take(&mut self.work.reached);
        let live = std::mem::take(&mut self.work.live);
        self.number(program.start(), 0);
        self.work.reached = reached;
        self.work.live = live;
    }

    fn bytes(&self) -> usize {
        4 * (self.rows.cells.len() + self.reached.len()) + size_of::<Live>() * self.states.len()
    }

    fn matches(&self, live: &Live) -> &[u32] {
        self.reached.get(live.matches as usize..live.end as usize).unwrap_or_default()
    }

    /// The number of the state for what the last step has reached, which is made if it is new;
    /// marked where patterns are found at it.
    fn number(&mut self, before: Before, steps: usize) -> u32 {
        let Self { rows, states, reached, numbers, work, .. } = self;
        let mark = if work.reached.len() > work.live { FOUND } else { 0 };
        let hash = hash(&work.reached, before as u64 ^ (work.live as u64) << 8);
        let same = |number: &u32| {
            states.get(rows.index(*number)).is_some_and(|live| {
                live.hash == hash
                    && live.before == before
                    && (live.matches - live.start) as usize == work.live
                    && reached.get(live.start as usize..live.end as usize) == Some(&*work.reached)
            })
        };
        if let Some(number) = numbers.find(hash, same) {
            return number | mark;
        }
        let number = rows.cells.len() as u32;
        let rehash = |number: &u32| states.get(rows.index(*number)).map_or(0, |live| live.hash);
        numbers.insert_unique(hash, number, rehash);
        rows.cells.push(u32::try_from(steps).unwrap_or(u32::MAX));
        rows.cells.resize(rows.cells.len() + rows.width - 1, UNKNOWN);
        let start = reached.len();
        reached.extend_from_slice(&work.reached);
        let (start, matches, end) =
            (start as u32, (start + work.live) as u32, reached.len() as u32);
        states.push(Live { before, start, matches, end, hash });
        number | mark
    }

    /// Takes a step that was not taken yet. Not inlined: it is rare, and the loop around it is not.
    #[inline(never)]
    fn step(&mut self, program: &Program, state: u32, class: usize) -> u32 {
        let Some(live) = self.states.get(self.rows.index(state)) else { return OVER };
        let states = self.reached.get(live.start as usize..live.matches as usize);
        program.step(states.unwrap_or_default(), live.before, class, &mut self.work);
        let before = program.before(class);
        let has_ended =
            class == program.classes() || (self.work.live == 0 && program.is_over(before));
        if has_ended && self.work.reached.len() == self.work.live {
            if let Some(cell) = self.rows.cells.get_mut(state as usize + 1 + class) {
                *cell = OVER;
            }
            return OVER;
        }
        let steps = if self.work.live == 0 { 0 } else { STEPS_OF_STATE + self.work.visited };
        if self.bytes() > self.limit {
            // The state that the step is from is forgotten too, and with it the step.
            self.begin(program);
            return self.number(before, steps);
        }
        let next = self.number(before, steps);
        if let Some(cell) = self.rows.cells.get_mut(state as usize + 1 + class) {
            *cell = next;
        }
        next
    }

    /// Makes all states, if they are few and it takes no more than so many steps; how many it took.
    fn complete(&mut self, program: &Program, most: usize) -> Option<usize> {
        let mut used = 0;
        let mut index = 0;
        while index < self.states.len() {
            let state = u32::try_from(index * self.rows.width).ok()?;
            for class in 0..=program.classes() {
                used += self.rows.get(state, 0) as usize + STEPS_OF_STATE;
                if used > most || self.states.len() > FEW_STATES {
                    return None;
                }
                self.step(program, state, class);
            }
            index += 1;
        }
        Some(used)
    }

    /// Whether the search came to its end.
    fn search(
        &mut self,
        program: &Program,
        value: &[u8],
        steps: &mut usize,
        offset: usize,
        found: &mut Found,
    ) -> bool {
        let goal = found.len() + program.patterns();
        let classes = value.iter().map(|byte| usize::from(program.class(*byte)));
        let mut state = 0;
        for class in classes.chain([program.classes()]) {
            match steps.checked_sub(self.rows.get(state, 0) as usize) {
                Some(left) => *steps = left,
                None => return false,
            }
            let mut next = self.rows.get(state, 1 + class);
            if next >= FOUND {
                if next == UNKNOWN {
                    next = self.step(program, state, class);
                }
                if next == OVER {
                    return true;
                }
                if next >= FOUND {
                    let live = self.states.get(self.rows.index(next));
                    for pattern in live.map(|live| self.matches(live)).unwrap_or_default() {
                        found.insert(offset + *pattern as usize);
                    }
                    if found.len() == goal {
                        return true;
                    }
                }
            }
            state = next & !FOUND;
        }
        true
    }
}

/// A number for what a state stands for: quick, since nobody chooses it.
fn hash(reached: &[u32], seed: u64) -> u64 {
    let mixed = reached.iter().fold(seed, |hash, state| {
        (hash.rotate_left(5) ^ u64::from(*state)).wrapping_mul(0x517c_c1b7_2722_0a95)
    });
    // The table takes its places from both ends.
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::super::workshop::{Workshop, literal};
    use super::*;
    use proptest::prelude::*;
    use regex::bytes::{RegexSet, RegexSetBuilder};

    fn theirs(texts: &[&str]) -> RegexSet {
        RegexSetBuilder::new(texts).unicode(false).build().expect("patterns")
    }

    /// All automata of these patterns: as it is made, and once with no state made in advance.
    fn ours(texts: &[&str], cache: usize) -> Vec<Vec<Automaton>> {
        [usize::MAX, 0]
            .map(|advance| {
                let mut workshop = Workshop::with_advance(advance);
                let mut automata = workshop.automata(texts);
                automata.iter_mut().for_each(|automaton| automaton.set_cache(cache));
                automata
            })
            .into()
    }

    fn find(automata: &[Automaton], value: &[u8], steps: &mut usize) -> Found {
        let mut found = Found::new(automata.iter().map(Automaton::patterns).sum());
        let mut offset = 0;
        for automaton in automata {
            automaton.search(value, steps, offset, &mut found);
            offset += automaton.patterns();
        }
        found
    }

    fn assert_agreed(texts: &[&str], values: &[&[u8]]) {
        let set = theirs(texts);
        for automata in ours(texts, 16 << 10) {
            for value in values {
                let found = find(&automata, value, &mut usize::MAX.clone());
                let expected: Vec<usize> = set.matches(value).into_iter().collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{texts:?} in {value:?}");
                assert!(!found.is_cut());
            }
        }
    }

    #[test]
    fn patterns_are_found_as_the_regex_crate_finds_them() {
        let texts = [
            "b+",
            "^b",
            "^abc$",
            "a.c",
            "",
            r"\bc\b",
            "c$",
            "(?m)^c",
            "(?m)c$",
            "(?i)ABC",
            r"\Bb",
            r"^$",
            r"\b{start}a",
            r"c\b{end}",
            r"\b{start-half}b",
            r"b\b{end-half}",
            "(?mR)^x$",
            "(?s)a.c",
            "^",
            "$",
            r"(?:^|x)b",
            r"(?:b|$)",
            "(a*)*",
            "(?:a|ab)(?:c|bcd)",
            r"\d{2,3}",
            "é",
            r"[^a]$",
            "a{0}",
            r"\xff",
            r"(?-u:\xff)+$",
            "(?m)^$",
            r"\A\w+\z",
            r"(?:\b|a)c",
        ];
        let values: [&[u8]; 22] = [
            b"abc",
            b"",
            b"a c",
            b"a.c",
            b"x\nc",
            b"b\xff",
            b"\xc3\xa9",
            b"x\r\nx",
            b"\r",
            b"\n",
            b"x\r\n",
            b"c",
            b"bb",
            b"a\nc",
            b"_b",
            b"abcd",
            b"12",
            b"1234",
            b"a b c",
            b"\xffc",
            b"xb",
            b"ABC",
        ];
        assert_agreed(&texts, &values);
        for text in texts {
            assert_agreed(&[text], &values);
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "b", "c", ".", "^", "$", r"\b", r"\B", "[ab]", "[^a]", r"\w", r"\d", "(?m)^",
            "(?m)$", "ab", r"\n",
        ]);
        let leaf = piece.prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.concat()),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
                inner.clone().prop_map(|one| format!("(?:{one})*")),
                inner.clone().prop_map(|one| format!("(?:{one})?")),
                inner.prop_map(|one| format!("(?:{one}){{1,3}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_patterns_are_found(
            texts in prop::collection::vec(pattern(), 1..5),
            values in prop::collection::vec(prop::collection::vec(prop::sample::select(b"aabbc \n_1\xff".to_vec()), 0..16), 8),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            assert_agreed(&texts, &values);
        }
    }

    #[test]
    fn the_same_value_takes_the_same_steps() {
        let texts: Vec<String> = (0..40).map(|n| format!("w{n}.*x{n}[0-9]$")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let value: String = (0..40).map(|n| format!("w{n} x{n}7 ")).collect();
        let mut workshop = Workshop::default();
        for cache in [0, 16 << 10, 4 << 20] {
            let mut automata = workshop.automata(&texts);
            automata.iter_mut().for_each(|automaton| automaton.set_cache(cache));
            assert!(automata[0].is_counted());
            let mut taken = Vec::new();
            for _ in 0..3 {
                let mut steps = usize::MAX;
                assert!(!find(&automata, value.as_bytes(), &mut steps).is_cut());
                taken.push(usize::MAX - steps);
            }
            assert_eq!(taken, [taken[0]; 3]);
            // One step less is too few, and what was found until then is known.
            let found = find(&automata, value.as_bytes(), &mut (taken[0] - 1).clone());
            assert!(found.is_cut());
            assert_eq!(found.holds(0), None);
        }
    }

    #[test]
    fn few_states_are_made_in_advance() {
        for text in ["^beta$", r"\d+\.\d+", "Mobile|Android", r"(?i)\bstaff\b", ".*", "a{20}b"] {
            let mut workshop = Workshop::default();
            assert!(!workshop.automata(&[text])[0].is_counted(), "{text}");
        }
        for text in [";.{0,50}beta1$", "[01]*1[01]{100}$"] {
            let mut workshop = Workshop::default();
            assert!(workshop.automata(&[text])[0].is_counted(), "{text}");
        }
    }

    #[test]
    fn literals_are_themselves() {
        let text = literal(b"a.b\xff");
        assert_agreed(&[&text], &[b"a.b\xff", b"axb\xff", b"a.b"]);
    }
}
