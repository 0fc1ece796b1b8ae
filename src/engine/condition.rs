//! Whether a rule's condition holds.

use super::attribute::{Facts, Value};
use super::matches::Test;
use super::request::Request;
use super::rule::{Item, Rule};

/// Whether a condition holds, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    NeedsBody,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Rule {
    pub(super) fn holds<R: Request>(&self, facts: &mut Facts<'_, '_, R>) -> Holds {
        if self.items.is_empty() {
            return Holds::Yes;
        }
        // AND ends at the first item that does not hold, OR at the first that does.
        let decisive = Holds::from(self.any);
        let mut result = Holds::from(!self.any);
        for item in &self.items {
            match item.holds(facts) {
                Holds::NeedsBody => result = Holds::NeedsBody,
                found if found == decisive => return decisive,
                _ => {}
            }
        }
        result
    }
}

impl Item {
    pub(super) fn holds<R: Request>(&self, facts: &mut Facts<'_, '_, R>) -> Holds {
        let holds = match (facts.value(self.attribute), &self.test) {
            (Value::Pending, _) => return Holds::NeedsBody,
            (Value::Absent, _) => false,
            (Value::Present(_), Test::Search(pattern)) => {
                let found = facts.search(self.attribute);
                match found.and_then(|found| found.holds(pattern.number())) {
                    Some(holds) => holds,
                    // What is not known holds neither way.
                    None => {
                        facts.give_up();
                        return Holds::No;
                    }
                }
            }
            (Value::Present(value), test) => test.holds(value),
        };
        Holds::from(holds != self.negated)
    }
}
