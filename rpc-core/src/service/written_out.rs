//! Results whose error the macro has to know by its name: a status, or a fault beside a status.

use std::{fmt, marker::PhantomData};

use crate::{error::CallError, peer::Fallible, status::Status};

/// Implemented by [`Status`] alone, which the macro recognizes by its name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `Status` of Duplex RPC, but has its name",
    note = "if it is a typed fault, mark the method `#[rpc(fallible)]`, or give the type another name"
)]
#[expect(unnameable_types, reason = "generated code calls a function that requires it")]
pub trait OwnStatus: Send {
    /// The status itself.
    fn into_status(self) -> Status;
}

impl OwnStatus for Status {
    fn into_status(self) -> Status {
        self
    }
}

/// Implemented by [`CallError`] alone, which the macro recognizes by its name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `CallError` of Duplex RPC, but has its name",
    note = "if it is a typed fault, mark the method `#[rpc(fallible)]`, or give the type another name"
)]
#[expect(unnameable_types, reason = "generated code calls a function that requires it")]
pub trait OwnCallError: Send {
    /// The typed fault.
    type Fault: Send;

    /// The error itself.
    fn into_call_error(self) -> CallError<Self::Fault>;
}

impl<E: Send> OwnCallError for CallError<E> {
    type Fault = E;

    fn into_call_error(self) -> Self {
        self
    }
}

/// A result that the macro knows only by an alias. Through an alias every error is a typed fault, so it must not hide a
/// status. Then [`Aliased`] has a method `check` itself, which goes before [`Fault::check`] and whose bound nothing
/// fulfils.
pub struct Aliased<T, E>(PhantomData<fn() -> (T, E)>);

/// Implemented by no type that is asked for it.
#[diagnostic::on_unimplemented(
    message = "an alias hides that the method may fail with a status",
    label = "this stands for `{Self}`",
    note = "write the result out, as `Result<T, Status>` or `Result<T, CallError<E>>`: the macro knows these by their names"
)]
#[expect(unnameable_types, reason = "generated code calls a function that requires it")]
pub trait WrittenOut {}

impl<T, E> Aliased<T, E> {
    /// The type of this result.
    #[inline(always)]
    pub fn of<R: Fallible<Ok = T, Err = E>>(_: &R) -> Self {
        Self(PhantomData)
    }
}

impl<T> Aliased<T, Status> {
    /// Does not compile.
    pub fn check(self)
    where
        Result<T, Status>: WrittenOut,
    {
    }
}

impl<T, E> Aliased<T, CallError<E>> {
    /// Does not compile.
    pub fn check(self)
    where
        Result<T, CallError<E>>: WrittenOut,
    {
    }
}

/// The answer for a typed fault.
pub trait Fault: Sized {
    /// Nothing is wrong with it.
    #[inline(always)]
    fn check(self) {}
}

impl<T, E> Fault for Aliased<T, E> {}

impl<T, E> fmt::Debug for Aliased<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aliased")
    }
}
