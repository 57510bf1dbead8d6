//! The server of both tonic peers.

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use common::Outcome;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use super::{
    calls::Calls,
    proto::{
        Count, Envelope, Nothing, Number, Order, Payload,
        compare_server::{Compare, CompareServer},
    },
};
use crate::{
    order,
    peer::{NOTICE, WAIT},
    server::Door,
};

/// Broadcasts that wait for one subscriber at most.
const BROADCASTS: usize = 16;

type Reply<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(super) async fn serve(door: Door) -> Outcome<()> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    door.open(incoming.local_addr()?)?;
    Server::builder().add_service(CompareServer::new(Service::default())).serve_with_incoming(incoming).await?;
    Ok(())
}

/// The order with this id.
pub(super) fn order(id: u64) -> Order {
    Order {
        id,
        customer: order::CUSTOMER.to_owned(),
        email: order::EMAIL.to_owned(),
        currency: order::CURRENCY.to_owned(),
        price_cents: order::PRICE_CENTS,
        quantity: order::QUANTITY,
        paid: true,
        created_ms: order::CREATED_MS,
        note: Some(order::NOTE.to_owned()),
        tags: order::TAGS.map(str::to_owned).to_vec(),
    }
}

#[derive(Default)]
struct Service {
    subscribers: Mutex<Vec<mpsc::Sender<Result<Payload, Status>>>>,
}

#[tonic::async_trait]
impl Compare for Service {
    type PushStream = BoxStream<Payload>;
    type ItemsStream = BoxStream<Number>;
    type SubscribeStream = ReceiverStream<Result<Payload, Status>>;
    type CallsStream = BoxStream<Envelope>;

    async fn add_one(&self, request: Request<Number>) -> Reply<Number> {
        Ok(Response::new(Number { number: request.into_inner().number + 1 }))
    }

    async fn echo(&self, request: Request<Payload>) -> Reply<Payload> {
        Ok(Response::new(request.into_inner()))
    }

    async fn place_order(&self, request: Request<Order>) -> Reply<Order> {
        let mut order = request.into_inner();
        order.id += 1;
        Ok(Response::new(order))
    }

    async fn wait(&self, request: Request<Number>) -> Reply<Number> {
        tokio::time::sleep(WAIT).await;
        Ok(Response::new(request.into_inner()))
    }

    async fn push(&self, request: Request<Count>) -> Reply<Self::PushStream> {
        let Count { count, bytes } = request.into_inner();
        let bytes = Bytes::from(vec![7; bytes as usize]);
        let payloads = stream::iter(0..count).map(move |_| Ok(Payload { bytes: bytes.clone() }));
        Ok(Response::new(Box::pin(payloads)))
    }

    async fn items(&self, request: Request<Count>) -> Reply<Self::ItemsStream> {
        let numbers = stream::iter(0..request.into_inner().count).map(|number| Ok(Number { number }));
        Ok(Response::new(Box::pin(numbers)))
    }

    async fn upload(&self, request: Request<Streaming<Payload>>) -> Reply<Number> {
        let mut payloads = request.into_inner();
        let mut number = 0;
        while payloads.message().await?.is_some() {
            number += 1;
        }
        Ok(Response::new(Number { number }))
    }

    async fn subscribe(&self, _: Request<Nothing>) -> Reply<Self::SubscribeStream> {
        let (sender, receiver) = mpsc::channel(BROADCASTS);
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn broadcast(&self, _: Request<Nothing>) -> Reply<Nothing> {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bytes = Bytes::from(vec![7; NOTICE]);
        for subscriber in subscribers {
            let sent = subscriber.send(Ok(Payload { bytes: bytes.clone() })).await;
            sent.map_err(|_| Status::cancelled("a subscriber has left"))?;
        }
        Ok(Response::new(Nothing {}))
    }

    async fn calls(&self, request: Request<Streaming<Envelope>>) -> Reply<Self::CallsStream> {
        let (calls, outgoing) = Calls::new();
        tokio::spawn(calls.run(request.into_inner()));
        Ok(Response::new(Box::pin(outgoing.map(Ok))))
    }
}
