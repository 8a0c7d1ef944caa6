//! What Keystone and Barbican promise, and what the program's client makes of it: the same cases
//! against the real services and against the emulated ones, each in both role worlds.
//!
//! A fault test on the emulated cloud proves something only as long as that cloud answers as the
//! real one. So where the two differ, the emulation is wrong. What our client reads is compared to
//! the letter, what nobody reads loosely.

#[macro_use]
mod testbed;
mod port;
mod wire;
