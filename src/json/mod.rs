//! JSON as text (RFC 8259), read piece by piece: in time that grows with the text alone, without
//! recursion, and without a tree.
//!
//! What is not asked for is passed over by its form only: the bytes of a string need not be UTF-8,
//! half a surrogate pair is no fault, nesting may be as deep as the text is long.

mod nesting;
mod pass;

use pass::{From, is_blank, is_plain};
use std::borrow::Cow;
use std::ops::Range;

/// What a text is instead of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The offset in bytes.
    pub at: usize,
    pub what: &'static str,
}

/// What a value begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    List,
    Object,
}

/// A string as it is written, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'t> {
    raw: &'t [u8],
    is_escaped: bool,
}

impl<'t> Text<'t> {
    /// What the string stands for. Half a surrogate pair becomes the three bytes that UTF-8 would
    /// have for it if it allowed it.
    pub(crate) fn bytes(self) -> Cow<'t, [u8]> {
        if self.is_escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// A place in a text. It is of no use after a fault.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// How far the text has been read.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// Where the next value begins, or what stands in its place.
    pub(crate) fn start(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The kind of the next value.
    pub(crate) fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            Some(b'"') => Ok(Kind::Text),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::List),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.fault("expected value")),
        }
    }

    /// Reads a string, at its opening quote.
    pub(crate) fn text(&mut self) -> Result<Text<'t>, Fault> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| !is_plain(*byte));
            self.at += plain.unwrap_or(rest.len());
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("control character in a string")),
                None => return Err(self.fault("EOF while parsing a string")),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, is_escaped })
    }

    /// Passes what stands behind a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.get(self.at + 1..self.at + 5).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.fault("invalid escape"));
                }
                self.at += 5;
            }
            _ => return Err(self.fault("invalid escape")),
        }
        Ok(())
    }

    /// Reads a number; its text is as it was written.
    pub(crate) fn number(&mut self) -> Result<&'t [u8], Fault> {
        self.peek();
        let start = self.at;
        self.take(b'-');
        // A leading zero stands alone.
        if !self.take(b'0') {
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'.' | b'e' | b'E')) {
            if self.take(b'.') {
                self.digits()?;
            }
            if self.take(b'e') || self.take(b'E') {
                if !self.take(b'+') {
                    self.take(b'-');
                }
                self.digits()?;
            }
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("invalid number")) } else { Ok(()) }
    }

    /// Reads `null`, `true` or `false`.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        self.peek();
        let end = self.at + word.len();
        if self.text.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.fault("expected value"));
        }
        self.at = end;
        Ok(())
    }

    /// The name of an object's next member, at whose value the reader then stands; none at its end.
    /// For the first member the reader stands before the object.
    pub(crate) fn member(&mut self, first: bool) -> Result<Option<Text<'t>>, Fault> {
        if first {
            self.expect(b'{', "expected an object")?;
        }
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                if self.peek() != Some(b'"') {
                    return Err(self.fault("expected the name of a field"));
                }
            }
            Some(b'"') if first => {}
            Some(_) if first => return Err(self.fault("expected the name of a field or `}`")),
            Some(_) => return Err(self.fault("expected `,` or `}`")),
            None => return Err(self.fault("EOF while parsing an object")),
        }
        let name = self.text()?;
        self.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }

    /// Whether a list has a next element, before which the reader then stands. For the first
    /// element the reader stands before the list.
    #[inline]
    pub(crate) fn element(&mut self, first: bool) -> Result<bool, Fault> {
        if first {
            self.expect(b'[', "expected a list")?;
        }
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) => Err(self.fault("expected `,` or `]`")),
            None => Err(self.fault("EOF while parsing a list")),
        }
    }

    /// Passes over a value, whatever it is; where it stands in the text.
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Null => self.word("null")?,
            Kind::True => self.word("true")?,
            Kind::False => self.word("false")?,
            Kind::Number => drop(self.number()?),
            Kind::Text => drop(self.text()?),
            Kind::List | Kind::Object => {
                self.at += 1;
                self.pass(if kind == Kind::List { From::List } else { From::Object })?;
            }
        }
        Ok(start..self.at)
    }

    /// Passes over the rest of a list, from behind one of its elements.
    pub(crate) fn skip_elements(&mut self) -> Result<(), Fault> {
        self.pass(From::Element)
    }

    fn pass(&mut self, from: From) -> Result<(), Fault> {
        let end = pass::over(self.text.get(self.at..).unwrap_or_default(), from);
        let (Ok(passed) | Err(passed)) = end;
        self.at += passed;
        end.map(drop).map_err(|_| self.fault("no value, or one that does not end"))
    }

    /// Refuses anything behind the value.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("trailing characters")),
        }
    }

    /// The next byte that is no blank.
    // Here, in each piece of a hostile body, a call costs more than what it does.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }
}

/// A string without its escapes, which are sound.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let Some((escape, behind)) = rest.split_first() else { break };
        rest = behind;
        match escape {
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => rest = push_unit(rest, &mut text),
            itself => text.push(*itself),
        }
    }
    text
}

/// Adds the character that begins with these four digits; what stands behind it.
fn push_unit<'r>(rest: &'r [u8], text: &mut Vec<u8>) -> &'r [u8] {
    let Some((high, behind)) = hex(rest) else { return rest };
    let low = behind.strip_prefix(b"\\u").and_then(hex);
    let (code, behind) = match low {
        Some((low @ 0xdc00..=0xdfff, behind)) if (0xd800..=0xdbff).contains(&high) => {
            (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), behind)
        }
        _ => (high, behind),
    };
    match char::from_u32(code) {
        Some(character) => {
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        // Half a pair, which lies in the range of three bytes.
        None => text.extend(
            [0xe0 | code >> 12, 0x80 | code >> 6 & 0x3f, 0x80 | code & 0x3f]
                .map(|byte| u8::try_from(byte).unwrap_or_default()),
        ),
    }
    behind
}

/// The number that four hexadecimal digits are, and what stands behind them.
fn hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, behind) = text.split_at_checked(4)?;
    let number = digits.iter().try_fold(0, |number, digit| {
        char::from(*digit).to_digit(16).map(|digit| number << 4 | digit)
    })?;
    Some((number, behind))
}

/// A value's text without the blanks between its pieces; as it is where it has none anywhere.
pub(crate) fn compact(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| is_blank(*byte)) {
        return Cow::Borrowed(text);
    }
    let mut compact = Vec::with_capacity(text.len());
    let mut in_string = false;
    let mut is_escaped = false;
    for byte in text {
        if !in_string && is_blank(*byte) {
            continue;
        }
        if *byte == b'"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
        compact.push(*byte);
    }
    Cow::Owned(compact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn skip(text: &[u8]) -> Result<Range<usize>, Fault> {
        let mut reader = Reader::new(text);
        let range = reader.skip()?;
        reader.end()?;
        Ok(range)
    }

    #[test]
    fn json_is_told_from_what_is_none() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "12",
            "-1.50e+7",
            "1E5",
            "\"\"",
            "\"a\\u00e9\\n\"",
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,[2],{\"a\":[]}]",
            "{\"a\":1,\"a\":{\"b\":[{}]}}",
            "\"\\ud800\"",
        ] {
            assert!(skip(text.as_bytes()).is_ok(), "{text}");
        }
        for (text, at) in [
            ("", 0),
            ("nul", 0),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("+1", 0),
            (".5", 0),
            ("\"", 1),
            ("\"\n\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 2),
            ("[\"\\u12g4\"]", 6),
            ("[nul]", 4),
            ("[01]", 2),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("{,}", 1),
            ("[,]", 1),
            ("[", 1),
            ("{\"a\":", 5),
            ("1 1", 2),
            ("]", 0),
            ("[}", 1),
            ("{\"a\":1]", 6),
        ] {
            assert_eq!(skip(text.as_bytes()).map_err(|fault| fault.at), Err(at), "{text}");
        }
        assert!(skip(b"\"\xff\"").is_ok(), "bytes are not judged");
    }

    #[test]
    fn nesting_has_no_end() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(skip(deep.as_bytes()), Ok(0..deep.len()));
            assert!(skip(&deep.as_bytes()[..deep.len() - 1]).is_err());
        }
    }

    #[test]
    fn strings_are_decoded() {
        for (text, bytes) in [
            (r#""plain""#, &b"plain"[..]),
            (r#""\"\\\/\b\f\n\r\t""#, b"\"\\/\x08\x0c\n\r\t"),
            (r#""\u00e9\ud83d\ude00""#, "é😀".as_bytes()),
            (r#""\ud800""#, b"\xed\xa0\x80"),
            (r#""\ud800\u0041\udc00""#, b"\xed\xa0\x80A\xed\xb0\x80"),
        ] {
            let read = Reader::new(text.as_bytes()).text().expect(text).bytes().into_owned();
            assert_eq!(read, bytes, "{text}");
        }
        assert_eq!(*compact(br#" { "a b" : [ 1 , "\" x" ] } "#), *br#"{"a b":[1,"\" x"]}"#);
    }

    proptest! {
        /// serde_json reads the same texts, but for bytes that are not UTF-8 and for depth.
        #[test]
        fn what_is_json_is_agreed_on(text in r#"[\[\]{},:"\\ue0-9.\-+ a-c]{0,24}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(skip(text.as_bytes()).is_ok(), theirs);
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let compact = compact(text.as_bytes());
                prop_assert_eq!(serde_json::from_slice::<Value>(&compact).ok(), Some(value));
            }
        }
    }
}
