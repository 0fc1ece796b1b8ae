//! The decision: which rule, and which of its upstreams.

use super::attribute::Facts;
use super::body::BodyFault;
use super::index::Found;
use super::request::{Request, World};
use super::table::{Choice, Table};

/// What a request's way is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No rule's condition holds: the request goes on untouched.
    Unmatched,
    /// A rule decides.
    Routed(Choice),
    /// It depends on the body, which has not arrived yet.
    NeedsBody,
}

impl Outcome {
    /// The choice, if a rule decides.
    pub fn choice(self) -> Option<Choice> {
        match self {
            Self::Routed(choice) => Some(choice),
            Self::Unmatched | Self::NeedsBody => None,
        }
    }
}

/// A decision, and what was seen on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub outcome: Outcome,
    /// Whether a rule asked for the body.
    pub asked_for_body: bool,
    /// Why the body that a rule asked for has no parameters.
    pub body_fault: Option<BodyFault>,
    /// The position, among [`Table::rules`], of the first rule with a pattern that was not searched
    /// for to the end: it would have taken more steps than a request may take. Its item did not
    /// hold, nor would its negation have. Rules that could not hold for another reason may have
    /// been left out.
    pub undecided: Option<usize>,
    /// The value of the cookie that the client is to be given, to be written in hexadecimal.
    pub issued: Option<u128>,
}

impl Table {
    /// Decides a request: the first rule that holds, and one of its upstreams by weight.
    ///
    /// A pure function of the table, the request and the world, of which nothing is asked that
    /// the rule does not need: no random number by a rule with a single upstream, no time by one
    /// whose weights do not change.
    pub fn decide(&self, request: &impl Request, world: &mut impl World) -> Verdict {
        let mut facts = Facts::new(request, &self.attributes);
        let mut issued = None;
        let outcome = match self.index.find(&self.rules, &mut facts) {
            Found::Rule(position) => self.rules.get(position).map_or(Outcome::Unmatched, |rule| {
                let target = rule.choose(&mut facts, world, &mut issued);
                Outcome::Routed(Choice { rule: position, target })
            }),
            Found::NeedsBody => Outcome::NeedsBody,
            Found::Nothing => Outcome::Unmatched,
        };
        Verdict {
            outcome,
            asked_for_body: facts.body().is_some(),
            body_fault: facts.body().and_then(super::body::Parsed::fault),
            undecided: facts.unsure(),
            issued,
        }
    }
}
