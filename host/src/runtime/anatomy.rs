//! What is in a component's file, found by reading it: nothing is compiled or run.

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::{
    ComponentName, CustomSectionReader, ExportSectionReader, KnownCustom, Parser, Payload, ProducersSectionReader,
};

use super::contract::{AGGREGATE, PACKAGE, UPCASTER, VALIDATOR};
use super::lane::Lane;
use super::{LoadError, compile};

/// Bytes of a page of linear memory, where a memory does not say otherwise.
const PAGE_BYTES: u64 = 64 << 10;
/// Names of sections in which a component says of itself what its `describe` does not.
const LABELS: [&str; 7] = ["authors", "description", "homepage", "licenses", "revision", "source", "version"];
/// Most bytes of such a section.
const LABEL_BYTES_MAX: usize = 1 << 10;

/// The kind of producers in which tools name languages.
const LANGUAGE: &str = "language";
/// Libraries that carry a language, and which. The tools of their own code name another.
const CARRIERS: [(&str, &str); 2] = [("componentize_qjs_runtime", "JavaScript"), ("componentize_py_runtime", "Python")];

/// What is in a component's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Anatomy {
    /// Size of the file, in bytes.
    pub bytes: usize,
    /// Bytes of functions.
    pub code_bytes: usize,
    /// Bytes that are copied into memory when it starts.
    pub data_bytes: usize,
    /// Bytes of debug information.
    pub debug_bytes: usize,
    /// Memory with which an instance begins, in bytes.
    pub memory_bytes_min: u64,
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// What it was made with, by kind (`language`, `processed-by`, `sdk`): name and version. The language is that which a
    /// runtime in it carries, where it has one that is known.
    pub producers: BTreeMap<String, BTreeMap<String, String>>,
    /// What its authors say of it: `name`, `version`, `authors`, `licenses`, `source` and the like.
    pub labels: BTreeMap<String, String>,
}

impl Anatomy {
    /// Reads a component's file.
    ///
    /// # Errors
    /// When it is no component, or damaged.
    pub fn of(component: &[u8]) -> Result<Self, LoadError> {
        compile::check_kind(component)?;
        let mut anatomy = Self { bytes: component.len(), ..Self::default() };
        anatomy.read(component).map_err(|error| LoadError::Invalid { reason: error.to_string() })?;
        Ok(anatomy)
    }

    /// Whether it exports the role of an upcaster, of whichever version.
    #[must_use]
    pub fn is_upcaster(&self) -> bool {
        self.has_role(UPCASTER)
    }

    /// Whether it exports the role of a validator of commands, of whichever version.
    #[must_use]
    pub fn is_validator(&self) -> bool {
        self.has_role(VALIDATOR)
    }

    /// Refuses a component with several roles, of whichever version: it plays one, and nobody knows which is meant.
    ///
    /// # Errors
    /// When it has more than one.
    pub(crate) fn check_one_role(&self) -> Result<(), LoadError> {
        let subscriber = Lane::ALL.into_iter().find_map(|lane| self.role(lane.interface()));
        let others = [UPCASTER, VALIDATOR, AGGREGATE].map(|role| self.role(role));
        let mut roles = others.into_iter().chain([subscriber]).flatten();
        match (roles.next(), roles.next()) {
            (Some(one), Some(other)) => Err(LoadError::TwoRoles { one: one.to_owned(), other: other.to_owned() }),
            _ => Ok(()),
        }
    }

    fn has_role(&self, role: &str) -> bool {
        self.role(role).is_some()
    }

    /// The name of the export that gives it a role.
    fn role(&self, role: &str) -> Option<&str> {
        let interface = format!("{PACKAGE}/{role}@");
        self.exports.iter().find(|export| export.starts_with(&interface)).map(String::as_str)
    }

    /// SHA-256 of a file, in hex.
    #[must_use]
    pub fn digest(component: &[u8]) -> String {
        compile::digest(component)
    }

    fn read(&mut self, component: &[u8]) -> wasmparser::Result<()> {
        // The component is at depth 1; the modules and components in it are deeper.
        let mut depth = 0;
        let mut carried = None;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::ExportSection(section) => carried = carried.or_else(|| carried_by(section)),
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        let page_bytes = memory.page_size_log2.map_or(PAGE_BYTES, |log2| 1 << log2.min(16));
                        let bytes = memory.initial.saturating_mul(page_bytes);
                        self.memory_bytes_min = self.memory_bytes_min.saturating_add(bytes);
                    }
                }
                Payload::CodeSectionStart { size, .. } => self.code_bytes += size as usize,
                Payload::DataSection(section) => self.data_bytes += section.range().len(),
                Payload::CustomSection(section) => self.read_custom(&section, depth),
                _ => {}
            }
        }
        let carried = carried.map(|language| (language.to_owned(), String::new()));
        self.producers.extend(carried.map(|language| (LANGUAGE.to_owned(), BTreeMap::from([language]))));
        Ok(())
    }

    /// A custom section that does not read is as good as none: it is for people.
    fn read_custom(&mut self, section: &CustomSectionReader<'_>, depth: u32) {
        if section.name().starts_with(".debug_") {
            self.debug_bytes += section.data().len();
        } else if let KnownCustom::Producers(producers) = section.as_known() {
            self.read_producers(producers);
        } else if depth == 1
            && let KnownCustom::ComponentName(names) = section.as_known()
        {
            let own =
                |name| if let ComponentName::Component { name, .. } = name { Some(name.to_owned()) } else { None };
            self.labels.extend(names.into_iter().flatten().find_map(own).map(|name| ("name".to_owned(), name)));
        } else if depth == 1 && LABELS.contains(&section.name()) {
            let text = section.data().get(..LABEL_BYTES_MAX.min(section.data().len())).unwrap_or_default();
            self.labels.insert(section.name().to_owned(), String::from_utf8_lossy(text).into_owned());
        }
    }

    fn read_producers(&mut self, producers: ProducersSectionReader<'_>) {
        for field in producers.into_iter().flatten() {
            let entries = self.producers.entry(field.name.to_owned()).or_default();
            for value in field.values.into_iter().flatten() {
                // The innermost is read first: a module knows better than what wraps it.
                entries.entry(value.name.to_owned()).or_insert_with(|| value.version.to_owned());
            }
        }
    }
}

/// The language that a library in a component carries. A library is known by where its memory begins: the module that
/// holds them together exports that for each.
fn carried_by(section: ExportSectionReader<'_>) -> Option<&'static str> {
    let names = section.into_iter().flatten().map(|export| export.name);
    let mut libraries = names.filter_map(|name| name.strip_suffix(":memory_base"));
    libraries.find_map(|library| {
        let carrier = CARRIERS.iter().find(|(carrier, _)| library.contains(*carrier));
        carrier.map(|(_, language)| *language)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_that_which_a_runtime_carries_and_not_that_of_the_runtime() {
        let of = |library: &str| {
            let text = format!(
                r#"(component (core module
                  (@producers (language "Rust" "1.96.0") (processed-by "rustc" "1.96.0"))
                  (global (export "{library}:memory_base") i32 (i32.const 0))))"#
            );
            Anatomy::of(&wat::parse_str(text).unwrap()).unwrap().producers
        };
        let language = |library| of(library)["language"].keys().cloned().collect::<Vec<_>>();
        assert_eq!(language("componentize_qjs_runtime.wasm"), ["JavaScript"]);
        assert_eq!(language("libcomponentize_py_runtime.so"), ["Python"]);
        assert_eq!(language("libc.so"), ["Rust"]);
        assert!(of("componentize_qjs_runtime.wasm").contains_key("processed-by"));
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(Anatomy::of(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule));
        assert!(matches!(Anatomy::of(b"\0asm\x0d\0\x01\0\x07"), Err(LoadError::Invalid { .. })));
        let empty = Anatomy::of(b"\0asm\x0d\0\x01\0").unwrap();
        assert_eq!((empty.bytes, empty.imports.len(), empty.memory_bytes_min), (8, 0, 0));
    }

    #[test]
    fn a_section_for_people_that_does_not_read_is_none() {
        // It says that it has nine fields, and ends.
        let damaged = b"\0asm\x0d\0\x01\0\0\x0b\x09producers\x09";
        assert_eq!(Anatomy::of(damaged).map(|anatomy| anatomy.producers), Ok(BTreeMap::new()));
    }
}
