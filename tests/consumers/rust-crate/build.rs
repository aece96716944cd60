//! Links the kernel at its place in RAM; the linker script is that of `aarch64-rt`.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    println!("cargo::rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rustc-link-arg-bins=-Tmemory.ld");
    println!("cargo::rerun-if-changed=memory.ld");
}
