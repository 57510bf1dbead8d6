//! The server's process: one peer, and beside it a socket that tells what the process has used.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use common::Outcome;

use crate::counters::{Counters, count_allocations};

/// Where a server says that it is ready.
#[derive(Debug)]
pub(crate) struct Door {
    control: SocketAddr,
}

impl Door {
    /// Begins to answer the [`Control`] of the client's process, in a thread of its own.
    pub(crate) fn new() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let control = listener.local_addr()?;
        std::thread::spawn(move || {
            let answered = listener.accept().map_err(Into::into).and_then(|(socket, _)| answer(socket));
            if let Err(error) = &answered {
                eprintln!("the control connection failed: {error}");
            }
            // The client has ended, and no other one comes: the server does not outlive a driver that was killed.
            std::process::exit(i32::from(answered.is_err()));
        });
        Ok(Self { control })
    }

    /// The server listens there.
    pub(crate) fn open(self, addr: SocketAddr) -> Outcome<()> {
        println!("{addr} {}", self.control);
        std::io::stdout().flush()?;
        Ok(())
    }
}

fn answer(mut socket: TcpStream) -> Outcome<()> {
    socket.set_nodelay(true)?;
    let mut requests = BufReader::new(socket.try_clone()?).lines();
    while let Some(request) = requests.next().transpose()? {
        match request.as_str() {
            "count" => count_allocations(true),
            "stop" => count_allocations(false),
            _ => {}
        }
        let mut answer = serde_json::to_vec(&Counters::read()?)?;
        answer.push(b'\n');
        socket.write_all(&answer)?;
    }
    Ok(())
}

/// What the client's process asks of the server's. Each method blocks its thread for a moment, so it is called between
/// measurements only.
#[derive(Debug)]
pub(crate) struct Control {
    answers: BufReader<TcpStream>,
}

impl Control {
    pub(crate) fn connect(addr: SocketAddr) -> Outcome<Self> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        Ok(Self { answers: BufReader::new(socket) })
    }

    /// What the server has used so far.
    pub(crate) fn read(&mut self) -> Outcome<Counters> {
        self.ask("read")
    }

    /// Counts allocations in both processes, or stops.
    pub(crate) fn count_allocations(&mut self, on: bool) -> Outcome<()> {
        count_allocations(on);
        self.ask(if on { "count" } else { "stop" })?;
        Ok(())
    }

    fn ask(&mut self, request: &str) -> Outcome<Counters> {
        self.answers.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }
}
