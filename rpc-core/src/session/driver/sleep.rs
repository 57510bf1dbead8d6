//! Notices that the machine has slept: most clocks stand still meanwhile, and the clock on the wall does not.

use std::time::{Duration, Instant, SystemTime};

use super::Driver;
use crate::peer::{now, on_the_wall};

/// Both clocks are not compared more often than this: a wall clock that jumps all the time causes few pings.
const LEAST_PERIOD: Duration = Duration::from_secs(1);

/// What both clocks showed when they were last compared.
pub(super) struct Clocks {
    now: Instant,
    wall: SystemTime,
}

impl Clocks {
    pub(super) fn read() -> Self {
        Self { now: now(), wall: on_the_wall() }
    }

    /// How far the clock on the wall has run ahead of the other one since then; zero if it has been set back.
    fn ahead(&self, earlier: &Self) -> Duration {
        let on_the_wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        on_the_wall.saturating_sub(self.now.saturating_duration_since(earlier.now))
    }
}

impl Driver {
    /// A timer of the session has fired, at this time: if the machine has slept since the last time, the link may have
    /// died meanwhile.
    pub(super) fn look_for_sleep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.clocks.now) < LEAST_PERIOD {
            return;
        }
        let clocks = Clocks::read();
        let ahead = clocks.ahead(&self.clocks);
        self.clocks = clocks;
        // Clocks are set by a little now and then, and a short sleep harms no link.
        if ahead > self.shared.config.wake_check().saturating_mul(2) {
            tracing::debug!(session = %self.shared.id, "the machine has slept for about {ahead:?}");
            self.shared.with(|locked| locked.connection.woke(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
        task::Poll,
    };

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::{
        config::Config,
        error::{ConnectionError, TimeLimit},
        peer::{ConnectionInfo, Session, SessionState, move_wall_clock},
        service::Hosting,
        session::{Greeting, Handshake, connect_with, memory},
    };

    const HOUR: i64 = 3600;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A client whose session can be resumed, with a server that stops for good when it is told to.
    async fn client() -> (Session, Arc<AtomicBool>) {
        let config = Config::builder().resume_window(seconds(600)).build().unwrap();
        let (near, far) = memory();
        let greeting = Greeting { resumes: true, ..Greeting::default() };
        let (client, driver) = connect_with(greeting, far, &Hosting::default(), &config, ConnectionInfo::default());
        tokio::spawn(driver);
        let handshake = Handshake::read(near, &config).await.unwrap();
        let (_, mut driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
        let stopped = Arc::<AtomicBool>::default();
        let stops = stopped.clone();
        tokio::spawn(async move {
            poll_fn(|cx| if stops.load(SeqCst) { Poll::Pending } else { Pin::new(&mut driver).poll(cx) }).await;
        });
        client.established().await.unwrap();
        (client, stopped)
    }

    /// How long until the client has lost its link, and by which limit.
    async fn until_lost(client: &Session) -> (Duration, TimeLimit) {
        let begun = Instant::now();
        timeout(seconds(60), client.detached()).await.expect("the link is not lost");
        let lost = client.link_lost();
        let Some(ConnectionError::TimedOut(timed_out)) = lost.as_deref() else { panic!("{lost:?}") };
        (begun.elapsed(), timed_out.limit)
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_died_while_the_machine_slept_is_lost_soon() {
        let (client, stopped) = client().await;
        sleep(seconds(31)).await;
        stopped.store(true, SeqCst);
        move_wall_clock(HOUR);
        let (after, limit) = until_lost(&client).await;
        assert_eq!(limit, TimeLimit::Wake);
        // The clocks are compared within 15 s, and the peer has 5 s to answer.
        assert!(after >= seconds(5) && after < seconds(21), "{after:?}");
        assert_eq!(client.state(), SessionState::Detached, "the session waits for another link");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_has_outlived_a_sleep_stays() {
        let (client, _) = client().await;
        for _ in 0..3 {
            move_wall_clock(HOUR);
            sleep(seconds(100)).await;
            assert_eq!(client.state(), SessionState::Open, "{:?}", client.link_lost());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_or_by_a_little_is_no_sleep() {
        for by in [-HOUR, 9, 0] {
            let (client, stopped) = client().await;
            sleep(seconds(31)).await;
            stopped.store(true, SeqCst);
            move_wall_clock(by);
            let (after, limit) = until_lost(&client).await;
            assert_eq!(limit, TimeLimit::Keepalive, "{by} s");
            assert!(after > seconds(21), "{by} s: {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_steps_of_the_clock_do_not_add_up() {
        let (client, stopped) = client().await;
        for _ in 0..20 {
            sleep(seconds(20)).await;
            move_wall_clock(2);
        }
        stopped.store(true, SeqCst);
        let (_, limit) = until_lost(&client).await;
        assert_eq!(limit, TimeLimit::Keepalive);
    }
}
