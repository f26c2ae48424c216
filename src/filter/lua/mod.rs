//! Hands every record to a script in Lua, and takes what it returns.
//!
//! ```yaml
//! filters:
//!   - name: lua
//!     match: '*'
//!     call: add_team
//!     code: |
//!       function add_team(tag, timestamp, record)
//!         record.team = "shop"
//!         return 2, timestamp, record
//!       end
//! ```
//! The function returns a code, a time and a record: -1 leaves the record out, 0 keeps it as it is, 1 takes time and record, 2 the
//! record alone. An array of records makes several of one. A script that fails, runs too long or returns something else leaves
//! the record as it was, counted.

mod script;
mod pack;
mod unpack;
mod words;
mod packed;

use super::{Each, Filter, FilterConfig, FilterPlugin, Measure, Measured, Plan};
use crate::config::{Report, Section};
use crate::record::{Batch, DropReason, Record, Shape, SourceDraft};
use mlua::Lua;
use packed::Reader;
use script::{Answer, Answers, NewTime, Script, Settings};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use unpack::Kinds;
use words::Words;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "lua",
    about: "Hands every record to a script in Lua.",
    options: &[LuaOptions::OPTIONS],
    deviations: &[LuaOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// The script, and how values are written.
    pub(super) struct LuaOptions {
        /// A file with the script.
        script: PathBuf, "script", optional;
        /// The script itself.
        code: String, "code", optional;
        /// The function that is called for every record.
        call: String, "call", required;
        /// Keys, with blanks between them, whose numbers become whole ones.
        type_int_key: String, "type_int_key", default "";
        /// Keys, with blanks between them, whose empty tables are arrays.
        type_array_key: String, "type_array_key", default "";
        /// The time is a table with `sec` and `nsec`, also the one that is returned.
        time_as_table: bool, "time_as_table", default "off";
        /// Nulls are the value `flb_null`; without it they are not there.
        enable_flb_null: bool, "enable_flb_null", default "off";
    }
    no_effect {
        "protected_mode": "a script that fails never takes drave with it";
    }
    deviations {
        "a script that fails": "leaves the record that it failed for as it was, not all that were read with it";
        "a function or a coroutine in a record": "is a failure of the script for this record";
        "a script that runs on": "is stopped after ten million steps for one record";
        "the libraries": "`ffi`, `debug` and `newproxy` are not there";
    }
}

fn configure(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = LuaOptions::from_section(section, report)?;
    let (name, code) = match (&options.script, &options.code) {
        (Some(path), _) => match std::fs::read_to_string(section.resolve(&path.to_string_lossy())) {
            Ok(code) => (path.display().to_string(), code),
            Err(error) => {
                let what = format!("script of {} cannot be read: {error}", section.title());
                let hint = "relative paths begin at the folder of the configuration".to_owned();
                report.error(section.get("script").map(|e| &e.value_at), what, Some(hint));
                return None;
            }
        },
        (None, Some(code)) => ("code".to_owned(), code.clone()),
        (None, None) => {
            let what = format!("{} needs the option `script` or `code`", section.title());
            report.error(Some(&section.at), what, Some("`script` names a file, `code` is the script itself".into()));
            return None;
        }
    };
    if let Err(error) = Lua::new().load(&code).set_name(format!("={name}")).into_function() {
        let what = format!("the script of {} is not Lua: {}", section.title(), first_line(&error));
        let at = section.get("code").or(section.get("script")).map(|e| &e.value_at);
        report.error(at, what, Some("drave runs Lua 5.1, as Fluent Bit does".into()));
        return None;
    }
    let words = |text: &str| text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
    let kinds = Arc::new(Kinds { ints: words(&options.type_int_key), arrays: words(&options.type_array_key) });
    let settings = Settings {
        name,
        code,
        call: options.call.trim().to_owned(),
        time_as_table: options.time_as_table,
        has_null: options.enable_flb_null,
        variables: config.variables.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
    };
    Some(Box::new(LuaFilter { settings, kinds, script: None, failures: Arc::default() }))
}

fn first_line(error: &mlua::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("syntax error: ").trim_start_matches("runtime error: ").to_owned()
}

/// Why records passed as they were.
#[derive(Debug, Default)]
struct Failures {
    error: AtomicU64,
    result: AtomicU64,
}

struct LuaFilter {
    settings: Settings,
    kinds: Arc<Kinds>,
    /// Started with the first source; `None` inside: it could not be.
    script: Option<Option<Arc<Mutex<Script>>>>,
    failures: Arc<Failures>,
}

impl Filter for LuaFilter {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let settings = &self.settings;
        let script = self.script.get_or_insert_with(|| match Script::start(settings) {
            Ok(script) => Some(Arc::new(Mutex::new(script))),
            Err(error) => {
                tracing::error!("the script {} of filter lua does not run: {}", settings.name, first_line(&error));
                None
            }
        });
        let (script, kinds, failures) = (script.clone(), Arc::clone(&self.kinds), Arc::clone(&self.failures));
        Plan::Each(Box::new(LuaEach { script, kinds, failures, out: Vec::new() }))
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        let of = |kind, count: &AtomicU64| {
            let value = count.load(Ordering::Relaxed) as f64;
            Measure { what: Measured::Failed, label: Some(kind), value }
        };
        vec![of("error", &self.failures.error), of("result", &self.failures.result)]
    }
}

struct LuaEach {
    script: Option<Arc<Mutex<Script>>>,
    kinds: Arc<Kinds>,
    failures: Arc<Failures>,
    out: Vec<Record>,
}

impl LuaEach {
    /// Hands records over from `first` on, and takes what becomes of them. Returns the first that has to be handed over anew.
    fn hand_over(&mut self, script: &mut Script, batch: &mut Batch, first: usize) -> usize {
        let end = match script.feed(batch, first) {
            Ok(end) => end,
            Err(error) => return self.failed(batch, first, &first_line(&error)),
        };
        let mut next = first;
        while next < end {
            let answers = match script.go() {
                Ok(answers) => answers,
                Err(error) => return self.failed(batch, next, &first_line(&error)),
            };
            next = self.take(&mut script.packer.words, batch, next, &answers);
            if !answers.goes_on {
                break;
            }
        }
        next
    }

    /// A record passes as it was. Returns the next one.
    fn failed(&mut self, batch: &Batch, record: usize, why: &str) -> usize {
        self.failures.error.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("a script of filter lua failed, and the record passed as it was: {why}");
        self.out.push(batch.records[record]);
        record + 1
    }

    fn take(&mut self, words: &mut Words, batch: &mut Batch, first: usize, answers: &Answers) -> usize {
        let tables = answers.tables.as_bytes();
        let mut reader = Reader::new(&tables);
        for (number, answer) in answers.list.iter().enumerate() {
            let (at, old) = (first + number, batch.records[first + number]);
            match answer {
                Answer::Drop => batch.counts.drop(DropReason::Filter, 1, u64::from(old.bytes)),
                Answer::Keep => self.out.push(old),
                Answer::Failed => _ = self.failed(batch, at, &answers.why),
                Answer::Nonsense => self.nonsense(old),
                Answer::Take { new_time, parts } => {
                    let kept = self.out.len();
                    if self.write(batch, (&mut reader, words), old, (*new_time, *parts)).is_none() {
                        self.out.truncate(kept);
                        self.nonsense(old);
                    }
                }
            }
        }
        first + answers.list.len()
    }

    /// What came back cannot be taken.
    fn nonsense(&mut self, old: Record) {
        self.failures.result.fetch_add(1, Ordering::Relaxed);
        self.out.push(old);
    }

    /// The records that one has become. What belongs to it is read to its end, whatever it is.
    fn write(
        &mut self,
        batch: &mut Batch,
        (reader, words): (&mut Reader<'_>, &mut Words),
        old: Record,
        (new_time, parts): (bool, u32),
    ) -> Option<()> {
        let time = if new_time { script::read_time(reader, old.time_ns)? } else { NewTime::At(old.time_ns) };
        let (time_ns, mut is_wrong) = match time {
            NewTime::At(time_ns) => (time_ns, false),
            NewTime::Nonsense => (0, true),
        };
        for part in 0..parts {
            let before = reader.left();
            let (fields_start, fields_end) = self.kinds.fields(batch, reader, words, &old)?;
            is_wrong |= before - reader.left() > script::BYTES_MAX;
            self.out.push(Record {
                time_ns,
                fields_start,
                fields_end,
                shape: Shape::Fields,
                owns_shared: true,
                owns_place: true,
                bytes: if part == 0 { old.bytes } else { 0 },
                ..old
            });
        }
        if is_wrong {
            return None;
        }
        batch.counts.made += u64::from(parts) - 1;
        Some(())
    }
}

impl Each for LuaEach {
    fn apply(&mut self, batch: &mut Batch) {
        let Some(script) = self.script.clone() else {
            self.failures.error.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
            return;
        };
        let script = &mut *script.lock().unwrap_or_else(PoisonError::into_inner);
        self.out.clear();
        script.packer.words.begin();
        let mut next = 0;
        while next < batch.records.len() {
            next = self.hand_over(script, batch, next);
        }
        std::mem::swap(&mut batch.records, &mut self.out);
    }

    fn parses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
