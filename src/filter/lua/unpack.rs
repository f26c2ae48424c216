//! Packed tables of Lua as records.
//!
//! Numbers of Lua are doubles: whole ones are written without a point. A table whose keys are places becomes an array.

use super::packed::{Item, Reader, Table};
use super::words::Words;
use crate::record::{Batch, Field, Record, Span, Value, json};
use std::borrow::Cow;
use std::io::Write;

/// Up to this a double holds every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Keys whose values are special.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// Their numbers become whole ones.
    pub(super) ints: Vec<Vec<u8>>,
    /// Their empty tables are arrays.
    pub(super) arrays: Vec<Vec<u8>>,
}

impl Kinds {
    /// Adds a table as the fields of a record, and returns their range. `None`: it is no table. A text of `old` that came back as it
    /// was is not copied.
    pub(super) fn fields(
        &self,
        batch: &mut Batch,
        reader: &mut Reader<'_>,
        words: &mut Words,
        old: &Record,
    ) -> Option<(u32, u32)> {
        let start = batch.fields.len() as u32;
        let Item::Table(table) = reader.item()? else { return None };
        for place in table.first..table.first + table.values {
            let (value, name) = (reader.item()?, place.to_string());
            if value != Item::Nil {
                let key = batch.append(name.as_bytes());
                Json { kinds: self, words }.push_field(batch, reader, (key, name.as_bytes(), value), old)?;
            }
        }
        for _ in 0..table.pairs {
            match reader.item()? {
                Item::Word(number) => {
                    let key = words.span(batch, number)?;
                    match reader.item()? {
                        Item::Text(text) => push_text(batch, key, text, old),
                        Item::Word(number) => {
                            let value = Value::Text(words.span(batch, number)?);
                            batch.fields.push(Field { key, value });
                        }
                        value => {
                            let name = words.word(number)?;
                            Json { kinds: self, words }.push_field(batch, reader, (key, name, value), old)?;
                        }
                    }
                }
                Item::Text(name) => {
                    words.learn(name);
                    let (key, value) = (batch.append(name), reader.item()?);
                    Json { kinds: self, words }.push_field(batch, reader, (key, name, value), old)?;
                }
                key => match name(words, key) {
                    Some(name) => {
                        let (key, value) = (batch.append(&name), reader.item()?);
                        Json { kinds: self, words }.push_field(batch, reader, (key, &name, value), old)?;
                    }
                    None => skip_pair(reader, key)?,
                },
            }
        }
        Some((start, batch.fields.len() as u32))
    }
}

/// Writes values as JSON.
#[derive(Clone, Copy)]
struct Json<'j> {
    kinds: &'j Kinds,
    words: &'j Words,
}

impl Json<'_> {
    fn push_field(
        self,
        batch: &mut Batch,
        reader: &mut Reader<'_>,
        (key, name, value): (Span, &[u8], Item<'_>),
        old: &Record,
    ) -> Option<()> {
        if let Item::Text(text) = value {
            push_text(batch, key, text, old);
            return Some(());
        }
        let start = batch.text.len();
        self.push(&mut batch.text, reader, name, value)?;
        batch.fields.push(Field { key, value: Value::Json(Span::new(start, batch.text.len())) });
        Some(())
    }

    /// A value that was read, with what follows of a table.
    fn push(self, out: &mut Vec<u8>, reader: &mut Reader<'_>, key: &[u8], value: Item<'_>) -> Option<()> {
        match value {
            Item::Nil | Item::Null => out.extend_from_slice(b"null"),
            Item::Bool(true) => out.extend_from_slice(b"true"),
            Item::Bool(false) => out.extend_from_slice(b"false"),
            Item::Number(number) => push_number(out, number, self.kinds.ints.iter().any(|int| int == key)),
            Item::Signed(number) => write!(out, "{number}").ok()?,
            Item::Unsigned(number) => json::push_u64(out, number),
            Item::Text(text) => json::push_string(out, text),
            Item::Word(number) => json::push_string(out, self.words.word(number)?),
            Item::Table(table) => self.push_table(out, reader, key, table)?,
        }
        Some(())
    }

    fn push_table(self, out: &mut Vec<u8>, reader: &mut Reader<'_>, key: &[u8], table: Table) -> Option<()> {
        let Places { count, last, only } = Places::of(*reader, table)?;
        let is_empty = table.pairs == 0 && count == 0;
        let is_array = is_empty && (table.marked || self.kinds.arrays.iter().any(|array| array == key));
        // A few holes are nulls; a table with numbers all over is a map.
        match is_array || count > 0 && last <= count * 2 + 16 {
            true if only => self.push_array(out, reader, key, table),
            true => self.push_scattered(out, reader, key, (table, last)),
            false => self.push_map(out, reader, table),
        }
    }

    fn push_array(self, out: &mut Vec<u8>, reader: &mut Reader<'_>, key: &[u8], table: Table) -> Option<()> {
        out.push(b'[');
        for place in table.first..table.first + table.values {
            // In an array there is nothing at 0.
            if place == 0 {
                reader.skip()?;
                continue;
            }
            if place > 1 {
                out.push(b',');
            }
            let value = reader.item()?;
            self.push(out, reader, key, value)?;
        }
        out.push(b']');
        Some(())
    }

    /// An array some of whose values stand among the pairs.
    fn push_scattered(
        self,
        out: &mut Vec<u8>,
        reader: &mut Reader<'_>,
        key: &[u8],
        (table, last): (Table, usize),
    ) -> Option<()> {
        let mut values: Vec<Option<Reader<'_>>> = vec![None; last + 1];
        for at in table.first..table.first + table.values {
            values[at as usize] = Some(*reader);
            reader.skip()?;
        }
        for _ in 0..table.pairs {
            let key = reader.item()?;
            reader.skip_rest(key)?;
            if let Some(at) = place(key) {
                values[at] = Some(*reader);
            }
            reader.skip()?;
        }
        out.push(b'[');
        for (at, value) in values.into_iter().enumerate().skip(1) {
            if at > 1 {
                out.push(b',');
            }
            match value {
                Some(mut value) => {
                    let item = value.item()?;
                    self.push(out, &mut value, key, item)?;
                }
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b']');
        Some(())
    }

    fn push_map(self, out: &mut Vec<u8>, reader: &mut Reader<'_>, table: Table) -> Option<()> {
        out.push(b'{');
        let mut comma = false;
        let mut sep = |out: &mut Vec<u8>| {
            if std::mem::replace(&mut comma, true) {
                out.push(b',');
            }
        };
        for place in table.first..table.first + table.values {
            let value = reader.item()?;
            if value != Item::Nil {
                sep(out);
                self.push_pair(out, reader, place.to_string().as_bytes(), value)?;
            }
        }
        for _ in 0..table.pairs {
            let key = reader.item()?;
            match name(self.words, key) {
                Some(name) => {
                    sep(out);
                    let value = reader.item()?;
                    self.push_pair(out, reader, &name, value)?;
                }
                None => skip_pair(reader, key)?,
            }
        }
        out.push(b'}');
        Some(())
    }

    fn push_pair(self, out: &mut Vec<u8>, reader: &mut Reader<'_>, name: &[u8], value: Item<'_>) -> Option<()> {
        json::push_string(out, name);
        out.push(b':');
        self.push(out, reader, name, value)
    }
}

/// The keys of a table that are places of an array.
struct Places {
    count: usize,
    last: usize,
    /// None of them stands among the pairs.
    only: bool,
}

impl Places {
    fn of(mut reader: Reader<'_>, table: Table) -> Option<Self> {
        let mut places = Self { count: 0, last: 0, only: true };
        for at in table.first..table.first + table.values {
            let value = reader.item()?;
            reader.skip_rest(value)?;
            if at > 0 && value != Item::Nil {
                places.count += 1;
                places.last = at as usize;
            }
        }
        for _ in 0..table.pairs {
            let key = reader.item()?;
            skip_pair(&mut reader, key)?;
            if let Some(at) = place(key) {
                places.count += 1;
                places.last = places.last.max(at);
                places.only = false;
            }
        }
        Some(places)
    }
}

#[inline]
fn push_text(batch: &mut Batch, key: Span, text: &[u8], old: &Record) {
    let text = unchanged(batch, old, text).unwrap_or_else(|| batch.append(text));
    batch.fields.push(Field { key, value: Value::Text(text) });
}

/// Where a text already stands that a record had before.
#[inline]
fn unchanged(batch: &Batch, old: &Record, text: &[u8]) -> Option<Span> {
    let is_it = |span: &Span| span.len as usize == text.len() && batch.bytes(*span) == text;
    [old.text, old.time_text].into_iter().find(is_it)
}

/// Passes over what follows of a key that was read, and its value.
fn skip_pair(reader: &mut Reader<'_>, key: Item<'_>) -> Option<()> {
    reader.skip_rest(key)?;
    reader.skip()
}

/// A key as text; tables are none.
fn name<'k>(words: &'k Words, key: Item<'k>) -> Option<Cow<'k, [u8]>> {
    let text = match key {
        Item::Text(text) => return Some(text.into()),
        Item::Word(number) => return words.word(number).map(Cow::Borrowed),
        Item::Number(number) => number.to_string(),
        Item::Signed(number) => number.to_string(),
        Item::Unsigned(number) => number.to_string(),
        Item::Bool(value) => value.to_string(),
        Item::Nil | Item::Null | Item::Table(_) => return None,
    };
    Some(text.into_bytes().into())
}

/// The place in an array, from 1.
fn place(key: Item<'_>) -> Option<usize> {
    match key {
        Item::Signed(at) => usize::try_from(at).ok().filter(|at| *at > 0),
        Item::Number(at) if at.fract() == 0.0 && (1.0..=EXACT_MAX).contains(&at) => Some(at as usize),
        _ => None,
    }
}

fn push_number(out: &mut Vec<u8>, number: f64, whole: bool) {
    // Writing into a vector cannot fail.
    let _ = match number {
        number if !number.is_finite() => write!(out, "null"),
        number if number.fract() == 0.0 && number.abs() <= EXACT_MAX || whole => write!(out, "{}", number as i64),
        number => write!(out, "{number:?}"),
    };
}
