//! Links the kernel at its place in RAM, and compiles the C programs of the bench: the users of the C interface with the flags
//! that the driver has, the floor with all that the processor offers.

use std::env;
use std::process::Command;

const COMMON: [&str; 6] = [
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-strict-aliasing",
    "-mno-outline-atomics",
];
const LIKE_THE_DRIVER: [&str; 2] = ["-mgeneral-regs-only", "-mstrict-align"];

fn main() {
    println!("cargo::rerun-if-changed=memory.ld");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=../../../include");
    println!("cargo::rerun-if-env-changed=CC_aarch64_unknown_none");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    println!("cargo::rustc-link-arg-bins=-T{here}/memory.ld");
    compile("bench_users", &["c/meter.c", "c/users.c", "c/empty.c"], &LIKE_THE_DRIVER);
    compile("bench_floor", &["c/floor.c"], &[]);
}

/// The compiler is the one that `virtio-net-c` is told to use.
fn compile(name: &str, sources: &[&str], flags: &[&str]) {
    let mut build = cc::Build::new();
    build.std("c11").opt_level(2).warnings(true).extra_warnings(true).warnings_into_errors(true);
    build.include("c").include("../../../include").files(sources);
    if env::var_os("CC_aarch64_unknown_none").is_none() {
        let found = ["clang", "clang-19", "clang-18"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok());
        build.compiler(found.unwrap_or("clang"));
    }
    if build.get_compiler().is_like_clang() {
        build.flag("--target=aarch64-unknown-none").flag("-nostdlibinc");
    } else {
        build.flag("--param=logical-op-non-short-circuit=0");
    }
    for flag in COMMON.iter().chain(flags) {
        build.flag(flag);
    }
    build.compile(name);
}
