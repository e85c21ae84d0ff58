//! The screening pipeline: candidates, patches, votes, noisy-or.

mod case;

pub use case::{Case, Finding, LungFacts, Patch, Profile, Region, SideFacts, StageTimes, Verdict};
