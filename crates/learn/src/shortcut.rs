//! Whether anything but the lesions tells the classes apart: networks that must fail.

use crate::candidates::{CaseRegions, Region, RegionRecipe, Source, anywhere, known};
use crate::classifier::{ClassifierConfig, Classify};
use crate::data::{Names, class_index, phantom_infections};
use crate::pool::{each_case, find_lungs};
use crate::rng::Rng;
use crate::trainer::{Schedule, finished, train};
use crate::{Error, Result, checkpoint, truth};
use pleura_evaluate::{Answers, Estimate, Table};
use pleura_nets::{Executor, Weights};
use pleura_phantom::{Class, GENERATOR, Grid, Phantom, RenderOptions, render};
use pleura_screen::{analysable, clip_to_lungs};
use pleura_volume::{Mask, Progress, Volume};
use serde::Serialize;
use std::path::Path;

/// Regions of a case: as many of each, so that guessing is right in one of three.
const REGIONS: usize = 6;
/// What accuracy without lesions must be shown to lie below.
const MOST_BLANKED: f64 = 0.45;
/// What is shown where lesions stand alone, in the lungs and outside, HU.
const PLAIN_HU: [i16; 2] = [-850, 40];

/// How the check is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShortcutConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Phantoms to train on, of the three classes in turn.
    pub cases: usize,
    /// Phantoms to test on.
    pub test_cases: usize,
    /// Steps of each of the three trainings.
    pub steps: u64,
    /// Edge of the phantoms' voxels, mm.
    pub spacing_mm: f64,
}

/// What of a phantom the network gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// All.
    Everything,
    /// All but the lesions and the signs that go with the class, at places drawn at random: where the
    /// lesions were is a sign of its own.
    LesionsBlanked,
    /// Infected voxels in front of an even background.
    LesionsAlone,
}

impl Shown {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Everything, Self::LesionsBlanked, Self::LesionsAlone];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::LesionsBlanked => "lesions-blanked",
            Self::LesionsAlone => "lesions-alone",
        }
    }
}

/// Patches of unseen phantoms under the class of their case, in the order of [`Shown::ALL`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShortcutResults {
    /// How they came about.
    pub config: ShortcutConfig,
    /// Tables of the test cases' patches.
    pub tables: [Table; 3],
    /// Share of the infected test cases' patches whose type is told by lesions alone: a case without
    /// infection has none and is told by that.
    pub types_told: Estimate,
}

impl ShortcutResults {
    /// Of the answers by case, in the order of [`Shown::ALL`].
    fn new(config: &ShortcutConfig, classes: &[String], answers: &[Vec<Answers>; 3]) -> Self {
        let none = classes.len() - 1;
        let infected = |case: &&Answers| case.iter().all(|(truth, _)| *truth != none);
        let alone: Vec<Answers> = answers[2].iter().filter(infected).cloned().collect();
        Self {
            config: *config,
            tables: answers.each_ref().map(|a| Table::new(classes, a, config.seed)),
            types_told: Table::new(classes, &alone, config.seed).accuracy,
        }
    }

    /// Whether the network is at chance without lesions (the interval begins below 1/3 and ends below
    /// [`MOST_BLANKED`]: a wide one proves nothing) and tells types by lesions alone (it begins above 1/2).
    pub fn holds(&self) -> bool {
        let blanked = self.tables[1].accuracy.interval_95;
        blanked.low <= 1.0 / 3.0 && blanked.high < MOST_BLANKED && self.types_told.interval_95.low > 0.5
    }

    /// shortcut.md.
    pub fn to_markdown(&self) -> String {
        let c = &self.config;
        let mut out = format!(
            "# Does anything but the lesions tell the classes apart?\n\nThe same network, {} steps on {} phantoms and \
             tested on {} others, three times. Every patch carries the class of its case; guessing is right in 0.333. \
             Of the infected cases' patches lesions alone tell the type in {}, guessing in 0.5. {}\n",
            c.steps,
            c.cases,
            c.test_cases,
            self.types_told.cell(),
            if self.holds() {
                "Nothing does, here."
            } else {
                "**Not shown: something else may, or the lesions do not, or the cases are too few.**"
            }
        );
        for (shown, table) in Shown::ALL.iter().zip(&self.tables) {
            out += &format!("\n## {}\n\n{}", shown.name(), table.to_markdown());
        }
        out
    }
}

impl ShortcutConfig {
    fn classifier(&self) -> ClassifierConfig {
        ClassifierConfig { seed: self.seed, steps: self.steps, ..ClassifierConfig::default() }
    }

    fn check(&self) -> Result<()> {
        if self.cases == 0 || self.test_cases == 0 || self.steps == 0 {
            return Err(Error::Config("`cases`, `test_cases` and `steps` must be positive".into()));
        }
        if !(1.0..=5.0).contains(&self.spacing_mm) {
            return Err(Error::Config("`spacing` must lie between 1 and 5".into()));
        }
        Ok(())
    }

    /// The phantom `index` of those to train on (0) or to test on (1).
    fn phantom(&self, set: u64, index: usize, shown: Shown) -> Phantom {
        let options = RenderOptions {
            grid: Grid::Detector { spacing_mm: self.spacing_mm },
            bare: shown == Shown::LesionsBlanked,
            ..RenderOptions::default()
        };
        let seed = Rng::at(self.seed, &[21, set, index as u64]).bits();
        render(Class::ALL[index % Class::ALL.len()], seed, &options)
    }
}

/// Trains the classifier three times, on phantoms as they are, without their lesions and with their lesions
/// alone, and tests each on phantoms shown in the same way. Writes shortcut.md and shortcut.json into
/// `out_dir`, and a checkpoint of each training, from which a run that was stopped goes on.
///
/// # Errors
/// [`Error::Config`], and what the stages say.
pub fn shortcut(config: &ShortcutConfig, out_dir: &Path, progress: &dyn Progress) -> Result<ShortcutResults> {
    config.check()?;
    let classes = Names::new(&phantom_infections()).cases;
    let one = |shown: Shown| one(config, shown, &classes, &out_dir.join(shown.name()), progress);
    let answers = [one(Shown::Everything)?, one(Shown::LesionsBlanked)?, one(Shown::LesionsAlone)?];
    let results = ShortcutResults::new(config, &classes, &answers);
    let json = serde_json::to_string_pretty(&results).map_err(|e| Error::Stage(e.to_string()))?;
    checkpoint::write_whole(&out_dir.join("shortcut.json"), json.as_bytes())?;
    checkpoint::write_whole(&out_dir.join("shortcut.md"), results.to_markdown().as_bytes())?;
    Ok(results)
}

/// Trains and tests on one kind of phantoms; gives the answers by case.
fn one(
    config: &ShortcutConfig,
    shown: Shown,
    classes: &[String],
    dir: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Answers>> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
    let classifier = config.classifier();
    let recipe = classifier.regions();
    let prepare = |set, count, stage: &str| {
        let stage = format!("{stage}, {}", shown.name());
        each_case(count, &stage, progress, |i| regions(&recipe, &config.phantom(set, i, shown), shown))
    };
    let spec = classifier.spec(classes.len());
    // The test belongs to no training.
    let trained_on = serde_json::json!({
        "shown": shown, "cases": config.cases, "spacing_mm": config.spacing_mm, "generator": GENERATOR,
        "classifier": classifier,
    });
    let schedule = Schedule {
        steps: config.steps,
        minutes: 0.0,
        checkpoint_every: classifier.checkpoint_every,
        optimizer: &classifier.optimizer,
        config: trained_on.to_string(),
        title: "training the classifier",
    };
    let state = match finished(dir, &schedule.config)? {
        Some(state) => state,
        None => {
            let cases = prepare(0, config.cases, "cutting training patches")?;
            let task = Classify::new(&classifier, cases, classes.len());
            train(&task, &spec, Weights::init(&spec, config.seed)?, &schedule, dir, progress)?
        }
    };
    let executor = Executor::new(&spec, &state.weights)?;
    let tested = prepare(1, config.test_cases, "cutting test patches")?;
    let with_regions = tested.iter().filter(|case| !case.regions.is_empty());
    with_regions.map(|case| answers(&executor, &recipe, case, classes)).collect()
}

/// [`REGIONS`] regions of a phantom under its class; `None` when screening would not look into its lungs.
fn regions(recipe: &RegionRecipe, phantom: &Phantom, shown: Shown) -> Result<Option<CaseRegions>> {
    let lungs = find_lungs(&phantom.volume)?;
    if !analysable(&lungs) {
        return Ok(None);
    }
    let mut rng = Rng::at(phantom.seed, &[22]);
    let mut boxes = match shown {
        Shown::LesionsBlanked => Vec::new(),
        _ => known(&truth::regions(&phantom.infection), &mut rng),
    };
    boxes.truncate(REGIONS);
    boxes.extend(anywhere(&lungs.mask, REGIONS - boxes.len(), &mut rng));
    let plain = (shown == Shown::LesionsAlone).then(|| alone(phantom, &lungs.mask));
    let volume = plain.as_ref().unwrap_or(&phantom.volume);
    let label = class_index(phantom.class);
    let cut =
        |b| Ok(Region { source: Source::Known, patches: recipe.patches(volume, &lungs.mask, &b)?, label });
    let boxes = boxes.iter().filter_map(|b| clip_to_lungs(&lungs.mask, b));
    Ok(Some(CaseRegions { regions: boxes.map(cut).collect::<Result<_>>()? }))
}

/// The infected voxels in front of an even background.
fn alone(phantom: &Phantom, lungs: &Mask) -> Volume<i16> {
    let mut volume = phantom.volume.clone();
    for ((v, infected), lung) in volume.data.iter_mut().zip(&phantom.infection.data).zip(&lungs.data) {
        if *infected == 0 {
            *v = PLAIN_HU[usize::from(*lung == 0)];
        }
    }
    volume
}

/// Truth and answer of each patch of a case.
fn answers(
    executor: &Executor,
    recipe: &RegionRecipe,
    case: &CaseRegions,
    classes: &[String],
) -> Result<Answers> {
    let patches: Vec<_> =
        case.regions.iter().flat_map(|r| r.patches.iter().map(move |p| (r.label, p))).collect();
    let middle = [recipe.margin; 2];
    let images: Vec<f32> =
        patches.iter().flat_map(|(_, p)| recipe.view(p, middle, [false; 2], None)).collect();
    let scale = f64::from(recipe.patch.distance_scale);
    let distances: Vec<f32> = patches.iter().map(|(_, p)| (p.distance * scale) as f32).collect();
    let size = [patches.len(), recipe.patch.slab, recipe.patch.pixels, recipe.patch.pixels];
    let outputs = executor.run(&images, size, Some(&distances))?;
    let logits = outputs.first().map_or(&[][..], |t| &t.data);
    let largest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let answered = logits.chunks(classes.len()).map(|row| largest(row).map_or("none", |k| &classes[k]));
    Ok(patches.iter().zip(answered).map(|((label, _), answer)| (*label, answer.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ShortcutConfig =
        ShortcutConfig { seed: 5, cases: 3, test_cases: 3, steps: 1, spacing_mm: 4.0 };

    #[test]
    fn without_what_belongs_to_the_class_the_body_is_the_same() {
        let (whole, bare) =
            (CONFIG.phantom(0, 0, Shown::Everything), CONFIG.phantom(0, 0, Shown::LesionsBlanked));
        assert!(whole.infection.data.contains(&1) && !bare.infection.data.contains(&1));
        let changed = whole.volume.data.iter().zip(&bare.volume.data).filter(|(a, b)| a != b).count();
        assert!(changed > 0 && changed < whole.volume.data.len() / 2, "{changed}");
    }

    #[test]
    fn lesions_alone_stand_before_an_even_background() {
        let phantom = CONFIG.phantom(0, 0, Shown::LesionsAlone);
        let shown = alone(&phantom, &phantom.lungs);
        for (i, v) in shown.data.iter().enumerate() {
            let infected = phantom.infection.data[i] != 0;
            assert!(infected || PLAIN_HU.contains(v));
            assert!(!infected || *v == phantom.volume.data[i]);
        }
    }

    /// Answers of some cases: all right, one patch of three, or no infection alone.
    fn answered(cases: usize, told: &str) -> Vec<Answers> {
        let classes = Names::new(&phantom_infections()).cases;
        let answer = |i: usize, k: usize| match told {
            "all" => i % 3,
            "nothing" => k,
            // Infected or not; of the types one in two.
            _ if i % 3 == 2 => 2,
            _ => k % 2,
        };
        let case = |i: usize| (0..6).map(|k| (i % 3, classes[answer(i, k % 3)].clone())).collect();
        (0..cases).map(case).collect()
    }

    #[test]
    fn the_check_fails_where_blanked_lesions_are_told_or_types_by_lesions_alone_are_not() {
        let classes = Names::new(&phantom_infections()).cases;
        let results = |blanked: &str, alone: &str| {
            let all = [answered(30, "all"), answered(30, blanked), answered(30, alone)];
            ShortcutResults::new(&CONFIG, &classes, &all)
        };
        assert!(results("nothing", "all").holds());
        let leak = results("all", "all");
        assert!(!leak.holds() && leak.to_markdown().contains("**Not shown"));
        let presence = results("nothing", "infected or not");
        assert!(presence.tables[2].accuracy.interval_95.low > 0.5 && !presence.holds(), "{presence:?}");
    }
}
