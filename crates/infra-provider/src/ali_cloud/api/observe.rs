//! Shows each call to a counter or a log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ApiError, Parameters, Product};

/// Is told of every request that was sent, after its answer; it must not block.
pub type Observer = Arc<dyn Fn(&Call<'_>) + Send + Sync>;

/// One request and what came of it. A call that was corrected and sent again is two of these.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// Name of the action, for example `RunInstances`.
    pub action: &'static str,
    /// The product it belongs to.
    pub product: Product,
    /// What was asked; secrets do not show.
    pub parameters: &'a Parameters,
    /// When it was sent.
    pub started: Instant,
    /// How long the answer took.
    pub duration: Duration,
    /// Nothing, or why it failed.
    pub failure: Option<&'a ApiError>,
}
