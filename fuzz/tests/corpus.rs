//! The inputs that are kept: each holds what every input must.

#![allow(clippy::expect_used)]

use std::path::Path;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in tse_route_fuzz::TARGETS {
        let folder = corpus.join(name);
        let mut tried = 0;
        for entry in std::fs::read_dir(&folder).expect(name) {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("an input"));
            tried += 1;
        }
        assert!(tried >= 3, "{name} has {tried} inputs");
    }
}
