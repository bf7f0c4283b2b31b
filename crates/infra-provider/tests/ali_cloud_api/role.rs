//! Keys of an instance's role: fetched, kept, renewed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use infra_provider::ali_cloud::api::vpc::describe_vpcs;
use infra_provider::ali_cloud::api::{Class, Client, Credentials, InstanceRole, TransportFailure, WallClock};

use crate::scripted::{Scripted, answer, client_of, refusal, start};

type Answer = Result<Response<Bytes>, TransportFailure>;

fn key(n: u32, expiration: &str) -> Answer {
    let body = format!(
        r#"{{"AccessKeyId":"STS.{n}","AccessKeySecret":"hush-{n}","SecurityToken":"token-{n}","Expiration":"{expiration}","Code":"Success"}}"#
    );
    answer(200, &[], &body)
}

fn session() -> Answer {
    answer(200, &[], "session-1")
}

fn done() -> Answer {
    answer(200, &[], "{}")
}

/// A client whose keys come from `metadata`.
fn set_up(metadata: &Arc<Scripted>, cloud: &Arc<Scripted>, name: Option<&str>) -> Client {
    let clock = WallClock::starting_at(start());
    let transport = Arc::clone(metadata);
    let role = InstanceRole::new(transport, name.map(str::to_owned), clock);
    client_of(Credentials::InstanceRole(Arc::new(role)), Arc::clone(cloud))
}

#[tokio::test(start_paused = true)]
async fn the_role_is_found_and_its_key_kept_until_shortly_before_its_end() {
    let metadata = Scripted::new([
        session(),
        answer(200, &[], "builder\n"),
        key(1, "2026-11-23T17:03:25Z"),
        session(),
        answer(200, &[], "builder\n"),
        key(2, "2026-11-23T18:03:25Z"),
    ]);
    let cloud = Scripted::new([done(), done(), done()]);
    let client = set_up(&metadata, &cloud, None);
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    tokio::time::advance(Duration::from_secs(54 * 60)).await;
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    assert_eq!(metadata.count(), 3);
    tokio::time::advance(Duration::from_secs(120)).await;
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();

    let tokens: Vec<_> = (0..3).map(|n| cloud.header(n, "x-acs-security-token").unwrap()).collect();
    assert_eq!(tokens, ["token-1", "token-1", "token-2"]);
    assert!(cloud.header(2, "authorization").unwrap().contains("Credential=STS.2,"));
    assert_eq!(metadata.line(0), "PUT http://100.100.100.200/latest/api/token");
    assert_eq!(metadata.line(2), "GET http://100.100.100.200/latest/meta-data/ram/security-credentials/builder");
    assert_eq!(metadata.header(2, "x-aliyun-ecs-metadata-token").unwrap(), "session-1");
    assert!(!format!("{client:?}").contains("hush"));
}

#[tokio::test(start_paused = true)]
async fn a_service_without_sessions_is_asked_plainly() {
    let metadata = Scripted::new([answer(405, &[], "no"), key(1, "2026-11-23T17:03:25Z")]);
    let cloud = Scripted::new([done()]);
    set_up(&metadata, &cloud, Some("builder")).call(describe_vpcs(None, &[]).request()).await.unwrap();
    assert_eq!(metadata.header(1, "x-aliyun-ecs-metadata-token"), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_as_expired_is_renewed_once() {
    let keys = || [session(), key(1, "2026-11-23T17:03:25Z"), session(), key(2, "2026-11-23T17:03:25Z")];
    let expired = || refusal(400, "InvalidSecurityToken.Expired");
    let (metadata, cloud) = (Scripted::new(keys()), Scripted::new([expired(), done()]));
    set_up(&metadata, &cloud, Some("builder")).call(describe_vpcs(None, &[]).request()).await.unwrap();
    assert_eq!(cloud.header(1, "x-acs-security-token").unwrap(), "token-2");

    let (metadata, cloud) = (Scripted::new(keys()), Scripted::new([expired(), expired()]));
    let error = set_up(&metadata, &cloud, Some("builder")).call(describe_vpcs(None, &[]).request()).await.unwrap_err();
    assert_eq!((error.class, cloud.count()), (Class::Denied, 2));
}

#[tokio::test(start_paused = true)]
async fn the_last_minutes_of_a_key_bridge_a_silent_service() {
    let down = || Err(TransportFailure::TimedOut { host: "m".to_owned(), after: Duration::from_secs(5) });
    let metadata = Scripted::new([session(), key(1, "2026-11-23T17:03:25Z"), down(), down()]);
    let cloud = Scripted::new([done(), done()]);
    let client = set_up(&metadata, &cloud, Some("builder"));
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    tokio::time::advance(Duration::from_secs(57 * 60)).await;
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    tokio::time::advance(Duration::from_secs(4 * 60)).await;
    let error = client.call(describe_vpcs(None, &[]).request()).await.unwrap_err();
    assert_eq!((error.class, cloud.count()), (Class::Server, 2));
}

#[tokio::test(start_paused = true)]
async fn machines_without_a_role_are_told_so() {
    for (answers, name, said) in [
        (vec![session(), answer(404, &[], "")], Some("builder"), "no RAM role `builder`"),
        (vec![session(), answer(404, &[], "")], None, "no RAM role:"),
        (vec![session(), answer(200, &[], "../../x")], None, "no name of a RAM role"),
        (vec![session(), answer(200, &[], "<html>")], Some("builder"), "is not JSON"),
        (vec![session(), answer(200, &[], r#"{"Code":"Failed"}"#)], Some("builder"), "is not JSON"),
        (vec![session(), key(1, "soon")], Some("builder"), "has no end"),
        (vec![session(), answer(500, &[], "")], Some("builder"), "refuses"),
        (
            vec![Err(TransportFailure::Unreachable { host: "m".to_owned(), source: "no route".into() })],
            None,
            "only instances of Alibaba Cloud have one",
        ),
    ] {
        let (metadata, cloud) = (Scripted::new(answers), Scripted::new([]));
        let error = set_up(&metadata, &cloud, name).call(describe_vpcs(None, &[]).request()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert_eq!(cloud.count(), 0);
    }
}
