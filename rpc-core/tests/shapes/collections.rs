//! Sequences, sets and maps, with keys of every kind.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    net::IpAddr,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Key {
    One,
    Number(u32),
    Named { name: String },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Id(u64);

shapes! {
    Collections, CollectionsClient, collections_arrive:
    vec: Vec<u32> = vec![1, 2];
    no_vec: Vec<u32> = vec![];
    vec_of_units: Vec<()> = vec![(), ()];
    vec_of_vecs: Vec<Vec<Vec<u8>>> = vec![vec![vec![1, 2], vec![]], vec![]];
    vec_of_options: Vec<Option<u8>> = vec![Some(1), None];
    option_of_vec: Option<Vec<Option<String>>> = Some(vec![None, Some(String::new())]);
    deque: VecDeque<u32> = VecDeque::from([1, 2]);
    list: LinkedList<u32> = LinkedList::from([1, 2]);
    set: HashSet<String> = HashSet::from(["a".to_owned()]);
    ordered_set: BTreeSet<u8> = BTreeSet::from([1, 200]);
    binary: Bytes = Bytes::from_static(&[1, 200]);
    binary_in_an_option: Option<Bytes> = Some(Bytes::new());
    map: HashMap<String, u32> = HashMap::from([("a".to_owned(), 1)]);
    no_map: BTreeMap<String, u32> = BTreeMap::new();
    map_by_numbers: BTreeMap<u64, String> = BTreeMap::from([(u64::MAX, "a".to_owned())]);
    map_by_negatives: BTreeMap<i8, u8> = BTreeMap::from([(-1, 1), (1, 2)]);
    map_by_booleans: BTreeMap<bool, u8> = BTreeMap::from([(true, 1)]);
    map_by_characters: BTreeMap<char, u8> = BTreeMap::from([('a', 1)]);
    map_by_units: BTreeMap<(), u8> = BTreeMap::from([((), 1)]);
    map_by_tuples: BTreeMap<(u8, String), u8> = BTreeMap::from([((1, "a".to_owned()), 1)]);
    map_by_structs: BTreeMap<Point, u8> = BTreeMap::from([(Point { x: 1, y: 2 }, 1)]);
    map_by_ids: BTreeMap<Id, u8> = BTreeMap::from([(Id(1), 1)]);
    map_by_enums: BTreeMap<Key, u8> =
        BTreeMap::from([(Key::One, 1), (Key::Number(2), 2), (Key::Named { name: "a".to_owned() }, 3)]);
    map_by_options: BTreeMap<Option<u8>, u8> = BTreeMap::from([(None, 1), (Some(1), 2)]);
    map_by_arrays: BTreeMap<[u8; 2], u8> = BTreeMap::from([([1, 2], 1)]);
    map_by_binary: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::from([(vec![1], vec![2])]);
    map_by_addresses: BTreeMap<IpAddr, u8> = BTreeMap::from([(IpAddr::from([1, 2, 3, 4]), 1)]);
    map_by_wide_numbers: BTreeMap<i128, u128> = BTreeMap::from([(i128::MIN, u128::MAX)]);
    map_of_maps: HashMap<u8, HashMap<u8, Option<u8>>> = HashMap::from([(1, HashMap::from([(2, None)]))]);
}

#[rpc_core::service]
trait Heaps {
    async fn heap(&self, value: BinaryHeap<Reverse<u32>>) -> BinaryHeap<Reverse<u32>>;
}

struct Echoes;

impl Heaps for Echoes {
    async fn heap(&self, value: BinaryHeap<Reverse<u32>>) -> BinaryHeap<Reverse<u32>> {
        value
    }
}

#[tokio::test]
async fn heaps_arrive() {
    let (client, _session) = crate::session::<HeapsClient>(Echoes.serve());
    let heap = client.heap([1, 2, 3].map(Reverse).into()).await.unwrap();
    assert_eq!(heap.into_sorted_vec(), [3, 2, 1].map(Reverse));
}
