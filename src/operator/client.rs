//! The way to the API server.

use std::time::Duration;

use http::{Request, Uri};
use kube::{Client, Config, client::ClientBuilder, config::InferConfigError};
use tower::util::MapRequestLayer;

/// Longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no client. No server was asked yet.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// Neither a kubeconfig nor a ServiceAccount that can be read.
    #[error(transparent)]
    NoCluster(#[from] InferConfigError),
    /// What they say makes no client: a certificate, a proxy.
    #[error(transparent)]
    Unfit(#[from] kube::Error),
}

/// A client for the cluster of `$KUBECONFIG`, or of this pod's ServiceAccount.
pub async fn connect() -> Result<Client, NoClient> {
    of(Config::infer().await?)
}

/// A client that neither tries again by itself nor waits without a bound.
pub fn of(config: Config) -> Result<Client, NoClient> {
    let mut bounded = config;
    bounded.connect_timeout = Some(CONNECT_WITHIN);
    bounded.default_retry = false;
    Ok(ClientBuilder::try_from(bounded)?.with_layer(&MapRequestLayer::new(newest)).build())
}

/// Makes a list that comes as a stream as new as one that comes in pages: everything is in it that was there when it was
/// asked for. (kube asks for what a server has in memory, which may be behind where there are several.)
fn newest<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = unbounded(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The same without "as old as you like", if it asks for such a list.
fn unbounded(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    if !query.split('&').any(|part| part == "sendInitialEvents=true") {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|part| *part != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), rest.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_streams_is_as_new_as_can_be_and_nothing_else_changes() {
        let seen = |uri: &str| {
            let request = Request::get(uri).body(()).expect("a request");
            newest(request).uri().to_string()
        };
        let before = "http://a:1/apis/r/v1/runs?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0";
        let after =
            "http://a:1/apis/r/v1/runs?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(seen(before), after);
        for other in ["/apis/r/v1/runs?watch=true&resourceVersion=0", "/version", "/apis/r/v1/runs?limit=100"]
        {
            assert_eq!(seen(other), other);
        }
    }
}
