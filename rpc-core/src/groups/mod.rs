//! Calling many sessions at once: what is encoded once goes to each member of a group.

mod answers;
mod audience;
mod broadcast;
mod fan_out;
mod member;
mod queueing;
mod stub;

pub use answers::Answers;
pub use audience::{Audience, Members, Selection};
pub use broadcast::{Broadcast, Delivery};
pub use member::Member;
pub use stub::GroupStub;
