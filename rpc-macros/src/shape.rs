//! Checks of a method's signature, apart from its arguments and its result.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{GenericParam, ReceiverKind, TraitItemFn, ext::IdentExt};

use crate::{
    errors::Errors,
    names::{GENERAL, RESERVED},
};

/// Checks a method's signature, apart from the arguments. False if the method cannot be expanded.
pub(crate) fn check_shape(method: &TraitItemFn, errors: &mut Errors) -> bool {
    let sig = &method.sig;
    let mut fine = true;
    let mut wrong = |tokens: &dyn ToTokens, message: &str| {
        errors.on(&tokens.to_token_stream(), message);
        fine = false;
    };
    if sig.asyncness.is_none() {
        wrong(&sig.fn_token, "a method of a contract crosses the network: write `async fn`");
    }
    if let Some(token) = &sig.constness {
        wrong(token, "a method of a contract cannot be `const`");
    }
    if let syn::Safety::Unsafe(token) = &sig.safety {
        wrong(token, "a method of a contract cannot be `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        wrong(abi, "a method of a contract has no ABI; remove `extern`");
    }
    if !sig.generics.params.is_empty() {
        let message = if sig.generics.params.iter().all(|param| matches!(param, GenericParam::Lifetime(_))) {
            "an argument is lent for the call only; leave lifetimes out: `&str`, `&[u8]` and `&T` work as they are"
        } else {
            "a method of a contract cannot be generic: both ends must know every type that travels; name the types"
        };
        wrong(&sig.generics.params, message);
    }
    if let Some(clause) = &sig.generics.where_clause {
        wrong(clause, "a method of a contract has no `where` clause; remove it");
    }
    if let Some(body) = &method.default {
        wrong(body, "a method of a contract has no body: it is written where the contract is implemented");
    }
    match sig.receiver() {
        None => wrong(&sig.ident, "a method of a contract begins with `&self`"),
        Some(receiver) => match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => {}
            ReceiverKind::Reference(_, None, Some(_)) => wrong(
                receiver,
                "calls run at the same time, so a method takes `&self`; keep what changes in a Mutex or an atomic",
            ),
            _ => wrong(receiver, "a method of a contract takes `&self`"),
        },
    }
    fine
}

/// Checks that the generated trait or client does not need a method's name for itself. False if it does.
pub(crate) fn check_name(ident: &Ident, errors: &mut Errors) -> bool {
    let name = ident.unraw().to_string();
    let free = !RESERVED.contains(&name.as_str());
    if !free {
        errors.on(
            ident,
            format!(
                "`{name}` is a name that the trait or its client uses itself; choose another, \
                 and keep the name on the wire with #[rpc(name = \"{name}\")] if callers rely on it"
            ),
        );
    }
    if GENERAL.contains(&name.as_str()) {
        errors.on(
            ident,
            format!(
                "every type has a method `{name}`, which goes before that of a client; choose another name, and keep \
                 the name on the wire with #[rpc(name = \"{name}\")] if callers rely on it"
            ),
        );
        return false;
    }
    if name.starts_with("__") {
        errors.on(ident, "names that begin with two underscores are those of generated code; choose another");
        return false;
    }
    free
}
