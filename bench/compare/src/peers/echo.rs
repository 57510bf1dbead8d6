//! A bare tokio-tungstenite: messages without calls, with read buffers of several lengths.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use common::{
    Outcome,
    bare::{self, MESSAGE, answer_ready, both_ways},
};
use futures::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use crate::{
    host::Host,
    meter::Meter,
    order,
    peer::{Ability, Call, Link, NOTICE, Peer},
    server::Door,
};

type Socket = WebSocketStream<TcpStream>;
type Subscribers = Arc<Mutex<Vec<SplitSink<Socket, Message>>>>;

/// Bytes of an item: as many as MessagePack needs for a large number.
const ITEM: usize = 9;

/// With a read buffer of this many KiB.
pub(crate) struct Echo<const KIB: usize>;

fn config(kib: usize) -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(kib * 1024)
}

impl<const KIB: usize> Peer for Echo<KIB> {
    const NAME: &'static str = match KIB {
        4 => "echo-4k",
        32 => "echo",
        _ => "echo-128k",
    };
    const ABOUT: &'static str = match KIB {
        4 => "bare tokio-tungstenite 0.30, read buffer of 4 KiB",
        32 => "bare tokio-tungstenite 0.30, read buffer of 32 KiB: all that is ready is fed, then flushed once",
        _ => "bare tokio-tungstenite 0.30, read buffer of 128 KiB, which is its default",
    };
    const CAN: &'static [Ability] =
        &[Ability::Calls, Ability::Order, Ability::OneWay, Ability::Broadcast, Ability::Bulk, Ability::Items];
    type Link = EchoLink;

    async fn serve(door: Door) -> Outcome<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        door.open(listener.local_addr()?)?;
        let subscribers = Subscribers::default();
        loop {
            let (socket, _) = listener.accept().await?;
            let subscribers = Arc::clone(&subscribers);
            tokio::spawn(async move {
                let served = async { serve_one(bare::accept(socket, config(KIB)).await?, subscribers).await };
                // A client that is done closes no connection in good order.
                if let Err(error) = served.await
                    && !error.is::<tungstenite::Error>()
                {
                    eprintln!("the server's end of a connection failed: {error}");
                }
            });
        }
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<EchoLink> {
        let socket = bare::connect(addr, config(KIB)).await?;
        Ok(EchoLink { socket: Arc::new(Mutex::new(socket)), wants_broadcast: Arc::default() })
    }
}

/// Binary messages come back. A text is an order to the server.
async fn serve_one(mut socket: Socket, subscribers: Subscribers) -> Outcome<()> {
    loop {
        let mut order = None;
        let count = answer_ready(&mut socket, |message| match message {
            Message::Text(text) => {
                order = Some(text);
                None
            }
            message => Some(message),
        })
        .await?;
        if count == 0 {
            return Ok(());
        }
        let Some(order) = order else { continue };
        let words: Vec<_> = order.split(' ').collect();
        match words[..] {
            ["send", count, size] => {
                let message = Bytes::from(vec![7; size.parse()?]);
                for _ in 0..count.parse::<u64>()? {
                    socket.feed(Message::Binary(message.clone())).await?;
                }
                socket.flush().await?;
            }
            ["bulk", count, size] => {
                socket.send(Message::text("go")).await?;
                both_ways(&mut socket, size.parse()?, count.parse()?).await?;
            }
            ["subscribe"] => {
                let (mut sink, mut source) = socket.split();
                {
                    // No broadcast begins before this subscriber is in the list.
                    let mut subscribers = subscribers.lock().await;
                    sink.send(Message::text("go")).await?;
                    subscribers.push(sink);
                }
                while source.next().await.transpose()?.is_some() {
                    broadcast(&subscribers).await?;
                }
                return Ok(());
            }
            _ => return Err(format!("the order {order} is unknown").into()),
        }
    }
}

async fn broadcast(subscribers: &Subscribers) -> Outcome<()> {
    let message = Message::Binary(Bytes::from(vec![7; NOTICE]));
    for subscriber in &mut *subscribers.lock().await {
        subscriber.send(message.clone()).await?;
    }
    Ok(())
}

/// The client's end. One task at a time uses the socket.
#[derive(Clone)]
pub(crate) struct EchoLink {
    socket: Arc<Mutex<Socket>>,
    /// Wakes the task that has the socket once the client has subscribed.
    wants_broadcast: Arc<Notify>,
}

impl EchoLink {
    /// Lets the server send this many messages of this size, and reads them.
    async fn read(&self, count: u64, size: usize) -> Outcome<()> {
        let mut socket = self.socket.lock().await;
        socket.send(Message::text(format!("send {count} {size}"))).await?;
        for _ in 0..count {
            let message = socket.next().await.ok_or("the server has closed the connection")??;
            assert_eq!(message.len(), size);
        }
        Ok(())
    }
}

impl Link for EchoLink {
    type Payload = Bytes;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        self.echo(&Self::payload(MESSAGE)).await?;
        Ok(number + 1)
    }

    async fn echo(&self, payload: &Bytes) -> Outcome<usize> {
        let mut socket = self.socket.lock().await;
        socket.send(Message::Binary(payload.clone())).await?;
        let message = socket.next().await.ok_or("the server has closed the connection")??;
        Ok(message.len())
    }

    async fn one_way(&self, count: u64) -> Outcome<()> {
        self.read(count, NOTICE).await
    }

    async fn items(&self, count: u64) -> Outcome<()> {
        self.read(count, ITEM).await
    }

    async fn subscribe(&self, host: Arc<Host>) -> Outcome<()> {
        let mut socket = Arc::clone(&self.socket).lock_owned().await;
        socket.send(Message::text("subscribe")).await?;
        wait_for_go(&mut socket).await?;
        let wants_broadcast = Arc::clone(&self.wants_broadcast);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = wants_broadcast.notified() => socket.send(Message::text("broadcast")).await?,
                    message = socket.next() => {
                        let message = message.ok_or("the server has closed the connection")??;
                        assert_eq!(message.len(), NOTICE);
                        host.take();
                    }
                }
            }
            #[expect(unreachable_code, reason = "it says what the errors above become")]
            Outcome::Ok(())
        });
        Ok(())
    }

    async fn broadcast(&self) -> Outcome<()> {
        self.wants_broadcast.notify_one();
        Ok(())
    }

    fn can_echo_beside_bulk() -> bool {
        false
    }

    async fn bulk(&self, blocks: u64, bytes: usize) -> Outcome<()> {
        let mut socket = self.socket.lock().await;
        socket.send(Message::text(format!("bulk {blocks} {bytes}"))).await?;
        // Until the server says go, it would send blocks back.
        wait_for_go(&mut socket).await?;
        both_ways(&mut socket, bytes, usize::try_from(blocks)?).await?;
        Ok(())
    }

    /// One task answers all that is ready with the next messages, and flushes once.
    async fn keep_in_flight(&self, call: Call, in_flight: usize, meter: &Arc<Meter>) -> Outcome<()> {
        let size = size_of_call(call);
        let payload = Message::Binary(Self::payload(size));
        let mut socket = self.socket.lock().await;
        let mut tally = meter.tally();
        // Answers come in the order of the messages.
        let mut begun = VecDeque::with_capacity(in_flight);
        for _ in 0..in_flight {
            begun.push_back(tally.begin());
            socket.feed(payload.clone()).await?;
        }
        socket.flush().await?;
        while !begun.is_empty() {
            let count = answer_ready(&mut socket, |message| {
                assert_eq!(message.len(), size);
                tally.end(begun.pop_front().flatten());
                if meter.is_stopped() {
                    return None;
                }
                begun.push_back(tally.begin());
                Some(message)
            })
            .await?;
            if count == 0 {
                return Err("the server has closed the connection".into());
            }
        }
        Ok(())
    }
}

async fn wait_for_go(socket: &mut Socket) -> Outcome<()> {
    let answer = socket.next().await.ok_or("the server has closed the connection")??;
    if answer.is_text() { Ok(()) } else { Err("the server has not said go".into()) }
}

/// Bytes of the message that stands for a call.
pub(super) fn size_of_call(call: Call) -> usize {
    match call {
        Call::Small | Call::Wait => MESSAGE,
        Call::Echo(bytes) => bytes,
        Call::Order => order::BYTES,
    }
}
