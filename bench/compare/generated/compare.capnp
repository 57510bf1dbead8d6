# What the peer of Cap'n Proto says. README.md tells how the Rust code is made from it.
@0xd9ae36c92ce00bd1;

struct Number {
  value @0 :UInt64;
}

struct Payload {
  bytes @0 :Data;
}

struct Order {
  id @0 :UInt64;
  customer @1 :Text;
  email @2 :Text;
  currency @3 :Text;
  priceCents @4 :Int64;
  quantity @5 :UInt32;
  paid @6 :Bool;
  createdMs @7 :Int64;
  note @8 :Text;
  tags @9 :List(Text);
}

# What the server is to do to the listener.
struct Task {
  listener @0 :Listener;
  count @1 :UInt64;
  inFlight @2 :UInt64;
  bytes @3 :UInt64;
}

struct Nothing {}

# Takes what the other end sends; hosted by either.
interface Listener {
  notice @0 Payload -> stream;
  ask @1 Number -> Number;
  item @2 Number -> stream;
}

interface Compare {
  addOne @0 Number -> Number;
  echo @1 Payload -> Payload;
  placeOrder @2 Order -> Order;
  wait @3 Nothing -> Nothing;
  # Each of the next ones ends when the listener has taken all.
  oneWay @4 Task -> Nothing;
  callBack @5 Task -> Nothing;
  items @6 Task -> Nothing;
  subscribe @7 Task -> Nothing;
  broadcast @8 Nothing -> Nothing;
  # Gives a listener to which the client sends its blocks.
  upload @9 Nothing -> Task;
}
