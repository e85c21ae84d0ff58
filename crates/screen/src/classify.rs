//! The classifier over the patches of all candidates.

use crate::candidates::Candidate;
use crate::case::{Patch, Profile};
use crate::error::{Error, Result};
use crate::models::LoadedClassifier;
use crate::patch::{PatchSite, cut_patch, distances_from_edge, patch_sites};
use crate::vote::{most_probable, softmax};
use pleura_volume::{Cancelled, Mask, Progress, Volume};
use rayon::prelude::*;

/// Patches a run of the network.
const BATCH: usize = 24;

/// The three patches of each candidate, classified; in the candidates' order, caudal patch first.
///
/// The relative distance-from-edge times the recipe's scale enters a network that takes a feature;
/// one without runs on the images alone. The temperature applies in the calibrated profile only.
///
/// # Errors
/// [`Error::Network`] when the network does not fit its manifest, [`Error::Cancelled`].
pub fn classify(
    volume: &Volume<i16>,
    lungs: &Mask,
    candidates: &[Candidate],
    classifier: &LoadedClassifier,
    profile: Profile,
    progress: &dyn Progress,
) -> Result<Vec<[Patch; 3]>> {
    let of_box = |c: &Candidate| patch_sites(&volume.geometry, &c.box_voxels, &classifier.patch);
    let sites: Vec<PatchSite> = candidates.iter().flat_map(of_box).collect();
    let distances = distances_from_edge(lungs, &sites);
    progress.stage("patches", sites.len() as u64);
    let mut patches = Vec::with_capacity(sites.len());
    for (sites, distances) in sites.chunks(BATCH).zip(distances.chunks(BATCH)) {
        if progress.cancelled() {
            return Err(Cancelled.into());
        }
        patches.extend(batch(volume, lungs, sites, distances, classifier, profile)?);
        progress.done(patches.len() as u64);
    }
    let (threes, _) = patches.as_chunks::<3>();
    Ok(threes.to_vec())
}

fn batch(
    volume: &Volume<i16>,
    lungs: &Mask,
    sites: &[PatchSite],
    distances: &[f64],
    classifier: &LoadedClassifier,
    profile: Profile,
) -> Result<Vec<Patch>> {
    let recipe = &classifier.patch;
    let cut = |s: &PatchSite| cut_patch(volume, lungs, *s, &classifier.input, recipe);
    let images: Vec<Vec<f32>> = sites.par_iter().map(cut).collect::<Result<_>>()?;
    let features: Vec<f32> = distances.iter().map(|&d| d as f32 * recipe.distance_scale).collect();
    let takes_features = classifier.executor.spec().features > 0;
    let size = [sites.len(), recipe.slab, recipe.pixels, recipe.pixels];
    let outputs =
        classifier.executor.run(&images.concat(), size, takes_features.then_some(features.as_slice()))?;
    let logits = outputs.first().map_or(&[][..], |t| &t.data);
    if logits.len() != sites.len() * classifier.classes.len() || !logits.iter().all(|l| l.is_finite()) {
        let what = format!("the classifier gave no sound value for each class of {} patches", sites.len());
        return Err(Error::Network(pleura_nets::NetsError::Input(what)));
    }
    let temperature = match profile {
        Profile::Paper => 1.0,
        Profile::Calibrated => f64::from(classifier.calibration.temperature),
    };
    let one = |((site, &distance), logits): ((&PatchSite, &f64), &[f32])| {
        let probabilities = softmax(logits, temperature);
        let top = most_probable(&probabilities);
        Patch {
            slice_index: site.slice,
            distance_from_edge: distance,
            class: top.class,
            confidence: top.confidence,
            probabilities,
        }
    };
    Ok(sites.iter().zip(distances).zip(logits.chunks(classifier.classes.len())).map(one).collect())
}
