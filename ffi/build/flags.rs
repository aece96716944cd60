//! What the C compiler is told, so that its objects fit between those that rustc makes.
//!
//! The target and the flags of rustc (`RUSTFLAGS`, or a target of the kernel's own) decide: relocation and code model, ABI and
//! instruction set, frame pointers, branch protection. `docs/targets.md` has the reasons. The `cc` crate's own translation of
//! `RUSTFLAGS` is not used: it knows no code model but by name, and brings link-time optimisation and stack protectors along.

const GENERAL_REGISTERS: &str = "-mgeneral-regs-only";
/// Each test of what rarely happens is a branch, as clang makes it: gcc makes one of several otherwise, by more instructions.
const SEPARATE_TESTS: &str = "--param=logical-op-non-short-circuit=0";

/// What is built for.
#[derive(Debug)]
pub struct Target {
    pub triple: String,
    pub arch: String,
    /// `os = "none"`.
    pub bare_metal: bool,
    /// `s` or `z`: small code is wanted.
    small: bool,
    /// Extensions in `CARGO_CFG_TARGET_FEATURE`.
    features: Vec<String>,
    relocation: Option<String>,
    code_model: Option<String>,
    frame_pointers: Option<String>,
    branch_protection: Option<String>,
    cf_protection: Option<String>,
}

impl Target {
    /// From the variables that Cargo gives to a build script.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let required =
            |name: &str| variable(name).ok_or_else(|| format!("{name} is not set: is this run by Cargo?"));
        let rustflags = variable("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
        let option = |name: &str| rustc_option(&rustflags, name);
        Ok(Self {
            triple: required("TARGET")?,
            arch: required("CARGO_CFG_TARGET_ARCH")?,
            bare_metal: required("CARGO_CFG_TARGET_OS")? == "none",
            small: matches!(variable("OPT_LEVEL").as_deref(), Some("s" | "z")),
            features: variable("CARGO_CFG_TARGET_FEATURE")
                .unwrap_or_default()
                .split(',')
                .map(String::from)
                .collect(),
            // Cargo tells the target's default where rustc has unstable options, as it must for a target of the kernel's own.
            relocation: option("relocation-model").or_else(|| variable("CARGO_CFG_RELOCATION_MODEL")),
            code_model: option("code-model"),
            frame_pointers: option("force-frame-pointers"),
            branch_protection: option("branch-protection"),
            cf_protection: option("cf-protection"),
        })
    }

    /// The optimisation level: fast, also where the kernel around it is built for debugging, or small where it is.
    pub fn level(&self) -> &'static str {
        if self.small { "s" } else { "2" }
    }

    /// The flags for clang, or for gcc.
    pub fn flags(&self, clang: bool) -> Result<Vec<String>, String> {
        let mut flags = own(&[
            "-ffreestanding",
            "-fno-stack-protector",
            "-ffunction-sections",
            "-fdata-sections",
            "-fno-asynchronous-unwind-tables",
            "-fno-unwind-tables",
            "-g0",
            // Storage has the caller's type and DMA memory none; both are reached as the driver's own types.
            "-fno-strict-aliasing",
            // Machine code: the linker's plugin, if it has one, is rustc's.
            "-fno-lto",
            // No symbol can be replaced at run time, so position-independent code may inline and call like any other.
            "-fvisibility=hidden",
        ]);
        if self.bare_metal {
            if clang {
                // Without -nostdlibinc clang finds the host's <stdint.h>.
                flags.extend([format!("--target={}", self.clang_triple()), "-nostdlibinc".into()]);
                // Pieces shared between functions save a hundred bytes, and leave functions without a frame of their own.
                flags.push("-mno-outline".into());
            }
            flags.extend(self.machine_flags()?);
            if !clang && self.arch == "aarch64" {
                flags.push(SEPARATE_TESTS.into());
            }
        }
        flags.extend(self.frame_flags(clang));
        if let Some(protection) = self.branch_protection.as_ref().filter(|_| self.arch == "aarch64") {
            flags.push(format!("-mbranch-protection={}", protection.replace(',', "+")));
        }
        if let Some(protection) = self.cf_protection.as_ref().filter(|_| self.arch == "x86_64") {
            flags.push(format!("-fcf-protection={protection}"));
        }
        Ok(flags)
    }

    /// The same for the one source that copies by vector registers, with the feature `simd`.
    pub fn vector_flags(&self, clang: bool) -> Result<Vec<String>, String> {
        if !self.features.iter().any(|feature| feature == "neon" || feature == "sse2") {
            return Err(format!(
                "the feature `simd` copies frames by vector registers, and code for {} must not use them: \
                 neither neon nor sse2 is among the target's features",
                self.triple
            ));
        }
        Ok(self.flags(clang)?.into_iter().filter(|flag| flag != GENERAL_REGISTERS).collect())
    }

    /// Clang knows no vendors of Rust's, and of RISC-V only the family.
    fn clang_triple(&self) -> String {
        match self.arch.as_str() {
            "aarch64" => "aarch64-unknown-none".into(),
            "x86_64" | "riscv64" | "riscv32" => format!("{}-unknown-none-elf", self.arch),
            _ => self.triple.clone(),
        }
    }

    /// No floating-point registers, because interrupt entries do not save them; where code and data may lie.
    fn machine_flags(&self) -> Result<Vec<String>, String> {
        let mut flags = match self.arch.as_str() {
            // An MMU that is off, and SCTLR.A, make unaligned accesses fault. Outlined atomics would call a library.
            "aarch64" => own(&[GENERAL_REGISTERS, "-mstrict-align", "-mno-outline-atomics"]),
            // Interrupts of a kernel use its stack below the stack pointer.
            "x86_64" => own(&[GENERAL_REGISTERS, "-mno-red-zone"]),
            "riscv64" | "riscv32" => self.riscv_flags(),
            _ => return Ok(Vec::new()),
        };
        flags.push(self.relocation_flag().into());
        flags.extend(self.code_model_flag()?);
        Ok(flags)
    }

    /// On x86-64 position-independent code costs nothing and runs wherever the image is linked: low, in the top 2 GiB, or as a
    /// PIE.
    fn relocation_flag(&self) -> &'static str {
        match self.relocation.as_deref() {
            _ if self.arch == "x86_64" => "-fPIC",
            Some("pic") => "-fPIC",
            Some("pie") => "-fPIE",
            _ => "-fno-pic",
        }
    }

    /// C's name of rustc's code model.
    fn code_model_flag(&self) -> Result<Option<String>, String> {
        let model = self.code_model.as_deref();
        let name = match (self.arch.as_str(), model) {
            ("riscv64" | "riscv32", Some("small")) => "medlow",
            ("riscv64" | "riscv32", None | Some("medium")) => "medany",
            ("x86_64", Some(name @ ("medium" | "large"))) => name,
            // What is position independent fits these two as well.
            ("x86_64", None | Some("small" | "kernel")) => return Ok(None),
            ("aarch64", Some(name @ ("tiny" | "small"))) => name,
            // Calls between C functions stay short: they are in one archive, and linkers add what far calls need.
            ("aarch64", Some("large")) => "large",
            ("aarch64", None) => return Ok(None),
            (arch, Some(name)) => return Err(format!("no C compiler has rustc's code model {name} for {arch}")),
            (_, None) => return Ok(None),
        };
        if self.arch == "aarch64" && name == "large" && self.relocation_flag() != "-fno-pic" {
            return Err("no C compiler has the code model large for position-independent code on aarch64".into());
        }
        Ok(Some(format!("-mcmodel={name}")))
    }

    /// The extensions that the target has, but for what C does not use. The ABI passes floating-point arguments in registers
    /// where the target's does, although there are none: linkers compare it.
    fn riscv_flags(&self) -> Vec<String> {
        let (base, integers) = if self.arch == "riscv64" { ("rv64i", "lp64") } else { ("rv32i", "ilp32") };
        // Stable Rust does not name f and d among the features: the triple does.
        let first = self.triple.split('-').next().unwrap_or_default();
        let letters = first.strip_prefix(&self.arch).unwrap_or_default().replace('g', "mafd");
        let feature = |name: &str| self.features.iter().any(|feature| feature == name);
        let float = |name: &str| letters.contains(name) || feature(name);
        let mut march = String::from(base);
        // A target of the kernel's own is named as it likes, and RUSTFLAGS can take a feature away.
        march.extend(["m", "a"].iter().filter(|name| feature(name)).copied());
        let abi = if float("d") {
            march.push_str("fd");
            "d"
        } else if float("f") {
            march.push('f');
            "f"
        } else {
            ""
        };
        march.extend(feature("c").then_some('c'));
        vec![format!("-march={march}"), format!("-mabi={integers}{abi}")]
    }

    /// Where rustc keeps no frame pointers, as by default, neither does C: some compilers would, which costs two instructions a
    /// call.
    fn frame_flags(&self, clang: bool) -> Vec<String> {
        let leaves = match self.frame_pointers.as_deref() {
            Some("non-leaf") => false,
            Some("y" | "yes" | "on" | "true" | "always") => true,
            _ if self.bare_metal => return own(&["-fomit-frame-pointer"]),
            _ => return Vec::new(),
        };
        let mut flags = own(&["-fno-omit-frame-pointer"]);
        if leaves && (clang || matches!(self.arch.as_str(), "aarch64" | "x86_64")) {
            flags.push("-mno-omit-leaf-frame-pointer".into());
        }
        flags
    }
}

fn own(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).into()).collect()
}

/// The last value of a `-C` or `-Z` option, in any of the ways to write one.
fn rustc_option(rustflags: &str, name: &str) -> Option<String> {
    let mut value = None;
    let mut arguments = rustflags.split('\x1f');
    while let Some(argument) = arguments.next() {
        let option = match argument {
            "-C" | "-Z" | "--codegen" => arguments.next().unwrap_or_default(),
            _ => ["-C", "-Z", "--codegen="]
                .iter()
                .find_map(|prefix| argument.strip_prefix(prefix))
                .unwrap_or_default(),
        };
        match option.split_once('=') {
            Some((found, text)) if found.replace('_', "-") == name => value = Some(text.into()),
            None if option.replace('_', "-") == name => value = Some("yes".into()),
            _ => {}
        }
    }
    value
}
