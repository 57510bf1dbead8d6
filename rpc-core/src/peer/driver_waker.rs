//! `DriverWaker`: wakes the task of a session's driver, once for all who have something for it.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
};

use futures::task::AtomicWaker;

/// Wakes the driver's task once between two of its polls, because a wake costs more than most calls have to say.
///
/// Each poll of the driver begins with [`Self::begin_poll`] and looks at the session only after that. So it sees what
/// was changed before a [`Self::wake`] that found the driver woken. How the poll ends does not matter.
#[derive(Default)]
pub(super) struct DriverWaker {
    task: AtomicWaker,
    /// The task has been woken since its last poll began.
    is_woken: AtomicBool,
}

impl DriverWaker {
    /// Wakes the driver, unless it has been woken since its last poll began.
    #[inline]
    pub(super) fn wake(&self) {
        if self.note_wake() {
            self.task.wake();
        }
    }

    /// Begins a poll in the task of this waker: from now on a wake leads to one more poll.
    #[inline]
    pub(super) fn begin_poll(&self, waker: &Waker) {
        // First the waker: a wake between both steps, which the second forgets, wakes this task.
        self.task.register(waker);
        self.forget_wakes();
    }

    /// True if the driver has to be woken.
    #[inline]
    fn note_wake(&self) -> bool {
        // Releases what was changed before to the poll that forgets this wake.
        !self.is_woken.swap(true, Ordering::AcqRel)
    }

    #[inline]
    fn forget_wakes(&self) {
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

impl fmt::Debug for DriverWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverWaker").field("is_woken", &self.is_woken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        task::Wake,
        thread,
        time::Duration,
    };

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn many_wakes_between_two_polls_are_one() {
        let (driver, wakes) = (DriverWaker::default(), Arc::<Wakes>::default());
        let waker = Waker::from(wakes.clone());
        for round in 1..=3 {
            driver.begin_poll(&waker);
            (0..64).for_each(|_| driver.wake());
            assert_eq!(wakes.0.load(SeqCst), round);
        }
    }

    #[test]
    fn a_poll_in_another_task_is_woken_there() {
        let (driver, first, second) = (DriverWaker::default(), Arc::<Wakes>::default(), Arc::<Wakes>::default());
        driver.begin_poll(&Waker::from(first.clone()));
        driver.begin_poll(&Waker::from(second.clone()));
        driver.wake();
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    }

    /// A driver that polls once, and two callers that change something and wake the driver, in one order of their
    /// steps. In every order, the driver sees both changes, in this poll or in one for which it is woken.
    struct Steps {
        driver: DriverWaker,
        wakes: Arc<Wakes>,
        waker: Waker,
        /// Where the driver and both callers stand.
        at: [usize; 3],
        must_wake: [bool; 2],
        /// What the callers have changed, what of it the driver has seen, and the wakes before its last poll.
        changes: usize,
        seen: usize,
        polled_for: usize,
    }

    const STEPS: usize = 3;

    impl Steps {
        fn run(order: &[usize]) {
            let (driver, wakes) = (DriverWaker::default(), Arc::<Wakes>::default());
            let waker = Waker::from(wakes.clone());
            // The poll before.
            driver.begin_poll(&waker);
            let mut steps =
                Self { driver, wakes, waker, at: [0; 3], must_wake: [false; 2], changes: 0, seen: 0, polled_for: 0 };
            order.iter().for_each(|&who| steps.step(who));
            while steps.wakes.0.load(SeqCst) > steps.polled_for {
                (0..STEPS).for_each(|_| steps.step(0));
            }
            assert_eq!(steps.seen, 2, "{order:?}");
        }

        fn step(&mut self, who: usize) {
            let step = self.at[who];
            self.at[who] = (step + 1) % STEPS;
            match (who, step) {
                (0, 0) => {
                    self.polled_for = self.wakes.0.load(SeqCst);
                    self.driver.task.register(&self.waker);
                }
                (0, 1) => self.driver.forget_wakes(),
                (0, _) => self.seen = self.changes,
                (_, 0) => self.changes += 1,
                (caller, 1) => self.must_wake[caller - 1] = self.driver.note_wake(),
                (caller, _) if self.must_wake[caller - 1] => self.driver.task.wake(),
                _ => {}
            }
        }
    }

    /// All orders of these numbers of steps of the driver and of both callers.
    fn orders(left: [usize; 3], order: &mut Vec<usize>, run: &mut impl FnMut(&[usize])) {
        if left == [0; 3] {
            return run(order);
        }
        for who in 0..3 {
            if left[who] > 0 {
                let mut left = left;
                left[who] -= 1;
                order.push(who);
                orders(left, order, run);
                order.pop();
            }
        }
    }

    #[test]
    fn no_order_of_steps_loses_a_change() {
        let mut count = 0;
        for polls in 0..=2 {
            orders([polls * STEPS, STEPS, STEPS], &mut Vec::new(), &mut |order| {
                count += 1;
                Steps::run(order);
            });
        }
        assert_eq!(count, 20 + 1680 + 18_480);
    }

    #[test]
    fn threads_lose_no_change() {
        const CALLERS: usize = 2;
        const CHANGES: usize = 20_000;

        struct Unpark(thread::Thread);

        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let shared = Arc::new((DriverWaker::default(), AtomicUsize::new(0)));
        let (done, is_done) = mpsc::channel();
        let driver = shared.clone();
        thread::spawn(move || {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            loop {
                driver.0.begin_poll(&waker);
                if driver.1.load(Ordering::Relaxed) == CALLERS * CHANGES {
                    break;
                }
                thread::park();
            }
            done.send(()).unwrap();
        });
        for _ in 0..CALLERS {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..CHANGES {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.wake();
                }
            });
        }
        is_done.recv_timeout(Duration::from_secs(60)).expect("the driver has seen all changes");
    }
}
