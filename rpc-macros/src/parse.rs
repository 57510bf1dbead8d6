//! A trait to a contract: what is read, and what cannot be.

use proc_macro2::{Ident, TokenStream};
use syn::{FnArg, ItemTrait, Pat, Path, ReturnType, TraitItem, TraitItemFn, Type, ext::IdentExt, parse_quote};

use crate::{
    errors::Errors,
    home::Home,
    model::{Arg, ArgKind, Broken, BrokenMethod, Contract, Cx, Method, Output},
    names::method_id,
    options::{ContractOptions, MethodOptions, Role, take_argument_options},
    shape::{check_name, check_shape},
    travel::{self, Place},
    types::{is_named, is_vec_of_bytes, last_segment, streamed, type_arguments},
};

/// More arguments than this are better one struct.
const MAX_ARGUMENTS: usize = 16;

/// Reads a contract.
pub(crate) fn contract(role: Role, home: Home, options: TokenStream, item: ItemTrait, errors: &mut Errors) -> Contract {
    let options = ContractOptions::parse(options, role, errors);
    if let Some(clause) = &item.generics.where_clause {
        errors.on(
            clause,
            "a contract has no `where` clause; write what it asks of `Self` after the name: `trait Chat: Debug`",
        );
    }
    if !item.generics.params.is_empty() {
        errors.on(
            &item.generics.params,
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
        krate: options.krate.or_else(|| home.path(errors)),
        callback: options.callback,
        methods: Vec::new(),
        generics: item.generics,
        broken: Vec::new(),
    };
    let generic = contract.is_generic();
    let mut seen: Vec<(Ident, bool)> = Vec::new();
    for item in item.items {
        match item {
            TraitItem::Fn(method) if is_repeated(&method, &mut seen) => errors
                .on(&method.sig.ident, format!("there is a method `{}` already; rename this one", method.sig.ident)),
            TraitItem::Fn(method) => match read_method(&contract.name, method, generic, errors) {
                Ok(read) => contract.methods.push(read),
                Err(broken) => contract.broken.push(Broken::Method(broken)),
            },
            other => {
                errors.on(&other, "a contract has methods only; move this to another trait or a module");
                contract.broken.push(Broken::Other(Box::new(other)));
            }
        }
    }
    contract
}

/// Whether a method of the same name came before. Alternatives under `cfg` may share a name.
fn is_repeated(method: &TraitItemFn, seen: &mut Vec<(Ident, bool)>) -> bool {
    let name = &method.sig.ident;
    let always = !method.attrs.iter().any(|attr| attr.path().is_ident("cfg"));
    let repeated = seen.iter().any(|(other, other_always)| other == name && (always || *other_always));
    seen.push((name.clone(), always));
    repeated
}

/// Reads a method, or as much of it as its users need if it cannot be expanded.
fn read_method(
    contract: &str,
    mut method: TraitItemFn,
    generic: bool,
    errors: &mut Errors,
) -> Result<Method, Box<BrokenMethod>> {
    let options = MethodOptions::take(&mut method.attrs, errors);
    let mut readable = check_shape(&method, errors) & check_name(&method.sig.ident, errors) & !generic;
    let mut cx = None;
    let mut args = Vec::new();
    let mut passed = Vec::new();
    for (position, input) in method.sig.inputs.iter_mut().enumerate() {
        let FnArg::Typed(input) = input else { continue };
        if !is_context(&input.ty) {
            passed.push((*input.ty).clone());
        }
        let default = take_argument_options(&mut input.attrs, errors);
        let Some(ident) = plain_name(&input.pat) else {
            errors.on(&input.pat, "an argument of a contract has a plain name; take it apart in the method's body");
            readable = false;
            continue;
        };
        match read_cx(&input.ty) {
            Some(client) => {
                if cx.is_some() {
                    errors.on(&input.pat, "a handler has one context; remove this one");
                    readable = false;
                } else if position != 1 {
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
    let travels = returns.as_ref().is_none_or(|ty| travel::check(ty, Place::Result, errors));
    readable &= travels;
    // What a caller gets of a type that cannot be sent is anyone's guess.
    let returned = returns.as_ref().filter(|_| travels && !generic);
    let output = read_output(&options, returned, errors);
    if !readable {
        return Err(Box::new(BrokenMethod { method, args: passed, output }));
    }
    let name = options.name.as_ref().map_or_else(|| method.sig.ident.unraw().to_string(), syn::LitStr::value);
    Ok(Method {
        attrs: method.attrs,
        ident: method.sig.ident,
        id: options.id.unwrap_or_else(|| method_id(contract, &name)),
        name,
        options,
        cx,
        args,
        output,
        returns,
    })
}

fn plain_name(pat: &Pat) -> Option<Ident> {
    match pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.mutability.is_none() && pat.subpat.is_none() => {
            Some(pat.ident.clone())
        }
        _ => None,
    }
}

/// Whether this is a context, lent or not.
fn is_context(ty: &Type) -> bool {
    read_cx(ty).is_some() || is_named(ty, "Context")
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
    if is_named(ty, "Context") {
        errors.on(ty, "the context is lent to the handler: write `&Context<…>`");
        return None;
    }
    if !travel::check(ty, Place::Argument, errors) {
        return None;
    }
    let kind = match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(slice) if is_named(&slice.elem, "u8") => ArgKind::BinarySlice,
            Type::Slice(slice) => ArgKind::LentSlice((*slice.elem).clone()),
            elem if is_named(elem, "str") => ArgKind::Value,
            elem => ArgKind::Lent(elem.clone()),
        },
        _ if streamed(ty).is_some() => ArgKind::Streaming,
        _ if is_named(ty, "Bytes") => ArgKind::Bytes,
        _ if is_vec_of_bytes(ty) => ArgKind::BinaryVec,
        _ => ArgKind::Value,
    };
    Some(kind)
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
