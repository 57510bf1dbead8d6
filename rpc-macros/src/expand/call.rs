//! What the client and the form for groups have in common: how a method's call is sent, and how its answer is decoded.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Type;

use super::{client::passes_on, codec, items, ok_of_alias, private_at, probe, shown_at};
use crate::{
    layout::Layout,
    model::{ArgKind, Contract, Method, Output},
};

/// The kinds of calls, each of which has a function of its own.
pub(super) enum Kind {
    Oneway,
    /// The result has no typed fault.
    Plain,
    Fallible,
}

/// The user's attributes of a method, and a comment if the user has written none.
pub(super) fn attributes(contract: &Contract, method: &Method) -> TokenStream {
    let attrs = method.attrs.iter().filter(|attr| passes_on(attr));
    let doc = (!method.attrs.iter().any(|attr| attr.path().is_ident("doc")))
        .then(|| format!("Calls `{}.{}`.", contract.name, method.name))
        .map(|doc| own!(#[doc = #doc]));
    own!(#(#attrs)* #doc)
}

/// The arguments as the call serializes them: a tuple, in which binary data is marked. All code that requires serde has
/// one span, so that the compiler reports a forgotten derive once, at the method.
pub(super) fn arguments(contract: &Contract, method: &Method) -> TokenStream {
    let span = shown_at(method.ident.span());
    let k = private_at(contract, span);
    if method.args.is_empty() {
        return quote_spanned!(span=> #k::NoArguments);
    }
    let args = method.args.iter().map(|arg| {
        let ident = &arg.ident;
        let laid = |layout: Option<Layout>, wrapper: &str| match layout {
            Some(layout) => {
                let (wrapper, layout) = (Ident::new(wrapper, span), layout.tokens(&k, span));
                quote_spanned!(span=> #k::#wrapper::<_, #layout>::new(#ident))
            }
            None => quote_spanned!(span=> #ident),
        };
        let probed = |ty: &Type| probe(contract, ty).map(|probe| quote_spanned!(span=> #probe.sent(#ident)));
        match &arg.kind {
            ArgKind::BinarySlice => quote_spanned!(span=> #k::Bin(#ident)),
            ArgKind::BinaryVec | ArgKind::Bytes => quote_spanned!(span=> #k::Blob::new(#ident)),
            ArgKind::Streaming => quote_spanned!(span=> #k::Nil),
            ArgKind::Value => probed(&arg.ty).unwrap_or_else(|| laid(Layout::of(&arg.ty), "Laid")),
            ArgKind::Lent(ty) => probed(ty).unwrap_or_else(|| laid(Layout::of(ty), "LaidRef")),
            ArgKind::LentSlice(element) => laid(Layout::of_items(element), "LaidRef"),
        }
    });
    quote_spanned!(span=> (#(#args,)*))
}

/// The key by which calls of the method replace each other, if it has one. It is encoded before the arguments are
/// moved.
pub(super) fn key(contract: &Contract, method: &Method) -> Option<TokenStream> {
    let expression = &method.options.key.as_ref()?.expression;
    let span = shown_at(expression.to_token_stream().into_iter().next()?.span());
    let k = private_at(contract, span);
    Some(quote_spanned!(span=> #k::OverflowKey::of(&(#expression))))
}

/// The kind of a method's call, and how its answer is decoded.
pub(super) fn kind(contract: &Contract, method: &Method) -> (Kind, TokenStream) {
    let span = shown_at(method.ident.span());
    let k = private_at(contract, span);
    let marker = |ty: TokenStream| quote_spanned!(span=> #k::decoded::<#ty>());
    let decoded = |ty: &Type| match (items(&k, ty), probe(contract, ty)) {
        (Some(items), _) => marker(quote_spanned!(span=> #k::Streamed<#items>)),
        (None, Some(probe)) => quote_spanned!(span=> #probe.output()),
        (None, None) => {
            let codec = codec(&k, ty);
            marker(quote_spanned!(span=> #k::Single<#codec>))
        }
    };
    match &method.output {
        Output::Oneway => (Kind::Oneway, TokenStream::new()),
        Output::Plain(ty) | Output::Status(ty) => {
            let decoded = decoded(ty);
            (Kind::Plain, quote_spanned!(span=> , #decoded))
        }
        Output::Fallible(ok, err) | Output::FallibleOrStatus(ok, err) => {
            let fault = match probe(contract, err) {
                Some(probe) => quote_spanned!(span=> #probe.fault()),
                None => marker(quote_spanned!(span=> #k::Value<#err>)),
            };
            let decoded = decoded(ok);
            (Kind::Fallible, quote_spanned!(span=> , #decoded, #fault))
        }
        Output::Alias(ty) => {
            let (ok, err) = (own!(<#ty as #k::Fallible>::Ok), own!(<#ty as #k::Fallible>::Err));
            let decoded = match ok_of_alias(ty) {
                Some(ok) => decoded(ok),
                None => marker(quote_spanned!(span=> #k::Single<#k::Value<#ok>>)),
            };
            let fault = marker(quote_spanned!(span=> #k::Value<#err>));
            (Kind::Fallible, quote_spanned!(span=> , #decoded, #fault))
        }
    }
}
