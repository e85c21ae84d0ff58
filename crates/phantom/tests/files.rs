//! Phantoms on disk and back.

use pleura_formats::{Limits, find_sources, read};
use pleura_phantom::{
    Class, GENERATOR, Grid, RenderOptions, TruthRegion, load_truth, render, save_dicom, save_nifti,
    save_truth,
};

#[test]
fn a_phantom_comes_back_from_dicom_and_nifti_as_it_was() {
    let options = RenderOptions { grid: Grid::Detector { spacing_mm: 5.0 }, ..Default::default() };
    let p = render(Class::Covid19, 2, &options);
    let dir = tempfile::tempdir().unwrap();
    save_dicom(&p, &dir.path().join("dicom")).unwrap();
    save_nifti(&p, &dir.path().join("nifti")).unwrap();
    save_truth(&p, &dir.path().join("truth")).unwrap();
    for kind in ["dicom", "nifti"] {
        let found = find_sources(&[dir.path().join(kind)], &Limits::default()).unwrap().sources;
        assert_eq!(found.len(), 1, "{kind}");
        let back = read(&found[0], &Limits::default()).unwrap();
        assert_eq!(back.volume.size(), p.volume.size(), "{kind}");
        assert!(back.volume.data == p.volume.data, "{kind}");
        for v in [[0, 0, 0], [10, 3, 7]] {
            let (a, b) =
                (back.volume.geometry.to_lps(v.map(f64::from)), p.volume.geometry.to_lps(v.map(f64::from)));
            assert!((0..3).all(|c| (a[c] - b[c]).abs() < 1e-3), "{kind} {a:?} {b:?}");
        }
    }
    let truth = load_truth(&dir.path().join("truth")).unwrap();
    assert_eq!((truth.generator.as_str(), truth.class, truth.seed), (GENERATOR, Class::Covid19, 2));
    assert_eq!((truth.regions.len(), truth.latents.lesions), (p.regions.len(), p.latents.lesions));
    for (a, b) in truth.regions.iter().zip(&p.regions) {
        let corners = |r: &TruthRegion| [r.box_mm.min, r.box_mm.max].concat();
        assert!(corners(a).iter().zip(corners(b)).all(|(a, b)| (a - b).abs() < 1e-9));
    }
    assert!(load_truth(dir.path()).is_err());
}
