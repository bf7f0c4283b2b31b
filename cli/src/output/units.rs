//! Formats bytes, rates and durations.

use std::time::Duration;

const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// Bytes in powers of ten, as docker prints them: `14 kB`, `412 MB`, `1.2 GB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut value = count as f64;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Two significant places are enough below ten of a big unit.
    if unit >= 2 && value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// Bytes in a given unit, without its name.
fn in_unit(count: u64, unit: &str) -> String {
    let power = UNITS.iter().position(|known| *known == unit).unwrap_or_default();
    let value = count as f64 / 1000_f64.powi(i32::try_from(power).unwrap_or_default());
    if power >= 2 && value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A short duration: `0.3s`, `41s`, `2m05s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1}s")
    } else if seconds < 59.5 {
        format!("{seconds:.0}s")
    } else {
        let whole = seconds.round() as u64;
        format!("{}m{:02}s", whole / 60, whole % 60)
    }
}

/// How far bytes are: `412/531 MB`.
pub(crate) fn progress(done: u64, total: u64) -> String {
    let whole = bytes(total);
    let (done, unit) = match whole.rsplit_once(' ') {
        Some((_, unit)) => (in_unit(done, unit), unit),
        None => (done.to_string(), ""),
    };
    format!("{done}/{} {unit}", whole.split(' ').next().unwrap_or_default())
}

/// Bytes in a second: `41 MB/s`; nothing where that would say nothing.
pub(crate) fn rate(count: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if count == 0 || seconds < 0.01 { String::new() } else { format!("{}/s", bytes((count as f64 / seconds) as u64)) }
}

/// `1 host`, `3 hosts`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_docker_prints_them() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (14_321, "14 kB"),
            (999_999, "1.0 MB"),
            (1_234_567, "1.2 MB"),
            (412_000_000, "412 MB"),
            (1_240_000_000, "1.2 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn progress_and_rates_are_short() {
        assert_eq!(progress(412_000_000, 531_000_000), "412/531 MB");
        assert_eq!(progress(4_120_000, 531_000_000), "4.1/531 MB");
        assert_eq!(progress(0, 999), "0/999 B");
        assert_eq!(progress(800_000_000, 1_240_000_000), "0.8/1.2 GB");
        assert_eq!(rate(41_000_000, Duration::from_secs(1)), "41 MB/s");
        assert_eq!(rate(0, Duration::from_secs(1)), "");
        assert_eq!(rate(1, Duration::ZERO), "");
    }

    #[test]
    fn durations_are_short() {
        for (millis, text) in [(40, "0.0s"), (340, "0.3s"), (41_200, "41s"), (59_600, "1m00s"), (125_000, "2m05s")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
