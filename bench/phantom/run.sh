#!/bin/sh
# Times the phantoms of this tree beside those of an older commit and compares their bytes.
# usage: bench/phantom/run.sh COMMIT [ROUNDS]     (prints one JSON object)
set -eu
cd "$(dirname "$0")/../.."
old=$(mktemp -d)
trap 'git worktree remove --force "$old/tree"; rm -rf "$old"' EXIT
git worktree add --quiet --detach "$old/tree" "$1"
# both sides are timed by one program
cp crates/phantom/examples/time_phantom.rs "$old/tree/crates/phantom/examples/"
cp -r crates/phantom/tests/fingerprint "$old/tree/crates/phantom/tests/"
for tree in "$old/tree" .; do
    (cd "$tree" && CARGO_TARGET_DIR="$old/target" cargo build --quiet --release -p pleura-phantom --example time_phantom)
    cp "$old/target/release/examples/time_phantom" "$old/$([ "$tree" = . ] && echo new || echo old)"
done
python3 bench/phantom/compare.py "$old/old" "$old/new" "${2:-3}"
