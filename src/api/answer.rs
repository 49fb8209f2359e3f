//! Answers that say what is wrong: JSON with the field `error`.

use axum::{
    Json,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};

use crate::api::shapes::Refusal;
use crate::store::StoreError;

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Something in the request cannot be read.
    #[error("{field}: {why}; {fix}")]
    Bad {
        /// Which part of it.
        field: &'static str,
        /// What is wrong.
        why: String,
        /// What would be right.
        fix: &'static str,
    },
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// There is no such run.
    #[error("{0}")]
    NoRun(String),
    /// The store is not there yet.
    #[error("this operator waits for its servers; GET /health says for which")]
    Starting,
    /// As many others are being answered as may be.
    #[error("{0} logs are being read already; try again later")]
    Busy(usize),
    /// The store does not answer, or not with rows that can be read.
    #[error("the store cannot be read: {0}")]
    Store(String),
}

impl ApiError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            ApiError::Bad { .. } => "bad_request",
            ApiError::Missing(_) => "missing",
            ApiError::NoRun(_) => Refusal::NO_RUN,
            ApiError::Starting => "starting",
            ApiError::Busy(_) => "busy",
            ApiError::Store(_) => "store",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            ApiError::Bad { .. } => StatusCode::BAD_REQUEST,
            ApiError::Missing(_) | ApiError::NoRun(_) => StatusCode::NOT_FOUND,
            ApiError::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            ApiError::Store(_) | ApiError::Starting => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> ApiError {
        tracing::warn!(error = %e, error.label = e.label(), "The store could not be read for a client");
        ApiError::Store(e.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = Refusal { error: self.to_string(), reason: Some(self.label().to_owned()) };
        (self.status(), Json(refusal)).into_response()
    }
}

fn refusal(status: StatusCode, error: String) -> Response {
    (status, Json(Refusal { error, reason: None })).into_response()
}

/// The answer to a path that is not there.
pub async fn no_such_path(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    refusal(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
}

/// The answer to another method.
pub async fn only_get() -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here".to_owned())
}
