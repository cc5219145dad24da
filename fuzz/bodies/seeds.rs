//! A fuzz target's corpus, replayed: an input once found interesting, or failing, stays a test.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests; the name of an input that fails is told")]

use std::fs;
use std::path::Path;

/// Runs `body` on every file of a corpus. A panic is preceded by the name of the file that caused it.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpus = folders.map(|folder| folder.join("fuzz/corpus").join(target)).find(|corpus| corpus.is_dir()).unwrap();
    let mut seeds: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty(), "{} holds nothing to replay", corpus.display());
    seeds.sort();
    for seed in seeds {
        // Captured unless the test fails.
        println!("{}", seed.display());
        body(&fs::read(seed).unwrap());
    }
}
