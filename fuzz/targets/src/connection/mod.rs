//! Connections: any program of packets, time, calls, streams and lost links runs without a panic, within the bounds,
//! and leaves nothing behind.
//!
//! The first bytes choose the role, the settings and the handshake. Then each step takes a byte, and what it needs. The
//! other end of the connection is the program too, so it keeps the rules as long as the program likes.

mod link;
mod peer;
mod polite;
mod shell;

use std::time::{Duration, Instant};

use rpc_core::{
    __internals::proto::{Connection, ConnectionStats, Resumability},
    Config, ConnectionError,
};

use self::{link::open, peer::Peer, shell::Shell};
use crate::source::Source;

/// A program has at most this many steps, which take a few milliseconds.
const MAX_STEPS: usize = 400;

/// A program holds less than this in packets that it writes itself.
const SLACK: usize = 256 << 10;

/// What the program has chosen before the first step.
struct Setup {
    config: Config,
    is_client: bool,
    resumability: Option<Resumability>,
}

/// A connection in use.
struct World {
    setup: Setup,
    now: Instant,
    connection: Connection,
    shell: Shell,
    peer: Peer,
    /// Bytes that have come and gone over the link, as its transport counts them.
    moved: u64,
}

/// Runs a program.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let setup = Setup::choose(&mut source);
    let now = Instant::now();
    let Some((connection, peer)) = open(&setup, now, &mut source) else { return };
    let mut world = World { setup, now, connection, shell: Shell::default(), peer, moved: 0 };
    for _ in 0..MAX_STEPS {
        if source.is_empty() {
            break;
        }
        world.step(&mut source);
        world.check();
    }
    world.end();
}

impl Setup {
    fn choose(source: &mut Source<'_>) -> Self {
        let choices = source.byte();
        let is = |bit: u8| choices & (1 << bit) != 0;
        let config = if is(2) { least() } else { Ok(Config::default()) };
        let Ok(config) = config else { panic!("the settings work") };
        let resumability =
            Resumability { window: Duration::from_secs(20), replay_buffer: if is(3) { 1 } else { 64 << 10 } };
        Self { config, is_client: is(0), resumability: is(1).then_some(resumability) }
    }
}

/// Settings that short programs exceed.
fn least() -> Result<Config, rpc_core::ConfigError> {
    Config::builder()
        .max_calls(2)
        .nested_calls(1)
        .max_oneway_calls(2)
        .max_depth(2)
        .max_streams(4)
        .max_payload(40_000)
        .max_assembly(60_000)
        .max_arguments(60_000)
        .chunk(256)
        .stream_items(2)
        .stream_window(500)
        .max_stream_window(2000)
        .streams_window(3000)
        .unacked_bulk(128 << 10)
        .max_unacked_bulk(128 << 10)
        .session_memory(1 << 20)
        .outbox_soft(32 << 10)
        .outbox_hard(64 << 10)
        .build()
}

impl World {
    fn step(&mut self, source: &mut Source<'_>) {
        let has_room = self.has_room();
        let (connection, now) = (&mut self.connection, self.now);
        match source.below(32) {
            choice @ 0..6 => {
                let packet = self.peer.packet(choice > 0, source);
                self.hear(packet);
            }
            6 => {
                let packet = self.peer.packet_apart(source);
                self.hear(packet);
            }
            7 => {
                let packet = self.peer.packet_of_bytes(source);
                self.hear(packet);
            }
            8 => {
                let packet = self.peer.packet_out_of_order(source);
                self.hear(packet);
            }
            9 | 10 => self.shell.settle(connection),
            11..14 if has_room => self.shell.call(connection, now, source),
            14 => self.shell.cancel(connection, source),
            15..18 if has_room => self.shell.complete(connection, source),
            18 | 19 if has_room => self.shell.produce(connection, now, source),
            20 | 21 => self.shell.read(connection, source),
            22..25 => self.transmit(1 + source.below(8)),
            25 | 26 => self.pass(source),
            27 => self.move_bytes(source),
            28 => self.lose(source),
            29 => self.resume(source),
            30 => self.command(source),
            _ => {}
        }
    }

    /// A shell reserves room before anything waits to be sent.
    fn has_room(&self) -> bool {
        self.connection.stats().outbox_bytes < self.setup.config.outbox_soft()
    }

    fn hear(&mut self, packet: bytes::Bytes) {
        self.moved += packet.len() as u64;
        self.connection.handle_activity(self.now, self.moved, false);
        self.connection.handle_packet(self.now, packet);
    }

    /// Some packets go out.
    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            // Before the handshake is done, these are the limits of this end.
            let limit = self.connection.peer_limits().packet.max(link::HANDSHAKE);
            let Some(packet) = self.connection.poll_transmit(self.now) else { break };
            self.moved += packet.len() as u64;
            self.peer.hear(packet, limit);
        }
        self.connection.handle_write(self.now, false, self.moved);
    }

    /// Time passes: a while, or until something is due.
    fn pass(&mut self, source: &mut Source<'_>) {
        match source.byte() {
            ms @ 0..200 => self.now += Duration::from_millis(u64::from(ms) * 5),
            200..240 => self.now = self.connection.poll_timeout().map_or(self.now, |due| due.max(self.now)),
            seconds => self.now += Duration::from_secs(u64::from(seconds - 239)),
        }
        self.connection.handle_timeout(self.now);
    }

    /// What the transport tells of itself.
    fn move_bytes(&mut self, source: &mut Source<'_>) {
        let (connection, now) = (&mut self.connection, self.now);
        match source.below(5) {
            0 => {
                self.moved += source.number() & 0xffff;
                connection.handle_activity(now, self.moved, source.flag());
            }
            1 => connection.handle_write(now, source.flag(), self.moved),
            2 => {
                connection.handle_controls(now, source.number());
            }
            3 => connection.woke(now),
            _ => connection.handle_round(source.flag()),
        }
    }

    fn lose(&mut self, source: &mut Source<'_>) {
        let error = match source.below(4) {
            0..3 => ConnectionError::Lost("cut".to_owned()),
            _ => ConnectionError::ClosedByPeer { code: rpc_core::CloseCode(1000), reason: "".into() },
        };
        self.connection.handle_lost(self.now, error);
    }

    /// What applications do with a session, apart from calls.
    fn command(&mut self, source: &mut Source<'_>) {
        let (connection, now) = (&mut self.connection, self.now);
        match source.below(11) {
            0 => connection.drain(now, "the program ends"),
            1 => connection.drain_held(now, "the program ends"),
            2 => connection.release(),
            3 => connection.close(),
            4 => connection.shut_down(),
            5 => connection.forget(),
            6 => {
                connection.give_up_links();
            }
            7 => connection.expire_at(source.flag().then(|| now + Duration::from_secs(3))),
            8 => connection.ask_back_in(Duration::from_secs(1)),
            9 => {
                connection.trim_memory();
            }
            _ => {
                connection.kept();
            }
        }
    }

    /// What must be true at any time.
    fn check(&self) {
        #[cfg(fuzzing)]
        self.connection.check();
        let (stats, config) = (self.connection.stats(), &self.setup.config);
        if !self.connection.is_open() {
            return;
        }
        assert!(stats.memory_held <= config.session_memory() + SLACK, "{stats:?}");
        assert!(stats.outbox_bytes <= config.outbox_hard() + SLACK, "{stats:?}");
        assert!(stats.assembly_bytes <= config.max_assembly(), "{stats:?}");
    }

    /// The session ends, and so do all who use it. Nothing is left then.
    fn end(mut self) {
        self.connection.close();
        self.shell.settle(&mut self.connection);
        assert!(self.shell.is_closed && self.connection.ended().is_some());
        self.run_down();
        self.connection.handle_lost(self.now, ConnectionError::Lost("the socket is closed".to_owned()));
        self.connection.give_up_links();
        self.connection.discard_output();
        self.shell.end(&mut self.connection, self.now);
        assert!(self.connection.is_over());
        assert_eq!(self.connection.stats(), ConnectionStats::default());
    }

    /// Writes all that goes, and lets time pass as long as a driver closes a session.
    fn run_down(&mut self) {
        let until = self.now + self.connection.linger() + self.setup.config.close_timeout();
        for _ in 0..100 {
            self.transmit(usize::MAX);
            match self.connection.poll_timeout() {
                Some(due) if due <= until => self.now = self.now.max(due),
                _ => return,
            }
            self.connection.handle_timeout(self.now);
        }
        panic!("time stands still: {:?}", self.connection);
    }
}
