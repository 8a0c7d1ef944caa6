//! Reads configuration files as oslo.config does.
