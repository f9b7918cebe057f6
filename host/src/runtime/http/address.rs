//! Which addresses a plugin may reach: public ones, and those that its grants list.
//!
//! Checked on the address that is connected to, after the name was resolved, so that no name leads inside.
//! The ranges are those that the IANA registries of special-purpose addresses call not globally reachable
//! (RFC 6890 and its successors), multicast and reserved space, and forms that wrap an IPv4 address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that a plugin may reach although they are not public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressGrant {
    text: String,
    ranges: Vec<Range>,
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    base: IpAddr,
    bits: u8,
}

/// The name that can be granted: all loopback addresses.
const LOCALHOST: &str = "localhost";

const LOOPBACK: [Range; 2] = [Range::v4([127, 0, 0, 0], 8), Range { base: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 }];

const NOT_PUBLIC_V4: &[Range] = &[
    Range::v4([0, 0, 0, 0], 8),
    Range::v4([10, 0, 0, 0], 8),
    Range::v4([100, 64, 0, 0], 10),
    Range::v4([127, 0, 0, 0], 8),
    Range::v4([169, 254, 0, 0], 16),
    Range::v4([172, 16, 0, 0], 12),
    Range::v4([192, 0, 0, 0], 24),
    Range::v4([192, 0, 2, 0], 24),
    Range::v4([192, 88, 99, 0], 24),
    Range::v4([192, 168, 0, 0], 16),
    Range::v4([198, 18, 0, 0], 15),
    Range::v4([198, 51, 100, 0], 24),
    Range::v4([203, 0, 113, 0], 24),
    Range::v4([224, 0, 0, 0], 4),
    Range::v4([240, 0, 0, 0], 4),
];

/// Global unicast; what is not in it is not public.
const PUBLIC_V6: Range = Range::v6([0x2000, 0], 3);

const NOT_PUBLIC_V6: &[Range] = &[
    Range::v6([0x2001, 0], 23),
    Range::v6([0x2001, 0x0db8], 32),
    Range::v6([0x2002, 0], 16),
    Range::v6([0x3fff, 0], 20),
];

/// IPv4 addresses behind a translator (RFC 6052).
const TRANSLATED: Range = Range::v6([0x0064, 0xff9b], 96);

/// Bits of an IPv6 address before the IPv4 address that it wraps, in either form.
const WRAPPING_BITS: u8 = 96;

/// Whether an address may be connected to.
pub(super) fn is_allowed(address: IpAddr, granted: &[AddressGrant]) -> bool {
    let address = plain(address);
    is_public(address) || granted.iter().flat_map(|grant| &grant.ranges).any(|range| range.contains(address))
}

/// What to grant so that a host's addresses may be reached: that name which can be granted, or each address alone.
pub(super) fn to_grant(host: &str, addresses: &[IpAddr]) -> Vec<String> {
    let addresses = addresses.iter().map(|address| plain(*address));
    let is_local = |address: IpAddr| LOOPBACK.iter().any(|range| range.contains(address));
    if host.eq_ignore_ascii_case(LOCALHOST) && addresses.clone().all(is_local) {
        return vec![LOCALHOST.to_owned()];
    }
    let ranges: BTreeSet<_> = addresses.collect();
    ranges.into_iter().map(|base| format!("{base}/{}", if base.is_ipv4() { 32 } else { 128 })).collect()
}

/// The IPv4 address that an IPv6 address wraps, where it does.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    if TRANSLATED.contains(address) {
        let [.., a, b, c, d] = v6.octets();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !NOT_PUBLIC_V4.iter().any(|range| range.contains(address)),
        IpAddr::V6(_) => PUBLIC_V6.contains(address) && !NOT_PUBLIC_V6.iter().any(|range| range.contains(address)),
    }
}

impl Range {
    const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Self {
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    const fn v6([a, b]: [u16; 2], bits: u8) -> Self {
        Self { base: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), bits }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    /// The IPv4 addresses that all of a range wraps, where it does.
    fn unwrapped(self) -> Option<Self> {
        let (base, bits) = (plain(self.base), self.bits.checked_sub(WRAPPING_BITS)?);
        (base != self.base).then_some(Self { base, bits })
    }

    /// The first address of the range that this one is in.
    fn first(self) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Ipv4Addr::from_bits(base.to_bits() & mask).into()
            }
            IpAddr::V6(base) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                Ipv6Addr::from_bits(base.to_bits() & mask).into()
            }
        }
    }
}

impl FromStr for AddressGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ALLOWED: &str = "write \"localhost\", an address, or a range such as \"10.0.0.0/8\"";
        let ranges = if text == LOCALHOST { LOOPBACK.to_vec() } else { vec![range(text).ok_or(ALLOWED)?] };
        if let [range] = ranges.as_slice()
            && range.first() != range.base
        {
            return Err(format!("the range begins at another address; write \"{}/{}\"", range.first(), range.bits));
        }
        // What is connected to is compared as the IPv4 address that it is, so this would never fit.
        if let [range] = ranges.as_slice()
            && let Some(plain) = range.unwrapped()
        {
            return Err(format!("it wraps IPv4 addresses; write \"{}/{}\"", plain.base, plain.bits));
        }
        Ok(Self { text: text.to_owned(), ranges })
    }
}

fn range(text: &str) -> Option<Range> {
    let Some((base, bits)) = text.split_once('/') else {
        let base: IpAddr = text.parse().ok()?;
        return Some(Range { base, bits: if base.is_ipv4() { 32 } else { 128 } });
    };
    let (base, bits): (IpAddr, u8) = (base.parse().ok()?, bits.parse().ok()?);
    (bits <= if base.is_ipv4() { 32 } else { 128 }).then_some(Range { base, bits })
}

impl fmt::Display for AddressGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, granted: &[&str]) -> bool {
        let granted: Vec<AddressGrant> = granted.iter().map(|text| text.parse().unwrap()).collect();
        is_allowed(address.parse().unwrap(), &granted)
    }

    #[test]
    fn nothing_inside_is_reached_without_a_grant() {
        for public in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(allowed(public, &[]), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
        ] {
            assert!(!allowed(inside, &[]), "{inside}");
        }
    }

    #[test]
    fn a_grant_opens_its_range_only() {
        assert!(allowed("10.9.9.9", &["10.0.0.0/8"]) && allowed("11.0.0.1", &["10.0.0.0/8"]));
        assert!(!allowed("192.168.0.1", &["10.0.0.0/8", "localhost"]));
        assert!(allowed("127.0.0.5", &["localhost"]) && allowed("::1", &["localhost"]));
        assert!(allowed("::ffff:127.0.0.1", &["localhost"]), "the same address in another form");
        assert!(allowed("fd00::5", &["fd00::/8"]) && !allowed("127.0.0.2", &["127.0.0.1"]));
    }

    #[test]
    fn what_is_told_to_grant_opens_what_was_met_and_no_more() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(to_grant("localhost", &addresses(&["::1", "127.0.0.1"])), ["localhost"]);
        assert_eq!(to_grant("localhost", &addresses(&["10.0.0.1"])), ["10.0.0.1/32"]);
        let met = ["10.1.2.3", "fd00::5", "::ffff:127.0.0.1", "10.1.2.3"];
        let told = to_grant("db.example.com", &addresses(&met));
        assert_eq!(told, ["10.1.2.3/32", "127.0.0.1/32", "fd00::5/128"]);
        let told: Vec<_> = told.iter().map(String::as_str).collect();
        assert!(met.iter().all(|address| allowed(address, &told)) && !allowed("10.1.2.4", &told));
    }

    #[test]
    fn senseless_ranges_say_what_to_write() {
        let refused = |text: &str| text.parse::<AddressGrant>().unwrap_err();
        for text in ["", "intranet", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/"] {
            assert!(refused(text).contains("10.0.0.0/8"), "{text}");
        }
        assert!(refused("10.1.2.3/8").contains("\"10.0.0.0/8\""));
    }

    #[test]
    fn a_grant_that_wraps_ipv4_says_what_to_write_instead() {
        for (text, instead) in [
            ("::ffff:10.0.0.1", "\"10.0.0.1/32\""),
            ("::ffff:10.0.0.0/104", "\"10.0.0.0/8\""),
            ("64:ff9b::a00:0/104", "\"10.0.0.0/8\""),
            ("64:ff9b::/96", "\"0.0.0.0/0\""),
        ] {
            let said = text.parse::<AddressGrant>().unwrap_err();
            assert!(said.contains(instead), "{said}");
        }
        // An IPv4 address has all of its 32 bits, and a range of IPv6 may hold others.
        assert!(allowed("10.0.0.1", &["10.0.0.1/32"]) && "::/0".parse::<AddressGrant>().is_ok());
    }
}
