//! The calendar day of a timestamp.

const MICROSECONDS_A_DAY: u64 = 86_400_000_000;

/// The day in UTC, such as `2026-03-01`, of a time in microseconds since the Unix epoch.
pub(crate) fn of_timestamp(timestamp_us: u64) -> String {
    let mut days = timestamp_us / MICROSECONDS_A_DAY;
    let mut year = 1970;
    // Whole cycles of 400 years first, so that no timestamp makes this long.
    year += 400 * (days / DAYS_A_CYCLE);
    days %= DAYS_A_CYCLE;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

const DAYS_A_CYCLE: u64 = 400 * 365 + 97;

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |days: u64| of_timestamp(days * MICROSECONDS_A_DAY);
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(59), "1970-03-01");
        assert_eq!(day(789), "1972-02-29");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(of_timestamp(1_767_225_599_999_999), "2025-12-31");
        assert_eq!(of_timestamp(1_767_225_600_000_000), "2026-01-01");
        assert!(of_timestamp(u64::MAX).starts_with("586524-"));
    }
}
