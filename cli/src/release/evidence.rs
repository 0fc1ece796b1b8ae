//! Evidence that a canary is worse than stable, or that it is not: a test by betting that may be
//! looked at all the time.
//!
//! At every look there is a *block*: of the requests since the last look, how many each side
//! answered and how many of these were bad. For a claim there is a null hypothesis `H`, the set of
//! pairs of rates `(s, c)` of stable and canary in which the claim is false:
//!
//! | claim | null hypothesis |
//! |---|---|
//! | worse: more than `margin` worse than stable | `c ≤ s + margin` |
//! | not worse: less than `margin` worse than stable | `c ≥ s + margin` |
//!
//! Against an alternative `(s*, c*)` that is fixed before the block is seen, the evidence of a block
//! is the ratio of its likelihoods
//!
//! ```text
//! E = p(block | s*, c*) / p(block | s°, c°)
//! ```
//!
//! where `(s°, c°)` is the point of `H` that is nearest to the alternative: it minimises
//! `nˢ·KL(s*‖s) + nᶜ·KL(c*‖c)`, with the block's numbers of requests. Since `H` is convex, the
//! expectation of `E` is at most 1 for every point of `H`: `E` is an *E-variable* (R. Turner, A. Ly,
//! P. Grünwald: Generic E-variables for exact sequential k-sample tests that allow for optional
//! stopping, arXiv 2106.02693, theorem 1; for a difference as here R. Turner, P. Grünwald: Exact
//! anytime-valid confidence intervals for contingency tables and beyond, arXiv 2203.09785). The
//! products of E-variables over blocks are what a gambler has who bets against `H` at fair odds,
//! starting with 1; so is any mixture of such gamblers. By Ville's inequality the probability that
//! any of it *ever* reaches `1/α` is at most `α` while `H` is true, however often one looks. Neither
//! the rates nor the split have to stay the same: only `H` has to be true at each look.
//!
//! What the gambler does here, all of it fixed before a block is seen:
//! - `s*` is the rate of stable so far, with older looks counting less: `base`.
//! - Several values of `c*` get equal parts of the capital: the damage is not known.
//! - One half of the capital is staked at the first look, of the other half `1/(t(t+1))` at each
//!   look `t`, so that a canary that was well for an hour is still found out soon.
//!
//! Where stable gets no requests at all (the last step of a release, blue-green) there is nothing
//! to compare with over the same time. Then stable's rate so far, `base`, is taken for known:
//! `s° = s* = base`, `c° = base + margin`.

use serde::{Deserialize, Serialize};

/// How many looks it takes until a look of stable counts half as much: 0.98 per look.
const MEMORY: f64 = 0.98;
/// What is thought of stable before anything is seen, in requests: one per cent of them bad.
const PRIOR: Counts = Counts { requests: 50.0, bad: 0.5 };
/// How much worse than the margin, in shares of one, the alternatives of "worse" are.
const DAMAGES: [f64; 9] = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64];
/// How much worse than stable, in shares of the margin, the alternatives of "not worse" are.
const HARMLESS: [f64; 2] = [0.0, 1.0 / 3.0];
/// Rates are kept away from certainty by so much: a bet on certainty can lose everything.
const CERTAIN: f64 = 1e-6;
/// The logarithm of nothing.
const NOTHING: f64 = -1e9;

/// Requests and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// How many were answered.
    pub requests: f64,
    /// How many of the answers were bad.
    pub bad: f64,
}

impl Counts {
    pub(crate) fn rate(self) -> f64 {
        if self.requests > 0.0 { self.bad / self.requests } else { 0.0 }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, bad: self.bad + other.bad }
    }
}

/// What was seen of both sides over the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub stable: Counts,
    pub canary: Counts,
}

/// What there is to find evidence for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Claim {
    /// The canary is worse than stable by more than the margin.
    Worse,
    /// The canary is worse than stable by less than the margin, or not at all.
    NotWorse,
}

/// The evidence for one claim about one kind of bad answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    claim: Claim,
    /// In shares of one.
    margin: f64,
    looks: u32,
    /// The logarithm of what each alternative has made of its part.
    capital: Vec<f64>,
}

impl Evidence {
    pub(crate) fn new(claim: Claim, margin: f64) -> Self {
        let alternatives = match claim {
            Claim::Worse => DAMAGES.len(),
            Claim::NotWorse => HARMLESS.len(),
        };
        Self { claim, margin, looks: 0, capital: vec![NOTHING; alternatives] }
    }

    /// Takes a block in, of which nothing was known when `base` was.
    pub(crate) fn look(&mut self, block: &Block, base: f64) {
        if block.canary.requests <= 0.0 {
            return;
        }
        let stake = (stake(self.looks) / self.capital.len() as f64).ln();
        self.looks = self.looks.saturating_add(1);
        let stable = rate(base);
        let (claim, margin) = (self.claim, self.margin);
        for (index, capital) in self.capital.iter_mut().enumerate() {
            let canary = alternative(claim, index, stable, margin);
            let grown = log_sum(*capital, stake) + log_e(claim, margin, stable, canary, block);
            *capital = grown.max(NOTHING);
        }
    }

    /// The natural logarithm of the evidence: what the gambler has of each unit of capital.
    pub(crate) fn log(&self) -> f64 {
        let unstaked = (1.0 - staked(self.looks)).max(f64::MIN_POSITIVE).ln();
        self.capital.iter().fold(unstaked, |sum, capital| log_sum(sum, *capital))
    }
}

/// The part of the capital that is staked before look `look`, from 0.
fn stake(look: u32) -> f64 {
    let t = f64::from(look);
    if look == 0 { 0.5 } else { 0.5 / (t * (t + 1.0)) }
}

/// All that is staked in so many looks.
fn staked(looks: u32) -> f64 {
    if looks == 0 { 0.0 } else { 1.0 - 0.5 / f64::from(looks) }
}

fn rate(rate: f64) -> f64 {
    rate.clamp(CERTAIN, 1.0 - CERTAIN)
}

fn alternative(claim: Claim, index: usize, stable: f64, margin: f64) -> f64 {
    let rest = match claim {
        Claim::Worse => margin + DAMAGES.get(index).copied().unwrap_or_default(),
        Claim::NotWorse => margin * HARMLESS.get(index).copied().unwrap_or_default(),
    };
    rate(stable + rest)
}

/// The logarithm of a block's E-variable.
fn log_e(claim: Claim, margin: f64, stable: f64, canary: f64, block: &Block) -> f64 {
    let is_alternative = match claim {
        Claim::Worse => canary > stable + margin,
        Claim::NotWorse => canary < stable + margin,
    };
    if !is_alternative {
        return 0.0;
    }
    let (stable_null, canary_null) = nearest_null(margin, stable, canary, block);
    log_ratio(stable, stable_null, block.stable) + log_ratio(canary, canary_null, block.canary)
}

/// The point on the border of the null hypothesis, `(x, x + margin)`, that is nearest to the
/// alternative. The derivative of the distance grows with `x`, so that halving finds its zero.
fn nearest_null(margin: f64, stable: f64, canary: f64, block: &Block) -> (f64, f64) {
    if block.stable.requests <= 0.0 {
        return (stable, rate(stable + margin));
    }
    let slope = |x: f64| {
        let y = x + margin;
        block.stable.requests * (x - stable) / (x * (1.0 - x))
            + block.canary.requests * (y - canary) / (y * (1.0 - y))
    };
    let inside = |x: f64| x.clamp(CERTAIN / 2.0, 1.0 - margin - CERTAIN / 2.0);
    let (one, other) = (inside(stable), inside(canary - margin));
    let (mut low, mut high) = (one.min(other), one.max(other));
    for _ in 0..26 {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    let x = f64::midpoint(low, high);
    (x, x + margin)
}

fn log_ratio(alternative: f64, null: f64, counts: Counts) -> f64 {
    let good = counts.requests - counts.bad;
    counts.bad * (alternative / null).ln() + good * ((1.0 - alternative) / (1.0 - null)).ln()
}

/// `ln(exp(a) + exp(b))`.
fn log_sum(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    large + (small - large).exp().ln_1p()
}

/// One kind of bad answer: what is known of it, and the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measure {
    /// Stable's rate is told from these; older looks count less.
    base: Counts,
    /// All that both sides had while the evidence was collected.
    pub total: Block,
    worse: Evidence,
    not_worse: Evidence,
}

impl Measure {
    pub(crate) fn new(margin: f64) -> Self {
        Self {
            base: PRIOR,
            total: Block::default(),
            worse: Evidence::new(Claim::Worse, margin),
            not_worse: Evidence::new(Claim::NotWorse, margin),
        }
    }

    /// Takes in what stable did before the canary got anything.
    pub(crate) fn learn(&mut self, stable: Counts) {
        self.base = Counts { requests: self.base.requests * MEMORY, bad: self.base.bad * MEMORY }
            .plus(stable);
    }

    /// Takes in what both did since the last look.
    pub(crate) fn look(&mut self, block: &Block) {
        let base = self.base.rate();
        self.worse.look(block, base);
        self.not_worse.look(block, base);
        self.total.stable = self.total.stable.plus(block.stable);
        self.total.canary = self.total.canary.plus(block.canary);
        if block.stable.requests > 0.0 {
            self.learn(block.stable);
        }
    }

    /// The logarithms of the evidence: worse, not worse.
    pub(crate) fn logs(&self) -> (f64, f64) {
        (self.worse.log(), self.not_worse.log())
    }
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Worse beyond a margin, with the asked confidence.
    Worse,
    /// Not worse in anything, with the asked confidence.
    NotWorse,
    /// Neither, yet.
    Open,
}

/// The verdict on several measures together, at `alpha`, the accepted probability of an error.
///
/// The mean of the evidence for "worse" is evidence against "worse in nothing", so that however
/// many measures there are, a canary that is worse in none of them is called worse with a
/// probability of at most `alpha`. "Not worse" has to be shown of each.
pub(crate) fn verdict<'m>(measures: impl IntoIterator<Item = &'m Measure>, alpha: f64) -> Verdict {
    let enough = -alpha.ln();
    let logs: Vec<(f64, f64)> = measures.into_iter().map(Measure::logs).collect();
    if logs.is_empty() {
        return Verdict::Open;
    }
    if mean_worse(&logs) >= enough {
        Verdict::Worse
    } else if logs.iter().all(|(_, not_worse)| *not_worse >= enough) {
        Verdict::NotWorse
    } else {
        Verdict::Open
    }
}

/// The logarithm of the mean of the evidence for "worse".
pub(crate) fn mean_worse(logs: &[(f64, f64)]) -> f64 {
    let sum = logs.iter().fold(NOTHING, |sum, (worse, _)| log_sum(sum, *worse));
    sum - (logs.len().max(1) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::distribution::{Binomial, Discrete as _, DiscreteCDF as _};

    fn counts(requests: u64, bad: u64) -> Counts {
        Counts { requests: requests as f64, bad: bad as f64 }
    }

    /// The expectation of a block's E-variable under true rates, over all that can happen.
    fn expectation(evidence: &Evidence, base: f64, sizes: (u64, u64), truth: (f64, f64)) -> f64 {
        let probability = |n: u64, p: f64, k: u64| Binomial::new(p, n).expect("valid").pmf(k);
        let mut sum = 0.0;
        for bad_stable in 0..=sizes.0 {
            for bad_canary in 0..=sizes.1 {
                let block = Block {
                    stable: counts(sizes.0, bad_stable),
                    canary: counts(sizes.1, bad_canary),
                };
                let mut after = evidence.clone();
                after.look(&block, base);
                sum += probability(sizes.0, truth.0, bad_stable)
                    * probability(sizes.1, truth.1, bad_canary)
                    * after.log().exp();
            }
        }
        sum
    }

    proptest! {
        /// A look cannot be expected to add evidence for what is false: computed, not sampled.
        #[test]
        fn bets_against_the_truth_do_not_pay(
            base in 0.0_f64..1.0,
            margin in 0.0_f64..0.3,
            stable in 0_u64..9,
            canary in 1_u64..9,
            s in 0.0_f64..1.0,
            beyond in 0.0_f64..1.0,
            worse: bool,
        ) {
            let (claim, c) = if worse {
                (Claim::Worse, (s + margin) * beyond)
            } else {
                (Claim::NotWorse, (s + margin).min(1.0) + (1.0 - (s + margin).min(1.0)) * beyond)
            };
            prop_assume!(s + margin <= 1.0 && (0.0..=1.0).contains(&c));
            // Without stable's requests the base is taken for known.
            let base = if stable == 0 { s } else { base };
            let mut evidence = Evidence::new(claim, margin);
            let expected = expectation(&evidence, base, (stable, canary), (s, c));
            prop_assert!(expected <= 1.0 + 1e-5, "{expected}");
            // And after a first look.
            let block = Block { stable: counts(stable, stable / 2), canary: counts(canary, 1) };
            evidence.look(&block, base);
            let held = evidence.log().exp();
            let expected = expectation(&evidence, base, (stable, canary), (s, c));
            prop_assert!(expected <= held * (1.0 + 1e-5), "{expected} of {held}");
        }
    }

    #[test]
    fn all_that_is_staked_is_counted() {
        for looks in 0..50 {
            let sum: f64 = (0..looks).map(stake).sum();
            assert!((sum - staked(looks)).abs() < 1e-12, "{looks}");
        }
    }

    /// Looks of one release until its verdict: how many looks, and the verdict.
    fn watch(
        random: &mut fastrand::Rng,
        rates: (f64, f64),
        sizes: (u64, u64),
        looks: u32,
    ) -> (Verdict, u32) {
        let mut measure = Measure::new(0.005);
        let draw = |random: &mut fastrand::Rng, n: u64, p: f64| {
            counts(n, (0..n).filter(|_| random.f64() < p).count() as u64)
        };
        let mut last = Verdict::Open;
        for look in 1..=looks {
            let stable = draw(random, sizes.0, rates.0);
            let canary = draw(random, sizes.1, rates.1);
            measure.look(&Block { stable, canary });
            last = verdict([&measure], 0.01);
            if last == Verdict::Worse {
                return (last, look);
            }
        }
        (last, looks)
    }

    #[test]
    fn a_canary_at_the_margin_is_rarely_called_worse() {
        // At the margin the probability is at most 0.01; the chance of more than 34 in 1000 is the
        // binomial tail, below one in a million.
        let tail = Binomial::new(0.01, 1_000).expect("valid").sf(34);
        assert!(tail < 1e-6, "{tail}");
        let mut random = fastrand::Rng::with_seed(1);
        let called = (0..1_000)
            .filter(|_| watch(&mut random, (0.01, 0.015), (95, 5), 60).0 == Verdict::Worse)
            .count();
        assert!(called <= 34, "{called}");
    }

    #[test]
    fn damage_is_found_soon_and_health_is_shown() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..50 {
            let (found, looks) = watch(&mut random, (0.005, 0.305), (95, 5), 200);
            assert!(found == Verdict::Worse && looks < 60, "{looks}");
            let (shown, _) = watch(&mut random, (0.001, 0.001), (100, 100), 60);
            assert_eq!(shown, Verdict::NotWorse);
        }
    }

    #[test]
    fn a_canary_that_falls_ill_late_is_found_out() {
        let mut measure = Measure::new(0.005);
        let look = |canary| Block { stable: counts(100, 1), canary };
        for _ in 0..500 {
            measure.look(&look(counts(100, 1)));
        }
        assert_eq!(verdict([&measure], 0.01), Verdict::NotWorse);
        let looks = (1..100).find(|_| {
            measure.look(&look(counts(100, 20)));
            verdict([&measure], 0.01) == Verdict::Worse
        });
        assert!(looks.is_some_and(|looks| looks < 5), "{looks:?}");
    }

    #[test]
    fn without_stable_the_past_is_the_measure() {
        let mut measure = Measure::new(0.01);
        measure.learn(counts(10_000, 50));
        let mut ill = measure.clone();
        for _ in 0..20 {
            ill.look(&Block { stable: Counts::default(), canary: counts(100, 10) });
            measure.look(&Block { stable: Counts::default(), canary: counts(100, 0) });
        }
        assert_eq!(verdict([&ill], 0.01), Verdict::Worse);
        assert_eq!(verdict([&measure], 0.01), Verdict::NotWorse);
        assert_eq!(verdict([&measure, &ill], 0.01), Verdict::Worse);
        assert_eq!(verdict([], 0.01), Verdict::Open);
    }

    #[test]
    fn looks_without_the_canary_are_none() {
        let mut measure = Measure::new(0.01);
        measure.look(&Block { stable: counts(100, 100), canary: Counts::default() });
        assert_eq!(measure.logs(), (0.0, 0.0));
    }
}
