//! `Tracing`: the attributes of spans, and traces through both ends.

use std::time::Duration;

use rpc_core::{CallOptions, intercept::Tracing};

use crate::{
    spans::{Fields, Spans},
    town::{Ends, open},
};

fn traced() -> Ends {
    open(|s| s.interceptor(Tracing::new()), |c| c.interceptor(Tracing::new()))
}

fn some(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).cloned()
}

#[tokio::test(start_paused = true)]
async fn spans_have_the_attributes_of_the_conventions() {
    Spans::keep();
    let ends = traced();
    ends.town.visit().await.unwrap();
    let [client, server] = <[Fields; 2]>::try_from(Spans::read()).unwrap();
    for (span, kind) in [(&client, "client"), (&server, "server")] {
        assert_eq!(some(span, "otel.kind").as_deref(), Some(kind));
        assert_eq!(some(span, "otel.name").as_deref(), Some("Town/visit"));
        assert_eq!(some(span, "rpc.system.name").as_deref(), Some("duplex-rpc"));
        assert_eq!(some(span, "rpc.method").as_deref(), Some("Town/visit"));
        assert_eq!(some(span, "rpc.response.status_code").as_deref(), Some("OK"));
        assert_eq!(some(span, "error.type"), None);
        assert_eq!(some(span, "otel.status_code"), None);
    }
    assert_eq!(some(&client, "session"), Some(ends.client.id().to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_through_calls_and_callbacks() {
    Spans::keep();
    let ends = traced();
    ends.town.round_trip().await.unwrap();
    let seen = Spans::read();
    let methods: Vec<_> = seen.iter().map(|span| some(span, "rpc.method").unwrap()).collect();
    let each = ["Town/round_trip", "Citizen/come_back", "Town/visit"];
    assert_eq!(methods, each.iter().flat_map(|name| [*name, *name]).collect::<Vec<_>>());
    assert_eq!(some(&seen[0], "parent_id"), None, "it begins here");
    for pair in seen.windows(2) {
        assert_eq!(some(&pair[1], "trace_id"), some(&pair[0], "trace_id"));
        assert_eq!(some(&pair[1], "parent_id"), some(&pair[0], "span_id"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_the_caller_has_begun_is_continued() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let ends = traced();
    let options = CallOptions::new().metadata("traceparent", parent).metadata("tracestate", "vendor=1");
    let town = ends.town.with(options);
    let told = town.passes_on("traceparent").await.unwrap().unwrap();
    assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-00"), "{told}");
    assert_ne!(told, parent, "each call is a span of its own");
    assert_eq!(town.passes_on("tracestate").await.unwrap().as_deref(), Some("vendor=1"));
    // One that cannot be read is replaced.
    let town = ends.town.with(CallOptions::new().metadata("traceparent", "nonsense"));
    assert_ne!(town.hears("traceparent").await.unwrap().unwrap(), "nonsense");
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart() {
    Spans::keep();
    let ends = traced();
    ends.town.fails().await.unwrap_err();
    let hasty = ends.town.with(CallOptions::new().timeout(Duration::from_secs(1)));
    hasty.wait().await.unwrap_err();
    {
        let dropped = ends.town.wait();
        let _ = tokio::time::timeout(Duration::from_secs(1), dropped).await.unwrap_err();
    }
    ends.at_rest().await;
    let outcomes: Vec<_> = Spans::read()
        .iter()
        .map(|span| {
            let failed = some(span, "otel.status_code").is_some();
            assert_eq!(some(span, "error.type"), some(span, "rpc.response.status_code"));
            (some(span, "otel.kind").unwrap(), some(span, "error.type").unwrap(), failed)
        })
        .collect();
    let expected = [
        ("client", "FAULT", true),
        ("server", "FAULT", false),
        ("client", "DEADLINE_EXCEEDED", true),
        ("server", "CANCELLED", false),
        ("client", "CANCELLED", true),
        ("server", "CANCELLED", false),
    ];
    assert_eq!(outcomes, expected.map(|(kind, code, failed)| (kind.to_owned(), code.to_owned(), failed)));
}
