//! Tells the time, for states and for signatures.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

/// Counts from the moment the double was made; the time of day follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall_start: SystemTime,
}

impl Clock {
    /// Starts now, when it is `wall_start` by the double's own calendar.
    pub(crate) fn starting_at(wall_start: SystemTime) -> Clock {
        Clock { start: Instant::now(), wall_start }
    }

    /// Time since the double was made.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The double's time of day at `now`.
    pub(crate) fn wall(&self, now: Duration) -> SystemTime {
        self.wall_start + now
    }
}

/// `2026-01-02T03:04:05Z`.
pub(crate) fn timestamp(wall: SystemTime) -> String {
    let at = OffsetDateTime::from(wall).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// Reads `2026-01-02T03:04:05Z`, and nothing but this form.
pub(crate) fn parse_timestamp(text: &str) -> Option<SystemTime> {
    if text.len() != 20 || text.as_bytes()[10] != b'T' || !text.ends_with('Z') {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// As the `Date` header has it: `Fri, 02 Jan 2026 03:04:05 GMT`.
pub(crate) fn http_date(wall: SystemTime) -> String {
    let at = OffsetDateTime::from(wall);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let wall = parse_timestamp("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(timestamp(wall + Duration::from_millis(900)), "2026-01-02T03:04:05Z");
        assert_eq!(http_date(wall), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert!(parse_timestamp("2026-01-02T03:04:05.5Z").is_none());
        assert!(parse_timestamp("2026-01-02 03:04:05Z").is_none());
    }
}
