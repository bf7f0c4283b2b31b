//! Describes the refusals of the cloud.

use std::time::Duration;

/// An answer that is an error: `{RequestId, HostId, Code, Message}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Answered as `x-acs-retry-after`, in milliseconds.
    pub(crate) retry_after: Option<Duration>,
    /// What a caller must never do; remembered for the test.
    pub(crate) violation: Option<String>,
}

/// The answer of an action.
pub(crate) type Outcome<T = serde_json::Value> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Failure {
        Failure { status, code: code.to_string(), message: message.into(), retry_after: None, violation: None }
    }

    /// A parameter has a value that cannot be.
    pub(crate) fn invalid(name: &str, message: impl Into<String>) -> Failure {
        let message: String = message.into();
        Failure::new(400, &format!("InvalidParameter.{name}"), format!("the parameter {name} is not valid: {message}"))
    }

    /// A mandatory parameter is not there.
    pub(crate) fn missing(name: &str) -> Failure {
        Failure::new(400, "MissingParameter", format!("the parameter {name} is mandatory for this action"))
    }

    /// What is named is not there.
    pub(crate) fn not_found(code: &str, id: &str) -> Failure {
        Failure::new(404, code, format!("{id} does not exist"))
    }

    /// What is named is not in the state that the action needs.
    pub(crate) fn state(code: &str, id: &str, state: &str) -> Failure {
        Failure::new(400, code, format!("{id} is {state}, the action cannot be done in this state"))
    }

    /// The caller would destroy what belongs to somebody else.
    pub(crate) fn foreign(act: &str, id: &str) -> Failure {
        let violation = Some(format!("{act} {id}, which belongs to the user"));
        let message = format!("{id} was not made by the caller and must stay");
        Failure { violation, ..Failure::new(403, "Forbidden.RAM", message) }
    }
}
