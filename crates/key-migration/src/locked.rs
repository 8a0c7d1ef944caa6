//! Memory that is never written to swap and is wiped when it is let go.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use region::LockGuard;
use zeroize::Zeroize as _;

/// Bytes on pages that hold nothing else. Locks of one page do not add up: were two keys on it, as
/// while a configuration is read again, the end of one would unlock the other.
pub(crate) struct LockedBytes {
    lock: Option<LockGuard>,
    pages: Box<[u8]>,
    bytes: Range<usize>,
}

impl LockedBytes {
    /// So many zeros. That the system locks them is not certain: see [`is_locked`](Self::is_locked).
    pub(crate) fn zeros(length: usize) -> Self {
        let page = region::page::size();
        let pages = vec![0; length.next_multiple_of(page) + page].into_boxed_slice();
        let address = pages.as_ptr().addr();
        let start = address.next_multiple_of(page) - address;
        let bytes = start..start + length;
        Self {
            lock: region::lock(pages[bytes.clone()].as_ptr(), length).ok(),
            pages,
            bytes,
        }
    }

    /// Whether the system keeps them from swap.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

impl Drop for LockedBytes {
    /// Wiped first, unlocked and freed after it.
    fn drop(&mut self) {
        self.pages.zeroize();
    }
}

impl Deref for LockedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages[self.bytes.clone()]
    }
}

impl DerefMut for LockedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages[self.bytes.clone()]
    }
}

impl fmt::Debug for LockedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_whole_pages_to_itself() {
        let page = region::page::size();
        for length in [1, 32, page - 1, page, page + 1, 3 * page] {
            let mut bytes = LockedBytes::zeros(length);
            bytes.fill(0xa5);
            assert_eq!(bytes.len(), length);
            assert!(bytes.as_ptr().addr().is_multiple_of(page));
            let behind = bytes.pages.len() - bytes.bytes.start;
            assert!(behind >= length.next_multiple_of(page), "{length}");
        }
    }

    #[test]
    fn no_bytes_need_no_lock() {
        let nothing = LockedBytes::zeros(0);
        assert!(nothing.is_empty() && !nothing.is_locked());
    }
}
