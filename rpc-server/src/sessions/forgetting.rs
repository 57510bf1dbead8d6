//! What sessions keep to be resumed is a cache: when all of them together keep too much, some forget it.

use std::{cmp::Reverse, sync::atomic::Ordering, time::Duration};

use rpc_core::{__server::Kept, MemoryPool, Session, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::Sessions;

/// A session that keeps something.
#[derive(Debug)]
struct Keeper {
    session: Session,
    kept: Kept,
    has_principal: bool,
}

impl Keeper {
    /// `None` if the session keeps nothing, or is about to forget it.
    fn new(session: Session) -> Option<Self> {
        if session.is_asked_to_forget() {
            return None;
        }
        let kept = session.kept();
        let has_principal = kept.attached_for.is_some() && session.principal().is_some();
        (kept.bytes > 0).then_some(Self { session, kept, has_principal })
    }

    fn rank(&self) -> Rank {
        rank(self.kept, self.has_principal)
    }
}

type Rank = (Reverse<u32>, Option<(bool, Duration)>);

/// Who forgets first: those that keep most. Of those that keep about as much, which is less than twice as much, first
/// those that have a link, because all that they may lose is that they can be resumed; then those whose clients have
/// shown no identity; and then those that have had a link for the shortest time.
fn rank(kept: Kept, has_principal: bool) -> Rank {
    (Reverse(kept.bytes.checked_ilog2().unwrap_or(0)), kept.attached_for.map(|time| (has_principal, time)))
}

impl Sessions {
    /// Whether all sessions together keep more than they may, beside what some are about to forget.
    pub(super) fn is_full(&self, pool: &MemoryPool) -> bool {
        pool.held() > pool.limit() && self.remaining(pool) > pool.limit()
    }

    /// What all sessions together keep, without what some are about to forget.
    fn remaining(&self, pool: &MemoryPool) -> usize {
        // In this order: what a session forgets between the two counts in neither, and no other one is asked for it.
        let to_forget = self.shared.to_forget.load(Ordering::Acquire);
        pool.held().saturating_sub(to_forget)
    }

    /// Asks sessions to forget what they keep, so that an eighth of the bound is free when they have done so.
    ///
    /// This looks at every session. No peer can cause it often: each time frees memory that took many packets to fill.
    pub(super) fn choose_forgetful(&self, pool: &MemoryPool) {
        let Some(_alone) = self.alone() else { return };
        let to_forget = &self.shared.to_forget;
        let sessions: Vec<_> = self.shared.lock().live().cloned().collect();
        let mut keepers: Vec<_> = sessions.into_iter().filter_map(Keeper::new).collect();
        keepers.sort_by_cached_key(Keeper::rank);
        let mut left = self.remaining(pool);
        if left <= pool.limit() {
            return;
        }
        let (mut with_link, mut without) = (0_usize, 0_usize);
        for Keeper { session, kept, .. } in keepers {
            if left <= pool.limit() - pool.limit() / 8 {
                break;
            }
            to_forget.fetch_add(kept.bytes, Ordering::Relaxed);
            if !session.ask_to_forget(kept.bytes) {
                to_forget.fetch_sub(kept.bytes, Ordering::Relaxed);
                continue;
            }
            left = left.saturating_sub(kept.bytes);
            *if kept.attached_for.is_none() { &mut with_link } else { &mut without } += 1;
        }
        if with_link + without > 0 {
            report(with_link, without, pool.limit());
        }
    }
}

fn report(with_link: usize, without: usize, max: usize) {
    static FORGOTTEN: LogLimit = LogLimit::new();
    if let Some(more) = FORGOTTEN.admit(Instant::now().into_std()) {
        warn!(
            with_link,
            ended = without,
            "sessions have forgotten what they keep to be resumed, and those without a link have ended: all together \
             keep more than {max} bytes (ServerBuilder::replay_total){more}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{Arc, atomic::AtomicUsize},
    };

    use futures::{FutureExt, future::BoxFuture};
    use rpc_core::{
        __internals::wire::{Frame, Hello, PacketHeader, Payload},
        Config, ConnectionInfo, Hosting, Stub,
        session::{Handshake, Memory, Transport, memory},
    };
    use rpc_testing::{LIMITS, packet, request};

    use super::*;
    use crate::{caps::Caps, sessions::Kind};

    #[rpc_core::service]
    trait Store {
        async fn fetch(&self) -> String;
    }

    struct Shelf;

    impl Store for Shelf {
        async fn fetch(&self) -> String {
            "x".repeat(10_000)
        }
    }

    /// A session that can be resumed, its task, which a test polls by hand, and its client, which speaks bytes.
    struct ByHand {
        session: Session,
        task: BoxFuture<'static, ()>,
        client: Memory,
        /// Bytes that the session is asked to forget when its task has begun its next poll; 0 for none.
        asks: Arc<AtomicUsize>,
    }

    impl ByHand {
        async fn new(sessions: &Sessions, pools: [&MemoryPool; 2]) -> Self {
            let second = Duration::from_secs(1);
            let config = Config::builder().resume_window(60 * second).build().unwrap();
            let hosting = Hosting::builder().service(Shelf.serve()).__replay(pools[1].clone()).build().unwrap();
            let (near, mut client) = memory();
            let hello = Hello { resume_window_ms: 60_000, ..Hello::new(LIMITS, Vec::new()) };
            let first = PacketHeader { seq: 0, ack: 0 };
            client.start_send(packet(first, &[Frame::Hello(Box::new(hello))])).unwrap();
            let handshake = Handshake::read(near, &config).await.unwrap();
            let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
            let place = Caps::new(1, 1).enter(None).unwrap();
            let mut entry = sessions.enter(Arc::new(place), Kind::Newcomer(None)).unwrap();
            entry.begun(&session);
            let (known, pools) = (session.clone(), pools.map(Clone::clone));
            let (asks, mut driver) = (Arc::<AtomicUsize>::default(), Box::new(driver));
            let (asking, asked) = (asks.clone(), session.clone());
            let driver = poll_fn(move |cx| {
                match asking.swap(0, Ordering::Relaxed) {
                    0 => {}
                    bytes => assert!(asked.ask_to_forget(bytes)),
                }
                driver.poll_unpin(cx)
            });
            let task = sessions.run(known, driver, entry, pools);
            let mut this = Self { session, task: task.boxed(), client, asks };
            this.poll();
            this.client.start_send(packet(first, &[])).unwrap();
            this.poll();
            this
        }

        fn poll(&mut self) {
            for _ in 0..10 {
                let _ = (&mut self.task).now_or_never();
            }
        }

        /// The client calls, and acknowledges nothing.
        fn fetch(&mut self, number: u64) {
            let (header, method) = (PacketHeader { seq: number, ack: 0 }, StoreClient::CONTRACT.methods()[0].id());
            let call = request(number, method, Payload::Inline([0x90][..].into()), Vec::new().into());
            self.client.start_send(packet(header, &[call])).unwrap();
            self.poll();
        }

        fn keeps(&self) -> bool {
            self.session.stats().connection.replay_bytes > 0
        }
    }

    #[tokio::test]
    async fn a_session_forgets_in_its_own_task_and_no_other_is_asked_in_its_place() {
        let (sessions, memory, replay) = (Sessions::new(), MemoryPool::new(1 << 30), MemoryPool::new(30_000));
        let pools = [&memory, &replay];
        let (mut one, mut other) = (ByHand::new(&sessions, pools).await, ByHand::new(&sessions, pools).await);
        one.fetch(1);
        one.fetch(2);
        other.fetch(1);
        assert!(one.keeps() && other.keeps() && replay.held() > replay.limit());
        assert!(one.session.is_asked_to_forget() && !other.session.is_asked_to_forget());
        assert!(!sessions.is_full(&replay), "one is about to forget");
        other.poll();
        assert!(one.keeps() && other.keeps());
        one.poll();
        assert!(!one.keeps() && other.keeps() && !one.session.is_asked_to_forget());
        assert_eq!(sessions.shared.to_forget.load(Ordering::Relaxed), 0);
        assert!(replay.held() < replay.limit());
        // One that ends before it has forgotten.
        other.fetch(2);
        one.fetch(3);
        assert!(other.session.is_asked_to_forget() && sessions.shared.to_forget.load(Ordering::Relaxed) > 20_000);
        drop(other.task);
        assert!(!other.session.ask_to_forget(1), "it has no task any more");
        assert_eq!(sessions.shared.to_forget.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_session_that_is_asked_when_its_task_has_been_woken_already_forgets_in_that_poll() {
        let (sessions, memory, replay) = (Sessions::new(), MemoryPool::new(1 << 30), MemoryPool::new(1 << 30));
        let mut one = ByHand::new(&sessions, [&memory, &replay]).await;
        one.fetch(1);
        assert!(one.keeps());
        // This wakes the task, and changes nothing. To be asked does not wake it once more.
        assert!(!one.session.discard());
        sessions.shared.to_forget.fetch_add(1, Ordering::Relaxed);
        one.asks.store(1, Ordering::Relaxed);
        let _ = (&mut one.task).now_or_never();
        assert!(!one.keeps() && !one.session.is_asked_to_forget());
        assert_eq!(sessions.shared.to_forget.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn those_that_keep_most_are_the_first_and_then_those_that_lose_least() {
        let second = Duration::from_secs(1);
        let kept = |bytes, attached_for| Kept { bytes, attached_for };
        // In the order in which they forget.
        let order = [
            (kept(9000, Some(60 * second)), true),
            (kept(4100, None), false),
            (kept(8000, Some(second)), false),
            (kept(7000, Some(60 * second)), false),
            (kept(8000, Some(second)), true),
            (kept(4096, Some(60 * second)), true),
            (kept(4095, None), false),
            (kept(1, Some(second)), false),
        ];
        let ranks: Vec<_> = order.iter().map(|(kept, has_principal)| rank(*kept, *has_principal)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
    }
}
