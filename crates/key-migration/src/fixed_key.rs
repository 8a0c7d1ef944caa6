//! The fixed key and the payloads read back, kept in memory that is wiped when dropped and that
//! nothing can print. The key, which stays for as long as the process, is kept from swap too.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::locked::LockedBytes;

/// The bytes of `[key_manager] fixed_key`.
pub struct FixedKey(LockedBytes);

impl fmt::Debug for FixedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedKey([REDACTED])")
    }
}

/// Why a text is no fixed key. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFixedKey {
    /// A hexadecimal digit is two to a byte.
    #[error("an odd number of hexadecimal digits")]
    OddLength,
    /// Something else than 0-9, a-f, A-F.
    #[error("a character that is no hexadecimal digit")]
    NotHex,
}

impl FixedKey {
    /// Reads the key from hexadecimal digits, as `binascii.unhexlify` does for ConfKeyManager
    /// (cinder/keymgr/conf_key_mgr.py).
    ///
    /// # Errors
    /// Says what is wrong with the digits, never which ones.
    pub fn from_hex(digits: &str) -> Result<Self, BadFixedKey> {
        if !digits.len().is_multiple_of(2) {
            return Err(BadFixedKey::OddLength);
        }
        let mut bytes = LockedBytes::zeros(digits.len() / 2);
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadFixedKey::NotHex)?;
        Ok(Self(bytes))
    }

    /// The raw bytes, for the body of the request that stores them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether the system keeps the key from swap: a process without the right to lock a page of
    /// memory goes on without.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    /// The length in bits, Barbican's `bit_length`.
    #[must_use]
    pub fn bit_length(&self) -> usize {
        self.0.len() * 8
    }

    /// Whether a payload holds the same bytes, compared in constant time.
    #[must_use]
    pub fn equals(&self, payload: &Payload) -> bool {
        self.0.ct_eq(&payload.0).into()
    }

    /// Whether two keys are the same, compared in constant time.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The payload of a secret as it was read back.
pub struct Payload(Zeroizing<Vec<u8>>);

impl Payload {
    /// Takes the bytes; they are wiped when the payload is dropped.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The raw bytes, for a comparison of one's own.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_equals_the_key_only_byte_for_byte() {
        let key = FixedKey::from_hex("00fF10").expect("valid digits");
        let payload = |bytes: &[u8]| Payload::new(Zeroizing::new(bytes.to_vec()));
        assert!(key.equals(&payload(&[0x00, 0xff, 0x10])));
        assert!(!key.equals(&payload(&[0x00, 0xff, 0x11])));
        assert!(!key.equals(&payload(&[0x00, 0xff])));
        assert!(!key.equals(&payload(&[])));
        assert_eq!(key.bit_length(), 24);
    }

    #[test]
    fn bad_digits_are_named_by_kind_only() {
        assert_eq!(
            FixedKey::from_hex("abc").err(),
            Some(BadFixedKey::OddLength)
        );
        assert_eq!(FixedKey::from_hex("zz").err(), Some(BadFixedKey::NotHex));
        assert_eq!(FixedKey::from_hex("é0").err(), Some(BadFixedKey::OddLength));
    }
}
