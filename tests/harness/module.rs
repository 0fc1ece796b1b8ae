//! The built filter: made or found, and compiled once per test process.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;
use std::{env, fs};
use wasmtime::{Config, Engine, Module, OptLevel};

/// The filter, compiled for this machine.
pub fn module() -> &'static Module {
    static MODULE: LazyLock<Module> = LazyLock::new(|| compiled(&artefact()));
    &MODULE
}

/// The file of the filter: the one that `TSE_ROUTE_WASM` names, or one that is built now.
fn artefact() -> PathBuf {
    match env::var_os("TSE_ROUTE_WASM") {
        Some(path) => given(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)),
        None => built(),
    }
}

fn given(path: PathBuf) -> PathBuf {
    let made = modified(&path).unwrap_or_else(|| {
        panic!("TSE_ROUTE_WASM is {}, and there is no such file: run `make wasm`", path.display())
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![root.join("src"), root.join("Cargo.toml"), root.join("Cargo.lock")];
    while let Some(source) = sources.pop() {
        if source.is_dir() {
            let entries = fs::read_dir(&source).expect("the sources can be listed");
            sources.extend(entries.map(|entry| entry.expect("a directory entry").path()));
        } else if modified(&source).is_some_and(|changed| changed > made) {
            panic!("{} is older than {}: run `make wasm`", path.display(), source.display());
        }
    }
    path
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// As `make wasm` builds it, but for `wasm-opt`.
fn built() -> PathBuf {
    const TARGET: &str = "wasm32-wasip1";
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--package",
            "tse-route",
            "--lib",
            "--profile",
            "filter",
            "--no-default-features",
        ])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        built.as_ref().is_ok_and(|status| status.success()),
        "the filter could not be built ({built:?}): see above, or build it with `make wasm` and \
         name it in TSE_ROUTE_WASM"
    );
    target_dir.join(TARGET).join("filter/tse_route.wasm")
}

/// Compiles the filter, or takes what an earlier run compiled from the same bytes: an unoptimised
/// Cranelift needs many seconds for it.
fn compiled(path: &Path) -> Module {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None).consume_fuel(true);
    let engine = Engine::new(&config).expect("an engine");

    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let kept =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{:016x}.cwasm", hasher.finish()));
    if let Some(module) = take_kept(&engine, &kept) {
        return module;
    }
    let module = Module::new(&engine, bytes).expect("the filter is a WebAssembly module");
    keep(&module, &kept);
    module
}

#[allow(unsafe_code)]
fn take_kept(engine: &Engine, path: &Path) -> Option<Module> {
    if !path.exists() {
        return None;
    }
    // SAFETY: only `keep` writes files of this name, and wasmtime refuses what another version of
    // it, or one with other settings, has written.
    unsafe { Module::deserialize_file(engine, path) }.ok()
}

/// Keeps a compiled module for the next run, and drops those of earlier builds.
fn keep(module: &Module, path: &Path) {
    let directory = path.parent().expect("a file in a directory");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let compiled = module.serialize().expect("a compiled module");
    // A run that cannot keep it compiles again.
    let _ = fs::write(&draft, compiled).and_then(|()| fs::rename(&draft, path));
}
