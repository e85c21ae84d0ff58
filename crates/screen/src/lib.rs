//! The screening pipeline: candidates, patches, votes, noisy-or.
//!
//! [`screen`] is the whole way; its steps are public because training prepares its data with the
//! same code: [`detector_grid`] and [`detector_input`] before the detector, [`candidate_boxes`] behind
//! it, [`patch_sites`] and [`cut_patch`] before the classifier, [`region`], [`findings`] and
//! [`verdict`] behind that.

mod candidates;
mod case;
mod classify;
mod detect;
mod error;
mod models;
mod patch;
mod pipeline;
mod unlike;
mod verdict;
mod vote;

pub use candidates::{Candidate, JOINED_MM, candidate_boxes, clip_to_lungs};
pub use case::{Case, Finding, LungFacts, Patch, Profile, Region, SideFacts, StageTimes, Verdict};
pub use classify::classify;
pub use detect::{
    Detection, DetectorOutput, MARGIN_MM, detect, detector_grid, detector_input, infected_voxels,
    run_detector,
};
pub use error::{Error, Result, role_name};
pub use models::{LoadedClassifier, LoadedDetector, ModelFacts, Models};
pub use patch::{PatchSite, cut_patch, distances_from_edge, patch_sites};
pub use pipeline::{
    CONSOLIDATION_HU, LEAST_SLICES, Options, analysable, in_infected_regions, region, screen,
};
// A case holds the lungs it was found in: whoever reads one can name their parts.
pub use pleura_lungs::{LEFT, LungStatus, Lungs, RIGHT};
pub use unlike::ScanFacts;
pub use verdict::{IRRELEVANT, TIE, findings, no_infection, percent, verdict};
pub use vote::{PatchVote, most_probable, noisy_or, noisy_or_calibrated, softmax, type_shares, vote};
