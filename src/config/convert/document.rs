//! A configuration that is about to be written as YAML: sections with keys in their order, and the comments that belong to them.

/// Lines that begin with `#`; an empty one is a gap between them.
pub(super) type Lines = Vec<String>;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What is said of the file as a whole.
    pub(super) head: Lines,
    /// Files that could not be read where the conversion ran.
    pub(super) includes: Vec<Pair>,
    pub(super) env: Vec<Pair>,
    pub(super) service: Item,
    pub(super) parsers: Vec<Item>,
    pub(super) multiline_parsers: Vec<Item>,
    pub(super) inputs: Vec<Item>,
    pub(super) filters: Vec<Item>,
    pub(super) outputs: Vec<Item>,
    /// What stands behind everything.
    pub(super) tail: Lines,
}

/// One section.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) comments: Lines,
    pub(super) pairs: Vec<Pair>,
    pub(super) processors: Vec<Self>,
    /// Behind its last key.
    pub(super) tail: Lines,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) comments: Lines,
    pub(super) key: String,
    pub(super) value: Value,
    /// The key may stand several times, and then their order may count.
    pub(super) repeats: bool,
}

#[derive(Debug)]
pub(super) enum Value {
    One(Text),
    /// Each with its comments.
    List(Vec<(Lines, Text)>),
    /// The rules of a multiline parser: state, expression, next state.
    Rules(Vec<(Lines, [String; 3])>),
    /// JSON, which is YAML as it stands.
    Json(String),
}

/// The text of a value.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    /// It is meant as a number, a switch or a word, so it may stand without quotes whatever YAML takes it for.
    pub(super) bare: bool,
}

impl Text {
    /// What must stay a text whatever it looks like.
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), bare: false }
    }

    /// A number, a switch or a word.
    pub(super) fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), bare: true }
    }
}

impl Pair {
    pub(super) fn new(key: &str, value: Value) -> Self {
        Self { comments: Lines::new(), key: key.to_owned(), value, repeats: false }
    }
}

impl Item {
    /// A plugin or a parser.
    pub(super) fn named(name: &str) -> Self {
        Self::default().with("name", name)
    }

    /// Adds a text.
    pub(super) fn with(mut self, key: &str, text: impl Into<String>) -> Self {
        self.set(key, Text::of(text));
        self
    }

    /// Adds a number, a switch or a word.
    pub(super) fn with_bare(mut self, key: &str, text: impl Into<String>) -> Self {
        self.set(key, Text::bare(text));
        self
    }

    /// Adds texts, if there are any: a list, or the only one.
    pub(super) fn with_list(mut self, key: &str, texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<Text> = texts.into_iter().map(Text::of).collect();
        match texts.len() {
            0 => {}
            1 => texts.drain(..).for_each(|text| self.set(key, text)),
            _ => {
                let items = texts.into_iter().map(|text| (Lines::new(), text)).collect();
                self.pairs.push(Pair::new(key, Value::List(items)));
            }
        }
        self
    }

    /// Adds a key, or gives it another value.
    pub(super) fn set(&mut self, key: &str, text: Text) {
        match self.pairs.iter_mut().find(|pair| pair.key == key) {
            Some(pair) => pair.value = Value::One(text),
            None => self.pairs.push(Pair::new(key, Value::One(text))),
        }
    }
}
