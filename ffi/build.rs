//! Compiles the C driver for the target that Cargo builds for.
//!
//! The list of sources is `c-driver/sources.txt`, which CMake reads too. Bare-metal targets have no C compiler of their own name, and the
//! `cc` crate would silently take the host's: so the compiler is chosen here, tried on one line of C, and its object checked.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, String>;

/// Newest first; a plain `clang` may be any version.
const CLANGS: [&str; 9] =
    ["clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-14"];

fn main() {
    if let Err(message) = build() {
        eprintln!("virtio-net-c: {message}");
        std::process::exit(1);
    }
}

fn build() -> Result<()> {
    let target = Target::read()?;
    let compiler = target.choose_compiler()?;
    let mut build = cc::Build::new();
    build.compiler(&compiler.program).cargo_metadata(true).warnings(false).std("c11").opt_level(2);
    build.include("include").include("c-driver");
    for flag in target.flags(&compiler) {
        build.flag(flag);
    }
    for source in sources()? {
        build.file(source);
    }
    println!("cargo:rerun-if-changed=c-driver");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-env-changed={}", target.cc_variable());
    println!("cargo:rerun-if-env-changed=CC");
    build.try_compile("virtio_net_c").map_err(|error| error.to_string())
}

fn sources() -> Result<Vec<PathBuf>> {
    let list =
        fs::read_to_string("c-driver/sources.txt").map_err(|error| format!("c-driver/sources.txt: {error}"))?;
    Ok(list.lines().filter(|line| !line.is_empty()).map(|line| Path::new("c-driver").join(line)).collect())
}

/// What is built for.
struct Target {
    triple: String,
    arch: String,
    bare_metal: bool,
    out: PathBuf,
}

/// A program that makes objects for the target.
struct Compiler {
    program: String,
    clang: bool,
}

impl Target {
    fn read() -> Result<Self> {
        let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
        Ok(Self {
            triple: variable("TARGET")?,
            arch: variable("CARGO_CFG_TARGET_ARCH")?,
            bare_metal: variable("CARGO_CFG_TARGET_OS")? == "none",
            out: PathBuf::from(variable("OUT_DIR")?),
        })
    }

    fn cc_variable(&self) -> String {
        format!("CC_{}", self.triple.replace('-', "_"))
    }

    /// What the user names, else what there is: clang makes objects for any target, gcc for the one in its name.
    fn candidates(&self) -> Vec<String> {
        if let Ok(named) = env::var(self.cc_variable()) {
            return vec![named];
        }
        let mut found: Vec<String> = Vec::new();
        if !self.bare_metal {
            found.extend(env::var("CC").ok());
            found.push("cc".into());
        }
        found.extend(CLANGS.iter().map(|name| (*name).into()));
        for system in ["none-elf", "unknown-elf", "linux-gnu", "elf"] {
            found.push(format!("{}-{system}-gcc", self.arch));
        }
        found
    }

    fn choose_compiler(&self) -> Result<Compiler> {
        let candidates = self.candidates();
        for program in &candidates {
            let Some(clang) = is_clang(program) else { continue };
            let compiler = Compiler { program: program.clone(), clang };
            if self.makes_objects(&compiler) {
                return Ok(compiler);
            }
        }
        Err(format!(
            "no C compiler makes objects for {triple}. Tried: {tried}.\n\
             Install clang (Debian, Ubuntu: apt-get install clang) or {arch}-…-gcc, or name one in {variable}.",
            triple = self.triple,
            tried = candidates.join(", "),
            arch = self.arch,
            variable = self.cc_variable(),
        ))
    }

    /// Compiles one line and looks at the machine in the ELF header of the object.
    fn makes_objects(&self, compiler: &Compiler) -> bool {
        let (source, object) = (self.out.join("probe.c"), self.out.join("probe.o"));
        if fs::write(&source, "#include <stdint.h>\nuint32_t probe(void) { return 1; }\n").is_err() {
            return false;
        }
        let _ = fs::remove_file(&object);
        let mut command = Command::new(&compiler.program);
        command.args(self.flags(compiler)).arg("-c").arg(&source).arg("-o").arg(&object);
        let compiled = command.output().is_ok_and(|output| output.status.success());
        compiled && (!self.bare_metal || self.elf_machine_fits(&object))
    }

    fn elf_machine_fits(&self, object: &Path) -> bool {
        let machine = match self.arch.as_str() {
            "aarch64" => 183,
            "x86_64" => 62,
            "riscv64" | "riscv32" => 243,
            _ => return true,
        };
        let bytes = fs::read(object).unwrap_or_default();
        bytes.starts_with(b"\x7fELF") && bytes.get(18..20).is_some_and(|field| field == [machine, 0])
    }

    fn flags(&self, compiler: &Compiler) -> Vec<String> {
        let mut flags: Vec<String> =
            ["-ffreestanding", "-fno-stack-protector", "-ffunction-sections", "-fdata-sections"]
                .map(String::from)
                .to_vec();
        flags.extend(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g0"].map(String::from));
        if self.bare_metal {
            if compiler.clang {
                // Without -nostdlibinc clang finds the host's <stdint.h>.
                flags.extend([format!("--target={}", self.clang_triple()), "-nostdlibinc".into()]);
            }
            flags.extend(self.machine_flags().iter().map(|flag| (*flag).to_string()));
        }
        flags
    }

    /// Clang knows no vendors of Rust's, and of RISC-V only the family.
    fn clang_triple(&self) -> String {
        match self.arch.as_str() {
            "aarch64" => "aarch64-unknown-none".into(),
            "x86_64" => "x86_64-unknown-none-elf".into(),
            "riscv64" | "riscv32" => format!("{}-unknown-none-elf", self.arch),
            _ => self.triple.clone(),
        }
    }

    /// No floating-point registers, because interrupt entries do not save them; the code model of the target.
    fn machine_flags(&self) -> &'static [&'static str] {
        match self.arch.as_str() {
            "aarch64" => &["-mgeneral-regs-only", "-mstrict-align", "-mno-outline-atomics", "-fno-pic"],
            "x86_64" => &["-mgeneral-regs-only", "-mno-red-zone", "-fPIC"],
            // The ABI must be the target's even though no floating-point register is used.
            "riscv64" if self.triple.starts_with("riscv64gc") => {
                &["-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-fno-pic"]
            }
            "riscv64" => &["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-fno-pic"],
            _ => &[],
        }
    }
}

/// Whether the program is clang; `None` where there is no such program.
fn is_clang(program: &str) -> Option<bool> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).contains("clang"))
}
