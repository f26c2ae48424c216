//! The cases that cannot pass yet: `waiting.txt`, a title `# what they wait for` and under it their names.

/// Names and what each waits for.
pub(crate) struct Waiting(Vec<(&'static str, &'static str)>);

impl Waiting {
    pub(crate) fn read() -> Self {
        let (mut list, mut reason) = (Vec::new(), "nothing");
        for line in include_str!("waiting.txt").lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix('#') {
                Some(title) => reason = title.trim(),
                None => list.push((line, reason)),
            }
        }
        Self(list)
    }

    pub(crate) fn reason(&self, name: &str) -> Option<&'static str> {
        self.0.iter().find(|(waits, _)| *waits == name).map(|(_, reason)| *reason)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}
