//! Handles one request: authenticates it, injects faults, performs it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::actions;
use crate::answer::{Frame, done, refused};
use crate::call::{Action, ApiCall, Twist};
use crate::failure::{Failure, Outcome};
use crate::fault::{Disconnect, FaultKind, Faults};
use crate::log::{Call, Verdict, without_secrets};
use crate::metadata::Metadata;
use crate::options::Options;
use crate::received::Received;
use crate::stock::StockRule;
use crate::throttle::Throttled;
use crate::tokens::Tokens;
use crate::verify::{Claim, claim, verify};
use crate::world::{World, letters};

/// Everything that changes.
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) calls: Vec<Call>,
    pub(crate) peak: usize,
    pub(crate) violations: Vec<String>,
    pub(crate) throttled: Throttled,
    pub(crate) faults: Faults,
    pub(crate) disconnect: Option<Disconnect>,
    metadata: Metadata,
    tokens: Tokens,
    nonces: HashSet<(String, String)>,
    under_way: usize,
    /// Calls that were ever decided on.
    pub(crate) decided: usize,
}

/// When a call is decided on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) arrived: Duration,
    pub(crate) now: Duration,
    pub(crate) wall: SystemTime,
    /// When the caller will have the answer.
    pub(crate) answered: Duration,
    pub(crate) concurrency: usize,
}

/// What the caller will see.
#[derive(Debug)]
pub(crate) enum Decision {
    Answer {
        response: Box<Response<Bytes>>,
        slow: Duration,
    },
    Lost {
        effect: bool,
    },
    /// Never anything.
    Withheld,
}

/// What an action came to.
struct Served {
    outcome: Outcome,
    verdict: Verdict,
    slow: Duration,
}

impl State {
    pub(crate) fn new(options: Arc<Options>, hooked: bool) -> State {
        let metadata = Metadata::new(&options);
        let mut world = World::new(options);
        world.hooked = hooked;
        State {
            world,
            calls: Vec::new(),
            peak: 0,
            violations: Vec::new(),
            throttled: Throttled::default(),
            faults: Faults::default(),
            disconnect: None,
            metadata,
            tokens: Tokens::default(),
            nonces: HashSet::new(),
            under_way: 0,
            decided: 0,
        }
    }

    pub(crate) fn enter(&mut self) -> usize {
        self.under_way += 1;
        self.peak = self.peak.max(self.under_way);
        self.under_way
    }

    pub(crate) fn leave(&mut self) {
        self.under_way -= 1;
    }

    pub(crate) fn forget_calls(&mut self) {
        self.calls.clear();
        self.peak = self.under_way;
    }

    pub(crate) fn set_stock(&mut self, rules: Vec<StockRule>) {
        let mut options = (*self.world.options).clone();
        options.stock = rules;
        self.world.options = Arc::new(options);
    }

    /// Decides on one request and writes it down.
    pub(crate) fn decide(&mut self, request: Request<Bytes>, moment: Moment) -> Decision {
        self.world.settle(moment.now);
        if request.uri().path().starts_with("/latest/") {
            let response = Box::new(self.metadata.answer(&request, moment.now, moment.wall));
            return Decision::Answer { response, slow: Duration::ZERO };
        }
        self.decided += 1;
        let method = request.method().to_string();
        let received = Received::read(request);
        let claim = received.as_ref().map_err(Clone::clone).and_then(claim);
        let frame = Frame {
            request_id: request_id(self.decided),
            host: received.as_ref().map(|received| received.host.clone()).unwrap_or_default(),
            json: claim.as_ref().map_or(true, |claim| claim.json),
            wall: moment.wall,
        };
        let (beyond, last) = match self.disconnect {
            Some(disconnect) => {
                (self.decided > disconnect.after, self.decided == disconnect.after + 1 && disconnect.effect)
            }
            None => (false, false),
        };
        let served = match (&received, &claim) {
            _ if beyond && !last => {
                let outcome = Err(Failure::new(0, "", ""));
                Served { outcome, verdict: Verdict::Lost { effect: false }, slow: Duration::ZERO }
            }
            (Ok(received), Ok(claim)) => self.serve(claim, received, moment),
            (_, Err(failure)) | (Err(failure), _) => Served::refused(failure.clone()),
        };
        if let Err(Failure { violation: Some(violation), .. }) = &served.outcome {
            self.violations.push(violation.clone());
        }
        let verdict = if beyond { Verdict::Lost { effect: served.outcome.is_ok() } } else { served.verdict.clone() };
        self.calls.push(Call {
            at: moment.arrived,
            action: claim.as_ref().map(|claim| claim.action.clone()).unwrap_or_default(),
            version: claim.as_ref().map(|claim| claim.version.clone()).unwrap_or_default(),
            method,
            scheme: claim.as_ref().ok().map(|claim| claim.scheme),
            parameters: claim.map(|claim| without_secrets(claim.parameters.map())).unwrap_or_default(),
            verdict,
            concurrency: moment.concurrency,
        });
        match (served.verdict, served.outcome) {
            _ if beyond => Decision::Withheld,
            (Verdict::Lost { effect }, _) => Decision::Lost { effect },
            (_, Ok(value)) => Decision::Answer { response: Box::new(done(&frame, value)), slow: served.slow },
            (_, Err(failure)) => Decision::Answer { response: Box::new(refused(&frame, &failure)), slow: served.slow },
        }
    }

    fn serve(&mut self, claim: &Claim, received: &Received, moment: Moment) -> Served {
        let mut keys = self.world.options.keys.clone();
        keys.extend(self.metadata.keys());
        let verified = verify(claim, received, &keys, &mut self.nonces, moment.now, moment.wall);
        let action = match verified.and_then(|()| actions::action(&claim.action, &claim.version)) {
            Ok(action) => action,
            Err(failure) => return Served::refused(failure),
        };
        let region = match region(claim, received, &self.world.options) {
            Ok(region) => region,
            Err(failure) => return Served::refused(failure),
        };
        let fault = self.faults.next(&claim.action);
        match &fault {
            Some(FaultKind::Reset) => return Served::lost(false),
            Some(FaultKind::Error { status, code }) => {
                return Served::refused(Failure::new(*status, code, "a fault of the cloud"));
            }
            Some(FaultKind::Throttled(wait)) => {
                return Served::refused(self.throttled.close(&claim.action, &region, moment.now, *wait));
            }
            _ => {}
        }
        let twist = Twist {
            partial: if let Some(FaultKind::Partial(most)) = fault { Some(most) } else { None },
            vanish: if let Some(FaultKind::Vanish(after)) = fault { Some(after) } else { None },
            bind_fails: fault == Some(FaultKind::BindFails),
        };
        let call =
            ApiCall { parameters: &claim.parameters, region: &region, now: moment.now, wall: moment.wall, twist };
        match (self.perform(action, &call, moment), fault) {
            (Ok(_), Some(FaultKind::ErrorAfter)) => {
                Served::refused(Failure::new(500, "InternalError", "the request failed for an unknown reason"))
            }
            (Ok(_), Some(FaultKind::LostReply)) => Served::lost(true),
            (Ok((value, replayed)), fault) => {
                let slow = if let Some(FaultKind::SlowBody(slow)) = fault { slow } else { Duration::ZERO };
                let verdict = if replayed { Verdict::Replayed } else { Verdict::Done };
                Served { outcome: Ok(value), verdict, slow }
            }
            (Err(failure), _) => Served::refused(failure),
        }
    }

    /// The answer, and whether it is that of an earlier call.
    fn perform(&mut self, action: &Action, call: &ApiCall<'_>, moment: Moment) -> Outcome<(Value, bool)> {
        let (name, parameters) = (action.name, call.parameters);
        self.throttled.admit(&self.world.options.throttles, name, call.region, call.now)?;
        action.check(parameters)?;
        if let Some(value) = self.tokens.replay(action.product, name, call.region, parameters, call.now)? {
            return Ok((value, true));
        }
        let mut draft = self.world.clone();
        let value = (action.perform)(&mut draft, call)?;
        if parameters.flag("DryRun")? {
            return Err(Failure::new(400, "DryRunOperation", "the request would have been done"));
        }
        self.world = draft;
        self.tokens.remember(name, call.region, parameters, &value, moment.answered);
        Ok((value, false))
    }
}

impl Served {
    fn refused(failure: Failure) -> Served {
        let verdict = Verdict::Refused { status: failure.status, code: failure.code.clone() };
        Served { outcome: Err(failure), verdict, slow: Duration::ZERO }
    }

    fn lost(effect: bool) -> Served {
        let outcome = Err(Failure::new(0, "", ""));
        Served { outcome, verdict: Verdict::Lost { effect }, slow: Duration::ZERO }
    }
}

/// The region that a call is for: as it says, or as the name of the endpoint says; empty when neither does.
fn region(claim: &Claim, received: &Received, options: &Options) -> Outcome<String> {
    let middle = received.host.strip_suffix(".aliyuncs.com").and_then(|name| name.split_once('.'));
    let known = |region: &&str| options.regions.iter().any(|known| known == region);
    match claim.parameters.get("RegionId") {
        Some(region) if known(&region) => Ok(region.to_string()),
        Some(region) => Err(Failure::not_found("InvalidRegionId.NotFound", region)),
        None => Ok(middle.map(|(_, region)| region).filter(known).unwrap_or_default().to_string()),
    }
}

fn request_id(number: usize) -> String {
    let text = letters(u64::try_from(number).unwrap_or_default(), 32).to_uppercase();
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
