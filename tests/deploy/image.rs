//! The image's build, as far as it can be tried without an engine: what goes into its context, and what comes out.

use super::*;

/// The paths that `.dockerignore` lets through.
fn context() -> Vec<String> {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    lines.map(|line| line.strip_prefix('!').unwrap().to_owned()).collect()
}

/// A change of tests or of prose builds no image anew, and nothing that the build reads is missing.
#[test]
fn the_context_is_all_that_the_build_reads() {
    let folder = tempfile::tempdir().unwrap();
    for name in context() {
        let to = folder.path().join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        output_of(Command::new("cp").arg("-r").arg(path(&name)).arg(&to));
    }
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--offline", "--no-deps", "--format-version", "1"]).current_dir(&folder);
    let metadata: Value = serde_json::from_str(&output_of(&mut metadata)).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap();
    assert!(targets.iter().any(|target| target["kind"][0] == "bin" && target["name"] == "drave"), "{targets:?}");
    // What the Dockerfile copies from it.
    for line in read("deploy/Dockerfile").lines().filter(|line| line.contains("/drave/")) {
        for word in line.split(' ').filter_map(|word| word.strip_prefix("/drave/")) {
            let is_made = word.starts_with("target");
            assert!(is_made || folder.path().join(word).exists(), "{word}: {line}");
        }
    }
    assert!(folder.path().join("deploy/build").exists());
}

/// Where the manifests of Fluent Bit and aws-for-fluent-bit look.
#[test]
fn the_image_has_the_paths_of_the_others() {
    let dockerfile = read("deploy/Dockerfile");
    for part in [
        "fluent-bit/bin/fluent-bit",
        "/drave/deploy/image/etc /drave/deploy/image/parsers fluent-bit/",
        "ENTRYPOINT [\"/usr/bin/drave\"]",
        "CMD [\"-c\", \"/fluent-bit/etc/fluent-bit.conf\"]",
        "RUN [\"/usr/bin/drave\", \"--version\"]",
    ] {
        assert!(dockerfile.contains(part), "{part}");
    }
    for file in ["etc/fluent-bit.conf", "etc/parsers.conf", "parsers/parsers.conf"] {
        assert!(path("deploy/image").join(file).exists(), "{file}");
    }
    // The parsers that the other images define in their file are there without it.
    let names = read("deploy/image/etc/parsers.conf").replace("# ", "").replace('\n', " ");
    let names = names.split_once(": ").unwrap().1.trim_end_matches(['.', ' ']).to_owned();
    for name in names.split(", ").map(str::trim) {
        let input = format!(
            "[INPUT]\n    Name tail\n    Path /nowhere\n    Parser {name}\n[OUTPUT]\n    Name null\n    Match *\n"
        );
        check("fluent-bit.conf", &input, &[]);
    }
}
