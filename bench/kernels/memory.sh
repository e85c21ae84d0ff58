#!/bin/sh
# Runs the kernels' tests under what finds reads and writes out of bounds. Each part says when it is skipped.
#
#   bench/kernels/memory.sh [checked] [asan] [valgrind]    all of them without a word
#
# checked   debug assertions and overflow checks, which the tests usually run without: the micro-kernels then check the
#           bounds of what they read, and the standard library the arguments of its unsafe functions
# asan      AddressSanitizer, every instruction set of this machine; needs a nightly toolchain (NIGHTLY, "nightly")
# valgrind  memcheck, which also finds reads of what was never written; it knows no AVX-512, so that set is out,
#           and runs CASES (6) of each random test
set -eu
cd "$(dirname "$0")/../.."
parts=${*:-checked asan valgrind}
host=$(rustc -vV | sed -n 's/^host: //p')
for part in $parts; do
  echo "== $part"
  case $part in
  checked)
    cargo test --locked -p pleura-kernels \
      --config profile.dev.package.pleura-kernels.debug-assertions=true \
      --config profile.dev.package.pleura-kernels.overflow-checks=true
    ;;
  asan)
    if ! cargo "+${NIGHTLY:-nightly}" --version >/dev/null 2>&1; then
      echo "skipped: no nightly toolchain"
      continue
    fi
    # A target, so that build scripts stay without it.
    RUSTFLAGS=-Zsanitizer=address cargo "+${NIGHTLY:-nightly}" test --locked -p pleura-kernels \
      --target "$host" --lib --tests --target-dir target/asan
    ;;
  valgrind)
    if ! command -v valgrind >/dev/null; then
      echo "skipped: valgrind is not installed"
      continue
    fi
    export PROPTEST_CASES="${CASES:-6}"
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=9 --fair-sched=yes" \
      CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=9 --fair-sched=yes" \
      cargo test --locked -p pleura-kernels --lib --tests
    ;;
  *)
    echo "no such part" >&2
    exit 2
    ;;
  esac
done
