//! Primitives, tuples and types of std.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    ffi::CString,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::{NonZeroI8, NonZeroU64, NonZeroU128, Saturating, Wrapping},
    ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

shapes! {
    Plain, PlainClient, plain_types_arrive:
    unit: () = ();
    boolean: bool = true;
    byte: u8 = u8::MAX;
    short: u16 = u16::MAX;
    word: u32 = u32::MAX;
    long: u64 = u64::MAX;
    wide: u128 = u128::MAX;
    size: usize = usize::MAX;
    negative_byte: i8 = i8::MIN;
    negative_short: i16 = i16::MIN;
    negative_word: i32 = i32::MIN;
    negative_long: i64 = i64::MIN;
    negative_wide: i128 = i128::MIN;
    positive_wide: i128 = i128::MAX;
    negative_size: isize = isize::MIN;
    small: u64 = 0;
    single: f32 = f32::MIN_POSITIVE;
    double: f64 = -0.1;
    infinite: f64 = f64::NEG_INFINITY;
    character: char = '\u{1F980}';
    text: String = "\0\u{FFFF}text".to_owned();
    one: (u8,) = (1,);
    pair: (u8, String) = (1, "two".to_owned());
    nested: ((), ((u8,), bool)) = ((), ((1,), true));
    long_tuple: (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8) = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    array: [u16; 3] = [1, 2, 3];
    no_array: [u16; 0] = [];
    bytes: [u8; 32] = [200; 32];
    some: Option<u32> = Some(0);
    none: Option<u32> = None;
    option_of_array: Option<[u8; 0]> = Some([]);
    result: Vec<Result<u8, String>> = vec![Ok(1), Err("no".to_owned())];
    boxed: Box<(u32, Box<u8>)> = Box::new((7, Box::new(8)));
    boxed_text: Box<str> = "text".into();
    boxed_slice: Box<[u32]> = Box::new([1, 2]);
    cell: Cell<u32> = Cell::new(7);
    ref_cell: RefCell<u32> = RefCell::new(7);
    reversed: Reverse<u32> = Reverse(7);
    wrapping: Wrapping<u32> = Wrapping(7);
    saturating: Saturating<u8> = Saturating(7);
    phantom: PhantomData<u32> = PhantomData;
    option_of_phantom: Option<PhantomData<u32>> = Some(PhantomData);
    non_zero: NonZeroU64 = NonZeroU64::MAX;
    negative_non_zero: NonZeroI8 = NonZeroI8::MIN;
    wide_non_zero: NonZeroU128 = NonZeroU128::MAX;
    duration: Duration = Duration::new(u64::MAX, 999_999_999);
    time: SystemTime = SystemTime::UNIX_EPOCH + Duration::new(1, 2);
    range: Range<u32> = 1..2;
    range_inclusive: RangeInclusive<i64> = -1..=2;
    range_from: RangeFrom<u32> = 1..;
    range_to: RangeTo<u32> = ..2;
    bound: (Bound<u32>, Bound<u32>) = (Bound::Unbounded, Bound::Excluded(2));
    address: IpAddr = Ipv6Addr::LOCALHOST.into();
    address_4: Ipv4Addr = Ipv4Addr::BROADCAST;
    socket: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 80));
    socket_4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    socket_6: SocketAddrV6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0);
    path: PathBuf = PathBuf::from("/a/b");
    c_string: CString = CString::from(c"text");
}

#[rpc_core::service]
trait Shared {
    async fn mutex(&self, value: Mutex<u32>) -> Mutex<u32>;
    async fn atomic(&self, value: AtomicU64, more: &AtomicBool) -> AtomicU64;
    async fn nan(&self, value: f64) -> f64;
}

struct Adder;

impl Shared for Adder {
    async fn mutex(&self, value: Mutex<u32>) -> Mutex<u32> {
        Mutex::new(value.into_inner().unwrap() + 1)
    }
    async fn atomic(&self, value: AtomicU64, more: &AtomicBool) -> AtomicU64 {
        AtomicU64::new(value.into_inner() + u64::from(more.load(Ordering::Relaxed)))
    }
    async fn nan(&self, value: f64) -> f64 {
        value
    }
}

#[tokio::test]
async fn types_that_cannot_be_compared_arrive() {
    let (client, _session) = crate::session::<SharedClient>(Adder.serve());
    assert_eq!(client.mutex(Mutex::new(1)).await.unwrap().into_inner().unwrap(), 2);
    assert_eq!(client.atomic(AtomicU64::new(1), &AtomicBool::new(true)).await.unwrap().into_inner(), 2);
    assert!(client.nan(f64::NAN).await.unwrap().is_nan());
}
