//! An Ethernet address as text, in the notation of `VirtIO Net: MAC=52:54:00:12:34:56`.

use core::fmt;

/// Shows six bytes as lower-case hex with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Mac;
    use std::format;

    #[test]
    fn leading_zeros_are_kept() {
        assert_eq!(format!("{}", Mac([0x52, 0x55, 0x0a, 0, 2, 2])), "52:55:0a:00:02:02");
    }
}
