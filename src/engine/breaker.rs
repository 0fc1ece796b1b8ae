//! Circuit breakers: an upstream that fails is taken out, and comes back by probing.
//!
//! The state is a value; where it is kept, in the worker's memory or in the gateway's, is the
//! caller's business. Times are milliseconds since the epoch. A clock that jumps back shortens
//! nothing and prolongs nothing by more than one cooldown.

use crate::config::{CircuitBreaker, Rate};

/// Into how many parts the window is divided: answers leave it a part at a time.
const PARTS: usize = 10;

/// Which part of its share an upstream gets while it is probed, and which part of `min_requests`
/// is enough to judge it then.
pub const PROBING: u64 = 10;

/// When an upstream is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    window: u64,
    min_requests: u64,
    max_error_rate: u32,
    max_latency: u64,
    max_slow_rate: u32,
    cooldown: u64,
}

impl Policy {
    /// The policy that a sound configuration describes.
    pub fn new(configured: &CircuitBreaker) -> Self {
        let rate = |rate: Option<Rate>| rate.map_or(Rate::ALL, |rate| rate.0);
        Self {
            window: configured.window.0,
            min_requests: configured.min_requests.get(),
            max_error_rate: rate(configured.max_error_rate),
            max_latency: configured.max_latency.map_or(u64::MAX, |latency| latency.0),
            max_slow_rate: rate(configured.max_slow_rate),
            cooldown: configured.cooldown.0,
        }
    }

    /// An answer, as this policy counts it.
    pub fn answer(&self, failed: bool, latency_ms: u64) -> Answers {
        let slow = latency_ms > self.max_latency;
        Answers { total: 1, failed: failed.into(), slow: slow.into() }
    }

    fn is_exceeded_by(&self, answers: Answers) -> bool {
        let exceeds = |part: u32, limit: u32| {
            u64::from(part) * u64::from(Rate::ALL) > u64::from(limit) * u64::from(answers.total)
        };
        exceeds(answers.failed, self.max_error_rate) || exceeds(answers.slow, self.max_slow_rate)
    }
}

/// Answers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// All of them.
    pub total: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Answers {
    /// Answers that all failed because there was no connection.
    pub fn refused(count: u32) -> Self {
        Self { total: count, failed: count, slow: 0 }
    }

    fn add(&mut self, more: Self) {
        self.total = self.total.saturating_add(more.total);
        self.failed = self.failed.saturating_add(more.failed);
        self.slow = self.slow.saturating_add(more.slow);
    }
}

/// What part of its share an upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// All of it.
    Closed,
    /// Nothing.
    Open,
    /// One part of [`PROBING`].
    HalfOpen,
}

impl Admission {
    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The state of one upstream of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Until when the upstream is out; 0 while it is in.
    open_until: u64,
    /// What the probes since then have brought.
    probes: Answers,
    /// The answers of each part of the window, with the number of the part.
    parts: [(u64, Answers); PARTS],
}

impl Breaker {
    /// What the upstream gets at this moment.
    pub fn admission(&self, policy: &Policy, now: u64) -> Admission {
        if self.open_until == 0 {
            Admission::Closed
        // After a jump of the clock the end may lie further off than it ever did.
        } else if now < self.open_until && self.open_until - now <= policy.cooldown {
            Admission::Open
        } else {
            Admission::HalfOpen
        }
    }

    /// Counts answers to requests that were sent at `sent`; returns the new state if it changed.
    pub fn record(
        &mut self,
        policy: &Policy,
        sent: u64,
        now: u64,
        answers: Answers,
    ) -> Option<Admission> {
        match self.admission(policy, now) {
            Admission::Closed => self.record_closed(policy, now, answers),
            // Stragglers from before: they have been judged already.
            Admission::Open => None,
            Admission::HalfOpen if sent < self.open_until && sent <= now => None,
            Admission::HalfOpen => self.record_probe(policy, now, answers),
        }
    }

    fn record_closed(&mut self, policy: &Policy, now: u64, answers: Answers) -> Option<Admission> {
        let length = (policy.window / PARTS as u64).max(1);
        let number = now / length;
        let position = usize::try_from(number % PARTS as u64).unwrap_or(0);
        if let Some((owner, counted)) = self.parts.get_mut(position) {
            if *owner != number {
                (*owner, *counted) = (number, Answers::default());
            }
            counted.add(answers);
        }
        let oldest = (number + 1).saturating_sub(PARTS as u64);
        let mut window = Answers::default();
        for (owner, counted) in &self.parts {
            if (oldest..=number).contains(owner) {
                window.add(*counted);
            }
        }
        let enough = u64::from(window.total) >= policy.min_requests;
        (enough && policy.is_exceeded_by(window)).then(|| self.open(policy, now))
    }

    fn record_probe(&mut self, policy: &Policy, now: u64, answers: Answers) -> Option<Admission> {
        self.probes.add(answers);
        if u64::from(self.probes.total) < policy.min_requests.div_ceil(PROBING) {
            return None;
        }
        Some(if policy.is_exceeded_by(self.probes) {
            self.open(policy, now)
        } else {
            *self = Self::default();
            Admission::Closed
        })
    }

    /// The state as bytes, for the gateway's shared memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.open_until.to_le_bytes().to_vec();
        let mut write = |answers: &Answers| {
            for count in [answers.total, answers.failed, answers.slow] {
                bytes.extend_from_slice(&count.to_le_bytes());
            }
        };
        write(&self.probes);
        self.parts.iter().for_each(|(_, answers)| write(answers));
        bytes.extend(self.parts.iter().flat_map(|(number, _)| number.to_le_bytes()));
        bytes
    }

    /// The state that [`Breaker::to_bytes`] wrote; none from anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<[u8; N]> {
            let (head, tail): (&'b [u8; N], _) = rest.split_first_chunk()?;
            *rest = tail;
            Some(*head)
        }
        fn answers(rest: &mut &[u8]) -> Option<Answers> {
            let mut count = || take(rest).map(u32::from_le_bytes);
            Some(Answers { total: count()?, failed: count()?, slow: count()? })
        }
        let rest = &mut &*bytes;
        let mut breaker = Self {
            open_until: u64::from_le_bytes(take(rest)?),
            probes: answers(rest)?,
            ..Self::default()
        };
        for (_, counted) in &mut breaker.parts {
            *counted = answers(rest)?;
        }
        for (number, _) in &mut breaker.parts {
            *number = u64::from_le_bytes(take(rest)?);
        }
        rest.is_empty().then_some(breaker)
    }

    fn open(&mut self, policy: &Policy, now: u64) -> Admission {
        *self = Self { open_until: now.saturating_add(policy.cooldown).max(1), ..Self::default() };
        Admission::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    const SECOND: u64 = 1_000;
    const START: u64 = 1_000_000 * SECOND;

    /// 10 s window, 20 requests, 50 % errors, 100 ms and 20 % slow, 30 s cooldown.
    fn policy() -> Policy {
        Policy::new(&CircuitBreaker {
            max_error_rate: Some(Rate(500_000)),
            max_latency: Some(Span(100)),
            max_slow_rate: Some(Rate(200_000)),
            ..CircuitBreaker::default()
        })
    }

    fn answers(total: u32, failed: u32, slow: u32) -> Answers {
        Answers { total, failed, slow }
    }

    /// A breaker that has just opened.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        let change = breaker.record(&policy(), START, START, answers(20, 20, 0));
        assert_eq!(change, Some(Admission::Open));
        breaker
    }

    #[test]
    fn it_opens_above_a_limit_and_not_at_it() {
        for (counted, change) in [
            (answers(19, 19, 19), None), // too few
            (answers(20, 10, 0), None),
            (answers(20, 11, 0), Some(Admission::Open)),
            (answers(20, 0, 4), None),
            (answers(20, 0, 5), Some(Admission::Open)),
        ] {
            let mut breaker = Breaker::default();
            assert_eq!(breaker.record(&policy(), START, START, counted), change, "{counted:?}");
        }
    }

    #[test]
    fn an_answer_is_slow_beyond_the_latency() {
        assert_eq!(policy().answer(true, 100), answers(1, 1, 0));
        assert_eq!(policy().answer(false, 101), answers(1, 0, 1));
    }

    #[test]
    fn the_window_slides() {
        let mut breaker = Breaker::default();
        for second in 0..9 {
            let now = START + second * SECOND;
            assert_eq!(breaker.record(&policy(), now, now, answers(1, 1, 0)), None, "{second}");
        }
        // 11 s later only the last of them would count, and 15 more are not enough.
        let now = START + 17 * SECOND;
        assert_eq!(breaker.record(&policy(), now, now, answers(15, 15, 0)), None);
        assert_eq!(breaker.record(&policy(), now, now, answers(4, 4, 0)), Some(Admission::Open));
    }

    #[test]
    fn it_is_out_for_the_cooldown_and_then_probed() {
        let breaker = opened();
        for (after, admission) in [
            (0, Admission::Open),
            (29_999, Admission::Open),
            (30_000, Admission::HalfOpen),
            (999_999, Admission::HalfOpen),
        ] {
            assert_eq!(breaker.admission(&policy(), START + after), admission, "{after}");
        }
    }

    #[test]
    fn probes_close_it_or_open_it_again() {
        let now = START + 31 * SECOND;
        for (counted, change) in
            [(answers(2, 0, 0), Admission::Closed), (answers(2, 2, 0), Admission::Open)]
        {
            let mut breaker = opened();
            assert_eq!(
                breaker.record(&policy(), now, now, answers(1, counted.failed / 2, 0)),
                None
            );
            let rest = answers(1, counted.failed / 2, 0);
            assert_eq!(breaker.record(&policy(), now, now, rest), Some(change), "{counted:?}");
            assert_eq!(breaker.admission(&policy(), now), change);
        }
    }

    #[test]
    fn stragglers_judge_nobody() {
        let mut breaker = opened();
        let now = START + 31 * SECOND;
        assert_eq!(breaker.record(&policy(), START - 1, START + 1, answers(50, 50, 0)), None);
        assert_eq!(breaker.record(&policy(), START - 1, now, answers(50, 50, 0)), None);
        assert_eq!(breaker.admission(&policy(), now), Admission::HalfOpen);
    }

    #[test]
    fn a_clock_that_jumps_back_keeps_nobody_out_for_long() {
        let breaker = opened();
        assert_eq!(breaker.admission(&policy(), START - 3_600 * SECOND), Admission::HalfOpen);
        let mut counting = Breaker::default();
        counting.record(&policy(), START, START, answers(19, 19, 0));
        let back = START - 3_600 * SECOND;
        assert_eq!(counting.record(&policy(), back, back, answers(1, 1, 0)), None);
    }

    #[test]
    fn the_state_survives_as_bytes() {
        let mut breaker = opened();
        breaker.record(&policy(), START + 31 * SECOND, START + 31 * SECOND, answers(1, 0, 1));
        let mut counting = Breaker::default();
        for second in 0..9 {
            counting.record(&policy(), START, START + second * SECOND, answers(2, 1, 0));
        }
        for state in [Breaker::default(), breaker, counting] {
            let bytes = state.to_bytes();
            assert_eq!(Breaker::from_bytes(&bytes), Some(state));
            assert_eq!(Breaker::from_bytes(&bytes[1..]), None);
        }
        assert_eq!(Breaker::from_bytes(b""), None);
    }
}
