//! Secrets never show: not in a message, not in the line of a file that a message shows.
//!
//! Two nets, because each has holes of its own: what follows a key that sounds secret is hidden by its place, and the
//! values that were read for such keys are hidden wherever they turn up.

/// Stands for a secret.
pub(super) const MASK: &str = "********";

const SECRET_WORDS: [&str; 11] = [
    // However the rest is misspelt.
    "passw",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "shared_key",
    "private_key",
    "cloud_auth",
    "authorization",
];
/// These say where a secret is, how long it lives or what it is called, not what it is.
const HARMLESS_ENDS: [&str; 6] = ["_file", "_path", "_ttl", "_url", "_command", "_field"];

/// Would the value of this option, variable or header be a secret?
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| key.contains(word)) && !HARMLESS_ENDS.iter().any(|end| key.ends_with(end))
}

/// The line without what follows a secret key: `http_passwd x`, `- http_passwd: x`, `{api_key: x, …}`,
/// `header Authorization x`. What comes before stays where it is, so that a caret still points right.
pub(super) fn hide_line(line: &str) -> String {
    let (mut shown, mut rest) = (String::new(), line);
    while let Some(start) = secret_start(rest) {
        shown.push_str(&hide_urls(&rest[..start]));
        shown.push_str(MASK);
        rest = &rest[secret_end(line, rest, start)..];
    }
    shown + &hide_urls(rest)
}

/// In `{key: x, other: y}` a secret ends at the comma; elsewhere nothing but the end of the line is sure to be its end.
fn secret_end(line: &str, rest: &str, start: usize) -> usize {
    let quote = rest[..start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
    let end = match quote {
        _ if !line[..line.len() - rest.len() + start].contains('{') => None,
        Some(quote) => rest[start..].find(quote),
        None => rest[start..].find([',', '}']),
    };
    end.map_or(rest.len(), |length| start + length)
}

fn secret_start(line: &str) -> Option<usize> {
    let secrets = words(line).enumerate().filter(|(_, (start, end))| is_secret_key(&line[*start..*end]));
    secrets.filter_map(|(nth, (_, end))| value_start(line, end, nth)).next()
}

/// Begin and end of each word that could be a key.
fn words(line: &str) -> impl Iterator<Item = (usize, usize)> {
    let of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].find(|c: char| c.is_ascii_alphanumeric())?;
        let end = line[start..].find(|c| !of_key(c)).map_or(line.len(), |length| start + length);
        at = end;
        Some((start, end))
    })
}

/// Where the value of the key that ends at `end` begins. Blanks make a value of what follows only for the first two words:
/// further on a line they would make one of any prose.
fn value_start(line: &str, end: usize, nth: usize) -> Option<usize> {
    let rest = line[end..].trim_start_matches(['"', '\'']);
    let blanks_count = nth < 2;
    let separated = rest.starts_with([':', '=']) || (blanks_count && rest.starts_with([' ', '\t']));
    let value = rest.trim_start_matches([':', '=', ' ', '\t', '"', '\'']);
    (separated && !value.trim_end().is_empty()).then(|| line.len() - value.len())
}

/// `http://user:pass@host` without the password.
fn hide_urls(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("://");
        shown.push_str(&hide_user(part));
    }
    shown
}

fn hide_user(after_scheme: &str) -> String {
    let end = after_scheme.find(['/', ' ', '\t', '"', '\'']).unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(end);
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{user}:{MASK}@{host}{rest}"),
        None => after_scheme.into(),
    }
}

/// The secrets that were read so far.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

/// A shorter text is no secret worth the name, and hiding each `a` would make nonsense of every message.
const SECRET_BYTES_MIN: usize = 4;
/// Words that stand for something else than a secret too often.
const COMMON: [&str; 6] = ["true", "false", "none", "null", "auto", "default"];

impl Secrets {
    /// Remembers a value, line by line.
    pub(super) fn add(&mut self, value: &str) {
        for line in value.lines().map(str::trim).filter(|l| l.len() >= SECRET_BYTES_MIN) {
            if !COMMON.contains(&line.to_ascii_lowercase().as_str()) && !self.0.iter().any(|s| s == line) {
                // The longest first: one secret may be a part of another.
                let at = self.0.partition_point(|secret| secret.len() > line.len());
                self.0.insert(at, line.to_owned());
            }
        }
    }

    /// The text with every remembered value hidden.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for key in [
            "http_passwd",
            "HTTP_Passwd",
            "splunk_token",
            "tls.key_passwd",
            "X-Api-Key",
            "Authorization",
            "DB_PASSWORD",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["kube_token_file", "kube_token_ttl", "tls.key_file", "label_keys", "path", ""] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn lines() {
        for (line, shown) in [
            ("    http_passwd  hunter2", "    http_passwd  ********"),
            ("  - http_passwd: hunter2", "  - http_passwd: ********"),
            ("{name: http, \"api_key\": 'a, b', x: y}", "{name: http, \"api_key\": '********', x: y}"),
            ("{api_key: hunter2, token: hunter3}", "{api_key: ********, token: ********}"),
            ("{api_key: 'hunter2", "{api_key: '********"),
            ("header Authorization Bearer hunter2", "header Authorization ********"),
            ("  header: Authorization Bearer hunter2", "  header: Authorization ********"),
            ("@SET DB_PASSWORD=hunter2", "@SET DB_PASSWORD=********"),
            ("token token hunter2", "token ********"),
            ("proxy http://me:hunter2@host:1/x y", "proxy http://me:********@host:1/x y"),
            ("remove_key password", "remove_key password"),
            ("    - password", "    - password"),
            ("http_passwd:", "http_passwd:"),
            ("uri http://host:1/a@b", "uri http://host:1/a@b"),
            ("Ünï passwd: 秘密", "Ünï passwd: ********"),
        ] {
            assert_eq!(hide_line(line), shown);
        }
    }

    #[test]
    fn values() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2");
        secrets.add("hunter2-and-more\nsecond line");
        secrets.add("abc");
        secrets.add("true");
        assert_eq!(
            secrets.hide("hunter2-and-more hunter2 abc true second line"),
            "******** ******** abc true ********"
        );
    }
}
