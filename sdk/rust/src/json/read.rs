//! Reads a text from left to right: strings, numbers, and what stands between them. Nothing here is generic, so that
//! it is compiled once for all types.

use serde::de::Expected;

use super::write::DIGITS_MAX;
use super::{DEPTH_MAX, Error};

/// A text that is being read. Its deserializer is in `de.rs`.
#[derive(Debug)]
pub(crate) struct Reader<'de> {
    text: &'de [u8],
    /// Offset of the next byte.
    at: usize,
    /// How many more arrays and objects may lie in each other.
    depth_left: u8,
    /// A string that is put together from its escapes.
    unescaped: Vec<u8>,
    /// What an error adds where the text ends too early.
    ended: &'static str,
}

/// A string, as it stands in the text or put together.
#[derive(Debug)]
pub(super) enum Text<'de, 'r> {
    Borrowed(&'de str),
    Unescaped(&'r str),
}

impl Text<'_, '_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Unescaped(text) => text,
        }
    }
}

/// A number.
#[derive(Debug)]
pub(super) enum Number<'de> {
    Unsigned(u64),
    Signed(i64),
    /// One with a point or an exponent, of more than 64 bits, or `-0`.
    Other(&'de str),
}

impl<'de> Reader<'de> {
    pub(crate) fn new(text: &'de [u8]) -> Self {
        Self { text, at: 0, depth_left: DEPTH_MAX, unescaped: Vec::new(), ended: ", but the text ends" }
    }

    /// Leaves out all that follows, whatever it is.
    pub(super) fn pass(&mut self) {
        self.at = self.text.len();
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The text from an offset to here.
    pub(super) fn since(&self, start: usize) -> &'de [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next byte that is no space, which stays the next one.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Takes the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let is_it = self.byte() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    #[cold]
    pub(super) fn fault(&self, what: &str) -> Error {
        let end = if self.at < self.text.len() { "" } else { self.ended };
        Error::new(format_args!("{what}{end}")).at(self.at)
    }

    /// Only spaces may follow.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("trailing characters")),
        }
    }

    /// `null`, `true` or `false`.
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), Error> {
        for byte in word.bytes() {
            if !self.take(byte) {
                return Err(self.fault(&format!("expected `{word}`")));
            }
        }
        Ok(())
    }

    /// Begins an array or an object.
    pub(super) fn open(&mut self, bracket: u8, expected: &dyn Expected) -> Result<(), Error> {
        if self.peek() != Some(bracket) {
            return Err(self.unexpected(expected));
        }
        self.depth_left = match self.depth_left {
            0 | 1 => return Err(self.fault("recursion limit exceeded")),
            left => left - 1,
        };
        self.at += 1;
        Ok(())
    }

    /// Ends an array or an object.
    pub(super) fn close(&mut self, bracket: u8) -> Result<(), Error> {
        self.peek();
        if !self.take(bracket) {
            return Err(self.fault(if bracket == b']' { "expected `]`" } else { "expected `}`" }));
        }
        self.depth_left += 1;
        Ok(())
    }

    /// Goes to the next item of an array or object; false where the bracket that ends it is next.
    pub(super) fn next(&mut self, first: &mut bool, bracket: u8) -> Result<bool, Error> {
        let begins = std::mem::replace(first, false);
        match self.peek() {
            Some(byte) if byte == bracket => return Ok(false),
            Some(b',') if !begins => self.at += 1,
            Some(_) if begins => return Ok(true),
            _ if bracket == b']' => return Err(self.fault("expected `,` or `]`")),
            _ => return Err(self.fault("expected `,` or `}`")),
        }
        match self.peek() {
            Some(byte) if byte == bracket => Err(self.fault("trailing comma")),
            _ => Ok(true),
        }
    }

    /// As [`next`](Self::next) in an object, whose items begin with a key.
    pub(super) fn next_key(&mut self, first: &mut bool) -> Result<bool, Error> {
        if !self.next(first, b'}')? {
            return Ok(false);
        }
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a key"));
        }
        Ok(true)
    }

    /// The text of one field of an object.
    pub(super) fn text_field(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.open(b'{', &"an object")?;
        let mut first = true;
        while self.next_key(&mut first)? {
            let is_it = self.string(&"a key")?.as_str() == name;
            self.colon()?;
            if is_it {
                return self.string(&"a string").map(|text| Some(text.as_str().to_owned()));
            }
            self.skip()?;
        }
        Ok(None)
    }

    /// The name and the value of the only field of an object; none if there are more or none.
    pub(super) fn only_field(&mut self) -> Result<Option<(String, &'de [u8])>, Error> {
        self.open(b'{', &"an object")?;
        let mut first = true;
        if !self.next_key(&mut first)? {
            return Ok(None);
        }
        let name = self.string(&"a key")?.as_str().to_owned();
        let start = self.colon()?;
        self.skip()?;
        let value = self.since(start);
        Ok(if self.next_key(&mut first)? { None } else { Some((name, value)) })
    }

    /// Takes a string, and gives what stands in it as a text of its own, at the same offset.
    pub(super) fn within_quotes(&mut self) -> Result<Reader<'de>, Error> {
        let start = self.at + 1;
        match self.string(&"a key")? {
            Text::Borrowed(text) if !text.contains(char::is_whitespace) => {}
            _ => return Err(Error::new(format_args!("invalid key")).at(start)),
        }
        let end = self.at - 1;
        let text = self.text.get(..end).unwrap_or_default();
        Ok(Reader { at: start, ended: ", but the key ends", ..Reader::new(text) })
    }

    /// What stands between a key and its value; answers the offset of the value.
    pub(super) fn colon(&mut self) -> Result<usize, Error> {
        self.peek();
        if !self.take(b':') {
            return Err(self.fault("expected `:`"));
        }
        self.peek();
        Ok(self.at)
    }

    /// The error for a value of another type than expected. It is shown as it stands in the text.
    #[cold]
    pub(super) fn unexpected(&mut self, expected: &dyn Expected) -> Error {
        let byte = self.peek().unwrap_or_default();
        let start = self.at;
        // The token, unless it is none: then that is the error.
        let token = match byte {
            b'[' => Ok("sequence"),
            b'{' => Ok("map"),
            _ if !b"\"tfn-0123456789".contains(&byte) => Err(self.fault(&format!("expected {expected}"))),
            _ => self.skip().map(|()| str::from_utf8(self.since(start)).unwrap_or_default()),
        };
        match (byte, token) {
            (_, Err(error)) => error,
            (b'[' | b'{' | b'n', Ok(token)) => Error::invalid("type", ["", token, ""], expected),
            (b'"', Ok(token)) => Error::invalid("type", ["string ", token, ""], expected),
            (b't' | b'f', Ok(token)) => Error::invalid("type", ["boolean `", token, "`"], expected),
            (_, Ok(token)) => Error::invalid_number(token, expected),
        }
        .at(start)
    }

    /// A string.
    pub(super) fn string(&mut self, expected: &dyn Expected) -> Result<Text<'de, '_>, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        self.rest_of_string()
    }

    /// A string behind its first quote.
    fn rest_of_string(&mut self) -> Result<Text<'de, '_>, Error> {
        let start = self.at;
        self.plain();
        if self.byte() == Some(b'"') {
            let plain = self.since(start);
            self.at += 1;
            return str::from_utf8(plain).map(Text::Borrowed).map_err(|_| not_text(start));
        }
        self.unescaped.clear();
        self.unescaped.extend_from_slice(self.since(start));
        while !self.take(b'"') {
            self.escape()?;
            let start = self.at;
            self.plain();
            self.unescaped.extend_from_slice(self.since(start));
        }
        str::from_utf8(&self.unescaped).map(Text::Unescaped).map_err(|_| not_text(start))
    }

    /// Goes to the next byte of a string that does not stand for itself.
    fn plain(&mut self) {
        self.at += plain_length(self.text.get(self.at..).unwrap_or_default());
    }

    /// An escape, put behind what there is of the string.
    fn escape(&mut self) -> Result<(), Error> {
        let start = self.at;
        let character = match self.escaped_byte()? {
            b'u' => self.escaped_unit(start)?,
            byte => char::from(byte),
        };
        self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// What a backslash and one letter stand for; `u` for the escape that has digits.
    fn escaped_byte(&mut self) -> Result<u8, Error> {
        if !self.take(b'\\') {
            let is_control = self.at < self.text.len();
            return Err(self.fault(if is_control { "a control character in a string" } else { "expected `\"`" }));
        }
        let byte = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/' | b'u')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(self.fault("invalid escape")),
        };
        self.at += 1;
        Ok(byte)
    }

    /// The character of `\u....`, of which the digits are next, or of two of them that are a pair of surrogates.
    fn escaped_unit(&mut self, start: usize) -> Result<char, Error> {
        let lone = || Error::new(format_args!("lone surrogate in an escape")).at(start);
        let unit = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).ok_or_else(lone);
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone());
        }
        let low = self.four_digits()?;
        char::decode_utf16([unit, low].map(|unit| u16::try_from(unit).unwrap_or(0)))
            .next()
            .and_then(Result::ok)
            .ok_or_else(lone)
    }

    fn four_digits(&mut self) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit << 4 | digit.ok_or_else(|| self.fault("invalid escape"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    /// A number.
    pub(super) fn number(&mut self, expected: &dyn Expected) -> Result<Number<'de>, Error> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.unexpected(expected));
        }
        let start = self.at;
        let negative = self.take(b'-');
        let first_digit = self.at;
        let mut value = 0_u64;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        let digits = self.since(first_digit);
        match digits {
            [] => return Err(self.fault("invalid number")),
            [b'0', _, ..] => return Err(Error::new(format_args!("invalid number")).at(first_digit + 1)),
            _ => {}
        }
        let has_more = self.fraction_and_exponent()?;
        // So many digits less one fit into 64 bits whatever they are.
        let value = match digits.len() {
            _ if has_more => None,
            ..DIGITS_MAX => Some(value),
            _ => str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        };
        let value = match value {
            Some(value) if !negative => Some(Number::Unsigned(value)),
            Some(value @ 1..) => 0_i64.checked_sub_unsigned(value).map(Number::Signed),
            _ => None,
        };
        Ok(value.unwrap_or_else(|| Number::Other(str::from_utf8(self.since(start)).unwrap_or_default())))
    }

    /// What may follow the digits of a number; false if nothing did.
    fn fraction_and_exponent(&mut self) -> Result<bool, Error> {
        let has_fraction = self.take(b'.');
        if has_fraction {
            self.digits()?;
        }
        let has_exponent = self.take(b'e') || self.take(b'E');
        if has_exponent {
            let _sign = self.take(b'-') || self.take(b'+');
            self.digits()?;
        }
        Ok(has_fraction || has_exponent)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("invalid number")) } else { Ok(()) }
    }

    /// Reads over a value, however deep it is.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        // For each array and object that is open, the bracket that ends it.
        let mut open = Vec::new();
        loop {
            let byte = self.peek();
            let mut first = false;
            match byte {
                Some(b'[' | b'{') => {
                    self.at += 1;
                    open.push(if byte == Some(b'[') { b']' } else { b'}' });
                    first = true;
                }
                Some(b'"') => self.skip_string()?,
                Some(b'n') => self.word("null")?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'-' | b'0'..=b'9') => {
                    self.number(&"a number")?;
                }
                _ => return Err(self.fault("expected a value")),
            }
            while let Some(&bracket) = open.last() {
                let is_object = bracket == b'}';
                if is_object && self.next_key(&mut first)? {
                    self.skip_string()?;
                    self.colon()?;
                    break;
                }
                if !is_object && self.next(&mut first, bracket)? {
                    break;
                }
                self.at += 1;
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// A string whose text nobody asks for.
    fn skip_string(&mut self) -> Result<(), Error> {
        self.at += 1;
        loop {
            self.plain();
            if self.take(b'"') {
                return Ok(());
            }
            if self.escaped_byte()? == b'u' {
                self.four_digits()?;
            }
        }
    }
}

/// How many bytes at the begin of a string stand for themselves: all up to a quote, a backslash or a control character.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    /// Every byte 1.
    const ONES: u64 = u64::MAX / 255;
    /// The highest bit of each byte that is less than `bound`, and perhaps of bytes above the first such.
    const fn less(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * bound as u64) & !word & (ONES << 7)
    }
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let special = less(word, b' ') | less(quote, 1) | less(backslash, 1);
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

#[cold]
fn not_text(at: usize) -> Error {
    Error::new(format_args!("a string is not UTF-8")).at(at)
}
