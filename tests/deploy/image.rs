//! The image's build, as far as it can be tried without an engine: what goes into its context, and what comes out. The shell of the Dockerfile
//! is run, in other folders, around a binary that is there, and the programs of its last stage in the root that comes of it.

use super::static_binary::{binary, chroot, native};
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
    // Without some of these a build goes well, and is another one.
    for name in ["deploy/build", "build.rs", "src/memory.c", ".cargo/config.toml"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
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

/// The instructions of a stage: each a line, comments and continuations gone.
fn instructions(stage: &str) -> Vec<String> {
    let dockerfile = read("deploy/Dockerfile");
    let lines = dockerfile.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = lines.replace("\\\n", " ");
    let (_, rest) = joined.split_once(stage).unwrap();
    let rest = rest.split("\nFROM ").next().unwrap();
    rest.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Builds the root of the image below the folder.
fn root_of_image(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for line in instructions("AS build") {
        let Some(script) = line.strip_prefix("RUN ").filter(|script| script.contains("/root-of-image")) else {
            continue;
        };
        let words = script.split(' ').filter(|word| !word.starts_with("--mount="));
        let script = words.collect::<Vec<_>>().join(" ").replace("deploy/build \"$TARGETARCH\"", "true");
        let script = script.replace("/root-of-image", &root.display().to_string());
        let script = script.replace(" /drave/", &format!(" {}/", env!("CARGO_MANIFEST_DIR")));
        let mut shell = Command::new("sh");
        shell.args(["-ec", &script]).current_dir(path("")).env("TARGETARCH", native());
        output_of(&mut shell);
    }
    root
}

/// The words of `["a", "b"]` behind an instruction.
fn words(instructions: &[String], name: &str) -> Vec<Vec<String>> {
    let of = instructions.iter().filter_map(|line| line.strip_prefix(name));
    of.filter_map(|rest| serde_json::from_str(rest.trim()).ok()).collect()
}

#[test]
fn the_root_that_the_dockerfile_makes_is_enough_to_run() {
    let Some(_) = binary(native()) else { return };
    if !Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        println!("skipped: /etc/ssl/certs/ca-certificates.crt is missing (install ca-certificates)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = root_of_image(folder.path());
    let last = instructions("FROM scratch");
    assert!(last.contains(&"COPY --from=build /root-of-image /".to_owned()), "{last:?}");
    let programs = words(&last, "RUN ");
    assert_eq!(programs.len(), 2, "{last:?}");
    let start = [words(&last, "ENTRYPOINT "), words(&last, "CMD ")].concat().concat();
    let checked = [start, vec!["--dry-run".into()]].concat();
    let of_default = ["/usr/bin/drave", "check", "/etc/drave/drave.yaml"].map(str::to_owned).to_vec();
    for program in programs.iter().chain([&checked, &of_default]) {
        let line = chroot(&root);
        output_of(Command::new(&line[0]).args(&line[1..]).args(program).env("NODE_NAME", "node-1"));
    }
    assert!(root.join("fluent-bit/parsers/parsers.conf").exists() && !root.join("bin").exists());
}
