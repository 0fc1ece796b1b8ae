//! A rule in a file.

use super::Trouble;
use crate::files::File;
use crate::source::Source;
use crate::weights::{Found, Refusal, Wanted, Weights, rewrite};
use std::path::PathBuf;
use tse_route::config::Share;

/// Any file that `check` reads.
pub(super) struct RuleFile {
    pub path: PathBuf,
}

impl RuleFile {
    pub(super) fn weights(&self, wanted: Wanted<'_>) -> Result<Weights, Trouble> {
        let file = File::of(self.source()?);
        Ok(Found::find(&file, wanted).map_err(Trouble::Wrong)?.weights)
    }

    pub(super) fn set(
        &self,
        wanted: Wanted<'_>,
        changes: &[(String, Share)],
    ) -> Result<(), Trouble> {
        match rewrite(&self.path, wanted, changes) {
            Ok(_) => Ok(()),
            Err(Refusal::Weights(why)) => Err(Trouble::Wrong(why)),
            Err(Refusal::File(why)) => Err(Trouble::Away(why)),
        }
    }

    /// A file that is not there now may be about to be replaced.
    fn source(&self) -> Result<Source, Trouble> {
        Source::read(&self.path.to_string_lossy()).map_err(Trouble::Away)
    }
}
