//! `regex`: patterns found anywhere in a value, all of an attribute in one pass.
//!
//! Patterns are compiled by the `regex` project into one automaton, of which many states are live at
//! once. What runs here makes each set of live states into one state of its own: all of them when
//! the configuration is loaded where they are few, otherwise as values lead to them
//! ([`automaton`]). The second costs the more the more states are live, so that a value may
//! take a number of steps and no more; a step is counted the same whether its outcome is known
//! already or not, so that a decision depends on the request alone.

mod automaton;
mod found;
mod pattern;
mod program;
mod searches;
mod workshop;

pub(crate) use found::Found;
pub(crate) use pattern::Pattern;
pub(crate) use searches::Searches;
pub(crate) use workshop::{Workshop, count_states, literal};
