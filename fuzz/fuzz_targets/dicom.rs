#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pleura_formats::fuzzing::dicom(data));
