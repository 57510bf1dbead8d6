//! Cap'n Proto over TCP. It stays on one thread.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use capnp::{Error, message::ReaderOptions};
use capnp_rpc::{RpcSystem, new_client, rpc_twoparty_capnp::Side, twoparty::VatNetwork};
use common::Outcome;
use compare_capnp::{
    compare::{self, *},
    listener::{self, AskParams, AskResults, ItemParams, NoticeParams},
    task,
};
use futures::io::{BufReader, BufWriter};
use send_wrapper::SendWrapper;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinSet, spawn_local},
};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use crate::{
    host::Host,
    order,
    peer::{Ability, Link, NOTICE, Peer, WAIT},
    server::Door,
};

#[allow(
    clippy::all,
    dead_code,
    elided_lifetimes_in_paths,
    unreachable_pub,
    unused_qualifications,
    reason = "the code is generated"
)]
mod compare_capnp {
    include!("../../generated/compare_capnp.rs.in");
}

#[derive(Clone, Default)]
struct Service {
    subscribers: Rc<RefCell<Vec<listener::Client>>>,
}

/// Sends this many notices; each waits only for room in the window of the connection.
async fn send_notices(listener: &listener::Client, count: u64, bytes: u32) -> Result<(), Error> {
    for _ in 0..count {
        let mut request = listener.notice_request();
        request.get().init_bytes(bytes).fill(7);
        request.send().await?;
    }
    Ok(())
}

async fn ask(listener: &listener::Client, number: u64) -> Result<u64, Error> {
    let mut request = listener.ask_request();
    request.get().set_value(number);
    Ok(request.send().promise.await?.get()?.get_value())
}

impl compare::Server for Service {
    async fn add_one(self: Rc<Self>, params: AddOneParams, mut results: AddOneResults) -> Result<(), Error> {
        results.get().set_value(params.get()?.get_value() + 1);
        Ok(())
    }

    async fn echo(self: Rc<Self>, params: EchoParams, mut results: EchoResults) -> Result<(), Error> {
        results.get().set_bytes(params.get()?.get_bytes()?);
        Ok(())
    }

    async fn place_order(
        self: Rc<Self>,
        params: PlaceOrderParams,
        mut results: PlaceOrderResults,
    ) -> Result<(), Error> {
        let order = params.get()?;
        results.set(order)?;
        results.get().set_id(order.get_id() + 1);
        Ok(())
    }

    async fn wait(self: Rc<Self>, _: WaitParams, _: WaitResults) -> Result<(), Error> {
        tokio::time::sleep(WAIT).await;
        Ok(())
    }

    async fn one_way(self: Rc<Self>, params: OneWayParams, _: OneWayResults) -> Result<(), Error> {
        let task = params.get()?;
        send_notices(&task.get_listener()?, task.get_count(), task.get_bytes() as u32).await
    }

    async fn call_back(self: Rc<Self>, params: CallBackParams, _: CallBackResults) -> Result<(), Error> {
        let task = params.get()?;
        let (count, in_flight) = (task.get_count(), task.get_in_flight());
        let mut callers = JoinSet::new();
        for _ in 0..in_flight {
            let listener = task.get_listener()?;
            callers.spawn_local(async move {
                for number in 0..count / in_flight {
                    assert_eq!(ask(&listener, number).await?, number + 1);
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.map_err(|error| Error::failed(error.to_string()))??;
        }
        Ok(())
    }

    async fn items(self: Rc<Self>, params: ItemsParams, _: ItemsResults) -> Result<(), Error> {
        let task = params.get()?;
        let listener = task.get_listener()?;
        for number in 0..task.get_count() {
            let mut request = listener.item_request();
            request.get().set_value(number);
            request.send().await?;
        }
        Ok(())
    }

    async fn subscribe(self: Rc<Self>, params: SubscribeParams, _: SubscribeResults) -> Result<(), Error> {
        self.subscribers.borrow_mut().push(params.get()?.get_listener()?);
        Ok(())
    }

    async fn broadcast(self: Rc<Self>, _: BroadcastParams, _: BroadcastResults) -> Result<(), Error> {
        let subscribers = self.subscribers.borrow().clone();
        for subscriber in &subscribers {
            send_notices(subscriber, 1, NOTICE as u32).await?;
        }
        Ok(())
    }

    async fn upload(self: Rc<Self>, _: UploadParams, mut results: UploadResults) -> Result<(), Error> {
        results.get().set_listener(new_client(Audience::default()));
        Ok(())
    }
}

/// Counts what comes, and tells the host if it has one.
#[derive(Default)]
struct Audience {
    host: Option<Arc<Host>>,
    items: Cell<u64>,
}

impl Audience {
    fn take(&self) {
        if let Some(host) = &self.host {
            host.take();
        }
    }
}

impl listener::Server for Audience {
    async fn notice(self: Rc<Self>, params: NoticeParams) -> Result<(), Error> {
        assert!(!params.get()?.get_bytes()?.is_empty());
        self.take();
        Ok(())
    }

    async fn ask(self: Rc<Self>, params: AskParams, mut results: AskResults) -> Result<(), Error> {
        results.get().set_value(params.get()?.get_value() + 1);
        Ok(())
    }

    async fn item(self: Rc<Self>, params: ItemParams) -> Result<(), Error> {
        assert_eq!(params.get()?.get_value(), self.items.replace(self.items.get() + 1));
        self.take();
        Ok(())
    }
}

/// Starts one end of a connection.
fn start(socket: TcpStream, side: Side, hosted: Option<compare::Client>) -> Outcome<RpcSystem<Side>> {
    socket.set_nodelay(true)?;
    let (reader, writer) = socket.into_split();
    let (reader, writer) = (BufReader::new(reader.compat()), BufWriter::new(writer.compat_write()));
    let network = VatNetwork::new(reader, writer, side, ReaderOptions::default());
    Ok(RpcSystem::new(Box::new(network), hosted.map(|hosted| hosted.client)))
}

pub(crate) struct Capnp;

impl Peer for Capnp {
    const NAME: &'static str = "capnp-rpc";
    const ABOUT: &'static str = "capnp-rpc 0.27.3 over TCP with buffered reads and writes; streaming methods in place \
        of one-way callbacks and streams; it stays on one thread";
    const CAN: &'static [Ability] = Ability::ALL;
    const STAYS_ON_ONE_THREAD: bool = true;
    type Link = CapnpLink;

    fn serve(door: Door) -> impl Future<Output = Outcome<()>> + Send {
        here(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            door.open(listener.local_addr()?)?;
            let service = Service::default();
            loop {
                let (socket, _) = listener.accept().await?;
                spawn_local(start(socket, Side::Server, Some(new_client(service.clone())))?);
            }
        })
    }

    fn connect(addr: SocketAddr, host: Arc<Host>) -> impl Future<Output = Outcome<CapnpLink>> + Send {
        here(async move {
            let mut system = start(TcpStream::connect(addr).await?, Side::Client, None)?;
            let client = SendWrapper::new(system.bootstrap(Side::Server));
            spawn_local(system);
            Ok(CapnpLink { client, host })
        })
    }
}

/// The driver asks for futures that another thread may poll; the runtime of this peer has one thread.
fn here<T>(work: impl Future<Output = Outcome<T>>) -> impl Future<Output = Outcome<T>> + Send {
    SendWrapper::new(work)
}

#[derive(Clone)]
pub(crate) struct CapnpLink {
    client: SendWrapper<compare::Client>,
    host: Arc<Host>,
}

impl CapnpLink {
    /// Fills in what the server is to do with a listener of this client.
    fn fill(&self, mut task: task::Builder<'_>, count: u64, bytes: usize) {
        task.set_listener(new_client(Audience { host: Some(Arc::clone(&self.host)), items: Cell::new(0) }));
        task.set_count(count);
        task.set_bytes(bytes as u64);
    }

    /// Lets the server send notices of this length, and waits for all.
    async fn take_notices(&self, count: u64, bytes: usize) -> Outcome<()> {
        self.host.expect(count);
        let mut request = self.client.one_way_request();
        self.fill(request.get(), count, bytes);
        request.send().promise.await?;
        self.host.all().await;
        Ok(())
    }
}

impl Link for CapnpLink {
    type Payload = Arc<[u8]>;

    fn payload(bytes: usize) -> Arc<[u8]> {
        vec![7; bytes].into()
    }

    fn add_one(&self, number: u64) -> impl Future<Output = Outcome<u64>> + Send {
        here(async move {
            let mut request = self.client.add_one_request();
            request.get().set_value(number);
            Ok(request.send().promise.await?.get()?.get_value())
        })
    }

    fn echo(&self, payload: &Arc<[u8]>) -> impl Future<Output = Outcome<usize>> + Send {
        here(async {
            let mut request = self.client.echo_request();
            request.get().set_bytes(payload);
            Ok(request.send().promise.await?.get()?.get_bytes()?.len())
        })
    }

    fn order(&self, id: u64) -> impl Future<Output = Outcome<u64>> + Send {
        here(async move {
            let mut request = self.client.place_order_request();
            let mut order = request.get();
            order.set_id(id);
            order.set_customer(order::CUSTOMER);
            order.set_email(order::EMAIL);
            order.set_currency(order::CURRENCY);
            order.set_price_cents(order::PRICE_CENTS);
            order.set_quantity(order::QUANTITY);
            order.set_paid(true);
            order.set_created_ms(order::CREATED_MS);
            order.set_note(order::NOTE);
            order.set_tags(&order::TAGS)?;
            Ok(request.send().promise.await?.get()?.get_id())
        })
    }

    fn wait(&self) -> impl Future<Output = Outcome<()>> + Send {
        here(async {
            self.client.wait_request().send().promise.await?;
            Ok(())
        })
    }

    fn one_way(&self, count: u64) -> impl Future<Output = Outcome<()>> + Send {
        here(self.take_notices(count, NOTICE))
    }

    fn call_back(&self, count: u64, in_flight: usize) -> impl Future<Output = Outcome<()>> + Send {
        here(async move {
            let mut request = self.client.call_back_request();
            self.fill(request.get(), count, 0);
            request.get().set_in_flight(in_flight as u64);
            request.send().promise.await?;
            Ok(())
        })
    }

    fn subscribe(&self, _: Arc<Host>) -> impl Future<Output = Outcome<()>> + Send {
        here(async {
            let mut request = self.client.subscribe_request();
            self.fill(request.get(), 0, 0);
            request.send().promise.await?;
            Ok(())
        })
    }

    fn broadcast(&self) -> impl Future<Output = Outcome<()>> + Send {
        here(async {
            self.client.broadcast_request().send().promise.await?;
            Ok(())
        })
    }

    fn items(&self, count: u64) -> impl Future<Output = Outcome<()>> + Send {
        here(async move {
            self.host.expect(count);
            let mut request = self.client.items_request();
            self.fill(request.get(), count, 0);
            request.send().promise.await?;
            self.host.all().await;
            Ok(())
        })
    }

    fn bulk(&self, blocks: u64, bytes: usize) -> impl Future<Output = Outcome<()>> + Send {
        here(async move {
            let up = async {
                let listener = self.client.upload_request().send().promise.await?.get()?.get_listener()?;
                send_notices(&listener, blocks, u32::try_from(bytes)?).await?;
                // It is served behind all blocks.
                ask(&listener, 0).await?;
                Ok(())
            };
            tokio::try_join!(self.take_notices(blocks, bytes), up)?;
            Ok(())
        })
    }
}
