//! `GroupStub`: the trait of all generated clients that have a form for groups.

use super::Audience;
use crate::peer::Stub;

/// A generated client of a callback contract that has a form for groups: `ChatEventsClient` has `ChatEventsGroup`, if
/// the contract is marked `#[callback(group)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no form for groups",
    note = "name the client stub of a callback contract here, as in `ChatEventsClient`, and mark the contract: \
            `#[rpc_core::callback(group)]`"
)]
pub trait GroupStub: Stub {
    /// The form for groups.
    type Group: Clone + Send + Sync + 'static;

    /// The form for groups that calls these sessions.
    #[doc(hidden)]
    fn of_audience(audience: Audience) -> Self::Group;
}
