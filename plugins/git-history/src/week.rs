//! The ISO 8601 week of a date.

/// The week, such as `2025-W01`, of a text that begins with a date such as `2024-12-31`; none if it
/// does not.
pub(crate) fn of_date(text: &str) -> Option<String> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (year, month): (u64, u64) = (year.parse().ok()?, month.parse().ok()?);
    let day: u64 = rest.get(..2)?.parse().ok()?;
    if !(1..=9_999).contains(&year) || day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    // A week belongs to the year of its Thursday.
    let day_of_year = day_of_year(year, month, day);
    let monday_first = weekday(year, day_of_year);
    let thursday = (day_of_year + 4).checked_sub(monday_first).filter(|thursday| *thursday > 0);
    let (year, thursday) = match thursday {
        None => (year - 1, (day_of_year + 4 + days_in_year(year - 1)) - monday_first),
        Some(thursday) if thursday > days_in_year(year) => (year + 1, thursday - days_in_year(year)),
        Some(thursday) => (year, thursday),
    };
    Some(format!("{year:04}-W{:02}", (thursday - 1) / 7 + 1))
}

/// The day of the year, from 1.
fn day_of_year(year: u64, month: u64, day: u64) -> u64 {
    (1..month).filter_map(|month| days_in_month(year, month)).sum::<u64>() + day
}

/// The day of the week of a day of a year: Monday is 1, Sunday is 7.
fn weekday(year: u64, day_of_year: u64) -> u64 {
    // 1 January of year 1 was a Monday.
    let before = year - 1;
    let days = before * 365 + before / 4 - before / 100 + before / 400 + day_of_year - 1;
    days % 7 + 1
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_in_month(year: u64, month: u64) -> Option<u64> {
    match month {
        2 => Some(28 + u64::from(is_leap(year))),
        4 | 6 | 9 | 11 => Some(30),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (date, week) in [
            ("2024-12-29", "2024-W52"),
            ("2024-12-30", "2025-W01"),
            ("2025-01-01T00:00:00Z", "2025-W01"),
            ("2021-01-03", "2020-W53"),
            ("2021-01-04", "2021-W01"),
            ("2005-01-01", "2004-W53"),
            ("2005-01-02", "2004-W53"),
            ("2007-12-31", "2008-W01"),
            ("2008-12-28", "2008-W52"),
            ("2010-01-03", "2009-W53"),
            ("2024-02-29", "2024-W09"),
            ("1970-01-01", "1970-W01"),
        ] {
            assert_eq!(of_date(date).as_deref(), Some(week), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_has_no_week() {
        for text in ["", "2024", "2024-13-01", "2023-02-29", "2024-01-00", "2024-01-1é", "0000-01-01", "-1-1-1"] {
            assert_eq!(of_date(text), None, "{text}");
        }
    }
}
