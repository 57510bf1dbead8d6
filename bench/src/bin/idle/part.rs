//! The processes, and what the program asks of them.

use std::{
    fmt,
    io::{self, BufRead, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use common::Outcome;
use futures::future::try_join_all;
use tokio::task::spawn_blocking;

use crate::memory::Memory;

/// Connections that a client opens at a time.
const AT_A_TIME: usize = 50;

/// A server or a client in a process of its own. It answers each line of its input with one line, and ends when its
/// input ends.
pub(crate) struct Part {
    child: Child,
    input: ChildStdin,
    output: io::BufReader<ChildStdout>,
}

impl Part {
    /// Starts this program with these arguments.
    pub(crate) fn start(args: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err("the process has no pipes".into()) };
        Ok(Self { child, input, output: io::BufReader::new(output) })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a server or a client has ended early".into());
        }
        Ok(line.trim().to_owned())
    }

    /// Has it open more connections, and waits until they are open.
    pub(crate) fn open(&mut self, connections: usize) -> Outcome<()> {
        writeln!(self.input, "{connections}")?;
        self.line().map(drop)
    }

    /// What it holds now.
    pub(crate) fn memory(&mut self) -> Outcome<Memory> {
        writeln!(self.input, "memory")?;
        self.line()?.parse()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other end of a [`Part`]: what the program asks of this process.
pub(crate) struct Questions;

impl Questions {
    /// Answers, as a server, until the end.
    pub(crate) async fn until_end(self) -> Outcome<()> {
        self.next().await.map(drop)
    }

    /// Answers, as a client, until the end, and holds what `open` opens.
    pub(crate) async fn hold<T, F>(self, open: impl Fn() -> F) -> Outcome<()>
    where
        F: Future<Output = Outcome<T>>,
    {
        let mut held = Vec::new();
        while let Some(more) = self.next().await? {
            let wanted = held.len() + more;
            while held.len() < wanted {
                let count = AT_A_TIME.min(wanted - held.len());
                held.extend(try_join_all((0..count).map(|_| open())).await?);
            }
            say("opened")?;
        }
        Ok(())
    }

    /// Says what this process holds, as often as that is asked. Returns how many connections are to be opened, or
    /// `None` at the end.
    async fn next(&self) -> Outcome<Option<usize>> {
        loop {
            match spawn_blocking(|| io::stdin().lines().next().transpose()).await?? {
                None => return Ok(None),
                Some(line) if line == "memory" => say(Memory::now()?)?,
                Some(line) => return Ok(Some(line.parse()?)),
            }
        }
    }
}

fn say(line: impl fmt::Display) -> Outcome<()> {
    println!("{line}");
    Ok(io::stdout().flush()?)
}
