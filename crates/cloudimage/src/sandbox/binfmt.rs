//! Tells from the kernel's binfmt_misc whether programs for another processor can be run here.

use std::fs;
use std::path::Path;

use crate::platform::Platform;

/// Where the kernel shows what is registered.
pub(super) const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// Bytes of an ELF header that registrations look at.
const HEADER: usize = 20;

/// Why a rootfs for `platform` cannot be entered, as far as the registrations in `directory` tell; `None` when it can.
pub(super) fn obstacle(directory: &Path, platform: &Platform) -> Option<String> {
    let advice = format!(
        "register an emulator, for example with Debian's packages qemu-user-static and binfmt-support, or build on a machine for {platform}"
    );
    let Some(header) = header(platform) else {
        return Some(format!("sealer knows no program header for {platform}; {advice}"));
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let handlers: Vec<Handler> = entries
        .filter_map(|entry| Handler::parse(&fs::read_to_string(entry.path()).ok()?))
        .filter(|handler| handler.takes(&header))
        .collect();
    let Some(handler) = handlers.iter().find(|handler| handler.is_fixed).or(handlers.first()) else {
        let place = directory.display();
        return Some(format!("no emulator for its programs is registered in {place}; {advice}"));
    };
    // Without the flag the kernel would look for the emulator in the rootfs.
    (!handler.is_fixed).then(|| {
        format!(
            "the emulator {} is registered without flag F, so it is not found inside the rootfs; {advice}",
            handler.interpreter
        )
    })
}

/// A registration of a program that runs other programs.
#[derive(Debug, PartialEq, Eq)]
struct Handler {
    interpreter: String,
    /// Flag F: the interpreter was opened when it was registered.
    is_fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    /// One that is enabled and told by bytes of the program; other ones are none.
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let magic = bytes(value("magic ")?)?;
        let mask = value("mask ").map_or_else(|| Some(vec![0xff; magic.len()]), bytes)?;
        (text.lines().next() == Some("enabled") && mask.len() == magic.len()).then_some(())?;
        Some(Self {
            interpreter: value("interpreter ")?.to_owned(),
            is_fixed: value("flags:").is_some_and(|flags| flags.contains('F')),
            offset: value("offset ").and_then(|offset| offset.parse().ok()).unwrap_or(0),
            magic,
            mask,
        })
    }

    fn takes(&self, header: &[u8]) -> bool {
        let program = header.get(self.offset..).and_then(|rest| rest.get(..self.magic.len()));
        let matches = |((byte, magic), mask): ((&u8, &u8), &u8)| byte & mask == magic & mask;
        program.is_some_and(|program| program.iter().zip(&self.magic).zip(&self.mask).all(matches))
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The first bytes of an executable for a platform; the numbers are `e_machine` of the ELF specification.
fn header(platform: &Platform) -> Option<[u8; HEADER]> {
    const NARROW: u8 = 1;
    const WIDE: u8 = 2;
    let (class, little, machine): (u8, bool, u16) = match platform.architecture.as_str() {
        "386" => (NARROW, true, 3),
        "amd64" => (WIDE, true, 62),
        "arm" => (NARROW, true, 40),
        "arm64" => (WIDE, true, 183),
        "loong64" => (WIDE, true, 258),
        "mips64le" => (WIDE, true, 8),
        "ppc64le" => (WIDE, true, 21),
        "riscv64" => (WIDE, true, 243),
        "s390x" => (WIDE, false, 22),
        _ => return None,
    };
    let number = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut header = [0; HEADER];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, if little { 1 } else { 2 }, 1]);
    header[16..18].copy_from_slice(&number(2)); // ET_EXEC
    header[18..20].copy_from_slice(&number(machine));
    Some(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As the kernel shows what Debian's qemu-user-static registers.
    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
    const S390X: &str = "enabled\ninterpreter /usr/bin/qemu-s390x\nflags: \noffset 0\n\
        magic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n";

    fn said(files: &[(&str, &str)], platform: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        obstacle(directory.path(), &platform.parse().unwrap())
    }

    #[test]
    fn an_emulator_that_is_registered_is_found_by_what_it_takes() {
        let registered = [("status", "enabled\n"), ("register", ""), ("qemu-aarch64", ARM64), ("qemu-s390x", S390X)];
        assert_eq!(said(&registered, "linux/arm64"), None);
        assert!(said(&registered, "linux/arm/v7").unwrap().contains("no emulator"), "another processor's is not taken");
        assert!(said(&registered, "linux/riscv64").unwrap().contains("qemu-user-static"));
        assert!(said(&registered, "linux/s390x").unwrap().contains("/usr/bin/qemu-s390x is registered without flag F"));
        assert!(said(&registered, "linux/vax").unwrap().contains("linux/vax"));
    }

    #[test]
    fn without_registrations_or_with_one_that_is_off_nothing_runs() {
        assert!(said(&[], "linux/arm64").unwrap().contains("no emulator"));
        let off = ARM64.replace("enabled", "disabled");
        assert!(said(&[("qemu-aarch64", &off)], "linux/arm64").unwrap().contains("no emulator"));
        assert!(obstacle(Path::new("/nowhere"), &"linux/arm64".parse().unwrap()).is_some(), "it is not mounted");
    }

    #[test]
    fn what_is_no_registration_is_none() {
        for text in ["", "enabled\nmagic zz\n", "enabled\ninterpreter /x\nflags: F\nextension .py\n"] {
            assert_eq!(Handler::parse(text), None, "{text}");
        }
        let short = "enabled\ninterpreter /x\nflags: F\nmagic 7f45\nmask ff\n";
        assert_eq!(Handler::parse(short), None);
    }
}
