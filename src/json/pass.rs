//! Passing over lists and objects: one table, one step a byte, so that no text is dear for its length.
//!
//! What may stand where is that of RFC 8259, sections 2 to 7.

use super::nesting::Nesting;

/// Bytes that are alike everywhere; all others are class 0.
const GROUPS: [&[u8]; 30] = [
    b"\"",
    b"\\",
    b"\t\n\r",
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\
      \x1a\x1b\x1c\x1d\x1e\x1f",
    b" ",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b"/",
    b"-",
    b"+",
    b".",
    b"0",
    b"123456789",
    b"e",
    b"E",
    b"a",
    b"b",
    b"f",
    b"l",
    b"n",
    b"r",
    b"s",
    b"t",
    b"u",
    b"cd",
    b"ABCDF",
];

const QUOTE: u8 = 1;
const BREAK: u8 = 3;
const CONTROL: u8 = 4;
const SPACE: u8 = 5;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut class = 0;
    while class < GROUPS.len() {
        let mut rest = GROUPS[class];
        while let [byte, behind @ ..] = rest {
            classes[*byte as usize] = class as u8 + 1;
            rest = behind;
        }
        class += 1;
    }
    classes
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether a string goes on with this byte, and it is what it looks like.
#[inline]
pub(super) fn is_plain(byte: u8) -> bool {
    !matches!(class(byte), QUOTE..=CONTROL)
}

/// Whether nothing hangs on this byte outside of strings.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(class(byte), BREAK | SPACE)
}

/// What is expected next.
const VALUE: u8 = 0;
const VALUE_OR_END: u8 = 1;
const NAME: u8 = 2;
const NAME_OR_END: u8 = 3;
const COLON: u8 = 4;
/// A comma or the end, behind a value.
const MORE: u8 = 5;
/// In a string: its characters, what stands behind a backslash, four digits.
const IN_NAME: u8 = 6;
const IN_TEXT: u8 = 12;
/// In a number: behind its minus, behind a leading zero, and so on.
const MINUS: u8 = 18;
const ZERO: u8 = 19;
const DIGITS: u8 = 20;
const POINT: u8 = 21;
const DECIMALS: u8 = 22;
const EXPONENT: u8 = 23;
const SIGN: u8 = 24;
const POWER: u8 = 25;
/// In a word, behind its first letter.
const NULL: u8 = 26;
const TRUE: u8 = 29;
const FALSE: u8 = 32;
const STATES: usize = 36;

/// From here on, what takes more than the next state.
const ACTIONS: u8 = 64;
const OPEN_LIST: u8 = 64;
const OPEN_OBJECT: u8 = 65;
const CLOSE_LIST: u8 = 66;
const CLOSE_OBJECT: u8 = 67;
const COMMA: u8 = 68;
const FAULT: u8 = 69;

const WIDTH: usize = 32;

/// The next state, by the state and the byte's class.
static STEPS: [u8; STATES * WIDTH] = steps();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn put(steps: &mut [u8; STATES * WIDTH], state: u8, mut bytes: &[u8], next: u8) {
    let classes = classes();
    while let [byte, rest @ ..] = bytes {
        steps[state as usize * WIDTH + classes[*byte as usize] as usize] = next;
        bytes = rest;
    }
}

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn steps() -> [u8; STATES * WIDTH] {
    const BLANKS: &[u8] = b" \n";
    const DIGIT: &[u8] = b"01";
    let mut steps = [FAULT; STATES * WIDTH];
    let all = &mut steps;
    let mut state = VALUE;
    while state <= VALUE_OR_END {
        put(all, state, BLANKS, state);
        put(all, state, b"\"", IN_TEXT);
        put(all, state, b"[", OPEN_LIST);
        put(all, state, b"{", OPEN_OBJECT);
        put(all, state, b"-", MINUS);
        put(all, state, b"0", ZERO);
        put(all, state, b"1", DIGITS);
        put(all, state, b"n", NULL);
        put(all, state, b"t", TRUE);
        put(all, state, b"f", FALSE);
        state += 1;
    }
    put(all, VALUE_OR_END, b"]", CLOSE_LIST);
    put(all, NAME, BLANKS, NAME);
    put(all, NAME, b"\"", IN_NAME);
    put(all, NAME_OR_END, BLANKS, NAME_OR_END);
    put(all, NAME_OR_END, b"\"", IN_NAME);
    put(all, NAME_OR_END, b"}", CLOSE_OBJECT);
    put(all, COLON, BLANKS, COLON);
    put(all, COLON, b":", VALUE);

    let mut strings: &[(u8, u8)] = &[(IN_NAME, COLON), (IN_TEXT, MORE)];
    while let [(inside, behind), rest @ ..] = strings {
        let mut class = 0;
        while class < WIDTH {
            all[*inside as usize * WIDTH + class] = *inside;
            class += 1;
        }
        put(all, *inside, b"\n\0", FAULT);
        put(all, *inside, b"\"", *behind);
        put(all, *inside, b"\\", *inside + 1);
        put(all, *inside + 1, b"\"\\/bfnrt", *inside);
        put(all, *inside + 1, b"u", *inside + 2);
        let mut digit = *inside + 2;
        while digit <= *inside + 5 {
            let next = if digit == *inside + 5 { *inside } else { digit + 1 };
            put(all, digit, b"01aAbcefE", next);
            digit += 1;
        }
        strings = rest;
    }

    put(all, MINUS, b"0", ZERO);
    put(all, MINUS, b"1", DIGITS);
    put(all, DIGITS, DIGIT, DIGITS);
    put(all, POINT, DIGIT, DECIMALS);
    put(all, DECIMALS, DIGIT, DECIMALS);
    put(all, EXPONENT, b"+-", SIGN);
    put(all, EXPONENT, DIGIT, POWER);
    put(all, SIGN, DIGIT, POWER);
    put(all, POWER, DIGIT, POWER);
    put(all, ZERO, b".", POINT);
    put(all, DIGITS, b".", POINT);
    let mut whole: &[u8] = &[ZERO, DIGITS, DECIMALS];
    while let [state, rest @ ..] = whole {
        put(all, *state, b"eE", EXPONENT);
        whole = rest;
    }

    let mut words: &[(u8, &[u8])] = &[(NULL, b"ull"), (TRUE, b"rue"), (FALSE, b"alse")];
    while let [(first, word), rest @ ..] = words {
        let (mut state, mut word) = (*first, *word);
        while let [letter, behind @ ..] = word {
            let next = if behind.is_empty() { MORE } else { state + 1 };
            put(all, state, &[*letter], next);
            state += 1;
            word = behind;
        }
        words = rest;
    }

    // A number is over where something else begins.
    let mut over: &[u8] = &[MORE, ZERO, DIGITS, DECIMALS, POWER];
    while let [state, rest @ ..] = over {
        put(all, *state, BLANKS, MORE);
        put(all, *state, b",", COMMA);
        put(all, *state, b"]", CLOSE_LIST);
        put(all, *state, b"}", CLOSE_OBJECT);
        over = rest;
    }
    steps
}

/// Where passing over begins.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// Behind the bracket of a list.
    List,
    /// Behind the brace of an object.
    Object,
    /// Behind an element of a list.
    Element,
}

/// Passes over the rest of a list or an object; the offset behind its end, or of what is no JSON.
pub(super) fn over(text: &[u8], from: From) -> Result<usize, usize> {
    let mut nesting = Nesting::default();
    nesting.push(matches!(from, From::Object));
    let mut state = match from {
        From::List => VALUE_OR_END,
        From::Object => NAME_OR_END,
        From::Element => MORE,
    };
    for (at, byte) in text.iter().enumerate() {
        let step = usize::from(state) * WIDTH + usize::from(class(*byte));
        let next = STEPS.get(step).copied().unwrap_or(FAULT);
        if next < ACTIONS {
            state = next;
            continue;
        }
        let is_object = nesting.is_object();
        state = match next {
            OPEN_LIST => {
                nesting.push(false);
                VALUE_OR_END
            }
            OPEN_OBJECT => {
                nesting.push(true);
                NAME_OR_END
            }
            COMMA if is_object => NAME,
            COMMA => VALUE,
            CLOSE_LIST | CLOSE_OBJECT if is_object == (next == CLOSE_OBJECT) => {
                if nesting.pop() {
                    return Ok(at + 1);
                }
                MORE
            }
            _ => return Err(at),
        };
    }
    Err(text.len())
}
