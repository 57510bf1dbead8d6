//! Calls to many sessions: who gets them, what members that do not keep up cost the others, and answers as they come.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "groups/answers.rs"]
mod answers;
#[path = "groups/broadcast.rs"]
mod broadcast;
#[path = "groups/keeping_up.rs"]
mod keeping_up;
#[path = "groups/rooms.rs"]
mod rooms;
