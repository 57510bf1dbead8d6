//! The code that serves a call: it reads the arguments, runs the user's method and encodes the answer.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Type, ext::IdentExt};

use super::{descriptor::expected, items, ok_of_alias, private, private_at, probe, shown_at};
use crate::{
    layout::Layout,
    model::{Arg, ArgKind, Contract, Method, Output},
    options::{Role, span_of},
    types::is_owned_binary,
};

/// The function that starts a method of an object by the method's number. It is a private function of the client,
/// because everything in the trait is visible to each implementation.
pub(super) fn start(contract: &Contract) -> TokenStream {
    if contract.is_broken() {
        return TokenStream::new();
    }
    let (k, ident, client) = (private(contract), &contract.ident, contract.client());
    let arms = contract.methods.iter().map(|method| arm(contract, method));
    own! {
        impl #client {
            // If this crate does not host the contract, nothing calls this function.
            #[allow(dead_code, deprecated, unused_variables, clippy::unused_unit, clippy::let_unit_value)]
            fn __start<__T: #ident>(
                __object: &#k::Arc<__T>,
                __method: #k::core::primitive::u32,
                __call: #k::Incoming,
                __runner: &mut #k::Runner,
            ) {
                match __method {
                    #(#arms)*
                    _ => {}
                }
            }
        }
    }
}

fn arm(contract: &Contract, method: &Method) -> TokenStream {
    let (k, ident, name, id) = (private(contract), &contract.ident, &method.ident, method.id);
    let cfgs = method.cfgs();
    let arguments = arguments(contract, &method.args);
    let context = method.cx.iter().map(|cx| {
        let (name, client) = (&cx.ident, &cx.client);
        match contract.role {
            Role::Service => {
                let span = shown_at(span_of(client));
                let mut own = contract.client();
                own.set_span(span);
                let expected = expected(contract);
                quote_spanned!(span=> let #name = &__call.service_context::<#own, #client, #expected>();)
            }
            Role::Callback => own!(let #name = &__call.context::<#client>();),
        }
    });
    let cx = method.cx.iter().map(|cx| &cx.ident);
    let passed = method.args.iter().map(|arg| {
        let name = &arg.ident;
        if matches!(arg.kind, ArgKind::Lent(_) | ArgKind::LentSlice(_)) { own!(&#name) } else { own!(#name) }
    });
    let reply = reply(contract, method);
    own! {
        #(#cfgs)*
        #id => {
            let __o = #k::core::clone::Clone::clone(__object);
            __runner.start_with(move || async move {
                #arguments
                #(#context)*
                let __r = <__T as #ident>::#name(&__o #(, #cx)* #(, #passed)*).await;
                #reply
            })
        }
    }
}

/// Reads the arguments, and drops the reader before the method awaits anything.
fn arguments(contract: &Contract, args: &[Arg]) -> TokenStream {
    if args.is_empty() {
        return own!(__call.arguments()?.end()?;);
    }
    let names = args.iter().map(|arg| &arg.ident);
    let reads = args.iter().map(|arg| {
        let wire = arg.ident.unraw().to_string();
        let next = |ty: TokenStream, layout: Option<Layout>| {
            let span = shown_at(span_of(&arg.ty));
            let layout = layout.map(|layout| layout.tokens(&private_at(contract, span), span));
            let probed = match &arg.kind {
                ArgKind::Value => probe(contract, &arg.ty),
                ArgKind::Lent(ty) => probe(contract, ty),
                _ => None,
            };
            if let Some(probe) = probed {
                return if arg.default {
                    quote_spanned!(span=> #probe.read_or_default(&mut __arguments, #wire)?)
                } else {
                    quote_spanned!(span=> #probe.read(&mut __arguments, #wire)?)
                };
            }
            match (layout, arg.default) {
                (None, false) => quote_spanned!(span=> __arguments.next::<#ty>(#wire)?),
                (None, true) => quote_spanned!(span=> __arguments.next_or_default::<#ty>(#wire)?),
                (Some(layout), false) => quote_spanned!(span=> __arguments.laid::<#ty, #layout>(#wire)?),
                (Some(layout), true) => quote_spanned!(span=> __arguments.laid_or_default::<#ty, #layout>(#wire)?),
            }
        };
        let (binary, bytes) = if arg.default {
            (own!(__arguments.binary_or_default(#wire)?), own!(__arguments.bytes_or_default(#wire)?))
        } else {
            (own!(__arguments.binary(#wire)?), own!(__arguments.bytes(#wire)?))
        };
        let ty = &arg.ty;
        match &arg.kind {
            ArgKind::Value => next(own!(#ty), Layout::of(ty)),
            ArgKind::Lent(ty) => next(own!(#ty), Layout::of(ty)),
            // The full path, because the user's scope may have another `Vec`.
            ArgKind::LentSlice(element) => next(own!(::std::vec::Vec<#element>), Layout::of_items(element)),
            ArgKind::BinarySlice => binary,
            ArgKind::BinaryVec => own!(#binary.to_vec()),
            ArgKind::Bytes => bytes,
            ArgKind::Streaming => {
                let span = shown_at(span_of(&arg.ty));
                let items = items(&private_at(contract, span), &arg.ty);
                if arg.default {
                    quote_spanned!(span=> __arguments.streaming_or_default::<#items>(#wire)?)
                } else {
                    quote_spanned!(span=> __arguments.streaming::<#items>(#wire)?)
                }
            }
        }
    });
    own! {
        let mut __arguments = __call.arguments()?;
        #(let #names = #reads;)*
        __arguments.end()?;
    }
}

/// Encodes the answer. Compile errors about the answer point at the return type.
fn reply(contract: &Contract, method: &Method) -> TokenStream {
    let span = shown_at(method.returns.as_ref().map_or_else(|| method.ident.span(), span_of));
    let k = private_at(contract, span);
    let stream = |ty| items(&k, ty).map(|items| quote_spanned!(span=> |__s| __call.stream::<#items>(__s)));
    let probed = |ty: &Type| probe(contract, ty);
    let laid = |ty: &Type| match Layout::of(ty)? {
        Layout::Octets if is_owned_binary(ty) => Some(quote_spanned!(span=> #k::Blob::new)),
        layout => {
            let layout = layout.tokens(&k, span);
            Some(quote_spanned!(span=> #k::Laid::<_, #layout>::new))
        }
    };
    match &method.output {
        Output::Oneway => own!(__call.done().await),
        Output::Plain(ty) => {
            let sent = match items(&k, ty) {
                Some(items) => quote_spanned!(span=> __call.stream::<#items>(__r)),
                None => match laid(ty) {
                    Some(laid) => quote_spanned!(span=> #laid(__r)),
                    None => probed(ty).map_or_else(|| own!(__r), |probe| quote_spanned!(span=> #probe.sent(__r))),
                },
            };
            quote_spanned!(span=> __call.reply(#sent).await)
        }
        Output::Fallible(ok, _) | Output::FallibleOrStatus(ok, _) | Output::Status(ok) => {
            let reply = match &method.output {
                Output::Status(_) => quote_spanned!(span=> reply_status),
                Output::FallibleOrStatus(..) => quote_spanned!(span=> reply_call_error),
                _ => quote_spanned!(span=> reply_result),
            };
            let map = stream(ok).or_else(|| laid(ok)).map(|map| quote_spanned!(span=> .map(#map)));
            let succeeded = probed(ok).map(|probe| quote_spanned!(span=> let __r = #probe.succeeded(__r);));
            let failed = match &method.output {
                Output::Fallible(_, err) => probed(err).map(|probe| quote_spanned!(span=> #probe.failed(__r))),
                Output::FallibleOrStatus(_, err) => {
                    probed(err).map(|probe| quote_spanned!(span=> #probe.failed_call(__r)))
                }
                _ => None,
            };
            let failed = failed.map(|failed| quote_spanned!(span=> let __r = #failed;));
            quote_spanned!(span=> #succeeded #failed __call.#reply(__r #map).await)
        }
        Output::Alias(ty) => {
            let result = quote_spanned!(span=> #k::Fallible::into_result(__r));
            let map = ok_of_alias(ty)
                .and_then(|ok| stream(ok).or_else(|| laid(ok)))
                .map(|map| quote_spanned!(span=> .map(#map)));
            quote_spanned!(span=> #k::Aliased::of(&__r).check(); __call.reply_result(#result #map).await)
        }
    }
}
