//! `gt`, `ge`, `lt`, `le`: an order on decimal numbers and on versions, both exact.

use std::cmp::Ordering;

/// Equality and partial order that agree with `cmp`, as the contracts of the traits demand.
macro_rules! impl_order_by_cmp {
    ($type:ty) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }
        impl Eq for $type {}
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}

/// A decimal number of any length: an optional sign, digits, an optional fraction.
///
/// Accepted is what XML Schema calls a `decimal` (part 2, section 3.3.3): `7`, `-0.5`, `+1.`, `.25`.
/// Compared digit by digit, so that no float loses any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    /// Without leading zeros.
    whole: &'a [u8],
    /// Without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, digits) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            Some((b'+', rest)) => (false, rest),
            _ => (false, text),
        };
        let (whole, fraction) = split_once(digits, b'.').unwrap_or((digits, &[]));
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !all_digits || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole = trim_leading_zeros(whole);
        let zeros = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = fraction.get(..fraction.len() - zeros).unwrap_or_default();
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !is_zero, whole, fraction })
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        compare_digits(self.whole, other.whole).then_with(|| self.fraction.cmp(other.fraction))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }
}

impl_order_by_cmp!(Decimal<'_>);

/// A version: numbers separated by dots, an optional leading `v`, an optional pre-release.
///
/// Precedence is Semantic Versioning 2.0.0, section 11; parts that are missing are 0, build
/// metadata does not count, and more than three numbers are compared in the same way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    numbers: &'a [u8],
    pre_release: Option<&'a [u8]>,
}

impl<'a> Version<'a> {
    /// Whether a text announces itself as a version: two dots or more, or a leading `v`.
    pub(crate) fn is_announced(text: &[u8]) -> bool {
        text.first() == Some(&b'v') || text.iter().filter(|byte| **byte == b'.').nth(1).is_some()
    }

    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.strip_prefix(b"v").unwrap_or(text);
        let (text, build) = match split_once(text, b'+') {
            Some((text, build)) => (text, Some(build)),
            None => (text, None),
        };
        let (numbers, pre_release) = match split_once(text, b'-') {
            Some((numbers, pre_release)) => (numbers, Some(pre_release)),
            None => (text, None),
        };
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let is_identifier = |part: &[u8]| {
            !part.is_empty()
                && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        let sound = numbers.split(is_dot).all(is_number)
            && pre_release.is_none_or(|text| text.split(is_dot).all(is_identifier))
            && build.is_none_or(|text| text.split(is_dot).all(is_identifier));
        sound.then_some(Self { numbers, pre_release })
    }

    fn cmp_numbers(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.numbers.split(is_dot), other.numbers.split(is_dot));
        loop {
            let (a, b) = (left.next(), right.next());
            if a.is_none() && b.is_none() {
                return Ordering::Equal;
            }
            let [a, b] = [a, b].map(|part| trim_leading_zeros(part.unwrap_or_default()));
            match compare_digits(a, b) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
    }

    fn cmp_pre_release(&self, other: &Self) -> Ordering {
        match (self.pre_release, other.pre_release) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(left), Some(right)) => {
                left.split(is_dot).map(Identifier::of).cmp(right.split(is_dot).map(Identifier::of))
            }
        }
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_numbers(other).then_with(|| self.cmp_pre_release(other))
    }
}

impl_order_by_cmp!(Version<'_>);

/// One part of a pre-release: numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    /// How many digits without leading zeros, then the digits.
    Number(usize, &'a [u8]),
    Word(&'a [u8]),
}

impl<'a> Identifier<'a> {
    fn of(text: &'a [u8]) -> Self {
        if text.iter().all(u8::is_ascii_digit) {
            let digits = trim_leading_zeros(text);
            Self::Number(digits.len(), digits)
        } else {
            Self::Word(text)
        }
    }
}

/// Numbers without leading zeros: the longer is the larger.
fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn trim_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|byte| *byte == separator)?;
    Some((text.get(..position)?, text.get(position + 1..)?))
}

fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

/// Which side of the bound a value must be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Relation {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Decimal,
    Version,
}

/// The configured side of an ordered comparison.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    relation: Relation,
    text: Box<[u8]>,
}

impl Bound {
    /// A bound that is a decimal number or a version; any other text is refused.
    pub(crate) fn compile(relation: Relation, text: &[u8]) -> Result<Self, String> {
        let usable = if Version::is_announced(text) {
            Version::parse(text).is_some()
        } else {
            Decimal::parse(text).is_some() || Version::parse(text).is_some()
        };
        if usable {
            Ok(Self { relation, text: text.into() })
        } else {
            Err("accepted is a decimal number, as in `1.5`, or a version, as in `v2` or `1.2.3`"
                .into())
        }
    }

    /// Whether the value is on the bound's side; false where the two cannot be compared.
    pub(crate) fn admits(&self, value: &[u8]) -> bool {
        let order = if Version::is_announced(&self.text) || Version::is_announced(value) {
            Version::parse(value).zip(Version::parse(&self.text)).map(|(a, b)| a.cmp(&b))
        } else {
            Decimal::parse(value).zip(Decimal::parse(&self.text)).map(|(a, b)| a.cmp(&b))
        };
        order.is_some_and(|order| self.relation.admits(order))
    }

    /// The number or version.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Bytes that are the same for equal bounds only.
    pub(crate) fn key(&self) -> Box<[u8]> {
        let relation = match self.relation {
            Relation::Greater => b'>',
            Relation::GreaterOrEqual => b'g',
            Relation::Less => b'<',
            Relation::LessOrEqual => b'l',
        };
        std::iter::once(relation).chain(self.text.iter().copied()).collect()
    }

    /// Whether the bound is compared as a version whatever the value is.
    pub(crate) fn is_version(&self) -> bool {
        Version::is_announced(&self.text)
    }

    /// Whether every bound is compared as a version with this value.
    pub(crate) fn is_version_value(value: &[u8]) -> bool {
        Version::is_announced(value)
    }

    /// Whether larger values are admitted.
    pub(crate) fn is_lower(&self) -> bool {
        matches!(self.relation, Relation::Greater | Relation::GreaterOrEqual)
    }

    /// Whether the bound can be compared on this scale.
    pub(crate) fn is_on(&self, scale: Scale) -> bool {
        match scale {
            Scale::Decimal => Decimal::parse(&self.text).is_some(),
            Scale::Version => Version::parse(&self.text).is_some(),
        }
    }

    /// Sorts bounds of one side on one scale: first the one that admits more.
    pub(crate) fn cmp_openness(&self, other: &Self, scale: Scale) -> Ordering {
        let order = match scale {
            Scale::Decimal => Decimal::parse(&self.text).cmp(&Decimal::parse(&other.text)),
            Scale::Version => Version::parse(&self.text).cmp(&Version::parse(&other.text)),
        };
        let is_strict = |bound: &Self| matches!(bound.relation, Relation::Greater | Relation::Less);
        let order = if self.is_lower() { order } else { order.reverse() };
        order.then_with(|| is_strict(self).cmp(&is_strict(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    #[test]
    fn decimals_are_compared_exactly() {
        let table: &[(&str, &str, Ordering)] = &[
            ("1", "1", Equal),
            ("1", "1.0", Equal),
            ("+1", "01.00", Equal),
            ("-0", "0", Equal),
            (".5", "0.50", Equal),
            ("5.", "5", Equal),
            ("2", "10", Less),
            ("-2", "-10", Greater),
            ("-1", "1", Less),
            ("0.1", "0.09", Greater),
            ("9007199254740993", "9007199254740992", Greater),
            ("0.30000000000000001", "0.3", Greater),
            ("123456789012345678901234567890", "123456789012345678901234567891", Less),
        ];
        for (left, right, order) in table {
            let (a, b) = (Decimal::parse(left.as_bytes()), Decimal::parse(right.as_bytes()));
            assert_eq!(a.zip(b).map(|(a, b)| a.cmp(&b)), Some(*order), "{left} against {right}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "+", "-", ".", "1e3", "1,5", " 1", "1 ", "0x1", "--1", "1.2.3", "∞"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn versions_follow_semantic_versioning() {
        // The chain of semver.org, section 11, and what surrounds it.
        let chain = [
            "v0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.2.0",
            "1.10.0",
            "v2",
            "v10.0.0",
        ];
        for (index, left) in chain.iter().enumerate() {
            for (other, right) in chain.iter().enumerate() {
                let (a, b) = (Version::parse(left.as_bytes()), Version::parse(right.as_bytes()));
                let order = a.zip(b).map(|(a, b)| a.cmp(&b));
                assert_eq!(order, Some(index.cmp(&other)), "{left} against {right}");
            }
        }
        let same = ["1", "v1", "1.0", "v1.0.0", "01.0.0", "1.0.0+build.7", "1.0.0.0"];
        for pair in same.windows(2) {
            let parsed: Vec<_> = pair.iter().map(|text| Version::parse(text.as_bytes())).collect();
            assert_eq!(parsed[0], parsed[1], "{pair:?}");
        }
    }

    #[test]
    fn one_version_makes_both_sides_versions() {
        let table: &[(&str, &str, bool)] = &[
            // value, bound of `gt`, holds
            ("v10", "9", true),
            ("1.10.0", "1.9", true),
            ("1.10", "1.9", false),
            ("1.10", "v1.9", true),
            ("31", "30", true),
            ("30", "30", false),
            ("old", "30", false),
            ("v2", "30", false),
            ("-5", "v1", false),
            ("a.b.c", "1", false),
        ];
        for (value, bound, holds) in table {
            let compiled = Bound::compile(Relation::Greater, bound.as_bytes());
            let admits = compiled.map(|compiled| compiled.admits(value.as_bytes()));
            assert_eq!(admits, Ok(*holds), "{value} gt {bound}");
        }
    }

    #[test]
    fn a_bound_must_be_comparable() {
        for text in ["", "abc", "1.2.x", "v", "1..2", "1.2.3-"] {
            assert!(Bound::compile(Relation::Less, text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["1", "-1.5", "v2", "1.2.3", "2-rc1", "1.0.0-rc.1+7"] {
            assert!(Bound::compile(Relation::Less, text.as_bytes()).is_ok(), "{text:?}");
        }
    }
}
