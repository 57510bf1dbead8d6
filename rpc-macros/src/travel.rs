//! Types that cannot travel, wherever they stand in an argument's or a result's type.

use quote::ToTokens;
use syn::{
    Lifetime, Type,
    visit_mut::{self, VisitMut},
};

use crate::errors::Errors;

/// What a type is the type of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Argument,
    Result,
}

/// Whether values of `ty` can be sent, as far as its tokens tell.
pub(crate) fn check(ty: &Type, place: Place, errors: &mut Errors) -> bool {
    let mut search = Search { place, errors, fine: true };
    search.visit_type_mut(&mut ty.clone());
    search.fine
}

/// Whether `Self` stands in `ty`.
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
                };
                self.wrong(ty, message);
            }
            Type::Path(path) if path.path.segments.first().is_some_and(|first| first.ident == "Self") => {
                self.wrong(ty, "`Self` is another type at each end; name the type");
            }
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
                    // Any other had to be declared, which was an error.
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
        if self.place == Place::Result && lifetime.ident != "static" {
            self.wrong(lifetime, "a result is copied to the caller, so it borrows nothing: write `'static` here");
        }
    }
}
