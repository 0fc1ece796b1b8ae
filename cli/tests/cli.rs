//! The command line as its users see it: what it prints, and how it ends.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "cli/broken.rs"]
mod broken;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/generated.rs"]
mod generated;
#[path = "cli/golden.rs"]
mod golden;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/weights.rs"]
mod weights;
