//! A method that returns `Result<T, CallError<E>>` fails with a typed fault, or with a status that arrives as one.

use rpc_core::{CallError, Code, Context, Execution, Hosting, Status, session::connect_in_memory};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Full {
    beds: u32,
}

#[rpc_core::service(callback = Guest)]
trait Inn {
    async fn book(&self, cx: &Context<GuestClient>, beds: u32) -> Result<String, CallError<Full>>;
    async fn names(&self) -> Result<Vec<u8>, CallError<Full>>;
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
