//! The server's side: rooms, their members and what was said in them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chat_contract::{Chat, ChatError, ChatEventsClient, Joined, Post, Tally};
use futures::future::join_all;
use rpc_server::{CallOptions, Context, SessionId};

/// The question that a client must answer with yes before it may join.
pub(crate) const RULES: &str = "House rules: be kind. Accepted?";
/// The time in which a member may vote.
const VOTE: Duration = Duration::from_secs(2);

/// The house with its rooms. Cheap to clone; clones are the same house.
#[derive(Clone, Debug, Default)]
pub struct ChatHouse {
    rooms: Arc<Mutex<BTreeMap<String, Room>>>,
}

#[derive(Debug, Default)]
struct Room {
    members: Vec<Member>,
    posts: Vec<Post>,
}

#[derive(Clone, Debug)]
struct Member {
    name: String,
    session: SessionId,
    events: ChatEventsClient,
}

impl ChatHouse {
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self, room: &str) -> Vec<Member> {
        self.rooms().get(room).map_or_else(Vec::new, |room| room.members.clone())
    }

    /// The name under which the caller is in the room.
    fn name_of(&self, session: SessionId, room: &str) -> Result<String, ChatError> {
        let members = self.members(room).into_iter();
        let member = members.into_iter().find(|member| member.session == session);
        member.map(|member| member.name).ok_or_else(|| ChatError::NotAMember(room.to_owned()))
    }

    /// Removes a member whose session has ended, and tells the other members.
    async fn forget(&self, room: String, session: SessionId) {
        let name = {
            let mut rooms = self.rooms();
            let Some(members) = rooms.get_mut(&room).map(|room| &mut room.members) else { return };
            let Some(position) = members.iter().position(|member| member.session == session) else { return };
            members.remove(position).name
        };
        let others = self.members(&room);
        // A member that has left meanwhile need not be told.
        join_all(others.iter().map(|member| member.events.left(&room, &name))).await;
    }
}

impl Chat for ChatHouse {
    async fn join(&self, cx: &Context<ChatEventsClient>, room: &str, name: &str) -> Result<Joined, ChatError> {
        if !cx.peer().confirm(RULES).await? {
            return Err(ChatError::Declined);
        }
        let joined = {
            let mut rooms = self.rooms();
            let room = rooms.entry(room.to_owned()).or_default();
            if room.members.iter().any(|member| member.name == name) {
                return Err(ChatError::NameTaken(name.to_owned()));
            }
            let others = room.members.iter().map(|member| member.name.clone()).collect();
            let member = Member { name: name.to_owned(), session: cx.session_id(), events: cx.peer().clone() };
            room.members.push(member);
            Joined { others, history: room.posts.clone() }
        };
        let (house, session, room) = (self.clone(), cx.session(), room.to_owned());
        tokio::spawn(async move {
            session.closed().await;
            house.forget(room, session.id()).await;
        });
        Ok(joined)
    }

    async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<u64, ChatError> {
        let author = self.name_of(cx.session_id(), room)?;
        let (post, members) = {
            let mut rooms = self.rooms();
            let Some(room) = rooms.get_mut(room) else { return Err(ChatError::NotAMember(room.to_owned())) };
            let post = Post { number: room.posts.len() as u64 + 1, author, text: text.to_owned() };
            room.posts.push(post.clone());
            (post, room.members.clone())
        };
        // These calls are one-way, so each is done when it is in the outbox. A failed call to a member who has just
        // left does not stop the other calls.
        join_all(members.iter().map(|member| member.events.posted(room, &post))).await;
        Ok(post.number)
    }

    async fn vote(&self, cx: &Context<ChatEventsClient>, room: &str, question: &str) -> Result<Tally, ChatError> {
        self.name_of(cx.session_id(), room)?;
        let members = self.members(room);
        let options = CallOptions::new().timeout(VOTE);
        let answers = members.iter().map(|member| {
            let events = member.events.with(options.clone());
            async move { events.confirm(question).await }
        });
        let mut tally = Tally::default();
        for answer in join_all(answers).await {
            match answer {
                Ok(true) => tally.yes += 1,
                Ok(false) => tally.no += 1,
                Err(_) => tally.silent += 1,
            }
        }
        Ok(tally)
    }

    async fn who(&self, room: &str) -> Vec<String> {
        self.members(room).into_iter().map(|member| member.name).collect()
    }

    async fn history(&self, room: &str) -> Vec<Post> {
        self.rooms().get(room).map_or_else(Vec::new, |room| room.posts.clone())
    }
}
