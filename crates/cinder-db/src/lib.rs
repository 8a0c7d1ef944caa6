//! Cinder's tables: the only SQL on them.
