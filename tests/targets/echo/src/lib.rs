//! What a kernel does with the card: sends back each frame that it receives, to where it came from.
//!
//! The crate forbids what strict kernels forbid, so it also shows that the driver can be used so.
#![no_std]
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations)]
#![deny(clippy::all, clippy::pedantic)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(not(any(feature = "own", feature = "drop-in", feature = "original")), allow(dead_code))]

use core::fmt::Write;

/// Frames of this ethertype end the echo. It is one of the two for local experiments.
const END: [u8; 2] = [0x88, 0xb6];

/// Entries of each queue.
pub const QUEUE_SIZE: usize = 16;

/// What went wrong, in the words of the driver.
#[derive(Debug)]
pub enum Trouble {
    /// An error of virtio-drivers.
    Device(virtio_drivers::Error),
    /// A code of the driver's own.
    Code(i32),
    /// The console took no more.
    Console,
}

impl From<core::fmt::Error> for Trouble {
    fn from(_: core::fmt::Error) -> Self {
        Self::Console
    }
}

/// A card as the echo uses it.
pub trait Card {
    /// The card's address.
    fn mac(&self) -> [u8; 6];

    /// Copies the next frame to the buffer and returns its bytes; nothing where none waits.
    ///
    /// # Errors
    /// What the driver says, as for [`Card::put`].
    fn get<'a>(&mut self, buffer: &'a mut [u8; 1514]) -> Result<Option<&'a mut [u8]>, Trouble>;

    /// Sends a frame, and waits for room where there is none.
    ///
    /// # Errors
    /// What the driver says.
    fn put(&mut self, frame: &[u8]) -> Result<(), Trouble>;
}

/// Answers frames until one says that it is enough.
///
/// # Errors
/// The first one of the driver.
pub fn serve(mut card: impl Card, console: &mut impl Write) -> Result<(), Trouble> {
    let mac = card.mac();
    let [first, others @ ..] = mac;
    write!(console, "MAC={first:02x}")?;
    for byte in others {
        write!(console, ":{byte:02x}")?;
    }
    writeln!(console)?;
    let mut buffer = [0; 1514];
    let mut count: u32 = 0;
    loop {
        let Some(frame) = card.get(&mut buffer)? else {
            core::hint::spin_loop();
            continue;
        };
        let Some((header, _)) = frame.split_first_chunk_mut::<14>() else { continue };
        let (addresses, ethertype) = header.split_at_mut(12);
        if ethertype == END {
            writeln!(console, "echoed {count}")?;
            return Ok(());
        }
        let (destination, source) = addresses.split_at_mut(6);
        destination.copy_from_slice(source);
        source.copy_from_slice(&mac);
        card.put(frame)?;
        count = count.wrapping_add(1);
    }
}

#[cfg(feature = "own")]
mod own {
    use super::{Card, QUEUE_SIZE, Trouble};
    use virtio_drivers::Hal;
    use virtio_net_c::{Mmio, NetDevice, sys};

    impl<H: Hal> Card for NetDevice<H, Mmio, QUEUE_SIZE, QUEUE_SIZE> {
        fn mac(&self) -> [u8; 6] {
            self.mac_address()
        }

        fn get<'a>(&mut self, buffer: &'a mut [u8; 1514]) -> Result<Option<&'a mut [u8]>, Trouble> {
            let length = self.receive(buffer).map_err(|error| Trouble::Code(error.code()))?;
            Ok(length.and_then(|length| buffer.get_mut(..length)))
        }

        fn put(&mut self, frame: &[u8]) -> Result<(), Trouble> {
            while let Err(error) = self.send(frame) {
                if error.code() != sys::VIRTIO_NET_ERROR_QUEUE_FULL {
                    return Err(Trouble::Code(error.code()));
                }
            }
            Ok(())
        }
    }
}

#[cfg(any(feature = "drop-in", feature = "original"))]
mod drop_in {
    use super::{Card, QUEUE_SIZE, Trouble};
    use virtio_drivers::transport::Transport;
    use virtio_drivers::{Error, Hal};

    // The one line that a kernel changes.
    #[cfg(feature = "original")]
    use virtio_drivers::device::net::{TxBuffer, VirtIONet};
    #[cfg(feature = "drop-in")]
    use virtio_net_c::{TxBuffer, VirtIONet};

    impl<H: Hal, T: Transport> Card for VirtIONet<H, T, QUEUE_SIZE> {
        fn mac(&self) -> [u8; 6] {
            self.mac_address()
        }

        fn get<'a>(&mut self, buffer: &'a mut [u8; 1514]) -> Result<Option<&'a mut [u8]>, Trouble> {
            let received = match self.receive() {
                Err(Error::NotReady) => return Ok(None),
                received => received.map_err(Trouble::Device)?,
            };
            let length = received.packet_len();
            if let Some(place) = buffer.get_mut(..length) {
                place.copy_from_slice(received.packet());
            }
            self.recycle_rx_buffer(received).map_err(Trouble::Device)?;
            Ok(buffer.get_mut(..length))
        }

        fn put(&mut self, frame: &[u8]) -> Result<(), Trouble> {
            self.send(TxBuffer::from(frame)).map_err(Trouble::Device)
        }
    }
}
