//! `Tracing`: a span around every call.

use async_trait::async_trait;
use tracing::{Instrument, Span, field::Empty, info_span};

use super::{CallInfo, Direction, Interceptor, Next, Reply, TraceContext};
use crate::status::{Code, Status};

const SYSTEM: &str = "duplex-rpc";

/// Puts a `tracing` span around every call that this side makes or serves, with the attributes of OpenTelemetry's
/// semantic conventions for RPC (version 1.45), and carries the trace from process to process.
///
/// | field of the span | value |
/// |---|---|
/// | `otel.name`, `rpc.method` | `Contract/method` |
/// | `otel.kind` | `client` for calls that this side makes, `server` for calls that it serves |
/// | `rpc.system.name` | `duplex-rpc` |
/// | `network.peer.address`, `network.peer.port` | the other side's address, if it is known |
/// | `server.address`, `server.port` | the same, for calls that this side makes |
/// | `session` | the id of the session |
/// | `rpc.response.status_code` | at the end: the name of a code (`OK`, `UNAVAILABLE`), or `FAULT` |
/// | `error.type` | at the end: the same, unless it is `OK` |
/// | `otel.status_code` | at the end: `ERROR`, if the side of the span is to blame |
/// | `trace_id`, `span_id`, `parent_id` | the trace, so that a program can join the logs of several processes |
///
/// `FAULT` stands for a typed fault of the contract, and the code of a call that was given up is `CANCELLED`. This
/// interceptor makes the ids of the trace, not an exporter.
///
/// The trace travels in the metadata `traceparent` and `tracestate` (W3C Trace Context). A call that is made in a
/// handler continues the trace of the call that the handler serves. Another call begins a trace, unless its caller has
/// set `traceparent`.
///
/// Add this interceptor first, so that its span is around the other interceptors too:
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{
///     Hosting,
///     intercept::{TimeoutCap, Tracing},
/// };
///
/// let cap = TimeoutCap::incoming(Duration::from_secs(30));
/// let hosting = Hosting::builder().interceptor(Tracing::new()).interceptor(cap).build()?;
/// # Ok::<_, rpc_core::HostingError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing {
    _private: (),
}

impl Tracing {
    /// An interceptor for calls in both directions.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

#[async_trait]
impl Interceptor for Tracing {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let above = came_from(call);
        let trace = above.as_ref().map_or_else(TraceContext::root, TraceContext::child);
        let span = span(call, &trace);
        if let Some(above) = &above {
            span.record("parent_id", tracing::field::display(above.span_id()));
        }
        match call.direction() {
            Direction::Incoming => {
                call.extensions_mut().insert(trace);
            }
            Direction::Outgoing => {
                call.set_metadata("traceparent", trace.traceparent());
                match trace.tracestate() {
                    Some(state) => call.set_metadata("tracestate", state),
                    None => call.remove_metadata("tracestate"),
                }
            }
        }
        let mut outcome = Outcome { span: span.clone(), direction: call.direction(), open: true };
        let result = next.run(call).instrument(span).await;
        outcome.ended(&result);
        result
    }
}

/// The parent span: the caller's span, or the span of the call in whose handler this call is made.
fn came_from(call: &CallInfo) -> Option<TraceContext> {
    let said = call.metadata("traceparent").and_then(|parent| TraceContext::parse(parent, call.metadata("tracestate")));
    said.or_else(|| call.origin_extension::<TraceContext>().cloned())
}

fn span(call: &CallInfo, trace: &TraceContext) -> Span {
    let method = format!("{}/{}", call.method().contract(), call.method().name());
    let outgoing = call.direction() == Direction::Outgoing;
    let span = info_span!(
        "call",
        otel.name = %method,
        otel.kind = if outgoing { "client" } else { "server" },
        otel.status_code = Empty,
        rpc.system.name = SYSTEM,
        rpc.method = %method,
        rpc.response.status_code = Empty,
        error.type = Empty,
        network.peer.address = Empty,
        network.peer.port = Empty,
        server.address = Empty,
        server.port = Empty,
        session = call.session_id().map(tracing::field::display),
        trace_id = %trace.trace_id(),
        span_id = %trace.span_id(),
        parent_id = Empty,
    );
    if let Some(addr) = call.info().and_then(|info| info.peer_addr) {
        let (address, port) = (tracing::field::display(addr.ip()), addr.port());
        if outgoing {
            span.record("server.address", &address).record("server.port", port);
        }
        span.record("network.peer.address", &address).record("network.peer.port", port);
    }
    span
}

/// Records in the span how the call has ended, also if it was given up.
struct Outcome {
    span: Span,
    direction: Direction,
    open: bool,
}

impl Outcome {
    fn ended(&mut self, result: &Result<Reply, Status>) {
        self.open = false;
        match result {
            Ok(reply) if reply.is_fault() => self.failed("FAULT", self.direction == Direction::Outgoing),
            Ok(_) => {
                self.span.record("rpc.response.status_code", "OK");
            }
            Err(status) => {
                let blamed = self.direction == Direction::Outgoing || is_the_servers_fault(status.code());
                self.failed(status.code().name(), blamed);
            }
        }
    }

    fn failed(&self, code: &'static str, blamed: bool) {
        self.span.record("rpc.response.status_code", code).record("error.type", code);
        if blamed {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.open {
            self.failed(Code::Cancelled.name(), self.direction == Direction::Outgoing);
        }
    }
}

/// Whether a server's span counts as failed with this code. With the other codes the caller did something wrong.
fn is_the_servers_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
