//! A stranger's kernel crate: pinned to one version of virtio-drivers, without a lock file, and again after `cargo update`.
//!
//! It asks the registry for the newest of everything, so it is left out of a plain `cargo test`; `./run.sh test rust` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Only what the original's user writes, with the one changed `use`. With `three` it asks for a queue that cannot be.
const MAIN: &str = r#"
use std::ptr::NonNull;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::{BufferDirection, Error, Hal, PhysAddr, Result};
use virtio_net_c::VirtIONet;

struct Kernel;

unsafe impl Hal for Kernel {
    fn dma_alloc(_: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        (0, NonNull::dangling())
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }
    unsafe fn share(_: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        0
    }
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

const QUEUE: usize = if cfg!(feature = "three") { 3 } else { 16 };

fn send(transport: MmioTransport<'static>) -> Result<[u8; 6]> {
    let mut net = VirtIONet::<Kernel, MmioTransport<'static>, QUEUE>::new(transport, 2048)?;
    net.send(net.new_tx_buffer(60))?;
    match net.receive() {
        Ok(frame) => net.recycle_rx_buffer(frame)?,
        Err(Error::NotReady) => {}
        Err(error) => return Err(error),
    }
    Ok(net.mac_address())
}

fn main() {
    println!("{:?}", send as fn(_) -> _);
}
"#;

struct Consumer {
    folder: PathBuf,
    target: PathBuf,
}

impl Consumer {
    /// A crate of its own, outside of the workspace.
    fn new(name: &str, virtio_drivers: &str, options: &str) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumers");
        let folder = target.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("src")).unwrap();
        let ours = env!("CARGO_MANIFEST_DIR");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[features]\nthree = []\n\n\
             [dependencies]\n\
             virtio-drivers = {{ version = \"{virtio_drivers}\", default-features = false, features = [\"alloc\"] }}\n\
             virtio-net-c = {{ path = {ours:?}{options} }}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src/main.rs"), MAIN).unwrap();
        Self { folder, target: target.join("target") }
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        command.output().unwrap()
    }

    #[track_caller]
    fn must(&self, arguments: &[&str]) {
        let output = self.cargo(arguments);
        assert!(output.status.success(), "cargo {arguments:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Versions of virtio-drivers in the lock file.
    fn locked(&self) -> Vec<String> {
        let lock = fs::read_to_string(self.folder.join("Cargo.lock")).unwrap();
        let after = |rest: &str| rest.split('"').nth(1).unwrap().to_owned();
        lock.split("name = \"virtio-drivers\"\n").skip(1).map(after).collect()
    }
}

/// One copy of virtio-drivers, the kernel's own, whatever is the newest: with two, the traits of one would not be those of the
/// other.
#[test]
#[ignore = "asks the registry for the newest versions"]
fn a_kernel_pinned_to_either_version_builds() {
    let cases = [
        ("pinned-0-12", "=0.12.0", ""),
        ("pinned-0-13", "=0.13.0", ", default-features = false, features = [\"alloc\", \"virtio-drivers-0_13\"]"),
    ];
    for (name, version, options) in cases {
        let consumer = Consumer::new(name, version, options);
        consumer.must(&["generate-lockfile"]);
        assert_eq!(consumer.locked(), [&version[1..]]);
        consumer.must(&["build"]);
        consumer.must(&["update"]);
        assert_eq!(consumer.locked(), [&version[1..]]);
        consumer.must(&["build"]);
    }
}

/// As the original does, ours refuses to compile a queue that cannot be.
#[test]
#[ignore = "asks the registry for the newest versions"]
fn a_queue_that_cannot_be_does_not_compile() {
    let consumer = Consumer::new("three", "=0.12.0", "");
    let output = consumer.cargo(&["build", "--features", "three"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("QUEUE_SIZE is a power of two"), "{said}");
}
