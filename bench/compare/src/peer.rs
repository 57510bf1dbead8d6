//! What a system must offer to be measured. A new peer is one file in `peers`, and one line in its list.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::Outcome;
use tokio::task::JoinSet;

use crate::{host::Host, meter::Meter, server::Door};

/// How long the handler of [`Call::Wait`] waits.
pub(crate) const WAIT: Duration = Duration::from_millis(1);

/// Bytes of a one-way message and of a broadcast one.
pub(crate) const NOTICE: usize = 64;

/// A call that a client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A number there, the next number back.
    Small,
    /// This many bytes there and back.
    Echo(usize),
    /// An [`Order`](crate::order::Order) there and back.
    Order,
    /// A handler that waits for a timer.
    Wait,
}

/// What a peer can do; each row asks for some of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Small calls and echoes.
    Calls,
    Order,
    Wait,
    /// A small call passes a large one that is under way.
    Overtaking,
    OneWay,
    CallBack,
    Broadcast,
    Majority,
    Bulk,
    Items,
}

impl Ability {
    pub(crate) const ALL: &[Self] = &[
        Self::Calls,
        Self::Order,
        Self::Wait,
        Self::Overtaking,
        Self::OneWay,
        Self::CallBack,
        Self::Broadcast,
        Self::Majority,
        Self::Bulk,
        Self::Items,
    ];
}

/// A system: how it serves, and how it connects.
pub(crate) trait Peer: 'static {
    /// Its name in options and tables.
    const NAME: &'static str;
    /// One line for the reader of the tables: its version, and how it is set up.
    const ABOUT: &'static str;
    const CAN: &'static [Ability];
    /// Whether its tasks stay on one thread, so that it takes no part in rows with two workers.
    const STAYS_ON_ONE_THREAD: bool = false;
    type Link: Link;

    /// Listens on a free port of the loopback, opens the door, and serves until the process ends.
    fn serve(door: Door) -> impl Future<Output = Outcome<()>> + Send;

    /// Opens a connection; what the server then calls at the client ends at this host.
    fn connect(addr: SocketAddr, host: Arc<Host>) -> impl Future<Output = Outcome<Self::Link>> + Send;
}

/// A connection as its client sees it. A peer leaves out what it cannot do.
pub(crate) trait Link: Clone + Send + Sync + 'static {
    /// What an echo carries: each peer's cheapest type for bytes.
    type Payload: Clone + Send + Sync + 'static;

    fn payload(bytes: usize) -> Self::Payload;

    /// Gives the next number.
    fn add_one(&self, _number: u64) -> impl Future<Output = Outcome<u64>> + Send {
        missing()
    }

    /// Gives the length of what came back.
    fn echo(&self, _payload: &Self::Payload) -> impl Future<Output = Outcome<usize>> + Send {
        missing()
    }

    /// Makes the order with this id, and gives the id of the order that came back, which is the next.
    fn order(&self, _id: u64) -> impl Future<Output = Outcome<u64>> + Send {
        missing()
    }

    /// Waits for a handler that waits as long as [`WAIT`].
    fn wait(&self) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Lets the server send this many messages of [`NOTICE`] bytes, and waits until all have been taken.
    fn one_way(&self, _count: u64) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Lets the server make this many small calls to this client, this many of them in flight.
    fn call_back(&self, _count: u64, _in_flight: usize) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// From now on, each broadcast reaches [`Host::take`].
    fn subscribe(&self, _host: Arc<Host>) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Lets the server send [`NOTICE`] bytes to all that have subscribed.
    fn broadcast(&self) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// The same, where messages to clients that read nothing may be dropped. Says whether some were; `None` of a peer
    /// that cannot drop any, which keeps them.
    fn broadcast_or_drop(&self) -> impl Future<Output = Outcome<Option<bool>>> + Send {
        async { self.broadcast().await.map(|()| None) }
    }

    /// Lets the server call all that have subscribed, and waits until it has this many answers.
    fn majority(&self, _answers: u64) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Reads one stream of this many numbers.
    fn items(&self, _count: u64) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Moves this many blocks in each direction at once.
    fn bulk(&self, _blocks: u64, _bytes: usize) -> impl Future<Output = Outcome<()>> + Send {
        missing()
    }

    /// Whether echoes can be made beside [`Link::bulk`].
    fn can_echo_beside_bulk() -> bool {
        true
    }

    /// Keeps these calls in flight until the meter says stop: each of `in_flight` tasks makes one after another.
    fn keep_in_flight(
        &self,
        call: Call,
        in_flight: usize,
        meter: &Arc<Meter>,
    ) -> impl Future<Output = Outcome<()>> + Send {
        let mut callers = JoinSet::new();
        for _ in 0..in_flight {
            callers.spawn(make_calls(self.clone(), call, Arc::clone(meter)));
        }
        async move {
            while let Some(caller) = callers.join_next().await {
                caller??;
            }
            Ok(())
        }
    }
}

async fn missing<T>() -> Outcome<T> {
    Err("the peer cannot do this, and should not have been asked".into())
}

async fn make_calls<L: Link>(link: L, call: Call, meter: Arc<Meter>) -> Outcome<()> {
    let payload = match call {
        Call::Echo(bytes) => L::payload(bytes),
        _ => L::payload(0),
    };
    let mut tally = meter.tally();
    while !meter.is_stopped() {
        let begun = tally.begin();
        let is_right = match call {
            Call::Small => link.add_one(tally.made()).await? == tally.made() + 1,
            Call::Echo(bytes) => link.echo(&payload).await? == bytes,
            Call::Order => link.order(tally.made()).await? == tally.made() + 1,
            Call::Wait => {
                link.wait().await?;
                true
            }
        };
        assert!(is_right, "a wrong answer came");
        tally.end(begun);
    }
    Ok(())
}
