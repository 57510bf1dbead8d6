//! `Caps`: how many connections there may be, in all and from one address.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
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
    of: BTreeMap<IpAddr, usize>,
}

/// A place under the caps, given back when dropped. It belongs to a connection first, and then to the session that the
/// connection has led to.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<AddressCounts>,
    /// The key in `Counts::of`. It changes only while the counts are locked.
    address: Mutex<Option<IpAddr>>,
}

/// The time of one request on a connection that serves the requests of several clients, as a proxy's does. When it is
/// dropped, the place is again as it was before.
#[derive(Debug)]
pub(crate) struct Visit {
    place: Arc<Place>,
    before: Option<IpAddr>,
    stays: bool,
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

    /// How many places there are.
    pub(crate) fn most(&self) -> usize {
        self.shared.most
    }

    /// Takes a place for a connection. A connection of unknown address counts in the total alone.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Result<Place, Full> {
        let address = address.map(key);
        let mut counts = self.shared.lock();
        if counts.all >= self.shared.most {
            return Err(Full::All);
        }
        if let Some(address) = address {
            counts.add(address, self.shared.most_of_one)?;
        }
        counts.all += 1;
        Ok(Place { shared: Arc::clone(&self.shared), address: Mutex::new(address) })
    }
}

impl Place {
    /// Gives the place to the client with this address, once it is known. Before, another address may have had it.
    pub(crate) fn settle(&self, address: IpAddr) -> Result<(), Full> {
        let address = key(address);
        let mut counts = self.shared.lock();
        let mut settled = self.address();
        if *settled == Some(address) {
            return Ok(());
        }
        counts.add(address, self.shared.most_of_one)?;
        if let Some(before) = settled.replace(address) {
            counts.remove(before);
        }
        Ok(())
    }

    /// Begins the time of one request.
    pub(crate) fn visit(self: &Arc<Self>) -> Visit {
        let before = *self.address();
        Visit { place: Arc::clone(self), before, stays: false }
    }

    fn restore(&self, before: Option<IpAddr>) {
        let mut counts = self.shared.lock();
        let mut settled = self.address();
        if *settled == before {
            return;
        }
        if let Some(address) = before {
            // The address had this place, so it may exceed its cap.
            *counts.of.entry(address).or_default() += 1;
        }
        if let Some(address) = mem::replace(&mut *settled, before) {
            counts.remove(address);
        }
    }

    fn address(&self) -> MutexGuard<'_, Option<IpAddr>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// The place stays with the client, because the connection has become the client's alone.
    pub(crate) fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.stays {
            self.place.restore(self.before);
        }
    }
}

impl Counts {
    fn add(&mut self, address: IpAddr, most: usize) -> Result<(), Full> {
        let of = self.of.get(&address).copied().unwrap_or(0);
        if of >= most {
            return Err(Full::Address);
        }
        self.of.insert(address, of + 1);
        Ok(())
    }

    fn remove(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut of) = self.of.entry(address) {
            *of.get_mut() -= 1;
            if *of.get() == 0 {
                of.remove();
            }
        }
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
        if let Some(address) = *self.address() {
            counts.remove(address);
        }
    }
}

/// What counts as one address. One customer has a whole network of IPv6, at least a /64 (RFC 6177). A socket for both
/// families shows an IPv4 address within an IPv6 address, and it is the same peer.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
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
    fn a_network_of_ipv6_is_one_address() {
        let caps = Caps::new(10, 1);
        let enter = |address: &str| caps.enter(address.parse().ok());
        let _place = enter("2001:db8:1:2::1").unwrap();
        assert_eq!(enter("2001:db8:1:2:ffff::2").unwrap_err(), Full::Address);
        let _other = enter("2001:db8:1:3::1").unwrap();
    }

    #[test]
    fn a_place_moves_to_the_address_that_turns_out() {
        let caps = Caps::new(10, 1);
        let [one, two] = [1, 2].map(|last| address(last).unwrap());
        let place = caps.enter(None).unwrap();
        place.settle(one).unwrap();
        place.settle(one).unwrap();
        let other = caps.enter(None).unwrap();
        assert_eq!(other.settle(one), Err(Full::Address));
        place.settle(two).unwrap();
        other.settle(one).unwrap();
        assert_eq!(other.settle(two), Err(Full::Address));
        assert!(caps.enter(Some(one)).is_err(), "the place stays where it was");
        drop((place, other));
        let counts = caps.shared.lock();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
    }

    #[test]
    fn a_place_is_as_it_was_before_when_a_request_is_over() {
        let caps = Caps::new(10, 1);
        let [one, two] = [1, 2].map(|last| address(last).unwrap());
        let (of_proxy, of_client) = (Arc::new(caps.enter(None).unwrap()), Arc::new(caps.enter(Some(one)).unwrap()));
        for place in [&of_proxy, &of_client] {
            let visit = place.visit();
            place.settle(two).unwrap();
            assert_eq!(caps.enter(Some(two)).unwrap_err(), Full::Address);
            drop(visit);
            drop(caps.enter(Some(two)).unwrap());
            assert_eq!(caps.enter(Some(one)).unwrap_err(), Full::Address);
        }
        let visit = of_proxy.visit();
        of_proxy.settle(two).unwrap();
        visit.stay();
        assert_eq!(caps.enter(Some(two)).unwrap_err(), Full::Address);
        drop((of_proxy, of_client));
        let counts = caps.shared.lock();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
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
