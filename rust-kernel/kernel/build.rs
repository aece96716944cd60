//! Links the kernel at its place in RAM. The boot crate brings the linker script, we bring the address.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=memory.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-Timage.ld");
        println!("cargo::rustc-link-arg-bins=-T{here}/memory.ld");
    }
}
