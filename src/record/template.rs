//! Templates: text with accessors in it, as in `/logs/$TAG[1]/$kubernetes['pod_name'].log`.
//!
//! An accessor ends at the first character that cannot belong to it: `.`, `,`, `;`, `/`, a blank. A `$` before anything that
//! is no key is text.

use super::Batch;
use super::accessor::{Accessor, AccessorError};

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Accessor),
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// An accessor in it that is none: a bracket that is not closed, a key without quotes.
    pub fn parse(text: &str) -> Result<Self, AccessorError> {
        let mut parts = Vec::new();
        let (mut plain, mut at) = (String::new(), 0);
        while let Some(found) = text[at..].find('$') {
            plain.push_str(&text[at..at + found]);
            at += found;
            if !Accessor::begins(&text[at + 1..]) {
                plain.push('$');
                at += 1;
                continue;
            }
            let (accessor, end) = Accessor::parse_at(text, at)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(accessor));
            at = end;
        }
        plain.push_str(&text[at..]);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The value of one accessor.
    pub fn of(accessor: Accessor) -> Self {
        Self(vec![Part::Value(accessor)])
    }

    /// Its accessors, in order.
    pub fn accessors(&self) -> impl Iterator<Item = &Accessor> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(accessor) => Some(accessor),
            Part::Text(_) => None,
        })
    }

    /// Is there no accessor in it?
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Is the text the same for all records of a batch that do not own what is shared?
    pub fn is_shared(&self, batch: &Batch) -> bool {
        let is_shared = |part: &Part| match part {
            Part::Text(_) => true,
            Part::Value(accessor) => accessor.is_shared(batch),
        };
        self.0.iter().all(is_shared)
    }

    /// Appends what stands between the accessors.
    pub fn render_plain(&self, out: &mut String) {
        for part in &self.0 {
            if let Part::Text(text) = part {
                out.push_str(text);
            }
        }
    }

    /// Appends the text for a record; what is missing becomes nothing, and then this says `false`.
    pub fn render(&self, batch: &Batch, record: usize, out: &mut String) -> bool {
        self.render_with(batch, record, out, |text, out| out.push_str(text))
    }

    /// The same where what stands between the accessors means something: `text` appends that.
    pub fn render_with(
        &self,
        batch: &Batch,
        record: usize,
        out: &mut String,
        mut text_between: impl FnMut(&str, &mut String),
    ) -> bool {
        let mut complete = true;
        for part in &self.0 {
            match part {
                Part::Text(text) => text_between(text, out),
                Part::Value(accessor) => match accessor.find(batch, record) {
                    Some(found) => found.push_text(out),
                    None => complete = false,
                },
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Shape, Source, SourceDraft};
    use std::sync::Arc;

    fn batch() -> Batch {
        let mut draft = SourceDraft { tag: "kube.shop.web".into(), ..SourceDraft::default() };
        draft.share("pod", serde_json::json!({"name": "web-1", "n": 1.5}), false);
        draft.share("app", "cart".into(), false);
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        batch.records.push(Record { shape: Shape::Fields, ..Record::default() });
        batch
    }

    #[test]
    fn accessors_are_replaced() {
        for (template, expect, complete) in [
            ("plain", "plain", true),
            ("", "", true),
            ("/logs/$pod['name'].log", "/logs/web-1.log", true),
            ("$TAG[0]/$TAG[1]", "kube/shop", true),
            ("$app.$app,$app;$app $app", "cart.cart,cart;cart cart", true),
            ("$pod['name']/$pod['n']", "web-1/1.500000", true),
            ("$app-x", "", false),
            ("a$missing['x']b", "ab", false),
            ("5 $ and $$app $", "5 $ and $cart $", true),
        ] {
            let mut out = String::new();
            let found = Template::parse(template).expect(template).render(&batch(), 0, &mut out);
            assert_eq!((out.as_str(), found), (expect, complete), "{template}");
        }
        assert_eq!(Template::parse("ab $x[").expect_err("an error").column, 7);
    }

    #[test]
    fn text_without_accessors_stays_as_it_is() {
        proptest::proptest!(|(text in "[^$]{0,40}")| {
            let template = Template::parse(&text).expect("a template");
            let mut out = String::new();
            proptest::prop_assert!(template.is_plain() && template.render(&batch(), 0, &mut out));
            proptest::prop_assert_eq!(out, text);
        });
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[$\\[\\]'\"a./0TAGä ]{0,16}")| {
            if let Ok(template) = Template::parse(&text) {
                template.render(&batch(), 0, &mut String::new());
            }
        });
    }
}
