//! The program as operators run it: its own process, with files, signals and sockets.

mod bad_input;
mod life;
mod running;
mod secrecy;
mod systemd;
