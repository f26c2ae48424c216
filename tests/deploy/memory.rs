//! The memory functions of the static binary, under names of their own, against those of the C library.

use super::{output_of, path};
use std::process::Command;

const FUNCTIONS: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

#[test]
fn they_do_what_those_of_the_c_library_do() {
    let folder = tempfile::tempdir().unwrap();
    let (object, program) = (folder.path().join("memory.o"), folder.path().join("test"));
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-builtin", "-c", "-o"]).arg(&object);
    compiler.args(FUNCTIONS.map(|name| format!("-D{name}=own_{name}"))).arg(path("src/memory.c"));
    output_of(&mut compiler);
    let mut linker = Command::new("cc");
    linker.arg("-fno-builtin").arg(path("tests/deploy/memory_test.c")).arg(&object).arg("-o").arg(&program);
    output_of(&mut linker);
    output_of(&mut Command::new(&program));
}
