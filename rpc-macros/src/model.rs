//! What a contract is, once its trait has been read.

use proc_macro2::Ident;
use syn::{
    Attribute, Generics, Path, TraitItem, TraitItemFn, Type, TypeParamBound, Visibility, punctuated::Punctuated,
    token::Plus,
};

use crate::{
    options::{MethodOptions, Role},
    types::{last_segment, streamed, type_arguments},
};

/// A contract.
pub(crate) struct Contract {
    pub(crate) role: Role,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) supertraits: Punctuated<TypeParamBound, Plus>,
    /// The name on the wire.
    pub(crate) name: String,
    /// Where `__private` is, or nothing where none of our crates was found, which is an error already.
    pub(crate) krate: Option<Path>,
    pub(crate) callback: Option<Path>,
    pub(crate) methods: Vec<Method>,
    /// Empty unless something is wrong.
    pub(crate) generics: Generics,
    /// What could not be read, to be emitted as nearly as possible.
    pub(crate) broken: Vec<Broken>,
}

/// What stands for an item that was reported, so that what uses it is not reported too.
pub(crate) enum Broken {
    Method(Box<BrokenMethod>),
    Other(Box<TraitItem>),
}

pub(crate) struct BrokenMethod {
    pub(crate) method: TraitItemFn,
    /// The types of what a caller passes.
    pub(crate) args: Vec<Type>,
    /// What a caller gets.
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
    /// The return type as written.
    pub(crate) returns: Option<Type>,
}

pub(crate) struct Cx {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) client: Type,
}

/// An argument that travels.
pub(crate) struct Arg {
    pub(crate) ident: Ident,
    /// As written.
    pub(crate) ty: Type,
    pub(crate) kind: ArgKind,
    pub(crate) default: bool,
}

/// How an argument is received.
pub(crate) enum ArgKind {
    /// Decoded as its type, which may borrow.
    Value,
    /// `&T`: a `T` is decoded and lent.
    Lent(Type),
    /// `&[T]`: a `Vec<T>` is decoded and lent.
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
    /// Nothing: the caller does not wait for an answer.
    Oneway,
    Plain(Type),
    /// `Result<T, E>` with a typed fault.
    Fallible(Type, Type),
    /// `Result<T, Status>`
    Status(Type),
    /// An alias of a `Result`.
    Alias(Type),
}

impl Contract {
    pub(crate) fn is_generic(&self) -> bool {
        !self.generics.params.is_empty()
    }

    /// Whether the contract compiles for the sake of its users only.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_generic() || !self.broken.is_empty()
    }

    pub(crate) fn client(&self) -> Ident {
        client_name(&self.ident)
    }
}

/// The name of the generated client of a contract.
pub(crate) fn client_name(contract: &Ident) -> Ident {
    quote::format_ident!("{contract}Client", span = contract.span())
}

impl Method {
    /// The attributes that also matter where the method is called or described.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }

    /// Whether an argument or the result is a stream.
    pub(crate) fn has_stream(&self) -> bool {
        self.returns_stream() || self.args.iter().any(|arg| matches!(arg.kind, ArgKind::Streaming))
    }

    /// Whether its result is a stream.
    pub(crate) fn returns_stream(&self) -> bool {
        let returned = match &self.output {
            Output::Oneway => None,
            Output::Plain(ty) | Output::Status(ty) | Output::Fallible(ty, _) => streamed(ty),
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
