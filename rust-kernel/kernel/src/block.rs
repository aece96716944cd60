//! The disk: one virtio-blk device on the Rust driver of `virtio-drivers`, beside the C driver of the NIC.

use crate::virtio::{StaticMmioTransport, VirtioHal};
use alloc::boxed::Box;
use levitate_hal::time::Deadline;
use levitate_utils::Spinlock;
use virtio_drivers::device::blk::{BlkReq, BlkResp, SECTOR_SIZE, VirtIOBlk};

/// How long a disk may take for one sector.
const READ_LIMIT_MS: u64 = 3000;

struct Disk {
    driver: VirtIOBlk<VirtioHal, StaticMmioTransport>,
    /// A request never came back, so its buffers are the device's for ever, and so is its place in the queue.
    dead: bool,
}

static DISK: Spinlock<Option<Disk>> = Spinlock::new(None);

/// What a request lends to the device until it is answered. On the heap, so that it can be left behind.
#[derive(Default)]
struct Request {
    header: BlkReq,
    data: Sector,
    response: BlkResp,
}

/// One sector.
pub struct Sector(pub [u8; SECTOR_SIZE]);

impl Default for Sector {
    fn default() -> Self {
        Self([0; SECTOR_SIZE])
    }
}

/// Why a sector could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// There is no disk.
    NoDevice,
    /// The disk has fewer sectors.
    BeyondEnd,
    /// The disk did not answer in time, now or before.
    NoAnswer,
    /// The disk answered with an error.
    Failed(virtio_drivers::Error),
}

impl core::fmt::Display for DiskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no device"),
            Self::BeyondEnd => f.write_str("beyond the end of the disk"),
            Self::NoAnswer => f.write_str("the disk does not answer"),
            Self::Failed(error) => write!(f, "read failed: {error}"),
        }
    }
}

/// Starts the driver on the disk behind `transport`.
pub fn init(transport: StaticMmioTransport) {
    match VirtIOBlk::new(transport) {
        Ok(driver) => {
            crate::println!("VirtIO Blk: {} sectors", driver.capacity());
            *DISK.lock() = Some(Disk { driver, dead: false });
        }
        Err(error) => crate::println!("Failed to init VirtIO Blk: {error}"),
    }
}

/// The disk's size in sectors, or `None` when there is no disk.
pub fn capacity() -> Option<u64> {
    DISK.lock().as_ref().map(|disk| disk.driver.capacity())
}

/// Reads one sector.
pub fn read(sector: u64) -> Result<Sector, DiskError> {
    DISK.lock().as_mut().ok_or(DiskError::NoDevice)?.read(sector)
}

impl Disk {
    fn read(&mut self, sector: u64) -> Result<Sector, DiskError> {
        if self.dead {
            return Err(DiskError::NoAnswer);
        }
        if sector >= self.driver.capacity() {
            return Err(DiskError::BeyondEnd);
        }
        let mut request = Box::<Request>::default();
        let Request { header, data, response } = &mut *request;
        // SAFETY: the request lives on the heap until it is completed below, and is leaked if that never happens.
        let token = unsafe { self.driver.read_blocks_nb(sector as usize, header, &mut data.0, response) };
        let token = token.map_err(DiskError::Failed)?;
        // The driver's own blocking call would wait for a dead disk for ever.
        let limit = Deadline::after_ms(READ_LIMIT_MS);
        while self.driver.peek_used() != Some(token) {
            if limit.passed() {
                self.dead = true;
                Box::leak(request);
                return Err(DiskError::NoAnswer);
            }
            core::hint::spin_loop();
        }
        // SAFETY: the device is done with the buffers that were given with this token.
        let result = unsafe { self.driver.complete_read_blocks(token, header, &mut data.0, response) };
        result.map(|()| request.data).map_err(DiskError::Failed)
    }
}

/// Reads a sector and prints its first 32 bytes, or why it cannot be read.
pub fn show_sector(sector: u64) -> bool {
    match read(sector) {
        Ok(Sector(bytes)) => {
            crate::println!("Disk: sector {sector}: {}", Hex(&bytes[..32]));
            true
        }
        Err(error) => {
            crate::println!("Disk: sector {sector}: {error}");
            false
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
