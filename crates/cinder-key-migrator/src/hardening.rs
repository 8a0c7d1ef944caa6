//! Keeps the memory of the process, which holds the fixed key, from being written to a disk or read
//! by others of the same user, and leaves no copy of the key in it.

use std::alloc::System;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroizing_alloc::ZeroAlloc;

/// Wipes whatever is freed. The key is in memory of ours that is wiped by itself, but on its way to
/// Barbican and back it goes through buffers of the HTTP and TLS libraries, which free them as they
/// are.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

/// No core dump, whoever asks for one, and nobody but root attaches to the process. Where the
/// system does not let us, that is no reason to do nothing: the key was in a file before.
pub(crate) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_core() {
        harden();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        let behavior = dumpable_behavior().expect("the kernel tells");
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
