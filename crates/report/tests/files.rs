//! The report's folder and the table of cases.
#![allow(clippy::unwrap_used)]

mod common;

use common::{case, meta, scan, timings};
use pleura_report::{CaseRow, Document, Meta, Status, cases_csv, summary_line, write};
use std::fs;
use std::path::Path;

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn document() -> Document {
    Document::new(&scan(), &case(), &meta(), timings())
}

#[test]
fn a_report_is_written_whole_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deep/er/out");
    let d = write(&dir, &scan(), &case(), &Meta { masks: true, ..meta() }).unwrap();
    assert_eq!(names(&dir), ["images", "infection.nii.gz", "lungs.nii.gz", "report.html", "report.json"]);
    assert_eq!(names(&dir.join("images")), ["overview.png", "region-01.png", "region-02.png"]);
    assert_eq!(names(dir.parent().unwrap()), ["out"]);
    let read = Document::read(&dir.join("report.json")).unwrap();
    assert_eq!((read.verdict.kind, read.regions.len()), (d.verdict.kind, 2));
    assert!(d.timings_s.total >= 0.125 + 0.5 + 2.0 + 0.25);
}

#[test]
fn two_reports_differ_in_their_timings_only() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = ["a", "b"].map(|n| folder.path().join(n));
    let documents = dirs.each_ref().map(|d| write(d, &scan(), &case(), &meta()).unwrap());
    for file in ["report.html", "images/overview.png", "images/region-01.png"] {
        assert_eq!(fs::read(dirs[0].join(file)).unwrap(), fs::read(dirs[1].join(file)).unwrap(), "{file}");
    }
    let json = dirs.map(|d| {
        let text = fs::read_to_string(d.join("report.json")).unwrap();
        text.split("\"timings_s\"").next().unwrap().to_owned()
    });
    assert_eq!(json[0], json[1]);
    assert_eq!(documents[0].regions, documents[1].regions);
}

#[test]
fn an_earlier_report_is_replaced_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::create_dir(dir.join("images")).unwrap();
    fs::write(dir.join("images/region-77.png"), "old").unwrap();
    fs::write(dir.join("report.json"), "old").unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    write(dir, &scan(), &case(), &meta()).unwrap();
    assert_eq!(names(dir), ["images", "notes.txt", "report.html", "report.json"]);
    assert_eq!(names(&dir.join("images")), ["overview.png", "region-01.png", "region-02.png"]);
    assert!(Document::read(&dir.join("report.json")).is_ok());
}

#[test]
fn masks_of_an_earlier_report_go_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("out");
    write(&dir, &scan(), &case(), &Meta { masks: true, ..meta() }).unwrap();
    write(&dir, &scan(), &case(), &meta()).unwrap();
    assert_eq!(names(&dir), ["images", "report.html", "report.json"]);
    let dir = folder.path().join("of the user");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("lungs.nii.gz"), "mine").unwrap();
    write(&dir, &scan(), &case(), &meta()).unwrap();
    assert_eq!(fs::read(dir.join("lungs.nii.gz")).unwrap(), b"mine");
}

#[test]
fn where_nothing_can_be_written_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = write(&file.join("out"), &scan(), &case(), &meta()).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn the_table_has_the_columns_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.csv");
    let types = ["covid-19", "influenza-a"].map(String::from);
    let rows = [
        CaseRow::done("one", "in/one", document()),
        CaseRow::not_done("two", "in/two", Status::Refused, "in/two: not CT, but MR"),
    ];
    cases_csv(&path, &types, &rows).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "case,input,status,verdict,probability,covid-19,influenza-a,regions,lungs_ml,involvement_pct,warnings,seconds,error,no_infection\n\
         one,in/one,done,covid-19,0.9123,0.9123,0.0120,2,1600,0.12,slice-gap gantry-tilt,3.0,,0.0757\n\
         two,in/two,refused,,,,,,,,,,\"in/two: not CT, but MR\",\n"
    );
    assert_eq!(names(folder.path()), ["cases.csv"]);
}

#[test]
fn the_table_holds_no_formula() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.csv");
    let row = |name: &str| CaseRow::not_done(name, "+1", Status::Failed, "@SUM(A1)");
    cases_csv(&path, &[], &[row("=cmd|' /C calc'!A0"), row(" -2\n"), row("\tx"), row("a=b")]).unwrap();
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let cells: Vec<Vec<String>> =
        reader.records().map(|r| r.unwrap().iter().map(String::from).collect()).collect();
    let first: Vec<&str> = cells.iter().map(|r| r[0].as_str()).collect();
    assert_eq!(first, ["'=cmd|' /C calc'!A0", "' -2\n", "'\tx", "a=b"]);
    assert!(cells.iter().all(|r| r[1] == "'+1" && r[r.len() - 2] == "'@SUM(A1)"));
}

#[test]
fn a_case_in_one_line() {
    assert_eq!(
        summary_line("one", &document()),
        "one: covid-19 0.912; lungs ok, 1.6 l, 0.1 % involved; 1 of 2 regions infected, 2 warnings; 3.0 s"
    );
}
