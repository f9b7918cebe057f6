//! Percent-encoding of URL parts (RFC 3986 §2.1), strict about UTF-8.

use std::fmt::Write as _;

/// Encodes a text so that it stands for itself as a path segment or as a query name or value.
#[must_use]
pub(crate) fn encode(text: &str) -> String {
    encode_unless(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// Encodes a text so that it stands for itself as the value of a header field of a `CloudEvent`: spaces,
/// quotes, `%` and what is not printable ASCII (`CloudEvents` HTTP binding §3.1.3.2).
pub(super) fn encode_header(text: &str) -> String {
    encode_unless(text, |byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%'))
}

fn encode_unless(text: &str, stands: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stands(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes a part of a query string, where `+` stands for a space; none when it is malformed.
pub(super) fn decode_query(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}

/// Decodes a text; none when it is malformed.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = hex_digit(bytes.next()?)?;
                let low = hex_digit(bytes.next()?)?;
                decoded.push(high << 4 | low);
            }
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".*") {
            let encoded = encode(&text);
            prop_assert!(encoded.is_ascii() && !encoded.contains(['/', '?', '&', '+', ' ']));
            prop_assert_eq!(decode_query(&encoded), Some(text.clone()));
            let encoded = encode_header(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        assert_eq!(decode_query("a+b%2Bc"), Some("a b+c".into()));
        assert_eq!(decode_query("%"), None);
        assert_eq!(decode_query("%zz"), None);
        assert_eq!(decode_query("%ff"), None, "not UTF-8");
    }
}
