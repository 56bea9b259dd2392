//! The detectors against series whose results were computed by another program, and against their laws.

mod bursts;
mod series;
