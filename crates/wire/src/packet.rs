//! One captured packet, from its link layer to the first bytes of its payload.
