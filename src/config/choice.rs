//! Options whose value is one of a few words, declared with [`option_enum!`](crate::option_enum).

use super::nearest;

/// Declares an enum that an option can be read as; case does not count. Further spellings follow a `|`.
///
/// ```
/// drave::option_enum! {
///     /// How a body is compressed.
///     pub enum Compress {
///         /// Not at all.
///         None = "none",
///         /// gzip.
///         Gzip = "gzip" | "gz",
///     }
/// }
/// use drave::config::OptionValue;
/// assert_eq!(Compress::KIND, "none|gzip");
/// assert_eq!(Compress::parse("GZ"), Ok(Compress::Gzip));
/// assert_eq!(Compress::Gzip.name(), "gzip");
/// ```
#[macro_export]
macro_rules! option_enum {
    ($(#[doc = $about:literal])* $vis:vis enum $Name:ident {
        $(#[doc = $first_help:literal])* $First:ident = $first:literal $(| $first_alias:literal)*
        $(, $(#[doc = $help:literal])* $Variant:ident = $word:literal $(| $alias:literal)*)* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(unreachable_pub, reason = "plugins are private to their folder")]
        $vis enum $Name {
            $(#[doc = $first_help])* $First,
            $($(#[doc = $help])* $Variant,)*
        }
        #[allow(dead_code, unreachable_pub, reason = "not every plugin needs all of it")]
        impl $Name {
            /// The word that stands for this value.
            $vis const fn name(self) -> &'static str {
                match self {
                    Self::$First => $first,
                    $(Self::$Variant => $word,)*
                }
            }
        }
        impl $crate::config::OptionValue for $Name {
            const KIND: &'static str = concat!($first $(, "|", $word)*);
            const WORDS: &'static [&'static str] = &[$first $(, $first_alias)* $(, $word $(, $alias)*)*];
            fn parse(text: &str) -> Result<Self, String> {
                let spellings: &[(&'static str, Self)] = &[
                    ($first, Self::$First) $(, ($first_alias, Self::$First))*
                    $(, ($word, Self::$Variant) $(, ($alias, Self::$Variant))*)*
                ];
                $crate::config::read_choice(text, Self::KIND, spellings)
            }
        }
    };
}

/// Finds the spelling that `text` is.
///
/// # Errors
/// The words that are allowed, and the nearest.
pub fn read_choice<T: Copy>(text: &str, kind: &str, spellings: &[(&'static str, T)]) -> Result<T, String> {
    match spellings.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        Some((_, value)) => Ok(*value),
        None => Err(expected(text, kind, spellings.iter().map(|(word, _)| *word))),
    }
}

fn expected<'a>(text: &str, kind: &str, words: impl Iterator<Item = &'a str>) -> String {
    let allowed = kind.replace('|', ", ");
    match nearest(&text.to_ascii_lowercase(), words) {
        Some(word) => format!("did you mean `{word}`? (expected one of {allowed})"),
        None => format!("expected one of {allowed}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::OptionValue;

    option_enum! {
        /// A test's own.
        enum Colour { Red = "red" | "rouge", Dark = "dark blue" }
    }

    #[test]
    fn case_aliases_and_the_nearest() {
        assert_eq!(Colour::parse("ReD"), Ok(Colour::Red));
        assert_eq!(Colour::parse("rouge"), Ok(Colour::Red));
        assert_eq!(Colour::parse("dark blue"), Ok(Colour::Dark));
        assert_eq!(Colour::parse("rad").unwrap_err(), "did you mean `red`? (expected one of red, dark blue)");
        assert_eq!(Colour::parse("").unwrap_err(), "expected one of red, dark blue");
        assert_eq!((Colour::Red.name(), Colour::Dark.name()), ("red", "dark blue"));
    }
}
