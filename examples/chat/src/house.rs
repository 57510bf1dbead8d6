//! The server's side: rooms, which are groups, and what was said in them.

use std::{collections::BTreeMap, time::Duration};

use chat_contract::{Chat, ChatError, ChatEventsClient, Joined, Post, Tally};
use futures::StreamExt;
use rpc_server::{CallOptions, Context, Group, Groups, Server, ServerBuilder, Session, SessionId, Status};
use tokio::sync::Mutex;

/// The question that a client must answer with yes before it may join.
pub(crate) const RULES: &str = "House rules: be kind. Accepted?";
/// The time in which a member may vote.
const VOTE: Duration = Duration::from_secs(2);

/// The house with its rooms.
#[derive(Debug)]
pub struct ChatHouse {
    groups: Groups,
    /// What was said in each room. While this is locked, nothing is said anywhere and no member joins, so that members
    /// hear the posts in their order, and newcomers those that their history lacks.
    posts: Mutex<BTreeMap<String, Vec<Post>>>,
}

/// A room. The note of each member is its name.
type Room = Group<ChatEventsClient>;

impl ChatHouse {
    /// A server with a house without members.
    pub fn server() -> ServerBuilder {
        let builder = Server::builder();
        let house = Self { groups: builder.groups(), posts: Mutex::default() };
        builder.service(house.serve())
    }

    fn room(&self, name: &str) -> Room {
        self.groups.get(name)
    }
}

/// The names of the members, in the order of their sessions.
fn names(room: &Room) -> Vec<String> {
    room.members().iter().filter_map(|member| member.note::<String>()).map(|name| name.to_string()).collect()
}

/// The name under which the caller is in the room.
fn name_of(session: SessionId, room: &Room) -> Result<String, ChatError> {
    let member = room.members().into_iter().find(|member| member.id() == session);
    let name = member.and_then(|member| member.note::<String>());
    name.map(|name| name.to_string()).ok_or_else(|| ChatError::NotAMember(room.name().name().to_owned()))
}

/// Waits until the session has ended, and tells those who are still in the room.
async fn say_goodbye(room: Room, session: Session, name: String) {
    session.closed().await;
    room.leave(&session);
    // This fails if the name does not serialize only.
    let _ = room.all().left(room.name().name(), &name).await;
}

impl Chat for ChatHouse {
    async fn join(&self, cx: &Context<ChatEventsClient>, room: &str, name: &str) -> Result<Joined, ChatError> {
        if !cx.peer().confirm(RULES).await? {
            return Err(ChatError::Declined);
        }
        let (posts, members) = (self.posts.lock().await, self.room(room));
        let others = names(&members);
        if others.iter().any(|other| other == name) {
            return Err(ChatError::NameTaken(name.to_owned()));
        }
        members.join_with(&cx.session(), name.to_owned()).map_err(Status::from)?;
        tokio::spawn(say_goodbye(members, cx.session(), name.to_owned()));
        Ok(Joined { others, history: posts.get(room).cloned().unwrap_or_default() })
    }

    async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<u64, ChatError> {
        let members = self.room(room);
        let author = name_of(cx.session_id(), &members)?;
        let mut posts = self.posts.lock().await;
        let posts = posts.entry(room.to_owned()).or_default();
        let post = Post { number: posts.len() as u64 + 1, author, text: text.to_owned() };
        posts.push(post.clone());
        // This waits for no member.
        members.all().posted(room, &post).await?;
        Ok(post.number)
    }

    async fn vote(&self, cx: &Context<ChatEventsClient>, room: &str, question: &str) -> Result<Tally, ChatError> {
        let members = self.room(room);
        name_of(cx.session_id(), &members)?;
        let mut answers = members.all().with(CallOptions::new().timeout(VOTE)).confirm(question);
        let mut tally = Tally::default();
        while let Some((_, answer)) = answers.next().await {
            match answer {
                Ok(true) => tally.yes += 1,
                Ok(false) => tally.no += 1,
                Err(_) => tally.silent += 1,
            }
        }
        Ok(tally)
    }

    async fn who(&self, room: &str) -> Vec<String> {
        names(&self.room(room))
    }

    async fn history(&self, room: &str) -> Vec<Post> {
        self.posts.lock().await.get(room).cloned().unwrap_or_default()
    }
}
