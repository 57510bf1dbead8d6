//! The result of a client's method, and the user's attributes on the method.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

use super::private;
use crate::{
    model::{Contract, Output},
    normal::path,
};

/// The type that a call gives its caller.
pub(super) fn returned(contract: &Contract, output: &Output) -> TokenStream {
    let k = private(contract);
    let result = quote!(#k::Result);
    match output {
        Output::Oneway => quote!(#result<(), #k::Status>),
        Output::Plain(ty) | Output::Status(ty) => quote!(#result<#ty, #k::Status>),
        Output::Fallible(ok, err) | Output::FallibleOrStatus(ok, err) => quote!(#result<#ok, #k::CallError<#err>>),
        Output::Alias(ty) => quote!(#result<<#ty as #k::Fallible>::Ok, #k::CallError<<#ty as #k::Fallible>::Err>>),
    }
}

/// Whether the macro passes an attribute of a method on to the client's method.
pub(super) fn passes_on(attr: &Attribute) -> bool {
    ["doc", "cfg", "deprecated", "must_use", "allow", "expect"].iter().any(|name| path(attr).is_ident(name))
}
