//! The lines typed at the serial monitor, read into commands.

use core::net::Ipv4Addr;

/// The most pings one command sends.
pub const MAX_PINGS: u16 = 100;
const DEFAULT_PINGS: u16 = 3;

/// One command of the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show the NIC's address.
    Mac,
    /// Show the NIC's link state.
    Link,
    /// Show the NIC driver's counters.
    Stats,
    /// Ask who has an address; the gateway's when none is given.
    Arp(Option<Ipv4Addr>),
    /// Ask for a new lease.
    Dhcp,
    /// Send echo requests; to the gateway when no address is given.
    Ping(Option<Ipv4Addr>, u16),
    /// Show the start of a sector.
    Disk(u64),
    /// List the commands.
    Help,
    /// Turn the machine off.
    PowerOff,
}

/// What `help` prints.
pub const HELP: &str = "\
mac                   the NIC's address
link                  the NIC's link state
stats                 the NIC driver's counters
arp [ip]              ask who has the address (the gateway's)
dhcp                  ask for a new lease
ping [ip [count]]     send echo requests (to the gateway)
disk [sector]         show the start of a sector
help                  this list
poweroff              turn the machine off";

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'a> {
    /// The first word is not a command.
    Unknown(&'a str),
    /// This word does not fit the command.
    BadArgument(&'a str),
}

impl core::fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown command '{word}', try 'help'"),
            Self::BadArgument(word) => write!(f, "bad argument '{word}', try 'help'"),
        }
    }
}

/// Reads one line; `None` is an empty line.
pub fn parse(line: &str) -> Result<Option<Command>, CommandError<'_>> {
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    let command = match name {
        "mac" => Command::Mac,
        "link" => Command::Link,
        "stats" => Command::Stats,
        "arp" => Command::Arp(argument(&mut words)?),
        "dhcp" => Command::Dhcp,
        "ping" => ping(&mut words)?,
        "disk" => Command::Disk(argument(&mut words)?.unwrap_or(0)),
        "help" => Command::Help,
        "poweroff" => Command::PowerOff,
        _ => return Err(CommandError::Unknown(name)),
    };
    match words.next() {
        Some(extra) => Err(CommandError::BadArgument(extra)),
        None => Ok(Some(command)),
    }
}

fn ping<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Command, CommandError<'a>> {
    let address = argument(words)?;
    let Some(word) = words.next() else {
        return Ok(Command::Ping(address, DEFAULT_PINGS));
    };
    match word.parse() {
        Ok(count) if (1..=MAX_PINGS).contains(&count) => Ok(Command::Ping(address, count)),
        _ => Err(CommandError::BadArgument(word)),
    }
}

/// The next word as a value, or `None` when the line is at its end.
fn argument<'a, T: core::str::FromStr>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<Option<T>, CommandError<'a>> {
    match words.next() {
        Some(word) => word.parse().map(Some).map_err(|_| CommandError::BadArgument(word)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    #[test]
    fn empty_lines_are_no_commands() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse(" \t "), Ok(None));
    }

    #[test]
    fn commands_without_arguments() {
        assert_eq!(parse("mac"), Ok(Some(Command::Mac)));
        assert_eq!(parse(" link "), Ok(Some(Command::Link)));
        assert_eq!(parse("stats"), Ok(Some(Command::Stats)));
        assert_eq!(parse("dhcp"), Ok(Some(Command::Dhcp)));
        assert_eq!(parse("poweroff"), Ok(Some(Command::PowerOff)));
        assert_eq!(parse("mac 1"), Err(CommandError::BadArgument("1")));
        assert_eq!(parse("Mac"), Err(CommandError::Unknown("Mac")));
    }

    #[test]
    fn every_command_is_in_the_help() {
        for line in HELP.lines() {
            let name = line.split_ascii_whitespace().next().unwrap_or_default();
            assert!(matches!(parse(name), Ok(Some(_))), "{name}");
        }
    }

    #[test]
    fn arguments_have_defaults() {
        assert_eq!(parse("arp"), Ok(Some(Command::Arp(None))));
        assert_eq!(parse("arp 10.0.2.2"), Ok(Some(Command::Arp(Some(GATEWAY)))));
        assert_eq!(parse("ping"), Ok(Some(Command::Ping(None, DEFAULT_PINGS))));
        assert_eq!(parse("ping 10.0.2.2 5"), Ok(Some(Command::Ping(Some(GATEWAY), 5))));
        assert_eq!(parse("disk"), Ok(Some(Command::Disk(0))));
        assert_eq!(parse("disk 7"), Ok(Some(Command::Disk(7))));
    }

    #[test]
    fn bad_arguments_are_named() {
        for (line, word) in [
            ("arp x", "x"),
            ("ping 10.0.2", "10.0.2"),
            ("ping 10.0.2.2 0", "0"),
            ("ping 10.0.2.2 101", "101"),
            ("ping 10.0.2.2 1 2", "2"),
            ("disk -1", "-1"),
        ] {
            assert_eq!(parse(line), Err(CommandError::BadArgument(word)), "{line}");
        }
    }
}
