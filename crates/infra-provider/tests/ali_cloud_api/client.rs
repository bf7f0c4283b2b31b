//! Calls over a scripted server: what is sent, what is corrected, and how failures are reported.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infra_provider::ali_cloud::api::ecs::{LogIn, RunInstances, describe_instances};
use infra_provider::ali_cloud::api::vpc::{VpcCreated, create_vpc as create, delete_vswitch, describe_vpcs};
use infra_provider::ali_cloud::api::{AccessKey, ApiError, Class, Credentials, Request, TransportFailure};

use crate::scripted::{Scripted, answer, client, client_of, refusal, refusal_body};

const VPC: &str = r#"{"RequestId":"r-1","VpcId":"vpc-1","VRouterId":"vrt-1","RouteTableId":"vtb-1"}"#;

fn create_vpc() -> Request<VpcCreated> {
    create("n", &[]).with_token("tok-1")
}

fn io(text: &str) -> Box<dyn std::error::Error + Send + Sync> {
    text.to_owned().into()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_one_signed_request() {
    let server = Scripted::new([answer(200, &[], VPC)]);
    let credentials = Credentials::Key(AccessKey::new("testid", "testsecret").with_token("a-token"));
    let made = client_of(credentials, Arc::clone(&server)).call(&create_vpc()).await.unwrap();

    assert_eq!(made.vpc_id, "vpc-1");
    assert_eq!(
        server.line(0),
        "POST https://vpc.cn-chengdu.aliyuncs.com/?ClientToken=tok-1&RegionId=cn-chengdu&VpcName=n"
    );
    let header = |name| server.header(0, name).unwrap_or_default();
    assert_eq!(header("host"), "vpc.cn-chengdu.aliyuncs.com");
    assert_eq!(header("x-acs-action"), "CreateVpc");
    assert_eq!(header("x-acs-version"), "2016-04-28");
    assert_eq!(header("x-acs-date"), "2026-11-23T16:03:25Z");
    assert_eq!(header("x-acs-security-token"), "a-token");
    assert_eq!(header("x-acs-signature-nonce").len(), 32);
    assert_eq!(header("x-acs-content-sha256"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let authorization = header("authorization");
    let signed = "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
                  x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,Signature=";
    assert!(authorization.starts_with(signed) && authorization.len() == signed.len() + 64, "{authorization}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_fails_at_once_with_code_request_and_hint() {
    for (code, hint) in [
        ("InvalidAccessKeyId.NotFound", "ACCESSKEYID"),
        ("SignatureDoesNotMatch", "ACCESSKEYSECRET"),
        ("InvalidSecurityToken.Expired", "get a new one"),
        ("Forbidden.RAM", "AliyunECSFullAccess"),
        ("InvalidAccountStatus.NotEnoughBalance", "top up"),
        ("QuotaExceeded.Vpc", "quota"),
    ] {
        let server = Scripted::new([refusal(404, code)]);
        let error = client(Arc::clone(&server)).call(&create_vpc()).await.unwrap_err();
        let shown = error.to_string();
        assert_eq!(server.count(), 1, "{code}");
        assert!(error.class.is_fatal() && !error.may_have_happened, "{error:?}");
        for part in ["CreateVpc", code, "It is refused (", "4C467B38-3910-447D-87BC-AC049166F216", "404", hint] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_corrected_once_and_stays_corrected() {
    let date = ("date", "Mon, 23 Nov 2026 19:30:00 GMT");
    let skewed = || answer(400, &[date], &refusal_body("IllegalTimestamp"));
    let server = Scripted::new([skewed(), answer(200, &[], VPC), answer(200, &[], "{}"), skewed(), skewed()]);
    let client = client(Arc::clone(&server));
    client.call(&create_vpc()).await.unwrap();
    assert_eq!(server.header(1, "x-acs-date").unwrap(), "2026-11-23T19:30:00Z");
    assert_ne!(server.header(0, "x-acs-signature-nonce"), server.header(1, "x-acs-signature-nonce"));

    tokio::time::advance(Duration::from_secs(61)).await;
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    assert_eq!(server.header(2, "x-acs-date").unwrap(), "2026-11-23T19:31:01Z");

    let error = client.call(&create_vpc()).await.unwrap_err();
    assert_eq!((error.class, server.count()), (Class::ClockSkew, 5));
    assert!(error.to_string().contains("set the clock of this machine"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_the_servers_time_there_is_nothing_to_correct() {
    for headers in [
        &[][..],
        &[("date", "yesterday")],
        &[("date", "Thu, 01 Jan 1970 00:00:00 GMT")],
        &[("date", "Fri, 31 Dec 9999 23:59:59 GMT")],
    ] {
        let server = Scripted::new([answer(400, headers, &refusal_body("InvalidTimeStamp.Expired"))]);
        let error = client(Arc::clone(&server)).call(&create_vpc()).await.unwrap_err();
        assert_eq!((error.class, server.count()), (Class::ClockSkew, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_used_nonce_is_replaced_once() {
    let server = Scripted::new([refusal(400, "SignatureNonceUsed"), answer(200, &[], VPC)]);
    client(Arc::clone(&server)).call(&create_vpc()).await.unwrap();
    assert_ne!(server.header(0, "x-acs-signature-nonce"), server.header(1, "x-acs-signature-nonce"));
    assert_ne!(server.header(0, "authorization"), server.header(1, "authorization"));

    let server = Scripted::new([refusal(400, "SignatureNonceUsed"), refusal(400, "SignatureNonceUsed")]);
    let error = client(Arc::clone(&server)).call(&create_vpc()).await.unwrap_err();
    assert_eq!((error.class, server.count()), (Class::NonceUsed, 2));
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_sent_twice() {
    for (status, code) in [(503, "ServiceUnavailable"), (400, "TaskConflict"), (429, "Throttling.User")] {
        let server = Scripted::new([refusal(status, code)]);
        client(Arc::clone(&server)).call(&create_vpc()).await.unwrap_err();
        assert_eq!(server.count(), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_says_how_long() {
    let wait = async |headers: &[(&str, &str)], status, code| {
        let server = Scripted::new([answer(status, headers, &refusal_body(code))]);
        let error = client(server).call(&create_vpc()).await.unwrap_err();
        (error.class, error.retry_after.map(|wait| wait.as_millis()))
    };
    let after = ("x-acs-retry-after", "2500");
    let older = ("x-ratelimit-user", "Limit:1,Remain:0,TimeLeft:2000,Reset:1234");
    assert_eq!(wait(&[after], 429, "Throttling.User").await, (Class::Throttled, Some(2500)));
    assert_eq!(wait(&[after], 400, "NeverHeardOf").await, (Class::Throttled, Some(2500)));
    assert_eq!(wait(&[older], 403, "Throttling").await, (Class::Throttled, Some(2000)));
    assert_eq!(wait(&[older], 400, "MissingParameter").await, (Class::Refused, None));
    assert_eq!(wait(&[("x-acs-retry-after", "0")], 400, "Throttling").await, (Class::Throttled, None));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_and_what_may_be_repeated_is_known() {
    let lost = || Err(TransportFailure::TimedOut { host: "h".to_owned(), after: Duration::from_secs(20) });
    let unsent = || Err(TransportFailure::Unreachable { host: "h".to_owned(), source: io("refused") });
    let server = Scripted::new([lost(), unsent(), refusal(500, "InternalError"), lost()]);
    let client = client(server);
    let told = |error: &ApiError| (error.class, error.may_have_happened, error.repeatable);

    assert_eq!(told(&client.call(&create_vpc()).await.unwrap_err()), (Class::Server, true, true));
    let error = client.call(&create_vpc()).await.unwrap_err();
    assert_eq!(told(&error), (Class::Server, false, true));
    assert!(error.to_string().contains("h cannot be reached"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "refused");
    assert_eq!(told(&client.call(&create("n", &[])).await.unwrap_err()), (Class::Server, true, false));
    assert_eq!(told(&client.call(&delete_vswitch("vsw-1")).await.unwrap_err()), (Class::Server, true, true));
}

#[tokio::test(start_paused = true)]
async fn garbage_is_an_error_and_nothing_worse() {
    let deep = "[".repeat(100_000);
    for body in ["", "<html>502 from a proxy</html>", "null", "[]", "[1,2]", "\u{0}", "{\"Code\":", &deep] {
        for (status, class) in
            [(200, Class::Server), (502, Class::Server), (404, Class::Refused), (429, Class::Throttled)]
        {
            let server = Scripted::new([answer(status, &[], body)]);
            let error = client(server).call(&create_vpc()).await.unwrap_err();
            assert_eq!(error.class, class, "{status} {body:.20}");
            assert!(error.to_string().len() < 800, "{status} {body:.20}");
        }
    }
    let server = Scripted::new([answer(502, &[], "<html>\n<b>Bad\r\n gateway</b>\u{7}")]);
    let error = client(server).call(&create_vpc()).await.unwrap_err();
    assert_eq!(error.to_string(), "CreateVpc failed: the answer is not JSON: <html> <b>Bad gateway</b> (HTTP 502)");
    let server = Scripted::new([answer(400, &[("x-acs-request-id", "r-9")], r#"{"code":"X.Y","message":null}"#)]);
    let error = client(server).call(&create_vpc()).await.unwrap_err();
    assert_eq!(error.to_string(), "CreateVpc failed: X.Y (HTTP 400, request r-9)");
}

#[tokio::test(start_paused = true)]
async fn secrets_are_nowhere_but_in_the_request() {
    let password = "Aa1~=+%^*/()";
    let quoted = format!(
        r#"{{"RequestId":"r","Code":"InvalidPassword","Message":"Password {password} Password=Aa1~%3D%2B%25%5E%2A%2F%28%29& Password%3DAa1~%253D%252B%2525%255E%252A%252F%2528%2529 key testsecret"}}"#
    );
    let server = Scripted::new([answer(400, &[], &quoted)]);
    let seen: Arc<Mutex<String>> = Arc::default();
    let log = Arc::clone(&seen);
    let client = client(Arc::clone(&server))
        .with_observer(Arc::new(move |call| log.lock().unwrap().push_str(&format!("{call:?}"))));
    let request = RunInstances { log_in: LogIn::Password(password.into()), ..RunInstances::default() }.request();
    let error = client.call(&request).await.unwrap_err();

    assert!(!server.line(0).contains("Password"), "a URL is written into logs: {}", server.line(0));
    assert_eq!(server.body(0), "Password=Aa1~%3D%2B%25%5E%2A%2F%28%29");
    assert_eq!(server.header(0, "content-type").unwrap(), "application/x-www-form-urlencoded");
    assert!(server.header(0, "authorization").unwrap().contains("content-type;"), "it is signed");
    let shown = format!("{error} {error:?} {request:?} {client:?} {}", seen.lock().unwrap());
    assert!(shown.contains("Password *** Password=***& Password%3D*** key ***"), "{shown}");
    for secret in ["Aa1~", "testsecret", "testid"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_every_request() {
    let server =
        Scripted::new([refusal(400, "SignatureNonceUsed"), answer(200, &[], VPC), refusal(400, "IncorrectVpcStatus")]);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let client = client(server).with_observer(Arc::new(move |call| {
        let verdict = call.failure.map_or_else(|| "done".to_owned(), |failure| failure.code.clone());
        let token = call.parameters.shown().find(|(name, _)| *name == "ClientToken").unwrap().1.to_owned();
        log.lock().unwrap().push(format!("{} {token} {verdict}", call.action));
    }));
    client.call(&create_vpc()).await.unwrap();
    client.call(&create_vpc()).await.unwrap_err();
    assert_eq!(
        *seen.lock().unwrap(),
        ["CreateVpc tok-1 SignatureNonceUsed", "CreateVpc tok-1 done", "CreateVpc tok-1 IncorrectVpcStatus"]
    );
}

#[tokio::test(start_paused = true)]
async fn actions_have_their_own_time_to_answer() {
    let server = Scripted::new([refusal(400, "X"), refusal(400, "X")]);
    let client = client(Arc::clone(&server));
    client.call(&RunInstances::default().request()).await.unwrap_err();
    client.call(describe_instances(&[], &[]).request()).await.unwrap_err();
    assert!(server.time_out(0) >= Duration::from_secs(86), "{:?}", server.time_out(0));
    assert!(server.time_out(1) >= Duration::from_secs(10) && server.time_out(1) <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn pages_are_followed_to_the_end_and_not_further() {
    let page = |ids: &[&str], token: &str| {
        let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"InstanceId":"{id}"}}"#)).collect();
        let body =
            format!(r#"{{"Instances":{{"Instance":[{}]}},"NextToken":"{token}","TotalCount":3}}"#, ids.join(","));
        answer(200, &[], &body)
    };
    let server = Scripted::new([page(&["i-1", "i-2"], "next"), page(&["i-3"], "")]);
    let all = client(Arc::clone(&server)).list(describe_instances(&[], &[])).await.unwrap();
    assert_eq!(all.iter().map(|instance| instance.instance_id.as_str()).collect::<Vec<_>>(), ["i-1", "i-2", "i-3"]);
    assert!(!server.line(0).contains("NextToken") && server.line(1).contains("NextToken=next"));

    let page = |ids: &[&str], total: u32| {
        let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"VpcId":"{id}"}}"#)).collect();
        answer(200, &[], &format!(r#"{{"TotalCount":{total},"Vpcs":{{"Vpc":[{}]}}}}"#, ids.join(",")))
    };
    let server = Scripted::new([page(&["a", "b"], 3), page(&["c"], 3)]);
    assert_eq!(client(Arc::clone(&server)).list(describe_vpcs(None, &[])).await.unwrap().len(), 3);
    assert!(server.line(1).contains("PageNumber=2&PageSize=50"), "{}", server.line(1));
    // Some counted items may not be shown.
    let server = Scripted::new([page(&["a"], 3), page(&[], 3)]);
    assert_eq!(client(server).list(describe_vpcs(None, &[])).await.unwrap().len(), 1);

    let endless = (0..1000).map(|_| answer(200, &[], r#"{"NextToken":"again"}"#));
    let server = Scripted::new(endless);
    let error = client(Arc::clone(&server)).list(describe_instances(&[], &[])).await.unwrap_err();
    assert_eq!((error.class, server.count()), (Class::Refused, 200));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_a_long_page_quotes_is_not_shown_by_half() {
    // Wherever the page is cut, the secret may stand across it.
    for before in [150, 185, 190, 195, 465, 470, 480, 490, 495] {
        let page = format!("<html>{} testsecret</html>", "x".repeat(before));
        let server = Scripted::new([answer(502, &[], &page)]);
        let shown = client(server).call(&create_vpc()).await.unwrap_err().to_string();
        assert!(!shown.contains(" test"), "{before}: {shown}");
        assert!(shown.len() < 800, "{before}");
    }
}
