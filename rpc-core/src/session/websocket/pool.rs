//! What the connections of a thread lend each other: states of the WebSocket library, and buffers to read into.
//!
//! A connection that has nothing under way needs neither. So a thread keeps a few of both for the connections that have
//! something to do, and idle connections cost no buffers. What has not been lent for a while is freed.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// The bytes that are read from a stream at once.
pub(super) const READ: usize = 32 * 1024;
/// The number of states of one role, and of buffers, that a thread keeps.
const MOST_KEPT: usize = 4;
/// States with a longer read buffer are not kept.
const LONGEST_KEPT: usize = 64 * 1024;
/// What has not been lent in a period is freed after it.
const PERIOD: Duration = Duration::from_secs(5);

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

struct Pool {
    servers: Vec<Kept<State>>,
    clients: Vec<Kept<State>>,
    buffers: Vec<Kept<Box<[u8]>>>,
    /// The number of the current period, and when it began.
    period: u64,
    began: Option<Instant>,
}

struct Kept<T> {
    entry: T,
    /// The period in which the entry came back.
    period: u64,
}

impl Pool {
    const fn new() -> Self {
        Self { servers: Vec::new(), clients: Vec::new(), buffers: Vec::new(), period: 0, began: None }
    }

    fn states(&mut self, role: Role) -> &mut Vec<Kept<State>> {
        match role {
            Role::Server => &mut self.servers,
            Role::Client => &mut self.clients,
        }
    }

    fn end_period(&mut self) {
        let over = self.period;
        self.servers.retain(|kept| kept.period == over);
        self.clients.retain(|kept| kept.period == over);
        self.buffers.retain(|kept| kept.period == over);
        self.period += 1;
    }
}

/// The library's state of one WebSocket.
#[derive(Debug)]
pub(super) struct State {
    pub(super) library: Box<WebSocketContext>,
    /// Whether its buffers have grown. A short message keeps the buffer that it was read into, so only connections with
    /// long messages get a state that has grown.
    pub(super) has_grown: bool,
}

/// A state that is as good as new, with these settings.
pub(super) fn state(role: Role, settings: &WebSocketConfig, may_have_grown: bool) -> State {
    // The length of the read buffer is the one setting that cannot change.
    let fits = |Kept { entry: state, .. }: &Kept<State>| {
        state.library.get_config().read_buffer_size == settings.read_buffer_size && state.has_grown == may_have_grown
    };
    let kept = with(|pool| {
        let states = pool.states(role);
        states.iter().rposition(fits).map(|index| states.swap_remove(index).entry)
    });
    match kept.flatten() {
        Some(mut state) => {
            state.library.set_config(|own| *own = *settings);
            state
        }
        None => State { library: Box::new(WebSocketContext::new(role, Some(*settings))), has_grown: false },
    }
}

/// Keeps a state for the next connection. The state must be as good as new.
pub(super) fn keep_state(role: Role, state: State) {
    #[cfg(test)]
    assert_as_new(role, &state.library);
    if state.library.get_config().read_buffer_size <= LONGEST_KEPT {
        with(|pool| {
            let period = pool.period;
            keep(pool.states(role), state, period);
        });
    }
}

/// A buffer of `READ` bytes of any value.
pub(super) fn buffer() -> Box<[u8]> {
    with(|pool| pool.buffers.pop()).flatten().map_or_else(|| vec![0; READ].into(), |kept| kept.entry)
}

/// Keeps a buffer for the next read.
pub(super) fn keep_buffer(buffer: Box<[u8]>) {
    if buffer.len() == READ {
        with(|pool| keep(&mut pool.buffers, buffer, pool.period));
    }
}

/// Frees what this thread has not lent for a period. Each session that trims its memory calls it.
pub(in crate::session) fn age(now: Instant) {
    with(|pool| {
        if pool.began.is_none_or(|began| now.saturating_duration_since(began) >= PERIOD) {
            pool.end_period();
            pool.began = Some(now);
        }
    });
}

/// The oldest entry goes, so that the kept ones fit the connections of today.
fn keep<T>(entries: &mut Vec<Kept<T>>, entry: T, period: u64) {
    if entries.len() >= MOST_KEPT {
        entries.remove(0);
    }
    entries.push(Kept { entry, period });
}

/// `None` where a thread that ends has given its pool up already.
fn with<T>(act: impl FnOnce(&mut Pool) -> T) -> Option<T> {
    POOL.try_with(|pool| act(&mut pool.borrow_mut())).ok()
}

/// How many states of servers, states of clients and buffers this thread keeps.
#[cfg(test)]
pub(super) fn counts() -> [usize; 3] {
    with(|pool| [pool.servers.len(), pool.clients.len(), pool.buffers.len()]).expect("the thread lives")
}

/// What the library shows of a state has all of it but the room in its buffers.
#[cfg(test)]
fn assert_as_new(role: Role, state: &WebSocketContext) {
    let new = WebSocketContext::new(role, Some(*state.get_config()));
    assert_eq!(format!("{state:?}"), format!("{new:?}"), "a kept state is as good as new");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(read_buffer: usize) -> WebSocketConfig {
        WebSocketConfig::default().read_buffer_size(read_buffer)
    }

    fn take(role: Role, read_buffer: usize) -> State {
        state(role, &settings(read_buffer), false)
    }

    fn fill(role: Role, read_buffer: usize, count: usize) {
        for state in (0..count).map(|_| take(role, read_buffer)).collect::<Vec<_>>() {
            keep_state(role, state);
        }
    }

    #[test]
    fn a_thread_keeps_four_of_each_kind() {
        for _ in 0..2 {
            fill(Role::Server, 1024, 10);
            fill(Role::Client, 1024, 10);
            (0..10).map(|_| buffer()).collect::<Vec<_>>().into_iter().for_each(keep_buffer);
            assert_eq!(counts(), [4, 4, 4]);
        }
        let _taken = (take(Role::Client, 1024), buffer());
        assert_eq!(counts(), [4, 3, 3]);
        std::thread::spawn(|| assert_eq!(counts(), [0, 0, 0])).join().unwrap();
    }

    #[test]
    fn what_is_not_lent_for_a_period_is_freed() {
        let begin = Instant::now();
        fill(Role::Server, 1024, 4);
        (0..4).map(|_| buffer()).collect::<Vec<_>>().into_iter().for_each(keep_buffer);
        age(begin);
        assert_eq!(counts(), [4, 0, 4], "they came back in the period that is over");
        fill(Role::Server, 1024, 1);
        (0..2).map(|_| buffer()).collect::<Vec<_>>().into_iter().for_each(keep_buffer);
        age(begin + PERIOD / 2);
        assert_eq!(counts(), [4, 0, 4], "the period is not over");
        age(begin + PERIOD);
        assert_eq!(counts(), [1, 0, 2]);
        age(begin + 2 * PERIOD);
        assert_eq!(counts(), [0, 0, 0]);
    }

    #[test]
    fn only_a_state_with_the_same_read_buffer_fits() {
        fill(Role::Server, 1024, 1);
        let longer = take(Role::Server, 4096);
        assert_eq!(counts(), [1, 0, 0]);
        assert_eq!(longer.library.get_config().read_buffer_size, 4096);
        fill(Role::Server, 4096, 4);
        assert_eq!(counts(), [4, 0, 0], "the oldest went");
        let _another = take(Role::Server, 1024);
        assert_eq!(counts(), [4, 0, 0]);
        fill(Role::Client, LONGEST_KEPT + 1, 1);
        assert_eq!(counts(), [4, 0, 0]);
    }

    #[test]
    fn a_state_that_has_grown_is_for_connections_with_long_messages() {
        let mut grown = take(Role::Server, 1024);
        grown.has_grown = true;
        keep_state(Role::Server, grown);
        assert!(!take(Role::Server, 1024).has_grown);
        assert_eq!(counts(), [1, 0, 0]);
        assert!(state(Role::Server, &settings(1024), true).has_grown);
        assert_eq!(counts(), [0, 0, 0]);
    }

    #[test]
    fn a_kept_state_gets_the_settings_of_its_next_connection() {
        fill(Role::Server, 1024, 1);
        let settings = settings(1024).max_frame_size(Some(7)).max_write_buffer_size(1 << 20).write_buffer_size(9);
        let State { library, .. } = state(Role::Server, &settings, false);
        assert_eq!(counts(), [0, 0, 0]);
        assert_eq!(format!("{library:?}"), format!("{:?}", WebSocketContext::new(Role::Server, Some(settings))));
    }

    #[test]
    #[should_panic(expected = "as good as new")]
    fn a_state_in_which_something_is_left_is_found() {
        let library = Box::new(WebSocketContext::from_partially_read(vec![0x82], Role::Server, None));
        keep_state(Role::Server, State { library, has_grown: false });
    }
}
