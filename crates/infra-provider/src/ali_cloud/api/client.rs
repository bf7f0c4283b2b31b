//! Sends one call: signs it, corrects clock and nonce once, and reads the response.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Response};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::answer::decode;
use super::{
    AccessKey, ApiError, Call, Class, Credentials, Endpoint, EndpointError, Endpoints, Listing, Observer, Parameters,
    Product, Request, Transport, WallClock, sign,
};

/// More pages than any cluster has; a server that never ends its list is not followed further.
const PAGE_LIMIT: usize = 200;

/// Signs and sends calls for one account and region. Cheap to clone; clones share the clock offset and connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    credentials: Credentials,
    region: String,
    ecs: Endpoint,
    vpc: Endpoint,
    transport: Arc<dyn Transport>,
    clock: WallClock,
    /// Milliseconds to add to the clock, learned from an answer that refused our time.
    offset: Arc<AtomicI64>,
    observer: Option<Observer>,
}

impl Client {
    /// A client for `region`; sends nothing yet.
    ///
    /// # Errors
    /// The region has no usable endpoint.
    pub fn new(
        credentials: Credentials,
        region: &str,
        endpoints: &Endpoints,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, EndpointError> {
        Ok(Self(Arc::new(Inner {
            credentials,
            region: region.to_owned(),
            ecs: endpoints.resolve(Product::Ecs, region)?,
            vpc: endpoints.resolve(Product::Vpc, region)?,
            transport,
            clock: WallClock::system(),
            offset: Arc::default(),
            observer: None,
        })))
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: WallClock) -> Self {
        Self(Arc::new(Inner { clock, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same with somebody who is told of each request.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self(Arc::new(Inner { observer: Some(observer), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The region it asks.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// What time it is for the cloud, as far as is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        shifted(self.0.clock.now(), self.0.offset.load(Ordering::Relaxed))
    }

    /// Calls `request` once. A refused time stamp, nonce or stale token is corrected and the call sent again, each
    /// at most once; nothing else is repeated.
    ///
    /// # Errors
    /// The cloud refused, did not answer, or its answer cannot be read; [`ApiError::class`] says what to do.
    pub async fn call<A: DeserializeOwned>(&self, request: &Request<A>) -> Result<A, ApiError> {
        let (action, mut parameters) = (request.action, request.parameters.clone());
        if request.regional {
            parameters = parameters.text("RegionId", &self.0.region);
        }
        let answer = self.corrected(action, request.product, &parameters).await?;
        decode(answer.body()).map_err(|error| ApiError {
            status: Some(answer.status().as_u16()),
            class: Class::Server,
            may_have_happened: true,
            ..ApiError::local(action, format!("the answer cannot be read: {error}"), repeatable(action, &parameters))
        })
    }

    /// Asks for every page, and gives the items of all.
    ///
    /// # Errors
    /// As [`call`](Self::call); also when the list does not come to an end.
    pub async fn list<T: DeserializeOwned>(&self, mut listing: Listing<T>) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        for _ in 0..PAGE_LIMIT {
            let page = self.call(listing.request()).await?;
            if !listing.turn(page, &mut items) {
                return Ok(items);
            }
        }
        let action = listing.request().action;
        Err(ApiError::local(action, format!("the list does not end after {PAGE_LIMIT} pages"), true))
    }

    async fn corrected(
        &self,
        action: &'static str,
        product: Product,
        parameters: &Parameters,
    ) -> Result<Response<Bytes>, ApiError> {
        let (mut clock, mut nonce, mut token) = (true, true, true);
        loop {
            let key = self.0.credentials.key().await.map_err(|error| ApiError::from_role(action, error))?;
            let (error, date) = match self.observed(action, product, parameters, &key).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => *failed,
            };
            let again = match (error.class, date) {
                (Class::ClockSkew, Some(date)) if std::mem::take(&mut clock) => {
                    self.0.offset.store(offset(self.0.clock.now(), date), Ordering::Relaxed);
                    true
                }
                (Class::NonceUsed, _) => std::mem::take(&mut nonce),
                (Class::Denied, _) if error.code.contains("SecurityToken") && std::mem::take(&mut token) => {
                    self.0.credentials.renew(&key).await
                }
                _ => false,
            };
            if !again {
                return Err(error);
            }
        }
    }

    /// One request; what is wrong with it comes with the server's time.
    async fn observed(
        &self,
        action: &'static str,
        product: Product,
        parameters: &Parameters,
        key: &AccessKey,
    ) -> Result<Response<Bytes>, Box<(ApiError, Option<SystemTime>)>> {
        let repeatable = repeatable(action, parameters);
        let request = self
            .signed(action, product, parameters, key)
            .map_err(|message| Box::new((ApiError::local(action, message, repeatable), None)))?;
        let started = Instant::now();
        let result = match self.0.transport.send(request, time_out(action)).await {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => {
                let secrets: Vec<_> = parameters.secrets().chain([&key.secret]).chain(key.token.as_ref()).collect();
                Err((ApiError::from_answer(action, &answer, repeatable, &secrets), date(&answer)))
            }
            Err(failure) => Err((ApiError::from_transport(action, failure, repeatable), None)),
        };
        if let Some(observer) = &self.0.observer {
            let failure = result.as_ref().err().map(|(error, _)| error);
            observer(&Call { action, product, parameters, started, duration: started.elapsed(), failure });
        }
        result.map_err(Box::new)
    }

    fn signed(
        &self,
        action: &str,
        product: Product,
        parameters: &Parameters,
        key: &AccessKey,
    ) -> Result<http::Request<Bytes>, String> {
        let endpoint = match product {
            Product::Ecs => &self.0.ecs,
            Product::Vpc => &self.0.vpc,
        };
        let form = parameters.form();
        let (date, nonce, body_sha256) = (stamp(self.now()), nonce()?, sign::sha256_hex(form.as_bytes()));
        let mut headers = vec![
            ("host", endpoint.host()),
            ("x-acs-action", action),
            ("x-acs-content-sha256", body_sha256.as_str()),
            ("x-acs-date", date.as_str()),
            ("x-acs-signature-nonce", nonce.as_str()),
            ("x-acs-version", product.version()),
        ];
        if !form.is_empty() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        if let Some(token) = &key.token {
            headers.push(("x-acs-security-token", token.expose()));
        }
        let query = parameters.query();
        let signature = sign::v3(&query, &headers, &body_sha256, key.secret.expose());
        let authorization = signature.authorization(key.id.expose());
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("{endpoint}/?{query}"))
            .header("accept", "application/json")
            .header("user-agent", concat!("sealer/", env!("CARGO_PKG_VERSION")))
            .header("authorization", authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // The cause may quote the key.
        let unsendable = |_| "access key or parameters hold what cannot be sent".to_owned();
        let mut request = request.body(Bytes::from(form)).map_err(unsendable)?;
        for name in ["authorization", "x-acs-security-token"] {
            if let Some(value) = request.headers_mut().get_mut(name) {
                value.set_sensitive(true);
            }
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { credentials, region, ecs, vpc, .. } = &*self.0;
        let mut all = f.debug_struct("Client");
        all.field("credentials", credentials).field("region", region).field("ecs", ecs).field("vpc", vpc);
        // A transport may hold requests, and those hold passwords.
        all.finish_non_exhaustive()
    }
}

/// How long an answer may take; not less than the vendor's own clients wait.
fn time_out(action: &str) -> Duration {
    Duration::from_secs(match action {
        "RunInstances" | "CreateSecurityGroup" => 90,
        "DescribeInstanceStatus" => 30,
        _ => 20,
    })
}

/// Whether the same call twice does no more than once. Some actions refuse the second, which is as good.
fn repeatable(action: &str, parameters: &Parameters) -> bool {
    let verbs = ["Describe", "Delete", "Release", "Unassociate", "Start", "Stop", "Modify", "Import"];
    verbs.iter().any(|verb| action.starts_with(verb))
        || matches!(action, "AuthorizeSecurityGroup" | "AssociateEipAddress")
        || parameters.contains("ClientToken")
}

fn nonce() -> Result<String, String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(hex::encode(random))
}

/// `2026-11-23T16:03:25Z`.
fn stamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (hour, minute, second) = time.to_hms();
    let (year, month, day) = time.to_calendar_date();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

fn date(answer: &Response<Bytes>) -> Option<SystemTime> {
    let text = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    let time = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    // A clock that was never set is none to follow, nor is one near the end of what can be written down.
    (2000..3000).contains(&time.year()).then(|| time.into())
}

/// Milliseconds from `ours` to `theirs`.
fn offset(ours: SystemTime, theirs: SystemTime) -> i64 {
    let milliseconds = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => milliseconds(ahead),
        Err(behind) => -milliseconds(behind.duration()),
    }
}

fn shifted(time: SystemTime, offset: i64) -> SystemTime {
    let span = Duration::from_millis(offset.unsigned_abs());
    let moved = if offset < 0 { time.checked_sub(span) } else { time.checked_add(span) };
    moved.unwrap_or(time)
}
