//! remoc over TCP: remote traits, and channels in place of one-way callbacks and streams.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use common::Outcome;
use remoc::{
    Cfg, Connect, ConnectExt,
    rch::mpsc,
    rtc::{self, CallError, ServerShared},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    host::Host,
    order::Order,
    peer::{Ability, Link, NOTICE, Peer, WAIT},
    server::Door,
};

/// Calls that a server runs at once; remoc's default is 32.
const PARALLELISM: usize = 1024;

/// Hosted by the client.
#[rtc::remote]
pub(crate) trait Listener {
    async fn ask(&self, number: u64) -> Result<u64, CallError>;
}

#[rtc::remote]
pub(crate) trait Compare {
    async fn add_one(&self, number: u64) -> Result<u64, CallError>;
    async fn echo(&self, payload: Bytes) -> Result<Bytes, CallError>;
    async fn order(&self, order: Order) -> Result<Order, CallError>;
    async fn wait(&self) -> Result<(), CallError>;
    async fn call_back(&self, listener: ListenerClient, count: u64, in_flight: u64) -> Result<(), CallError>;
    async fn subscribe(&self, notices: mpsc::Sender<Bytes>) -> Result<(), CallError>;
    async fn broadcast(&self) -> Result<(), CallError>;
    async fn items(&self, count: u64) -> Result<mpsc::Receiver<u64>, CallError>;
    async fn down(&self, count: u64, bytes: u64) -> Result<mpsc::Receiver<Bytes>, CallError>;
    async fn up(&self, blocks: mpsc::Receiver<Bytes>) -> Result<u64, CallError>;
}

#[derive(Default)]
struct Service {
    subscribers: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

/// A channel into which a task puts what the iterator gives.
fn fill<T: remoc::RemoteSend + Clone + Sync>(items: impl Iterator<Item = T> + Send + 'static) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    tokio::spawn(async move {
        for item in items {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    receiver
}

fn blocks(count: u64, bytes: usize) -> mpsc::Receiver<Bytes> {
    let block = Bytes::from(vec![7; bytes]);
    fill((0..count).map(move |_| block.clone()))
}

async fn count(mut blocks: mpsc::Receiver<Bytes>, bytes: Option<usize>) -> Outcome<u64> {
    let mut count = 0;
    while let Some(block) = blocks.recv().await? {
        assert!(bytes.is_none_or(|bytes| block.len() == bytes));
        count += 1;
    }
    Ok(count)
}

impl Compare for Service {
    async fn add_one(&self, number: u64) -> Result<u64, CallError> {
        Ok(number + 1)
    }

    async fn echo(&self, payload: Bytes) -> Result<Bytes, CallError> {
        Ok(payload)
    }

    async fn order(&self, order: Order) -> Result<Order, CallError> {
        Ok(order.answered())
    }

    async fn wait(&self) -> Result<(), CallError> {
        tokio::time::sleep(WAIT).await;
        Ok(())
    }

    async fn call_back(&self, listener: ListenerClient, count: u64, in_flight: u64) -> Result<(), CallError> {
        let mut callers = JoinSet::new();
        for _ in 0..in_flight {
            let listener = listener.clone();
            callers.spawn(async move {
                for number in 0..count / in_flight {
                    assert_eq!(listener.ask(number).await?, number + 1);
                }
                Ok::<_, CallError>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.map_err(|_| CallError::Dropped)??;
        }
        Ok(())
    }

    async fn subscribe(&self, notices: mpsc::Sender<Bytes>) -> Result<(), CallError> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(notices);
        Ok(())
    }

    async fn broadcast(&self) -> Result<(), CallError> {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let notice = Bytes::from(vec![7; NOTICE]);
        for subscriber in subscribers {
            subscriber.send(notice.clone()).await.map_err(|_| CallError::Dropped)?;
        }
        Ok(())
    }

    async fn items(&self, count: u64) -> Result<mpsc::Receiver<u64>, CallError> {
        Ok(fill(0..count))
    }

    async fn down(&self, count: u64, bytes: u64) -> Result<mpsc::Receiver<Bytes>, CallError> {
        Ok(blocks(count, bytes as usize))
    }

    async fn up(&self, blocks: mpsc::Receiver<Bytes>) -> Result<u64, CallError> {
        count(blocks, None).await.map_err(|_| CallError::Dropped)
    }
}

struct Audience;

impl Listener for Audience {
    async fn ask(&self, number: u64) -> Result<u64, CallError> {
        Ok(number + 1)
    }
}

pub(crate) struct Remoc;

impl Peer for Remoc {
    const NAME: &'static str = "remoc";
    const ABOUT: &'static str = "remoc 0.20.5 over TCP, its own codec; channels in place of one-way callbacks and \
        streams, 1,024 calls at once at a server";
    const CAN: &'static [Ability] = Ability::ALL;
    type Link = RemocLink;

    async fn serve(door: Door) -> Outcome<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        door.open(listener.local_addr()?)?;
        let service = Arc::new(Service::default());
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let (mut server, client) = CompareServerShared::<_, remoc::codec::Default>::new(service);
                server.set_parallelism(PARALLELISM);
                let (reader, writer) = socket.into_split();
                Connect::io(Cfg::default(), reader, writer).provide(client).await?;
                server.serve().await.map_err(|error| error.to_string())?;
                Outcome::Ok(())
            });
        }
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<RemocLink> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        let (reader, writer) = socket.into_split();
        Ok(RemocLink(Connect::io(Cfg::default(), reader, writer).consume().await?))
    }
}

#[derive(Clone)]
pub(crate) struct RemocLink(CompareClient);

impl Link for RemocLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        Ok(self.0.add_one(number).await?)
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        Ok(self.0.echo(payload.clone()).await?.len())
    }

    async fn order(&self, id: u64) -> Outcome<u64> {
        Ok(self.0.order(Order::new(id)).await?.id)
    }

    async fn wait(&self) -> Outcome<()> {
        Ok(self.0.wait().await?)
    }

    async fn one_way(&self, notices: u64) -> Outcome<()> {
        let received = count(self.0.down(notices, NOTICE as u64).await?, Some(NOTICE)).await?;
        if received == notices { Ok(()) } else { Err("the channel has ended early".into()) }
    }

    async fn call_back(&self, count: u64, in_flight: usize) -> Outcome<()> {
        let (mut server, client) = ListenerServerShared::<_, remoc::codec::Default>::new(Arc::new(Audience));
        server.set_parallelism(PARALLELISM);
        let server = tokio::spawn(server.serve());
        self.0.call_back(client, count, in_flight as u64).await?;
        server.abort();
        Ok(())
    }

    async fn subscribe(&self, host: Arc<Host>) -> Outcome<()> {
        let (sender, mut receiver) = mpsc::channel::<Bytes, remoc::codec::Default>();
        self.0.subscribe(sender).await?;
        tokio::spawn(async move {
            while let Ok(Some(notice)) = receiver.recv().await {
                assert_eq!(notice.len(), NOTICE);
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
            assert_eq!(items.recv().await?, Some(expected));
        }
        Ok(())
    }

    async fn bulk(&self, blocks_each_way: u64, bytes: usize) -> Outcome<()> {
        let down = async { count(self.0.down(blocks_each_way, bytes as u64).await?, Some(bytes)).await };
        let up = async { Ok(self.0.up(blocks(blocks_each_way, bytes)).await?) };
        let (down, up) = tokio::try_join!(down, up)?;
        if (down, up) == (blocks_each_way, blocks_each_way) { Ok(()) } else { Err("a channel has ended early".into()) }
    }
}
