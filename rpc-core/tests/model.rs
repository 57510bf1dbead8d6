//! The service model: objects and their turns, chains, gates, hooks and interceptors, through sessions in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "model/actors.rs"]
mod actors;
#[path = "model/budgets.rs"]
mod budgets;
#[path = "model/combinations.rs"]
mod combinations;
#[path = "model/deadlines.rs"]
mod deadlines;
#[path = "model/deadlock.rs"]
mod deadlock;
#[path = "model/gates.rs"]
mod gates;
#[path = "model/graphs.rs"]
mod graphs;
#[path = "model/hostile.rs"]
mod hostile;
#[path = "model/identity.rs"]
mod identity;
#[path = "model/leaving.rs"]
mod leaving;
#[path = "model/lifecycle.rs"]
mod lifecycle;
#[path = "model/locks.rs"]
mod locks;
#[path = "model/order.rs"]
mod order;
#[path = "model/pairs.rs"]
mod pairs;
#[path = "model/panics.rs"]
mod panics;
#[path = "model/plans.rs"]
mod plans;
#[path = "model/tally.rs"]
mod tally;
#[path = "model/turns.rs"]
mod turns;
