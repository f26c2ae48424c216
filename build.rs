//! How the program is linked, and what of it is C.
#![allow(clippy::disallowed_methods, reason = "cargo tells a build script everything in the environment")]

use std::env;
use std::process::Command;

/// The first glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/memory.c");
    match env::var("CARGO_CFG_TARGET_ENV").as_deref() {
        Ok("musl") => compile_memory_functions(),
        Ok("gnu")
            if env::var("TARGET") == env::var("HOST") && glibc().is_some_and(|version| version >= PACKED_SINCE) =>
        {
            // 40,000 pointers that the loader has to move: a megabyte of memory as a list, 30 KB packed. A binary with them asks for such a
            // glibc; for others there is the static one.
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
        _ => {}
    }
}

/// No loop of them may become a call of what they are; and they are too short for frames.
fn compile_memory_functions() {
    let mut compiler = cc::Build::new();
    compiler.file("src/memory.c").opt_level(2).force_frame_pointer(false).flag("-ffreestanding").flag("-fno-builtin");
    compiler.flag_if_supported("-fno-tree-loop-distribute-patterns").compile("memory");
}

/// The version on this machine.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let (major, minor) = str::from_utf8(&output.stdout).ok()?.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
