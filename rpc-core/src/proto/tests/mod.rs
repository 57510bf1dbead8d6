//! Two state machines run against each other in virtual time.

mod admission;
mod calls;
mod chance;
mod ending;
mod hostile;
mod pair;
mod time;
mod transfers;
