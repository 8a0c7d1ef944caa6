//! A few digits by which two keys in one output can be told apart, and from which nothing follows.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use key_migration::fixed_key::FixedKey;
use sha2::Sha256;
use uuid::Uuid;

/// A salt that lives as long as it does and is never shown: what is known of a key elsewhere
/// cannot be tried against the digits.
pub(super) struct Fingerprints([Uuid; 2]);

impl Fingerprints {
    /// With a salt of their own.
    pub(super) fn new() -> Self {
        Self([Uuid::new_v4(), Uuid::new_v4()])
    }

    /// The digits of this key.
    pub(super) fn of(&self, key: &FixedKey) -> String {
        let salt = self.0.map(Uuid::into_bytes).concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(&salt).expect("a key of any length is taken");
        mac.update(key.expose());
        let digest = mac.finalize().into_bytes();
        let mut digits = String::with_capacity(8);
        for byte in &digest[..4] {
            write!(digits, "{byte:02x}").expect("a String can always be written to");
        }
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_have_equal_digits_and_only_under_one_salt() {
        let key = |digits| FixedKey::from_hex(digits).expect("digits");
        let (one, other) = (Fingerprints::new(), Fingerprints::new());
        assert_eq!(one.of(&key("00ff")), one.of(&key("00FF")));
        assert_ne!(one.of(&key("00ff")), one.of(&key("00fe")));
        assert_ne!(one.of(&key("00ff")), other.of(&key("00ff")));
        assert_eq!(one.of(&key("00")).len(), 8);
    }
}
