//! Reading a trait as a contract, and reporting what cannot be read.

use std::collections::HashMap;

use proc_macro2::{Ident, TokenStream};
use syn::{
    FnArg, ItemTrait, Pat, PatType, Path, Receiver, ReturnType, Signature, TraitItem, TraitItemFn, Type, ext::IdentExt,
    parse_quote,
};

use crate::{
    errors::Errors,
    home::Home,
    model::{Arg, ArgKind, Broken, BrokenMethod, Contract, Cx, Method, Output},
    names::method_id,
    options::{ContractOptions, MethodOptions, Role, take_argument_options},
    shape::{check_name, check_shape},
    travel::{self, Place},
    types::{is_bytes, is_named, is_of_serde_bytes, is_vec_of_bytes, last_segment, streamed, type_arguments},
};

/// What the names of the framework's own contracts begin with.
const RESERVED: &str = "rpc.";

/// A method with more arguments should take a struct instead.
const MAX_ARGUMENTS: usize = 16;

/// Reads a contract, and reports what cannot be read.
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
    if item.ident.unraw().to_string().starts_with("__") {
        errors.on(&item.ident, "names that begin with two underscores are those of generated code; choose another");
    }
    let is_own = options.krate.as_ref().is_some_and(|krate| krate.is_ident("crate"));
    if let Some(given) = options.name.as_ref().filter(|given| given.value().starts_with(RESERVED) && !is_own) {
        errors.on(
            given,
            "names that begin with `rpc.` are those of the framework's own contracts; choose another beginning",
        );
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
        optional: options.optional,
        is_group: options.group.is_some(),
        methods: Vec::new(),
        generics: item.generics,
        mentions: HashMap::new(),
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
    contract.note_mentions();
    contract
}

/// Whether an earlier method has the same name. Methods that exclude each other by `cfg` may share a name.
fn is_repeated(method: &TraitItemFn, seen: &mut Vec<(Ident, bool)>) -> bool {
    let name = &method.sig.ident;
    let always = !method.attrs.iter().any(|attr| attr.path().is_ident("cfg"));
    let repeated = seen.iter().any(|(other, other_always)| other == name && (always || *other_always));
    seen.push((name.clone(), always));
    repeated
}

/// Reads a method. If the method cannot be expanded, this reads as much as the users of the method need.
fn read_method(
    contract: &str,
    mut method: TraitItemFn,
    generic: bool,
    errors: &mut Errors,
) -> Result<Method, Box<BrokenMethod>> {
    let options = MethodOptions::take(&mut method.attrs, errors);
    let well_formed = check_shape(&method, errors) & check_name(&method.sig.ident, errors);
    let arguments = Arguments::read(&mut method.sig, errors);
    let returns = declared_return(&method.sig.output);
    let travels = returns.as_ref().is_none_or(|ty| travel::check(ty, Place::Result, errors));
    // A type that cannot be sent says nothing about the type that the author meant.
    let returned = returns.as_ref().filter(|_| travels && !generic);
    let output = read_output(&options, returned, errors);
    if generic || !well_formed || !arguments.readable || !travels {
        return Err(Box::new(BrokenMethod { method, args: arguments.passed, output }));
    }
    let name = options.name.as_ref().map_or_else(|| method.sig.ident.unraw().to_string(), syn::LitStr::value);
    Ok(Method {
        attrs: method.attrs,
        ident: method.sig.ident,
        id: options.id.unwrap_or_else(|| method_id(contract, &name)),
        name,
        options,
        cx: arguments.cx,
        args: arguments.args,
        output,
        returns,
    })
}

/// The arguments of a method without `self`.
struct Arguments {
    cx: Option<Cx>,
    args: Vec<Arg>,
    /// The types of all arguments but the context, including the unreadable ones.
    passed: Vec<Type>,
    /// Whether the method can be expanded with these arguments.
    readable: bool,
}

impl Arguments {
    /// Reads the arguments, and removes the attributes of this crate from them.
    fn read(signature: &mut Signature, errors: &mut Errors) -> Self {
        let mut arguments = Self { cx: None, args: Vec::new(), passed: Vec::new(), readable: true };
        for (position, input) in signature.inputs.iter_mut().enumerate() {
            match input {
                FnArg::Typed(input) => arguments.readable &= arguments.read_one(position, input, errors).is_some(),
                FnArg::Receiver(receiver) => check_receiver(receiver, errors),
            }
        }
        arguments.readable &= check_count(&arguments.args, signature, errors);
        check_defaults(&arguments.args, errors);
        arguments
    }

    /// Reads one argument. `None` means that the method cannot be expanded.
    fn read_one(&mut self, position: usize, input: &mut PatType, errors: &mut Errors) -> Option<()> {
        if !is_context(&input.ty) {
            self.passed.push((*input.ty).clone());
        }
        let default = take_argument_options(&mut input.attrs, errors);
        let Some(ident) = plain_name(&input.pat) else {
            errors.on(&input.pat, "an argument of a contract has a plain name; take it apart in the method's body");
            return None;
        };
        if let Some(client) = read_cx(&input.ty) {
            return self.read_context(position, ident, client, input, errors);
        }
        let kind = argument_kind(&input.ty, errors)?;
        self.args.push(Arg { ident, ty: (*input.ty).clone(), kind, default });
        Some(())
    }

    /// Reads the context. `None` means that the method cannot be expanded.
    fn read_context(
        &mut self,
        position: usize,
        ident: Ident,
        client: Option<Type>,
        input: &PatType,
        errors: &mut Errors,
    ) -> Option<()> {
        let first = self.check_only_and_first(position, &ident, input, errors);
        let Some(client) = client else {
            errors.on(
                &input.ty,
                "say whom the handler can call back: `&Context<ChatEventsClient>`, with the generated client \
                 of the other side's contract",
            );
            return None;
        };
        self.cx = Some(Cx { ident, ty: (*input.ty).clone(), client });
        first.then_some(())
    }

    /// Whether a context at this position is the only one so far and follows `self`.
    fn check_only_and_first(&self, position: usize, ident: &Ident, input: &PatType, errors: &mut Errors) -> bool {
        if self.cx.is_some() {
            errors.on(&input.pat, "a handler has one context; remove this one");
            return false;
        }
        if position != 1 {
            errors.on(&input.pat, format!("the context comes first: write `&self, {ident}: &Context<…>, …`"));
            return false;
        }
        true
    }
}

/// Checks that `self` has no attributes.
fn check_receiver(receiver: &Receiver, errors: &mut Errors) {
    for attr in &receiver.attrs {
        errors.on(attr, "`&self` has no attribute in a contract; remove this one");
    }
}

fn check_count(args: &[Arg], signature: &Signature, errors: &mut Errors) -> bool {
    if args.len() <= MAX_ARGUMENTS {
        return true;
    }
    errors.on(
        &signature.inputs,
        format!("a method has {MAX_ARGUMENTS} arguments at most; put some of them into a struct"),
    );
    false
}

/// The type after `->`, if there is one.
fn declared_return(output: &ReturnType) -> Option<Type> {
    match output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => Some((**ty).clone()),
    }
}

fn plain_name(pat: &Pat) -> Option<Ident> {
    match pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.mutability.is_none() && pat.subpat.is_none() => {
            Some(pat.ident.clone())
        }
        _ => None,
    }
}

/// Whether the type is a context, borrowed or not.
fn is_context(ty: &Type) -> bool {
    read_cx(ty).is_some() || is_named(ty, "Context")
}

/// Whether the type is `&Context` without a client.
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
        errors.on(
            ty,
            "the context is lent to the handler: write `&Context<…>`; a type of your own with this name needs another \
             here: `use crate::Context as Setting`",
        );
        return None;
    }
    if !travel::check(ty, Place::Argument, errors) {
        return None;
    }
    let kind = match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(slice) if is_named(&slice.elem, "u8") => ArgKind::BinarySlice,
            Type::Slice(slice) => ArgKind::LentSlice((*slice.elem).clone()),
            elem if is_named(elem, "str") || is_of_serde_bytes(elem) => ArgKind::Value,
            elem => ArgKind::Lent(elem.clone()),
        },
        _ if streamed(ty).is_some() => ArgKind::Streaming,
        _ if is_bytes(ty) => ArgKind::Bytes,
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
        [ok, err] => match fault_of_call_error(err) {
            Some(fault) => Output::FallibleOrStatus(ok.clone(), fault.clone()),
            None => Output::Fallible(ok.clone(), err.clone()),
        },
        _ => Output::Alias(ty.clone()),
    }
}

/// The `E` of a `CallError<E>`.
fn fault_of_call_error(err: &Type) -> Option<&Type> {
    let segment = last_segment(err).filter(|segment| segment.ident == "CallError")?;
    type_arguments(segment).first().copied()
}

/// The path of a contract's client, from the path of the contract's trait.
pub(crate) fn client_of(callback: &Path) -> Path {
    let mut path = callback.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = crate::model::client_name(&last.ident);
    }
    path
}
