//! Probes of real servers on loopback, most of them bad ones.
