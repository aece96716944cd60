//! The address space.
//!
//! | virtual | physical | what | how |
//! |---|---|---|---|
//! | 0x4020_0000 … | the same | the kernel's image: code, constants, data, boot stack | normal write-back; code read-only, all else no-execute |
//! | `OFFSET` + RAM behind the image | RAM | the heap, and with it all memory for DMA | normal write-back, no-execute |
//! | `OFFSET` + 0x0900_0000, 0x0a00_0000 | devices | UART, virtio-mmio | Device-nGnRE, no-execute |
//!
//! Nothing else is mapped. A device (physical) address used as a pointer therefore faults, and so does a pointer given to
//! a device: the two differ wherever a driver allocates. The lowest part of the boot stack is left out, too, so that
//! running out of stack faults.
//!
//! The image alone stays at its physical address: the boot code runs there before the MMU is on, and the crate that
//! brings it links code, stack and page tables at one address for both times. Statics and the boot stack are in the image,
//! so a buffer that is shared with a device may lie in either part, and [`to_physical`] translates both.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ReadWriteable, TCR_EL1};
use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, PageTable, Translation, VaRange};
use aarch64_rt::{DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR, InitialPagetable, initial_pagetable};
use core::cell::UnsafeCell;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Virtual minus physical address, for all but the image. LevitateOS has its upper half here too.
const OFFSET: usize = 0xffff_8000_0000_0000;
/// The size of a page.
pub const PAGE: usize = 4096;
/// Left unmapped below the boot stack: more than any one function's variables take.
const STACK_GUARD: usize = 4 * PAGE;

/// Physical address of the PL011 UART of QEMU's `virt` board.
pub const UART: usize = 0x0900_0000;
/// Physical addresses of the virtio-mmio slots of QEMU's `virt` board.
pub const VIRTIO_MMIO: Range<usize> = 0x0a00_0000..0x0a00_4000;

// The boot crate's MAIR_EL1 has Device-nGnRE at index 0 and normal write-back, read and write allocate at index 1.
const DEVICE: El1Attributes = El1Attributes::ATTRIBUTE_INDEX_0
    .union(El1Attributes::VALID)
    .union(El1Attributes::ACCESSED)
    .union(El1Attributes::PXN)
    .union(El1Attributes::UXN);
const NORMAL: El1Attributes = El1Attributes::ATTRIBUTE_INDEX_1
    .union(El1Attributes::VALID)
    .union(El1Attributes::ACCESSED)
    .union(El1Attributes::INNER_SHAREABLE)
    .union(El1Attributes::UXN);
// The lower half is entered by an ASID, so that no translation of the boot page table outlives it.
const CODE: El1Attributes = NORMAL.union(El1Attributes::READ_ONLY).union(El1Attributes::NON_GLOBAL);
const CONSTANTS: El1Attributes = CODE.union(El1Attributes::PXN);
const DATA: El1Attributes = NORMAL.union(El1Attributes::PXN).union(El1Attributes::NON_GLOBAL);
const HEAP: El1Attributes = NORMAL.union(El1Attributes::PXN);

const LOWER_ASID: usize = 1;
/// 39-bit addresses in the lower half, as the boot crate sets TCR_EL1.
const LOWER_LEVEL: usize = 1;
/// 48-bit addresses in the upper half.
const UPPER_LEVEL: usize = 0;

// Until the device tree is read, all of the first gigabyte of RAM must be visible, and the UART for a panic.
initial_pagetable!(
    {
        let mut table = [0; 512];
        table[0] = DEVICE.union(El1Attributes::NON_GLOBAL).bits();
        table[1] = NORMAL.union(El1Attributes::NON_GLOBAL).bits() | 0x4000_0000;
        InitialPagetable(table)
    },
    DEFAULT_MAIR,
    DEFAULT_SCTLR,
    DEFAULT_TCR
);

// Bounds of the image's parts, from the linker script of the boot crate. Only the addresses mean something.
unsafe extern "C" {
    static text_begin: u8;
    static text_end: u8;
    static rodata_begin: u8;
    static rodata_end: u8;
    static data_begin: u8;
    static boot_stack_begin: u8;
    static boot_stack_end: u8;
}

fn address(symbol: *const u8) -> usize {
    symbol as usize
}

/// The addresses of the kernel's image, the same as virtual and as physical ones.
fn image() -> Range<usize> {
    address(&raw const text_begin)..address(&raw const boot_stack_end)
}

/// The physical address of memory that the kernel has: heap or image. `None` for a pointer to anything else.
pub fn to_physical(pointer: *const u8) -> Option<usize> {
    let virtual_address = pointer as usize;
    if virtual_address >= OFFSET {
        Some(virtual_address - OFFSET)
    } else if image().contains(&virtual_address) {
        Some(virtual_address)
    } else {
        None
    }
}

/// The pointer to a physical address of a device or of heap memory.
pub fn to_virtual(physical: usize) -> *mut u8 {
    (OFFSET + physical) as *mut u8
}

/// Builds the page tables, switches to them and returns the pointer to and size of the RAM that is left for the heap.
pub fn init(ram: (usize, usize)) -> (*mut u8, usize) {
    let free = image().end.next_multiple_of(PAGE)..(ram.0 + ram.1) & !(PAGE - 1);
    assert!(free.start < free.end, "RAM ends before the kernel");

    let mut lower = Mapping::with_asid_and_va_range(ImageTables, LOWER_ASID, LOWER_LEVEL, El1And0, VaRange::Lower);
    let (text, rodata) = (&raw const text_begin, &raw const rodata_begin);
    map(&mut lower, address(text)..address(&raw const text_end), 0, CODE);
    map(&mut lower, address(rodata)..address(&raw const rodata_end), 0, CONSTANTS);
    let (data, stack) = (address(&raw const data_begin), address(&raw const boot_stack_begin));
    map(&mut lower, data..stack, 0, DATA);
    map(&mut lower, stack + STACK_GUARD..image().end, 0, DATA);

    let mut upper = Mapping::with_asid_and_va_range(ImageTables, 0, UPPER_LEVEL, El1And0, VaRange::Upper);
    map(&mut upper, UART..UART + PAGE, OFFSET, DEVICE);
    map(&mut upper, VIRTIO_MMIO, OFFSET, DEVICE);
    map(&mut upper, free.clone(), OFFSET, HEAP);

    // SAFETY: everything in use now (code, constants, data, stack) is mapped by `lower` at the address it has, and both
    // mappings are kept for ever.
    unsafe {
        upper.activate();
        enable_upper_half();
        lower.activate();
    }
    core::mem::forget((lower, upper));
    (to_virtual(free.start), free.end - free.start)
}

fn map(mapping: &mut Mapping<ImageTables, El1And0>, physical: Range<usize>, offset: usize, how: El1Attributes) {
    let start = physical.start & !(PAGE - 1);
    let end = physical.end.next_multiple_of(PAGE);
    let region = MemoryRegion::new(start.wrapping_add(offset), end.wrapping_add(offset));
    let mapped = mapping.map_range(&region, PhysicalAddress(start), how, Constraints::empty());
    assert!(mapped.is_ok(), "cannot map {region}");
}

/// The boot crate leaves walks through TTBR1_EL1 off.
fn enable_upper_half() {
    TCR_EL1.modify(
        TCR_EL1::T1SZ.val(16)
            + TCR_EL1::TG1::KiB_4
            + TCR_EL1::SH1::Inner
            + TCR_EL1::ORGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::IRGN1::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::EPD1::EnableTTBR1Walks,
    );
    barrier::isb(barrier::SY);
}

type Table = PageTable<El1Attributes>;

/// Page tables come from the image, which is mapped one to one before and after the switch, and never go back.
const TABLES: usize = 32;

struct Tables(UnsafeCell<[Table; TABLES]>);

// SAFETY: each table is handed out once, by `ImageTables::allocate_table`.
unsafe impl Sync for Tables {}

static TABLE_POOL: Tables = Tables(UnsafeCell::new([Table::EMPTY; TABLES]));
static TABLES_USED: AtomicUsize = AtomicUsize::new(0);

struct ImageTables;

impl Translation<El1Attributes> for ImageTables {
    fn allocate_table(&mut self) -> (NonNull<Table>, PhysicalAddress) {
        let index = TABLES_USED.fetch_add(1, Ordering::Relaxed);
        assert!(index < TABLES, "out of page tables");
        // SAFETY: the index is in range and has not been handed out before; no reference is made.
        let table = unsafe { NonNull::new_unchecked(TABLE_POOL.0.get().cast::<Table>().add(index)) };
        (table, PhysicalAddress(table.as_ptr() as usize))
    }

    unsafe fn deallocate_table(&mut self, _: NonNull<Table>) {}

    fn physical_to_virtual(&self, physical: PhysicalAddress) -> NonNull<Table> {
        let index = (physical.0 - TABLE_POOL.0.get() as usize) / size_of::<Table>();
        assert!(index < TABLES, "not one of our page tables");
        // SAFETY: the index was just checked.
        unsafe { NonNull::new_unchecked(TABLE_POOL.0.get().cast::<Table>().add(index)) }
    }
}
