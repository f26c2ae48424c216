//! Records as tables of Lua, and tables as records.
//!
//! Arrays that came from JSON are marked, so that an empty one does not become a map. Numbers of Lua are doubles: whole ones are
//! written without a point.

use crate::record::{Batch, Field, Found, Value as FieldValue, json};
use mlua::{Lua, LuaString, Table, Value};
use std::collections::HashMap;

/// How deep tables may be nested; one may contain itself.
const DEPTH_MAX: usize = 100;
/// Texts that are kept as texts of Lua: keys, mostly.
const TEXTS_MAX: usize = 1_000;
/// Up to this a double holds every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What is special to some keys.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) ints: Vec<Vec<u8>>,
    pub(super) arrays: Vec<Vec<u8>>,
    pub(super) has_null: bool,
}

pub(super) struct Tables {
    kinds: Kinds,
    /// The metatable of arrays.
    mark: Table,
    texts: HashMap<Vec<u8>, LuaString>,
    buffer: Vec<u8>,
}

impl Tables {
    pub(super) fn new(lua: &Lua, kinds: Kinds) -> mlua::Result<Self> {
        Ok(Self { kinds, mark: lua.create_table()?, texts: HashMap::new(), buffer: Vec::new() })
    }

    /// A text that comes again and again.
    pub(super) fn text(&mut self, lua: &Lua, text: &[u8]) -> mlua::Result<LuaString> {
        if let Some(known) = self.texts.get(text) {
            return Ok(known.clone());
        }
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
        }
        let new = lua.create_string(text)?;
        self.texts.insert(text.to_vec(), new.clone());
        Ok(new)
    }

    /// A record as a table.
    pub(super) fn read(&mut self, lua: &Lua, batch: &Batch, record: usize) -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(0, 8)?;
        let mut failed = None;
        batch.each_member(record, &mut |key, found| {
            let value = self.value(lua, found);
            let set = value.and_then(|value| match value {
                Value::Nil => Ok(()),
                value => table.raw_set(self.text(lua, key)?, value),
            });
            if let Err(error) = set {
                failed.get_or_insert(error);
            }
        });
        failed.map_or(Ok(table), Err)
    }

    fn value(&mut self, lua: &Lua, found: Found<'_>) -> mlua::Result<Value> {
        if let Some(text) = found.string(&mut self.buffer) {
            return lua.create_string(text).map(Value::String);
        }
        match found {
            Found::Json(text @ ([b'{', ..] | [b'[', ..])) => match serde_json::from_slice(text) {
                Ok(tree) => self.tree(lua, &tree),
                Err(_) => lua.create_string(text).map(Value::String),
            },
            Found::Json(b"true") => Ok(Value::Boolean(true)),
            Found::Json(b"false") => Ok(Value::Boolean(false)),
            Found::Json(b"null") => Ok(self.null()),
            Found::Json(number) => {
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                Ok(number.map_or(Value::Nil, Value::Number))
            }
            Found::Number(number) => Ok(Value::Number(number as f64)),
            Found::Text(_) => Ok(Value::Nil),
        }
    }

    fn null(&self) -> Value {
        if self.kinds.has_null { Value::NULL } else { Value::Nil }
    }

    fn tree(&mut self, lua: &Lua, tree: &serde_json::Value) -> mlua::Result<Value> {
        use serde_json::Value as Json;
        Ok(match tree {
            Json::Null => Value::NULL,
            Json::Bool(value) => Value::Boolean(*value),
            Json::Number(number) => number.as_f64().map_or(Value::Nil, Value::Number),
            Json::String(text) => Value::String(lua.create_string(text)?),
            Json::Array(items) => {
                let table = lua.create_table_with_capacity(items.len(), 0)?;
                for (at, item) in items.iter().enumerate() {
                    // A null stands in an array, so that what follows keeps its place.
                    table.raw_set(at + 1, self.tree(lua, item)?)?;
                }
                table.set_metatable(Some(self.mark.clone()))?;
                Value::Table(table)
            }
            Json::Object(map) => {
                let table = lua.create_table_with_capacity(0, map.len())?;
                for (key, value) in map {
                    let value = if value.is_null() { self.null() } else { self.tree(lua, value)? };
                    table.raw_set(self.text(lua, key.as_bytes())?, value)?;
                }
                Value::Table(table)
            }
        })
    }

    /// The records in what a script returned: itself, or the tables of an array.
    pub(super) fn parts(&self, table: &Table) -> mlua::Result<Vec<Table>> {
        let len = table.raw_len();
        let mut parts = Vec::new();
        for at in 1..=len {
            match table.raw_get(at)? {
                Value::Table(part) => parts.push(part),
                _ => return Ok(vec![table.clone()]),
            }
        }
        if parts.is_empty() { Ok(vec![table.clone()]) } else { Ok(parts) }
    }

    /// Writes a table as the fields of a record; returns their range.
    pub(super) fn write(&mut self, batch: &mut Batch, table: &Table) -> mlua::Result<(u32, u32)> {
        let mut fields = Vec::new();
        let kinds = &self.kinds;
        let buffer = &mut self.buffer;
        table.for_each(|key: Value, value: Value| {
            let Some(name) = key_text(&key) else { return Ok(()) };
            let key = batch.append(&name);
            let value = match &value {
                Value::String(text) => FieldValue::Text(batch.append(&text.as_bytes())),
                value => {
                    buffer.clear();
                    push_json(kinds, &self.mark, buffer, value, &name, 0)?;
                    FieldValue::Json(batch.append(buffer))
                }
            };
            fields.push(Field { key, value });
            Ok(())
        })?;
        let start = batch.fields.len() as u32;
        batch.fields.append(&mut fields);
        Ok((start, batch.fields.len() as u32))
    }
}

/// A key as text; tables and functions are none.
fn key_text(key: &Value) -> Option<Vec<u8>> {
    match key {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Boolean(value) => Some(value.to_string().into_bytes()),
        _ => None,
    }
}

fn push_json(
    kinds: &Kinds,
    mark: &Table,
    out: &mut Vec<u8>,
    value: &Value,
    key: &[u8],
    depth: usize,
) -> mlua::Result<()> {
    if depth > DEPTH_MAX {
        return Err(mlua::Error::runtime("the record is nested too deep"));
    }
    match value {
        Value::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Number(number) => push_number(out, *number, kinds.ints.iter().any(|int| int == key)),
        Value::String(text) => json::push_string(out, &text.as_bytes()),
        Value::Table(table) => return push_table(kinds, mark, out, table, key, depth),
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

fn push_number(out: &mut Vec<u8>, number: f64, whole: bool) {
    let text = match number {
        number if !number.is_finite() => "null".to_owned(),
        number if number.fract() == 0.0 && number.abs() <= EXACT_MAX || whole => (number as i64).to_string(),
        number => format!("{number:?}"),
    };
    out.extend_from_slice(text.as_bytes());
}

fn push_table(
    kinds: &Kinds,
    mark: &Table,
    out: &mut Vec<u8>,
    table: &Table,
    key: &[u8],
    depth: usize,
) -> mlua::Result<()> {
    let (mut items, mut last) = (0usize, 0usize);
    let mut is_empty = true;
    table.for_each(|key: Value, _: Value| {
        is_empty = false;
        if let Some(at) = place(&key) {
            items += 1;
            last = last.max(at);
        }
        Ok(())
    })?;
    let marked = table.metatable().is_some_and(|own| own == *mark) || kinds.arrays.iter().any(|array| array == key);
    // A few holes are nulls; a table with numbers all over is a map.
    if (is_empty && marked) || (items > 0 && last <= items * 2 + 16) {
        out.push(b'[');
        for at in 1..=last {
            if at > 1 {
                out.push(b',');
            }
            push_json(kinds, mark, out, &table.raw_get(at)?, key, depth + 1)?;
        }
        out.push(b']');
        return Ok(());
    }
    out.push(b'{');
    let mut first = true;
    table.for_each(|key: Value, value: Value| {
        let Some(name) = key_text(&key) else { return Ok(()) };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        json::push_string(out, &name);
        out.push(b':');
        push_json(kinds, mark, out, &value, &name, depth + 1)
    })?;
    out.push(b'}');
    Ok(())
}

/// The place in an array, from 1.
fn place(key: &Value) -> Option<usize> {
    match key {
        Value::Integer(at) => usize::try_from(*at).ok().filter(|at| *at > 0),
        Value::Number(at) if at.fract() == 0.0 && *at >= 1.0 && *at <= EXACT_MAX => Some(*at as usize),
        _ => None,
    }
}
