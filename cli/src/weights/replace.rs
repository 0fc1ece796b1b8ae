//! Replacing a file in one step: whoever reads it sees the old text or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file's text, if it still is what was read.
///
/// The new text is written beside the file and moved into its place, which is also what Envoy
/// watches for. Links are followed; the file keeps its permissions.
///
/// # Errors
/// The file has another text by now, or cannot be written.
pub(crate) fn replace(path: &Path, expected: &[u8], text: &[u8]) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    let beside = write_beside(&real, text)?;
    let moved = fs::read(&real).and_then(|now| {
        if now != expected {
            return Err(io::Error::other("the file was changed meanwhile"));
        }
        fs::set_permissions(&beside, fs::metadata(&real)?.permissions())?;
        fs::rename(&beside, &real)
    });
    if moved.is_err() {
        // What went wrong before is what matters.
        let _ = fs::remove_file(&beside);
    }
    moved?;
    sync_folder(&real)
}

/// Writes a file, new or not, in one step.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = write_beside(path, text)?;
    fs::rename(&beside, path).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    sync_folder(path)
}

fn write_beside(path: &Path, text: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    let beside =
        path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    Ok(beside)
}

/// A move is durable when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tse-route-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_file_is_replaced_where_its_links_lead() {
        let folder = folder("links");
        let (real, link) = (folder.join("real"), folder.join("link"));
        fs::write(&real, "old").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
        symlink(&real, &link).expect("a link");
        replace(&link, b"old", b"new").expect("replaced");
        assert_eq!(fs::read(&real).expect("read"), b"new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::metadata(&real).expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 2, "nothing is left behind");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_file_that_has_changed_stays() {
        let folder = folder("changed");
        let file = folder.join("file");
        fs::write(&file, "other").expect("written");
        let error = replace(&file, b"old", b"new").expect_err("refused");
        assert!(error.to_string().contains("changed meanwhile"));
        assert_eq!(fs::read(&file).expect("read"), b"other");
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1, "nothing is left behind");
        fs::remove_dir_all(folder).expect("removed");
    }
}
