//! Row 39 at a client: a server says that it goes on with the client's session, from a position that cannot be.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use rpc_client::{ClientEvent, Reconnect, connect};
use rpc_core::Config;
use rpc_testing::{
    SOON, accept,
    rows::{Guest, HostClient, Resumer, Scene},
};
use tokio::net::TcpListener;

use crate::{Place, listen};

const MILLISECOND: Duration = Duration::from_millis(1);
const TOKEN: Bytes = Bytes::from_static(b"a token of more than 128 bits");

/// A position beyond what the client has sent, and one before what it knows to have come.
const POSITIONS: [u64; 2] = [1 << 40, 0];

/// The next link of the client.
async fn next(listener: &TcpListener) -> Resumer {
    Resumer::hear(Box::new(accept(listener).await.into_inner())).await
}

/// The client closes the link with 1002, and begins another session, in which it is served.
async fn false_position(place: &Place, position: u64) {
    let (listener, url) = listen().await;
    let at_once = Reconnect::default().initial_delay(MILLISECOND).max_delay(MILLISECOND);
    let config = Config::builder().resume_window(SOON).build().unwrap();
    let connecting = connect(url).callback(Guest::serve(place.victim.clone())).reconnect(at_once).config(config);
    let server = async {
        let mut first = next(&listener).await;
        assert!(first.resume().is_none());
        first.begins(TOKEN).await;
        first.answers("hi").await;
        first
    };
    let client = async {
        let client = connecting.await.unwrap();
        assert_eq!(client.client::<HostClient>().echo("hi".to_owned()).await.as_deref(), Ok("hi"));
        client
    };
    let (first, client) = tokio::join!(server, client);
    let (mut events, session) = (client.events(), client.session());
    drop(first);
    let mut second = next(&listener).await;
    assert!(second.resume().is_some_and(|resume| (&resume.token, resume.epoch) == (&TOKEN, 1)));
    second.goes_on(position).await;
    second.is_closed(1002).await;
    let server = async {
        let mut third = next(&listener).await;
        assert!(third.resume().is_none(), "the session is over");
        third.begins(Bytes::from_static(b"another token")).await;
        third.answers("ho").await;
        third
    };
    let host = client.client::<HostClient>();
    let (third, said) = tokio::join!(server, host.echo("ho".to_owned()));
    assert_eq!(said.as_deref(), Ok("ho"));
    assert_ne!(client.session().id(), session.id());
    let told = [(); 3].map(|()| events.next().now_or_never().flatten());
    let expected = [
        matches!(told[0], Some(ClientEvent::LinkLost { .. })),
        matches!(told[1], Some(ClientEvent::SessionLost { .. })),
        matches!(told[2], Some(ClientEvent::SessionStarted { .. })),
    ];
    assert_eq!(expected, [true; 3], "{told:?}");
    drop(host);
    tokio::join!(third.is_left(), client.close());
}

/// All of them.
pub(crate) async fn run(place: &Place) {
    for position in POSITIONS {
        let what = format!("row 39: position {position}");
        place.leaves_nothing(&what, 50, async || false_position(place, position).await).await;
    }
}
