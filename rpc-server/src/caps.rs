//! `Caps`: how many connections there may be, in all and from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts connections from the accept, or from their upgrade if another HTTP server accepts, to the end of the session.
#[derive(Clone, Debug)]
pub(crate) struct Caps {
    shared: Arc<AddressCounts>,
}

#[derive(Debug)]
struct AddressCounts {
    most: usize,
    most_of_one: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A place under the caps, given back when dropped. It belongs to a connection first, and then to the session that the
/// connection has led to.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<AddressCounts>,
    address: Option<IpAddr>,
}

/// Which cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    Address,
}

impl Caps {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self { shared: Arc::new(AddressCounts { most, most_of_one, counts: Mutex::default() }) }
    }

    /// Takes a place for a connection. A connection of unknown address counts in the total alone.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Result<Place, Full> {
        // A socket for both families shows an IPv4 address within an IPv6 address. It is the same peer.
        let address = address.map(|address| address.to_canonical());
        let mut counts = self.shared.lock();
        if counts.all >= self.shared.most {
            return Err(Full::All);
        }
        if let Some(address) = address {
            let of = counts.of.get(&address).copied().unwrap_or(0);
            if of >= self.shared.most_of_one {
                return Err(Full::Address);
            }
            counts.of.insert(address, of + 1);
        }
        counts.all += 1;
        Ok(Place { shared: Arc::clone(&self.shared), address })
    }
}

impl AddressCounts {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.shared.lock();
        counts.all -= 1;
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut of) = counts.of.entry(address) {
            *of.get_mut() -= 1;
            if *of.get() == 0 {
                of.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn places_are_counted_for_each_address_and_in_all() {
        let caps = Caps::new(3, 2);
        let first = caps.enter(address(1)).unwrap();
        let _second = caps.enter(address(1)).unwrap();
        assert_eq!(caps.enter(address(1)).unwrap_err(), Full::Address);
        let _third = caps.enter(address(2)).unwrap();
        assert_eq!(caps.enter(address(3)).unwrap_err(), Full::All);
        drop(first);
        let _fourth = caps.enter(address(1)).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_have_left() {
        let caps = Caps::new(10, 10);
        let places: Vec<_> = (0..10).map(|last| caps.enter(address(last)).unwrap()).collect();
        drop(places);
        let counts = caps.shared.lock();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
    }

    #[test]
    fn a_refusal_leaves_no_trace() {
        let caps = Caps::new(10, 0);
        assert!(caps.enter(address(1)).is_err());
        let counts = caps.shared.lock();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
    }

    #[test]
    fn ipv4_in_ipv6_is_the_same_address() {
        let caps = Caps::new(10, 1);
        let _place = caps.enter(address(1)).unwrap();
        assert!(caps.enter("::ffff:192.0.2.1".parse().ok()).is_err());
    }

    #[test]
    fn a_connection_of_unknown_address_counts_among_all() {
        let caps = Caps::new(2, 1);
        let places = [caps.enter(None).unwrap(), caps.enter(None).unwrap()];
        assert_eq!(caps.enter(address(1)).unwrap_err(), Full::All);
        drop(places);
        let counts = caps.shared.lock();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
    }
}
