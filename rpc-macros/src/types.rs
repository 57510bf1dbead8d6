//! Questions about types that their tokens answer.

use syn::{GenericArgument, Lifetime, PathArguments, PathSegment, Type, TypeReference, visit_mut::VisitMut};

/// The last segment of a path type: `Vec<u8>` of `std::vec::Vec<u8>`.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        Type::Paren(inner) => last_segment(&inner.elem),
        Type::Group(inner) => last_segment(&inner.elem),
        _ => None,
    }
}

/// The types in the angle brackets of a segment.
pub(crate) fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == name)
}

/// `Vec<u8>` or `Bytes`, which travel as binary data.
pub(crate) fn is_owned_binary(ty: &Type) -> bool {
    is_vec_of_bytes(ty) || is_bytes(ty)
}

/// `Bytes`.
pub(crate) fn is_bytes(ty: &Type) -> bool {
    is_named(ty, "Bytes") && !is_of_serde_bytes(ty)
}

/// `serde_bytes::Bytes`, which has no size and is binary data to serde.
pub(crate) fn is_of_serde_bytes(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let mut last = path.path.segments.iter().rev();
    last.next().is_some_and(|last| last.ident == "Bytes") && last.next().is_some_and(|of| of.ident == "serde_bytes")
}

pub(crate) fn is_vec_of_bytes(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| {
        segment.ident == "Vec" && matches!(type_arguments(segment)[..], [element] if is_named(element, "u8"))
    })
}

/// Whether the author of this type may have to derive serde's traits: a path, without lifetimes and without binary
/// data, that is no type of the language.
pub(crate) fn needs_derive(ty: &Type) -> bool {
    const KNOWN: [&str; 17] = [
        "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
        "f64", "String",
    ];
    const CONTAINERS: [&str; 6] = ["Vec", "Option", "Box", "HashMap", "BTreeMap", "HashSet"];
    let Some(last) = last_segment(ty) else { return false };
    if CONTAINERS.iter().any(|known| last.ident == known) {
        return type_arguments(last).into_iter().any(needs_derive) && !borrows(ty);
    }
    !KNOWN.iter().any(|known| last.ident == known)
        && !borrows(ty)
        && streamed(ty).is_none()
        && crate::layout::Layout::of(ty).is_none()
}

/// Whether the type names a lifetime or a reference.
fn borrows(ty: &Type) -> bool {
    struct Found(bool);
    impl VisitMut for Found {
        fn visit_lifetime_mut(&mut self, _: &mut Lifetime) {
            self.0 = true;
        }
        fn visit_type_reference_mut(&mut self, _: &mut TypeReference) {
            self.0 = true;
        }
    }
    let mut found = Found(false);
    found.visit_type_mut(&mut ty.clone());
    found.0
}

/// The types in `Streaming<T>` or `Streaming<T, E>`: the item's, and the fault's.
pub(crate) fn streamed(ty: &Type) -> Option<(&Type, Option<&Type>)> {
    let segment = last_segment(ty).filter(|segment| segment.ident == "Streaming")?;
    match type_arguments(segment)[..] {
        [item] => Some((item, None)),
        [item, fault] => Some((item, Some(fault))),
        _ => None,
    }
}
