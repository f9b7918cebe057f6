//! Columns for people.

use super::error::CliError;
use super::output::Output;
use super::table_fit::{cut, fit};

/// What stands between columns.
const GAP: &str = "  ";

/// Rows of texts under headings. Columns are as wide as their widest text, unless a terminal is narrower; the last one
/// is not padded.
pub(super) struct Table<const N: usize> {
    headings: [&'static str; N],
    /// Which columns hold numbers and so stand to the right.
    numbers: [bool; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table. A heading that begins with `#` is that of a column of numbers.
    pub(super) fn new(headings: [&'static str; N]) -> Self {
        let numbers = headings.map(|heading| heading.starts_with('#'));
        Self { headings: headings.map(|heading| heading.trim_start_matches('#')), numbers, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Prints headings and rows.
    pub(super) fn print(&self, output: &mut Output<'_>) -> Result<(), CliError> {
        self.print_page(output, true)
    }

    /// Prints the rows of one page of several, the first with headings.
    pub(super) fn print_page(&self, output: &mut Output<'_>, is_first: bool) -> Result<(), CliError> {
        let mut widths = self.headings.map(|heading| heading.chars().count());
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        if let Some(width) = output.width() {
            fit(&mut widths, GAP.len(), width);
        }
        if is_first {
            output.heading(&self.format(&self.headings.map(str::to_owned), &widths))?;
        }
        self.rows.iter().try_for_each(|row| output.line(&self.format(row, &widths)))
    }

    fn format(&self, row: &[String; N], widths: &[usize; N]) -> String {
        let cells = row.iter().zip(widths).zip(self.numbers).map(|((text, width), number)| {
            let text = cut(text, *width);
            if number { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_the_terminal_at_most() {
        let mut table = Table::new(["#N", "NAME", "REASON"]);
        table.row(["1".into(), "a-very-long-name-of-a-plugin".into(), "it did not do what it should have".into()]);
        let printed = |width: usize| {
            let mut bytes = Vec::new();
            let mut output = Output::narrow(&mut bytes, width);
            table.print(&mut output).unwrap();
            output.flush().unwrap();
            drop(output);
            String::from_utf8(bytes).unwrap()
        };
        let narrow = "N  NAME               REASON\n1  a-very-l…a-plugin  it did no…uld have\n";
        assert_eq!(printed(40), narrow);
        assert!(printed(200).contains("a-very-long-name-of-a-plugin  it did not do what it should have\n"));
    }
}
