//! What a server's program hears of sessions that lose their links and go on.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use rpc_core::{CloseCode, Config, ConnectionError};
use rpc_server::{SessionChange, SessionChanges};
use rpc_testing::{SOON, until};
use tokio::time::timeout;

use super::{
    House, only,
    resume::{all, resuming, unplug},
    serve_with,
};

async fn next(changes: &mut SessionChanges) -> SessionChange {
    timeout(SOON, changes.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_program_hears_that_a_session_has_lost_its_link_and_that_it_goes_on() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    let mut changes = server.sessions().changes();
    assert!(matches!(next(&mut changes).await, SessionChange::Opened(opened) if opened.id() == session.id()));
    unplug(&line, &client, &session).await;
    let detached = next(&mut changes).await;
    let is_so =
        matches!(&detached, SessionChange::Detached(lost, ConnectionError::Lost(_)) if lost.id() == session.id());
    assert!(is_so, "{detached:?}");
    assert_eq!((server.sessions().len(), server.sessions().detached()), (1, 1));
    let mut late = server.sessions().changes();
    assert!(matches!(next(&mut late).await, SessionChange::Opened(_)));
    assert!(matches!(next(&mut late).await, SessionChange::Detached(..)));

    line.open(server.local_addr());
    let resumed = next(&mut changes).await;
    assert!(matches!(&resumed, SessionChange::Resumed(goes_on) if goes_on.id() == session.id()), "{resumed:?}");
    assert_eq!((server.sessions().len(), server.sessions().detached()), (1, 0));
    client.close().await;
    let closed = next(&mut changes).await;
    let is_so =
        matches!(&closed, SessionChange::Closed(_, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }));
    assert!(is_so, "{closed:?}");
}

#[tokio::test]
async fn a_slow_reader_hears_nothing_of_a_link_that_was_replaced() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    let mut changes = server.sessions().changes();
    assert!(matches!(next(&mut changes).await, SessionChange::Opened(_)));
    for _ in 0..3 {
        unplug(&line, &client, &session).await;
        until("it is away", || server.sessions().detached() == 1).await;
        line.open(server.local_addr());
        until("it is back", || server.sessions().detached() == 0).await;
    }
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_session_whose_time_is_over_is_closed_without_having_gone_on() {
    let house = Arc::<House>::default();
    let short = Config::builder().resume_window(Duration::from_millis(50)).build().unwrap();
    let server = serve_with(&house, short).await;
    let line = super::Line::to(server.local_addr()).await;
    let client = resuming(&line).await.unwrap();
    let sum = client.client::<super::DeskClient>().sum(futures::stream::empty());
    assert_eq!(sum.await.unwrap(), 0);
    let mut changes = server.sessions().changes();
    assert!(matches!(next(&mut changes).await, SessionChange::Opened(_)));
    line.close();
    assert!(matches!(next(&mut changes).await, SessionChange::Detached(..)));
    assert!(matches!(next(&mut changes).await, SessionChange::Closed(_, ConnectionError::Lost(_))));
    assert_eq!((server.sessions().len(), server.sessions().detached()), (0, 0));
}

#[tokio::test]
async fn a_session_that_ends_while_its_client_is_away_does_not_go_on() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let session = only(&server);
    let mut changes = server.sessions().changes();
    assert!(matches!(next(&mut changes).await, SessionChange::Opened(_)));
    unplug(&line, &client, &session).await;
    assert!(matches!(next(&mut changes).await, SessionChange::Detached(..)));
    drop(session.close());
    // The client comes back for the last words alone.
    line.open(server.local_addr());
    let closed = next(&mut changes).await;
    assert!(matches!(closed, SessionChange::Closed(_, ConnectionError::ClosedLocally)), "{closed:?}");
}
