//! The demo: a server and three members over real WebSockets, with a transcript of what they say.

use std::{
    error::Error,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cable::Cable;
use chat_contract::{ChatClient, ChatError, ChatEvents};
use rpc_client::{CallError, Config, Connect, Reconnect};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    house::{ChatHouse, RULES},
    member::{Ears, Heard},
};

const ROOM: &str = "lobby";

/// The answers of each member to the house's questions, in order.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Ada: first the house rules, then the votes.
    pub ada: Vec<bool>,
    /// Ben.
    pub ben: Vec<bool>,
    /// Cleo.
    pub cleo: Vec<bool>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { ada: vec![true, true], ben: vec![true, false], cleo: vec![false, true, true] }
    }
}

struct Member {
    name: &'static str,
    chat: ChatClient,
    heard: UnboundedReceiver<Heard>,
    /// Whether the member has joined, and joins again in each new session.
    is_in: Arc<AtomicBool>,
    /// The number of the last post that the member has heard.
    last: u64,
}

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs the demo and writes the transcript.
pub async fn demo(answers: Answers, out: &mut (impl Write + Send)) -> Outcome {
    let house = ChatHouse::server().config(keeping_places()?).resume_anonymous(true);
    let server = house.listen("127.0.0.1:0").await?;
    let addr = server.local_addr();
    writeln!(out, "The house is open. It asks everybody: \"{RULES}\"\n")?;

    let mut ada = connect("Ada", addr, answers.ada).await?;
    let cable = Cable::new(addr).await?;
    let mut ben = connect("Ben", cable.addr(), answers.ben).await?;
    let mut cleo = connect("Cleo", addr, answers.cleo).await?;

    for member in [&mut ada, &mut ben, &mut cleo] {
        join(member, out).await?;
    }
    // A member who declined may change their mind, and is asked again.
    for member in [&mut ada, &mut ben, &mut cleo] {
        if !member.chat.who(ROOM).await?.iter().any(|name| name == member.name) {
            writeln!(out, "{} thinks again.", member.name)?;
            join(member, out).await?;
        }
    }

    writeln!(out)?;
    say(&ada.chat, "Hello, everybody!").await?;
    hear(&mut [&mut ada, &mut ben, &mut cleo], out).await?;
    say(&ben.chat, "Hello, Ada. Lunch?").await?;
    hear(&mut [&mut ada, &mut ben, &mut cleo], out).await?;

    writeln!(out, "\nAda asks the room: \"Lunch at noon?\"")?;
    let tally = ada.chat.vote(ROOM, "Lunch at noon?").await?;
    hear(&mut [&mut ada, &mut ben, &mut cleo], out).await?;
    writeln!(out, "  The house counts {} yes, {} no, {} silent.", tally.yes, tally.no, tally.silent)?;

    writeln!(out, "\nBen's cable is pulled for a moment. The house keeps his place.")?;
    cable.pull();
    say(&ada.chat, "Who knows a place?").await?;
    hear(&mut [&mut ada, &mut cleo], out).await?;
    writeln!(out, "  In the room now: {}", ada.chat.who(ROOM).await?.join(", "))?;
    cable.plug_in();
    // His session goes on where it was.
    hear(&mut [&mut ben], out).await?;
    say(&ben.chat, "I do.").await?;
    hear(&mut [&mut ada, &mut ben, &mut cleo], out).await?;

    writeln!(out, "\nBen's cable is pulled, and he stays away for longer than the house keeps his place.")?;
    cable.pull();
    hear(&mut [&mut ada, &mut cleo], out).await?;
    writeln!(out, "  In the room now: {}", ada.chat.who(ROOM).await?.join(", "))?;

    say(&cleo.chat, "Poor Ben.").await?;
    hear(&mut [&mut ada, &mut cleo], out).await?;

    writeln!(out, "\nBen's cable is plugged in. His client connects again by itself, and joins.")?;
    cable.plug_in();
    // The house asks in each session.
    hear(&mut [&mut ben], out).await?;
    // This waits for the new session.
    let history = ben.chat.history(ROOM).await?;
    for post in history.iter().filter(|post| post.number > ben.last) {
        writeln!(out, "  Ben reads what he has missed. {}: {}", post.author, post.text)?;
    }
    writeln!(out, "  In the room now: {}", ben.chat.who(ROOM).await?.join(", "))?;

    writeln!(out, "\nWhat was said:")?;
    for post in cleo.chat.history(ROOM).await? {
        writeln!(out, "  {}. {}: {}", post.number, post.author, post.text)?;
    }

    server.shutdown().await;
    let reason = ada.chat_closed().await;
    writeln!(out, "\nThe house closes. Ada's session ended: {reason}")?;
    Ok(())
}

/// The time for which the house keeps the place of a member whose link is lost. A real house keeps it for longer.
const PLACE_KEPT: Duration = Duration::from_secs(4);

fn keeping_places() -> Outcome<Config> {
    Ok(Config::builder().resume_window(PLACE_KEPT).build()?)
}

impl Member {
    async fn chat_closed(&self) -> String {
        use rpc_client::Stub;
        self.chat.session().closed().await.to_string()
    }
}

async fn connect(name: &'static str, addr: SocketAddr, answers: Vec<bool>) -> Outcome<Member> {
    let (ears, heard) = Ears::new(answers);
    let is_in = Arc::<AtomicBool>::default();
    let was_in = is_in.clone();
    let chat = ChatClient::connect(format!("ws://{addr}/"))
        .callback(ears.serve())
        .config(keeping_places()?)
        .reconnect(Reconnect::default().initial_delay(Duration::from_millis(50)))
        .on_session(move |session| {
            let was_in = was_in.load(Ordering::Relaxed);
            async move {
                if was_in {
                    session.client::<ChatClient>().join(ROOM, name).await?;
                }
                Ok(())
            }
        })
        .await?;
    Ok(Member { name, chat, heard, is_in, last: 0 })
}

async fn join(member: &mut Member, out: &mut impl Write) -> Outcome {
    let joined = member.chat.join(ROOM, member.name).await;
    // The answer was given before the house decided.
    let answer = match member.heard.try_recv()? {
        Heard::Asked(_, true) => "yes",
        Heard::Asked(_, false) => "no",
        other => return Err(format!("{} heard {other:?} instead of the question", member.name).into()),
    };
    write!(out, "{} answers {answer}", member.name)?;
    member.is_in.store(joined.is_ok(), Ordering::Relaxed);
    match joined {
        Ok(joined) if joined.others.is_empty() => writeln!(out, " and is in, first of all.")?,
        Ok(joined) => writeln!(out, " and is in, with {}.", joined.others.join(" and "))?,
        Err(CallError::Fault(fault @ ChatError::Declined)) => writeln!(out, " and stays outside: {fault}.")?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn say(chat: &ChatClient, text: &str) -> Outcome {
    chat.post(ROOM, text).await?;
    Ok(())
}

/// Waits until each member has heard one thing more.
async fn hear(members: &mut [&mut Member], out: &mut impl Write) -> Outcome {
    for member in members.iter_mut() {
        let name = member.name;
        match member.heard.recv().await.ok_or("the member is gone")? {
            Heard::Posted(post) => {
                member.last = post.number;
                writeln!(out, "  {name} hears {}: {}", post.author, post.text)?;
            }
            Heard::Left(who) => writeln!(out, "  {name} hears that {who} is gone.")?,
            Heard::Asked(_, answer) => writeln!(out, "  {name} answers {}.", if answer { "yes" } else { "no" })?,
        }
    }
    Ok(())
}
