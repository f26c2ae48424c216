//! What Fluent Bit left in its `storage.path` is said, and stays.

use super::PATIENCE;
use super::support::agent::Agent;
use std::fs;
use std::process::Command;

#[test]
fn chunks_of_fluent_bit_are_said_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("storage/tail.0")).unwrap();
    let chunk = folder.path().join("storage/tail.0/1-1700000000.123456789.flb");
    fs::write(&chunk, [0xc1; 300]).unwrap();
    let text = "service: {storage.path: storage}\npipeline: {inputs: [{name: dummy}], outputs: [{name: 'null', match: '*'}]}\n";
    fs::write(folder.path().join("drave.yaml"), text).unwrap();
    let check = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
        command.args(["check", "drave.yaml", "--format", format]).current_dir(folder.path()).output().unwrap()
    };
    let said = check("text");
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(errors.starts_with("error: Fluent Bit left 1 chunks") && errors.contains("300 bytes in "), "{errors}");
    assert_eq!(said.status.code(), Some(0), "{errors}");
    let said: serde_json::Value = serde_json::from_slice(&check("json").stdout).unwrap();
    assert_eq!((&said["valid"], said["errors"].as_array().unwrap().len()), (&true.into(), 1));
    let mut agent = Agent::start_on(folder, "drave.yaml", &[]);
    assert!(agent.wait_for_stderr("Fluent Bit left 1 chunks", PATIENCE), "{}", agent.stderr());
    let line = agent.stderr().lines().find(|line| line.contains("Fluent Bit left")).unwrap().to_owned();
    assert!(line.contains("ERROR"), "{line}");
    // From here on it listens to signals.
    assert!(agent.wait_for_stderr("running", PATIENCE), "{}", agent.stderr());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert!(chunk.exists());
}
