//! Burn modules built from a network graph
