//! Stores calls without their secrets, and restores them exactly.

use clusterfile::Secret;

use super::api::{Action, Parameters, Product};
use super::record::Intent;

/// How a secret shows among parameters.
const HIDDEN: &str = "***";

/// A call as it is written down: without secrets.
pub(super) fn intent<A: Action>(action: &A) -> Intent {
    let parameters = action.parameters();
    let parameters = parameters.shown().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Intent { action: A::NAME.to_owned(), parameters }
}

/// A call as it stands in the record; secrets are not stored there and put in again.
pub(super) struct Stored<A> {
    parameters: Parameters,
    action: std::marker::PhantomData<fn() -> A>,
}

impl<A> Stored<A> {
    /// The call of an intent; what is hidden in it is the password.
    pub(super) fn new(intent: &Intent, password: Option<&Secret>) -> Self {
        let stored = intent.parameters.iter();
        let parameters = stored.fold(Parameters::new(), |all, (name, value)| match password {
            Some(password) if value == HIDDEN => all.secret(name, password),
            _ => all.text(name, value),
        });
        Self { parameters, action: std::marker::PhantomData }
    }
}

impl<A: Action> Action for Stored<A> {
    const NAME: &'static str = A::NAME;
    const PRODUCT: Product = A::PRODUCT;
    const REGIONAL: bool = A::REGIONAL;
    type Answer = A::Answer;

    fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }
}
