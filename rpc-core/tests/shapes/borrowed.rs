//! Arguments that borrow from the caller and from the received data.

use std::{borrow::Cow, collections::BTreeMap, ffi::OsString, path::Path};

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Lent<'a> {
    name: &'a str,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    #[serde(borrow)]
    cow: Cow<'a, str>,
    #[serde(with = "serde_bytes")]
    bytes: &'a [u8],
}

#[derive(Serialize, Deserialize)]
enum Order<'a> {
    Named(&'a str),
    Pair { a: &'a str, b: &'a str },
}

#[derive(Serialize, Deserialize)]
struct Generic<T>(T);

/// Each method returns what it saw.
#[rpc_core::service]
trait Borrows {
    async fn text(&self, value: &str) -> String;
    async fn unsized_path(&self, value: &std::path::PathBuf) -> String;
    async fn string(&self, value: &String) -> String;
    async fn maybe(&self, value: Option<&str>) -> String;
    async fn pair(&self, value: (&str, &str)) -> String;
    async fn list(&self, value: &[&str]) -> String;
    async fn vec(&self, value: Vec<&str>) -> String;
    async fn array(&self, value: [&str; 2]) -> String;
    async fn map(&self, value: BTreeMap<&str, &str>) -> String;
    async fn cow(&self, value: Cow<'_, str>) -> String;
    async fn lent_cow(&self, value: &Cow<'static, str>) -> String;
    async fn structure(&self, value: Lent<'_>) -> String;
    async fn lent_structure(&self, value: &Lent<'_>) -> String;
    async fn enumeration(&self, value: Order<'_>, more: &[Order<'_>]) -> String;
    async fn generic(&self, value: Generic<&str>) -> String;
    async fn numbers(&self, value: &[u32], one: &u32, tuple: &(u8, String), array: &[u8; 3]) -> String;
    async fn bytes(&self, value: &[u8], more: &serde_bytes::Bytes) -> String;
    async fn os(&self, value: &OsString) -> String;
}

struct Reader;

impl Borrows for Reader {
    async fn text(&self, value: &str) -> String {
        value.to_owned()
    }
    async fn unsized_path(&self, value: &std::path::PathBuf) -> String {
        value.display().to_string()
    }
    async fn string(&self, value: &String) -> String {
        value.clone()
    }
    async fn maybe(&self, value: Option<&str>) -> String {
        format!("{value:?}")
    }
    async fn pair(&self, value: (&str, &str)) -> String {
        [value.0, value.1].concat()
    }
    async fn list(&self, value: &[&str]) -> String {
        value.concat()
    }
    async fn vec(&self, value: Vec<&str>) -> String {
        value.concat()
    }
    async fn array(&self, value: [&str; 2]) -> String {
        value.concat()
    }
    async fn map(&self, value: BTreeMap<&str, &str>) -> String {
        format!("{value:?}")
    }
    async fn cow(&self, value: Cow<'_, str>) -> String {
        value.into_owned()
    }
    async fn lent_cow(&self, value: &Cow<'static, str>) -> String {
        value.to_string()
    }
    async fn structure(&self, value: Lent<'_>) -> String {
        self.lent_structure(&value).await
    }
    async fn lent_structure(&self, value: &Lent<'_>) -> String {
        assert!(matches!(value.cow, Cow::Borrowed(_)));
        format!("{} {:?} {} {:?}", value.name, value.tags, value.cow, value.bytes)
    }
    async fn enumeration(&self, value: Order<'_>, more: &[Order<'_>]) -> String {
        let name = |order: &Order<'_>| match order {
            Order::Named(name) => (*name).to_owned(),
            Order::Pair { a, b } => [*a, *b].concat(),
        };
        name(&value) + &more.iter().map(name).collect::<String>()
    }
    async fn generic(&self, value: Generic<&str>) -> String {
        value.0.to_owned()
    }
    async fn numbers(&self, value: &[u32], one: &u32, tuple: &(u8, String), array: &[u8; 3]) -> String {
        format!("{value:?} {one} {tuple:?} {array:?}")
    }
    async fn bytes(&self, value: &[u8], more: &serde_bytes::Bytes) -> String {
        format!("{value:?} {:?}", &**more)
    }
    async fn os(&self, value: &OsString) -> String {
        value.to_string_lossy().into_owned()
    }
}

fn lent() -> Lent<'static> {
    Lent { name: "a", tags: vec!["b", "c"], cow: "d".into(), bytes: &[1, 200] }
}

#[tokio::test]
async fn borrowed_arguments_arrive() {
    let (client, _session) = crate::session::<BorrowsClient>(Reader.serve());
    assert_eq!(client.text("text").await.unwrap(), "text");
    assert_eq!(client.unsized_path(&Path::new("/a/b").to_owned()).await.unwrap(), "/a/b");
    assert_eq!(client.string(&"text".to_owned()).await.unwrap(), "text");
    assert_eq!(client.maybe(Some("")).await.unwrap(), "Some(\"\")");
    assert_eq!(client.pair(("a", "b")).await.unwrap(), "ab");
    assert_eq!(client.list(&["a", "b"]).await.unwrap(), "ab");
    assert_eq!(client.vec(vec!["a", "b"]).await.unwrap(), "ab");
    assert_eq!(client.array(["a", "b"]).await.unwrap(), "ab");
    assert_eq!(client.map(BTreeMap::from([("a", "b")])).await.unwrap(), "{\"a\": \"b\"}");
    assert_eq!(client.cow("text".into()).await.unwrap(), "text");
    assert_eq!(client.lent_cow(&"text".into()).await.unwrap(), "text");
    let seen = "a [\"b\", \"c\"] d [1, 200]";
    assert_eq!(client.structure(lent()).await.unwrap(), seen);
    assert_eq!(client.lent_structure(&lent()).await.unwrap(), seen);
    let more = [Order::Pair { a: "b", b: "c" }];
    assert_eq!(client.enumeration(Order::Named("a"), &more).await.unwrap(), "abc");
    assert_eq!(client.generic(Generic("text")).await.unwrap(), "text");
    let tuple = (1, "a".to_owned());
    assert_eq!(client.numbers(&[1, 2], &3, &tuple, &[4, 5, 6]).await.unwrap(), "[1, 2] 3 (1, \"a\") [4, 5, 6]");
    assert_eq!(client.bytes(&[1], serde_bytes::Bytes::new(&[2])).await.unwrap(), "[1] [2]");
    assert_eq!(client.os(&OsString::from("text")).await.unwrap(), "text");
}
