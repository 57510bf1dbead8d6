//! Whether values survive the wire.

mod difference;
mod probe;
mod wire_text;

use std::{any::type_name, error::Error, fmt};

use bytes::BytesMut;
use rpc_core::__internals::wire::{ScanLimits, decode, encode};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::wire_text::wire_text;
use self::{
    difference::difference,
    probe::{Finding, probe},
};

/// Asserts that a value arrives as it was sent: the value is serialized as the arguments and results of calls are, read
/// back, and compared.
///
/// Nearly all values that serde knows do; the guide's page on [shapes](rpc_core::guide::shapes) lists those that do
/// not. The macros refuse the shapes that they can see in a contract. They cannot see into your structs and enums: for
/// each of these, write one test with a value in which every field and variant occurs.
///
/// ```
/// use rpc_test::assert_travels;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum Change {
///     Keep,
///     Set { title: Option<String> },
/// }
///
/// assert_travels(&Change::Keep);
/// assert_travels(&Change::Set { title: None });
/// ```
///
/// # Panics
///
/// If the value arrives changed or not at all. The message shows what changes, what is on the wire, and how to mend the
/// type. [`travel`] returns it instead.
///
/// ```should_panic
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Patch {
///     title: Option<Option<String>>,
/// }
///
/// rpc_test::assert_travels(&Patch { title: Some(None) }); // arrives as `None`
/// ```
#[track_caller]
pub fn assert_travels<T>(value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
{
    if let Err(error) = travel(value) {
        panic!("{error}");
    }
}

/// Sends a value over the wire of this project, and returns what arrives, which is equal to what was sent.
/// [`assert_travels`] says more about it.
///
/// ```
/// use rpc_test::{TravelErrorKind, travel};
///
/// assert_eq!(travel(&vec![Some(1), None]).unwrap(), [Some(1), None]);
///
/// let error = travel(&vec![Some(Some(1)), Some(None)]).unwrap_err();
/// assert_eq!(error.kind(), TravelErrorKind::Changed);
/// assert!(error.to_string().contains("an enum with a variant for each case"));
/// ```
///
/// # Errors
///
/// If the value does not serialize, is not read back, or is another value then. A type that is not equal to itself,
/// such as a NaN, counts as changed.
pub fn travel<T>(value: &T) -> Result<T, TravelError>
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
{
    let fail = |kind, said: String, wire: Option<&[u8]>| TravelError {
        kind,
        type_name: type_name::<T>(),
        said,
        wire: wire.map(wire_text),
        findings: probe(value),
    };
    let mut bytes = BytesMut::new();
    encode(&mut bytes, value).map_err(|error| fail(TravelErrorKind::NotSent, error.to_string(), None))?;
    let arrived: T = decode(&bytes, &ScanLimits::default())
        .map_err(|error| fail(TravelErrorKind::NotRead, error.to_string(), Some(&bytes)))?;
    if arrived == *value {
        return Ok(arrived);
    }
    Err(fail(TravelErrorKind::Changed, difference(value, &arrived), Some(&bytes)))
}

/// Why a value does not survive the wire. Shown, it says what changes, what is on the wire, and how to mend the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TravelError {
    kind: TravelErrorKind,
    type_name: &'static str,
    /// What serde says, or what changes.
    said: String,
    wire: Option<String>,
    findings: Vec<Finding>,
}

/// What happens to a value that does not survive the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TravelErrorKind {
    /// It does not serialize: a call with it fails at its caller.
    NotSent,
    /// The other end cannot read it: a call with it is refused.
    NotRead,
    /// It arrives as another value.
    Changed,
}

impl TravelError {
    /// What happens to the value.
    pub fn kind(&self) -> TravelErrorKind {
        self.kind
    }
}

impl fmt::Display for TravelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, type_name, said, wire, findings } = self;
        match kind {
            TravelErrorKind::NotSent => writeln!(f, "this `{type_name}` cannot be sent: {said}")?,
            TravelErrorKind::NotRead => writeln!(f, "this `{type_name}` cannot be read at the other end: {said}")?,
            TravelErrorKind::Changed => writeln!(f, "this `{type_name}` arrives changed (- sent, + arrived):\n{said}")?,
        }
        if let Some(wire) = wire {
            writeln!(f, "on the wire: {wire}")?;
        }
        for finding in findings {
            writeln!(f, "{finding}")?;
        }
        if findings.is_empty() {
            writeln!(f, "{}", general(*kind))?;
        }
        f.write_str("the guide's page on shapes lists what does not survive: rpc_core::guide::shapes")
    }
}

impl Error for TravelError {}

/// What is often the reason if nothing in the value itself shows it.
fn general(kind: TravelErrorKind) -> &'static str {
    match kind {
        TravelErrorKind::NotSent => {
            "perhaps a tuple or a list stands in an enum with a `tag`: write `content = \"…\"` beside the `tag`"
        }
        TravelErrorKind::NotRead => {
            "perhaps `skip_serializing_if` leaves out a field that has no `default`, or `Serialize` and `Deserialize` \
             disagree"
        }
        TravelErrorKind::Changed => {
            "perhaps a field is `#[serde(skip)]` and its default arrives, or a variant of an `untagged` enum fits the \
             value of a later variant: put the variant with more fields first"
        }
    }
}
