//! A trait to a contract: what is read, and what cannot be.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{
    FnArg, ItemTrait, Pat, Path, ReceiverKind, ReturnType, TraitItem, TraitItemFn, Type, ext::IdentExt, parse_quote,
};

use crate::{
    errors::Errors,
    model::{Arg, ArgKind, Contract, Cx, Method, Output},
    names::{RESERVED, method_id},
    options::{ContractOptions, MethodOptions, Role, take_argument_options},
    types::{is_named, is_vec_of_bytes, last_segment, type_arguments},
};

/// More arguments than this are better one struct.
const MAX_ARGUMENTS: usize = 16;

/// Reads a contract.
pub(crate) fn contract(role: Role, options: TokenStream, item: ItemTrait, errors: &mut Errors) -> Contract {
    let options = ContractOptions::parse(options, role, errors);
    if !item.generics.params.is_empty() || item.generics.where_clause.is_some() {
        let tokens = item.generics.params.to_token_stream();
        errors.on(
            &tokens,
            "a contract cannot be generic: both ends must know every type that travels; \
             write one trait for each type, or use an enum",
        );
    }
    if let Some(token) = &item.unsafety {
        errors.on(token, "a contract cannot be unsafe; remove `unsafe`");
    }
    let name = options.name.as_ref().map_or_else(|| item.ident.unraw().to_string(), syn::LitStr::value);
    let mut contract = Contract {
        role,
        attrs: item.attrs,
        vis: item.vis,
        ident: item.ident,
        supertraits: item.supertraits,
        name,
        krate: options.krate.unwrap_or_else(|| parse_quote!(::rpc_core)),
        callback: options.callback,
        methods: Vec::new(),
        broken: Vec::new(),
    };
    for item in item.items {
        match item {
            TraitItem::Fn(mut method) => match read_method(&contract.name, &mut method, errors) {
                Some(read) => contract.methods.push(read),
                // The trait has its own.
                None if method.sig.ident == "serve" => {}
                None => contract.broken.push(TraitItem::Fn(method)),
            },
            other => {
                errors.on(&other, "a contract has methods only; move this to another trait or a module");
                contract.broken.push(other);
            }
        }
    }
    contract
}

/// Reads a method; `None` if it cannot be expanded. `method` loses its `#[rpc]` attributes in any case.
fn read_method(contract: &str, method: &mut TraitItemFn, errors: &mut Errors) -> Option<Method> {
    let options = MethodOptions::take(&mut method.attrs, errors);
    let mut readable = check_shape(method, errors) & check_name(&method.sig.ident, errors);
    let mut cx = None;
    let mut args = Vec::new();
    for (position, input) in method.sig.inputs.iter_mut().enumerate().skip(1) {
        let FnArg::Typed(input) = input else { continue };
        let default = take_argument_options(&mut input.attrs, errors);
        let Some(ident) = plain_name(&input.pat) else {
            errors.on(&input.pat, "an argument of a contract has a plain name; take it apart in the method's body");
            readable = false;
            continue;
        };
        match read_cx(&input.ty) {
            Some(client) => {
                if position != 1 {
                    errors.on(&input.pat, format!("the context comes first: write `&self, {ident}: &Context<…>, …`"));
                    readable = false;
                }
                match client {
                    Some(client) => cx = Some(Cx { ident, ty: (*input.ty).clone(), client }),
                    None => {
                        errors.on(
                            &input.ty,
                            "say whom the handler can call back: `&Context<ChatEventsClient>`, with the generated client \
                             of the other side's contract",
                        );
                        readable = false;
                    }
                }
            }
            None => match argument_kind(&input.ty, errors) {
                Some(kind) => args.push(Arg { ident, ty: (*input.ty).clone(), kind, default }),
                None => readable = false,
            },
        }
    }
    if args.len() > MAX_ARGUMENTS {
        errors.on(
            &method.sig.inputs,
            format!("a method has {MAX_ARGUMENTS} arguments at most; put some of them into a struct"),
        );
        readable = false;
    }
    check_defaults(&args, errors);
    let returns = match &method.sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some((**ty).clone()),
    };
    let output = read_output(&options, returns.as_ref(), errors);
    if !readable {
        return None;
    }
    let name = options.name.as_ref().map_or_else(|| method.sig.ident.unraw().to_string(), syn::LitStr::value);
    Some(Method {
        attrs: method.attrs.clone(),
        ident: method.sig.ident.clone(),
        id: options.id.unwrap_or_else(|| method_id(contract, &name)),
        name,
        options,
        cx,
        args,
        output,
        returns,
    })
}

/// Everything about a method's signature but its arguments.
fn check_shape(method: &TraitItemFn, errors: &mut Errors) -> bool {
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
        wrong(
            &sig.generics.params,
            "a method of a contract cannot be generic: both ends must know every type that travels; \
             name the types, and leave lifetimes out (`&str`, `&[u8]`, `&T` work as they are)",
        );
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

/// Names that the trait or its client uses itself.
fn check_name(ident: &Ident, errors: &mut Errors) -> bool {
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
    free
}

fn plain_name(pat: &Pat) -> Option<Ident> {
    match pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.mutability.is_none() && pat.subpat.is_none() => {
            Some(pat.ident.clone())
        }
        _ => None,
    }
}

/// Whether this is `&Context` without the client in it.
pub(crate) fn lacks_client(ty: &Type) -> bool {
    matches!(read_cx(ty), Some(None))
}

/// The client in `&Context<Client>`; `Some(None)` if the context does not name one.
fn read_cx(ty: &Type) -> Option<Option<Type>> {
    let Type::Reference(reference) = ty else { return None };
    let segment = last_segment(&reference.elem).filter(|segment| segment.ident == "Context")?;
    Some(type_arguments(segment).first().map(|client| (*client).clone()))
}

fn argument_kind(ty: &Type, errors: &mut Errors) -> Option<ArgKind> {
    let reference = match ty {
        Type::Reference(reference) => reference,
        Type::ImplTrait(_) => {
            errors.on(ty, "an argument's type must be named: both ends must know it");
            return None;
        }
        _ if is_named(ty, "Bytes") => return Some(ArgKind::Bytes),
        _ if is_vec_of_bytes(ty) => return Some(ArgKind::BinaryVec),
        _ if is_named(ty, "Context") => {
            errors.on(ty, "the context is lent to the handler: write `&Context<…>`");
            return None;
        }
        _ => return Some(ArgKind::Value),
    };
    if reference.mutability.is_some() {
        errors.on(
            ty,
            "an argument is copied to the other side, so nothing written to it would come back; take `&` or a value",
        );
        return None;
    }
    if let Some(lifetime) = &reference.lifetime {
        errors.on(lifetime, "an argument is lent for the call only; leave the lifetime out");
        return None;
    }
    match &*reference.elem {
        Type::Slice(slice) if is_named(&slice.elem, "u8") => Some(ArgKind::BinarySlice),
        Type::Slice(slice) => Some(ArgKind::LentSlice((*slice.elem).clone())),
        elem if is_named(elem, "str") => Some(ArgKind::Value),
        Type::TraitObject(_) => {
            errors.on(ty, "an argument's type must be named: both ends must know it");
            None
        }
        elem => Some(ArgKind::Lent(elem.clone())),
    }
}

/// An older caller leaves out the last arguments, so only those can have defaults.
fn check_defaults(args: &[Arg], errors: &mut Errors) {
    let Some(first) = args.iter().position(|arg| arg.default) else { return };
    for arg in args[first..].iter().filter(|arg| !arg.default) {
        errors.on(
            &arg.ident,
            format!(
                "`{}` follows an argument with #[rpc(default)]; callers that do not know that one cannot send this one: \
                 mark it #[rpc(default)] too, or move it before",
                arg.ident
            ),
        );
    }
}

fn read_output(options: &MethodOptions, returns: Option<&Type>, errors: &mut Errors) -> Output {
    let unit: Type = parse_quote!(());
    let is_unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    let Some(ty) = returns.filter(|ty| !is_unit(ty)) else {
        return if options.oneway.is_some() { Output::Oneway } else { Output::Plain(unit) };
    };
    if options.oneway.is_some() {
        errors.on(ty, "a one-way call is not answered, so it returns nothing; remove the return type or `oneway`");
        return Output::Oneway;
    }
    if options.fallible.is_some() {
        return Output::Alias(ty.clone());
    }
    let Some(segment) = last_segment(ty).filter(|segment| segment.ident == "Result") else {
        return Output::Plain(ty.clone());
    };
    match type_arguments(segment)[..] {
        [ok, err] if is_named(err, "Status") => Output::Status(ok.clone()),
        [ok, err] => Output::Fallible(ok.clone(), err.clone()),
        _ => Output::Alias(ty.clone()),
    }
}

/// The path of the client of a contract that is named by its trait.
pub(crate) fn client_of(callback: &Path) -> Path {
    let mut path = callback.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = crate::model::client_name(&last.ident);
    }
    path
}
