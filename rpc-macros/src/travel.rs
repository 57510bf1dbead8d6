//! Checks for types that cannot be sent, anywhere within the type of an argument or a result.

use quote::ToTokens;
use syn::{
    Lifetime, Type,
    visit_mut::{self, VisitMut},
};

use crate::{
    errors::Errors,
    layout::unless_laid,
    types::{is_named, last_segment, streamed, type_arguments},
};

/// The place in a contract at which a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Argument,
    Result,
    /// The item of a stream.
    Item,
}

/// Whether values of `ty` can be sent, as far as its tokens tell.
pub(crate) fn check(ty: &Type, place: Place, errors: &mut Errors) -> bool {
    if let Some((item, fault)) = streamed(ty).filter(|_| place != Place::Item) {
        let item = check(item, Place::Item, errors);
        let cure =
            "any stream may end in a status: leave it out, and make the stream with `from_call_results` or `fail_with`";
        if let Some(status) = fault.filter(|fault| is_named(fault, "Status")) {
            errors.on(status, cure);
            return false;
        }
        if let Some(error) = fault.filter(|fault| is_named(fault, "CallError")) {
            errors.on(error, format!("{cure}; write the typed fault alone"));
            return false;
        }
        return fault.is_none_or(|fault| check(fault, Place::Item, errors)) && item;
    }
    if let Some((ok, rest)) = ok_stream(ty).filter(|_| place == Place::Result) {
        let ok = check(ok, place, errors);
        return rest.into_iter().all(|ty| check(ty, place, errors)) && ok;
    }
    if let Some(slice) = unless_laid(ty).filter(|_| place == Place::Argument) {
        errors.on(
            slice,
            "within this type the bytes would travel as numbers, of which no slice can be lent; write \
             `&serde_bytes::Bytes` of the crate serde_bytes instead of `&[u8]`",
        );
        return false;
    }
    let mut search = Search { place, errors, fine: true };
    search.visit_type_mut(&mut ty.clone());
    search.fine
}

/// The stream in a `Result` of a stream, and the other types in that `Result`.
fn ok_stream(ty: &Type) -> Option<(&Type, Vec<&Type>)> {
    let arguments = type_arguments(last_segment(ty).filter(|segment| segment.ident == "Result")?);
    let (ok, rest) = arguments.split_first()?;
    streamed(ok).map(|_| (*ok, rest.to_vec()))
}

/// Whether `ty` contains `Self`.
pub(crate) fn names_self(ty: &Type) -> bool {
    struct Found(bool);
    impl VisitMut for Found {
        fn visit_ident_mut(&mut self, ident: &mut proc_macro2::Ident) {
            self.0 |= ident == "Self";
        }
    }
    let mut found = Found(false);
    found.visit_type_mut(&mut ty.clone());
    found.0
}

/// What is wrong with an `Option` of a type that has nil for one of its values, as `None` has.
fn lost_in_option(ty: &Type) -> Option<&'static str> {
    let inside = |ty, name: &str| {
        let arguments = type_arguments(last_segment(ty).filter(|segment| segment.ident == name)?);
        arguments.first().copied()
    };
    let mut inner = inside(ty, "Option")?;
    while let Some(boxed) = inside(inner, "Box") {
        inner = boxed;
    }
    match inner {
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            Some("`Some(())` and `None` are the same on the wire; write `bool`, or an enum with two variants")
        }
        _ if is_named(inner, "Option") => {
            Some("`Some(None)` and `None` are the same on the wire; write an enum with a variant for each case")
        }
        Type::Path(path) if is_json(&path.path) => Some(
            "`Some(Value::Null)` and `None` are the same on the wire; write `serde_json::Value`, where `Null` stands for \
             nothing",
        ),
        _ => None,
    }
}

/// `serde_json::Value`.
fn is_json(path: &syn::Path) -> bool {
    let mut last = path.segments.iter().rev();
    last.next().is_some_and(|last| last.ident == "Value") && last.next().is_some_and(|of| of.ident == "serde_json")
}

struct Search<'a> {
    place: Place,
    errors: &'a mut Errors,
    fine: bool,
}

impl Search<'_> {
    fn wrong(&mut self, tokens: &impl ToTokens, message: &str) {
        self.errors.on(tokens, message);
        self.fine = false;
    }
}

impl VisitMut for Search<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::ImplTrait(_) | Type::TraitObject(_) => {
                let message = match self.place {
                    Place::Argument => "an argument's type must be named: both ends must know it",
                    Place::Result => "a result's type must be named: both ends must know it",
                    Place::Item => "an item's type must be named: both ends must know it",
                };
                self.wrong(ty, message);
            }
            Type::Path(path) if path.path.segments.first().is_some_and(|first| first.ident == "Self") => {
                self.wrong(ty, "`Self` is another type at each end; name the type");
            }
            Type::Path(_) if lost_in_option(ty).is_some() => {
                if let Some(message) = lost_in_option(ty) {
                    self.wrong(ty, message);
                }
            }
            Type::Path(_) if is_named(ty, "Streaming") => self.wrong(
                ty,
                "a stream stands alone, and says what its items are: an argument `Streaming<Post>`, a result `Streaming<Post>` or \
                 `Result<Streaming<Post>, ChatError>`",
            ),
            Type::Reference(_) if self.place == Place::Item => self.wrong(
                ty,
                "an item is copied to the other side, so it borrows nothing: write `String` instead of `&str`, `T` instead of `&T`",
            ),
            Type::Reference(_) if self.place == Place::Result => self.wrong(
                ty,
                "a result is copied to the caller, so it borrows nothing: \
                 return `String` instead of `&str`, `Vec<T>` instead of `&[T]`, `T` instead of `&T`",
            ),
            Type::Reference(reference) if reference.mutability.is_some() => self.wrong(
                ty,
                "an argument is copied to the other side, so nothing written to it would come back; take `&` or a value",
            ),
            Type::Reference(reference) => {
                if let Some(lifetime) = reference.lifetime.take() {
                    // Another lifetime had to be declared, which was reported as an error.
                    if lifetime.ident == "static" {
                        self.wrong(&lifetime, "an argument is lent for the call only; leave the lifetime out");
                    }
                }
                self.visit_type_mut(&mut reference.elem);
            }
            _ => visit_mut::visit_type_mut(self, ty),
        }
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if self.place != Place::Argument && lifetime.ident != "static" {
            self.wrong(lifetime, "a result is copied to the caller, so it borrows nothing: write `'static` here");
        }
    }
}
