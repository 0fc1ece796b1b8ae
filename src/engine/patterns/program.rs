//! Compiled patterns, and one step in them.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

/// Compiled patterns, in which a search walks.
#[derive(Debug)]
pub(super) struct Program {
    nfa: NFA,
    /// The states in a form in which they are quick to take: what follows is most of a search.
    steps: Box<[Step]>,
    /// The ranges of bytes of states that have several.
    ranges: Box<[(u8, u8, u32)]>,
    /// The class of each byte: bytes of one class lead to the same.
    classes: Box<[u8; 256]>,
    /// A byte of each class.
    samples: Box<[u8]>,
    /// What a place behind a byte of each class is to the one that follows.
    befores: Box<[Before]>,
    /// What is before the first byte.
    start: Before,
    /// What begins at a place, by what is before it and then by the class of what follows it; the
    /// last is the value's end.
    begins: Vec<Box<[Begin]>>,
    /// Whether patterns begin nowhere but at the start.
    is_anchored: bool,
}

/// A state of the automaton.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Leads on over a byte of a range.
    Range { start: u8, end: u8, next: u32 },
    /// Leads on over the bytes of these ranges.
    Ranges { first: u32, count: u32 },
    /// Leads on without a byte where something is around it.
    Look,
    /// Leads on without a byte, is a pattern's end, or leads nowhere.
    Other,
}

/// What is before a place, as far as anchors and word boundaries look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Before {
    Other,
    Nothing,
    Word,
    LineFeed,
    CarriageReturn,
}

impl Before {
    const ALL: [Self; 5] =
        [Self::Other, Self::Nothing, Self::Word, Self::LineFeed, Self::CarriageReturn];

    fn of(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'\r' => Self::CarriageReturn,
            b'_' => Self::Word,
            byte if byte.is_ascii_alphanumeric() => Self::Word,
            _ => Self::Other,
        }
    }

    /// A byte of this kind.
    fn sample(self) -> Option<u8> {
        match self {
            Self::Nothing => None,
            Self::Other => Some(b'!'),
            Self::Word => Some(b'a'),
            Self::LineFeed => Some(b'\n'),
            Self::CarriageReturn => Some(b'\r'),
        }
    }
}

/// What begins at a place: the states behind the byte that follows, and the patterns that are found
/// without one.
#[derive(Debug, Default)]
struct Begin {
    targets: Box<[u32]>,
    matches: Box<[u32]>,
}

/// What a step leads to.
#[derive(Debug)]
pub(super) struct Work {
    /// The states that are live behind the step, and then the patterns that were found.
    pub(super) reached: Vec<u32>,
    /// How many of those are states.
    pub(super) live: usize,
    /// How many states were visited for them, or may be at the next step.
    pub(super) visited: usize,
    /// The states behind the step, and those on the way to them.
    next: Set,
    /// States that depend on what is before and behind a place.
    now: Set,
    matches: Vec<u32>,
    stack: Vec<StateID>,
}

/// A set of states: found, added and cleared in constant time.
#[derive(Debug)]
struct Set {
    members: Vec<u32>,
    places: Box<[u32]>,
}

impl Set {
    fn new(states: usize) -> Self {
        Self { members: Vec::with_capacity(states), places: vec![0; states].into() }
    }

    fn clear(&mut self) {
        self.members.clear();
    }

    /// Whether the state was not in the set.
    #[inline(always)]
    fn insert(&mut self, state: u32) -> bool {
        let Some(place) = self.places.get_mut(state as usize) else { return false };
        if self.members.get(*place as usize) == Some(&state) {
            return false;
        }
        *place = self.members.len() as u32;
        self.members.push(state);
        true
    }
}

/// What is on both sides of a place; none where the value begins or ends.
type Sides = (Option<u8>, Option<u8>);

impl Program {
    pub(super) fn new(nfa: NFA) -> Self {
        let byte_classes = nfa.byte_classes();
        let mut classes = Box::new([0; 256]);
        let mut samples = Vec::new();
        for byte in 0..=u8::MAX {
            let class = byte_classes.get(byte);
            if usize::from(class) == samples.len() {
                samples.push(byte);
            }
            if let Some(place) = classes.get_mut(usize::from(byte)) {
                *place = class;
            }
        }
        let looks = nfa.look_set_any();
        let looks_back = !looks.is_empty();
        let before = |byte: u8| if looks_back { Before::of(byte) } else { Before::Other };
        let mut ranges = Vec::new();
        let steps = nfa.states().iter().map(|state| Step::of(state, &mut ranges)).collect();
        let mut program = Self {
            classes,
            steps,
            ranges: ranges.into(),
            befores: samples.iter().map(|sample| before(*sample)).collect(),
            samples: samples.into(),
            start: if looks_back { Before::Nothing } else { Before::Other },
            begins: Vec::new(),
            is_anchored: false,
            nfa,
        };
        let mut work = program.work();
        let kinds = if looks_back { Before::ALL.len() } else { 1 };
        for before in Before::ALL.iter().take(kinds) {
            program.begins.push(program.begin(*before, &mut work));
        }
        let begins_behind =
            program.begins.iter().zip(Before::ALL).filter(|(_, before)| *before != Before::Nothing);
        program.is_anchored = looks_back
            && begins_behind
                .flat_map(|(begins, _)| begins)
                .all(|begin| begin.targets.is_empty() && begin.matches.is_empty());
        program
    }

    /// Room for steps.
    pub(super) fn work(&self) -> Work {
        let states = self.steps.len();
        Work {
            reached: Vec::new(),
            live: 0,
            visited: 0,
            next: Set::new(states),
            now: Set::new(states),
            matches: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// What begins at a place behind such a byte, by the class of what follows.
    fn begin(&self, before: Before, work: &mut Work) -> Box<[Begin]> {
        // Most patterns look at nothing around their beginning, which is then the same everywhere.
        work.now.clear();
        work.matches.clear();
        let start = index(self.nfa.start_anchored());
        self.close(start, work, Where::Now, None);
        if !work.now.members.iter().any(|state| self.is_look(*state)) {
            let mut targets: Vec<Vec<u32>> = vec![Vec::new(); self.samples.len()];
            for state in &work.now.members {
                self.each_range(*state, |start, end, next| {
                    let classes = usize::from(self.class(start))..=usize::from(self.class(end));
                    let behind = targets.get_mut(classes).unwrap_or_default();
                    behind.iter_mut().for_each(|targets| targets.push(next));
                });
            }
            targets.push(Vec::new());
            let matches: Box<[u32]> = work.matches.as_slice().into();
            return targets
                .into_iter()
                .map(|targets| Begin { targets: targets.into(), matches: matches.clone() })
                .collect();
        }
        let behinds = self.samples.iter().copied().map(Some).chain([None]);
        behinds
            .map(|behind| {
                work.now.clear();
                work.matches.clear();
                self.close(start, work, Where::Now, Some((before.sample(), behind)));
                let states = &work.now.members;
                let target =
                    |byte| states.iter().filter_map(move |state| self.target(*state, byte));
                Begin {
                    targets: behind.map(target).into_iter().flatten().collect(),
                    matches: work.matches.as_slice().into(),
                }
            })
            .collect()
    }

    pub(super) fn patterns(&self) -> usize {
        self.nfa.pattern_len()
    }

    pub(super) fn all_classes(&self) -> &[u8; 256] {
        &self.classes
    }

    pub(super) fn class(&self, byte: u8) -> u8 {
        self.classes.get(usize::from(byte)).copied().unwrap_or(0)
    }

    /// How many classes of bytes there are.
    pub(super) fn classes(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn start(&self) -> Before {
        self.start
    }

    /// What is before a place behind a byte of this class.
    pub(super) fn before(&self, class: usize) -> Before {
        self.befores.get(class).copied().unwrap_or(Before::Other)
    }

    /// Whether nothing can begin behind the start any more.
    pub(super) fn is_over(&self, before: Before) -> bool {
        self.is_anchored && before != Before::Nothing
    }

    /// Takes a step from live states over a byte of this class, or over the value's end.
    pub(super) fn step(&self, live: &[u32], before: Before, class: usize, work: &mut Work) {
        work.next.clear();
        work.matches.clear();
        let byte = self.samples.get(class).copied();
        for state in live {
            if self.is_look(*state) {
                work.now.clear();
                self.close(*state, work, Where::Now, Some((before.sample(), byte)));
                let mut at = 0;
                while let (Some(state), Some(byte)) = (work.now.members.get(at).copied(), byte) {
                    at += 1;
                    if let Some(target) = self.target(state, byte) {
                        self.close(target, work, Where::Next, None);
                    }
                }
            } else if let Some(byte) = byte
                && let Some(target) = self.target(*state, byte)
            {
                self.close(target, work, Where::Next, None);
            }
        }
        let begin = self.begins.get(before as usize).and_then(|begins| begins.get(class));
        if let Some(begin) = begin {
            work.matches.extend_from_slice(&begin.matches);
            for target in &begin.targets {
                self.close(*target, work, Where::Next, None);
            }
        }
        self.collect(work);
    }

    /// Collects what a step has led to.
    fn collect(&self, work: &mut Work) {
        work.reached.clear();
        let mut looks = false;
        for state in &work.next.members {
            match self.steps.get(*state as usize) {
                Some(Step::Range { .. } | Step::Ranges { .. }) => work.reached.push(*state),
                Some(Step::Look) => {
                    looks = true;
                    work.reached.push(*state);
                }
                Some(Step::Other) | None => {}
            }
        }
        work.live = work.reached.len();
        work.visited = work.next.members.len();
        let matches = work.matches.len();
        if looks {
            for at in 0..work.live {
                let Some(state) =
                    work.reached.get(at).copied().filter(|state| self.is_look(*state))
                else {
                    continue;
                };
                work.now.clear();
                if let Some(State::Look { next, .. }) = self.nfa.states().get(state as usize) {
                    self.close(index(*next), work, Where::Now, None);
                }
                work.visited += work.now.members.len();
            }
        }
        work.reached.extend(work.matches.iter().take(matches));
    }

    #[inline(always)]
    fn is_look(&self, state: u32) -> bool {
        matches!(self.steps.get(state as usize), Some(Step::Look))
    }

    /// The state behind a byte.
    #[inline(always)]
    fn target(&self, state: u32, byte: u8) -> Option<u32> {
        match *self.steps.get(state as usize)? {
            Step::Range { start, end, next } => (start..=end).contains(&byte).then_some(next),
            Step::Ranges { first, count } => {
                let ranges = self.ranges.get(first as usize..(first + count) as usize)?;
                let found = ranges.iter().find(|(_, end, _)| byte <= *end)?;
                (found.0 <= byte).then_some(found.2)
            }
            Step::Look | Step::Other => None,
        }
    }

    /// Visits the ranges of bytes that lead on from a state.
    fn each_range(&self, state: u32, mut visit: impl FnMut(u8, u8, u32)) {
        match self.steps.get(state as usize) {
            Some(Step::Range { start, end, next }) => visit(*start, *end, *next),
            Some(Step::Ranges { first, count }) => {
                let ranges = self.ranges.get(*first as usize..(*first + *count) as usize);
                for (start, end, next) in ranges.unwrap_or_default() {
                    visit(*start, *end, *next);
                }
            }
            _ => {}
        }
    }

    /// Adds a state and all that it leads to without a byte. Where it depends on what is around
    /// the place the way ends, unless that is known.
    #[inline(always)]
    fn close(&self, from: u32, work: &mut Work, to: Where, sides: Option<Sides>) {
        let is_last =
            matches!(self.steps.get(from as usize), Some(Step::Range { .. } | Step::Ranges { .. }));
        if is_last {
            match to {
                Where::Next => work.next.insert(from),
                Where::Now => work.now.insert(from),
            };
        } else {
            self.close_all(from, work, to, sides);
        }
    }

    #[inline(never)]
    fn close_all(&self, from: u32, work: &mut Work, to: Where, sides: Option<Sides>) {
        let states = self.nfa.states();
        let Work { next, now, stack, matches, .. } = work;
        let set = match to {
            Where::Next => next,
            Where::Now => now,
        };
        stack.extend(StateID::new(from as usize).ok());
        while let Some(id) = stack.pop() {
            if !set.insert(index(id)) {
                continue;
            }
            match states.get(id.as_usize()) {
                Some(State::Union { alternates }) => stack.extend(alternates.iter().rev()),
                Some(State::BinaryUnion { alt1, alt2 }) => stack.extend([*alt2, *alt1]),
                Some(State::Capture { next, .. }) => stack.push(*next),
                Some(State::Look { look, next })
                    if sides.is_some_and(|sides| self.looks(*look, sides)) =>
                {
                    stack.push(*next);
                }
                Some(State::Match { pattern_id }) => {
                    matches.push(u32::try_from(pattern_id.as_usize()).unwrap_or(u32::MAX));
                }
                _ => {}
            }
        }
    }

    /// Whether an anchor or a boundary is between two bytes: none looks further.
    fn looks(&self, look: Look, (before, behind): Sides) -> bool {
        let sides: smallvec::SmallVec<[u8; 2]> = before.into_iter().chain(behind).collect();
        self.nfa.look_matcher().matches(look, &sides, usize::from(before.is_some()))
    }
}

fn index(state: StateID) -> u32 {
    u32::try_from(state.as_usize()).unwrap_or(u32::MAX)
}

impl Step {
    fn of(state: &State, ranges: &mut Vec<(u8, u8, u32)>) -> Self {
        let first = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
        match state {
            State::ByteRange { trans } => {
                return Self::Range { start: trans.start, end: trans.end, next: index(trans.next) };
            }
            State::Sparse(sparse) => {
                let all = sparse.transitions.iter();
                ranges.extend(all.map(|trans| (trans.start, trans.end, index(trans.next))));
            }
            State::Dense(dense) => {
                let all = (0..=u8::MAX)
                    .filter_map(|byte| Some((byte, byte, index(dense.matches_byte(byte)?))));
                ranges.extend(all);
            }
            State::Look { .. } => return Self::Look,
            _ => return Self::Other,
        }
        let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX) - first;
        Self::Ranges { first, count }
    }
}

/// Which set of a [`Work`] is added to.
#[derive(Clone, Copy)]
enum Where {
    Next,
    Now,
}
