//! After any interleaving of calls, answers, cancels, deadlines and delays, both sides hold nothing.

use proptest::prelude::*;

use super::pair::{Arrived, CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    proto::{CallKey, Completion},
};

#[derive(Clone, Debug)]
enum Step {
    /// One side makes a call, nested in one of its handlers or not.
    Call {
        from: usize,
        oneway: bool,
        nested: bool,
        timeout: Option<u64>,
        len: usize,
    },
    /// A caller gives a call up.
    Cancel {
        at: usize,
        which: usize,
    },
    /// A handler ends.
    Answer {
        at: usize,
        which: usize,
        len: usize,
    },
    /// One side writes, or reads one packet.
    Transmit(usize),
    Receive(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(CLIENT), Just(SERVER)];
    let len = prop_oneof![4 => 1_usize..100, 1 => 65_000_usize..300_000];
    prop_oneof![
        4 => (side.clone(), any::<bool>(), any::<bool>(), prop::option::of(1_u64..4), len.clone()).prop_map(
            |(from, oneway, nested, timeout, len)| Step::Call { from, oneway, nested, timeout, len }
        ),
        1 => (side.clone(), 0_usize..8).prop_map(|(at, which)| Step::Cancel { at, which }),
        3 => (side.clone(), 0_usize..8, len).prop_map(|(at, which, len)| Step::Answer { at, which, len }),
        3 => side.clone().prop_map(Step::Transmit),
        3 => side.prop_map(Step::Receive),
        1 => (1_u64..1500).prop_map(Step::Pass),
    ]
}

fn config(least: bool) -> Config {
    if !least {
        return Config::default();
    }
    Config::builder()
        .max_calls(1)
        .nested_calls(1)
        .max_oneway_calls(1)
        .chunk(256)
        .unacked_bulk(128 * 1024)
        .max_unacked_bulk(128 * 1024)
        .build()
        .unwrap()
}

fn run(steps: Vec<Step>, least: bool) {
    let mut pair = Pair::open(&config(least));
    let mut pending: [Vec<CallKey>; 2] = Default::default();
    let mut serving: [Vec<Arrived>; 2] = Default::default();
    for step in steps {
        for at in [CLIENT, SERVER] {
            serving[at].append(&mut pair.ends[at].arrived);
        }
        match step {
            Step::Call { from, oneway, nested, timeout, len } => {
                let mut call = Call::new().payload(len);
                call.oneway = oneway;
                call.timeout = timeout.map(std::time::Duration::from_secs);
                // A call that is nested in a one-way call begins a chain, so such calls are made too.
                call.origin = nested.then(|| serving[from].last().map(|served| served.call.clone())).flatten();
                if let Ok(key) = pair.call(from, call) {
                    pending[from].push(key);
                }
            }
            Step::Cancel { at, which } if which < pending[at].len() => {
                let key = pending[at].swap_remove(which);
                pair.ends[at].connection.cancel_call(key);
            }
            Step::Answer { at, which, len } if which < serving[at].len() => {
                let served = serving[at].swap_remove(which);
                pair.answer(at, &served, Completion::Value(bytes::Bytes::from(vec![1; len]).into()));
            }
            Step::Transmit(at) => pair.transmit(at),
            Step::Receive(at) => {
                pair.receive(at);
            }
            Step::Pass(ms) => {
                pair.now += std::time::Duration::from_millis(ms);
                for end in &mut pair.ends {
                    end.connection.handle_timeout(pair.now);
                }
            }
            Step::Cancel { .. } | Step::Answer { .. } => {}
        }
        pair.check();
    }
    // Handlers end, and callers take their outcomes; waits and deadlines have all the time that they need.
    for _ in 0..300 {
        pair.pass(0.5);
        for at in [CLIENT, SERVER] {
            serving[at].append(&mut pair.ends[at].arrived);
            for served in std::mem::take(&mut serving[at]) {
                pair.answer_ok(at, &served);
            }
            pending[at].retain(|key| pair.outcome(at, *key).is_none());
        }
    }
    for end in &pair.ends {
        assert_eq!(end.closed, None, "neither side broke the rules");
    }
    assert!(pending.iter().all(Vec::is_empty), "every call has ended");
    pair.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_the_defaults(steps in prop::collection::vec(step(), 0..120)) {
        run(steps, false);
    }

    #[test]
    fn with_every_bound_at_its_least(steps in prop::collection::vec(step(), 0..120)) {
        run(steps, true);
    }
}
