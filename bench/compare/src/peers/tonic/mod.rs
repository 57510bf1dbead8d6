//! tonic (gRPC): unary calls and the streams of gRPC, and, in `calls.rs`, calls by hand through one stream.

mod calls;
mod service;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use common::Outcome;
use futures::stream;
use proto::compare_client::CompareClient;
use tonic::transport::Channel;

pub(crate) use calls::TonicStream;

use crate::{
    host::Host,
    peer::{Ability, Link, NOTICE, Peer},
    server::Door,
};

#[allow(clippy::all, unreachable_pub, dead_code, reason = "the code is generated")]
mod proto {
    include!("../../../generated/compare_proto.rs.in");
}

pub(crate) struct Tonic;

impl Peer for Tonic {
    const NAME: &'static str = "tonic";
    const ABOUT: &'static str = "tonic 0.14.9 with its defaults: unary calls, server streams in place of callbacks";
    const CAN: &'static [Ability] = &[
        Ability::Calls,
        Ability::Order,
        Ability::Wait,
        Ability::Overtaking,
        Ability::OneWay,
        Ability::Broadcast,
        Ability::Bulk,
        Ability::Items,
    ];
    type Link = TonicLink;

    async fn serve(door: Door) -> Outcome<()> {
        service::serve(door).await
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<TonicLink> {
        Ok(TonicLink(CompareClient::connect(format!("http://{addr}")).await?))
    }
}

#[derive(Clone)]
pub(crate) struct TonicLink(CompareClient<Channel>);

impl Link for TonicLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        Ok(self.0.clone().add_one(proto::Number { number }).await?.into_inner().number)
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        let payload = proto::Payload { bytes: payload.clone() };
        Ok(self.0.clone().echo(payload).await?.into_inner().bytes.len())
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        Ok(self.0.clone().place_order(service::order(id)).await?.into_inner().id)
    }

    async fn wait(&self) -> Outcome<()> {
        self.0.clone().wait(proto::Number { number: 0 }).await?;
        Ok(())
    }

    async fn one_way(&self, count: u64) -> Outcome<()> {
        let wanted = proto::Count { count, bytes: NOTICE as u64 };
        let mut notices = self.0.clone().push(wanted).await?.into_inner();
        for _ in 0..count {
            let notice = notices.message().await?.ok_or("the stream was too short")?;
            assert_eq!(notice.bytes.len(), NOTICE);
        }
        Ok(())
    }

    async fn subscribe(&self, host: Arc<Host>) -> Outcome<()> {
        let mut notices = self.0.clone().subscribe(proto::Nothing {}).await?.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(notice)) = notices.message().await {
                assert_eq!(notice.bytes.len(), NOTICE);
                host.take();
            }
        });
        Ok(())
    }

    async fn broadcast(&self) -> Outcome<()> {
        self.0.clone().broadcast(proto::Nothing {}).await?;
        Ok(())
    }

    async fn items(&self, count: u64) -> Outcome<()> {
        let mut items = self.0.clone().items(proto::Count { count, bytes: 0 }).await?.into_inner();
        for expected in 0..count {
            assert_eq!(items.message().await?.ok_or("the stream was too short")?.number, expected);
        }
        Ok(())
    }

    async fn bulk(&self, blocks: u64, bytes: usize) -> Outcome<()> {
        let down = async {
            let wanted = proto::Count { count: blocks, bytes: bytes as u64 };
            let mut payloads = self.0.clone().push(wanted).await?.into_inner();
            let mut count = 0;
            while let Some(payload) = payloads.message().await? {
                assert_eq!(payload.bytes.len(), bytes);
                count += 1;
            }
            Outcome::Ok(count)
        };
        let up = async {
            let block = Self::payload(bytes);
            let payloads = stream::iter((0..blocks).map(move |_| proto::Payload { bytes: block.clone() }));
            Ok(self.0.clone().upload(payloads).await?.into_inner().number)
        };
        let (down, up) = tokio::try_join!(down, up)?;
        if (down, up) == (blocks, blocks) { Ok(()) } else { Err("a stream was too short".into()) }
    }
}
