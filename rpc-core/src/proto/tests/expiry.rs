//! The deadlines of more calls than are looked at whenever one is due.

use std::{
    mem,
    sync::{Arc, Mutex},
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{Config, proto::Outcome, status::Code};

const CALLS: usize = 5_000;
/// How late a call may end: a microsecond for each call that is looked at.
const LATE: Duration = Duration::from_micros(CALLS as u64);

/// Notes that its call has ended.
struct Bell {
    call: usize,
    rung: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().unwrap().push(self.call);
    }
}

fn open() -> Pair {
    let calls = u32::try_from(CALLS).unwrap();
    Pair::open(&Config::builder().max_calls(calls).build().unwrap())
}

/// After how much time each call is due: a tenth of a millisecond apart, and in no order.
fn timeouts() -> Vec<Duration> {
    (0..CALLS).map(|call| Duration::from_secs(1) + Duration::from_micros((call * 1367 % CALLS * 100) as u64)).collect()
}

/// Lets time pass until the next timer of one end is due. What this end writes is lost.
fn pass_to_timer(pair: &mut Pair, at: usize) {
    let end = &mut pair.ends[at];
    pair.now = end.connection.poll_timeout().unwrap().max(pair.now);
    end.connection.handle_timeout(pair.now);
    pair.transmit(at);
    pair.ends[1 - at].inbox.clear();
}

/// Asserts that calls with these deadlines have ended in the order of the deadlines, each of them soon after it.
fn assert_in_order(ended: &[(Instant, Instant)]) {
    for &(deadline, now) in ended {
        assert!(deadline <= now, "{:?} too early", deadline - now);
        assert!(now <= deadline + LATE, "{:?} too late", now - deadline);
    }
    assert!(ended.is_sorted_by_key(|(deadline, _)| *deadline));
}

#[test]
fn each_of_many_calls_expires_in_order_and_some_milliseconds_late_at_most() {
    let mut pair = open();
    let begin = pair.now;
    let rung = Arc::<Mutex<Vec<usize>>>::default();
    let timeouts = timeouts();
    let keys: Vec<_> = timeouts
        .iter()
        .map(|timeout| {
            let call = Call { timeout: Some(*timeout), ..Call::new() };
            pair.call(CLIENT, call).unwrap()
        })
        .collect();
    pair.run();
    let client = &mut pair.ends[CLIENT];
    for (call, key) in keys.iter().enumerate() {
        let bell = Waker::from(Arc::new(Bell { call, rung: rung.clone() }));
        let _ = client.connection.poll_call(*key, &bell);
    }
    let (mut ended, mut timers) = (Vec::new(), 0);
    while ended.len() < CALLS {
        timers += 1;
        assert!(timers < 2 * CALLS, "{} calls have ended", ended.len());
        pass_to_timer(&mut pair, CLIENT);
        let rung = mem::take(&mut *rung.lock().unwrap());
        ended.extend(rung.into_iter().map(|call| (begin + timeouts[call], pair.now)));
    }
    assert_in_order(&ended);
    for key in keys {
        assert!(
            matches!(pair.outcome(CLIENT, key), Some(Outcome::Status(status)) if status.code() == Code::DeadlineExceeded)
        );
    }
}

#[test]
fn each_of_many_handlers_is_stopped_in_order_and_some_milliseconds_late_at_most() {
    let mut pair = open();
    for timeout in timeouts() {
        pair.call(CLIENT, Call { timeout: Some(timeout), ..Call::new() }).unwrap();
    }
    pair.run();
    let deadlines: Vec<_> =
        pair.ends[SERVER].arrived.iter().map(|served| (served.key, served.call.deadline.unwrap())).collect();
    let (mut ended, mut timers) = (Vec::new(), 0);
    while ended.len() < CALLS {
        timers += 1;
        assert!(timers < 2 * CALLS, "{} handlers were stopped", ended.len());
        pass_to_timer(&mut pair, SERVER);
        let cancelled = mem::take(&mut pair.ends[SERVER].cancelled);
        let deadline = |key| deadlines.iter().find(|(served, _)| *served == key).unwrap().1;
        ended.extend(cancelled.into_iter().map(|key| (deadline(key), pair.now)));
    }
    assert_in_order(&ended);
}
