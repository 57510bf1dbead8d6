//! tarpc over TCP with bincode.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use common::Outcome;
use futures::StreamExt;
use tarpc::{
    client, context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};

use crate::{
    host::Host,
    order::Order,
    peer::{Ability, Link, Peer, WAIT},
    server::Door,
};

#[tarpc::service]
trait Compare {
    async fn add_one(number: u64) -> u64;
    async fn echo(payload: Bytes) -> Bytes;
    async fn order(order: Order) -> Order;
    async fn wait();
}

#[derive(Clone)]
struct Service;

impl Compare for Service {
    async fn add_one(self, _: context::Context, number: u64) -> u64 {
        number + 1
    }

    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }

    async fn order(self, _: context::Context, order: Order) -> Order {
        order.answered()
    }

    async fn wait(self, _: context::Context) {
        tokio::time::sleep(WAIT).await;
    }
}

pub(crate) struct Tarpc;

impl Peer for Tarpc {
    const NAME: &'static str = "tarpc";
    const ABOUT: &'static str = "tarpc 0.38 over TCP with bincode, with its defaults and TCP_NODELAY";
    const CAN: &'static [Ability] = &[Ability::Calls, Ability::Order, Ability::Wait, Ability::Overtaking];
    type Link = TarpcLink;

    async fn serve(door: Door) -> Outcome<()> {
        let mut incoming = serde_transport::tcp::listen("127.0.0.1:0", Bincode::default).await?;
        door.open(incoming.local_addr())?;
        while let Some(transport) = incoming.next().await.transpose()? {
            transport.get_ref().set_nodelay(true)?;
            let requests = BaseChannel::with_defaults(transport).execute(Service.serve());
            tokio::spawn(requests.for_each(|request| async {
                tokio::spawn(request);
            }));
        }
        Ok(())
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<TarpcLink> {
        let transport = serde_transport::tcp::connect(addr, Bincode::default).await?;
        transport.get_ref().set_nodelay(true)?;
        Ok(TarpcLink(CompareClient::new(client::Config::default(), transport).spawn()))
    }
}

#[derive(Clone)]
pub(crate) struct TarpcLink(CompareClient);

impl Link for TarpcLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        Ok(self.0.add_one(context::current(), number).await?)
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        Ok(self.0.echo(context::current(), payload.clone()).await?.len())
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        Ok(self.0.order(context::current(), Order::new(id)).await?.id)
    }

    async fn wait(&self) -> Outcome<()> {
        Ok(self.0.wait(context::current()).await?)
    }
}
