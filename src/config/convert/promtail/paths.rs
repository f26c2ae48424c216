//! Patterns of paths, of which Promtail has some more than `tail`.

/// Patterns as `tail` has them: `{a,b}` becomes several, `**` folders up to four deep.
pub(super) fn expanded(path: &str) -> Vec<String> {
    const DEPTHS: [&str; 5] = ["", "*/", "*/*/", "*/*/*/", "*/*/*/*/"];
    const PATTERNS_MAX: usize = 64;
    let mut done = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let braces = path.find('{').and_then(|from| Some((from, from + path[from..].find('}')?)));
        let is_variable = braces.is_some_and(|(from, _)| path[..from].ends_with('$'));
        if let Some((from, to)) = braces.filter(|_| !is_variable && open.len() + done.len() < PATTERNS_MAX) {
            let choices =
                path[from + 1..to].split(',').map(|choice| format!("{}{choice}{}", &path[..from], &path[to + 1..]));
            open.extend(choices.collect::<Vec<_>>().into_iter().rev());
        } else if let Some(at) = path.find("**/") {
            let deep = DEPTHS.map(|depth| format!("{}{depth}{}", &path[..at], &path[at + 3..]));
            open.extend(deep.into_iter().rev().filter(|_| done.len() < PATTERNS_MAX));
        } else {
            done.push(path.replace("**", "*"));
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (path, expect) in [
            ("/a/*.log", "/a/*.log"),
            ("/a/{b,c}/*.{log,txt}", "/a/b/*.log /a/b/*.txt /a/c/*.log /a/c/*.txt"),
            ("/a/**/*.log", "/a/*.log /a/*/*.log /a/*/*/*.log /a/*/*/*/*.log /a/*/*/*/*/*.log"),
            ("${LOGS}/x.log", "${LOGS}/x.log"),
            ("/a/**", "/a/*"),
        ] {
            assert_eq!(expanded(path).join(" "), expect);
        }
    }
}
