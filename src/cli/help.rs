//! `drave help`: the reference, from the same declarations that read a configuration.
//!
//! ```text
//! drave help                all sections and plugins
//! drave help service        one page
//! drave help input tail     the same for a plugin; `drave help tail` will do
//! ```

use super::exit;
use crate::config::{
    FilterShared, InputShared, Opt, OutputShared, Page, ProcessorShared, SectionKind, ServiceOptions, absent, nearest,
};
use crate::filter::{FILTERS, PROCESSORS};
use crate::input::INPUTS;
use crate::output::OUTPUTS;
use crate::parse::{self, MultilineOptions};
use std::fmt::Write;

pub(super) fn help(topic: &[String]) -> u8 {
    let topic: Vec<String> = topic.iter().map(|word| word.to_ascii_lowercase()).collect();
    let pages = pages();
    if topic.is_empty() {
        print!("{}", overview(&pages));
        return exit::OK;
    }
    let found: Vec<&Page> = pages.iter().filter(|page| is_meant(page, &topic)).collect();
    if found.is_empty() {
        eprint!("{}", nothing_about(&pages, &topic));
        return exit::USAGE;
    }
    let texts: Vec<String> = found.iter().map(|page| page.text()).collect();
    print!("{}", texts.join("\n"));
    exit::OK
}

/// Every page there is: the service, parsers, and one for each plugin.
pub fn pages() -> Vec<Page> {
    let one = |kind, about, options: &[Opt], deviations: &[_]| Page {
        kind,
        name: "",
        about,
        own: options.to_vec(),
        shared: Vec::new(),
        deviations: deviations.to_vec(),
    };
    let of = |kind, name, about, own: &[&[Opt]], shared: &[Opt], deviations: Vec<_>| Page {
        kind,
        name,
        about,
        own: own.concat(),
        shared: shared.to_vec(),
        deviations,
    };
    let service = "What holds for the whole process.";
    let parser = "Makes fields of a line's text; has a `name`, which a `parser` option then names.";
    let multiline = "Joins lines to records; has a `name`, which a `multiline.parser` option then names.";
    let mut pages = vec![
        one(SectionKind::Service, service, ServiceOptions::OPTIONS, ServiceOptions::DEVIATIONS),
        one(SectionKind::Parser, parser, parse::PARSER_OPTIONS, parse::PARSER_DEVIATIONS),
        one(SectionKind::MultilineParser, multiline, MultilineOptions::OPTIONS, MultilineOptions::DEVIATIONS),
    ];
    pages.extend(INPUTS.iter().map(|p| {
        let differs = [p.deviations.concat(), InputShared::DEVIATIONS.to_vec()].concat();
        of(SectionKind::Input, p.name, p.about, p.options, InputShared::OPTIONS, differs)
    }));
    pages.extend(FILTERS.iter().map(|p| {
        let differs = [p.deviations.concat(), FilterShared::DEVIATIONS.to_vec()].concat();
        of(SectionKind::Filter, p.name, p.about, p.options, FilterShared::OPTIONS, differs)
    }));
    pages.extend(PROCESSORS.iter().map(|p| {
        let differs = p.deviations.concat();
        of(SectionKind::Processor, p.name, p.about, p.options, ProcessorShared::OPTIONS, differs)
    }));
    pages.extend(OUTPUTS.iter().map(|p| {
        let differs = [p.deviations.concat(), OutputShared::DEVIATIONS.to_vec()].concat();
        of(SectionKind::Output, p.name, p.about, p.options, OutputShared::OPTIONS, differs)
    }));
    pages
}

/// The files of `config/reference`, with what they hold.
pub fn reference() -> Vec<(String, String)> {
    let pages = pages();
    let file_of = |page: &Page| format!("{}.md", page.title().replace(' ', "-"));
    let mut index = String::from("# Reference\n\n| | |\n|---|---|\n");
    for page in &pages {
        let _ = writeln!(index, "| [{}]({}) | {} |", page.title(), file_of(page), page.about);
    }
    index.push_str("\nThese pages come from the declarations in the code, as does `drave help`. ");
    index.push_str("`DRAVE_UPDATE=1 cargo test --test reference` writes them anew.\n");
    let files = pages.iter().map(|page| (file_of(page), page.markdown()));
    files.chain([("README.md".to_owned(), index)]).collect()
}

fn overview(pages: &[Page]) -> String {
    let mut out = String::from("What a configuration may hold:\n\n");
    let longest = pages.iter().map(|page| page.title().len()).max().unwrap_or_default();
    for page in pages {
        let _ = writeln!(out, "  {:longest$}  {}", page.title(), page.about);
    }
    out + "\ndrave help input tail shows all options of a plugin, drave --help the command line.\n"
}

/// `service`, `input tail`, `inputs tail`, `tail`.
fn is_meant(page: &Page, topic: &[String]) -> bool {
    let is_kind = |word: &str| word.strip_suffix('s').unwrap_or(word) == page.kind.word();
    match topic {
        [word] if page.name.is_empty() => is_kind(word),
        [name] => name == page.name || is_kind(name),
        [kind, name] => is_kind(kind) && name == page.name,
        _ => false,
    }
}

fn nothing_about(pages: &[Page], topic: &[String]) -> String {
    let asked = topic.join(" ");
    let kinds = [SectionKind::Input, SectionKind::Filter, SectionKind::Output, SectionKind::Processor];
    let kinds = kinds.into_iter().filter(|kind| topic.len() == 1 || topic[0].trim_end_matches('s') == kind.word());
    let name = topic.last().map_or("", String::as_str);
    if let Some((kind, hint)) = kinds.into_iter().find_map(|kind| Some((kind, absent(kind, name)?))) {
        return format!("error: drave has no {} `{name}`\n  hint: {hint}\n", kind.word());
    }
    let titles: Vec<String> = pages.iter().map(Page::title).collect();
    let names = pages.iter().map(|page| page.name).filter(|name| !name.is_empty());
    let hint = match nearest(&asked, titles.iter().map(String::as_str).chain(names)) {
        Some(near) => format!("did you mean `drave help {near}`?"),
        None => "drave help shows what there is".into(),
    };
    format!("error: there is no help about `{asked}`\n  hint: {hint}\n")
}
