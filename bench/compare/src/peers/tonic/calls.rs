//! Calls by hand through one bidirectional stream of tonic: what a user writes who wants a server that calls back, or
//! more calls a second than unary ones give.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use common::Outcome;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    proto::{Count, Envelope, compare_client::CompareClient, envelope::Body},
    service,
};
use crate::{
    host::Host,
    peer::{Ability, Link, Peer, WAIT},
    server::Door,
};

/// Messages that wait for the stream at most.
const OUTGOING: usize = 1024;

/// One end of the stream.
#[derive(Clone)]
pub(super) struct Calls {
    outgoing: mpsc::Sender<Envelope>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Body>>>,
}

impl Calls {
    pub(super) fn new() -> (Self, ReceiverStream<Envelope>) {
        let (outgoing, receiver) = mpsc::channel(OUTGOING);
        (Self { outgoing, shared: Arc::default() }, ReceiverStream::new(receiver))
    }

    /// Takes what comes until the stream ends, and answers calls.
    pub(super) async fn run(self, mut incoming: Streaming<Envelope>) {
        while let Ok(Some(Envelope { id, answer, body: Some(body) })) = incoming.message().await {
            if answer {
                let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(body);
                }
                continue;
            }
            match body {
                // A handler that waits needs a task; the others would only lose time by one.
                Body::WaitMs(_) | Body::CallBack(_) => {
                    let calls = self.clone();
                    tokio::spawn(async move {
                        if let Ok(body) = calls.serve(body).await {
                            calls.answer(id, body).await;
                        }
                    });
                }
                body => match self.serve(body).await {
                    Ok(body) => self.answer(id, body).await,
                    Err(_) => return,
                },
            }
        }
    }

    async fn answer(&self, id: u64, body: Body) {
        let _ = self.outgoing.send(Envelope { id, answer: true, body: Some(body) }).await;
    }

    async fn serve(&self, body: Body) -> Outcome<Body> {
        match body {
            Body::AddOne(number) => Ok(Body::AddOne(number + 1)),
            Body::Echo(bytes) => Ok(Body::Echo(bytes)),
            Body::Order(mut order) => {
                order.id += 1;
                Ok(Body::Order(order))
            }
            Body::WaitMs(_) => {
                tokio::time::sleep(WAIT).await;
                Ok(body)
            }
            Body::CallBack(Count { count, bytes: in_flight }) => {
                let mut callers = JoinSet::new();
                for _ in 0..in_flight {
                    let calls = self.clone();
                    callers.spawn(async move {
                        for number in 0..count / in_flight {
                            calls.add_one(number).await?;
                        }
                        Outcome::Ok(())
                    });
                }
                while let Some(caller) = callers.join_next().await {
                    caller??;
                }
                Ok(body)
            }
        }
    }

    async fn call(&self, body: Body) -> Outcome<Body> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.outgoing.send(Envelope { id, answer: false, body: Some(body) }).await?;
        Ok(answer.await?)
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        match self.call(Body::AddOne(number)).await? {
            Body::AddOne(number) => Ok(number),
            _ => Err(WRONG.into()),
        }
    }
}

const WRONG: &str = "an answer of another kind came";

pub(crate) struct TonicStream;

impl Peer for TonicStream {
    const NAME: &'static str = "tonic-stream";
    const ABOUT: &'static str = "tonic 0.14.9: calls by hand through one bidirectional stream, which serves most of \
        them in order";
    const CAN: &'static [Ability] = &[Ability::Calls, Ability::Order, Ability::Wait, Ability::CallBack];
    type Link = TonicStreamLink;

    async fn serve(door: Door) -> Outcome<()> {
        service::serve(door).await
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<TonicStreamLink> {
        let mut client = CompareClient::connect(format!("http://{addr}")).await?;
        let (calls, outgoing) = Calls::new();
        let incoming = client.calls(outgoing).await?.into_inner();
        tokio::spawn(calls.clone().run(incoming));
        Ok(TonicStreamLink(calls))
    }
}

#[derive(Clone)]
pub(crate) struct TonicStreamLink(Calls);

impl Link for TonicStreamLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        self.0.add_one(number).await
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        match self.0.call(Body::Echo(payload.clone())).await? {
            Body::Echo(bytes) => Ok(bytes.len()),
            _ => Err(WRONG.into()),
        }
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        match self.0.call(Body::Order(service::order(id))).await? {
            Body::Order(order) => Ok(order.id),
            _ => Err(WRONG.into()),
        }
    }

    async fn wait(&self) -> Outcome<()> {
        self.0.call(Body::WaitMs(1)).await?;
        Ok(())
    }

    async fn call_back(&self, count: u64, in_flight: usize) -> Outcome<()> {
        self.0.call(Body::CallBack(Count { count, bytes: in_flight as u64 })).await?;
        Ok(())
    }
}
