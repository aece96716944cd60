//! How the machine gets to us: the header of an arm64 Image, and what the device tree says, read once while the boot page
//! table still shows all of the first gigabyte of RAM.

use core::arch::global_asm;
use core::ffi::CStr;
use core::str;
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

// The kernel is an ELF; its plain binary is an arm64 Image as well, because it starts with this header (Linux,
// Documentation/arch/arm64/booting.rst). `memory.ld` puts it first, at the offset into RAM that it names.
global_asm!(
    ".section .head, \"ax\"",
    "image_head:",
    "b entry",
    ".word 0",
    ".quad 0x200000",                    // text_offset
    ".quad boot_stack_end - image_head", // image_size, with what is not in the file
    ".quad 0b0010",                      // flags: little-endian, 4 KiB pages, near the start of RAM
    ".quad 0, 0, 0",
    ".ascii \"ARM\\x64\"",
    ".word 0",
);

/// Where QEMU puts the device tree when it boots an ELF: at the start of RAM. x0 is 0 then.
const ELF_BOOT_TREE: usize = 0x4000_0000;
/// What the boot page table shows of RAM; the tree must lie in it to be read.
const READABLE: core::ops::Range<usize> = 0x4000_0000..0x8000_0000;
const MAGIC: u32 = 0xd00d_feed;
const HEADER_BYTES: usize = 40;
/// The RAM taken as given when there is no device tree: the least that `virt` has by default.
const FALLBACK_RAM: (usize, usize) = (0x4000_0000, 128 << 20);
const BOOTARGS_BYTES: usize = 512;

/// How firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// By the HVC instruction: QEMU is the firmware.
    Hvc,
    /// By the SMC instruction.
    Smc,
}

/// What the kernel needs of the device tree. It is copied out, because the heap takes the memory where the tree lies.
pub struct BootInfo {
    /// Whether a device tree was found at all.
    pub tree_found: bool,
    /// Physical address and size of RAM.
    pub ram: (usize, usize),
    /// How to call PSCI.
    pub conduit: Conduit,
    bootargs: [u8; BOOTARGS_BYTES],
}

impl BootInfo {
    /// The boot arguments; empty when there are none.
    pub fn bootargs(&self) -> &str {
        CStr::from_bytes_until_nul(&self.bootargs).ok().and_then(|text| text.to_str().ok()).unwrap_or_default()
    }

    /// Reads the device tree whose address the boot loader left in x0, or that lies where QEMU puts it.
    pub fn read(x0: u64) -> Self {
        let mut info =
            Self { tree_found: false, ram: FALLBACK_RAM, conduit: Conduit::Hvc, bootargs: [0; BOOTARGS_BYTES] };
        if let Some(tree) = tree_at(x0 as usize).or_else(|| tree_at(ELF_BOOT_TREE)) {
            info.tree_found = true;
            info.read_tree(tree);
        }
        info
    }

    fn read_tree(&mut self, tree: Fdt<'_>) {
        let region = tree.memory().ok().and_then(|memory| memory.reg().ok().flatten()?.next());
        if let Some(region) = region
            && let (Ok(base), Ok(size)) = (region.address::<u64>(), region.size::<u64>())
        {
            self.ram = (base as usize, size as usize);
        }
        if let Some(chosen) = tree.chosen()
            && let Ok(Some(text)) = chosen.bootargs()
        {
            // One byte stays 0: the text's end.
            let length = text.len().min(BOOTARGS_BYTES - 1);
            self.bootargs[..length].copy_from_slice(&text.as_bytes()[..length]);
        }
        let psci = tree.find_node("/psci");
        if let Some(method) = psci.as_ref().and_then(|node| node.property("method"))
            && method.value() == b"smc\0"
        {
            self.conduit = Conduit::Smc;
        }
    }
}

fn tree_at(address: usize) -> Option<Fdt<'static>> {
    if !address.is_multiple_of(8) || !READABLE.contains(&address) || !READABLE.contains(&(address + HEADER_BYTES)) {
        return None;
    }
    let start = address as *const u32;
    // SAFETY: the boot page table maps all of READABLE as normal memory, and nothing has been written there yet.
    let (magic, size) = unsafe { (u32::from_be(start.read()), u32::from_be(start.add(1).read())) };
    if magic != MAGIC || !READABLE.contains(&(address + size as usize)) {
        return None;
    }
    // SAFETY: the header has the right magic, the size it names is mapped, and the heap does not exist yet.
    unsafe { Fdt::from_raw(start.cast()) }.ok()
}
