//! A small cloud in one process, for trying out, for faults and for speed.
