//! When a session holds nothing any more.

use std::time::Duration;

use rpc_core::{Session, Stats};
use tokio::time::timeout;

/// Long beyond anything that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Waits until no call, stream or byte is left.
pub(crate) async fn at_rest(session: &Session) {
    let rest = async {
        loop {
            let mut stats = session.stats();
            // The last packet may not have been acknowledged.
            stats.connection.unacked_bulk = 0;
            if stats == Stats::default() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, rest).await.unwrap_or_else(|_| panic!("{:?}", session.stats()));
}
