//! What can be typed: one place that yields the parser, the help and the completions.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use pleura_formats::Limits;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, whatever the verdict
  2  wrong usage
  3  input refused: unreadable, not CT, or a geometry that cannot be trusted
  1  any other failure
130  stopped by Ctrl-C; what was finished before is whole

Research use only. Types are learned from synthetic data and not validated on patients.
A negative result does not exclude disease; faint foci are missed.";

/// Screens chest CT scans for viral pneumonia, on an ordinary CPU, offline.
#[derive(Debug, Parser)]
#[command(name = "pleura", version, long_version = crate::models::long_version(), after_help = EXIT_CODES)]
pub struct Cli {
    /// Threads to use [default: one a core]
    #[arg(long, global = true, value_name = "N", env = "PLEURA_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Where the networks run and learn; without a graphics card that is the CPU
    #[cfg(feature = "gpu")]
    #[arg(long, global = true, value_enum, default_value_t = Device::Cpu, env = "PLEURA_DEVICE")]
    pub device: Device,
    #[command(subcommand)]
    pub command: Command,
}

#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// Our own kernels
    Cpu,
    /// The fastest graphics card that Vulkan shows
    Gpu,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Screen one scan or a folder of many
    #[command(after_help = "\
Examples:
  pleura screen scan/ --out result              one DICOM series: result/report.html
  pleura screen scan.nii.gz --out result --masks
  pleura screen archive/ --out results --resume  many patients: results/cases.csv

With several inputs or studies each gets a folder of its own below DIR, refused ones are listed at
the end and in cases.csv, and the exit code is 3 if any was refused.")]
    Screen(Screen),
    /// Make one phantom of each class, screen them, show truth beside verdict
    Demo(Demo),
    /// Say what is in a file or folder, and which series would be screened
    Inspect(Inspect),
    /// Write the lung mask (1 right, 2 left) and tell the volumes
    Lungs(Lungs),
    /// Write the volume that would be screened, in HU, as NIfTI
    Convert(Convert),
    /// Make a synthetic chest CT with its truth
    Phantom(Phantom),
    /// Make a whole labelled cohort of synthetic CTs
    Cohort(Cohort),
    /// Train one of the two networks on synthetic CTs
    #[cfg(feature = "train")]
    #[command(subcommand)]
    Train(Train),
    /// Repeat the paper's experiment on synthetic CTs: training, six tables, training curves
    #[cfg(feature = "train")]
    Reproduce(Reproduce),
    /// Measure the networks on fresh synthetic CTs: tables, FROC, ROC, calibration, with intervals
    #[cfg(feature = "train")]
    Measure(Measure),
    /// Check that only the lesions tell the classes apart: trains on phantoms without them, and on them alone
    #[cfg(feature = "train")]
    Shortcut(Shortcut),
    /// Compare verdicts with the truth: tables, ROC, FROC, calibration, tests, with intervals
    Evaluate(Evaluate),
    /// Print a completion script for your shell
    Completions {
        /// Shell to write for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// One leaky noisy-or for any infection, shared by the types; may answer "indeterminate"
    Calibrated,
    /// The paper's vote and plain noisy-or
    Paper,
}

#[derive(Debug, Args)]
pub struct ModelFiles {
    /// Model file to use in place of the built-in one of its role; give it twice for both roles
    #[arg(long = "model", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

/// What a file may ask for before it is refused.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Most voxels in one volume
    #[arg(long, value_name = "N", default_value_t = Limits::default().voxels)]
    pub max_voxels: usize,
    /// Most files in one folder tree or archive
    #[arg(long, value_name = "N", default_value_t = Limits::default().files)]
    pub max_files: usize,
    /// Most bytes that one compressed file or archive may unpack to
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().unpacked_bytes)]
    pub max_unpacked: u64,
    /// How many times its size a compressed file may unpack to, beyond 256 MiB
    #[arg(long, value_name = "RATIO", default_value_t = Limits::default().expansion)]
    pub max_expansion: u64,
    /// How deep zip archives may lie in each other: 0 reads none, 1 no zip within a zip
    #[arg(long, value_name = "N", default_value_t = Limits::default().nesting)]
    pub max_nesting: usize,
}

impl LimitFlags {
    pub fn limits(&self) -> Limits {
        Limits {
            voxels: self.max_voxels,
            files: self.max_files,
            unpacked_bytes: self.max_unpacked,
            expansion: self.max_expansion,
            nesting: self.max_nesting,
        }
    }
}

#[derive(Debug, Args)]
pub struct Screen {
    /// DICOM folder, file or .zip; .nii, .nii.gz, .hdr; .mha, .mhd; .nrrd, .nhdr; or a folder of many patients
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub input: Vec<PathBuf>,
    /// Folder for the results; made when missing
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Also write lungs.nii.gz and infection.nii.gz on the input's grid
    #[arg(long)]
    pub masks: bool,
    /// How regions become a verdict
    #[arg(long, value_enum, default_value_t = Profile::Calibrated)]
    pub profile: Profile,
    #[command(flatten)]
    pub models: ModelFiles,
    /// Skip cases that already have a report in DIR
    #[arg(long)]
    pub resume: bool,
    /// Put the patient's name and id into the report (left out otherwise)
    #[arg(long)]
    pub with_patient: bool,
    /// Print one JSON object a case in place of the summary line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Seed of the three phantoms
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Folder for phantoms and reports; made when missing
    #[arg(long, short, value_name = "DIR", default_value = "out/demo", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Screen this many seeds, from --seed on, and add the confusion matrix
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    #[command(flatten)]
    pub models: ModelFiles,
    /// How regions become a verdict
    #[arg(long, value_enum, default_value_t = Profile::Calibrated)]
    pub profile: Profile,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// File, .zip or folder
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub input: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Debug, Args)]
pub struct Lungs {
    /// DICOM folder, file or .zip; .nii, .nii.gz, .hdr; .mha, .mhd; .nrrd, .nhdr. A single slice will do
    #[arg(value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// Mask to write (.nii or .nii.gz), on the input's grid: 1 right, 2 left
    #[arg(long, short, value_name = "MASK", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Debug, Args)]
pub struct Convert {
    /// DICOM folder, file or .zip; .nii, .nii.gz, .hdr; .mha, .mhd; .nrrd, .nhdr
    #[arg(value_hint = ValueHint::AnyPath)]
    pub input: PathBuf,
    /// File to write (.nii or .nii.gz): HU in the oriented grid (x left, y back, z head)
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassName {
    /// COVID-19 pneumonia
    #[value(name = "covid-19")]
    Covid19,
    /// Influenza-A viral pneumonia
    InfluenzaA,
    /// No infection; findings irrelevant to infection may be there
    NoInfectionFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A folder of DICOM CT images
    Dicom,
    /// One .nii.gz
    Nifti,
}

#[derive(Debug, Args)]
pub struct Phantom {
    /// Class of the phantom
    #[arg(long, value_enum)]
    pub class: ClassName,
    /// Seed; the same seed gives the same voxels
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Folder to write to; must not exist, or be empty
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// How the CT is written
    #[arg(long, value_enum, default_value_t = Format::Dicom)]
    pub format: Format,
    /// Slices of the CT
    #[arg(long, default_value_t = 70, value_name = "N", value_parser = clap::value_parser!(u16).range(8..=600))]
    pub slices: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Cohort {
    /// Folder to write to; one folder a case, and cohort.csv
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Seed of the cohort
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Share of the paper's 618 cases to make (1 makes them all, about 25 GB as NIfTI)
    #[arg(long, default_value_t = 1.0, value_name = "SHARE")]
    pub scale: f64,
    /// How the CTs are written
    #[arg(long, value_enum, default_value_t = Format::Nifti)]
    pub format: Format,
    /// Only write cohort.csv
    #[arg(long)]
    pub list: bool,
    /// Skip cases that are there already
    #[arg(long)]
    pub resume: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, Subcommand)]
pub enum Train {
    /// Train the detector of candidate regions (VNET-IR-RPN)
    Detector(TrainDetector),
    /// Train the classifier of image patches (ResNet-18, with or without location-attention)
    Classifier(TrainClassifier),
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct TrainCommon {
    /// Folder for checkpoints, curves and the model; run again with the same folder to resume. Needed, but not to show settings
    // The default is never used: without the other flag clap asks for a folder.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(required_unless_present = "show_config", default_value = ".", hide_default_value = true)]
    pub out: PathBuf,
    /// Settings in TOML; flags win over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Steps of the optimiser
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Seed of everything that is random
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// CSV of your own labelled scans (docs/training.md), in place of synthetic ones
    #[arg(long, value_name = "MANIFEST", value_hint = ValueHint::FilePath)]
    pub data: Option<PathBuf>,
    /// Model file whose weights to start from, wherever they fit, in place of random ones
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Synthetic cases to train on
    #[arg(long, value_name = "N")]
    pub cases: Option<usize>,
    /// Print the settings that would be used, as TOML, and stop
    #[arg(long)]
    pub show_config: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct TrainDetector {
    #[command(flatten)]
    pub common: TrainCommon,
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct TrainClassifier {
    #[command(flatten)]
    pub common: TrainCommon,
    /// Detector whose proposals are learned from [default: the built-in one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub detector: Option<PathBuf>,
    /// File to keep the cut candidate regions of synthetic cases in: taken from there if they are there, refused if
    /// they are of another seed, detector or setting
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub candidates: Option<PathBuf>,
}

#[cfg(feature = "train")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A twelfth of the cases on coarse rasters, less than five minutes on two cores: learns little
    Quick,
    /// The paper's sizes, more than a day on two cores, training in stages of less than two hours
    Full,
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct Reproduce {
    /// Folder for everything; run again with the same folder to resume. Needed, but not to show settings
    // The default is never used: without the other flag clap asks for a folder.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(required_unless_present = "show_config", default_value = ".", hide_default_value = true)]
    pub out: PathBuf,
    /// How large
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    pub preset: Preset,
    /// Settings in TOML, in place of a preset
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "preset")]
    pub config: Option<PathBuf>,
    /// Stop after so many stages; run again to go on [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub stages: Option<u16>,
    /// Print the settings that would be used, as TOML, and stop
    #[arg(long)]
    pub show_config: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
pub struct Measure {
    /// Folder for results.md, results.json and the figures
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Cases: a multiple of 3, a third of them of each class
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = cases_in_threes)]
    pub cases: u32,
    /// Seed of the cases
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Edge of the voxels in mm, 1 to 5, in place of the 512 x 512 raster of a scanner: faster
    #[arg(long, value_name = "MM", default_value_t = 0.0, hide_default_value = true)]
    pub spacing: f64,
    #[command(flatten)]
    pub models: ModelFiles,
    /// A second classifier behind the same detector, to compare with (McNemar, DeLong)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "train")]
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 1 unless the network is shown to be at chance without lesions, and to tell types by lesions alone."
)]
pub struct Shortcut {
    /// Folder for shortcut.md, shortcut.json and checkpoints; run again with the same folder to resume
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Synthetic cases to train on
    #[arg(long, value_name = "N", default_value_t = 180, value_parser = cases_in_threes)]
    pub cases: u32,
    /// Synthetic cases to test on
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = cases_in_threes)]
    pub test_cases: u32,
    /// Steps of each of the three trainings
    #[arg(long, value_name = "N", default_value_t = 1500)]
    pub steps: u64,
    /// Seed of everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Edge of the phantoms' voxels in mm, 1 to 5
    #[arg(long, value_name = "MM", default_value_t = 2.0)]
    pub spacing: f64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "train")]
fn cases_in_threes(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if n > 0 && n.is_multiple_of(3) => Ok(n),
        _ => Err("a positive multiple of 3 is needed".into()),
    }
}

#[derive(Debug, Args)]
pub struct Evaluate {
    /// Verdicts: a cases.csv as `pleura screen` writes it (columns case, verdict)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub predictions: PathBuf,
    /// Truth: a CSV with the columns case and class (docs/results.md), such as cohort.csv
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub truth: PathBuf,
    /// Verdicts of another run over the same cases, to compare with (McNemar, DeLong)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// Read every scan that the truth names and refuse voxels that stand in two sets
    #[arg(long)]
    pub compare_voxels: bool,
    /// Also write tables, as Markdown and JSON, and curves into this folder
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
