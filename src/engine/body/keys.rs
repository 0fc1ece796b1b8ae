//! The parameters that rules ask of JSON bodies, and one pass over a body that finds them all.

use crate::engine::parse::query;
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
    /// The next steps by the name of a field: the shorter first, and then by their bytes.
    next: Box<[(Box<[u8]>, usize)]>,
    /// Where in `next` the names of each [`bucket`] begin, up to one more than the last.
    buckets: Box<[usize]>,
    /// Those of them whose name is the index of an element as it is usually written, ascending.
    elements: Box<[(usize, usize)]>,
    /// Whether a key ends here.
    is_asked: bool,
}

impl Keys {
    /// All keys, with numbers in ascending order.
    pub(crate) fn new<'k>(keys: impl Iterator<Item = (usize, &'k str)>) -> Self {
        let mut all = Self { keys: Vec::new(), steps: vec![Step::default()] };
        // By the step before and the name.
        let mut known: HashMap<(usize, &str), usize> = HashMap::new();
        for (number, key) in keys {
            let whole = all.step(&mut known, 0, key);
            let path = key.split('.').fold(0, |parent, step| all.step(&mut known, parent, step));
            for end in [whole, path] {
                if let Some(step) = all.steps.get_mut(end) {
                    step.is_asked = true;
                }
            }
            all.keys.push((number, Key { whole, path }));
        }
        let mut next: Vec<_> =
            known.into_iter().map(|((parent, name), step)| (parent, name, step)).collect();
        next.sort_unstable_by_key(|(parent, name, _)| (*parent, name.len(), *name));
        for group in next.chunk_by(|one, other| one.0 == other.0) {
            let Some(step) = group.first().and_then(|(parent, ..)| all.steps.get_mut(*parent))
            else {
                continue;
            };
            let named = group.iter().map(|(_, name, next)| (name.as_bytes().into(), *next));
            step.next = named.collect();
            let last = group.last().map_or(0, |(_, name, _)| bucket(name.as_bytes()));
            let begin = |least| step.next.partition_point(|(name, _)| bucket(name) < least);
            step.buckets = (0..=last + 1).map(begin).collect();
            // In this order of names numbers ascend.
            let numbered = group.iter().filter_map(|(_, name, next)| Some((index(name)?, *next)));
            step.elements = numbered.collect();
        }
        all
    }

    /// The step of this name behind another.
    fn step<'k>(
        &mut self,
        known: &mut HashMap<(usize, &'k str), usize>,
        parent: usize,
        name: &'k str,
    ) -> usize {
        let new = self.steps.len();
        let step = *known.entry((parent, name)).or_insert(new);
        if step == new {
            self.steps.push(Step { parent, ..Step::default() });
        }
        step
    }

    /// The step behind another, if keys lead there.
    fn next(&self, step: usize, name: &[u8]) -> Option<usize> {
        let Step { next, buckets, .. } = self.steps.get(step)?;
        let [begin, end, ..] = buckets.get(bucket(name)..)? else { return None };
        let alike = next.get(*begin..*end)?;
        let order = |known: &[u8]| known.len().cmp(&name.len()).then_with(|| known.cmp(name));
        let at = alike.binary_search_by(|(known, _)| order(known)).ok()?;
        alike.get(at).map(|(_, step)| *step)
    }

    /// The same for an element of a list; an error where neither it nor a later one is asked for.
    fn element(&self, step: usize, index: usize) -> Result<Option<usize>, ()> {
        let elements = &self.steps.get(step).ok_or(())?.elements;
        if elements.last().is_none_or(|(last, _)| *last < index) {
            return Err(());
        }
        let at = elements.binary_search_by_key(&index, |(known, _)| *known).ok();
        Ok(at.and_then(|at| elements.get(at)).map(|(_, step)| *step))
    }

    /// The fields of a form that are asked for, each by its first occurrence.
    pub(super) fn find_in_form(&self, form: &[u8]) -> Fields {
        let longest = self.steps.first().and_then(|top| top.next.last());
        let longest = longest.map_or(0, |(name, _)| name.len());
        let mut fields = Fields { values: vec![None; self.steps.len()] };
        query::each_field(form, longest, |name, value| {
            if let Some(step) = self.next(0, name)
                && let Some(first) = fields.values.get_mut(step)
                && first.is_none()
            {
                *first = Some(value);
            }
        });
        fields
    }

    /// Where the value of a key stands in a form; its escapes stand there too.
    pub(super) fn field(&self, fields: &Fields, number: usize) -> Option<Range<usize>> {
        let at = self.keys.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, key) = self.keys.get(at)?;
        fields.values.get(key.whole)?.clone()
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

/// Names of one length are looked for together, and all long ones.
fn bucket(name: &[u8]) -> usize {
    name.len().min(31)
}

/// The index of an element, as it is usually written.
fn index(name: &str) -> Option<usize> {
    let is_usual = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| is_usual)
}

/// What was found in a form: values by the steps of their names.
#[derive(Debug)]
pub(super) struct Fields {
    values: Vec<Option<Range<usize>>>,
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
        let mut inner = self.value(0)?;
        while let Some(open) = inner.take().or_else(|| self.open.pop()) {
            inner = self.go_on(open)?;
        }
        self.reader.end()
    }

    /// Reads on in a container: to its end, or up to the next one that keys lead into.
    fn go_on(&mut self, mut open: Open) -> Result<Option<Open>, Fault> {
        loop {
            let next = match &mut open.next {
                Some(index) => match self.keys.element(open.step, *index) {
                    Ok(next) => {
                        if !self.reader.element(*index == 0)? {
                            break;
                        }
                        *index += 1;
                        next
                    }
                    // There is one that is asked for, so that this is not the beginning.
                    Err(()) => {
                        self.reader.skip_elements()?;
                        break;
                    }
                },
                None => {
                    let is_first = open.start == self.reader.place();
                    let Some(name) = self.reader.member(is_first)? else { break };
                    self.keys.next(open.step, &name.bytes())
                }
            };
            let Some(next) = next else {
                self.reader.skip()?;
                continue;
            };
            if let Some(inner) = self.value(next)? {
                self.open.push(open);
                return Ok(Some(inner));
            }
        }
        self.found(open.step, open.start..self.reader.place());
        Ok(None)
    }

    /// Comes to a value at a step: it is passed over, or to be gone on in.
    fn value(&mut self, step: usize) -> Result<Option<Open>, Fault> {
        self.time += 1;
        if let Some(mark) = self.marks.get_mut(step) {
            *mark = Mark { entered: self.time, value: None };
        }
        let leads_on = |way: fn(&Step) -> bool| self.keys.steps.get(step).is_some_and(way);
        let next = match self.reader.kind()? {
            Kind::Object if leads_on(|step| !step.next.is_empty()) => None,
            Kind::List if leads_on(|step| !step.elements.is_empty()) => Some(0),
            _ => {
                let range = self.reader.skip()?;
                self.found(step, range);
                return Ok(None);
            }
        };
        Ok(Some(Open { step, start: self.reader.place(), next }))
    }

    fn found(&mut self, step: usize, value: Range<usize>) {
        let is_asked = self.keys.steps.get(step).is_some_and(|step| step.is_asked);
        if let Some(mark) = self.marks.get_mut(step).filter(|_| is_asked) {
            mark.value = Some(value);
        }
    }
}
