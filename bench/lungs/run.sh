#!/bin/sh
# Times the lungs of a CT beside a plain scipy and scikit-image pipeline, on the same machine.
# usage: bench/lungs/run.sh DICOM_FOLDER [RUNS]     (prints one JSON object)
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet -p pleura-lungs --example time_lungs
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
exec python3 bench/lungs/plain_lungs.py "$1" "$target/debug/examples/time_lungs" "${2:-3}"
