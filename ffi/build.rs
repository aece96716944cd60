//! Compiles the C driver for the target that Cargo builds for.
//!
//! The list of sources is `c-driver/sources.txt`, which CMake reads too. Bare-metal targets have no C compiler of their own name,
//! and the `cc` crate would silently take the host's: so the compiler is chosen here, tried on one line of C, and its objects
//! checked.

#[path = "build/flags.rs"]
mod flags;

use flags::Target;
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
    let target = Target::read(|name| env::var(name).ok())?;
    println!("cargo:rerun-if-changed=c-driver");
    println!("cargo:rerun-if-changed=include");
    for variable in cc_variables(&target) {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let compiler = choose_compiler(&target)?;
    let (small, quick): (Vec<_>, Vec<_>) = sources()?.into_iter().partition(|source| is_small(source));
    let (vectors, quick): (Vec<_>, Vec<_>) = quick.into_iter().partition(|source| simd() && is_copy(source));
    let mut objects = compile(compiler.build(&target)?, quick)?;
    let mut build = compiler.build(&target)?;
    if !compiler.clang {
        build.opt_level_str("s");
    }
    objects.extend(compile(build, small)?);
    if simd() {
        objects.extend(compile(compiler.build_with(&target, target.vector_flags(compiler.clang)?), vectors)?);
    }
    for object in &objects {
        check_object(&target, object).map_err(|reason| format!("{}: {reason}", object.display()))?;
    }
    compiler.build(&target)?.objects(&objects).try_compile("virtio_net_c").map_err(|error| error.to_string())
}

fn sources() -> Result<Vec<PathBuf>> {
    let list =
        fs::read_to_string("c-driver/sources.txt").map_err(|error| format!("c-driver/sources.txt: {error}"))?;
    Ok(list.lines().filter(|line| !line.is_empty()).map(|line| Path::new("c-driver").join(line)).collect())
}

/// Whether no packet passes through a source. What it begins with makes clang compile it for size; gcc is told.
fn is_small(source: &Path) -> bool {
    fs::read_to_string(source).is_ok_and(|text| text.lines().any(|line| line == "VIRTIO_SMALL_BEGIN"))
}

/// Whether the kernel lets the driver copy frames by vector registers.
fn simd() -> bool {
    env::var_os("CARGO_FEATURE_SIMD").is_some()
}

/// The one source that does so.
fn is_copy(source: &Path) -> bool {
    source.ends_with("virtio/copy.c")
}

fn compile(mut build: cc::Build, sources: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    build.include("include").include("c-driver").files(sources);
    if env::var_os("CARGO_FEATURE_LOG").is_none() {
        // Nobody would read the lines, and their texts are an eighth of the C code.
        build.define("VIRTIO_NET_NO_LOG", None);
    }
    if simd() {
        build.define("VIRTIO_SIMD", "1");
    }
    build.try_compile_intermediates().map_err(|error| error.to_string())
}

/// A program that makes objects for the target.
struct Compiler {
    /// None: the one that the environment names, which the `cc` crate finds, with its arguments or a wrapper in front.
    program: Option<String>,
    clang: bool,
}

impl Compiler {
    fn plain(program: Option<&str>) -> cc::Build {
        let mut build = cc::Build::new();
        if let Some(program) = program {
            build.compiler(program);
        }
        build.cargo_metadata(true).inherit_rustflags(false).warnings(false);
        build
    }

    fn build(&self, target: &Target) -> Result<cc::Build> {
        Ok(self.build_with(target, target.flags(self.clang)?))
    }

    fn build_with(&self, target: &Target, flags: Vec<String>) -> cc::Build {
        let mut build = Self::plain(self.program.as_deref());
        build.std("c11").opt_level_str(target.level());
        if target.bare_metal {
            // Ours is the flag that says so.
            build.pic(false);
        }
        for flag in flags {
            build.flag(flag);
        }
        build
    }

    /// `None` where there is no such program.
    fn find(program: Option<&str>) -> Option<Self> {
        let clang = match program {
            Some(name) => {
                let version = Command::new(name).arg("--version").output().ok()?;
                String::from_utf8_lossy(&version.stdout).contains("clang")
            }
            None => Self::plain(None).opt_level(2).try_get_compiler().ok()?.is_like_clang(),
        };
        Some(Self { program: program.map(String::from), clang })
    }

    /// Compiles one line and looks at the object; says what was wrong.
    fn probe(&self, target: &Target) -> Result<()> {
        let out = PathBuf::from(env::var("OUT_DIR").map_err(|error| format!("OUT_DIR: {error}"))?);
        let (source, object) = (out.join("probe.c"), out.join("probe.o"));
        fs::write(&source, "#include <stdint.h>\nuint32_t probe(void);\nuint32_t probe(void) { return 1; }\n")
            .map_err(|error| format!("{}: {error}", source.display()))?;
        let _ = fs::remove_file(&object);
        let tool = self.build(target)?.try_get_compiler().map_err(|error| error.to_string())?;
        let mut command = tool.to_command();
        command.arg("-c").arg(&source).arg("-o").arg(&object);
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(text.lines().next().unwrap_or("it failed without a word").into());
        }
        check_object(target, &object)
    }
}

/// Those that the `cc` crate knows. `CC` alone names the host's compiler.
fn cc_variables(target: &Target) -> Vec<String> {
    let mut names = vec![
        format!("CC_{}", target.triple.replace('-', "_")),
        format!("CC_{}", target.triple),
        "TARGET_CC".into(),
    ];
    if !target.bare_metal {
        names.push("CC".into());
    }
    names
}

/// What the user names, else what there is: clang makes objects for any target, gcc for the one in its name, or the host's own.
fn candidates(target: &Target) -> Vec<Option<String>> {
    if cc_variables(target).iter().any(|name| env::var_os(name).is_some()) {
        return vec![None];
    }
    let mut found: Vec<String> = Vec::new();
    if !target.bare_metal {
        found.push("cc".into());
    }
    found.extend(CLANGS.iter().map(|name| (*name).into()));
    for system in ["none-elf", "unknown-elf", "linux-gnu", "elf"] {
        found.push(format!("{}-{system}-gcc", target.arch));
    }
    found.extend(["gcc".into(), "cc".into()]);
    found.into_iter().map(Some).collect()
}

fn choose_compiler(target: &Target) -> Result<Compiler> {
    // What no compiler can do is said once, and not as a complaint about each.
    target.flags(true)?;
    if simd() {
        target.vector_flags(true)?;
    }
    let (mut tried, mut reasons) = (Vec::new(), String::new());
    for program in candidates(target) {
        let name = program.as_deref().unwrap_or("the one that the environment names").to_owned();
        if let Some(compiler) = Compiler::find(program.as_deref()) {
            match compiler.probe(target) {
                Ok(()) => return Ok(compiler),
                Err(reason) => reasons += &format!("  {name}: {reason}\n"),
            }
        }
        tried.push(name);
    }
    Err(format!(
        "no C compiler makes objects for {triple}. Tried: {tried}.\n{reasons}\
         Install clang (Debian, Ubuntu: apt-get install clang) or {arch}-…-gcc, or name one in {variable}.",
        triple = target.triple,
        tried = tried.join(", "),
        arch = target.arch,
        variable = cc_variables(target)[0],
    ))
}

/// The machine in the ELF header must be the target's, and there must be machine code. Objects of other formats are the linker's
/// to judge.
fn check_object(target: &Target, object: &Path) -> Result<()> {
    let bytes = fs::read(object).map_err(|error| error.to_string())?;
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if bytes.starts_with(b"BC\xc0\xde") || contains(b".gnu.lto_") {
        return Err("it has no machine code, because of -flto (in CFLAGS?), which rustc's linker cannot use".into());
    }
    if !bytes.starts_with(b"\x7fELF") {
        return if target.bare_metal { Err("it makes no ELF objects".into()) } else { Ok(()) };
    }
    let machine: u16 = match target.arch.as_str() {
        "aarch64" => 183,
        "x86_64" => 62,
        "riscv64" | "riscv32" => 243,
        _ => return Ok(()),
    };
    match bytes.get(18..20) {
        Some(found) if found == machine.to_le_bytes() => Ok(()),
        found => Err(format!("it makes objects for machine {found:?}, not {machine} ({})", target.arch)),
    }
}
