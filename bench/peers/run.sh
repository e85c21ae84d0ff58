#!/bin/sh
# The networks beside PyTorch, ONNX Runtime and OpenVINO: the same weights and inputs, in turns.
#
#   bench/peers/run.sh [bench] [SCAN]    times everything; raw CSV and summary.md into bench/runs/
#   bench/peers/run.sh check [SCAN]      compares outputs only: odd sizes of every network
#   bench/peers/run.sh fixtures          PyTorch's outputs and gradients for all tests that compare with them
#
# SCAN is a CT, anything that `pleura convert` reads; without it a phantom is used. Environment:
# VENV (where the Python packages go; bench/peers/.venv), THREADS (2), ROUNDS (a factor of the rounds, 1),
# ONLY (part of the name of the work to time), NAME (what the folder's name ends with), NOTE (a line for the summary,
# such as what else the machine did).
set -eu
what=bench
case "${1:-}" in bench | check | fixtures) what=$1; shift ;; esac
[ $# -eq 0 ] || set -- "$(realpath "$1")"
cd "$(dirname "$0")/../.."
venv=${VENV:-bench/peers/.venv}
if ! "$venv/bin/python" -c 'import torch, onnx, onnxruntime, openvino, safetensors' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r bench/peers/requirements.txt
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=$(cargo metadata --format-version 1 --no-deps | "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
programs=$target/release/examples
cargo build --quiet --release --locked -p pleura-nets --example formula_model --example forward
mkdir "$work/made"
"$programs/formula_model" "$work/made"
if [ $what = fixtures ]; then
  "$venv/bin/python" bench/peers/fixtures.py "$work/made" crates/nets/tests/fixtures/twin.json \
    crates/nets-burn/tests/gradients.json
  for script in crates/kernels/tests/pytorch crates/nets-burn/tests/batch_norm; do
    "$venv/bin/python" $script.py >"$work/expected"
    mv "$work/expected" $script.txt
  done
  exit
fi
cargo build --quiet --release --locked -p pleura
pleura=$target/release/pleura
"$pleura" phantom --class covid-19 --seed 7 --out "$work/phantom" >&2
"$pleura" convert "${1:-$work/phantom/ct}" "$work/scan.nii.gz" >&2
if [ $# -gt 0 ]; then INPUT="a CT"; else INPUT="a phantom (covid-19, seed 7)"; fi
export INPUT
if [ $what = check ]; then
  "$venv/bin/python" bench/peers/check.py models "$work/made" "$programs" "$work/scan.nii.gz"
  exit
fi
cargo build --quiet --release --locked -p pleura-nets-burn --example train_step
"$venv/bin/python" bench/peers/bench.py models "$work/made" "$programs" "$work/scan.nii.gz" "$pleura" "$work/phantom/ct"
