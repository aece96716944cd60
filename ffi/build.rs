//! Compiles the C driver for the target that Cargo builds for.
//!
//! The list of sources is `c-driver/sources.txt`, which CMake reads too. Bare-metal targets have no C compiler of their own name, and the
//! `cc` crate would silently take the host's: so the compiler is chosen here, tried on one line of C, and its object checked.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, String>;

/// A plain `clang` may be any version.
const CLANGS: [&str; 10] = [
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15",
    "clang-14",
];

fn main() {
    if let Err(message) = build() {
        eprintln!("virtio-net-c: {message}");
        std::process::exit(1);
    }
}

fn build() -> Result<()> {
    let target = Target::read()?;
    let compiler = target.choose_compiler()?;
    let mut build = compiler.build();
    build.cargo_metadata(true).warnings(false).std("c11").opt_level(2);
    build.include("include").include("c-driver");
    for flag in target.flags(&compiler) {
        build.flag(flag);
    }
    for source in sources()? {
        build.file(source);
    }
    println!("cargo:rerun-if-changed=c-driver");
    println!("cargo:rerun-if-changed=include");
    for variable in target.cc_variables() {
        println!("cargo:rerun-if-env-changed={variable}");
    }
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
    /// None: the one that the environment names, which the `cc` crate finds, with its arguments or a wrapper in front.
    program: Option<String>,
    clang: bool,
}

impl Compiler {
    fn build(&self) -> cc::Build {
        let mut build = cc::Build::new();
        if let Some(program) = &self.program {
            build.compiler(program);
        }
        build
    }

    /// `None` where there is no such program.
    fn find(program: Option<&str>) -> Option<Self> {
        let mut compiler = Self { program: program.map(String::from), clang: false };
        match program {
            Some(program) => {
                let version = Command::new(program).arg("--version").output().ok()?;
                compiler.clang = String::from_utf8_lossy(&version.stdout).contains("clang");
            }
            None => compiler.clang = compiler.build().opt_level(2).try_get_compiler().ok()?.is_like_clang(),
        }
        Some(compiler)
    }

    fn command(&self) -> Command {
        match &self.program {
            Some(program) => Command::new(program),
            None => self.build().opt_level(2).get_compiler().to_command(),
        }
    }
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

    /// Those that the `cc` crate knows. `CC` alone names the host's compiler.
    fn cc_variables(&self) -> Vec<String> {
        let mut names = vec![
            format!("CC_{}", self.triple.replace('-', "_")),
            format!("CC_{}", self.triple),
            "TARGET_CC".into(),
        ];
        if !self.bare_metal {
            names.push("CC".into());
        }
        names
    }

    /// What the user names, else what there is: clang makes objects for any target, gcc for the one in its name, or the host's own.
    fn candidates(&self) -> Vec<Option<String>> {
        if self.cc_variables().iter().any(|name| env::var_os(name).is_some()) {
            return vec![None];
        }
        let mut found: Vec<String> = Vec::new();
        if !self.bare_metal {
            found.push("cc".into());
        }
        found.extend(CLANGS.iter().map(|name| (*name).into()));
        for system in ["none-elf", "unknown-elf", "linux-gnu", "elf"] {
            found.push(format!("{}-{system}-gcc", self.arch));
        }
        found.extend(["gcc".into(), "cc".into()]);
        found.into_iter().map(Some).collect()
    }

    fn choose_compiler(&self) -> Result<Compiler> {
        let candidates = self.candidates();
        for program in &candidates {
            let Some(compiler) = Compiler::find(program.as_deref()) else { continue };
            if self.makes_objects(&compiler) {
                return Ok(compiler);
            }
        }
        let tried: Vec<&str> =
            candidates.iter().map(|name| name.as_deref().unwrap_or("the one in the environment")).collect();
        Err(format!(
            "no C compiler makes objects for {triple}. Tried: {tried}.\n\
             Install clang (Debian, Ubuntu: apt-get install clang) or {arch}-…-gcc, or name one in {variable}.",
            triple = self.triple,
            tried = tried.join(", "),
            arch = self.arch,
            variable = self.cc_variables()[0],
        ))
    }

    /// Compiles one line and looks at the machine in the ELF header of the object.
    fn makes_objects(&self, compiler: &Compiler) -> bool {
        let (source, object) = (self.out.join("probe.c"), self.out.join("probe.o"));
        if fs::write(&source, "#include <stdint.h>\nuint32_t probe(void) { return 1; }\n").is_err() {
            return false;
        }
        let _ = fs::remove_file(&object);
        let mut command = compiler.command();
        command.args(self.flags(compiler)).arg("-c").arg(&source).arg("-o").arg(&object);
        let compiled = command.output().is_ok_and(|output| output.status.success());
        compiled && self.elf_machine_fits(&object)
    }

    /// Objects of other formats are the linker's to judge.
    fn elf_machine_fits(&self, object: &Path) -> bool {
        let machine = match self.arch.as_str() {
            "aarch64" => 183,
            "x86_64" => 62,
            "riscv64" | "riscv32" => 243,
            _ => return true,
        };
        let bytes = fs::read(object).unwrap_or_default();
        let elf = bytes.starts_with(b"\x7fELF");
        if elf { bytes.get(18..20) == Some(&[machine, 0][..]) } else { !self.bare_metal }
    }

    fn flags(&self, compiler: &Compiler) -> Vec<String> {
        let mut flags: Vec<String> =
            ["-ffreestanding", "-fno-stack-protector", "-ffunction-sections", "-fdata-sections"]
                .map(String::from)
                .to_vec();
        flags.extend(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g0"].map(String::from));
        // Storage has the caller's type and DMA memory none; both are reached as the driver's own types.
        flags.push("-fno-strict-aliasing".into());
        if self.bare_metal {
            if compiler.clang {
                // Without -nostdlibinc clang finds the host's <stdint.h>.
                flags.extend([format!("--target={}", self.clang_triple()), "-nostdlibinc".into()]);
            }
            flags.extend(self.machine_flags());
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
    fn machine_flags(&self) -> Vec<String> {
        let flags: &[&str] = match self.arch.as_str() {
            "aarch64" => &["-mgeneral-regs-only", "-mstrict-align", "-mno-outline-atomics", "-fno-pic"],
            "x86_64" => &["-mgeneral-regs-only", "-mno-red-zone", "-fPIC"],
            "riscv32" | "riscv64" => return self.riscv_flags(),
            _ => &[],
        };
        flags.iter().map(|flag| (*flag).into()).collect()
    }

    /// The first part of the triple names the extensions, and they the ABI: it must be the target's though no floating-point register is used.
    fn riscv_flags(&self) -> Vec<String> {
        let extensions = self.triple.split('-').next().unwrap_or_default().trim_start_matches("riscv");
        let integers = if self.arch == "riscv64" { "lp64" } else { "ilp32" };
        let floats = if extensions.contains('g') || extensions.contains('d') { "d" } else { "" };
        vec![
            format!("-march=rv{extensions}"),
            format!("-mabi={integers}{floats}"),
            "-mcmodel=medany".into(),
            "-fno-pic".into(),
        ]
    }
}
