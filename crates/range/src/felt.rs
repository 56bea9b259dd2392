//! What the users of a service feel of it, second by second: the middle between traffic and people.

/// One service in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Felt {
    /// Share of what is tried that fails, 0 to 1.
    pub failing: f64,
    /// What is tried, sessions a second.
    pub tried: f64,
    /// Share of the users whom the service cannot see at all, because their network is cut off, 0 to 1.
    pub cut_off: f64,
}
