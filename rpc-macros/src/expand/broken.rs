//! Stand-ins for contracts that could not be read, so that code that implements or calls such a contract causes no
//! further errors.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Ident, Pat, ReceiverKind, ReturnType, TraitItem, TraitItemFn, Type, parse_quote};

use super::{
    client::{passes_on, returned, returned_by_many},
    private,
};
use crate::{
    model::{Broken, BrokenMethod, Contract},
    parse::lacks_client,
    travel::names_self,
};

/// The stand-ins in the trait.
pub(super) fn declared(contract: &Contract) -> TokenStream {
    let items = contract.broken.iter().map(|item| match item {
        Broken::Other(item) => quote!(#item),
        // The trait has a function of this name already.
        Broken::Method(broken) if is_own(&broken.method.sig.ident) => TokenStream::new(),
        Broken::Method(broken) => method(contract, broken.method.clone(), broken.method.default.is_some()),
    });
    items.collect()
}

/// Whether every generated trait has a function of this name.
fn is_own(name: &Ident) -> bool {
    ["serve", "per_session", "try_per_session", "per_call"].iter().any(|own| name == own)
}

/// Whether the trait can be implemented for `Arc`, which requires that its types are known.
pub(super) fn can_be_forwarded(contract: &Contract) -> bool {
    let returns_impl = |item: &Broken| match item {
        Broken::Method(broken) => {
            matches!(&broken.method.sig.output, ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)))
        }
        Broken::Other(_) => false,
    };
    !contract.is_generic() && !contract.broken.iter().any(returns_impl)
}

/// The stand-ins in the implementation for `Arc`.
pub(super) fn forwarded(contract: &Contract) -> TokenStream {
    let items = contract.broken.iter().map(|item| match item {
        Broken::Other(item) => other(contract, item),
        Broken::Method(broken) if is_own(&broken.method.sig.ident) => TokenStream::new(),
        Broken::Method(broken) => {
            let mut broken = broken.method.clone();
            broken.attrs.retain(|attr| attr.path().is_ident("cfg"));
            method(contract, broken, true)
        }
    });
    items.collect()
}

/// An associated type or constant in the implementation for `Arc`: the object's own.
fn other(contract: &Contract, item: &TraitItem) -> TokenStream {
    let ident = &contract.ident;
    let cfgs = |attrs: &[Attribute]| {
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)*)
    };
    match item {
        TraitItem::Type(item) => {
            let (name, cfgs) = (&item.ident, cfgs(&item.attrs));
            quote!(#cfgs type #name = <__T as #ident>::#name;)
        }
        TraitItem::Const(item) => {
            let (name, ty, cfgs) = (&item.ident, &item.ty, cfgs(&item.attrs));
            quote!(#cfgs const #name: #ty = <__T as #ident>::#name;)
        }
        _ => TokenStream::new(),
    }
}

/// Whether a method that could not be read has this name.
pub(super) fn names(contract: &Contract, name: &str) -> bool {
    methods(contract).any(|broken| broken.method.sig.ident == name)
}

fn methods(contract: &Contract) -> impl Iterator<Item = &BrokenMethod> {
    contract.broken.iter().filter_map(|item| match item {
        Broken::Method(broken) => Some(&**broken),
        Broken::Other(_) => None,
    })
}

/// The stand-ins in the client.
pub(super) fn called(contract: &Contract) -> TokenStream {
    let k = private(contract);
    let stand_in = |broken: &BrokenMethod| {
        let returned = returned(contract, &broken.output);
        let (future, body) =
            (quote!(impl #k::Future<Output = #returned> + #k::Send), quote!(#k::core::future::pending()));
        called_as(contract, broken, &future, &body)
    };
    methods(contract).map(stand_in).collect()
}

/// The stand-ins in the form for groups.
pub(super) fn called_in_groups(contract: &Contract) -> TokenStream {
    let stand_in = |broken: &BrokenMethod| {
        called_as(contract, broken, &returned_by_many(contract, &broken.output), &quote!(loop {}))
    };
    methods(contract).map(stand_in).collect()
}

fn called_as(contract: &Contract, broken: &BrokenMethod, returned: &TokenStream, body: &TokenStream) -> TokenStream {
    let name = &broken.method.sig.ident;
    let attrs = broken.method.attrs.iter().filter(|attr| passes_on(attr));
    let generics = &broken.method.sig.generics;
    // In the client, `Self` and the trait's generics mean something else or nothing.
    let foreign = |ty: &&Type| contract.is_generic() || names_self(ty);
    let args = broken.args.iter().map(|ty| if foreign(&ty) { parse_quote!(impl Sized) } else { ty.clone() });
    quote! {
        #(#attrs)*
        #[allow(missing_docs)]
        pub fn #name #generics(&self #(, _: #args)*) -> #returned {
            #body
        }
    }
}

/// A method as the user wrote it, without a body or with a body that never runs.
fn method(contract: &Contract, mut method: TraitItemFn, body: bool) -> TokenStream {
    let k = private(contract);
    for input in &mut method.sig.inputs {
        if let FnArg::Typed(input) = input {
            *input.pat = Pat::Verbatim(quote!(_));
            if lacks_client(&input.ty) {
                with_client(&mut input.ty);
            }
        }
    }
    if asks_for_sized(&method, body) {
        method.sig.generics.make_where_clause().predicates.push(parse_quote!(Self: #k::Sized));
    }
    let is_async = method.sig.asyncness.take().is_some();
    if is_async {
        let output = match &method.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => quote!(#ty),
        };
        // The future never runs, so it need not be `Send`.
        method.sig.output = parse_quote!(-> impl #k::Future<Output = #output>);
    }
    method.semi_token = (!body).then(Default::default);
    method.default =
        body.then(|| if is_async { parse_quote!({ #k::core::future::pending() }) } else { parse_quote!({ loop {} }) });
    quote!(#method)
}

/// Whether the method uses `Self` in a way that requires its size.
fn asks_for_sized(method: &TraitItemFn, body: bool) -> bool {
    method.sig.inputs.iter().any(|input| match input {
        FnArg::Receiver(receiver) => body && !matches!(receiver.kind, ReceiverKind::Reference(..)),
        FnArg::Typed(input) => names_self(&input.ty),
    })
}

/// Changes `&Context` to `&Context<()>`. The path stays the user's, so that the compiler does not report the import of
/// `Context` as unused.
fn with_client(ty: &mut Type) {
    let Type::Reference(reference) = ty else { return };
    if let Type::Path(path) = &mut *reference.elem {
        if let Some(last) = path.path.segments.last_mut() {
            last.arguments = syn::PathArguments::AngleBracketed(parse_quote!(<()>));
        }
    }
}
