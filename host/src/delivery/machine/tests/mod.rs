//! The machine against a simulated world, and step by step.

mod check;
mod handler;
mod steps;
mod waits;
mod world;

use super::mutant::{Rule, break_rule};
use world::World;

/// Seeds that every run of the tests goes through.
const SEEDS: u64 = 3000;

fn simulate(seed: u64) -> Vec<String> {
    let mut world = World::new(seed);
    world.run();
    world.trace()
}

/// The first seed of some that fails.
fn failing_seed(seeds: std::ops::Range<u64>) -> Option<u64> {
    seeds.into_iter().find(|seed| std::panic::catch_unwind(|| simulate(*seed)).is_err())
}

#[test]
fn promise_3_and_4_order_per_key_and_nothing_skipped_in_three_thousand_simulated_histories() {
    if let Some(seed) = failing_seed(0..SEEDS) {
        panic!("seed {seed} fails: put it in `replay_one_seed`");
    }
}

/// Where a seed that failed is looked at.
#[test]
fn replay_one_seed() {
    const SEED: u64 = 42;
    simulate(SEED);
}

#[test]
fn one_seed_makes_one_history() {
    for seed in [1, 42, 99] {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    for rule in [
        Rule::CheckpointAfterEffect,
        Rule::ParkedIsKept,
        Rule::AttemptsAddUp,
        Rule::BlockedKeyWaits,
        Rule::StopIsKept,
        Rule::OutageIsHeld,
        Rule::SettledIsPassed,
    ] {
        break_rule(Some(rule));
        let noticed = failing_seed(0..SEEDS);
        break_rule(None);
        assert!(noticed.is_some(), "{rule:?} can be broken unseen");
    }
}
