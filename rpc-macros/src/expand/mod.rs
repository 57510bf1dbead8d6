//! The code that a contract becomes, piece by piece.

/// As `quote!`, for code that has local variables: nothing that the user names is ever taken for one of them, also if
/// `macro_rules!` has written the contract.
macro_rules! own {
    ($($tokens:tt)*) => { ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*) };
}

mod broken;
mod call;
mod client;
mod contract_trait;
mod descriptor;
mod dispatch;
mod group;
mod stub;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Path, Type, ext::IdentExt};

use crate::{
    layout::Layout,
    model::{Contract, Method, Output},
    types::{is_owned_binary, last_segment, streamed, type_arguments},
};

/// All code of a contract; none if none of our crates was found, because the code could name nothing.
pub(crate) fn contract(contract: &Contract) -> TokenStream {
    let Some(krate) = &contract.krate else { return TokenStream::new() };
    let parts = [
        import(contract, krate),
        contract_trait::definition(contract),
        contract_trait::forwarding(contract),
        stub::definition(contract),
        dispatch::start(contract),
        descriptor::stub_impl(contract),
        group::definition(contract),
    ];
    parts.into_iter().collect()
}

/// Imports `__private` under a short name for each contract, because generated code consists mostly of paths.
fn import(contract: &Contract, krate: &Path) -> TokenStream {
    let k = private(contract);
    let cfgs = contract.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    quote!(#(#cfgs)* #[allow(unused_imports)] use #krate::__private::{self as #k, Fault as _, Lacks as _};)
}

/// The short name of `__private`.
fn private(contract: &Contract) -> TokenStream {
    let name = format_ident!("__rpc_{}", contract.ident.unraw());
    quote!(#name)
}

/// The same name as [`private`], with errors about it shown at `span`.
fn private_at(contract: &Contract, span: Span) -> TokenStream {
    let span = shown_at(span);
    let tokens = private(contract).into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    tokens.collect()
}

/// A span with the origin of the tokens of `own!`, which the compiler shows at `span`. All tokens of an expression need
/// the same origin; otherwise the compiler points at the whole attribute.
fn shown_at(span: Span) -> Span {
    span.resolved_at(Span::mixed_site())
}

/// The generic arguments that say how the items of a stream, and its fault, are encoded.
fn items(k: &TokenStream, ty: &Type) -> Option<TokenStream> {
    let (item, fault) = streamed(ty)?;
    let codec = codec(k, item);
    let fault = fault.map_or_else(|| quote!(#k::NoFault), |fault| quote!(#fault));
    Some(quote!(#codec, #fault))
}

/// Code that asks whether serde knows a type, if the author may have forgotten to derive its traits. An error appears
/// where the contract first mentions the type, once for all its places and both ends.
fn probe(contract: &Contract, ty: &Type) -> Option<TokenStream> {
    let span = shown_at(contract.first_mention(ty)?);
    let k = private_at(contract, span);
    Some(quote_spanned!(span=> #k::Probe::<#ty>::NEW.check()))
}

/// The type that says how a value is encoded or decoded as a whole.
fn codec(k: &TokenStream, ty: &Type) -> TokenStream {
    match Layout::of(ty) {
        Some(Layout::Octets) if is_owned_binary(ty) => quote!(#k::Binary<#ty>),
        Some(layout) => {
            let layout = layout.tokens(k, Span::mixed_site());
            quote!(#k::LaidValue<#ty, #layout>)
        }
        None => quote!(#k::Value<#ty>),
    }
}

/// The `Ok` type of an alias of a `Result`, if its tokens show that it is a stream or has binary data in it.
fn ok_of_alias(ty: &Type) -> Option<&Type> {
    let segment = last_segment(ty)?;
    let ok = type_arguments(segment).first().copied()?;
    // The argument of an alias with another name need not be the type of its successes.
    (streamed(ok).is_some() || segment.ident == "Result" && Layout::of(ok).is_some()).then_some(ok)
}

/// The return type of a method in the trait.
fn returns(method: &Method) -> TokenStream {
    match &method.returns {
        Some(ty) => quote!(#ty),
        None => quote!(()),
    }
}

fn is_oneway(method: &Method) -> bool {
    matches!(method.output, Output::Oneway)
}
