//! Rows 38 and 39: links that claim a session, at a server, and a server that says what cannot be of its client's.

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{Frame, Hello, Payload, Resume, Streams, Welcome},
    Stub,
};

use super::{
    liar::{FEW, Liar, Side},
    victim::{GuestClient, HostClient},
};
use crate::{
    frames::{hello, hosted, welcome},
    socket::Link,
};

/// For how long a claimant would like its session to live on without a link.
const WINDOW_MS: u64 = 60_000;

/// A client that speaks bytes, with a session that can be resumed.
#[derive(Debug)]
pub struct Claimant {
    liar: Liar,
    welcome: Box<Welcome>,
    calls: u64,
}

impl Claimant {
    /// Opens a session over a link that has just become a WebSocket.
    pub async fn open(link: Link) -> Self {
        Self::open_as(link, "").await
    }

    /// As [`Self::open`], with this credential in the Hello.
    pub async fn open_as(link: Link, credential: &str) -> Self {
        Self::greet(link, None, credential).await.expect("the server says Welcome")
    }

    /// Says over such a link that it goes on with the session of this token. The error is the close code of a server
    /// that does not say Welcome.
    pub async fn claim(link: Link, token: Bytes, epoch: u64, received: u64) -> Result<Self, u16> {
        Self::claim_as(link, Resume { token, epoch, received }, "").await
    }

    /// As [`Self::claim`], with this credential in the Hello.
    pub async fn claim_as(link: Link, resume: Resume, credential: &str) -> Result<Self, u16> {
        Self::greet(link, Some(resume), credential).await
    }

    async fn greet(link: Link, resume: Option<Resume>, credential: &str) -> Result<Self, u16> {
        let mut liar = Liar::new(link, Side::Server, || true);
        let Frame::Hello(said) = hello(FEW, hosted(GuestClient::CONTRACT)) else { unreachable!("it is one") };
        let received = resume.as_ref().map_or(0, |resume| resume.received);
        let credentials = credential.to_owned().into();
        let said = Hello { resume, resume_window_ms: WINDOW_MS, credentials, ..*said };
        liar.say_apart(&[Frame::Hello(Box::new(said))]).await;
        match liar.next_or_code().await? {
            Frame::Welcome(welcome) => {
                // What comes again is known by number.
                liar.go_on(welcome.received, if welcome.resumed { received } else { 0 });
                // The server has to learn that the Welcome came.
                liar.say_apart(&[]).await;
                Ok(Self { liar, welcome, calls: 0 })
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether this goes on with an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.welcome.resumed
    }

    /// The token of a new session.
    pub fn token(&self) -> Bytes {
        self.welcome.token.clone()
    }

    /// The last packet of the server that has come.
    pub fn received(&self) -> u64 {
        self.liar.received
    }

    /// Calls, and is answered. `first` is a number beyond those of the session's earlier calls.
    pub async fn is_served(&mut self, first: u64) {
        let id = first + self.calls;
        self.calls += 1;
        let call = self.liar.call(id, "echo", &[0x91, 0xa2, b'h', b'i']);
        self.liar.say(&[call]).await;
        match self.liar.next().await {
            Frame::Response { id: of, payload: Payload::Inline(text), .. } => {
                assert_eq!((of, &text[..]), (id, &b"\xa2hi"[..]));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that the server closes this link with this code.
    pub async fn is_closed(mut self, code: u16) {
        self.liar.closed(code).await;
    }

    /// Ends the session in order.
    pub async fn leave(mut self) {
        self.liar.say(&[Frame::Bye { code: 1000, message: String::new() }]).await;
        self.liar.closed(1000).await;
    }
}

/// A server that speaks bytes, over one link of a client that would like to resume its sessions.
#[derive(Debug)]
pub struct Resumer {
    liar: Liar,
    hello: Box<Hello>,
}

impl Resumer {
    /// Hears the Hello of a client over a link that has just become a WebSocket.
    pub async fn hear(link: Link) -> Self {
        let mut liar = Liar::new(link, Side::Client, || true);
        match liar.next().await {
            Frame::Hello(hello) => Self { liar, hello },
            other => panic!("{other:?}"),
        }
    }

    /// The session that the client would like to go on with.
    pub fn resume(&self) -> Option<&Resume> {
        self.hello.resume.as_ref()
    }

    /// Begins a session, which can be resumed with this token.
    pub async fn begins(&mut self, token: Bytes) {
        let Frame::Welcome(said) = welcome(FEW, hosted(HostClient::CONTRACT)) else { unreachable!("it is one") };
        let said = Welcome { token, resume_window_ms: WINDOW_MS, ..*said };
        self.liar.say_apart(&[Frame::Welcome(Box::new(said))]).await;
    }

    /// Goes on with the session, of which it says that the packets up to `received` have come.
    pub async fn goes_on(&mut self, received: u64) {
        self.liar.say_apart(&[Frame::Welcome(Box::new(Welcome::resume(received)))]).await;
    }

    /// Answers the client's next call with this text, which is short.
    pub async fn answers(&mut self, text: &str) {
        let Frame::Request(call) = self.liar.next().await else { panic!("the client calls") };
        let text = [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let answer =
            Frame::Response { id: call.id, payload: Payload::Inline(text.into()), streams: Streams::default() };
        self.liar.say(&[answer]).await;
    }

    /// Asserts that the client closes this link with this code.
    pub async fn is_closed(mut self, code: u16) {
        self.liar.closed(code).await;
    }

    /// Hears the client end the session in order, and acknowledges it.
    pub async fn is_left(mut self) {
        match self.liar.next().await {
            Frame::Bye { code: 1000, .. } => self.liar.say_apart(&[]).await,
            other => panic!("{other:?}"),
        }
        self.liar.closed(1000).await;
    }
}
