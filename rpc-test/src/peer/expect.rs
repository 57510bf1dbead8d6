//! What a test expects of the program beside a fake peer.

use std::{fmt, future::Future, panic::Location};

use rpc_core::Status;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    FakePeer,
    call::{Call, decoded},
    frame::{ErrorBody, Frame, Payload},
    link::{End, Goodbye, Received},
};

/// What a fake peer has got instead of what the test expects.
enum Instead {
    Frame(Frame),
    Ended(End),
    Nothing,
}

/// The methods here wait for the next frame. Frames of the kinds Credit and Done, with which the ends keep account, are
/// passed over; [`expect_frame`](Self::expect_frame) and [`try_frame`](Self::try_frame) show them. Each method panics
/// if anything else comes, if the link ends, or if nothing comes within the [patience](Self::set_patience) of the peer.
/// Dropping a future loses no frame.
impl FakePeer {
    /// Expects a call of a method, such as `"Chat.post"`.
    ///
    /// ```should_panic
    /// # use rpc_test::FakePeer;
    /// # #[rpc_client::service]
    /// # trait Chat {
    /// #     async fn join(&self, room: &str);
    /// #     async fn post(&self, text: &str);
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (connect, mut server) = FakePeer::server::<ChatClient>();
    /// let chat = connect.await.unwrap();
    /// tokio::spawn(async move { chat.join("lobby").await });
    /// server.expect_request("Chat.post").await; // expected Request of Chat.post, got Request 0 of Chat.join with ["lobby"]
    /// # }
    /// ```
    #[track_caller]
    pub fn expect_request(&mut self, method: &str) -> impl Future<Output = Call> + Send {
        let (wanted, name) = (self.names.id(method), method.to_owned());
        self.expect(format!("Request of {method}"), move |frame| match frame {
            Frame::Request { id, method, .. } if method == wanted => {
                Ok(Call { id: Some(id), method: name.clone(), frame })
            }
            other => Err(other),
        })
    }

    /// Expects a call of a one-way method.
    #[track_caller]
    pub fn expect_notify(&mut self, method: &str) -> impl Future<Output = Call> + Send {
        let (wanted, name) = (self.names.id(method), method.to_owned());
        self.expect(format!("Notify of {method}"), move |frame| match frame {
            Frame::Notify { method, .. } if method == wanted => Ok(Call { id: None, method: name.clone(), frame }),
            other => Err(other),
        })
    }

    /// Expects the result of a call that the peer has made.
    #[track_caller]
    pub fn expect_response<T: DeserializeOwned + Send>(&mut self, id: u64) -> impl Future<Output = T> + Send {
        let payload = self.expect(format!("Response {id}"), move |frame| match frame {
            Frame::Response { id: of, payload, .. } if of == id => Ok(payload),
            other => Err(other),
        });
        read(format!("the result of call {id}"), payload)
    }

    /// Expects that a call of the peer fails with the error of its contract.
    #[track_caller]
    pub fn expect_fault<E: DeserializeOwned + Send>(&mut self, id: u64) -> impl Future<Output = E> + Send {
        let payload = self.expect(format!("Error {id}, a fault"), move |frame| match frame {
            Frame::Error { id: of, error: ErrorBody::Fault(payload) } if of == id => Ok(payload),
            other => Err(other),
        });
        read(format!("the fault of call {id}"), payload)
    }

    /// Expects that a call of the peer fails with a status.
    #[track_caller]
    pub fn expect_status(&mut self, id: u64) -> impl Future<Output = Status> + Send {
        self.expect(format!("Error {id}, a status"), move |frame| match frame {
            Frame::Error { id: of, error: ErrorBody::Status(status) } if of == id => Ok(status),
            other => Err(other),
        })
    }

    /// Expects that the program cancels a call.
    #[track_caller]
    pub fn expect_cancel(&mut self, call: &Call) -> impl Future<Output = ()> + Send {
        let wanted = call.id();
        let what = wanted.map_or_else(|| format!("Cancel of {}", call.method), |id| format!("Cancel {id}"));
        self.expect(what, move |frame| match frame {
            Frame::Cancel { id, .. } if Some(id) == wanted => Ok(()),
            other => Err(other),
        })
    }

    /// Expects a frame, of any kind.
    #[track_caller]
    pub fn expect_frame(&mut self) -> impl Future<Output = Frame> + Send {
        self.wait("a frame", true, Ok)
    }

    /// Expects that the program closes its WebSocket, with a Close frame.
    #[track_caller]
    pub fn expect_close(&mut self) -> impl Future<Output = Goodbye> + Send {
        let at = Location::caller();
        async move {
            match self.next(false).await {
                Err(Instead::Ended(End::Closed(goodbye))) => goodbye,
                Err(instead) => self.fail_with("a Close frame", instead, at),
                Ok(frame) => self.fail_with("a Close frame", Instead::Frame(frame), at),
            }
        }
    }

    /// Expects that the link ends without a Close frame, and returns what the WebSocket says of it.
    #[track_caller]
    pub fn expect_lost(&mut self) -> impl Future<Output = String> + Send {
        let at = Location::caller();
        async move {
            match self.next(false).await {
                Err(Instead::Ended(End::Lost(why))) => why,
                Err(instead) => self.fail_with("the loss of the link", instead, at),
                Ok(frame) => self.fail_with("the loss of the link", Instead::Frame(frame), at),
            }
        }
    }

    /// The next frame, of any kind, if it has come already. Under a paused clock [`settle`](crate::settle) lets come
    /// what is under way: so a test shows that the program sends *nothing*.
    pub fn try_frame(&mut self) -> Option<Frame> {
        while self.end.is_none() {
            match self.received.try_recv().ok()? {
                Received::Frame(frame) => return Some(frame),
                Received::Opened => {}
                Received::End(end) => self.end = Some(end),
            }
        }
        None
    }

    /// Expects to be let in by the server.
    pub(super) async fn expect_welcome(&mut self) {
        match timeout(self.patience, self.received.recv()).await {
            Ok(Some(Received::Opened)) => {}
            Ok(other) => panic!("expected Welcome of the server, got {other:?}"),
            Err(_) => panic!("expected Welcome of the server, got nothing within {:?}", self.patience),
        }
    }

    /// Expects a frame that is not for keeping account.
    #[track_caller]
    fn expect<T: Send>(
        &mut self,
        what: String,
        pick: impl FnOnce(Frame) -> Result<T, Frame> + Send,
    ) -> impl Future<Output = T> + Send {
        self.wait(what, false, pick)
    }

    #[track_caller]
    fn wait<T: Send>(
        &mut self,
        what: impl fmt::Display + Send,
        all_kinds: bool,
        pick: impl FnOnce(Frame) -> Result<T, Frame> + Send,
    ) -> impl Future<Output = T> + Send {
        let at = Location::caller();
        async move {
            let instead = match self.next(all_kinds).await.map(pick) {
                Ok(Ok(picked)) => return picked,
                Ok(Err(other)) => Instead::Frame(other),
                Err(instead) => instead,
            };
            self.fail_with(what, instead, at)
        }
    }

    /// The next frame, or what comes in its place.
    async fn next(&mut self, all_kinds: bool) -> Result<Frame, Instead> {
        let next = async {
            loop {
                if let Some(end) = &self.end {
                    return Err(Instead::Ended(end.clone()));
                }
                match self.received.recv().await {
                    Some(Received::Frame(Frame::Credit { .. } | Frame::Done { .. })) if !all_kinds => {}
                    Some(Received::Frame(frame)) => return Ok(frame),
                    Some(Received::Opened) => {}
                    Some(Received::End(end)) => self.end = Some(end),
                    None => self.end = Some(End::Lost("the runtime of the test has ended".to_owned())),
                }
            }
        };
        timeout(self.patience, next).await.unwrap_or(Err(Instead::Nothing))
    }

    fn fail_with(&self, what: impl fmt::Display, instead: Instead, at: &Location<'_>) -> ! {
        let got = match instead {
            Instead::Frame(frame) => self.names.show(&frame),
            Instead::Ended(End::Closed(Goodbye { code, reason })) => format!("a Close frame with {code}: {reason}"),
            Instead::Ended(End::Lost(why)) => format!("the loss of the link: {why}"),
            Instead::Nothing => format!("nothing within {:?}", self.patience),
        };
        panic!("expected {what}, got {got} ({at})")
    }
}

async fn read<T: DeserializeOwned>(what: String, payload: impl Future<Output = Payload>) -> T {
    decoded(&what, &payload.await)
}
