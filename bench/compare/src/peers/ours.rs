//! Duplex RPC, with the defaults of its configuration.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use common::Outcome;
use futures::{StreamExt, stream};
use rpc_client::{Connect, Reconnect};
use rpc_core::{CallOptions, Context, Overflow, Status, Streaming};
use rpc_server::{Group, Server};
use tokio::task::JoinSet;

use crate::{
    host::Host,
    order::Order,
    peer::{Ability, Link, NOTICE, Peer, WAIT},
    server::Door,
};

/// Hosted by the client.
#[rpc_core::callback(group)]
trait Listener {
    #[rpc(oneway)]
    async fn notice(&self, payload: Bytes);
    async fn ask(&self, number: u64) -> u64;
}

#[rpc_core::service(callback = Listener)]
trait Compare {
    async fn add_one(&self, number: u64) -> u64;
    async fn echo(&self, payload: Bytes) -> Bytes;
    async fn order(&self, order: Order) -> Order;
    async fn wait(&self);
    async fn send_notices(&self, cx: &Context<ListenerClient>, count: u64) -> Result<(), Status>;
    async fn call_back(&self, cx: &Context<ListenerClient>, count: u64, in_flight: u64) -> Result<(), Status>;
    async fn subscribe(&self, cx: &Context<ListenerClient>) -> Result<(), Status>;
    async fn broadcast(&self) -> Result<(), Status>;
    async fn broadcast_or_drop(&self) -> Result<bool, Status>;
    async fn majority(&self, answers: u64) -> Result<(), Status>;
    async fn items(&self, count: u64) -> Streaming<u64>;
    async fn down(&self, blocks: u64, bytes: u64) -> Streaming<Bytes>;
    async fn up(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
}

struct Service {
    subscribers: Group<ListenerClient>,
}

fn notice() -> Bytes {
    Bytes::from(vec![7; NOTICE])
}

fn blocks(count: u64, bytes: usize) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    let block = Bytes::from(vec![7; bytes]);
    stream::iter(0..count).map(move |_| block.clone())
}

async fn read(mut blocks: Streaming<Bytes>) -> Result<u64, Status> {
    let mut count = 0;
    while let Some(block) = blocks.next().await {
        block.map_err(Status::from)?;
        count += 1;
    }
    Ok(count)
}

impl Compare for Service {
    async fn add_one(&self, number: u64) -> u64 {
        number + 1
    }

    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }

    async fn order(&self, order: Order) -> Order {
        order.answered()
    }

    async fn wait(&self) {
        tokio::time::sleep(WAIT).await;
    }

    async fn send_notices(&self, cx: &Context<ListenerClient>, count: u64) -> Result<(), Status> {
        let payload = notice();
        for _ in 0..count {
            cx.peer().notice(payload.clone()).await?;
        }
        Ok(())
    }

    async fn call_back(&self, cx: &Context<ListenerClient>, count: u64, in_flight: u64) -> Result<(), Status> {
        let mut callers = JoinSet::new();
        for _ in 0..in_flight {
            let peer = cx.peer().clone();
            callers.spawn(async move {
                for number in 0..count / in_flight {
                    assert_eq!(peer.ask(number).await?, number + 1);
                }
                Ok::<_, Status>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.map_err(|error| Status::internal(error.to_string()))??;
        }
        Ok(())
    }

    async fn subscribe(&self, cx: &Context<ListenerClient>) -> Result<(), Status> {
        self.subscribers.join(&cx.session())?;
        Ok(())
    }

    async fn broadcast(&self) -> Result<(), Status> {
        self.subscribers.all().notice(notice()).await?;
        Ok(())
    }

    async fn broadcast_or_drop(&self) -> Result<bool, Status> {
        let options = CallOptions::new().overflow(Overflow::DropOldest);
        let delivery = self.subscribers.all().with(options).notice(notice()).await?;
        if delivery.failed == 0 { Ok(delivery.dropped > 0) } else { Err(Status::internal("a member has gone")) }
    }

    async fn majority(&self, wanted: u64) -> Result<(), Status> {
        let mut answers = self.subscribers.all().ask(1);
        for _ in 0..wanted {
            let (_, answer) = answers.next().await.ok_or_else(|| Status::internal("too few members"))?;
            assert_eq!(answer?, 2);
        }
        // The calls whose answers have not come are cancelled.
        Ok(())
    }

    async fn items(&self, count: u64) -> Streaming<u64> {
        Streaming::new(stream::iter(0..count))
    }

    async fn down(&self, count: u64, bytes: u64) -> Streaming<Bytes> {
        Streaming::new(blocks(count, bytes as usize))
    }

    async fn up(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        read(blocks).await
    }
}

struct Audience(Arc<Host>);

impl Listener for Audience {
    async fn notice(&self, payload: Bytes) {
        assert_eq!(payload.len(), NOTICE);
        self.0.take();
    }

    async fn ask(&self, number: u64) -> u64 {
        number + 1
    }
}

pub(crate) struct Ours;

impl Peer for Ours {
    const NAME: &'static str = "duplex-rpc";
    const ABOUT: &'static str =
        "Duplex RPC, this work tree, with its defaults but for 20,000 connections, also of one address";
    const CAN: &'static [Ability] = Ability::ALL;
    type Link = OurLink;

    async fn serve(door: Door) -> Outcome<()> {
        let builder = Server::builder().max_connections(20_000).max_connections_per_address(20_000);
        let service = Service { subscribers: builder.groups().get("subscribers") };
        let builder = builder.service(service.serve());
        let server = builder.listen("127.0.0.1:0").await?;
        door.open(server.local_addr())?;
        server.wait().await;
        Ok(())
    }

    async fn connect(addr: SocketAddr, host: Arc<Host>) -> Outcome<OurLink> {
        let audience = Audience(Arc::clone(&host));
        // As the peers beside it, the client does not connect again.
        let client = CompareClient::connect(format!("ws://{addr}/")).callback(audience.serve());
        let client = client.reconnect(Reconnect::never()).await?;
        Ok(OurLink { client, host })
    }
}

#[derive(Clone)]
pub(crate) struct OurLink {
    client: CompareClient,
    host: Arc<Host>,
}

impl Link for OurLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        Ok(self.client.add_one(number).await?)
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        Ok(self.client.echo(payload.clone()).await?.len())
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        Ok(self.client.order(Order::new(id)).await?.id)
    }

    async fn wait(&self) -> Outcome<()> {
        Ok(self.client.wait().await?)
    }

    async fn one_way(&self, count: u64) -> Outcome<()> {
        self.host.expect(count);
        self.client.send_notices(count).await?;
        self.host.all().await;
        Ok(())
    }

    async fn call_back(&self, count: u64, in_flight: usize) -> Outcome<()> {
        Ok(self.client.call_back(count, in_flight as u64).await?)
    }

    async fn subscribe(&self, _: Arc<Host>) -> Outcome<()> {
        Ok(self.client.subscribe().await?)
    }

    async fn broadcast(&self) -> Outcome<()> {
        Ok(self.client.broadcast().await?)
    }

    async fn broadcast_or_drop(&self) -> Outcome<Option<bool>> {
        Ok(Some(self.client.broadcast_or_drop().await?))
    }

    async fn majority(&self, answers: u64) -> Outcome<()> {
        Ok(self.client.majority(answers).await?)
    }

    async fn items(&self, count: u64) -> Outcome<()> {
        let mut items = self.client.items(count).await?;
        let mut next = 0;
        while let Some(item) = items.next().await {
            assert_eq!(item?, next);
            next += 1;
        }
        if next == count { Ok(()) } else { Err("the stream was too short".into()) }
    }

    async fn bulk(&self, count: u64, bytes: usize) -> Outcome<()> {
        let down = async { read(self.client.down(count, bytes as u64).await?).await };
        let (down, up) = tokio::try_join!(down, self.client.up(blocks(count, bytes)))?;
        if (down, up) == (count, count) { Ok(()) } else { Err("a stream was too short".into()) }
    }
}
