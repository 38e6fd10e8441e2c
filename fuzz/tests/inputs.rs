//! Every hook holds for what fuzzing begins with, the conformance vectors among it, and for every
//! input that was found worth keeping.

use std::path::Path;

use chatproto_fuzz::{TARGETS, seeds};

#[test]
fn the_hooks_hold_for_the_seeds() {
    let seeds = seeds::all();
    assert!(seeds.len() > 2000, "only {}", seeds.len());
    for (target, id, bytes) in seeds {
        let (_, hook) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
        eprintln!("{target} {id}");
        hook(&bytes);
    }
}

#[test]
fn the_hooks_hold_for_the_corpus() {
    for (target, hook) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let files = std::fs::read_dir(folder).expect("every target has a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            eprintln!("{}", path.display());
            hook(&std::fs::read(&path).expect("it can be read"));
            count += 1;
        }
        assert!(count > 0, "the corpus of {target} is empty");
    }
}
