//! Checks of a contract that could be read: numbers that collide, options that contradict each other.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::{
    errors::Errors,
    model::{ArgKind, Contract, Method, Output},
    options::{MethodOptions, OverflowOption, Role},
    types::is_named,
};

/// Checks a contract as a whole.
pub(crate) fn validate(contract: &Contract, errors: &mut Errors) {
    check_beginning(contract, errors);
    if let Some(span) = contract.optional.filter(|_| contract.callback.is_none()) {
        errors.on(
            &on(span),
            "`optional` says that clients need not host the callback contract, and there is none; name the contract, \
             `callback = ChatEvents, optional`, or remove `optional`",
        );
    }
    check_contexts(contract, errors);
    for (index, method) in contract.methods.iter().enumerate() {
        check_options(method, errors);
        if let Some(role) = method.options.allow.as_ref().filter(|_| contract.role == Role::Callback) {
            errors.on(
                role,
                "a client hosts this method, and its only caller is the server that it has chosen; remove `allow`",
            );
        }
        let others = contract.methods[..index].iter();
        // Methods that exclude each other by `cfg` may share a name.
        let clash = others
            .filter(|other| method.cfgs().next().is_none() || other.cfgs().next().is_none())
            .find(|other| other.id == method.id);
        if let Some(other) = clash {
            let message = if other.name == method.name {
                format!("two methods are named `{}` on the wire; rename one, or its #[rpc(name = \"…\")]", method.name)
            } else {
                format!(
                    "`{}` and `{}` have the same number {:#010x} on the wire; give one of them another: #[rpc(id = 0x…)]",
                    other.name, method.name, method.id
                )
            };
            errors.on(&method.ident, message);
        }
    }
}

/// Checks that at least one method may be called first.
fn check_beginning(contract: &Contract, errors: &mut Errors) {
    let all_wait = contract.methods.iter().all(|method| method.options.not_initiating.is_some());
    let first = contract.methods.first().and_then(|method| method.options.not_initiating);
    if let Some(span) = first.filter(|_| all_wait && contract.broken.is_empty()) {
        errors.on(
            &on(span),
            "no method of this contract could ever be called: each waits until another one has succeeded; \
             remove `initiating = false` from those that may come first",
        );
    }
}

fn check_options(method: &Method, errors: &mut Errors) {
    let options = &method.options;
    let mut refuse = |span: Option<Span>, message: &str| {
        if let Some(span) = span {
            errors.on(&on(span), message);
        }
    };
    if !method.has_stream() {
        let message = if options.oneway.is_some() {
            "a one-way call has no streams, so `window` has nothing to act on; remove `window`"
        } else {
            "no argument or result of this method is a stream, so `window` has nothing to act on; remove `window`, or write \
             `Streaming<…>` out where an alias hides it"
        };
        refuse(options.window.map(|(span, _)| span), message);
    }
    if !method.takes_stream() {
        let message = if options.oneway.is_some() {
            "a one-way call has no streams, so `idle_timeout` has nothing to act on; remove `idle_timeout`"
        } else if method.returns_stream() {
            "`idle_timeout` bounds the pauses of streams among the arguments, and this method has none; remove it, and wrap \
             `next()` of the result in a timeout"
        } else {
            "no argument of this method is a stream, so `idle_timeout` has nothing to act on; write `timeout`, or write \
             `Streaming<…>` out where an alias hides it"
        };
        refuse(options.idle_timeout.map(|(span, _)| span), message);
    }
    if method.returns_stream() {
        let message = "the session ends once the reply is delivered, and would cut the stream off; remove `terminating`, or return the items in a Vec";
        refuse(options.terminating, message);
    }
    if options.oneway.is_some() {
        for arg in method.args.iter().filter(|arg| matches!(arg.kind, ArgKind::Streaming)) {
            refuse(
                Some(arg.ident.span()),
                "a one-way call is over when it is sent, so it has no streams; remove `oneway`, or send the items one by one",
            );
        }
        refuse(
            options.terminating,
            "the session ends once the reply is delivered, and a one-way call has none; remove `terminating` or `oneway`",
        );
        refuse(options.fallible, "a one-way call returns nothing; remove `fallible` or `oneway`");
        refuse(options.idempotent, "a one-way call is never repeated; remove `idempotent` or `oneway`");
    }
    check_overflow(options, &mut refuse);
    if method.returns.is_none() && matches!(method.output, Output::Plain(_)) {
        refuse(
            options.fallible,
            "`fallible` says that the return type is an alias of a Result; there is no return type",
        );
    }
}

/// Checks the options that say what becomes of calls whose receiver does not keep up.
fn check_overflow(options: &MethodOptions, refuse: &mut impl FnMut(Option<Span>, &str)) {
    let overflow = options.overflow.map(|overflow| overflow.span);
    let ttl = options.ttl.map(|(span, _)| span);
    let key = options.key.as_ref().map(|key| key.span);
    if options.oneway.is_none() {
        refuse(
            overflow,
            "a call with an answer is never dropped in silence, so `overflow` has nothing to act on; remove it, or add \
             `oneway`",
        );
        refuse(ttl, "a call with an answer has a `timeout` instead of a `ttl`; write `timeout`, or add `oneway`");
    }
    if !options.overflow.is_some_and(OverflowOption::conflates) {
        refuse(
            key,
            "a key says which calls replace each other, and only `overflow = \"conflate\"` lets calls replace others; \
             write that too, or remove `key`",
        );
    }
}

/// Checks that `callback` names the contract, and the contexts its generated client.
fn check_contexts(contract: &Contract, errors: &mut Errors) {
    let Some(callback) = contract.callback.as_ref().and_then(|path| path.segments.last()) else { return };
    let named = callback.ident.to_string();
    let contexts = contract.methods.iter().filter_map(|method| method.cx.as_ref());
    let mut alike = contexts.filter(|cx| is_named(&cx.client, &named)).peekable();
    let of = named.strip_suffix("Client").filter(|of| !of.is_empty() && alike.peek().is_some());
    if let Some(of) = of {
        let message = format!(
            "`callback` names the contract, not its generated client: write `callback = {of}`; if a contract is named \
             `{named}`, its client is `{named}Client`"
        );
        return errors.on(&contract.callback, message);
    }
    for cx in alike {
        let message = format!("`{named}` is the contract; write `&Context<{named}Client>`, with its generated client");
        errors.on(&cx.client, message);
    }
}

/// A token at this place, for an error to point at.
fn on(span: Span) -> TokenStream {
    quote_spanned!(span=> x)
}
