//! `WebSocketCollection`: messages to many WebSockets at once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rpc_core::{
    CloseCode,
    raw::{Connection, ConnectionId, Message, RawError},
};

/// With fewer members than this, a look for members that have ended is not worth it.
const FEW: usize = 64;

/// A set of WebSockets that get the same messages. Cheap to clone; all clones are one collection.
///
/// A broadcast waits for no member, so no member can delay the others. Each member has its own queue, which is bounded
/// by [`RawLimits::queue_bytes`](super::RawLimits::queue_bytes) and
/// [`queue_messages`](super::RawLimits::queue_messages). A member whose queue is full does not keep up, and is cut: it
/// leaves the collection, its queue is dropped, and it is closed with code 1013 (try again later), so that the client
/// can connect again and begin afresh. Its handler is told: `on_error` gets
/// [`RawError::Aborted`](super::RawError::Aborted), and `on_close` follows. The bytes of a message exist once; all
/// queues share them.
///
/// Members whose connection has ended leave by themselves, at the next use of the collection at the latest.
///
/// ```
/// use rpc_server::{
///     async_trait,
///     raw::{Connection, Text, WebSocketCollection, WebSocketHandler},
/// };
///
/// #[derive(Default)]
/// struct Chat {
///     members: WebSocketCollection,
/// }
///
/// #[async_trait]
/// impl WebSocketHandler for Chat {
///     async fn on_open(&self, connection: &Connection) {
///         self.members.add(connection);
///     }
///
///     async fn on_text(&self, _: &Connection, text: Text) {
///         self.members.broadcast(text);
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct WebSocketCollection {
    members: Arc<Mutex<Members>>,
}

#[derive(Default)]
struct Members {
    all: BTreeMap<ConnectionId, Connection>,
    /// The number of members at which the collection looks for members that have ended.
    look_at: usize,
}

impl WebSocketCollection {
    /// A collection without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member. False if it is a member already, or its connection has ended.
    pub fn add(&self, connection: &Connection) -> bool {
        let mut members = self.lock();
        let left = if members.all.len() >= members.look_at.max(FEW) { members.sweep() } else { Vec::new() };
        let added = match members.all.entry(connection.id()) {
            Entry::Vacant(entry) if !connection.is_closed() => {
                entry.insert(connection.clone());
                true
            }
            _ => false,
        };
        drop(members);
        drop(left);
        added
    }

    /// Removes a member. False if the connection is no member. What has been queued for the member is still sent.
    pub fn remove(&self, connection: &Connection) -> bool {
        let removed = self.lock().all.remove(&connection.id());
        removed.is_some()
    }

    /// How many members there are whose connections have not ended.
    pub fn len(&self) -> usize {
        let mut members = self.lock();
        let left = members.sweep();
        let len = members.all.len();
        drop(members);
        drop(left);
        len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends a message to all members, and waits for none: text from a `&str` or `String`, binary from `Bytes` or
    /// `Vec<u8>`. Returns the number of members whose queues took it. A member whose queue is full is cut.
    ///
    /// The messages of one task reach each member in their order. The messages of broadcasts that run at the same time
    /// may reach two members in different orders.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        let message = message.into();
        let (mut reached, mut left) = (0, Vec::new());
        // Sending wakes tasks, which must not happen under the lock.
        for member in self.members() {
            match member.try_send(message.clone()) {
                Ok(()) => reached += 1,
                Err(RawError::Full) => {
                    member.abort(CloseCode::TRY_AGAIN_LATER, "this end does not keep up with the messages");
                    left.push(member);
                }
                Err(_) => left.push(member),
            }
        }
        if !left.is_empty() {
            let mut members = self.lock();
            for member in &left {
                members.all.remove(&member.id());
            }
        }
        reached
    }

    /// Says goodbye to all members when what is queued for them has been written, and removes them.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let members = std::mem::take(&mut self.lock().all);
        for member in members.into_values() {
            member.close(code, reason);
        }
    }

    /// The members at this moment, in no order.
    pub fn members(&self) -> Vec<Connection> {
        self.lock().all.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Removes the members that have ended. The caller drops them outside the lock, because the drop may run users'
    /// code. The next look at twice the number costs each `add` a constant share.
    fn sweep(&mut self) -> Vec<Connection> {
        let ended: Vec<_> = self.all.iter().filter(|(_, member)| member.is_closed()).map(|(id, _)| *id).collect();
        let left = ended.iter().filter_map(|id| self.all.remove(id)).collect();
        self.look_at = self.all.len() * 2;
        left
    }
}

impl fmt::Debug for WebSocketCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketCollection").field("members", &self.lock().all.len()).finish()
    }
}
