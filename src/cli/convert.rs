//! `drave convert FILE`: Fluent Bit's or Promtail's configuration as YAML on stdout, and on stderr what becomes of each directive.
//!
//! ```text
//! agent.conf:14:5   same         input tail path
//! agent.conf:15:5   better       input tail buffer_max_size: a line over 1 MiB is cut …
//! agent.conf:20:5   unsupported  output kafka: drave speaks HTTP only; …
//!
//! 12 same, 1 better, 1 unsupported
//! ```
//! Exit code 0, or 1 where something is unsupported, or 64 where the file cannot be read: then nothing is written.

use super::{colour, exit, help};
use crate::config::{Converted, Environment, Finding, Report, Verdict, convert as convert_file};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ConvertArguments {
    /// The configuration: Fluent Bit's, classic or YAML, or Promtail's
    file: PathBuf,
    /// Write the YAML into this file, not to stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the report into this file, as JSON where its name ends in .json; `json`: as JSON to stderr
    #[arg(long, value_name = "FILE|json")]
    report: Option<PathBuf>,
}

pub(super) fn convert(arguments: &ConvertArguments, environment: &Environment) -> u8 {
    let mut report = Report::default();
    let Some(converted) = convert_file(&arguments.file, environment, &help::pages(), &mut report) else {
        colour::say(&report.to_string(), environment);
        return exit::USAGE;
    };
    let written = match &arguments.output {
        Some(path) => std::fs::write(path, &converted.yaml).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            std::io::stdout().write_all(converted.yaml.as_bytes()).map_err(|error| format!("standard output: {error}"))
        }
    };
    let reported = written.and_then(|()| write_report(arguments.report.as_deref(), &converted));
    if let Err(what) = reported {
        let hint = "check the path, and that drave may write there";
        colour::say(&format!("error: cannot write to {what}\n  hint: {hint}\n"), environment);
        return exit::USAGE;
    }
    let is_lost = |finding: &Finding| finding.verdict == Verdict::Unsupported;
    if converted.findings.iter().any(is_lost) { exit::UNFINISHED } else { exit::OK }
}

fn write_report(path: Option<&Path>, converted: &Converted) -> Result<(), String> {
    let write =
        |path: &Path, text: &str| std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    match path {
        None => eprint!("{}", table(&converted.findings)),
        Some(path) if path == Path::new("json") => eprintln!("{:#}", object(&converted.findings)),
        Some(path) if path.extension().is_some_and(|extension| extension == "json") => {
            write(path, &format!("{:#}\n", object(&converted.findings)))?;
        }
        Some(path) => write(path, &table(&converted.findings))?,
    }
    Ok(())
}

const VERDICTS: [Verdict; 5] = [Verdict::Same, Verdict::Better, Verdict::Near, Verdict::NoEffect, Verdict::Unsupported];

fn table(findings: &[Finding]) -> String {
    let place = |finding: &Finding| finding.at.to_string();
    let widest = findings.iter().map(|finding| place(finding).chars().count()).max().unwrap_or_default();
    let mut out = String::new();
    for finding in findings {
        let detail = finding.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        let _ = writeln!(out, "{:widest$}  {:11}  {}{detail}", place(finding), finding.verdict.word(), finding.what);
    }
    let counts =
        VERDICTS.map(|verdict| (findings.iter().filter(|finding| finding.verdict == verdict).count(), verdict));
    let counts =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, verdict)| format!("{count} {}", verdict.word()));
    let _ = writeln!(out, "\n{}", counts.collect::<Vec<_>>().join(", "));
    out
}

fn object(findings: &[Finding]) -> Value {
    let entry = |finding: &Finding| {
        json!({
            "file": &*finding.at.file,
            "line": finding.at.line,
            "column": finding.at.column,
            "what": finding.what,
            "verdict": finding.verdict.word(),
            "detail": finding.detail,
        })
    };
    json!({ "findings": findings.iter().map(entry).collect::<Vec<_>>() })
}
