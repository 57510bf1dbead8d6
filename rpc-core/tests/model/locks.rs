//! What users write may ask the session wherever it runs, because no lock is held then: wakers and what drops them, and
//! arguments and results while they are encoded, decoded and dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    task::{Context as TaskContext, Wake, Waker},
    thread,
};

use rpc_core::{Hosting, Session, Status};
use rpc_testing::SOON;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::{runtime::Builder, task::yield_now};

use crate::pairs::{at_rest, host, open};

/// Asks the session when it is encoded and when it is dropped.
struct Letter(Option<Session>);

impl Letter {
    fn ask(&self) {
        self.0.as_ref().map(Session::stats);
    }
}

impl Serialize for Letter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ask();
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Letter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self(None))
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.ask();
    }
}

#[rpc_core::service]
trait Post {
    async fn send(&self, letter: Letter) -> Letter;
    #[rpc(oneway)]
    async fn drop_in(&self, letter: Letter);
    async fn wait(&self);
}

/// Answers with letters that ask this session.
struct Office(Arc<std::sync::OnceLock<Session>>);

impl Post for Office {
    async fn send(&self, _: Letter) -> Letter {
        Letter(self.0.get().cloned())
    }

    async fn drop_in(&self, _: Letter) {}

    async fn wait(&self) {
        std::future::pending::<()>().await;
    }
}

/// Asks the session when it is woken, and when it is dropped.
struct Curious(Session, Arc<AtomicUsize>);

impl Curious {
    fn ask(&self) {
        self.0.stats();
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ask();
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.ask();
    }
}

/// Runs a test on a thread of its own: a lock that is taken twice holds the thread for ever.
fn apart<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, ended) = channel();
    let thread = thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        done.send(())
    });
    if ended.recv_timeout(SOON).is_err() {
        assert!(thread.is_finished(), "a lock is held while the session is asked");
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn wakers_and_what_drops_them_may_ask_the_session() {
    apart(|| async {
        let ends = open(&host(Office(Arc::default()).serve()), &Hosting::default());
        ends.client.established().await.unwrap();
        let (post, asked) = (ends.client.client::<PostClient>(), Arc::<AtomicUsize>::default());
        let curious = || Waker::from(Arc::new(Curious(ends.client.clone(), asked.clone())));
        // Woken by the answer.
        let mut call = Box::pin(post.send(Letter(None)));
        assert!(call.as_mut().poll(&mut TaskContext::from_waker(&curious())).is_pending());
        while asked.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
        drop(call);
        // Replaced by another one, given up with its call, and woken by the end of the session.
        let mut waits = [(); 3].map(|()| Box::pin(post.wait()));
        for _ in 0..2 {
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut TaskContext::from_waker(&curious())).is_pending());
            }
        }
        let [given_up, left @ ..] = waits;
        drop(given_up);
        let before = asked.load(Ordering::SeqCst);
        ends.server.close();
        ends.client.closed().await;
        assert!(asked.load(Ordering::SeqCst) > before);
        for left in left {
            left.await.unwrap_err();
        }
    });
}

#[test]
fn arguments_and_results_may_ask_the_session() {
    apart(|| async {
        let at_server = Arc::<std::sync::OnceLock<Session>>::default();
        let ends = open(&host(Office(at_server.clone()).serve()), &Hosting::default());
        at_server.set(ends.server.clone()).ok().unwrap();
        let (post, letter): (PostClient, _) = (ends.client.client(), || Letter(Some(ends.client.clone())));
        for _ in 0..10 {
            assert!(post.send(letter()).await.map_err(|status: Status| status.code()).is_ok());
            post.drop_in(letter()).await.unwrap();
        }
        at_rest(&ends).await;
    });
}
