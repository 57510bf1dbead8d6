//! Call graphs at random: calls end, turns are kept, and nothing is left behind.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    actors::{CALL_TIMEOUT, World},
    plans::{Cast, Expected, Place, SESSIONS, Start, cast, one_by_one, starts},
    tally::Tally,
};

const CASES: u32 = 1000;

/// The same cases each time.
fn runner() -> TestRunner {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Runs one case in virtual time.
fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(case)
}

/// Makes the calls, waits until nothing is left of them, and says what went wrong.
async fn all_together(cast: &Cast, starts: Vec<Start>, tally: &Arc<Tally>) -> Vec<String> {
    let world = World::new(cast, tally);
    let mut calls = JoinSet::new();
    for (n, Start { after, call }) in starts.into_iter().enumerate() {
        let world = world.clone();
        calls.spawn(async move {
            sleep(Duration::from_millis(after)).await;
            world.start(Place::Client(n % SESSIONS), call).await;
        });
    }
    let in_time = timeout(CALL_TIMEOUT + Duration::from_secs(1), calls.join_all()).await;
    let mut violations = world.end().await;
    if in_time.is_err() {
        violations.push("a call went on after its deadline".to_owned());
    }
    violations
}

#[test]
fn calls_end_and_turns_are_kept() {
    let tally = Arc::<Tally>::default();
    let all = runner().run(&(cast(), starts()), |(cast, starts)| {
        let violations = run(all_together(&cast, starts, &tally));
        prop_assert!(violations.is_empty(), "{violations:#?}");
        Ok(())
    });
    all.unwrap_or_else(|failed| panic!("{failed}"));
    // The cases are worth something.
    let [begun, succeeded, faults, late, stuck] =
        [&tally.begun, &tally.succeeded, &tally.faults, &tally.late, &tally.stuck].map(read);
    assert!(late + stuck < begun * 15 / 100, "most calls end by themselves: {tally:?}");
    assert!(stuck < begun * 4 / 100, "few wait for others that wait for them: {tally:?}");
    assert!(succeeded > begun / 2 && faults > 0, "{tally:?}");
    let rare = [&tally.would_deadlock, &tally.let_in, &tally.exhausted, &tally.given_up].map(read);
    assert!(rare.iter().all(|count| *count > 9), "{tally:?}");
}

/// A chain that is alone and makes one call after another waits for no other chain: it takes as long as it sleeps, and
/// is refused exactly where it comes back to an object that serves one call at a time.
#[test]
fn a_chain_that_is_alone_never_waits() {
    let refused = Cell::new(0);
    let all = runner().run(&(cast(), 0..SESSIONS, one_by_one()), |(cast, client, call)| {
        let (from, tally) = (Place::Client(client), Arc::<Tally>::default());
        let expected = Expected::of(&cast, from, &call);
        let (took, violations) = run(async {
            let world = World::new(&cast, &tally);
            let begun = Instant::now();
            world.clone().start(from, call).await;
            (begun.elapsed(), world.end().await)
        });
        prop_assert!(violations.is_empty(), "{violations:#?}");
        prop_assert_eq!((read(&tally.ran), read(&tally.would_deadlock)), (expected.ran, expected.refused));
        let slept = Duration::from_millis(expected.slept);
        // A timer rings at the next whole millisecond.
        let rounded = Duration::from_millis(expected.sleeps);
        prop_assert!(took >= slept && took <= slept + rounded, "took {took:?} and slept {slept:?}");
        refused.set(refused.get() + expected.refused);
        Ok(())
    });
    all.unwrap_or_else(|failed| panic!("{failed}"));
    assert!(refused.get() > 100, "some come back: {}", refused.get());
}

fn read(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}
