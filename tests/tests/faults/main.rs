//! What goes wrong all the time, in one program: its tests take minutes, some of them in waiting and
//! some in work, and share the machine.

mod crash_random;
mod crash_syscalls;
mod fault_matrix;
mod soak;
