//! Sizes and durations as people write them: `64MiB`, `100ms`.

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const DURATIONS_MS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Bytes of a size such as `64MiB`; none if it is not one, or above [`u64::MAX`].
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, SIZES)
}

/// Milliseconds of a duration such as `100ms`; none if it is not one, or above [`u64::MAX`].
pub(crate) fn parse_duration_ms(text: &str) -> Option<u64> {
    parse(text, DURATIONS_MS)
}

/// A size in the largest unit that divides it.
pub(crate) fn format_size(bytes: u64) -> String {
    format(bytes, SIZES)
}

/// A duration in the largest unit that divides it.
pub(crate) fn format_duration_ms(ms: u64) -> String {
    format(ms, DURATIONS_MS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = fitting.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read_and_nothing_else() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("64 KiB"), Some(64 << 10));
        assert_eq!(parse_size("7B"), Some(7));
        assert_eq!(parse_duration_ms("100ms"), Some(100));
        assert_eq!(parse_duration_ms("2m"), Some(120_000));
        for wrong in ["", "64", "MiB", "64MB", "-1B", "1.5GiB", "64mib", "64  KiB", "99999999999GiB", "1é"] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
        for wrong in ["", "5", "s", "1.5s", "1S", "1 min", "9999999999999999h"] {
            assert_eq!(parse_duration_ms(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_back(value in any::<u64>()) {
            prop_assert_eq!(parse_size(&format_size(value)), Some(value));
            prop_assert_eq!(parse_duration_ms(&format_duration_ms(value)), Some(value));
        }
    }
}
