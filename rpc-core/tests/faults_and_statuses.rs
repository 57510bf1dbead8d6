//! A method that returns `Result<T, CallError<E>>` fails with a typed fault, or with a status that arrives as one.

use rpc_core::{CallError, Code, Context, Execution, Hosting, Status, session::connect_in_memory};
use rpc_testing::at_rest;
use serde::{
    Deserialize, Serialize, Serializer,
    ser::{Error, SerializeStruct},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Full {
    beds: u32,
}

#[rpc_core::service(callback = Guest)]
trait Inn {
    async fn book(&self, cx: &Context<GuestClient>, beds: u32) -> Result<String, CallError<Full>>;
    async fn names(&self) -> Result<Vec<u8>, CallError<Full>>;
    async fn bill(&self, legible: bool) -> Bill;
}

/// A value that serializes only if it is legible.
#[derive(Debug, PartialEq, Deserialize)]
struct Bill {
    legible: bool,
}

impl Serialize for Bill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bill = serializer.serialize_struct("Bill", 1)?;
        bill.serialize_field("legible", &self.legible)?;
        if !self.legible {
            return Err(S::Error::custom("the ink has run"));
        }
        bill.end()
    }
}

#[rpc_core::callback]
trait Guest {
    async fn confirm(&self, beds: u32) -> Result<String, CallError<Full>>;
}

struct House;

impl Inn for House {
    async fn book(&self, cx: &Context<GuestClient>, beds: u32) -> Result<String, CallError<Full>> {
        if beds > 2 {
            return Err(CallError::Fault(Full { beds: 2 }));
        }
        // A fault and a status of the callback go on as what they are.
        cx.peer().confirm(beds).await
    }

    async fn names(&self) -> Result<Vec<u8>, CallError<Full>> {
        Ok(vec![1, 2, 3])
    }

    async fn bill(&self, legible: bool) -> Bill {
        Bill { legible }
    }
}

struct Ada;

impl Guest for Ada {
    async fn confirm(&self, beds: u32) -> Result<String, CallError<Full>> {
        match beds {
            0 => Err(Status::unavailable("asleep").into()),
            1 => Ok("yes".to_owned()),
            beds => Err(CallError::Fault(Full { beds })),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn faults_and_statuses_arrive_as_what_they_are() {
    let server = Hosting::builder().service(House.serve()).build().unwrap();
    let client = Hosting::builder().service(Ada.serve()).build().unwrap();
    let (_server, session) = connect_in_memory(&server, &client);
    let inn: InnClient = session.client();
    assert_eq!(inn.book(1).await, Ok("yes".to_owned()));
    assert_eq!(inn.book(3).await, Err(CallError::Fault(Full { beds: 2 })));
    assert_eq!(inn.book(2).await, Err(CallError::Fault(Full { beds: 2 })));
    let asleep = inn.book(0).await.unwrap_err();
    let status = asleep.status().expect("a status");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "asleep"));
    assert_eq!(status.execution(), Execution::Unknown, "the handler has run");
    assert_eq!(inn.names().await, Ok(vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_does_not_serialize_is_internal_and_the_next_call_works() {
    let server = Hosting::builder().service(House.serve()).build().unwrap();
    let client = Hosting::builder().service(Ada.serve()).build().unwrap();
    let (server, session) = connect_in_memory(&server, &client);
    let inn: InnClient = session.client();
    for _ in 0..10 {
        let status = inn.bill(false).await.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::Internal, Execution::Unknown));
        assert!(status.message().contains("Inn.bill") && status.message().contains("the ink has run"), "{status}");
        assert_eq!(inn.bill(true).await, Ok(Bill { legible: true }));
    }
    at_rest(&server).await;
    at_rest(&session).await;
}
