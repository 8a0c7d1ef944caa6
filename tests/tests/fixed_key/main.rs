//! `fixed-key remove` and `fixed-key restore`: what is taken out, what is kept, when it is refused,
//! and what a kill leaves.

mod kills;
mod refusals;
mod samples;
mod stage;
