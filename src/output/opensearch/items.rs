//! The items of an answer, one after the other: an answer about seventeen thousand documents never stands in memory as a tree.
//!
//! ```text
//! {"took":7,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{…}}}]}
//!                                            └ taken, and gone before the next is read
//! ```

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// What an answer says of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    /// Is any document not as it should be?
    pub(super) errors: Option<bool>,
    /// How many items it has; `None` without a list of them.
    pub(super) items: Option<usize>,
}

/// Hands each item on, without the word of its operation, with its number.
///
/// # Errors
/// It is no such answer. Items before that place were handed on.
pub(super) fn each_item(body: &[u8], mut take: impl FnMut(usize, &Value)) -> Result<Whole, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let whole = deserializer.deserialize_map(Answer(&mut take))?;
    deserializer.end()?;
    Ok(whole)
}

struct Answer<'t, F>(&'t mut F);

impl<'de, F: FnMut(usize, &Value)> Visitor<'de> for Answer<'_, F> {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer to a bulk request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
        let mut whole = Whole::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "errors" => whole.errors = Some(map.next_value()?),
                "items" => whole.items = Some(map.next_value_seed(Items(&mut *self.0))?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(whole)
    }
}

struct Items<'t, F>(&'t mut F);

impl<'de, F: FnMut(usize, &Value)> DeserializeSeed<'de> for Items<'_, F> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(usize, &Value)> Visitor<'de> for Items<'_, F> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(item) = list.next_element::<Map<String, Value>>()? {
            (self.0)(count, item.values().next().ok_or_else(|| A::Error::custom("an item without an operation"))?);
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_handed_on_one_by_one() {
        for (body, expect, statuses) in [
            (
                r#"{"took":1,"errors":true,"items":[{"create":{"status":201}},{"update":{"status":409}}]}"#,
                Some((true, 2)),
                "201 409 ",
            ),
            (r#"{"items":[{"index":{"status":200}}],"errors":false}"#, Some((false, 1)), "200 "),
            (r#"{"errors":true,"items":[]}"#, Some((true, 0)), ""),
            (r#"{"errors":true,"items":[{"create":{"status":201}},{}]}"#, None, "201 "),
            (r#"{"errors":true,"items":[{"create":{"status":201}}"#, None, "201 "),
            (r#"{"errors":"no","items":[]}"#, None, ""),
            (r#"[]"#, None, ""),
        ] {
            let mut seen = String::new();
            let whole = each_item(body.as_bytes(), |_, item| seen += &format!("{} ", item["status"])).ok();
            let expect = expect.map(|(errors, items)| Whole { errors: Some(errors), items: Some(items) });
            assert_eq!((whole, seen.as_str()), (expect, statuses), "{body}");
        }
    }
}
