//! Where a label's value comes from, as far as it is known before any record is there.
//!
//! ```text
//! shop                                           fixed
//! $kubernetes['namespace_name']                  of the record
//! $kubernetes['namespace_name']/$level           joined
//! [$kubernetes['pod_name'], $app]                of several the last one that a record has
//! ```

/// Several candidates: the last that a record has counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value(Vec<Candidate>);

type Candidate = Vec<Part>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Fixed(String),
    /// A record accessor: `$key`, `$key['member']`.
    Field(String),
}

/// More of them nobody writes, and joined ones multiply.
const CANDIDATES_MAX: usize = 24;

impl Value {
    pub(super) fn fixed(text: &str) -> Self {
        Self(vec![vec![Part::Fixed(text.to_owned())]])
    }

    pub(super) fn field(accessor: impl Into<String>) -> Self {
        Self(vec![vec![Part::Field(accessor.into())]])
    }

    /// The first of these that is there.
    pub(super) fn first_of(values: impl DoubleEndedIterator<Item = Self>) -> Self {
        Self(values.rev().flat_map(|value| value.0).collect())
    }

    /// Their texts with a separator between them; `None` where there would be too many.
    pub(super) fn joined(values: &[Self], separator: &str) -> Option<Self> {
        let mut all: Vec<Candidate> = vec![Vec::new()];
        for (number, value) in values.iter().enumerate() {
            let between = (number > 0).then(|| Part::Fixed(separator.to_owned()));
            let with = |before: &Candidate, next: &Candidate| {
                before.iter().chain(&between).chain(next).cloned().collect::<Candidate>()
            };
            all = all
                .iter()
                .flat_map(|before| value.0.iter().map(|next| with(before, next)).collect::<Vec<_>>())
                .collect();
        }
        (all.len() <= CANDIDATES_MAX).then_some(Self(all))
    }

    /// The text that is the same for all records.
    pub(super) fn as_fixed(&self) -> Option<String> {
        let [candidate] = &self.0[..] else { return None };
        candidate.iter().map(|part| if let Part::Fixed(text) = part { Some(text.as_str()) } else { None }).collect()
    }

    /// The accessors, where each candidate is one.
    pub(super) fn fields(&self) -> Option<Vec<&str>> {
        self.0
            .iter()
            .map(|candidate| if let [Part::Field(field)] = &candidate[..] { Some(field.as_str()) } else { None })
            .collect()
    }

    /// The only accessor.
    pub(super) fn as_field(&self) -> Option<&str> {
        self.fields().filter(|fields| fields.len() == 1).map(|fields| fields[0])
    }

    /// The top keys of the record that it is made of.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().filter_map(|part| match part {
            Part::Field(field) => Some(root(field)),
            Part::Fixed(_) => None,
        })
    }

    /// As the output `loki` writes labels: one text for each candidate. What cannot be written so is why.
    pub(super) fn labels(&self, name: &str) -> Result<Vec<String>, &'static str> {
        self.0.iter().map(|candidate| label(name, candidate)).collect()
    }
}

/// The top key of an accessor.
pub(super) fn root(accessor: &str) -> &str {
    let key = accessor.trim_start_matches('$');
    key.split('[').next().unwrap_or(key)
}

/// The parts of an accessor's key that a `record_modifier` can name.
pub(super) fn key_of(accessor: &str) -> Option<&str> {
    let key = root(accessor);
    (super::pattern::field(key).as_deref() == Some(accessor)).then_some(key)
}

fn label(name: &str, candidate: &Candidate) -> Result<String, &'static str> {
    let mut out = format!("{name}=");
    for (number, part) in candidate.iter().enumerate() {
        match part {
            Part::Fixed(text) if text.contains(',') => return Err("a label's fixed text cannot have a comma in it"),
            Part::Fixed(text) if text.starts_with('$') && number == 0 => {
                return Err("a label's fixed text cannot begin with `$`");
            }
            Part::Fixed(text) => {
                let sticks = number > 0
                    && !out.ends_with(']')
                    && text.starts_with(|c: char| c.is_alphanumeric() || "_-@".contains(c));
                if sticks || (number > 0 && text.contains('$')) {
                    return Err("text right behind a key would be taken for a part of it");
                }
                out.push_str(text);
            }
            Part::Field(_) if number == 1 && !candidate[0].is_field() => {
                return Err("a label that is made of fields cannot begin with fixed text");
            }
            Part::Field(field) => out.push_str(field),
        }
    }
    Ok(out)
}

impl Part {
    fn is_field(&self) -> bool {
        matches!(self, Self::Field(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        let app = Value::first_of([Value::field("$k['app']"), Value::field("$pod")].into_iter());
        let job = Value::joined(&[Value::field("$ns"), app.clone()], "/").unwrap();
        assert_eq!(app.labels("app").unwrap(), ["app=$pod", "app=$k['app']"]);
        assert_eq!(job.labels("job").unwrap(), ["job=$ns/$pod", "job=$ns/$k['app']"]);
        assert_eq!(job.roots().collect::<Vec<_>>(), ["ns", "pod", "ns", "k"]);
        assert_eq!(Value::fixed("x").as_fixed().as_deref(), Some("x"));
        assert!(Value::joined(&[Value::fixed("a"), Value::field("$b")], "-").unwrap().labels("x").is_err());
        assert!(Value::joined(&[Value::field("$b"), Value::fixed("c")], "-").unwrap().labels("x").is_err());
        assert!(Value::fixed("a,b").labels("x").is_err());
    }
}
