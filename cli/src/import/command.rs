//! `tse-route import`: files in, documents out.

use super::{Form, Imported, Options, Text, translate};
use crate::Failure;
use crate::args::ImportArgs;
use crate::output::{self, Format};
use crate::source::Source;

pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let mut texts = Vec::new();
    for name in &args.files {
        texts.push(Text(Source::read(name).map_err(Failure::Usage)?));
    }
    let options = Options {
        lossy: args.lossy,
        name: args.name.clone(),
        parent: args.parent.clone(),
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
    match args.output.format {
        Format::Json => output::json(&imported.json(form).map_err(Failure::Usage)?),
        Format::Human => output::text(imported.yaml(form).map_err(Failure::Usage)?.as_bytes()),
    }
}
