//! The grammar of `${NAME}` and `${NAME:-default}`; anything else that looks alike is text.
//!
//! ```text
//! reference = "${" name [ ":-" default ] "}"
//! name      = (letter | "_") (letter | digit | "_" | "." | "-")*      so that a regex's ${1,2} stays what it is
//! default   = (reference | anything but "}")*                         of at most 1,024 characters
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{fail, opt, recognize, verify};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
}

/// Cuts a text into pieces.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (after, piece) = alt((variable, plain)).parse(rest).ok()?;
        rest = after;
        Some(piece)
    })
}

fn variable(input: &str) -> IResult<&str, Piece<'_>> {
    let default = opt(preceded(tag(":-"), default));
    let (rest, (name, default)) = delimited(tag("${"), (name, default), char('}')).parse(input)?;
    Ok((rest, Piece::Variable { name, default }))
}

/// Up to the `}` that belongs to this reference. Looking no further than some way keeps a text of many openings and no end from
/// taking quadratic time.
fn default(input: &str) -> IResult<&str, &str> {
    let mut open = 0_usize;
    for (at, c) in input.char_indices().take(DEFAULT_CHARS_MAX) {
        match c {
            '$' if input[at..].starts_with("${") => open += 1,
            '}' if open == 0 => return take(input[..at].chars().count()).parse(input),
            '}' => open -= 1,
            _ => {}
        }
    }
    fail().parse(input)
}

const DEFAULT_CHARS_MAX: usize = 1024;

fn name(input: &str) -> IResult<&str, &str> {
    let first = verify(take(1_usize), |c: &str| c.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    recognize((first, take_while(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))).parse(input)
}

/// Up to the next `$`, or a `$` that begins no reference.
fn plain(input: &str) -> IResult<&str, Piece<'_>> {
    let (rest, text) = alt((take_while1(|c| c != '$'), take(1_usize))).parse(input)?;
    Ok((rest, Piece::Text(text)))
}
