//! Draws what is on the screen, into a buffer of whatever size there is.

use indicatif::{BinaryBytes, HumanCount};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table, Widget};

use super::Sort;
use super::model::Model;
use super::sample::Plugin;

/// Least width of the names of plugins.
const NAME_WIDTH: u16 = 10;
/// Lines above the rows of plugins: two of the server, an empty one, the headings.
const ABOVE: u16 = 4;
/// Most lines that tell what is wrong.
const REASONS_MAX: usize = 6;

/// A column: its heading, its width, what stands in it, and at which width of the screen it is there.
struct Column {
    heading: &'static str,
    width: u16,
    from_width: u16,
    text: fn(&Plugin, Option<f64>) -> String,
}

/// All columns; names have what the others leave.
const COLUMNS: [Column; 9] = [
    Column { heading: "STATE", width: 13, from_width: 0, text: |plugin, _| plugin.state.clone() },
    Column { heading: "LAG", width: 11, from_width: 0, text: |plugin, _| count(plugin.lag_events) },
    Column { heading: "LAG S", width: 8, from_width: 80, text: |plugin, _| format!("{:.1}", plugin.lag_seconds) },
    Column { heading: "RATE", width: 9, from_width: 0, text: |_, rate| per_second(rate) },
    Column { heading: "PARKED", width: 7, from_width: 56, text: |plugin, _| count(plugin.parked) },
    Column { heading: "WAITING", width: 8, from_width: 80, text: |plugin, _| count(plugin.waiting) },
    Column {
        heading: "MEMORY",
        width: 10,
        from_width: 70,
        text: |plugin, _| BinaryBytes(plugin.memory_bytes).to_string(),
    },
    Column { heading: "HANDLED", width: 13, from_width: 110, text: |plugin, _| count(plugin.handled) },
    Column { heading: "CHECKPOINT", width: 13, from_width: 100, text: |plugin, _| count(plugin.checkpoint) },
];

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A rate; `-` before there is one.
fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| count(rate.round() as u64))
}

/// One frame as text, as wide and as high as it must be.
pub(super) fn text(model: &Model) -> String {
    let lines = model.rows().len() + reasons(model).len() + 1;
    let height = ABOVE.saturating_add(u16::try_from(lines).unwrap_or(u16::MAX - ABOVE));
    let names = model.rows().iter().map(|(plugin, _)| plugin.name.chars().count()).max().unwrap_or(0);
    let names = u16::try_from(names).unwrap_or(u16::MAX).max(NAME_WIDTH);
    let width = COLUMNS.iter().fold(names, |width, column| width.saturating_add(column.width + 1));
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(model, area, &mut buffer);
    let line = |y| (0..area.width).filter_map(|x| buffer.cell((x, y))).map(|cell| cell.symbol()).collect::<String>();
    let lines = (0..area.height).map(|y| line(y).trim_end().to_owned() + "\n");
    lines.collect::<String>().trim_end().to_owned() + "\n"
}

/// Draws everything.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let reasons = reasons(model);
    let below = u16::try_from(reasons.len()).unwrap_or(0).min(area.height.saturating_sub(ABOVE + 2));
    let parts = [Constraint::Length(ABOVE - 1), Constraint::Min(1), Constraint::Length(below)];
    let [above, middle, bottom] = Layout::vertical(parts).areas(area);
    server(model).into_iter().zip(above.rows()).for_each(|(line, row)| line.render(row, buffer));
    plugins(model, middle, buffer);
    reasons.into_iter().zip(bottom.rows()).for_each(|(line, row)| line.render(row, buffer));
}

/// The lines about the server.
fn server(model: &Model) -> [Line<'static>; 2] {
    let (sample, bold) = (model.sample(), Style::new().add_modifier(Modifier::BOLD));
    let held = if model.is_held() { "  HELD" } else { "" };
    let first = format!("tidemill at {}{held}", model.url());
    let order = match model.sort() {
        Sort::Lag => "lag",
        Sort::Rate => "rate",
        Sort::Parked => "parked",
        Sort::Memory => "memory",
        Sort::Name => "name",
    };
    let way = if model.is_reversed() { ", reversed" } else { "" };
    let second = format!(
        "head {}   {} events/s   plugins {}, by {order}{way}",
        count(sample.head),
        per_second(model.append_rate()),
        sample.plugins.len()
    );
    [Line::styled(first, bold), Line::raw(second)]
}

fn plugins(model: &Model, area: Rect, buffer: &mut Buffer) {
    let columns: Vec<_> = COLUMNS.iter().filter(|column| area.width >= column.from_width).collect();
    let is_number = |column: &Column| column.heading != "STATE";
    let cell = |column: &Column, text: String| {
        let width = usize::from(column.width);
        Cell::new(if is_number(column) { format!("{text:>width$}") } else { text })
    };
    let headings = columns.iter().map(|column| cell(column, column.heading.to_owned()));
    let header = Row::new(std::iter::once(Cell::new("PLUGIN")).chain(headings))
        .style(Style::new().add_modifier(Modifier::REVERSED));
    let rows = model.rows().iter().map(|(plugin, rate)| {
        let cells = columns.iter().map(|column| cell(column, (column.text)(plugin, *rate)));
        Row::new(std::iter::once(Cell::new(plugin.name.clone())).chain(cells)).style(style(plugin))
    });
    let widths = std::iter::once(Constraint::Min(NAME_WIDTH));
    let widths = widths.chain(columns.iter().map(|column| Constraint::Length(column.width)));
    Widget::render(Table::new(rows, widths).header(header).column_spacing(1), area, buffer);
}

/// Red for what does not run, yellow for what an operator must look at.
fn style(plugin: &Plugin) -> Style {
    match plugin.state.as_str() {
        "halted" | "quarantined" | "not running" => Style::new().fg(Color::Red),
        _ if plugin.parked > 0 || plugin.reason.is_some() => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

/// What is wrong, a line each.
fn reasons(model: &Model) -> Vec<Line<'static>> {
    let sample = model.sample();
    let plugins =
        sample.plugins.iter().filter_map(|plugin| Some(format!("{}: {}", plugin.name, plugin.reason.as_ref()?)));
    let reasons = plugins.chain(sample.problems.iter().cloned()).take(REASONS_MAX);
    reasons.map(|reason| Line::styled(reason, Style::new().fg(Color::Yellow))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::sample::Sample;

    fn model() -> Model {
        let mut model = Model::new("http://h:1".into(), Sort::Name);
        let billing = Plugin {
            name: "billing".into(),
            state: "running".into(),
            checkpoint: 1200,
            lag_events: 34,
            lag_seconds: 0.5,
            handled: 1000,
            parked: 2,
            waiting: 1,
            memory_bytes: 3 << 20,
            reason: None,
        };
        let mail = Plugin {
            name: "mail".into(),
            state: "halted".into(),
            reason: Some("smtp is gone".into()),
            ..Plugin::default()
        };
        let first = Sample { at_seconds: 1.0, head: 1000, plugins: vec![mail, billing], problems: Vec::new() };
        let mut second = Sample { at_seconds: 2.0, head: 1234, ..first.clone() };
        second.plugins[1].handled += 1500;
        model.take(first);
        model.take(second);
        model
    }

    #[test]
    fn a_frame_as_text_shows_the_server_its_plugins_and_what_is_wrong() {
        let text = text(&model());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "tidemill at http://h:1");
        assert_eq!(lines[1], "head 1,234   234 events/s   plugins 2, by name");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let heads =
            ["PLUGIN", "STATE", "LAG", "LAG", "S", "RATE", "PARKED", "WAITING", "MEMORY", "HANDLED", "CHECKPOINT"];
        assert_eq!(words(lines[3]), heads);
        let billing = ["billing", "running", "34", "0.5", "1,500", "2", "1", "3.00", "MiB", "2,500", "1,200"];
        assert_eq!(words(lines[4]), billing);
        assert_eq!(words(lines[5])[..2], ["mail", "halted"]);
        assert_eq!(lines.last().unwrap(), &"mail: smtp is gone");
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        let mut held = model();
        held.wish(super::super::model::Wish::Hold);
        for (width, height) in [(0, 0), (1, 1), (20, 3), (60, 6), (79, 24), (400, 100)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            draw(&held, area, &mut buffer);
            if width >= 60 {
                let top: String = (0..width).map(|x| buffer[(x, 0)].symbol()).collect();
                assert!(top.trim_end().ends_with("HELD"), "{top}");
                let drawn: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
                assert!(drawn.contains("billing") && drawn.contains("RATE"), "{drawn}");
                assert_eq!(drawn.contains("CHECKPOINT"), width >= 100);
            }
        }
    }
}
