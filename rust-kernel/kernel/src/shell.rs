//! The monitor on the serial line. While it waits for a key it polls the network stack, so that the machine can be pinged.

use crate::terminal::Terminal;
use crate::{arp, block, net, netinfo, stack};
use core::net::Ipv4Addr;
use levitate_utils::command::{self, Command};
use levitate_utils::mac::Mac;
use noline::builder::EditorBuilder;
use noline::error::NolineError;

const PROMPT: &str = "levitate> ";
const LINE: usize = 128;
const HISTORY: usize = 512;
const DHCP_MS: u64 = 5000;

/// Reads and follows commands until `poweroff`.
pub fn run() {
    let (mut line, mut history) = ([0; LINE], [0; HISTORY]);
    let mut terminal = Terminal::new(PROMPT.len());
    let editor = EditorBuilder::from_slice(&mut line).with_slice_history(&mut history).build_sync(&mut terminal);
    let mut editor = match editor {
        Ok(editor) => editor,
        Err(error) => return crate::println!("Monitor: {error:?}"),
    };
    loop {
        match editor.readline(PROMPT, &mut terminal) {
            Ok(line) => match command::parse(line) {
                Ok(Some(Command::PowerOff)) => return,
                Ok(Some(command)) => follow(command),
                Ok(None) => {}
                Err(error) => crate::println!("{error}"),
            },
            // Control-C and control-D give the line up.
            Err(NolineError::Aborted) => crate::println!(),
            Err(error) => crate::println!("Monitor: {error:?}"),
        }
    }
}

fn follow(command: Command) {
    match command {
        Command::Mac => match net::mac_address() {
            Some(mac) => crate::println!("VirtIO Net: MAC={}", Mac(mac)),
            None => crate::println!("VirtIO Net: no device"),
        },
        Command::Link => netinfo::show_link(),
        Command::Stats => netinfo::show_stats(),
        Command::Arp(target) => with_target("ARP", target, |target| {
            arp::show(target);
        }),
        Command::Dhcp => {
            if net::mac_address().is_none() {
                crate::println!("VirtIO Net: no device");
            }
            stack::show_dhcp(DHCP_MS);
        }
        Command::Ping(target, count) => with_target("Ping", target, |target| {
            stack::show_ping(target, count);
        }),
        Command::Disk(sector) => {
            block::show_sector(sector);
        }
        Command::Help => crate::println!("{}", command::HELP),
        Command::PowerOff => {}
    }
}

/// Runs `f` on the address given, or on the gateway.
fn with_target(what: &str, target: Option<Ipv4Addr>, f: impl FnOnce(Ipv4Addr)) {
    match target.or_else(stack::gateway) {
        Some(target) => f(target),
        None => crate::println!("{what}: no gateway known, name an address"),
    }
}
