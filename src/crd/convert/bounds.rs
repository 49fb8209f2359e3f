//! Time and tries: timeouts, retries, approvals within their bounds.

use std::time::Duration;

use crate::crd::convert::exprs::{Exprs, Sight};
use crate::crd::duration;
use crate::crd::finding::Remarks;
use crate::crd::shapes;
use crate::crd::tree::Cursor;
use crate::crd::workflow as spec;
use crate::model::task::{Approval, FailureKind, OnTimeout, RETRY_DELAY_MAX, Retry};

/// A bound in time: more than nothing, a year at most.
pub(super) fn timeout(text: &shapes::Duration, at: &Cursor<'_>, remarks: &mut Remarks) -> Option<Duration> {
    let value = wait(text, at, duration::LONGEST, remarks)?;
    if value.is_zero() {
        remarks.at(at, "a timeout of nothing", Some("leave it out for no bound".to_string()));
        return None;
    }
    Some(value)
}

/// A wait: nothing is allowed.
pub(super) fn wait(
    text: &shapes::Duration,
    at: &Cursor<'_>,
    longest: Duration,
    remarks: &mut Remarks,
) -> Option<Duration> {
    match duration::parse(&text.0) {
        Some(value) if value <= longest => Some(value),
        // The schema's pattern lets nothing else through, so it is too long to be counted.
        _ => {
            let most = duration::written(longest);
            remarks.at(at, format!("{} is too long", text.0), Some(format!("{most} is the most")));
            None
        }
    }
}

/// A retry as the engine wants it; bounds of single fields are the schema's.
pub(super) fn retry(spec: &spec::RetrySpec, at: &Cursor<'_>, remarks: &mut Remarks) -> Retry {
    let mut span =
        |text: Option<&shapes::Duration>, key: &str| wait(text?, &at.field(key), RETRY_DELAY_MAX, remarks);
    let delay = span(spec.delay.as_ref(), "delay");
    let max_delay = span(spec.max_delay.as_ref(), "maxDelay");
    if let (Some(delay), Some(most)) = (delay, max_delay)
        && delay > most
    {
        let reason =
            format!("{} is shorter than delay, {}", duration::written(most), duration::written(delay));
        remarks.at(&at.field("maxDelay"), reason, Some("make maxDelay the longer one".to_string()));
    }
    let on: Vec<FailureKind> = spec.only_on.iter().flatten().map(|kind| failure_kind(*kind)).collect();
    if spec.exit_codes.is_some() && !on.is_empty() && !on.contains(&FailureKind::ExitCode) {
        let reason = "exitCodes has no effect: onlyOn does not name ExitCode";
        remarks.at(&at.field("exitCodes"), reason, Some("add ExitCode to onlyOn".to_string()));
    }
    let standard = Retry::default();
    Retry {
        limit: spec.limit,
        delay: delay.unwrap_or(standard.delay),
        factor: spec.factor.unwrap_or(standard.factor),
        max_delay,
        jitter: spec.jitter.unwrap_or(standard.jitter),
        on,
        exit_codes: spec.exit_codes.iter().flatten().filter_map(|code| i32::try_from(*code).ok()).collect(),
    }
}

fn failure_kind(kind: spec::RetryOn) -> FailureKind {
    match kind {
        spec::RetryOn::Error => FailureKind::Error,
        spec::RetryOn::Timeout => FailureKind::Timeout,
        spec::RetryOn::ExitCode => FailureKind::ExitCode,
    }
}

/// An approval of the task `no`; a forEach asks once, before it expands, so the message sees no element.
pub(super) fn approval(
    exprs: &Exprs<'_>,
    no: usize,
    spec: &spec::ApprovalSpec,
    at: &Cursor<'_>,
    remarks: &mut Remarks,
) -> Approval {
    if spec.on_timeout.is_some() && spec.timeout.is_none() && !at.lost("timeout") {
        let reason = "onTimeout has no effect without timeout";
        remarks.at(&at.field("onTimeout"), reason, Some("add timeout: 24h".to_string()));
    }
    let sight = Sight::before_items(exprs, no, "approval.message");
    let message = spec.message.as_ref();
    Approval {
        required: spec.required.unwrap_or(1),
        message: message.and_then(|text| exprs.template(&at.field("message"), text, &sight, remarks)),
        timeout: spec.timeout.as_ref().and_then(|text| timeout(text, &at.field("timeout"), remarks)),
        on_timeout: match spec.on_timeout {
            Some(spec::OnTimeout::Skip) => OnTimeout::Skip,
            Some(spec::OnTimeout::Fail) | None => OnTimeout::Fail,
        },
    }
}
