//! Nodes and rooms on a log that is late, deaf, away, or loses what it had, by a seed: what they show and tell is judged.
//!
//! `REPLICAS_SEED=N` repeats one, `REPLICAS_SEEDS=N` runs so many.

#![allow(clippy::print_stdout, reason = "tests; a seed is told")]

mod told;
mod world;

use world::World;

/// In each test, beside what the environment asks for.
const SEEDS: u64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    NoExpectation,
    ShownBeforeTheLog,
    PrevIgnored,
    NoTailCheck,
}

/// What the log does besides being late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Losses {
    None,
    /// It forgets its end, goes back, or is another one.
    Some,
}

fn run(seed: u64, losses: Losses, mutant: Option<Mutant>) -> World {
    let mut world = World::new(seed, losses, mutant);
    world.run();
    world
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn explore(losses: Losses) {
    let seeds = from_environment("REPLICAS_SEEDS").unwrap_or(SEEDS);
    let only = from_environment("REPLICAS_SEED");
    let (mut shown, mut acknowledged, mut holes) = (0, 0, 0);
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let judge = run(seed, losses, None).judge;
        assert!(judge.faults.is_empty(), "REPLICAS_SEED={seed} {losses:?}: {:#?}", judge.faults);
        let counts = judge.counts();
        (shown, acknowledged, holes) = (shown + counts.0, acknowledged + counts.1, holes + judge.holes());
    }
    println!("{shown} messages shown, {acknowledged} acknowledged, {holes} holes told");
    assert!(only.is_some() || acknowledged > 10 * SEEDS as usize);
}

/// Runs until one shows that something is wrong.
fn find(losses: Losses, mutant: Mutant, mut seeds: std::ops::Range<u64>) {
    let found = seeds.find(|seed| !run(*seed, losses, Some(mutant)).judge.faults.is_empty());
    println!("{mutant:?} is found by seed {found:?}");
    assert!(found.is_some());
}

#[test]
fn replicas_agree_whatever_becomes_of_what_they_ask_and_are_told() {
    explore(Losses::None);
}

#[test]
fn replicas_of_a_log_that_loses_what_it_had_come_to_agree() {
    explore(Losses::Some);
}

#[test]
fn an_append_without_expectation_is_found() {
    find(Losses::None, Mutant::NoExpectation, 0..200);
}

#[test]
fn what_is_shown_before_the_log_has_it_is_found() {
    find(Losses::None, Mutant::ShownBeforeTheLog, 0..200);
}

#[test]
fn a_chain_that_is_not_looked_at_is_found() {
    find(Losses::Some, Mutant::PrevIgnored, 600..3000);
}

#[test]
fn a_tail_that_nobody_looks_for_is_found() {
    find(Losses::None, Mutant::NoTailCheck, 0..200);
}
