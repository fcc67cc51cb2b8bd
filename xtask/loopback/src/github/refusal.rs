//! GitHub's errors: a status, a message and for a validation the field.

use std::io;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refused request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: StatusCode, message: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest/releases",
            "status": status.as_str(),
        });
        Self { status, body }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Bad credentials")
    }

    pub(super) fn requires_authentication() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Requires authentication")
    }

    pub(super) fn not_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Problems parsing JSON")
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("Invalid request. {message}"),
        )
    }

    /// GitHub's answer when it names no field of the request.
    pub(super) fn unprocessable(message: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(super) fn forbidden() -> Self {
        let message = "Resource not accessible by integration";
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// A validation error explained only by its message.
    pub(super) fn custom(resource: &str, field: Option<&str>, message: &str) -> Self {
        let mut refusal = Self::unprocessable("Validation Failed");
        refusal.body["errors"] = json!([]);
        refusal.and(resource, field, message)
    }

    /// Adds another error like [`Self::custom`].
    pub(super) fn and(mut self, resource: &str, field: Option<&str>, message: &str) -> Self {
        let mut error = json!({"resource": resource, "code": "custom", "message": message});
        if let Some(field) = field {
            error["field"] = field.into();
        }
        if let Value::Array(errors) = &mut self.body["errors"] {
            errors.push(error);
        }
        self
    }

    pub(super) fn validation(resource: &str, code: &str, field: &str) -> Self {
        let mut refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed");
        refusal.body["errors"] = json!([{"resource": resource, "code": code, "field": field}]);
        refusal
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        (self.status, kind, self.body.to_string()).into_response()
    }
}
