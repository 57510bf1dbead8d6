//! The options in `#[service(…)]`, `#[callback(…)]` and `#[rpc(…)]`.
//!
//! This module reads an option of a method, and `validate.rs` checks it. If the option acts at run time,
//! `expand/descriptor.rs` writes it into the `MethodDescriptor` of `rpc-core`, which answers the code that acts on the
//! option.

mod overflow;
mod read;
mod time;

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Attribute, LitBool, LitInt, LitStr, Meta, Path, parse::ParseStream, spanned::Spanned};

pub(crate) use self::overflow::{KeyOption, OverflowOption};
use self::{
    read::{each, flag, set, unknown, value},
    time::millis,
};
use crate::{
    errors::Errors,
    normal::{is_conditional, path},
};

/// The macro that is running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Service,
    Callback,
}

/// The options of a contract.
#[derive(Default)]
pub(crate) struct ContractOptions {
    pub(crate) callback: Option<Path>,
    pub(crate) optional: Option<Span>,
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Option<Path>,
    pub(crate) group: Option<Span>,
}

/// The options of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) oneway: Option<Span>,
    pub(crate) idempotent: Option<Span>,
    pub(crate) timeout: Option<(Span, u64)>,
    pub(crate) idle_timeout: Option<(Span, u64)>,
    pub(crate) name: Option<LitStr>,
    pub(crate) id: Option<u32>,
    pub(crate) no_cancel: Option<Span>,
    pub(crate) not_initiating: Option<Span>,
    pub(crate) terminating: Option<Span>,
    pub(crate) spawn: Option<Span>,
    pub(crate) fallible: Option<Span>,
    pub(crate) window: Option<(Span, usize)>,
    pub(crate) allow: Option<LitStr>,
    pub(crate) overflow: Option<OverflowOption>,
    pub(crate) key: Option<KeyOption>,
    pub(crate) ttl: Option<(Span, u64)>,
}

/// The names of all options of methods, in the order in which errors list them. [`MethodOptions::take`] has an arm for
/// each name.
const METHOD_OPTIONS: [&str; 16] = [
    "oneway",
    "idempotent",
    "timeout",
    "idle_timeout",
    "name",
    "id",
    "no_cancel",
    "initiating",
    "terminating",
    "spawn",
    "fallible",
    "window",
    "allow",
    "overflow",
    "key",
    "ttl",
];

impl ContractOptions {
    pub(crate) fn parse(tokens: TokenStream, role: Role, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let valid: &[&str] = match role {
            Role::Service => &["callback", "optional", "name", "crate"],
            Role::Callback => &["group", "name", "crate"],
        };
        each(tokens, valid, errors, |key, input, errors| {
            match key.to_string().as_str() {
                "callback" if role == Role::Callback => {
                    value::<Path>(key, input, "callback = ChatEvents")?;
                    errors.on(
                        key,
                        "a callback contract has no callbacks of its own: its handlers reach the service through \
                         `cx: &Context<…Client>`; remove `callback`, or use #[service(callback = …)]",
                    );
                }
                "callback" => set(key, &mut options.callback, value(key, input, "callback = ChatEvents")?, errors),
                "optional" if role == Role::Service => {
                    // A mistake here is no reason to report the contexts, which have an `Option`, as well.
                    let is_flag = flag(key, input);
                    set(key, &mut options.optional, key.span(), errors);
                    is_flag?;
                }
                "group" if role == Role::Service => {
                    flag(key, input)?;
                    errors.on(
                        key,
                        "a group is made of a server's sessions, whose clients the server calls; a client calls one \
                         server, so a service has no form for groups: remove `group`, or write it at the callback \
                         contract, #[callback(group)]",
                    );
                }
                "group" => set(key, &mut options.group, flag(key, input)?, errors),
                "name" => set(key, &mut options.name, value(key, input, "name = \"chat\"")?, errors),
                "crate" => {
                    let path: LitStr = value(key, input, "crate = \"my_crate::rpc_core\"")?;
                    match path.parse_with(Path::parse_mod_style) {
                        Ok(path) => set(key, &mut options.krate, path, errors),
                        Err(_) => errors.on(&path, "this is not a path; write `crate = \"my_crate::rpc_core\"`"),
                    }
                }
                _ => return Err(unknown(key, valid)),
            }
            Ok(())
        });
        options
    }
}

impl MethodOptions {
    /// Takes the `#[rpc(…)]` attributes out of `attrs` and reads them.
    pub(crate) fn take(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        for tokens in take_rpc(attrs, errors) {
            each(tokens, &METHOD_OPTIONS, errors, |key, input, errors| {
                let span = key.span();
                match key.to_string().as_str() {
                    "oneway" => set(key, &mut options.oneway, flag(key, input)?, errors),
                    "idempotent" => set(key, &mut options.idempotent, flag(key, input)?, errors),
                    "no_cancel" => set(key, &mut options.no_cancel, flag(key, input)?, errors),
                    "terminating" => set(key, &mut options.terminating, flag(key, input)?, errors),
                    "spawn" => set(key, &mut options.spawn, flag(key, input)?, errors),
                    "fallible" => set(key, &mut options.fallible, flag(key, input)?, errors),
                    "initiating" => {
                        let initiating: LitBool = value(key, input, "initiating = false")?;
                        if initiating.value {
                            errors.on(&initiating, "a method may come first by default; remove `initiating = true`");
                        } else {
                            set(key, &mut options.not_initiating, span, errors);
                        }
                    }
                    "name" => set(key, &mut options.name, value(key, input, "name = \"join\"")?, errors),
                    "allow" => {
                        let role: LitStr = value(key, input, "allow = \"admin\"")?;
                        if role.value().trim().is_empty() {
                            errors.on(&role, "name the role that callers need; `allow = \"*\"` lets every caller in");
                        } else {
                            set(key, &mut options.allow, role, errors);
                        }
                    }
                    "timeout" => time(key, input, "timeout = \"5s\"", &mut options.timeout, errors)?,
                    "idle_timeout" => {
                        time(key, input, "idle_timeout = \"30s\"", &mut options.idle_timeout, errors)?;
                    }
                    "overflow" => overflow::policy(key, input, &mut options.overflow, errors)?,
                    "key" => overflow::expression(key, input, &mut options.key, errors)?,
                    "ttl" => time(key, input, "ttl = \"5s\"", &mut options.ttl, errors)?,
                    "window" => {
                        let bytes: LitInt = value(key, input, "window = 65_536")?;
                        match bytes.base10_parse() {
                            Ok(0) => errors.on(
                                &bytes,
                                "a window of no bytes lets nothing through; leave `window` out for one that adapts",
                            ),
                            Ok(bytes) => set(key, &mut options.window, (span, bytes), errors),
                            Err(_) => {
                                errors.on(&bytes, "a window is a number of bytes, for instance `window = 65_536`");
                            }
                        }
                    }
                    "id" => {
                        let id: LitInt = value(key, input, "id = 0x1f2e3d4c")?;
                        match id.base10_parse() {
                            Ok(id) => set(key, &mut options.id, id, errors),
                            Err(_) => errors.on(&id, "an id is a number of 32 bits, for instance `id = 0x1f2e3d4c`"),
                        }
                    }
                    _ => return Err(unknown(key, &METHOD_OPTIONS)),
                }
                Ok(())
            });
        }
        options
    }
}

/// Reads a time, in milliseconds. Errors show `example`.
fn time(
    key: &Ident,
    input: ParseStream<'_>,
    example: &str,
    place: &mut Option<(Span, u64)>,
    errors: &mut Errors,
) -> syn::Result<()> {
    let text: LitStr = value(key, input, example)?;
    match millis(&text.value()) {
        Ok(ms) => set(key, place, (key.span(), ms), errors),
        Err(why) => errors.on(&text, why),
    }
    Ok(())
}

/// Takes the `#[rpc(…)]` attributes of an argument out of `attrs`. True if they say `default`.
pub(crate) fn take_argument_options(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> bool {
    let mut default = None;
    for tokens in take_rpc(attrs, errors) {
        each(tokens, &["default"], errors, |key, input, errors| {
            if key != "default" {
                return Err(unknown(key, &["default"]));
            }
            set(key, &mut default, flag(key, input)?, errors);
            Ok(())
        });
    }
    for attr in attrs.iter() {
        let path = path(attr);
        if path.is_ident("cfg") {
            errors.on(
                attr,
                "an argument does not depend on `cfg`: ends that are built differently would take one argument for \
                 another; write the method twice, with `cfg` on each, or give the argument `#[rpc(default)]`",
            );
        } else if !LINTS.iter().any(|lint| path.is_ident(lint)) {
            errors.on(attr, "an argument of a contract has no attribute but `#[rpc(default)]`; remove this one");
        }
    }
    default.is_some()
}

/// The attributes that say how loud the compiler is, and nothing about the argument.
const LINTS: [&str; 5] = ["allow", "expect", "warn", "deny", "forbid"];

fn take_rpc(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Vec<TokenStream> {
    let mut found = Vec::new();
    attrs.retain(|attr| {
        if !path(attr).is_ident("rpc") {
            return true;
        }
        if is_conditional(attr) {
            errors.on(
                attr,
                "the options of a method or an argument are the same at both ends, so they do not depend on `cfg`; for \
                 two versions of a method, write the method twice, with `cfg` on each",
            );
            return false;
        }
        match &attr.meta {
            Meta::List(list) => found.push(list.tokens.clone()),
            other => errors.on(other, "write the options in parentheses: #[rpc(oneway)]"),
        }
        false
    });
    found
}

/// Keeps the borrow of a span short.
pub(crate) fn span_of(tokens: &impl Spanned) -> Span {
    tokens.span()
}
