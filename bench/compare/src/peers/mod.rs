//! The systems that are measured.

#[cfg(feature = "rivals")]
mod capnp;
mod echo;
#[cfg(feature = "rivals")]
mod jsonrpsee;
mod ours;
#[cfg(feature = "rivals")]
mod remoc;
#[cfg(feature = "rivals")]
mod tarpc;
mod tcp;
#[cfg(feature = "rivals")]
mod tonic;

use std::{marker::PhantomData, net::SocketAddr, time::Duration};

use common::Outcome;
use tokio::runtime::{Builder, LocalOptions};

use crate::{
    client::{Effort, measure},
    peer::Peer,
    rows::Row,
    sample::Sample,
    server::Door,
};

/// What ratios are taken to: a bare WebSocket with a read buffer as long as what a session reads at once.
pub(crate) const BASE: &str = "echo";

/// The name of this project's own peer.
pub(crate) const OURS: &str = <ours::Ours as Peer>::NAME;

/// A peer without its types.
pub(crate) trait AnyPeer {
    fn name(&self) -> &'static str;
    fn about(&self) -> &'static str;
    /// Whether the peer takes part in this row.
    fn can(&self, row: &Row) -> bool;
    /// Serves until the process ends.
    fn serve(&self, row: &'static Row) -> Outcome<()>;
    /// Measures a row against a server that is there.
    fn measure(&self, row: &'static Row, effort: Effort, addr: SocketAddr, control: SocketAddr) -> Outcome<Sample>;
}

/// All of them, in the order of the tables: this project, bare sockets, rivals.
pub(crate) fn all() -> Vec<Box<dyn AnyPeer>> {
    vec![
        erased::<ours::Ours>(),
        erased::<echo::Echo<32>>(),
        erased::<echo::Echo<4>>(),
        erased::<echo::Echo<128>>(),
        erased::<tcp::Tcp>(),
        #[cfg(feature = "rivals")]
        erased::<jsonrpsee::JsonRpsee>(),
        #[cfg(feature = "rivals")]
        erased::<tarpc::Tarpc>(),
        #[cfg(feature = "rivals")]
        erased::<tonic::Tonic>(),
        #[cfg(feature = "rivals")]
        erased::<tonic::TonicStream>(),
        #[cfg(feature = "rivals")]
        erased::<remoc::Remoc>(),
        #[cfg(feature = "rivals")]
        erased::<capnp::Capnp>(),
    ]
}

pub(crate) fn named(name: &str) -> Option<Box<dyn AnyPeer>> {
    all().into_iter().find(|peer| peer.name() == name)
}

struct Erased<P>(PhantomData<P>);

fn erased<P: Peer>() -> Box<dyn AnyPeer> {
    Box::new(Erased::<P>(PhantomData))
}

impl<P: Peer> AnyPeer for Erased<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn about(&self) -> &'static str {
        P::ABOUT
    }

    fn can(&self, row: &Row) -> bool {
        row.needs().iter().all(|need| P::CAN.contains(need)) && (row.workers == 1 || !P::STAYS_ON_ONE_THREAD)
    }

    fn serve(&self, row: &'static Row) -> Outcome<()> {
        let door = Door::new()?;
        run(row.workers, 0, P::serve(door))
    }

    fn measure(&self, row: &'static Row, effort: Effort, addr: SocketAddr, control: SocketAddr) -> Outcome<Sample> {
        run(row.workers, 1, async move {
            // Even a peer that waits for ever must end.
            let limit = effort.time * 10 + Duration::from_secs(if effort.divisor > 1 { 30 } else { 120 });
            match tokio::time::timeout(limit, measure::<P>(row, effort, addr, control)).await {
                Ok(sample) => sample,
                Err(_) => Err(format!("it has not ended after {} s", limit.as_secs()).into()),
            }
        })
    }
}

/// Runs `work` on this number of worker threads. One worker is this thread, on a core of its own if the machine has
/// that core: left alone, the kernel puts both processes on one core now and then, which is another measurement.
fn run<T: Send + 'static>(
    workers: usize,
    core: usize,
    work: impl Future<Output = Outcome<T>> + Send + 'static,
) -> Outcome<T> {
    if workers > 1 {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        let outcome = runtime.block_on(async { tokio::spawn(work).await? });
        // The process ends next, and waits for nothing that still runs.
        runtime.shutdown_background();
        return outcome;
    }
    if let Some(core) = core_affinity::get_core_ids().and_then(|cores| cores.get(core).copied()) {
        core_affinity::set_for_current(core);
    }
    // The scheduler of `new_current_thread`, which takes tasks that stay on the thread too.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
