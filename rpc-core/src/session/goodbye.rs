//! Links that end before they have a session, or that no session needs any more: what their other side is told.

use std::{future::poll_fn, time::Duration};

use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::Transport;
use crate::{
    config::Config,
    error::{CloseCode, ConnectionError},
};

/// Tells the client why the link ends, unless the link is lost.
pub(super) async fn say_goodbye(transport: &mut dyn Transport, error: &ConnectionError) {
    if !matches!(error, ConnectionError::Lost(_)) {
        let (code, reason) = (error.close_code(), error.close_reason());
        poll_fn(|cx| transport.poll_close(cx, code, &reason)).await;
    }
}

/// Waits until the client has been told, for [`Config::close_timeout`] at most. From `stop` on the server drains, and
/// the wait, with the steps after it, must be over before the drain is.
pub(super) async fn tell(told: impl Future<Output = ()>, stop: impl Future<Output = ()>, config: &Config) {
    let drain = config.drain_timeout();
    let hurry = async {
        stop.await;
        sleep(drain - drain / 20).await;
    };
    let either = async {
        tokio::select! {
            biased;
            () = told => {}
            () = hurry => {}
        }
    };
    let _ = timeout(config.close_timeout(), either).await;
}

/// Closes a link that gets no session, without a word before.
pub(super) async fn turn_away(
    mut transport: Box<dyn Transport>,
    code: CloseCode,
    reason: &str,
    stop: impl Future<Output = ()>,
    config: &Config,
) {
    tell(poll_fn(|cx| transport.poll_close(cx, code, reason)), stop, config).await;
}

/// Closes a link whose place another one has taken.
pub(super) fn close_replaced(transport: Box<dyn Transport>, limit: Duration) {
    let why = "another link of the same session has taken its place".to_owned();
    close_in_background(transport, CloseCode::REPLACED, why, limit);
}

/// Says goodbye on a link that no session needs any more, and drops it; at the latest when `limit` is over.
pub(super) fn close_in_background(mut transport: Box<dyn Transport>, code: CloseCode, reason: String, limit: Duration) {
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(async move {
        let _ = timeout(limit, poll_fn(|cx| transport.poll_close(cx, code, &reason))).await;
    });
}
