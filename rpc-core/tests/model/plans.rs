//! Call graphs to be run: what a handler shall do, written down, and how the objects are hosted that do it.

use proptest::prelude::*;
use rpc_core::Concurrency;
use serde::{Deserialize, Serialize};

pub(crate) const SESSIONS: usize = 3;
pub(crate) const OBJECTS: usize = 3;

/// What a handler does, one after the other.
pub(crate) type Steps = Vec<Step>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Sleeps for a number of milliseconds.
    Sleep(u64),
    Call(Call),
    /// Takes all steps at once.
    Together(Steps),
    /// Ends the handler with a fault or a status.
    Fail,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// From the server: whose client is called, counted from the session that the handler serves.
    pub(crate) session: usize,
    /// From a client: which object.
    pub(crate) object: usize,
    /// From a client: through the session that `session` says, as if one program had several.
    pub(crate) stray: bool,
    pub(crate) method: Method,
    pub(crate) spawning: Spawning,
    pub(crate) patience: Patience,
    /// What the called handler does.
    pub(crate) steps: Steps,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Method {
    Run,
    /// `no_cancel`.
    Sure,
    /// One-way.
    Tell,
}

/// The task in which a handler makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Spawning {
    /// In the task of the handler.
    Inline,
    /// In a task inside `cx.scope`. The handler awaits the task.
    Scoped,
    /// In a task inside `cx.scope`. The handler does not await the task.
    Detached,
    /// In a task outside the chain. The handler awaits the task.
    Unscoped,
}

/// When the caller gives up, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Patience {
    /// By the deadline that the configuration sets.
    Default,
    Timeout(u64),
    /// By dropping the call.
    Drop(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Instancing {
    Shared,
    PerSession,
    PerCall,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hosted {
    pub(crate) instancing: Instancing,
    pub(crate) concurrency: Concurrency,
}

/// Three clients of a server.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// The server's.
    pub(crate) objects: [Hosted; OBJECTS],
    /// The clients'.
    pub(crate) mirrors: [Hosted; SESSIONS],
    /// Few permits.
    pub(crate) tight: bool,
}

/// A call by a client that is not made in a handler. It begins `after` milliseconds from the start.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) after: u64,
    pub(crate) call: Call,
}

pub(crate) fn cast() -> impl Strategy<Value = Cast> {
    let instancing = prop_oneof![
        4 => Just(Instancing::Shared),
        2 => Just(Instancing::PerSession),
        1 => Just(Instancing::PerCall),
    ];
    let concurrency = prop_oneof![
        1 => Just(Concurrency::Multiple),
        2 => Just(Concurrency::Single),
        2 => Just(Concurrency::Reentrant),
    ];
    let hosted =
        (instancing, concurrency).prop_map(|(instancing, concurrency)| Hosted { instancing, concurrency }).boxed();
    (prop::array::uniform3(hosted.clone()), prop::array::uniform3(hosted), prop::bool::weighted(0.3))
        .prop_map(|(objects, mirrors, tight)| Cast { objects, mirrors, tight })
}

/// Calls that do everything there is.
pub(crate) fn starts() -> impl Strategy<Value = Vec<Start>> {
    let step = leaf().prop_recursive(6, 48, 5, |inner| {
        let steps = prop::collection::vec(inner, 0..5).boxed();
        prop_oneof![
            5 => any_call(steps.clone()).prop_map(Step::Call),
            1 => steps.prop_map(Step::Together),
        ]
    });
    let call = any_call(prop::collection::vec(step, 0..5).boxed());
    let start = (0..60u64, call).prop_map(|(after, call)| Start { after, call });
    prop::collection::vec(start, 1..7)
}

/// One call that does one thing after another, within one chain, and never gives up. Goes deep, with a few calls aside.
pub(crate) fn one_by_one() -> impl Strategy<Value = Call> {
    let few = || prop::collection::vec(leaf(), 0..2).boxed();
    let aside = prop::option::weighted(0.2, calm_call(few()).prop_map(Step::Call));
    let hop = (calm_call(few()), prop::option::of((0..40u64).prop_map(Step::Sleep)), aside);
    prop::collection::vec(hop, 1..12).prop_map(|hops| {
        let mut chain: Option<Call> = None;
        for (call, before, aside) in hops {
            let onward = chain.map(Step::Call);
            let steps = [before, onward, aside].into_iter().flatten().chain(call.steps).collect();
            chain = Some(Call { steps, ..call });
        }
        chain.unwrap()
    })
}

fn leaf() -> impl Strategy<Value = Step> {
    prop_oneof![5 => (0..40u64).prop_map(Step::Sleep), 1 => Just(Step::Fail)]
}

fn any_call(steps: BoxedStrategy<Steps>) -> impl Strategy<Value = Call> {
    let method = prop_oneof![6 => Just(Method::Run), 2 => Just(Method::Sure), 2 => Just(Method::Tell)];
    let spawning = prop_oneof![
        6 => Just(Spawning::Inline),
        2 => Just(Spawning::Scoped),
        1 => Just(Spawning::Detached),
        1 => Just(Spawning::Unscoped),
    ];
    let patience = prop_oneof![
        6 => Just(Patience::Default),
        1 => (0..100u64).prop_map(Patience::Timeout),
        1 => (0..60u64).prop_map(Patience::Drop),
    ];
    (calm_call(steps), method, spawning, patience, prop::bool::weighted(0.1))
        .prop_map(|(call, method, spawning, patience, stray)| Call { method, spawning, patience, stray, ..call })
}

fn calm_call(steps: BoxedStrategy<Steps>) -> impl Strategy<Value = Call> {
    let method = prop_oneof![3 => Just(Method::Run), 1 => Just(Method::Sure)];
    let spawning = prop_oneof![3 => Just(Spawning::Inline), 1 => Just(Spawning::Scoped)];
    let call = (0..SESSIONS, 0..OBJECTS, method, spawning, steps);
    call.prop_map(|(session, object, method, spawning, steps)| Call {
        session,
        object,
        stray: false,
        method,
        spawning,
        patience: Patience::Default,
        steps,
    })
}

/// What a call that runs alone should count.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) ran: usize,
    pub(crate) refused: usize,
    pub(crate) sleeps: u64,
    pub(crate) slept: u64,
}

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Place {
    Server(usize),
    Client(usize),
}

impl Place {
    pub(crate) fn session(self) -> usize {
        let (Self::Server(session) | Self::Client(session)) = self;
        session
    }

    /// Where a call made here is served.
    pub(crate) fn far(self, call: &Call) -> Self {
        let other = (self.session() + call.session) % SESSIONS;
        match self {
            Self::Server(_) => Self::Client(other),
            Self::Client(_) if call.stray => Self::Server(other),
            Self::Client(own) => Self::Server(own),
        }
    }
}

impl Expected {
    pub(crate) fn of(cast: &Cast, from: Place, call: &Call) -> Self {
        let mut expected = Self::default();
        expected.call(cast, from, call, &mut Vec::new());
        expected
    }

    /// `held`: the objects of the chain that serve one call at a time, and refuse further calls of the chain.
    fn call(&mut self, cast: &Cast, from: Place, call: &Call, held: &mut Vec<(Option<usize>, Option<usize>)>) {
        let place = from.far(call);
        let (hosted, object) = match place {
            Place::Server(_) => (cast.objects[call.object], Some(call.object)),
            Place::Client(session) => (cast.mirrors[session], None),
        };
        let session = match hosted.instancing {
            Instancing::Shared if object.is_some() => None,
            _ => Some(place.session()),
        };
        let guarded = hosted.concurrency == Concurrency::Single && hosted.instancing != Instancing::PerCall;
        if guarded && held.contains(&(object, session)) {
            self.refused += 1;
            return;
        }
        self.ran += 1;
        let before = held.len();
        held.extend(guarded.then_some((object, session)));
        for step in &call.steps {
            match step {
                Step::Sleep(ms) => {
                    self.sleeps += 1;
                    self.slept += ms;
                }
                Step::Call(call) => self.call(cast, place, call, held),
                Step::Together(_) => unreachable!("one thing after another"),
                Step::Fail => break,
            }
        }
        held.truncate(before);
    }
}
