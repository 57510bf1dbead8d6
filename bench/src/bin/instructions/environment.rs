//! What the counts depend on besides the code.

use std::process::Command;

use common::Outcome;
use serde::{Deserialize, Serialize};

use crate::valgrind;

/// Counts of equal environments compare.
///
/// The kernel and the processor's model are not in it: the kernel's instructions are not counted, and valgrind shows
/// programs a processor of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// As `rustc --version` prints it.
    pub(crate) rustc: String,
    /// What the compiler compiled for, and the flags that it was given beyond those of the profile.
    pub(crate) target: String,
    /// Its name and version.
    pub(crate) libc: String,
    pub(crate) valgrind: String,
    /// The features of the processor, as a program under valgrind sees them. libc and libraries such as memchr choose
    /// code by them. Valgrind hides what it does not know (AVX-512, for one), so that many models look alike.
    pub(crate) cpu: String,
}

impl Environment {
    /// This one.
    pub(crate) fn this(valgrind: &str) -> Outcome<Self> {
        let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok();
        let libc = libc.filter(|output| output.status.success() && !output.stdout.is_empty());
        let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Ok(Self {
            rustc: env!("RUSTC_VERSION").to_owned(),
            target: env!("RUSTC_TARGET").to_owned(),
            libc: libc.unwrap_or_else(|| "not glibc".to_owned()),
            valgrind: valgrind.to_owned(),
            cpu: valgrind::features()?,
        })
    }

    /// What differs, with both values of each.
    pub(crate) fn differences(&self, recorded: &Self) -> Vec<String> {
        let pairs = [
            ("rustc", &self.rustc, &recorded.rustc),
            ("the target", &self.target, &recorded.target),
            ("libc", &self.libc, &recorded.libc),
            ("valgrind", &self.valgrind, &recorded.valgrind),
            ("the CPU", &self.cpu, &recorded.cpu),
        ];
        let differing = pairs.into_iter().filter(|(_, here, recorded)| here != recorded);
        differing.map(|(what, here, recorded)| format!("{what} is `{here}` here and `{recorded}` there")).collect()
    }
}

/// The features of the processor that this process sees, of those that libraries choose code by.
pub(crate) fn features() -> String {
    let seen = detected().into_iter().filter_map(|(name, is_there)| is_there.then_some(name));
    seen.collect::<Vec<_>>().join(" ")
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<(&'static str, bool)> {
    macro_rules! detect {
        ($($name:tt)*) => { vec![$(($name, std::is_x86_feature_detected!($name))),*] };
    }
    detect!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "pclmulqdq" "aes" "avx" "f16c" "fma" "movbe" "avx2" "bmi1"
        "bmi2" "lzcnt" "rdrand" "rdseed" "adx" "sha" "avx512f")
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<(&'static str, bool)> {
    macro_rules! detect {
        ($($name:tt)*) => { vec![$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    detect!("neon" "aes" "sha2" "sha3" "crc" "lse" "dotprod" "sve" "mte")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<(&'static str, bool)> {
    Vec::new()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An environment with this compiler.
    pub(crate) fn with(rustc: &str) -> Environment {
        let [target, libc, valgrind, cpu] = ["x86_64", "glibc 2.36", "valgrind-3.19.0", "avx2"].map(str::to_owned);
        Environment { rustc: rustc.to_owned(), target, libc, valgrind, cpu }
    }

    #[test]
    fn differences_name_what_differs_alone() {
        let (here, recorded) = (with("rustc 2"), with("rustc 1"));
        assert_eq!(here.differences(&recorded), ["rustc is `rustc 2` here and `rustc 1` there"]);
        assert!(here.differences(&here).is_empty());
        let other = Environment { cpu: String::new(), libc: "glibc 2.41".to_owned(), ..here.clone() };
        assert_eq!(here.differences(&other).len(), 2);
    }
}
