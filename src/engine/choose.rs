//! The choice among a rule's upstreams: by the weights of the moment, at random or by the client.

use super::attribute::{Facts, Value};
use super::breaker::{Admission, PROBING};
use super::request::{Request, World};
use super::rule::{Rule, RuleBreaker, Sticky, StickyCookie};
use super::sticky;
use super::weighted::{self, Shares};
use crate::config::Share;

impl Rule {
    /// The position of the chosen upstream. A client that has to be given a cookie gets its value
    /// in `issued`, and is chosen for as if it had sent it.
    pub(super) fn choose<R: Request>(
        &self,
        facts: &mut Facts<'_, '_, R>,
        world: &mut impl World,
        issued: &mut Option<u128>,
    ) -> usize {
        if self.targets.len() <= 1 {
            return 0;
        }
        let changed = self.weights(world);
        let shares = changed.as_ref().unwrap_or(&self.shares);
        let key = self.sticky.as_ref().and_then(|sticky| sticky.client(facts, world, issued));
        let choice = match key {
            Some(client) => {
                let names = self.targets.iter().map(|target| &*target.hash_name);
                sticky::choose(names.zip(shares.iter().copied()), client)
            }
            None => weighted::choose(shares.iter().copied(), world.random()),
        };
        // Where every weight is 0 the service's own upstream serves, which is the last.
        choice.unwrap_or(self.targets.len() - 1)
    }

    /// The weights of the rule's upstreams at this moment.
    pub fn shares(&self, world: &mut impl World) -> Vec<Share> {
        let weights = self.weights(world).unwrap_or_else(|| self.shares.clone());
        weights.into_iter().map(Share::hundredths).collect()
    }

    /// The weights of this moment, where they are not the configured ones.
    fn weights(&self, world: &mut impl World) -> Option<Shares> {
        let rolled =
            self.rollout.as_ref().map(|rollout| rollout.weights_at(world.now(), &self.shares));
        match &self.breaker {
            None => rolled,
            Some(breaker) => {
                let mut shares = rolled.unwrap_or_else(|| self.shares.clone());
                breaker.apply(&mut shares, world);
                Some(shares)
            }
        }
    }
}

impl RuleBreaker {
    /// Takes the shares of upstreams that are out. What they lose goes to the fallback, or, by what
    /// weights mean, to the others in proportion, or, where no other is left, to the service's own
    /// upstream, which is the last.
    fn apply(&self, shares: &mut Shares, world: &mut impl World) {
        let (mut freed, mut others) = (0, 0);
        for (index, share) in shares.iter_mut().enumerate().filter(|(_, share)| **share > 0) {
            let admission = if self.fallback == Some(index) {
                Admission::Closed
            } else {
                world.admission(self.first + index, &self.policy)
            };
            let kept = match admission {
                Admission::Closed => {
                    others += *share;
                    continue;
                }
                Admission::Open => 0,
                Admission::HalfOpen => share.div_ceil(PROBING),
            };
            freed += *share - kept;
            *share = kept;
        }
        if let Some(share) = self.fallback.and_then(|fallback| shares.get_mut(fallback)) {
            *share += freed;
        } else if others == 0
            && let Some(own) = shares.last_mut()
        {
            *own += freed;
        }
    }
}

impl Sticky {
    /// The attribute that the client is recognised by: the first of the sources that the request has.
    pub(super) fn source<R: Request>(&self, facts: &mut Facts<'_, '_, R>) -> Option<usize> {
        self.sources
            .iter()
            .copied()
            .find(|source| matches!(facts.value(*source), Value::Present(key) if !key.is_empty()))
    }

    /// The number of the client; none where it cannot be recognised.
    fn client<R: Request>(
        &self,
        facts: &mut Facts<'_, '_, R>,
        world: &mut impl World,
        issued: &mut Option<u128>,
    ) -> Option<u64> {
        if let Some(source) = self.source(facts)
            && let Value::Present(key) = facts.value(source)
        {
            return Some(sticky::client(self.seed, key));
        }
        self.cookie.as_ref()?;
        let id = u128::from(world.random()) << 64 | u128::from(world.random());
        *issued = Some(id);
        Some(sticky::client(self.seed, format_id(id).as_bytes()))
    }
}

impl StickyCookie {
    /// The value of the header `Set-Cookie` that gives a client this cookie.
    pub fn issue(&self, id: u128) -> String {
        let (name, path, id) = (&self.name, &self.path, format_id(id));
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={id}; Path={path}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// The value of an issued cookie: 32 hexadecimal digits.
pub fn format_id(id: u128) -> String {
    format!("{id:032x}")
}
