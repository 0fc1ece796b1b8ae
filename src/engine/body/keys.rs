//! The parameters that rules ask of JSON bodies, and one pass over a body that finds them all.

use crate::json::{Fault, Kind, Reader};
use hashbrown::HashMap;
use std::ops::Range;

/// All keys of a table, as a tree of their steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// By the number that its owner has for it, ascending.
    keys: Vec<(usize, Key)>,
    /// The steps; the first is the top of a body.
    steps: Vec<Step>,
}

/// One key: the field of that very name at the top, or the value at the end of its steps.
#[derive(Clone, Debug)]
struct Key {
    whole: usize,
    path: usize,
}

/// A place in a body that keys lead to or through.
#[derive(Clone, Debug, Default)]
struct Step {
    /// The step before; the top is its own.
    parent: usize,
    /// The next steps: the name of a field, or the index of an element as it is usually written.
    next: HashMap<Box<[u8]>, usize>,
    /// Whether a key ends here.
    is_asked: bool,
}

impl Keys {
    /// All keys, with numbers in ascending order.
    pub(crate) fn new<'k>(keys: impl Iterator<Item = (usize, &'k str)>) -> Self {
        let mut all = Self { keys: Vec::new(), steps: vec![Step::default()] };
        for (number, key) in keys {
            let whole = all.step(0, key);
            let path = key.split('.').fold(0, |parent, step| all.step(parent, step));
            for end in [whole, path] {
                if let Some(step) = all.steps.get_mut(end) {
                    step.is_asked = true;
                }
            }
            all.keys.push((number, Key { whole, path }));
        }
        all
    }

    /// The step of this name behind another.
    fn step(&mut self, parent: usize, name: &str) -> usize {
        let new = self.steps.len();
        let Some(step) = self.steps.get_mut(parent) else { return 0 };
        let next = *step.next.entry(name.as_bytes().into()).or_insert(new);
        if next == new {
            self.steps.push(Step { parent, ..Step::default() });
        }
        next
    }

    /// The step behind another, if keys lead there.
    fn next(&self, step: usize, name: &[u8]) -> Option<usize> {
        self.steps.get(step)?.next.get(name).copied()
    }

    /// Finds all keys in a body.
    ///
    /// Takes memory for what is asked, and time for the body's length. A field that stands twice in
    /// its object counts the last time, with all that it holds.
    pub(super) fn find(&self, body: &[u8]) -> Result<Found, Fault> {
        let mut search = Search {
            keys: self,
            reader: Reader::new(body),
            marks: vec![Mark::default(); self.steps.len()],
            time: 0,
            open: Vec::new(),
        };
        search.run()?;
        Ok(Found { marks: search.marks })
    }

    /// Where the value of a key stands in the body.
    pub(super) fn value(&self, found: &Found, number: usize) -> Option<Range<usize>> {
        let at = self.keys.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, key) = self.keys.get(at)?;
        self.at(found, key.whole).or_else(|| self.at(found, key.path))
    }

    fn at(&self, found: &Found, step: usize) -> Option<Range<usize>> {
        let mark = found.marks.get(step)?;
        let value = mark.value.clone()?;
        // If a step on the way was entered again later, this is of an earlier one that does not count.
        let mut above = step;
        while above != 0 {
            if found.marks.get(above)?.entered > mark.entered {
                return None;
            }
            above = self.steps.get(above)?.parent;
        }
        Some(value)
    }
}

/// What was found in a body.
#[derive(Debug)]
pub(super) struct Found {
    marks: Vec<Mark>,
}

/// What was last found at a step.
#[derive(Clone, Debug, Default)]
struct Mark {
    /// When the step was last come to, counted in steps.
    entered: usize,
    value: Option<Range<usize>>,
}

struct Search<'k, 'b> {
    keys: &'k Keys,
    reader: Reader<'b>,
    marks: Vec<Mark>,
    time: usize,
    /// The containers around the place, no more than the longest key has steps.
    open: Vec<Open>,
}

/// A container that keys lead into.
struct Open {
    step: usize,
    start: usize,
    /// The number of the next element; none in an object.
    next: Option<usize>,
}

impl Search<'_, '_> {
    fn run(&mut self) -> Result<(), Fault> {
        self.value(Some(0))?;
        while let Some(open) = self.open.pop() {
            self.go_on(open)?;
        }
        self.reader.end()
    }

    /// Reads on in a container, up to the next one that keys lead into.
    fn go_on(&mut self, mut open: Open) -> Result<(), Fault> {
        loop {
            let next = match &mut open.next {
                Some(index) => {
                    if !self.reader.element(*index == 0)? {
                        break;
                    }
                    let next = self.keys.next(open.step, index.to_string().as_bytes());
                    *index += 1;
                    next
                }
                None => {
                    let is_first = open.start == self.reader.start();
                    let Some(name) = self.reader.member(is_first)? else { break };
                    self.keys.next(open.step, &name.bytes())
                }
            };
            let depth = self.open.len();
            self.open.push(open);
            self.value(next)?;
            if self.open.len() > depth + 1 {
                return Ok(());
            }
            let Some(back) = self.open.pop() else { return Ok(()) };
            open = back;
        }
        self.found(open.step, open.start..self.reader.place());
        Ok(())
    }

    /// Comes to a value, at a step or at none: it is passed over, or opened.
    fn value(&mut self, step: Option<usize>) -> Result<(), Fault> {
        let Some(step) = step else { return self.reader.skip().map(drop) };
        self.time += 1;
        if let Some(mark) = self.marks.get_mut(step) {
            *mark = Mark { entered: self.time, value: None };
        }
        let leads_on = self.keys.steps.get(step).is_some_and(|step| !step.next.is_empty());
        let next = match self.reader.kind()? {
            Kind::Object if leads_on => None,
            Kind::List if leads_on => Some(0),
            _ => {
                let range = self.reader.skip()?;
                self.found(step, range);
                return Ok(());
            }
        };
        let start = self.reader.start();
        self.open.push(Open { step, start, next });
        Ok(())
    }

    fn found(&mut self, step: usize, value: Range<usize>) {
        let is_asked = self.keys.steps.get(step).is_some_and(|step| step.is_asked);
        if let Some(mark) = self.marks.get_mut(step).filter(|_| is_asked) {
            mark.value = Some(value);
        }
    }
}
