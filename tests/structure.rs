//! No part of the sources needs what needs it: neither files nor folders stand in a circle.
//!
//! What is seen is every path, also inside macros, followed through imports and re-exports to the
//! file that has the item. What is not seen is the file of a method. Tests may look at anything.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The path of a module, from the root of the crate.
type Module = Vec<String>;
type Edges = BTreeSet<(Module, Module)>;

/// What a file refers to.
#[derive(Default)]
struct File {
    /// Imported names and what they stand for, as written.
    imports: BTreeMap<String, Module>,
    /// Paths as written; a re-export by itself uses nothing.
    paths: BTreeSet<Module>,
    /// Child modules that only tests have.
    tests: BTreeSet<String>,
}

impl File {
    fn read(text: &str) -> Self {
        let mut file = Self::default();
        file.scan(text.parse().expect("a source file"));
        file
    }

    fn scan(&mut self, tokens: TokenStream) {
        // In a macro `$crate` is `crate`.
        let tokens: Vec<_> = tokens.into_iter().filter(|token| !is(token, "$")).collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) if group.to_string().replace(' ', "") == "[cfg(test)]" => {
                    let is_end = |token: &TokenTree| match token {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                        other => is(other, ";"),
                    };
                    let end = tokens[at..].iter().position(is_end).map_or(tokens.len(), |n| at + n);
                    if is(&tokens[at], "mod") {
                        self.tests.insert(tokens[at + 1].to_string());
                    }
                    at = end + 1;
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(word) if word == "use" => {
                    let end = at + tokens[at..].iter().position(|t| is(t, ";")).expect("an end");
                    let is_public = tokens[..at - 1].last().is_some_and(|before| {
                        is(before, "pub") || at > 2 && is(&tokens[at - 3], "pub")
                    });
                    self.import(&tokens[at..end], &[], is_public);
                    at = end;
                }
                TokenTree::Ident(word) => {
                    let is_member = at > 1 && is(&tokens[at - 2], ".");
                    let mut path = vec![word.to_string()];
                    while let [a, b, TokenTree::Ident(next), ..] = &tokens[at..]
                        && is(a, ":")
                        && is(b, ":")
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if !is_member {
                        self.paths.insert(path);
                    }
                }
                _ => {}
            }
        }
    }

    fn import(&mut self, tree: &[TokenTree], before: &[String], is_public: bool) {
        for branch in tree.split(|token| is(token, ",")) {
            let renamed = branch.iter().position(|token| is(token, "as"));
            let mut path = before.to_vec();
            for token in &branch[..renamed.unwrap_or(branch.len())] {
                match token {
                    TokenTree::Group(group) => {
                        let inner: Vec<_> = group.stream().into_iter().collect();
                        self.import(&inner, &path, is_public);
                        path.clear();
                    }
                    token if is(token, ":") => {}
                    token if is(token, "self") && !path.is_empty() => {}
                    token => path.push(token.to_string()),
                }
            }
            if let Some(last) = path.last() {
                let name = renamed.map_or_else(|| last.clone(), |at| branch[at + 1].to_string());
                self.imports.insert(name, path.clone());
                if !is_public {
                    self.paths.insert(path);
                }
            }
        }
    }
}

fn is(token: &TokenTree, text: &str) -> bool {
    !matches!(token, TokenTree::Group(_) | TokenTree::Literal(_)) && token.to_string() == text
}

/// The file that has the item of a path; none where the path names a module, or nothing of here.
fn owner(files: &BTreeMap<Module, File>, from: &Module, path: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut at = from.clone();
    match first.as_str() {
        "crate" => at.clear(),
        "self" => {}
        "super" => drop(at.pop()),
        name if files.contains_key(&[&at[..], &[name.to_owned()]].concat()) => {
            at.push(name.to_owned());
        }
        name => {
            let import = files.get(from)?.imports.get(name).filter(|import| import[0] != name)?;
            return owner(files, from, &[import, rest].concat());
        }
    }
    for (done, name) in rest.iter().enumerate() {
        let inner = [&at[..], std::slice::from_ref(name)].concat();
        if name == "super" {
            at.pop();
        } else if files.contains_key(&inner) {
            at = inner;
        } else {
            let is_imported = files.get(&at)?.imports.contains_key(name);
            return if is_imported { owner(files, &at, &rest[done..]) } else { Some(at) };
        }
    }
    None
}

/// Which file needs which, and which folder which: of two files those in which their paths part.
fn edges(mut files: BTreeMap<Module, File>) -> Edges {
    let tests = |(module, file): (&Module, &File)| -> Vec<Module> {
        file.tests.iter().map(|name| [&module[..], std::slice::from_ref(name)].concat()).collect()
    };
    for module in files.iter().flat_map(tests).collect::<Vec<_>>() {
        files.remove(&module);
    }
    let mut edges = Edges::new();
    for (from, file) in &files {
        for to in file.paths.iter().filter_map(|path| owner(&files, from, path)) {
            let common = from.iter().zip(&to).take_while(|(left, right)| left == right).count();
            if let (Some(left), Some(right)) = (from.get(..=common), to.get(..=common)) {
                let folder = |part: &[String]| [part, &["/".to_owned()]].concat();
                edges.insert((folder(left), folder(right)));
            }
            if *from != to {
                edges.insert((from.clone(), to));
            }
        }
    }
    edges
}

/// What is left when all that no circle needs is taken away.
fn circles(mut edges: Edges) -> Vec<String> {
    loop {
        let before = edges.len();
        let from: BTreeSet<_> = edges.iter().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<_> = edges.iter().map(|(_, to)| to.clone()).collect();
        edges.retain(|(left, right)| from.contains(right) && to.contains(left));
        if edges.len() == before {
            let line =
                |(from, to): &(Module, Module)| [from.join("::"), to.join("::")].join(" -> ");
            return edges.iter().map(line).collect();
        }
    }
}

fn read(folder: &Path, module: &Module, files: &mut BTreeMap<Module, File>) {
    for entry in folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let inner = [&module[..], std::slice::from_ref(&name)].concat();
        if entry.is_dir() {
            read(&entry, &inner, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let module = if ["lib", "mod"].contains(&&*name) { module.clone() } else { inner };
            let text = std::fs::read_to_string(&entry).expect("a source file");
            files.insert(module, File::read(&text));
        }
    }
}

#[test]
fn the_sources_have_no_circle() {
    let mut files = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &Module::new(), &mut files);
    let edges = edges(files);
    assert!(edges.len() > 50, "the sources were not understood");
    let circles = circles(edges);
    assert!(circles.is_empty(), "these need each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let found = |sources: &[(&str, &str)]| {
        let module = |name: &str| name.split_terminator("::").map(str::to_owned).collect();
        let files = sources.iter().map(|(name, text)| (module(name), File::read(text))).collect();
        circles(edges(files)).len()
    };
    let back = |text| found(&[("a", "use crate::b::B;"), ("b", text)]);
    assert_eq!(back("use std::a::A;"), 0);
    assert_eq!(back("#[cfg(test)] mod tests { use super::a::A; }"), 0);
    // Files, and the folders that they are themselves.
    assert_eq!(back("use super::{a::{self, A}, c};"), 4);
    assert_eq!(back("macro_rules! m { () => { $crate::a::A } }"), 4);
    let renamed = [("", "pub use x::X;"), ("x", "use crate::y as z; z::f();")];
    assert_eq!(found(&[renamed[0], renamed[1], ("y", "fn f(_: crate::X) {}")]), 4);
    // Two folders whose files are in no circle.
    let folders = [("f", ""), ("g", ""), ("f::a", "use crate::g::a::A;"), ("g::a", "")];
    assert_eq!(found(&folders), 0);
    assert_eq!(
        found(&[&folders[..], &[("g::b", "use crate::f::b::B;"), ("f::b", "")]].concat()),
        2
    );
    // A parent that uses what its child defines, and not only shows it.
    let child = ("p::c", "use super::P; struct C;");
    assert_eq!(found(&[("p", "mod c; pub use c::C; struct P;"), child]), 0);
    assert_eq!(found(&[("p", "mod c; pub use c::C; struct P(C);"), child]), 2);
}
