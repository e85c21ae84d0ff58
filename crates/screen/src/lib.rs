//! The screening pipeline: candidates, patches, votes, noisy-or.

mod case;
mod verdict;
mod vote;

pub use case::{Case, Finding, LungFacts, Patch, Profile, Region, SideFacts, StageTimes, Verdict};
pub use verdict::{IRRELEVANT, TIE, findings, verdict};
pub use vote::{PatchVote, most_probable, noisy_or, noisy_or_calibrated, softmax, vote};
