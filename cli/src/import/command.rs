//! `tse-route import`: files in, documents out.

use super::{Form, Imported, Options, Text, translate};
use crate::Failure;
use crate::args::ImportArgs;
use crate::files::folders;
use crate::output::{self, Format};
use crate::source::Source;
use tse_route::config::quote;

pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    check_options(args).map_err(Failure::Usage)?;
    let mut texts = Vec::new();
    for name in folders::files(&args.files).map_err(Failure::Usage)? {
        texts.push(Text(Source::read(&name).map_err(Failure::Usage)?));
    }
    let options = Options {
        lossy: args.lossy,
        name: args.name.clone(),
        parent: args.parent.clone(),
        // A plan has the steps, so the rule has none.
        release: args.release || args.form == Form::Plan,
        start: args.start.clone(),
        upstream: args.upstream.clone(),
    };
    let (drafts, diagnostics, endpoints) = translate(&texts, &options);
    for (file, diagnostic) in &diagnostics {
        if let Some(Text(source)) = texts.get(*file) {
            output::note(&diagnostic.human(source));
        }
    }
    if diagnostics.iter().any(|(_, diagnostic)| diagnostic.is_error()) {
        return Err(Failure::Faults);
    }
    if args.name.is_some() && drafts.len() > 1 {
        return Err(Failure::Usage(format!(
            "--name: there are {} plugins to name; accepted is one",
            drafts.len()
        )));
    }
    let form: Form = args.form;
    let upstreams_are_named = options.upstream.is_some();
    let imported = Imported { drafts, remarks: Vec::new(), endpoints, upstreams_are_named };
    if let Some(note) = imported.note(form) {
        output::note(&format!("note: {note}\n"));
    }
    if form == Form::Plan {
        check_plan(&imported)?;
    }
    match args.output.format {
        Format::Json => output::json(&imported.json(form).map_err(Failure::Usage)?),
        Format::Human => output::text(imported.yaml(form).map_err(Failure::Usage)?.as_bytes()),
    }
}

/// What is wrong with options, before anything goes by them.
fn check_options(args: &ImportArgs) -> Result<(), String> {
    const PARTS: [&str; 4] = ["{service}", "{namespace}", "{port}", "{subset}"];
    if let Some(template) = &args.upstream {
        let rest = PARTS.iter().fold(template.clone(), |rest, part| rest.replace(part, ""));
        if rest.contains(['{', '}']) || !PARTS.iter().any(|part| template.contains(part)) {
            return Err(format!(
                "--upstream: found {}; accepted is a text with {} in it",
                quote(template),
                PARTS.join(", ")
            ));
        }
    }
    if let Some(start) = &args.start {
        let format = &time::format_description::well_known::Rfc3339;
        if start.parse::<u64>().is_err() && time::OffsetDateTime::parse(start, format).is_err() {
            return Err(format!(
                "--start: found {}; accepted is RFC 3339, as in `2026-03-01T09:00:00Z`, or seconds \
                 since 1970",
                quote(start)
            ));
        }
    }
    Ok(())
}

/// Reads a plan as `release` will.
#[cfg(feature = "release")]
fn check_plan(imported: &Imported) -> Result<(), Failure> {
    let source = Source::new("plan.yaml", imported.yaml(Form::Plan).map_err(Failure::Usage)?);
    match crate::release::read_plan(&source, &|_| None) {
        Ok(_) => Ok(()),
        Err(faults) => {
            for fault in faults {
                let path = fault.path.as_deref().unwrap_or_default();
                let message = format!("cannot be carried over: {path}: {}", fault.message);
                output::note(&format!("{}: {message}\n", output::error_word()));
            }
            Err(Failure::Faults)
        }
    }
}

#[cfg(not(feature = "release"))]
fn check_plan(_: &Imported) -> Result<(), Failure> {
    Ok(())
}
