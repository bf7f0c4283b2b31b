//! Remembers client tokens and replays their responses.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::call::Product;
use crate::failure::{Failure, Outcome};
use crate::parameters::Parameters;

/// Answers by action, region and token.
#[derive(Debug, Default)]
pub(crate) struct Tokens(BTreeMap<(String, String, String), Answered>);

#[derive(Debug)]
struct Answered {
    parameters: Parameters,
    answer: Value,
    busy_until: Duration,
}

impl Tokens {
    /// The answer that the same call got; refused when the call is another, or still under way.
    pub(crate) fn replay(
        &self,
        product: Product,
        action: &str,
        region: &str,
        parameters: &Parameters,
        now: Duration,
    ) -> Outcome<Option<Value>> {
        let Some(token) = parameters.get("ClientToken") else { return Ok(None) };
        if token.len() > 64 || !token.is_ascii() {
            return Err(Failure::invalid("ClientToken", "it must be at most 64 ASCII characters"));
        }
        let place = (action.to_string(), region.to_string(), token.to_string());
        let Some(answered) = self.0.get(&place) else { return Ok(None) };
        if answered.parameters != *parameters {
            let message = "the token was used with other parameters";
            return Err(Failure::new(400, "IdempotentParameterMismatch", message));
        }
        if now < answered.busy_until {
            let (status, code) = match product {
                Product::Ecs => (403, "IdempotentProcessing"),
                Product::Vpc => (400, "OperationFailed.LastTokenProcessing"),
            };
            return Err(Failure::new(status, code, "the request with the same token is being processed"));
        }
        Ok(Some(answered.answer.clone()))
    }

    /// Remembers an answer that the first caller gets only at `busy_until`.
    pub(crate) fn remember(
        &mut self,
        action: &str,
        region: &str,
        parameters: &Parameters,
        answer: &Value,
        busy_until: Duration,
    ) {
        if let Some(token) = parameters.get("ClientToken") {
            let place = (action.to_string(), region.to_string(), token.to_string());
            self.0.insert(place, Answered { parameters: parameters.clone(), answer: answer.clone(), busy_until });
        }
    }
}
