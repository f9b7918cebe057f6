//! What stands on a page: samples, links, headings.

use std::path::{Path, PathBuf};
use std::{fs, mem};

/// A page of the book.
#[derive(Debug)]
pub struct Page {
    /// Its file.
    pub file: PathBuf,
    /// Its samples, from top to bottom.
    pub samples: Vec<Shown>,
    /// Where its links lead, as they are written.
    pub links: Vec<String>,
    /// Commands that it names in passing, without running them.
    pub named: Vec<String>,
    /// The anchors of its headings, as forges and mdBook make them.
    pub anchors: Vec<String>,
}

/// A sample, and where it stands.
#[derive(Debug)]
pub struct Shown {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What it is.
    pub sample: Sample,
}

/// A fenced block.
#[derive(Debug)]
pub enum Sample {
    /// Commands, each with what it prints.
    Console(Vec<Exchange>),
    /// A file to write, or to add to.
    File {
        /// Where, as the page says it.
        path: String,
        /// What comes into it.
        text: String,
        /// Whether at its end.
        append: bool,
    },
    /// Commands that install something.
    Install(Vec<String>),
    /// Part of a plugin's manifest.
    Manifest(String),
    /// Nothing to try.
    Text,
    /// A block that is not tried where it stands.
    Unmarked {
        /// What its fence says.
        mark: String,
        /// What is in it.
        text: String,
    },
}

/// A command, and what a page shows of its output.
#[derive(Debug, Default)]
pub struct Exchange {
    /// What is typed; more lines than one when they end in a backslash.
    pub command: String,
    /// What is shown below it; nothing when the page does not show any.
    pub shown: Vec<String>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When it cannot be read, or a fence is not closed.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (samples, prose) = apart(&text);
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect();
        let code = prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let named = code.filter(|code| code.starts_with("tidemill ")).map(str::to_owned).collect();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        Self { file: file.into(), samples, links, named, anchors: headings.map(anchor).collect() }
    }

    /// Whether there is something to run.
    #[must_use]
    pub fn is_run(&self) -> bool {
        self.samples.iter().any(|shown| matches!(shown.sample, Sample::Console(_) | Sample::File { .. }))
    }

    /// All lines of its blocks of what is to be installed.
    pub fn installs(&self) -> impl Iterator<Item = &str> {
        self.samples
            .iter()
            .flat_map(|shown| match &shown.sample {
                Sample::Install(lines) => lines.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }
}

/// Samples, and all that is around them.
fn apart(text: &str) -> (Vec<Shown>, String) {
    let (mut samples, mut prose) = (Vec::new(), String::new());
    let mut open: Option<(usize, String, Vec<String>)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, None) => prose.extend([line, "\n"]),
            (None, Some(mark)) => open = Some((index + 1, mark.to_owned(), Vec::new())),
            (Some((_, _, body)), None) => body.push(line.to_owned()),
            (Some((line, mark, body)), Some(_)) => {
                samples.push(Shown { line: *line, sample: sample(mark, mem::take(body)) });
                open = None;
            }
        }
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    (samples, prose)
}

fn sample(mark: &str, body: Vec<String>) -> Sample {
    let (language, attribute) = mark.split_once(' ').unwrap_or((mark, ""));
    let text = |body: Vec<String>| body.join("\n") + "\n";
    match (language, attribute, attribute.split_once('=')) {
        ("console", "", _) => Sample::Console(exchanges(body)),
        ("text", "", _) => Sample::Text,
        ("toml", "manifest", _) => Sample::Manifest(text(body)),
        ("sh", "install", _) => Sample::Install(body.iter().map(|line| without_comment(line)).collect()),
        (_, _, Some(("file", path))) => Sample::File { path: path.into(), text: text(body), append: false },
        (_, _, Some(("append", path))) => Sample::File { path: path.into(), text: text(body), append: true },
        _ => Sample::Unmarked { mark: mark.into(), text: text(body) },
    }
}

fn exchanges(body: Vec<String>) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in body {
        let goes_on = exchanges.last().is_some_and(|last| last.shown.is_empty() && last.command.ends_with('\\'));
        match (line.strip_prefix("$ "), exchanges.last_mut()) {
            (Some(command), _) => exchanges.push(Exchange { command: command.into(), shown: Vec::new() }),
            (None, Some(last)) if goes_on => last.command.extend(["\n", &line]),
            (None, Some(last)) => last.shown.push(line),
            (None, None) => panic!("a console begins with a command, not with {line:?}"),
        }
    }
    exchanges
}

/// A command without what is said about it.
fn without_comment(line: &str) -> String {
    line.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
