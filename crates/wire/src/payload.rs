//! The first bytes of a payload that tell protocols apart.
