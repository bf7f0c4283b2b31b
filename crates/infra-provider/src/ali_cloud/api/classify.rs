//! Classifies refused calls by what can be done about them.

use std::time::Duration;

use http::HeaderMap;

/// What a failure means for whoever made the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Something the new resource stands on is still being made: try again when it should be there.
    NotReady,
    /// Something still stands on what is to be deleted: wait for it, then try again.
    InUse,
    /// The same call with the same token is being worked on: ask again with the same token after about a second.
    InFlight,
    /// Another change to the same thing is going on: try again shortly, with jitter.
    Busy,
    /// The server or the way there failed, perhaps after the effect: try again only what may be repeated.
    Server,
    /// Too many calls: wait as long as [`ApiError::retry_after`](super::ApiError::retry_after) says.
    Throttled,
    /// This type, disk or zone is not to be had: take the next one at once.
    NextCandidate,
    /// What was to be deleted is gone already; of a call for several, at least one is.
    Gone,
    /// What the call refers to is not there, or not visible yet.
    Missing,
    /// The time stamp was refused, also after the clock was corrected.
    ClockSkew,
    /// The nonce was refused, also with a new one.
    NonceUsed,
    /// The key, its secret or its token is wrong.
    Denied,
    /// The key is right and may not do this.
    Forbidden,
    /// The account cannot pay, or must not buy.
    Account,
    /// The account may not have more of this.
    Quota,
    /// The token was used before with other parameters.
    Mismatch,
    /// The request is wrong, or refused for a reason that is not known here.
    Refused,
}

impl Class {
    /// Whether the same call cannot succeed before somebody changes something.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        match self {
            Self::ClockSkew | Self::NonceUsed | Self::Denied | Self::Forbidden => true,
            Self::Account | Self::Quota | Self::Mismatch | Self::Refused => true,
            Self::NotReady | Self::InUse | Self::InFlight | Self::Busy | Self::Server | Self::Throttled => false,
            Self::NextCandidate | Self::Gone | Self::Missing => false,
        }
    }
}

/// The class of a failed `action`. The code decides; the status only where the code says nothing, because the same
/// code comes with different ones. `throttled` is whether the answer says when to come back.
#[must_use]
pub fn classify(action: &str, status: u16, code: &str, throttled: bool) -> Class {
    if throttled {
        return Class::Throttled;
    }
    of_traffic(code)
        .or_else(|| of_candidate(code))
        .or_else(|| of_state(action, code))
        .or_else(|| of_account(code))
        .or_else(|| of_object(action, code))
        .unwrap_or(match status {
            429 => Class::Throttled,
            408 | 500..=599 | 200..=299 => Class::Server,
            _ => Class::Refused,
        })
}

/// How long a throttled call must wait: `x-acs-retry-after` in milliseconds (at most 120 s), or what the older
/// `x-ratelimit-user-api` and `x-ratelimit-user` say, the longer of both. Zero and less is nothing.
#[must_use]
pub fn throttle_wait(headers: &HeaderMap) -> Option<Wait> {
    const LIMIT: u64 = 120_000;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = |milliseconds: u64| Duration::from_millis(milliseconds.min(LIMIT));
    let positive = |text: &str| text.trim().parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    if let Some(milliseconds) = text("x-acs-retry-after").and_then(positive) {
        return Some(Wait { after: wait(milliseconds), by_itself: true });
    }
    let left = |name: &str| text(name)?.split(',').find_map(|part| positive(part.trim().strip_prefix("TimeLeft:")?));
    let older = left("x-ratelimit-user-api").max(left("x-ratelimit-user"))?;
    Some(Wait { after: wait(older), by_itself: false })
}

/// When a call may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// After how long.
    pub after: Duration,
    /// Whether saying so means that the call was throttled; the older headers stand on other answers, too.
    pub by_itself: bool,
}

fn of_traffic(code: &str) -> Option<Class> {
    Some(match code {
        "Throttling" | "Rejected.Throttling" => Class::Throttled,
        _ if code.starts_with("Throttling.") => Class::Throttled,
        "IdempotentProcessing"
        | "OperationFailed.IdempotentTokenProcessing"
        | "OperationFailed.LastTokenProcessing"
        | "LastTokenProcessing"
        | "TOKEN_PROCESSING" => Class::InFlight,
        "TaskConflict"
        | "VPC_TASK_CONFLICT"
        | "OperationConflict"
        | "OperationFailed.DistibuteLock"
        | "OperationFailed.NotifyCenCreate"
        | "OperationDenied.CreatingConflict"
        | "OperationDenied.OtherSubnetProcessing"
        | "SystemBusy"
        | "System.ServiceBusy"
        | "FrequentPurchase.EIP" => Class::Busy,
        "InternalError" | "UnknownError" | "ServiceUnavailable" => Class::Server,
        "SignatureNonceUsed" => Class::NonceUsed,
        "IllegalTimestamp" => Class::ClockSkew,
        _ if code.starts_with("InvalidTimeStamp") => Class::ClockSkew,
        _ => return None,
    })
}

fn of_candidate(code: &str) -> Option<Class> {
    let next = matches!(
        code,
        "OperationDenied.NoStock"
            | "Zone.NotOnSale"
            | "InvalidInstanceType.ZoneNotSupported"
            | "InvalidInstanceType.NotSupported"
            | "InvalidInstanceType.ValueNotSupported"
            | "InvalidInstanceType.NotSupportDiskCategory"
            | "CategoryNotSupported"
            | "QuotaExceed.ElasticQuota"
    );
    next.then_some(Class::NextCandidate)
}

fn of_state(action: &str, code: &str) -> Option<Class> {
    let waiting = if is_taking_away(action) { Class::InUse } else { Class::NotReady };
    match code {
        "DependencyViolation" => Some(Class::InUse),
        _ if code.starts_with("DependencyViolation.") => Some(Class::InUse),
        "InvalidOperation.KeyPairInUse" => Some(Class::InUse),
        "IncorrectVpcStatus"
        | "IncorrectVSwitchStatus"
        | "IncorrectRouteEntryStatus"
        | "InvalidStatus.RouteEntry"
        | "IncorrectInstanceStatus"
        | "IncorrectInstanceStatus.Initializing"
        | "InvalidStatus.EcsStatusNotSupport"
        | "InvalidBindingStatus"
        | "IncorrectEipStatus" => Some(waiting),
        _ => None,
    }
}

fn of_account(code: &str) -> Option<Class> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| code.starts_with(prefix));
    if starts(&["InvalidAccessKeyId", "InvalidAccessKeySecret", "InvalidSecurityToken", "MissingSecurityToken"])
        || matches!(code, "IncompleteSignature" | "SignatureDoesNotMatch" | "SecurityTokenExpired")
    {
        return Some(Class::Denied);
    }
    if matches!(code, "Forbidden" | "Forbidden.RAM" | "NoPermission" | "UnauthorizedOperation") {
        return Some(Class::Forbidden);
    }
    if starts(&["InvalidAccountStatus.", "RealNameAuthenticationError", "Account.Arrearage"])
        || matches!(code, "InsufficientBalance" | "NotEnoughBalance")
    {
        return Some(Class::Account);
    }
    if code == "QuotaExceeded" || starts(&["QuotaExceeded.", "QuotaExceed."]) {
        return Some(Class::Quota);
    }
    matches!(code, "IdempotentParameterMismatch" | "InvalidIdempotenceParameter.Mismatch").then_some(Class::Mismatch)
}

fn of_object(action: &str, code: &str) -> Option<Class> {
    // Products do not agree on how to write `Id`.
    let kind = code.to_ascii_lowercase();
    let kind = kind.strip_prefix("invalid").and_then(|rest| rest.strip_suffix(".notfound")).unwrap_or_default();
    let kind = kind.strip_suffix("ids").or(kind.strip_suffix("id")).or(kind.strip_suffix("name")).unwrap_or(kind);
    let absent = ["instance", "vswitch", "vpc", "allocation", "securitygroup", "keypair"].contains(&kind);
    absent.then_some(if is_taking_away(action) { Class::Gone } else { Class::Missing })
}

fn is_taking_away(action: &str) -> bool {
    ["Delete", "Release", "Unassociate"].iter().any(|verb| action.starts_with(verb))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// For every class: actions, and codes that mean it there.
    const TABLE: &[(Class, &str, &[&str])] = &[
        (Class::NotReady, "CreateVSwitch", &["IncorrectVpcStatus", "IncorrectVSwitchStatus"]),
        (Class::NotReady, "CreateVSwitch", &["IncorrectRouteEntryStatus", "InvalidStatus.RouteEntry"]),
        (Class::NotReady, "CreateSecurityGroup", &["IncorrectVpcStatus"]),
        (Class::NotReady, "RunInstances", &["IncorrectVpcStatus", "IncorrectVSwitchStatus"]),
        (
            Class::NotReady,
            "AssociateEipAddress",
            &[
                "IncorrectInstanceStatus",
                "InvalidStatus.EcsStatusNotSupport",
                "InvalidBindingStatus",
                "IncorrectEipStatus",
            ],
        ),
        (Class::InUse, "DeleteInstances", &["IncorrectInstanceStatus.Initializing", "IncorrectInstanceStatus"]),
        (Class::InUse, "ReleaseEipAddress", &["IncorrectEipStatus"]),
        (Class::InUse, "UnassociateEipAddress", &["IncorrectEipStatus"]),
        (Class::InUse, "DeleteVSwitch", &["DependencyViolation", "IncorrectVSwitchStatus"]),
        (Class::InUse, "DeleteSecurityGroup", &["DependencyViolation"]),
        (Class::InUse, "DeleteKeyPairs", &["InvalidOperation.KeyPairInUse"]),
        (
            Class::InUse,
            "DeleteVpc",
            &[
                "DependencyViolation.VSwitch",
                "DependencyViolation.SecurityGroup",
                "DependencyViolation.Instance",
                "DependencyViolation.SLBConfiguring",
            ],
        ),
        (
            Class::InFlight,
            "RunInstances",
            &[
                "IdempotentProcessing",
                "OperationFailed.IdempotentTokenProcessing",
                "OperationFailed.LastTokenProcessing",
                "LastTokenProcessing",
                "TOKEN_PROCESSING",
            ],
        ),
        (
            Class::Busy,
            "CreateVSwitch",
            &[
                "TaskConflict",
                "VPC_TASK_CONFLICT",
                "OperationConflict",
                "OperationFailed.DistibuteLock",
                "OperationFailed.NotifyCenCreate",
                "OperationDenied.CreatingConflict",
                "OperationDenied.OtherSubnetProcessing",
                "SystemBusy",
                "System.ServiceBusy",
                "FrequentPurchase.EIP",
            ],
        ),
        (Class::Server, "CreateVpc", &["InternalError", "UnknownError", "ServiceUnavailable"]),
        (
            Class::Throttled,
            "RunInstances",
            &["Throttling", "Throttling.User", "Throttling.Api", "Throttling.Resource", "Rejected.Throttling"],
        ),
        (
            Class::NextCandidate,
            "RunInstances",
            &[
                "OperationDenied.NoStock",
                "Zone.NotOnSale",
                "InvalidInstanceType.ZoneNotSupported",
                "InvalidInstanceType.NotSupported",
                "InvalidInstanceType.ValueNotSupported",
                "InvalidInstanceType.NotSupportDiskCategory",
                "CategoryNotSupported",
                "QuotaExceed.ElasticQuota",
            ],
        ),
        (Class::Gone, "DeleteInstances", &["InvalidInstanceId.NotFound", "InvalidInstanceIds.NotFound"]),
        (Class::Gone, "DeleteVSwitch", &["InvalidVSwitchId.NotFound", "InvalidVswitchID.NotFound"]),
        (Class::Gone, "DeleteVpc", &["InvalidVpcId.NotFound", "InvalidVpcID.NotFound"]),
        (Class::Gone, "ReleaseEipAddress", &["InvalidAllocationId.NotFound"]),
        (Class::Gone, "DeleteSecurityGroup", &["InvalidSecurityGroup.NotFound", "InvalidSecurityGroupId.NotFound"]),
        (Class::Gone, "DeleteKeyPairs", &["InvalidKeyPair.NotFound", "InvalidKeyPairName.NotFound"]),
        (Class::Refused, "DeleteInstances", &["InvalidRegionId.NotFound", "InvalidInstanceIdea.NotFound"]),
        (Class::Missing, "RunInstances", &["InvalidSecurityGroupId.NotFound", "InvalidVSwitchId.NotFound"]),
        (Class::ClockSkew, "CreateVpc", &["IllegalTimestamp", "InvalidTimeStamp.Expired"]),
        (Class::NonceUsed, "CreateVpc", &["SignatureNonceUsed"]),
        (
            Class::Denied,
            "CreateVpc",
            &[
                "InvalidAccessKeyId.NotFound",
                "InvalidAccessKeyId.Inactive",
                "IncompleteSignature",
                "SignatureDoesNotMatch",
                "InvalidSecurityToken.Expired",
            ],
        ),
        (Class::Forbidden, "CreateVpc", &["Forbidden.RAM"]),
        (
            Class::Account,
            "RunInstances",
            &["InsufficientBalance", "InvalidAccountStatus.NotEnoughBalance", "RealNameAuthenticationError"],
        ),
        (Class::Quota, "CreateVpc", &["QuotaExceeded.Vpc", "QuotaExceeded.Instance"]),
        (Class::Mismatch, "RunInstances", &["IdempotentParameterMismatch", "InvalidIdempotenceParameter.Mismatch"]),
        (
            Class::Refused,
            "DeleteInstances",
            &[
                "MissingParameter",
                "MissingParameter.RegionId",
                "InvalidParameter",
                "InvalidParameter.Amount",
                "InvalidOperation.DeletionProtection",
                "NeverHeardOf.This",
            ],
        ),
    ];

    #[test]
    fn every_known_code_has_its_class() {
        for (class, action, codes) in TABLE {
            for code in *codes {
                for status in [400, 403, 404, 409] {
                    assert_eq!(classify(action, status, code, false), *class, "{action} {status} {code}");
                }
                assert_eq!(classify(action, 400, code, true), Class::Throttled, "{action} {code} with a wait");
            }
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, class) in [
            (429, Class::Throttled),
            (500, Class::Server),
            (502, Class::Server),
            (503, Class::Server),
            (504, Class::Server),
            (408, Class::Server),
            (200, Class::Server),
            (302, Class::Refused),
            (400, Class::Refused),
            (404, Class::Refused),
            (407, Class::Refused),
        ] {
            for code in ["", "NeverHeardOf"] {
                assert_eq!(classify("RunInstances", status, code, false), class, "{status} {code}");
            }
        }
    }

    #[test]
    fn waits_come_from_the_header() {
        let wait = |headers: &[(&'static str, &'static str)]| {
            let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            throttle_wait(&map).map(|wait| (wait.after.as_millis(), wait.by_itself))
        };
        assert_eq!(wait(&[("x-acs-retry-after", "2000")]), Some((2000, true)));
        assert_eq!(wait(&[("x-acs-retry-after", " 999999999 ")]), Some((120_000, true)));
        assert_eq!(wait(&[("x-acs-retry-after", "99999999999999999999")]), None);
        for nothing in ["0", "-1", "", "soon", "1.5"] {
            assert_eq!(wait(&[("x-acs-retry-after", nothing)]), None, "{nothing}");
        }
        let user = ("x-ratelimit-user", "Limit:1,Remain:0,TimeLeft:2000,Reset:1234");
        let api = ("x-ratelimit-user-api", "Limit:1, Remain:0, TimeLeft:500, Reset:1234");
        assert_eq!(wait(&[user, api]), Some((2000, false)));
        assert_eq!(wait(&[api]), Some((500, false)));
        assert_eq!(wait(&[api, ("x-acs-retry-after", "70")]), Some((70, true)));
        assert_eq!(wait(&[("x-ratelimit-user", "TimeLeft:-5")]), None);
        assert_eq!(wait(&[]), None);
    }
}
