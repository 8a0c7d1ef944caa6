//! One system call, as the kernel shows it of a thread that has stopped at its entrance.

use std::fmt;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::libc;
use nix::unistd::Pid;

/// How many bytes of what is sent are looked at: enough for a request's first line.
const PEEK: usize = 256;

/// A call that others could see the effect of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// As in `pwrite64`.
    pub name: &'static str,
    /// What it is about: a file's name, or a request's method and path.
    pub about: String,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.about)
    }
}

/// What a call's arguments are, as far as it matters here.
#[derive(Clone, Copy)]
enum Shape {
    /// File descriptor, buffer, length.
    Buffer,
    /// File descriptor, array of buffers.
    Buffers,
    /// File descriptor, address.
    Address,
    /// File descriptor and nothing else of interest.
    File,
    /// The path is this argument.
    Path(usize),
}

const VISIBLE: &[(libc::c_long, &str, Shape)] = &[
    (libc::SYS_write, "write", Shape::Buffer),
    (libc::SYS_writev, "writev", Shape::Buffers),
    (libc::SYS_pwrite64, "pwrite64", Shape::File),
    (libc::SYS_pwritev, "pwritev", Shape::File),
    (libc::SYS_pwritev2, "pwritev2", Shape::File),
    (libc::SYS_sendto, "sendto", Shape::Buffer),
    (libc::SYS_sendmsg, "sendmsg", Shape::File),
    (libc::SYS_sendmmsg, "sendmmsg", Shape::File),
    (libc::SYS_connect, "connect", Shape::Address),
    (libc::SYS_fsync, "fsync", Shape::File),
    (libc::SYS_fdatasync, "fdatasync", Shape::File),
    (libc::SYS_ftruncate, "ftruncate", Shape::File),
    (libc::SYS_mkdirat, "mkdirat", Shape::Path(1)),
    (libc::SYS_unlinkat, "unlinkat", Shape::Path(1)),
    (libc::SYS_renameat, "renameat", Shape::Path(1)),
    (libc::SYS_renameat2, "renameat2", Shape::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", Shape::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", Shape::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", Shape::Path(0)),
];

impl Call {
    /// The call at whose entrance this thread has stopped, if anybody but the process itself and
    /// the reader of its log can see it.
    pub(super) fn at_entrance(thread: Pid, log: &Path) -> Option<Self> {
        let (number, arguments) = registers(thread)?;
        let (_, name, shape) = VISIBLE.iter().find(|(visible, ..)| *visible == number)?;
        let about = match shape {
            Shape::Path(place) => {
                let bytes = memory(thread, arguments[*place], PEEK)?;
                let path = bytes.split(|byte| *byte == 0).next()?;
                last_part(&String::from_utf8_lossy(path))
            }
            shape => about_descriptor(thread, *shape, arguments, log)?,
        };
        Some(Self { name, about })
    }
}

fn about_descriptor(thread: Pid, shape: Shape, arguments: [u64; 6], log: &Path) -> Option<String> {
    let link = format!("/proc/{thread}/fd/{}", arguments[0]);
    let target = fs::read_link(link).ok()?;
    if target.starts_with("/") {
        if target == log || target.starts_with("/dev") {
            return None;
        }
        if target.is_dir() {
            return Some("a folder".to_owned());
        }
        return Some(last_part(&target.to_string_lossy()));
    }
    // Pipes and eventfds are the process's own.
    if !target.to_string_lossy().starts_with("socket:") {
        return None;
    }
    match shape {
        Shape::Address => address(thread, arguments[1]),
        Shape::Buffer => Some(first_line(thread, arguments[1])),
        Shape::Buffers => {
            let first = memory(thread, arguments[1], 8)?;
            let first = u64::from_ne_bytes(first.try_into().ok()?);
            Some(first_line(thread, first))
        }
        Shape::File | Shape::Path(_) => Some("a socket".to_owned()),
    }
}

/// The call's number and arguments.
fn registers(thread: Pid) -> Option<(libc::c_long, [u64; 6])> {
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for (argument, word) in arguments.iter_mut().zip(words) {
        *argument = u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()?;
    }
    Some((number, arguments))
}

/// Up to so many bytes of the thread's memory.
fn memory(thread: Pid, address: u64, length: usize) -> Option<Vec<u8>> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; length];
    let read = memory.read_at(&mut bytes, address).ok()?;
    bytes.truncate(read);
    Some(bytes)
}

/// Where a socket is being connected to.
fn address(thread: Pid, address: u64) -> Option<String> {
    let bytes = memory(thread, address, 8)?;
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    if i32::from(family) != libc::AF_INET {
        return Some(format!("family {family}"));
    }
    let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
    Some(ip.to_string())
}

/// Method and path of a request, without what differs from run to run; never what it carries.
fn first_line(thread: Pid, address: u64) -> String {
    let bytes = memory(thread, address, PEEK).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split(' ');
    let (method, path) = (words.next(), words.next());
    match (method, path) {
        (Some(method @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD")), Some(path)) => {
            format!("{method} {}", without_ids(path))
        }
        _ => "a request's body".to_owned(),
    }
}

fn without_ids(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts = path.split('/').map(|part| match part.len() {
        36 => "ID",
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn last_part(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into())
}
