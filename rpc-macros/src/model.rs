//! `Contract`: a contract as the macros know it when they have read its trait.

use std::collections::HashMap;

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::{
    Attribute, Generics, Path, TraitItem, TraitItemFn, Type, TypeParamBound, Visibility, punctuated::Punctuated,
    spanned::Spanned, token::Plus,
};

use crate::{
    options::{MethodOptions, Role},
    types::{last_segment, needs_derive, streamed, type_arguments},
};

/// A contract that was read.
pub(crate) struct Contract {
    pub(crate) role: Role,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) supertraits: Punctuated<TypeParamBound, Plus>,
    /// The name on the wire.
    pub(crate) name: String,
    /// The crate that has `__private`; `None` if none of our crates was found, which was reported.
    pub(crate) krate: Option<Path>,
    pub(crate) callback: Option<Path>,
    /// Where the contract says that clients need not host the callback contract.
    pub(crate) optional: Option<Span>,
    /// Whether the contract has a form for groups.
    pub(crate) is_group: bool,
    pub(crate) methods: Vec<Method>,
    /// The trait's generics. A contract has none, so generics were reported as an error.
    pub(crate) generics: Generics,
    /// Where each type that serde must know is mentioned first.
    pub(crate) mentions: HashMap<String, Span>,
    /// The items that could not be read. The expansion has stand-ins for them.
    pub(crate) broken: Vec<Broken>,
}

/// A stand-in for an item that was reported as an error, so that code which uses the item is not reported too.
pub(crate) enum Broken {
    Method(Box<BrokenMethod>),
    Other(Box<TraitItem>),
}

pub(crate) struct BrokenMethod {
    pub(crate) method: TraitItemFn,
    /// The types of the arguments that a caller passes.
    pub(crate) args: Vec<Type>,
    /// What a call gives its caller.
    pub(crate) output: Output,
}

/// A method that can be expanded.
pub(crate) struct Method {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) ident: Ident,
    /// The name on the wire.
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) options: MethodOptions,
    /// The handler's context: its name, its type as written, and the client in it.
    pub(crate) cx: Option<Cx>,
    pub(crate) args: Vec<Arg>,
    pub(crate) output: Output,
    /// The return type, as the user wrote it.
    pub(crate) returns: Option<Type>,
}

pub(crate) struct Cx {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) client: Type,
}

/// An argument that is sent to the other side.
pub(crate) struct Arg {
    pub(crate) ident: Ident,
    /// The type, as the user wrote it.
    pub(crate) ty: Type,
    pub(crate) kind: ArgKind,
    pub(crate) default: bool,
}

/// How the callee receives an argument.
pub(crate) enum ArgKind {
    /// The argument is decoded as its type, which may borrow from the received data.
    Value,
    /// `&T`: the callee decodes a `T` and lends it to the method.
    Lent(Type),
    /// `&[T]`: the callee decodes a `Vec<T>` and lends it to the method.
    LentSlice(Type),
    /// `&[u8]`
    BinarySlice,
    /// `Vec<u8>`
    BinaryVec,
    /// `Bytes`
    Bytes,
    /// `Streaming<T>`, or `Streaming<T, E>`
    Streaming,
}

/// What a method returns.
#[allow(clippy::large_enum_variant, reason = "a contract has a handful of them")]
pub(crate) enum Output {
    /// The method is one-way: the caller does not wait for an answer.
    Oneway,
    Plain(Type),
    /// `Result<T, E>` with a typed fault.
    Fallible(Type, Type),
    /// `Result<T, CallError<E>>`, with a typed fault or a status
    FallibleOrStatus(Type, Type),
    /// `Result<T, Status>`
    Status(Type),
    /// An alias of a `Result`.
    Alias(Type),
}

impl Contract {
    pub(crate) fn is_generic(&self) -> bool {
        !self.generics.params.is_empty()
    }

    /// Whether the contract has an error, so that its code only serves to keep its users free of further errors.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_generic() || !self.broken.is_empty()
    }

    /// Remembers where each type is mentioned first.
    pub(crate) fn note_mentions(&mut self) {
        for ty in self.methods.iter().flat_map(Method::sent).filter(|ty| needs_derive(ty)) {
            self.mentions.entry(ty.to_token_stream().to_string()).or_insert_with(|| ty.span());
        }
    }

    /// Where the type is mentioned first, if its author may have to derive serde's traits.
    pub(crate) fn first_mention(&self, ty: &Type) -> Option<Span> {
        needs_derive(ty).then(|| self.mentions.get(&ty.to_token_stream().to_string()).copied())?
    }

    pub(crate) fn client(&self) -> Ident {
        client_name(&self.ident)
    }

    /// The name of the generated form for groups.
    pub(crate) fn group(&self) -> Ident {
        quote::format_ident!("{}Group", self.ident, span = self.ident.span())
    }
}

/// The name of the generated client of a contract.
pub(crate) fn client_name(contract: &Ident) -> Ident {
    quote::format_ident!("{contract}Client", span = contract.span())
}

impl Method {
    /// The method's `cfg` attributes, which its call and its descriptor need too.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }

    /// The types of which whole values are sent.
    fn sent(&self) -> impl Iterator<Item = &Type> {
        let args = self.args.iter().filter_map(|arg| match &arg.kind {
            ArgKind::Value => Some(&arg.ty),
            ArgKind::Lent(ty) => Some(ty),
            _ => None,
        });
        let (ok, err) = match &self.output {
            Output::Plain(ok) | Output::Status(ok) => (Some(ok), None),
            Output::Fallible(ok, err) | Output::FallibleOrStatus(ok, err) => (Some(ok), Some(err)),
            Output::Oneway | Output::Alias(_) => (None, None),
        };
        args.chain(ok).chain(err)
    }

    /// Whether an argument or the result is a stream.
    pub(crate) fn has_stream(&self) -> bool {
        self.returns_stream() || self.takes_stream()
    }

    /// Whether an argument is a stream.
    pub(crate) fn takes_stream(&self) -> bool {
        self.args.iter().any(|arg| matches!(arg.kind, ArgKind::Streaming))
    }

    /// Whether the result is a stream.
    pub(crate) fn returns_stream(&self) -> bool {
        let returned = match &self.output {
            Output::Oneway => None,
            Output::Plain(ty) | Output::Status(ty) | Output::Fallible(ty, _) | Output::FallibleOrStatus(ty, _) => {
                streamed(ty)
            }
            Output::Alias(ty) => {
                last_segment(ty).and_then(|result| type_arguments(result).first().copied()).and_then(streamed)
            }
        };
        returned.is_some()
    }

    /// The name of the constant that describes the method.
    pub(crate) fn descriptor(&self) -> Ident {
        quote::format_ident!("__METHOD_{}", self.ident, span = self.ident.span())
    }
}
