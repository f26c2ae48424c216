//! The grammar of `${NAME}` and `${NAME:-default}`; anything else that looks alike is text.
//!
//! ```text
//! reference = "${" name [ ":-" default ] "}"
//! name      = (letter | "_") (letter | digit | "_" | "." | "-")*      so that a regex's ${1,2} stays what it is
//! default   = anything but "}" and the end of the line
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize, verify};
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
    let default = preceded(tag(":-"), take_till(|c| c == '}' || c == '\n'));
    let (rest, (name, default)) = delimited(tag("${"), (name, opt(default)), char('}')).parse(input)?;
    Ok((rest, Piece::Variable { name, default }))
}

fn name(input: &str) -> IResult<&str, &str> {
    let first = verify(take(1_usize), |c: &str| c.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    recognize((first, take_while(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))).parse(input)
}

/// Up to the next `$`, or a `$` that begins no reference.
fn plain(input: &str) -> IResult<&str, Piece<'_>> {
    let (rest, text) = alt((take_while1(|c| c != '$'), take(1_usize))).parse(input)?;
    Ok((rest, Piece::Text(text)))
}
