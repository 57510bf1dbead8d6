//! jsonrpsee over WebSockets. JSON has no bytes, so that it sends texts of the same length.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
};

use common::Outcome;
use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionSink,
    core::{RpcResult, SubscriptionResult, async_trait, client::Subscription},
    proc_macros::rpc,
    server::{Server, ServerConfig},
    types::ErrorObjectOwned,
    ws_client::{WsClient, WsClientBuilder},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::to_raw_value;

use crate::{
    host::Host,
    order::Order,
    peer::{Ability, Link, NOTICE, Peer, WAIT},
    server::Door,
};

/// Items that a client holds of a subscription; beyond that it gives the subscription up.
const SUBSCRIPTION_BUFFER: usize = 1 << 20;

#[rpc(client, server)]
trait Compare {
    #[method(name = "add_one")]
    async fn add_one(&self, number: u64) -> RpcResult<u64>;
    #[method(name = "echo")]
    async fn echo(&self, payload: String) -> RpcResult<String>;
    #[method(name = "order")]
    async fn order(&self, order: Order) -> RpcResult<Order>;
    #[method(name = "wait")]
    async fn wait(&self) -> RpcResult<()>;
    #[method(name = "broadcast")]
    async fn broadcast(&self) -> RpcResult<()>;
    #[subscription(name = "notices" => "notice", unsubscribe = "no_notices", item = String)]
    async fn notices(&self, count: u64) -> SubscriptionResult;
    #[subscription(name = "items" => "item", unsubscribe = "no_items", item = u64)]
    async fn items(&self, count: u64) -> SubscriptionResult;
    #[subscription(name = "broadcasts" => "news", unsubscribe = "no_broadcasts", item = String)]
    async fn broadcasts(&self) -> SubscriptionResult;
}

#[derive(Default)]
struct Service {
    subscribers: std::sync::Mutex<Vec<SubscriptionSink>>,
}

fn text(bytes: usize) -> String {
    "7".repeat(bytes)
}

async fn send_all<T: Serialize>(
    pending: PendingSubscriptionSink,
    items: impl Iterator<Item = T>,
) -> SubscriptionResult {
    let sink = pending.accept().await?;
    for item in items {
        sink.send(to_raw_value(&item)?).await?;
    }
    Ok(())
}

#[async_trait]
impl CompareServer for Service {
    async fn add_one(&self, number: u64) -> RpcResult<u64> {
        Ok(number + 1)
    }

    async fn echo(&self, payload: String) -> RpcResult<String> {
        Ok(payload)
    }

    async fn order(&self, order: Order) -> RpcResult<Order> {
        Ok(order.answered())
    }

    async fn wait(&self) -> RpcResult<()> {
        tokio::time::sleep(WAIT).await;
        Ok(())
    }

    async fn broadcast(&self) -> RpcResult<()> {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = |error: String| ErrorObjectOwned::owned(1, error, None::<()>);
        let text = to_raw_value(&text(NOTICE)).map_err(|error| failed(error.to_string()))?;
        for subscriber in subscribers {
            subscriber.send(text.clone()).await.map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    async fn notices(&self, pending: PendingSubscriptionSink, count: u64) -> SubscriptionResult {
        let text = text(NOTICE);
        send_all(pending, (0..count).map(|_| &text)).await
    }

    async fn items(&self, pending: PendingSubscriptionSink, count: u64) -> SubscriptionResult {
        send_all(pending, 0..count).await
    }

    async fn broadcasts(&self, pending: PendingSubscriptionSink) -> SubscriptionResult {
        let sink = pending.accept().await?;
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sink);
        Ok(())
    }
}

pub(crate) struct JsonRpsee;

impl Peer for JsonRpsee {
    const NAME: &'static str = "jsonrpsee";
    const ABOUT: &'static str = "jsonrpsee 0.26.1 over WebSockets; texts in place of bytes, subscriptions in place of \
        one-way callbacks, 20,000 connections, 1,024 requests at once, a buffer of 2^20 items a subscription";
    const CAN: &'static [Ability] = &[
        Ability::Calls,
        Ability::Order,
        Ability::Wait,
        Ability::Overtaking,
        Ability::OneWay,
        Ability::Broadcast,
        Ability::Items,
    ];
    type Link = JsonLink;

    async fn serve(door: Door) -> Outcome<()> {
        let config = ServerConfig::builder().max_connections(20_000).set_tcp_no_delay(true).ws_only().build();
        let server = Server::builder().set_config(config).build("127.0.0.1:0").await?;
        door.open(server.local_addr()?)?;
        server.start(Service::default().into_rpc()).stopped().await;
        Ok(())
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<JsonLink> {
        let builder = WsClientBuilder::default()
            .set_tcp_no_delay(true)
            .max_concurrent_requests(1024)
            .max_buffer_capacity_per_subscription(SUBSCRIPTION_BUFFER);
        Ok(JsonLink(Arc::new(builder.build(format!("ws://{addr}")).await?)))
    }
}

#[derive(Clone)]
pub(crate) struct JsonLink(Arc<WsClient>);

async fn next<T: DeserializeOwned>(subscription: &mut Subscription<T>) -> Outcome<T> {
    Ok(subscription.next().await.ok_or("the subscription has ended")??)
}

impl Link for JsonLink {
    type Payload = String;

    fn payload(bytes: usize) -> String {
        text(bytes)
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        Ok(self.0.add_one(number).await?)
    }

    async fn echo(&self, payload: &String) -> Outcome<usize> {
        Ok(self.0.echo(payload.clone()).await?.len())
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        Ok(self.0.order(Order::new(id)).await?.id)
    }

    async fn wait(&self) -> Outcome<()> {
        Ok(self.0.wait().await?)
    }

    async fn one_way(&self, count: u64) -> Outcome<()> {
        let mut notices = self.0.notices(count).await?;
        for _ in 0..count {
            assert_eq!(next(&mut notices).await?.len(), NOTICE);
        }
        Ok(())
    }

    async fn subscribe(&self, host: Arc<Host>) -> Outcome<()> {
        let mut broadcasts = self.0.broadcasts().await?;
        tokio::spawn(async move {
            while let Ok(text) = next(&mut broadcasts).await {
                assert_eq!(text.len(), NOTICE);
                host.take();
            }
        });
        Ok(())
    }

    async fn broadcast(&self) -> Outcome<()> {
        Ok(self.0.broadcast().await?)
    }

    async fn items(&self, count: u64) -> Outcome<()> {
        let mut items = self.0.items(count).await?;
        for expected in 0..count {
            assert_eq!(next(&mut items).await?, expected);
        }
        Ok(())
    }
}
