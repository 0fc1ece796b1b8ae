//! The files that arguments name, and those of folders.

use std::fs;
use std::path::Path;

/// The endings of files that may have a configuration.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// The files that arguments name, and what may have a configuration in the folders and below them, in
/// the order of the names. What is hidden is left out, and so are links to folders and folders that a
/// tool has marked as its cache.
///
/// # Errors
/// A folder that cannot be read, and one without such a file.
pub(crate) fn files(arguments: &[String]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for name in arguments {
        let path = Path::new(name);
        if name == "-" || !path.is_dir() {
            names.push(name.clone());
            continue;
        }
        let mut found = Vec::new();
        walk(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        if found.is_empty() {
            return Err(format!("{name}: no file in it ends in .yaml, .yml or .json"));
        }
        names.append(&mut found);
    }
    Ok(names)
}

fn walk(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        // https://bford.info/cachedir/
        if is_hidden || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() && has_ending(&path) {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn has_ending(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}
