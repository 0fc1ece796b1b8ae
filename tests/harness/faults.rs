//! Hosts that do not answer as they should.

use super::exchange::Phase;

/// What a faulty host answers instead of the truth.
#[derive(Clone, Debug)]
pub enum Answers {
    /// It refuses with this status; 0 claims success and does nothing.
    Status(u32),
    /// Success, and a size that belongs to no memory.
    NoMemory { size: u32 },
    /// Success, with these bytes wherever bytes are returned.
    Bytes(Vec<u8>),
    /// Any of these, and sometimes the truth.
    Random,
}

/// Which calls are answered wrongly.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The answer, and the import that it concerns; none for all.
    answers: Option<(Answers, Option<&'static str>)>,
    /// The only phase in which it does; none for all.
    phase: Option<Phase>,
    random: Random,
}

impl Faults {
    /// A host without faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// A host that answers every call so.
    pub fn everywhere(answers: Answers) -> Self {
        Self { answers: Some((answers, None)), ..Self::default() }
    }

    /// A host that answers the calls of one import so.
    pub fn of(import: &'static str, answers: Answers) -> Self {
        Self { answers: Some((answers, Some(import))), ..Self::default() }
    }

    /// A host that answers each call as chance will have it.
    pub fn random(seed: u64) -> Self {
        Self { random: Random(seed), ..Self::everywhere(Answers::Random) }
    }

    /// The same in one phase only.
    pub fn during(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// The wrong answer to a call, if it gets one.
    pub(super) fn answer(&mut self, import: &str, phase: Phase) -> Option<Answers> {
        let (answers, only) = self.answers.as_ref()?;
        if only.is_some_and(|only| only != import) || self.phase.is_some_and(|only| only != phase) {
            return None;
        }
        match answers {
            Answers::Random => self.random.answer(),
            other => Some(other.clone()),
        }
    }
}

/// A small generator (SplitMix64): tests must be repeatable.
#[derive(Clone, Debug, Default)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).expect("less than a u32")
    }

    fn answer(&mut self) -> Option<Answers> {
        match self.below(8) {
            0..=2 => None,
            3..=4 => Some(Answers::Status(self.below(13))),
            5 => Some(Answers::NoMemory { size: self.below(100) }),
            _ => {
                let size = self.below(100);
                Some(Answers::Bytes((0..size).map(|_| self.next().to_le_bytes()[0]).collect()))
            }
        }
    }
}
