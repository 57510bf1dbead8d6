//! Tests of what a session needs to outlive its link.

use super::*;

fn closed(code: CloseCode) -> ConnectionError {
    ConnectionError::ClosedByPeer { code, reason: "".into() }
}

fn granted() -> Resumption {
    let mut resumption = Resumption::default();
    resumption.ask(&Resumability { window: Duration::from_secs(1), replay_buffer: 1 << 20 }, &[]);
    assert!(!resumption.is_granted());
    resumption.grant(u64::MAX);
    assert_eq!(resumption.window(), Duration::from_secs(1));
    resumption
}

#[test]
fn a_session_that_ends_with_its_link_pays_for_a_pointer() {
    assert_eq!(size_of::<Resumption>(), size_of::<usize>());
    assert!(size_of::<Links>() <= 144, "{}", size_of::<Links>());
}

#[test]
fn only_some_codes_end_a_session_that_can_be_resumed() {
    let ends = |role| {
        let codes = (1000..1016).chain(4400..4420).map(CloseCode);
        codes.filter(|code| !is_link_lost(&closed(*code), role)).map(|code| code.0).collect::<Vec<_>>()
    };
    assert_eq!(ends(Role::Client), [1002, 1003, 1007, 1008, 1009, 4400, 4409, 4410]);
    assert_eq!(ends(Role::Server), [1001, 1002, 1003, 1007, 1008, 1009, 4400, 4409, 4410]);
}

#[test]
fn a_time_limit_of_the_link_ends_it_alone() {
    let timed_out = |limit| ConnectionError::TimedOut(Timeout::new(limit, Duration::from_secs(1)));
    for limit in [TimeLimit::Keepalive, TimeLimit::Write, TimeLimit::Message, TimeLimit::Payloads] {
        assert!(is_link_lost(&timed_out(limit), Role::Server), "{limit:?}");
    }
    assert!(is_link_lost(&ConnectionError::Expired, Role::Server));
    for error in [timed_out(TimeLimit::Close), timed_out(TimeLimit::Drain), ConnectionError::ClosedLocally] {
        assert!(!is_link_lost(&error, Role::Server), "{error}");
    }
}

#[test]
fn a_timer_that_runs_out_twice_costs_the_session_unless_something_was_gained() {
    let mut resumption = granted();
    assert!(!resumption.strike(Strike::Assembly, 100));
    assert!(!resumption.strike(Strike::Assembly, 100 + GAIN));
    assert!(!resumption.strike(Strike::Ack, 7) && !resumption.strike(Strike::Ack, 8));
    assert!(resumption.strike(Strike::Assembly, 99 + 2 * GAIN));
    assert!(resumption.strike(Strike::Ack, 8));
}

#[test]
fn a_new_session_of_which_the_client_may_not_know_ends_with_its_link() {
    let lost = ConnectionError::Lost("cut".to_owned());
    assert!(!Resumption::default().survives(&lost, Role::Client, 0));
    let mut resumption = granted();
    assert!(resumption.survives(&lost, Role::Client, 0) && !resumption.survives(&lost, Role::Server, 0));
    resumption.granted_mut().unwrap().is_known = true;
    assert!(resumption.survives(&lost, Role::Server, 0));
}
