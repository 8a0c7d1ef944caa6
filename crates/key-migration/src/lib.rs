//! Moves Cinder's fixed-key rows to secrets of their own: the domain, without I/O.
