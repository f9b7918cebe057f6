//! Custom sections of a component's file: read, set and taken away, everything else byte for byte as it was.
//!
//! A component is eight bytes, then sections: a byte that says what it is, its length in LEB128, its content (component
//! model, Binary.md). A custom section is kind 0, and its content begins with its name. Sections of modules within it
//! lie inside one section of the component, so they are never looked at.

/// Bytes before the first section.
const PREAMBLE_BYTES: usize = 8;
/// The kind of a custom section.
const CUSTOM: u8 = 0;
/// The section that holds names, and the kind of its part that holds the component's own.
const NAMES: &str = "component-name";
const OWN_NAME: u8 = 0;

/// The content of the last custom section of a name; none when there is none, or when the file is damaged before it.
pub(super) fn section<'a>(component: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let of_name = |(kind, whole): (u8, &'a [u8])| if kind == CUSTOM { named(whole)?.get(name) } else { None };
    parts(component.get(PREAMBLE_BYTES..)?)?.into_iter().filter_map(of_name).next_back()
}

/// The component's own name, if it has one.
pub(super) fn own_name(component: &[u8]) -> Option<&str> {
    let names = parts(section(component, NAMES)?)?;
    let (_, whole) = names.into_iter().find(|(kind, _)| *kind == OWN_NAME)?;
    let (name, _) = text(content(whole)?)?;
    Some(name)
}

/// The component with these custom sections, and no others of their names. None when its sections do not read.
pub(super) fn with_sections(component: &[u8], sections: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let mut written = component.get(..PREAMBLE_BYTES)?.to_vec();
    for (kind, whole) in parts(component.get(PREAMBLE_BYTES..)?)? {
        let replaced =
            kind == CUSTOM && named(whole).is_some_and(|found| sections.iter().any(|(name, _)| found.is(name)));
        if !replaced {
            written.extend_from_slice(whole);
        }
    }
    for (name, content) in sections {
        let mut body = prefixed(name.as_bytes());
        body.extend_from_slice(content);
        written.push(CUSTOM);
        written.extend(prefixed(&body));
    }
    Some(written)
}

/// What the section of names holds when the component's own name is this one.
pub(super) fn names_with(component: &[u8], name: &str) -> (&'static str, Vec<u8>) {
    let mut content = vec![OWN_NAME];
    content.extend(prefixed(&prefixed(name.as_bytes())));
    for (kind, whole) in section(component, NAMES).and_then(parts).unwrap_or_default() {
        if kind != OWN_NAME {
            content.extend_from_slice(whole);
        }
    }
    (NAMES, content)
}

/// A custom section's name, and what follows it.
struct Named<'a>(&'a str, &'a [u8]);

impl<'a> Named<'a> {
    fn is(&self, name: &str) -> bool {
        self.0 == name
    }

    fn get(self, name: &str) -> Option<&'a [u8]> {
        self.is(name).then_some(self.1)
    }
}

fn named(whole: &[u8]) -> Option<Named<'_>> {
    let (name, content) = text(content(whole)?)?;
    Some(Named(name, content))
}

/// Each part of a sequence of them: its kind, and all of it with its head.
fn parts(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut parts = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let (length, after) = number(rest)?;
        let head = bytes.len() - after.len();
        let (whole, rest) = bytes.split_at_checked(head.checked_add(length)?)?;
        parts.push((*kind, whole));
        bytes = rest;
    }
    Some(parts)
}

/// A part without its head.
fn content(whole: &[u8]) -> Option<&[u8]> {
    number(whole.get(1..)?).map(|(_, content)| content)
}

/// A text with its length before it, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = number(bytes)?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A number of at most 32 bits in LEB128, and what follows.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Bytes with their length before them.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(bytes.len() + 5);
    let mut left = bytes.len();
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        if left == 0 {
            written.push(low);
            break;
        }
        written.push(low | 0x80);
    }
    written.extend_from_slice(bytes);
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn sections_are_set_anew_and_the_rest_stays() {
        let component = wat::parse_str("(component $old (core module (func)))").unwrap();
        let component = with_sections(&component, &[("kept", b"k")]).unwrap();
        let once = with_sections(&component, &[("version", b"1"), ("empty", b"")]).unwrap();
        assert!(once.starts_with(&component));
        let twice = with_sections(&once, &[("version", b"22")]).unwrap();
        assert_eq!(section(&twice, "version"), Some(&b"22"[..]));
        assert_eq!((section(&twice, "empty"), section(&twice, "kept")), (Some(&b""[..]), Some(&b"k"[..])));
        assert_eq!(section(&twice, "other"), None);
        assert_eq!(own_name(&twice), Some("old"));
        let (names, content) = names_with(&twice, "new");
        let renamed = with_sections(&twice, &[(names, &content)]).unwrap();
        assert_eq!(own_name(&renamed), Some("new"));
        assert_eq!(crate::runtime::Anatomy::of(&renamed).unwrap().labels["version"], "22");
    }

    #[test]
    fn what_does_not_read_is_left_alone() {
        for damaged in [
            &b""[..],
            b"\0asm",
            b"\0asm\x0d\0\x01\0\0",
            b"\0asm\x0d\0\x01\0\0\x05abc",
            b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff",
        ] {
            assert_eq!((section(damaged, "a"), with_sections(damaged, &[("a", b"b")])), (None, None), "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-z]{1,200}", content in proptest::collection::vec(any::<u8>(), 0..400)) {
            let written = with_sections(EMPTY, &[(&name, &content)]).unwrap();
            prop_assert_eq!(section(&written, &name), Some(&content[..]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (section(&bytes, "a"), own_name(&bytes), with_sections(&bytes, &[("a", b"")]));
        }
    }
}
