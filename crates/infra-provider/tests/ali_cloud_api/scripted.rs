//! A server that answers from a list, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use infra_provider::ali_cloud::api::{
    AccessKey, Client, Credentials, Endpoints, Transport, TransportFailure, WallClock,
};

/// Gives its answers in order and keeps what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Result<Response<Bytes>, TransportFailure>>>,
    asked: Mutex<Vec<(Request<Bytes>, Duration)>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Response<Bytes>, TransportFailure>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// A header of the `n`th request.
    pub(crate) fn header(&self, n: usize, name: &str) -> Option<String> {
        self.asked.lock().unwrap()[n].0.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    /// Method and URI of the `n`th request.
    pub(crate) fn line(&self, n: usize) -> String {
        let asked = self.asked.lock().unwrap();
        format!("{} {}", asked[n].0.method(), asked[n].0.uri())
    }

    /// The body of the `n`th request.
    pub(crate) fn body(&self, n: usize) -> String {
        String::from_utf8(self.asked.lock().unwrap()[n].0.body().to_vec()).unwrap()
    }

    /// How long the `n`th request may take.
    pub(crate) fn time_out(&self, n: usize) -> Duration {
        self.asked.lock().unwrap()[n].1
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportFailure> {
        self.asked.lock().unwrap().push((request, timeout));
        self.answers.lock().unwrap().pop_front().expect("more requests came than were foreseen")
    }
}

/// An answer with headers.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Response<Bytes>, TransportFailure> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    Ok(answer.body(Bytes::from(body.to_owned())).unwrap())
}

/// A refusal as the cloud writes it.
pub(crate) fn refusal(status: u16, code: &str) -> Result<Response<Bytes>, TransportFailure> {
    answer(status, &[], &refusal_body(code))
}

pub(crate) fn refusal_body(code: &str) -> String {
    format!(
        r#"{{"RequestId":"4C467B38-3910-447D-87BC-AC049166F216","HostId":"ecs.test","Code":"{code}","Message":"It is refused."}}"#
    )
}

/// 2026-11-23T16:03:25Z.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_449_805)
}

/// A client with the key of the documentation's examples, whose clock shows [`start`].
pub(crate) fn client(transport: Arc<Scripted>) -> Client {
    let credentials = Credentials::Key(AccessKey::new("testid", "testsecret"));
    client_of(credentials, transport)
}

pub(crate) fn client_of(credentials: Credentials, transport: Arc<Scripted>) -> Client {
    Client::new(credentials, "cn-chengdu", &Endpoints::default(), transport)
        .unwrap()
        .with_clock(WallClock::starting_at(start()))
}
