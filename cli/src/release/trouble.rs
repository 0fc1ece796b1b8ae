//! What keeps a release from going on.

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may work later: a gateway, Prometheus or the record does not answer.
    Away(String),
    /// It will not: the rule is not there, the weights cannot be what they should.
    Wrong(String),
    /// Someone else has the lease, or has changed the record.
    Lost(String),
}

impl Trouble {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Wrong(text) | Self::Lost(text) => text,
        }
    }
}
