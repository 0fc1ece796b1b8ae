//! `tse-route weights`: the weights of one rule, found, changed and put back.

mod edit;
mod replace;
mod rule;

pub(crate) use edit::edit;
pub(crate) use replace::write;
pub(crate) use rule::{Found, Wanted, Weights};

use super::Failure;
use super::args::WeightsArgs;
use super::files::File;
use super::output::{self, Format};
use super::source::Source;
use serde_json::{Map, Value, json};
use std::path::Path;
use tse_route::config::Share;

pub(crate) fn run(args: &WeightsArgs) -> Result<(), Failure> {
    let wanted = Wanted { rule: &args.rule, plugin: args.plugin.as_deref() };
    let source = Source::read(&args.file).map_err(Failure::Usage)?;
    let refused = |message: String| {
        output::note(&format!("{}: {message}\n", output::error_word()));
        Failure::Faults
    };
    if args.changes.is_empty() {
        let file = File::of(source);
        let found = Found::find(&file, wanted).map_err(refused)?;
        return show(args, &found.weights);
    }
    let weights =
        rewrite(Path::new(&args.file), wanted, &args.changes).map_err(|why| match why {
            Refusal::Weights(message) => refused(message),
            Refusal::File(message) => Failure::Usage(message),
        })?;
    show(args, &weights)
}

/// Why a file was not changed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The rule cannot have these weights.
    Weights(String),
    /// The file cannot be read or replaced, or was changed meanwhile.
    File(String),
}

/// Changes the weights of a rule in a file, and returns those that it has then.
pub(crate) fn rewrite(
    path: &Path,
    wanted: Wanted<'_>,
    changes: &[(String, Share)],
) -> Result<Weights, Refusal> {
    let of_file = |error: std::io::Error| Refusal::File(format!("{}: {error}", path.display()));
    let read = std::fs::read(path).map_err(of_file)?;
    let source = Source::of(&path.to_string_lossy(), read.clone());
    let (text, weights) = edit(&source, wanted, changes).map_err(Refusal::Weights)?;
    if text != source.text {
        // A byte order mark is no part of the text, but of the file.
        let mark = if read.starts_with(b"\xef\xbb\xbf") { "\u{feff}" } else { "" };
        replace::replace(path, &read, format!("{mark}{text}").as_bytes()).map_err(of_file)?;
    }
    Ok(weights)
}

/// Reads `NAME=WEIGHT`.
pub(crate) fn change(text: &str) -> Result<(String, Share), String> {
    const ACCEPTED: &str = "accepted is NAME=WEIGHT, a weight with at most two decimals";
    let (name, weight) = text.rsplit_once('=').ok_or(ACCEPTED)?;
    let share = share(weight).ok_or(ACCEPTED)?;
    if name.is_empty() { Err(ACCEPTED.to_owned()) } else { Ok((name.to_owned(), share)) }
}

/// A number with at most two decimals, exactly.
fn share(text: &str) -> Option<Share> {
    let (units, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if units.is_empty() || units.len() > 9 || decimals.len() > 2 {
        return None;
    }
    if !digits(units) || !digits(decimals) || text.ends_with('.') {
        return None;
    }
    let whole: u64 = units.parse().ok()?;
    let rest: u64 = format!("{decimals:0<2}").parse().ok()?;
    Some(Share::hundredths(whole * Share::SCALE + rest))
}

/// Shows the weights as the flags say.
pub(crate) fn show(args: &WeightsArgs, weights: &Weights) -> Result<(), Failure> {
    match args.output.format {
        Format::Human => output::human(&format!("{}: {}\n", args.rule, weights.told())),
        Format::Json => {
            let number = |share: Share| json!(share.in_hundredths() as f64 / Share::SCALE as f64);
            let upstreams: Map<String, Value> = weights
                .upstreams
                .iter()
                .map(|(name, weight)| (name.clone(), number(*weight)))
                .collect();
            output::json(&json!({
                "rule": args.rule,
                "weight_total": number(weights.total),
                "weights": upstreams,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let table = [("green=5", Some(500)), ("a=b=0.25", Some(25)), ("green=12.5", Some(1_250))];
        for (text, hundredths) in table {
            let read = change(text).ok().map(|(_, share)| share.in_hundredths());
            assert_eq!(read, hundredths, "{text}");
        }
        for text in ["green", "green=", "=5", "green=-1", "green=1.", "green=.5", "green=1.001"] {
            assert!(change(text).is_err(), "{text}");
        }
    }
}
