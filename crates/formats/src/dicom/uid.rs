//! UIDs under 2.25, the arc for numbers that need no registration (PS3.5 B.2).

use sha2::{Digest, Sha256};

/// The UID that stands for `parts`: the same parts give the same UID, others another one.
pub(crate) fn derived(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ["ab", "c"] from being ["a", "bc"].
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut number = digest.iter().take(16).fold(0_u128, |n, &b| n << 8 | u128::from(b));
    // Version 8 (made by its own rule) and the variant of RFC 9562.
    number = number & !(0xf << 76) | 8 << 76;
    number = number & !(0b11 << 62) | 0b10 << 62;
    format!("2.25.{number}")
}

#[cfg(test)]
mod tests {
    use super::derived;

    #[test]
    fn same_parts_same_uid() {
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["a", "b"]), derived(&["ab", ""]));
        let uid = derived(&["x"]);
        assert!(uid.len() <= 64 && uid.starts_with("2.25."));
        let n: u128 = uid[5..].parse().unwrap();
        assert_eq!((n >> 76 & 0xf, n >> 62 & 0b11), (8, 0b10));
    }
}
