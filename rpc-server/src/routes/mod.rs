//! `Routes`: what is served at which path of a server.

mod application;
mod body;
mod health;

use std::collections::{BTreeMap, btree_map::Entry};

pub(crate) use self::{
    application::Application,
    health::{Probe, text},
};
pub use self::{
    application::RouteService,
    body::{FrontBody, RequestBody},
};

/// Where orchestrators ask whether the process lives.
const HEALTH: &str = "/healthz";
/// Where orchestrators ask whether the server takes sessions.
const READINESS: &str = "/readyz";

/// What is served at which path.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The path of the sessions; `None` for every path that nothing else has.
    sessions: Option<String>,
    others: BTreeMap<String, Route>,
    fallback: Option<Application>,
}

/// What is served at a path that has no sessions.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Application(Application),
    Probe(Probe),
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination<'a> {
    Sessions,
    Route(&'a Route),
    Fallback(&'a Application),
    Nowhere,
}

/// Collects the routes of a server.
#[derive(Debug, Default)]
pub(crate) struct RoutesBuilder {
    pub(crate) sessions: Option<String>,
    pub(crate) applications: Vec<(String, Application)>,
    pub(crate) fallback: Option<Application>,
    pub(crate) probes: bool,
}

impl RoutesBuilder {
    /// The error holds the path that cannot be served, and why.
    pub(crate) fn build(self) -> Result<Routes, (String, String)> {
        let alone = self.applications.is_empty() && self.fallback.is_none();
        let sessions = self.sessions.or_else(|| (!alone).then(|| "/".to_owned()));
        let mut others = BTreeMap::new();
        let probes = [(HEALTH, Probe::Health), (READINESS, Probe::Readiness)];
        let probes =
            probes.into_iter().filter(|_| self.probes).map(|(path, probe)| (path.to_owned(), Route::Probe(probe)));
        let applications = self.applications.into_iter().map(|(path, route)| (path, Route::Application(route)));
        for (path, route) in probes.chain(applications) {
            check(&path)?;
            match others.entry(path) {
                Entry::Vacant(vacant) => vacant.insert(route),
                Entry::Occupied(taken) => {
                    let why = match taken.get() {
                        Route::Probe(_) => "health_routes and a route have it; give the route another one",
                        Route::Application(_) => "two routes have it; give one of them another one",
                    };
                    return Err((taken.key().clone(), why.to_owned()));
                }
            };
        }
        if let Some(path) = &sessions {
            check(path)?;
            if others.contains_key(path) {
                let why = "the sessions and a route have it; give the sessions another one with path".to_owned();
                return Err((path.clone(), why));
            }
        }
        Ok(Routes { sessions, others, fallback: self.fallback })
    }
}

impl Routes {
    pub(crate) fn destination(&self, path: &str) -> Destination<'_> {
        if self.sessions.as_deref() == Some(path) {
            return Destination::Sessions;
        }
        match (self.others.get(path), &self.fallback) {
            (Some(route), _) => Destination::Route(route),
            (None, _) if self.sessions.is_none() => Destination::Sessions,
            (None, Some(fallback)) => Destination::Fallback(fallback),
            (None, None) => Destination::Nowhere,
        }
    }

    /// The text of the answer where nothing is served.
    pub(crate) fn listing(&self) -> String {
        let sessions = self.sessions.iter().map(|path| format!("{path} (Duplex RPC; connect with ws:// or wss://)"));
        let served: Vec<_> = sessions.chain(self.others.keys().cloned()).collect();
        format!("Nothing is served at this path. Served: {}\n", served.join(", "))
    }
}

/// Refuses a path that no request could have.
fn check(path: &str) -> Result<(), (String, String)> {
    let why = if !path.starts_with('/') {
        "it must begin with a slash"
    } else if path.contains(['?', '#']) {
        "it must end before the query of a URL"
    } else if path.contains(|c: char| !c.is_ascii_graphic()) {
        "other characters than those of ASCII, and spaces, must be percent-encoded"
    } else if path.contains(['{', '}']) || path.split('/').any(|part| part.starts_with([':', '*'])) {
        "paths are compared as a whole, so it has no parts that stand for others; serve a router, for instance axum's, with \
         fallback"
    } else {
        return Ok(());
    };
    Err((path.to_owned(), why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};

    use super::*;

    #[derive(Clone)]
    struct Page;

    impl tower_service::Service<Request<RequestBody>> for Page {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
            std::future::ready(Ok(Response::new("a page".into())))
        }
    }

    fn page() -> Application {
        Application::new(Page)
    }

    #[test]
    fn sessions_have_every_path_until_there_is_something_else() {
        let routes = RoutesBuilder::default().build().unwrap();
        assert!(matches!(routes.destination("/any"), Destination::Sessions));
        let routes = RoutesBuilder { probes: true, ..Default::default() }.build().unwrap();
        assert!(matches!(routes.destination("/any"), Destination::Sessions));
        assert!(matches!(routes.destination("/healthz"), Destination::Route(Route::Probe(Probe::Health))));
        let routes = RoutesBuilder { fallback: Some(page()), ..Default::default() }.build().unwrap();
        assert!(matches!(routes.destination("/any"), Destination::Fallback(_)));
        assert!(matches!(routes.destination("/"), Destination::Sessions));
        let routes = RoutesBuilder { sessions: Some("/rpc".into()), ..Default::default() }.build().unwrap();
        assert!(matches!(routes.destination("/"), Destination::Nowhere));
        assert!(matches!(routes.destination("/rpc"), Destination::Sessions));
        assert!(matches!(routes.destination("/rpc/"), Destination::Nowhere));
    }

    #[test]
    fn the_listing_names_what_is_served() {
        let applications = vec![("/echo".to_owned(), page())];
        let routes = RoutesBuilder { sessions: Some("/rpc".into()), applications, probes: true, ..Default::default() };
        let text = routes.build().unwrap().listing();
        // In its first line, because errors of clients show no more of an answer.
        let expected = "Served: /rpc (Duplex RPC; connect with ws:// or wss://), /echo, /healthz, /readyz\n";
        assert_eq!(text, format!("Nothing is served at this path. {expected}"));
    }

    #[test]
    fn paths_that_cannot_work_are_refused() {
        let routes = |sessions: Option<&str>, applications: &[&str]| RoutesBuilder {
            sessions: sessions.map(str::to_owned),
            applications: applications.iter().map(|&path| (path.to_owned(), page())).collect(),
            ..Default::default()
        };
        for path in ["", "rpc", "/rpc?x", "/rpc#x", "/r p", "/bücher"] {
            assert_eq!(routes(Some(path), &[]).build().unwrap_err().0, path);
            assert_eq!(routes(None, &[path]).build().unwrap_err().0, path);
        }
        for path in ["/rooms/{id}", "/{*rest}", "/rooms/:id", "/static/*", "/*rest"] {
            let (given, why) = routes(None, &[path]).build().unwrap_err();
            assert_eq!(given, path);
            assert!(why.contains("fallback"), "{why}");
            assert!(routes(Some(path), &[]).build().is_err());
        }
        assert!(routes(Some("/a:b/c*d"), &["/e:f"]).build().is_ok());
        let (_, why) = routes(None, &["/a", "/a"]).build().unwrap_err();
        assert!(why.contains("two routes have it; give"), "{why}");
        assert!(routes(Some("/a"), &["/a"]).build().unwrap_err().1.contains("the sessions"));
        assert!(routes(None, &["/"]).build().unwrap_err().1.contains("the sessions"));
        let (_, why) = RoutesBuilder { probes: true, ..routes(None, &["/readyz"]) }.build().unwrap_err();
        assert!(why.contains("health_routes"), "{why}");
    }
}
