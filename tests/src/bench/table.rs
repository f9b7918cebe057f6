//! Tables on stdout, row by row as figures come, in Markdown so that they can be pasted.

#![expect(clippy::print_stdout, reason = "the tables are what benchmarks are for")]

use std::time::Duration;

/// Narrowest column, in characters.
const WIDTH_MIN: usize = 9;

/// A table whose head is printed.
#[derive(Debug)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Prints a title and the head. The first columns are as wide as `wide` says, others as their heads.
    #[must_use]
    pub fn begin(title: &str, wide: &[usize], heads: &[&str]) -> Self {
        let mut widths: Vec<_> = heads.iter().map(|head| head.chars().count().max(WIDTH_MIN)).collect();
        widths.iter_mut().zip(wide).for_each(|(width, wide)| *width = (*width).max(*wide));
        println!("\n{title}\n");
        let table = Self { widths };
        table.row(heads);
        let rule = |width: &usize| format!("{}:", "-".repeat(width - 1));
        table.row(&table.widths.iter().map(rule).collect::<Vec<_>>());
        table
    }

    /// Prints a row.
    pub fn row(&self, cells: &[impl AsRef<str>]) {
        let cells = self.widths.iter().zip(cells).map(|(width, cell)| format!("{:>width$}", cell.as_ref()));
        println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// A number to its nearest integer, in groups of three digits; `-` when it is none.
#[must_use]
pub fn thousands(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many times `of` a number is; `-` when that is nothing.
#[must_use]
pub fn ratio(number: f64, of: f64) -> String {
    let ratio = number / of;
    if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() }
}

/// Microseconds.
#[must_use]
pub fn micros(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

/// Milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

/// Megabytes: 1,000,000 bytes each.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let cases = [(0.4, "0"), (999.0, "999"), (1000.0, "1,000"), (12_345_678.0, "12,345,678"), (f64::NAN, "-")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(thousands(number), text));
        assert_eq!((ratio(1.0, 3.0).as_str(), ratio(1.0, 0.0).as_str()), ("0.33", "-"));
    }
}
