//! `Rare`: a part of a session that most sessions do not need, or not all the time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// A part that a session may do without.
pub(crate) trait Rarely: Sized + 'static {
    /// What a session has to keep to make the part.
    type Terms;

    /// The part as it is read while there is none. The terms do not change what is read there.
    fn none() -> &'static Self;

    /// The part as it begins.
    fn begin(terms: &Self::Terms) -> Self;

    /// Whether the part can go: nothing is lost if it begins anew. It leaves in the terms what the next one has to
    /// know.
    fn can_go(&self, terms: &mut Self::Terms) -> bool;
}

/// A part that takes a pointer and its terms while it is not needed. There may be very many sessions that are idle, so
/// the memory of what they do not need counts.
///
/// A look at a part that is not there sees [`Rarely::none`], and a change makes the part. Look first, or use
/// [`Self::get_mut`], where a change may come to nothing.
pub(crate) struct Rare<T: Rarely> {
    terms: T::Terms,
    made: Option<Box<T>>,
}

impl<T: Rarely> Rare<T> {
    pub(crate) fn new(terms: T::Terms) -> Self {
        Self { terms, made: None }
    }

    /// The terms have changed: `change` is told if there is a part.
    pub(crate) fn set_terms(&mut self, terms: T::Terms, change: impl FnOnce(&mut T, &T::Terms)) {
        self.terms = terms;
        if let Some(made) = &mut self.made {
            change(made, &self.terms);
        }
    }

    pub(crate) fn terms(&self) -> &T::Terms {
        &self.terms
    }

    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        self.made.is_some()
    }

    /// The part, if there is one. On a hot path this costs less than a look at a part that is not there.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.made.as_deref()
    }

    /// The part, if there is one.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.made.as_deref_mut()
    }

    /// Frees memory: `trim` makes the part smaller, and one that can go goes.
    pub(crate) fn trim(&mut self, trim: impl FnOnce(&mut T)) {
        let Some(made) = &mut self.made else { return };
        trim(made);
        if made.can_go(&mut self.terms) {
            self.made = None;
        }
    }

    #[cold]
    fn make(&mut self) -> &mut T {
        self.made.insert(Box::new(T::begin(&self.terms)))
    }
}

impl<T: Rarely<Terms = ()>> From<T> for Rare<T> {
    fn from(made: T) -> Self {
        Self { terms: (), made: Some(Box::new(made)) }
    }
}

impl<T: Rarely<Terms: Default>> Default for Rare<T> {
    fn default() -> Self {
        Self::new(T::Terms::default())
    }
}

impl<T: Rarely> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.made {
            Some(made) => made,
            None => T::none(),
        }
    }
}

impl<T: Rarely> DerefMut for Rare<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        match self.made {
            Some(ref mut made) => made,
            None => self.make(),
        }
    }
}

impl<T: Rarely + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.made.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A count that begins at its terms.
    #[derive(Debug)]
    struct Count(usize);

    impl Rarely for Count {
        type Terms = usize;

        fn none() -> &'static Self {
            &Self(0)
        }

        fn begin(terms: &usize) -> Self {
            Self(*terms)
        }

        fn can_go(&self, terms: &mut usize) -> bool {
            *terms = self.0 / 2 * 2;
            self.0 == *terms
        }
    }

    #[test]
    fn a_part_is_there_from_the_first_change_until_it_can_go() {
        let mut count = Rare::<Count>::new(6);
        assert!(count.0 == 0 && !count.is_there());
        count.0 += 1;
        count.trim(|_| ());
        assert!(count.0 == 7 && count.is_there(), "it is odd");
        count.trim(|count| count.0 += 1);
        assert!(count.0 == 0 && !count.is_there());
        count.0 += 1;
        assert_eq!(count.0, 9, "the next one goes on");
    }
}
