#!/bin/sh
# Counts the kernels' instructions under callgrind and compares them with the committed counts: a guard
# against regressions that needs no clock.
#
#   bench/kernels/instructions.sh            fails where a kernel needs 10 % more than its baseline
#   bench/kernels/instructions.sh --update   writes the baseline anew
#
# Without valgrind it says so and passes. Valgrind knows no AVX-512, so that set is not counted.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v valgrind >/dev/null || ! command -v callgrind_annotate >/dev/null; then
  echo "kernels' instructions: skipped, valgrind is not installed"
  exit
fi
cargo build --quiet --release --locked -p pleura-kernels --example instructions
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
baseline=bench/kernels/instructions.csv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sets=portable
if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then sets="$sets avx2"; fi
for set in $sets; do
  valgrind --quiet --tool=callgrind --callgrind-out-file="$work/$set.out" "$target/release/examples/instructions" "$set"
  # Lines such as "12,345 (6.78%)  file:instructions::conv_3x3x3_8 [...]".
  callgrind_annotate --inclusive=yes --threshold=100 "$work/$set.out" |
    sed -n "s/^ *\([0-9,]*\) .*:instructions::\([a-z_]*_[a-z0-9_]*\)\( \[.*\)*$/$set \2 \1/p" |
    tr -d , | sort -u >>"$work/counts"
done
echo "set,kernel,instructions" >"$work/now.csv"
grep -E ' (conv|up_conv|input_gradient|weight_gradient|max_pool)_' "$work/counts" | tr ' ' , | sort >>"$work/now.csv"
if [ "${1:-}" = --update ]; then
  cp "$work/now.csv" "$baseline"
  exit
fi
awk -F, -v sets="$sets" '
  FNR == 1 { next }
  NR == FNR { was[$1 "," $2] = $3; next }
  { now[$1 "," $2] = $3 }
  END {
    for (k in was) {
      split(k, part, ",")
      if (index(sets, part[1]) == 0) continue
      if (!(k in now)) { print k ": not counted"; bad = 1; continue }
      change = 100 * (now[k] / was[k] - 1)
      if (change > 10) { printf "%s: %d instructions, %.1f %% more than the baseline\n", k, now[k], change; bad = 1 }
      if (change < -10) printf "%s: %.1f %% fewer instructions; --update keeps it so\n", k, -change
    }
    for (k in now) if (!(k in was)) { print k ": has no baseline; run with --update"; bad = 1 }
    if (!bad) print "kernels" "\047 instructions: as the baseline or fewer"
    exit bad
  }' "$baseline" "$work/now.csv"
