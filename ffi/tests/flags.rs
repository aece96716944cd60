//! The flags for the C compiler that follow from a target and from rustc's flags.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[path = "../build/flags.rs"]
mod flags;

use flags::Target;

const AARCH64: (&str, &str) = ("aarch64-unknown-none", "aarch64");
const X86_64: (&str, &str) = ("x86_64-unknown-none", "x86_64");
const RISCV64: (&str, &str) = ("riscv64gc-unknown-none-elf", "riscv64");

fn target((triple, arch): (&str, &str), more: &[(&str, &str)]) -> Target {
    let read = |name: &str| {
        let given = more.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
        given.or(match name {
            "TARGET" => Some(triple),
            "CARGO_CFG_TARGET_ARCH" => Some(arch),
            "CARGO_CFG_TARGET_OS" => Some("none"),
            "CARGO_CFG_TARGET_FEATURE" if arch.starts_with("riscv") => Some("a,c,m,zicsr"),
            _ => None,
        })
    };
    Target::read(|name| read(name).map(String::from)).unwrap()
}

/// With arguments of rustc, blanks between them.
fn with(machine: (&str, &str), rustflags: &str) -> Vec<String> {
    target(machine, &[("CARGO_ENCODED_RUSTFLAGS", &rustflags.replace(' ', "\x1f"))]).flags(true).unwrap()
}

#[track_caller]
fn has(flags: &[String], wanted: &[&str], not: &[&str]) {
    for flag in wanted {
        assert!(flags.iter().any(|found| found == flag), "no {flag} in {flags:?}");
    }
    for prefix in not {
        assert!(!flags.iter().any(|found| found.starts_with(prefix)), "{prefix} in {flags:?}");
    }
}

#[test]
fn each_machine_has_its_own() {
    let always =
        ["-ffreestanding", "-fno-stack-protector", "-fno-unwind-tables", "-fno-lto", "-fvisibility=hidden"];
    for machine in [AARCH64, X86_64, RISCV64] {
        has(&with(machine, ""), &always, &["-flto", "-fstack-protector", "-fno-omit"]);
    }
    let aarch64 = ["--target=aarch64-unknown-none", "-mgeneral-regs-only", "-mstrict-align", "-fno-pic"];
    has(&with(AARCH64, ""), &aarch64, &["-mcmodel", "-march"]);
    has(&with(("aarch64-unknown-none-softfloat", "aarch64"), ""), &aarch64, &["-mcmodel"]);
    has(&with(X86_64, ""), &["-mgeneral-regs-only", "-mno-red-zone", "-fPIC"], &["-mcmodel", "-fno-pic"]);
    let riscv64 = ["-march=rv64imafdc", "-mabi=lp64d", "-mcmodel=medany", "-fno-pic"];
    has(&with(RISCV64, ""), &riscv64, &["-mgeneral-regs-only"]);
}

#[test]
fn gcc_gets_no_flag_of_clang() {
    let flags = target(RISCV64, &[]).flags(false).unwrap();
    has(&flags, &["-march=rv64imafdc"], &["--target", "-nostdlibinc", "-mno-outline", "--param"]);
    has(&target(AARCH64, &[]).flags(false).unwrap(), &["--param=logical-op-non-short-circuit=0"], &["--target"]);
    has(&target(AARCH64, &[]).flags(true).unwrap(), &["--target=aarch64-unknown-none"], &["--param"]);
    let flags = target(RISCV64, &[]).flags(true).unwrap();
    has(&flags, &["-march=rv64imafdc", "-nostdlibinc", "-mno-outline"], &[]);
}

#[test]
fn code_is_position_independent_where_rust_is() {
    for written in ["-C relocation-model=pic", "-Crelocation-model=pic", "--codegen=relocation-model=pic"] {
        has(&with(AARCH64, written), &["-fPIC"], &["-fno-pic"]);
        has(&with(RISCV64, written), &["-fPIC", "-mcmodel=medany"], &["-fno-pic"]);
    }
    has(&with(AARCH64, "-Crelocation-model=pie"), &["-fPIE"], &["-fno-pic", "-fPIC"]);
    // The last one counts, and other options with such a value do not.
    has(&with(AARCH64, "-Crelocation-model=pic -C relocation_model=static"), &["-fno-pic"], &["-fPIC"]);
    has(&with(AARCH64, "--cfg relocation-model=pic -Clink-arg=-pie"), &["-fno-pic"], &["-fPIC"]);
    // A target of the kernel's own, of which Cargo tells the default; RUSTFLAGS come first.
    let own = ("CARGO_CFG_RELOCATION_MODEL", "pic");
    has(&target(AARCH64, &[own]).flags(true).unwrap(), &["-fPIC"], &["-fno-pic"]);
    let both = target(AARCH64, &[own, ("CARGO_ENCODED_RUSTFLAGS", "-Crelocation-model=static")]);
    has(&both.flags(true).unwrap(), &["-fno-pic"], &["-fPIC"]);
}

#[test]
fn code_models_have_their_names_in_c() {
    has(&with(X86_64, "-Ccode-model=kernel -Crelocation-model=static"), &["-fPIC"], &["-mcmodel", "-fno-pic"]);
    has(&with(X86_64, "-Ccode-model=large"), &["-fPIC", "-mcmodel=large"], &[]);
    has(&with(RISCV64, "-Ccode-model=small"), &["-mcmodel=medlow"], &["-mcmodel=medany"]);
    has(&with(RISCV64, "-Ccode-model=medium"), &["-mcmodel=medany"], &["-mcmodel=medlow"]);
    has(&with(AARCH64, "-Ccode-model=tiny"), &["-mcmodel=tiny"], &[]);
    has(&with(AARCH64, "-Ccode-model=large"), &["-mcmodel=large", "-fno-pic"], &[]);
    for (machine, flags) in [
        (RISCV64, "-Ccode-model=large"),
        (AARCH64, "-Ccode-model=kernel"),
        (AARCH64, "-Ccode-model=large\x1f-Crelocation-model=pic"),
    ] {
        let refused = target(machine, &[("CARGO_ENCODED_RUSTFLAGS", flags)]).flags(true).unwrap_err();
        assert!(refused.contains("code model"), "{refused}");
    }
}

#[test]
fn riscv_has_the_extensions_of_the_target() {
    let riscv = |triple, arch, features| {
        target((triple, arch), &[("CARGO_CFG_TARGET_FEATURE", features)]).flags(true).unwrap()
    };
    has(&riscv("riscv64imac-unknown-none-elf", "riscv64", "a,c,m"), &["-march=rv64imac", "-mabi=lp64"], &[]);
    has(&riscv("riscv32imac-unknown-none-elf", "riscv32", "a,c,m"), &["-march=rv32imac", "-mabi=ilp32"], &[]);
    // Without compressed instructions, by RUSTFLAGS.
    has(&riscv("riscv64gc-unknown-none-elf", "riscv64", "a,m"), &["-march=rv64imafd", "-mabi=lp64d"], &[]);
    // A target of the kernel's own, named as it likes, where Cargo tells unstable features.
    has(&riscv("mykernel", "riscv64", "a,c,d,f,m"), &["-march=rv64imafdc", "-mabi=lp64d"], &[]);
    has(&riscv("mykernel", "riscv64", "a,c,f,m"), &["-march=rv64imafc", "-mabi=lp64f"], &[]);
}

#[test]
fn frame_pointers_and_protection_follow() {
    let kept = ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"];
    let omitted = "-fomit-frame-pointer";
    for value in ["-Cforce-frame-pointers", "-Cforce-frame-pointers=yes", "-C force-frame-pointers=always"] {
        has(&with(AARCH64, value), &kept, &[omitted]);
    }
    has(&with(X86_64, "-Cforce-frame-pointers=non-leaf"), &kept[..1], &[kept[1], omitted]);
    has(&with(X86_64, "-Cforce-frame-pointers=no"), &[omitted], &kept);
    has(&with(AARCH64, ""), &[omitted], &kept);
    // gcc for RISC-V knows the first only.
    let riscv = target(RISCV64, &[("CARGO_ENCODED_RUSTFLAGS", "-Cforce-frame-pointers=yes")]);
    has(&riscv.flags(false).unwrap(), &kept[..1], &[kept[1], "-mno-outline"]);
    has(&with(AARCH64, "-Zbranch-protection=bti,pac-ret"), &["-mbranch-protection=bti+pac-ret"], &[]);
    has(&with(X86_64, "-Zcf-protection=full -Zbranch-protection=bti"), &["-fcf-protection=full"], &["-mbranch"]);
    // What the driver must not follow.
    has(
        &with(AARCH64, "-Clinker-plugin-lto -Zstack-protector=all -Ctarget-cpu=native"),
        &["-fno-lto"],
        &["-flto", "-fstack", "-mcpu"],
    );
}

#[test]
fn small_code_for_small_kernels() {
    for (level, wanted) in [("0", "2"), ("3", "2"), ("s", "s"), ("z", "s")] {
        assert_eq!(target(AARCH64, &[("OPT_LEVEL", level)]).level(), wanted);
    }
}

#[test]
fn a_hosted_target_keeps_its_compilers_defaults() {
    let flags =
        target(("x86_64-unknown-linux-gnu", "x86_64"), &[("CARGO_CFG_TARGET_OS", "linux")]).flags(true).unwrap();
    has(&flags, &["-ffreestanding"], &["--target", "-mgeneral-regs-only", "-fPIC", "-mcmodel"]);
}

#[test]
fn what_cargo_did_not_say_is_named() {
    let missing = Target::read(|_| None).unwrap_err();
    assert!(missing.contains("TARGET"), "{missing}");
}

#[test]
fn vectors_are_only_for_targets_that_use_them() {
    for (machine, feature, other) in
        [(AARCH64, "neon", "-mstrict-align"), (X86_64, "fxsr,sse,sse2", "-mno-red-zone")]
    {
        let target = target(machine, &[("CARGO_CFG_TARGET_FEATURE", feature)]);
        has(&target.vector_flags(true).unwrap(), &[other, "-ffreestanding"], &["-mgeneral-regs-only"]);
        has(&target.vector_flags(false).unwrap(), &[other], &["-mgeneral-regs-only", "-nostdlibinc"]);
        has(&target.flags(true).unwrap(), &["-mgeneral-regs-only"], &[]);
    }
    for machine in [("aarch64-unknown-none-softfloat", "aarch64"), X86_64, RISCV64] {
        let refused = target(machine, &[]).vector_flags(true).unwrap_err();
        assert!(refused.contains("`simd`") && refused.contains(machine.0), "{refused}");
    }
}
