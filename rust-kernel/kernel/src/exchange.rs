//! The frame exchange: as many frames as the driver takes go both ways at once, and every byte that arrives is checked. A
//! test peer at the other end of a QEMU socket does the same.
//!
//! Frame `i` of a direction (from 0; direction 1 is kernel to peer, 2 peer to kernel) is, with seed `S`:
//!
//! | bytes | content |
//! |---|---|
//! | 0..6 | destination: the peer's address 02:00:00:00:00:01; from the peer the kernel's address or broadcast |
//! | 6..12 | source: the kernel's address or the peer's |
//! | 12..14 | ethertype 0x88b5, big-endian |
//! | 14..18 | `i`, big-endian |
//! | 18..length | byte `k` is `((m >> (8 * (k % 8))) + k) & 0xff` |
//!
//! where `m = splitmix64(S ^ direction ^ i)` and `length = 60 + m % 1455`. splitmix64(x), all modulo 2^64, is:
//! `z = x + 0x9e3779b97f4a7c15; z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9; z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
//! z ^ (z >> 31)`. The code for this is `levitate_utils::frames`.
//!
//! First the kernel sends a frame of 60 bytes with ethertype 0x88b6 and its address as payload (bytes 14..20), to the
//! peer, every 200 ms until the first frame of direction 2 arrives. Then both directions run. It ends when all frames have
//! left the device and all have arrived, or when for 60 s neither direction moved. A peer that is slow to read holds the
//! device's last frames up, for longer than the driver's own end would wait for them.

use crate::net::{self, NetDevice};
use levitate_hal::time::Deadline;
use levitate_utils::frames::{self, Direction, Verdict};
use levitate_utils::tally::Tally;

const READY_INTERVAL_MS: u64 = 200;
const STALL_LIMIT_MS: u64 = 60_000;
/// Frames sent before the receive side is looked at again: half of what the ring holds, so that both sides stay busy.
const BURST: usize = net::QUEUE_SIZE / 2;

struct Exchange {
    mac: [u8; 6],
    seed: u64,
    frames: u32,
    sent: u32,
    tally: Tally,
    /// The peer has sent its first frame.
    peer_seen: bool,
    ready_again: Deadline,
}

/// Runs the exchange and prints its outcome.
pub fn run(frames: u32, seed: u64) {
    let Some(mac) = net::mac_address() else {
        crate::println!("Exchange: no network device");
        return;
    };
    let ready_again = Deadline::after_ms(0);
    let tally = Tally::new(frames);
    let mut exchange = Exchange { mac, seed, frames, sent: 0, tally, peer_seen: false, ready_again };
    let mut stall = Deadline::after_ms(STALL_LIMIT_MS);
    let mut in_flight = 0;
    while (!exchange.complete() || in_flight != 0) && !stall.passed() {
        // One call keeps the device for sends and receives alike.
        let step = |device: &mut NetDevice| (exchange.step(device), device.tx_in_flight());
        let Some((moved, left)) = net::with_device(step) else { break };
        if moved || left < in_flight {
            stall = Deadline::after_ms(STALL_LIMIT_MS);
        }
        in_flight = left;
    }
    let Exchange { sent, tally, .. } = exchange;
    crate::println!(
        "Exchange: sent {sent} received {} lost {} duplicate {} corrupt {} out-of-order {}",
        tally.received,
        tally.lost(),
        tally.duplicate,
        tally.corrupt,
        tally.out_of_order
    );
}

impl Exchange {
    fn complete(&self) -> bool {
        self.sent == self.frames && self.tally.complete()
    }

    /// Sends and receives what goes without waiting. True when a frame of the exchange moved.
    fn step(&mut self, device: &mut NetDevice) -> bool {
        let received = self.receive(device);
        if self.peer_seen {
            return self.send(device) || received;
        }
        if self.ready_again.passed() {
            send_frame(device, frames::MIN_LENGTH, |frame| frame.copy_from_slice(&frames::ready(self.mac)));
            self.ready_again = Deadline::after_ms(READY_INTERVAL_MS);
        }
        received
    }

    fn receive(&mut self, device: &mut NetDevice) -> bool {
        let mut moved = false;
        for _ in 0..net::QUEUE_SIZE {
            let Ok(buffer) = device.receive() else {
                break;
            };
            let verdict = frames::check(buffer.packet(), self.mac, self.seed, self.frames);
            // The driver takes back what it gave.
            let _ = device.recycle_rx_buffer(buffer);
            self.tally.record(verdict);
            moved |= verdict != Verdict::Foreign;
        }
        self.peer_seen |= moved;
        moved
    }

    fn send(&mut self, device: &mut NetDevice) -> bool {
        let mut moved = false;
        for _ in 0..BURST {
            if self.sent == self.frames {
                break;
            }
            let (seed, index, source) = (self.seed, self.sent, self.mac);
            let length = frames::length(seed, Direction::ToPeer, index);
            let sent = send_frame(device, length, |frame| {
                frames::fill(frame, frames::PEER, source, seed, Direction::ToPeer, index);
            });
            if !sent {
                break;
            }
            self.sent += 1;
            moved = true;
        }
        moved
    }
}

fn send_frame(device: &mut NetDevice, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
    if !device.can_send() {
        return false;
    }
    let mut buffer = device.new_tx_buffer(length);
    fill(buffer.packet_mut());
    device.send(buffer).is_ok()
}
