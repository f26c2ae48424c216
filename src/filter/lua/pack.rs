//! Records as packed tables of Lua.

use super::packed;
use super::words::{WORDS_MAX, Words, push_value};
use crate::record::json_read::{self, Member};
use crate::record::{Batch, Found};
use std::collections::HashMap;

/// How deep Lua unpacks tables; what is nested deeper in a record stays text.
const DEPTH_MAX: usize = 99;
/// Keys up to which a linear look for doubled ones is the quickest.
const FEW_KEYS: usize = 64;

/// Packs records; its memory stays from one to the next.
#[derive(Debug)]
pub(super) struct Packer {
    /// Nulls are values, not missing ones.
    has_null: bool,
    pub(super) packed: Vec<u8>,
    pub(super) words: Words,
    /// The record at work, and by the number of a word the last one that had it as a key.
    record: u64,
    seen: Vec<u64>,
    /// Where the other keys of the record stand in `packed`; how many there are of all; is one of them there twice?
    texts: Vec<(usize, usize)>,
    place: usize,
    doubled: bool,
    /// Members of the objects that are being packed.
    members: Vec<Member>,
    plain: Vec<u8>,
}

impl Packer {
    pub(super) fn new(has_null: bool) -> Self {
        Self {
            has_null,
            packed: Vec::new(),
            words: Words::new(),
            record: 0,
            seen: vec![0; WORDS_MAX],
            texts: Vec::new(),
            place: 0,
            doubled: false,
            members: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Adds a record as a table.
    pub(super) fn push_record(&mut self, batch: &Batch, record: usize) {
        let start = self.packed.len();
        let opened = packed::open_map(&mut self.packed);
        self.begin();
        let mut len = 0;
        batch.each_member(record, &mut |key, found| len += u32::from(self.push_member(key, found)));
        if self.doubled {
            self.packed.truncate(start);
            return self.push_last_of_each_key(batch, record);
        }
        packed::close_map(&mut self.packed, opened, len);
    }

    /// No key is there yet.
    fn begin(&mut self) {
        self.record += 1;
        self.texts.clear();
        (self.place, self.doubled) = (0, false);
    }

    /// A null that is none is not added.
    #[inline]
    fn push_member(&mut self, key: &[u8], found: Found<'_>) -> bool {
        if !self.has_null && found == Found::Json(b"null") {
            return false;
        }
        let start = self.packed.len();
        self.place += 1;
        match self.words.push_key(&mut self.packed, self.place - 1, key) {
            Some(number) => {
                let before = std::mem::replace(&mut self.seen[number as usize], self.record);
                self.doubled |= before == self.record;
            }
            None => {
                let new = &self.packed[start..];
                self.doubled |=
                    self.texts.len() >= FEW_KEYS || self.texts.iter().any(|(from, to)| self.packed[*from..*to] == *new);
                self.texts.push((start, self.packed.len()));
            }
        }
        self.push_value(found, 1);
        true
    }

    /// Lua takes no key twice: the last counts, as for readers of JSON.
    fn push_last_of_each_key(&mut self, batch: &Batch, record: usize) {
        let (mut last, mut number) = (HashMap::new(), 0);
        batch.each_member(record, &mut |key, _| {
            number += 1;
            last.insert(key, number);
        });
        let opened = packed::open_map(&mut self.packed);
        let (mut len, mut number) = (0, 0);
        batch.each_member(record, &mut |key, found| {
            number += 1;
            len += u32::from(last.get(key) == Some(&number) && self.push_member(key, found));
        });
        packed::close_map(&mut self.packed, opened, len);
    }

    fn push_value(&mut self, found: Found<'_>, depth: usize) {
        match found {
            Found::Text(text) => push_value(&mut self.packed, text),
            Found::Number(number) => packed::push_number(&mut self.packed, number as f64),
            Found::Json([b'"', inner @ .., b'"']) => self.push_string(inner),
            Found::Json(text @ ([b'{', ..] | [b'[', ..])) if depth >= DEPTH_MAX => {
                packed::push_text(&mut self.packed, text);
            }
            Found::Json(text @ [b'{', ..]) => self.push_object(text, depth),
            Found::Json(text @ [b'[', ..]) => self.push_array(text, depth),
            Found::Json(b"true") => packed::push_bool(&mut self.packed, true),
            Found::Json(b"false") => packed::push_bool(&mut self.packed, false),
            Found::Json(b"null") => packed::push_null(&mut self.packed),
            Found::Json(number) => {
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                packed::push_number(&mut self.packed, number.unwrap_or_default());
            }
        }
    }

    /// What stands between the quotes of a string.
    fn push_string(&mut self, inner: &[u8]) {
        if memchr::memchr(b'\\', inner).is_none() {
            return packed::push_text(&mut self.packed, inner);
        }
        self.plain.clear();
        match json_read::unescape(inner, &mut self.plain) {
            Some(()) => packed::push_text(&mut self.packed, &self.plain),
            None => packed::push_text(&mut self.packed, inner),
        }
    }

    /// A null stands in an array, so that what follows keeps its place.
    fn push_array(&mut self, text: &[u8], depth: usize) {
        packed::push_mark(&mut self.packed);
        let mut len = 0;
        json_read::array(text, |_| len += 1);
        packed::push_array(&mut self.packed, len);
        json_read::array(text, |(start, end)| self.push_value(Found::Json(&text[start..end]), depth + 1));
    }

    fn push_object(&mut self, text: &[u8], depth: usize) {
        let first = self.members.len();
        json_read::object(text, |member| self.members.push(member));
        self.keep_last_of_each_key(text, first);
        let opened = packed::open_map(&mut self.packed);
        let mut len = 0;
        for at in first..self.members.len() {
            let Member { key, key_escaped, value, .. } = self.members[at];
            let (key, value) = (&text[key.0..key.1], &text[value.0..value.1]);
            if !self.has_null && value == b"null" {
                continue;
            }
            if key_escaped {
                self.push_string(key);
            } else {
                self.words.push_key(&mut self.packed, FEW_KEYS + at, key);
            }
            self.push_value(Found::Json(value), depth + 1);
            len += 1;
        }
        packed::close_map(&mut self.packed, opened, len);
        self.members.truncate(first);
    }

    fn keep_last_of_each_key(&mut self, text: &[u8], first: usize) {
        let members = &self.members[first..];
        let key = |member: &Member| &text[member.key.0..member.key.1];
        let doubled = if members.len() <= FEW_KEYS && members.iter().all(|member| !member.key_escaped) {
            members.iter().enumerate().any(|(at, one)| members[at + 1..].iter().any(|other| key(one) == key(other)))
        } else {
            true
        };
        if !doubled {
            return;
        }
        let mut last = HashMap::new();
        for (at, member) in members.iter().enumerate() {
            let mut plain = Vec::new();
            let is_plain = member.key_escaped && json_read::unescape(key(member), &mut plain).is_some();
            last.insert(if is_plain { plain } else { key(member).to_vec() }, at);
        }
        let mut kept: Vec<usize> = last.into_values().collect();
        kept.sort_unstable();
        let kept: Vec<Member> = kept.into_iter().map(|at| members[at]).collect();
        self.members.truncate(first);
        self.members.extend(kept);
    }
}
