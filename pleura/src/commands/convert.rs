//! `pleura convert`.

use crate::cli::Convert;
use crate::failure::DONE;
use anyhow::Result;

pub fn run(a: &Convert) -> Result<u8> {
    super::nifti_output(&a.output)?;
    super::not_the_input(&a.input, &a.output)?;
    let scan = super::the_only_scan(&a.input, &a.limits.limits())?;
    super::print_warnings(&scan.warnings);
    super::make_folder_of(&a.output)?;
    pleura_formats::write_nifti_i16(&a.output, &scan.volume, None)?;
    Ok(DONE)
}
