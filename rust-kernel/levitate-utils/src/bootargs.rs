//! The kernel's boot arguments: space-separated words from `/chosen/bootargs` of the device tree.
//!
//! | words | what the kernel does |
//! |---|---|
//! | none | boots, shows what it found, ends in the serial monitor |
//! | `check` | tries ARP, DHCP, ping and the disk, says whether all worked, powers off |
//! | `exchange=N seed=S` | exchanges N frames each way with a test peer, powers off |

/// The most frames one exchange may have each way: the receiver keeps a bit for each.
pub const MAX_EXCHANGE_FRAMES: u32 = 1 << 24;

/// What the boot arguments ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Boot into the serial monitor.
    Monitor,
    /// Run the scripted check and power off.
    Check,
    /// Run the frame exchange and power off.
    Exchange {
        /// Frames in each direction.
        frames: u32,
        /// Chooses the lengths and contents of the frames.
        seed: u64,
    },
}

/// Why the boot arguments cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootArgsError<'a> {
    /// This word is not known.
    UnknownWord(&'a str),
    /// This word's value is not a number in range.
    BadNumber(&'a str),
    /// `check` and `exchange` exclude each other.
    Conflict,
}

impl core::fmt::Display for BootArgsError<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UnknownWord(word) => write!(f, "unknown word '{word}'"),
            Self::BadNumber(word) => write!(f, "bad number in '{word}'"),
            Self::Conflict => f.write_str("'check' and 'exchange' exclude each other"),
        }
    }
}

/// Reads the boot arguments.
pub fn parse(text: &str) -> Result<Mode, BootArgsError<'_>> {
    let mut check = false;
    let mut exchange = None;
    let mut seed = 0;
    for word in text.split_ascii_whitespace() {
        if word == "check" {
            check = true;
        } else if let Some(value) = word.strip_prefix("exchange=") {
            let frames = value.parse().map_err(|_| BootArgsError::BadNumber(word))?;
            if frames > MAX_EXCHANGE_FRAMES {
                return Err(BootArgsError::BadNumber(word));
            }
            exchange = Some(frames);
        } else if let Some(value) = word.strip_prefix("seed=") {
            seed = value.parse().map_err(|_| BootArgsError::BadNumber(word))?;
        } else {
            return Err(BootArgsError::UnknownWord(word));
        }
    }
    match (check, exchange) {
        (true, Some(_)) => Err(BootArgsError::Conflict),
        (true, None) => Ok(Mode::Check),
        (false, Some(frames)) => Ok(Mode::Exchange { frames, seed }),
        (false, None) => Ok(Mode::Monitor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_boots_into_the_monitor() {
        assert_eq!(parse(""), Ok(Mode::Monitor));
        assert_eq!(parse(" \n "), Ok(Mode::Monitor));
    }

    #[test]
    fn check_is_one_word() {
        assert_eq!(parse("check"), Ok(Mode::Check));
        assert_eq!(parse("checks"), Err(BootArgsError::UnknownWord("checks")));
    }

    #[test]
    fn exchange_takes_words_in_any_order() {
        let wanted = Ok(Mode::Exchange { frames: 500, seed: 18_446_744_073_709_551_615 });
        assert_eq!(parse("exchange=500 seed=18446744073709551615"), wanted);
        assert_eq!(parse("seed=18446744073709551615  exchange=500"), wanted);
        assert_eq!(parse("exchange=0"), Ok(Mode::Exchange { frames: 0, seed: 0 }));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for text in ["exchange=", "exchange=-1", "exchange=16777217", "seed=x", "seed=18446744073709551616"] {
            assert_eq!(parse(text), Err(BootArgsError::BadNumber(text)), "{text}");
        }
    }

    #[test]
    fn two_modes_conflict() {
        assert_eq!(parse("exchange=1 check"), Err(BootArgsError::Conflict));
    }
}
