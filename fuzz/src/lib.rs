//! Placeholder text, replaced before the first commit.
