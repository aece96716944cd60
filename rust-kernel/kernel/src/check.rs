//! The scripted boot: tries all that the kernel is for and says whether it worked, so that a test can read one line.

use crate::{arp, block, net, stack};
use alloc::vec::Vec;

const DHCP_MS: u64 = 10_000;

/// Runs the check and prints its outcome.
pub fn run() {
    let mut failed = Vec::new();
    if net::mac_address().is_none() {
        failed.push("no network device");
    } else {
        network(&mut failed);
    }
    if !block::show_sector(0) {
        failed.push("disk not read");
    }
    if failed.is_empty() {
        crate::println!("CHECK: ok");
    } else {
        crate::println!("CHECK: failed: {}", failed.join(", "));
    }
}

/// DHCP comes first, because only the lease tells which gateway to ask for.
fn network(failed: &mut Vec<&str>) {
    stack::init();
    if !stack::show_dhcp(DHCP_MS) {
        failed.push("no lease");
        return;
    }
    let Some(gateway) = stack::gateway() else {
        failed.push("no gateway");
        return;
    };
    if !arp::show(gateway) {
        failed.push("no ARP answer");
    }
    if !stack::show_ping(gateway, 1) {
        failed.push("no ping answer");
    }
}
