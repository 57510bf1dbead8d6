//! `OverflowOption`: the policies of calls whose receivers do not keep up, and the keys by which calls are conflated.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Expr, LitStr, parse::ParseStream};

use super::read::{nearest, set, value};
use crate::errors::Errors;

/// The value of `overflow = "…"`.
#[derive(Clone, Copy)]
pub(crate) struct OverflowOption {
    pub(crate) span: Span,
    /// The variant of `rpc_core::Overflow`.
    pub(crate) variant: &'static str,
}

/// The value of `key = "…"`.
pub(crate) struct KeyOption {
    pub(crate) span: Span,
    /// The tokens have the span of the literal.
    pub(crate) expression: Expr,
}

/// The words for the variants of `rpc_core::Overflow`, in the order in which errors list them.
const POLICIES: [(&str, &str); 5] = [
    ("wait", "Wait"),
    ("drop-oldest", "DropOldest"),
    ("drop-newest", "DropNewest"),
    ("conflate", CONFLATE),
    ("disconnect", "Disconnect"),
];

const CONFLATE: &str = "Conflate";

impl OverflowOption {
    pub(crate) fn conflates(self) -> bool {
        self.variant == CONFLATE
    }
}

/// Reads a policy.
pub(super) fn policy(
    key: &Ident,
    input: ParseStream<'_>,
    place: &mut Option<OverflowOption>,
    errors: &mut Errors,
) -> syn::Result<()> {
    let word: LitStr = value(key, input, "overflow = \"conflate\"")?;
    let given = word.value();
    match POLICIES.iter().find(|(name, _)| *name == given) {
        Some(&(_, variant)) => set(key, place, OverflowOption { span: key.span(), variant }, errors),
        None => {
            let valid = POLICIES.map(|(name, _)| name);
            let hint = nearest(&given, &valid);
            errors.on(&word, format!("unknown policy `{given}`.{hint} Valid ones: {}", valid.join(", ")));
        }
    }
    Ok(())
}

/// Reads a key.
pub(super) fn expression(
    key: &Ident,
    input: ParseStream<'_>,
    place: &mut Option<KeyOption>,
    errors: &mut Errors,
) -> syn::Result<()> {
    const EXAMPLE: &str = "key = \"quote.symbol\"";
    let text: LitStr = value(key, input, EXAMPLE)?;
    match text.parse::<Expr>() {
        Ok(expression) if names_self(expression.to_token_stream()) => {
            errors.on(&text, "a key is an expression over the arguments, and `self` is none; leave it out");
        }
        Ok(expression) => set(key, place, KeyOption { span: key.span(), expression }, errors),
        Err(_) => {
            errors.on(&text, format!("this is no expression; write one over the arguments, for instance `{EXAMPLE}`"));
        }
    }
    Ok(())
}

fn names_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => names_self(group.stream()),
        TokenTree::Ident(ident) => ident == "self",
        _ => false,
    })
}
