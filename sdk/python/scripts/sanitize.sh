#!/bin/sh
# Builds the C core with the address and undefined-behaviour sanitizers and runs the tests of the hot
# path over it. Needs gcc with libasan and a Python that has tests/requirements.txt installed.
# Usage: scripts/sanitize.sh [python]
set -eu
python=${1:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$here/csrc" "$here/src" "$here/tests" "$here/setup.py" "$here/pyproject.toml" "$here/README.md" "$folder"
cd "$folder"
AXONIZE_PURE=0 AXONIZE_CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
  "$python" setup.py -q build --build-lib "$folder/site" 2>"$folder/log" || { cat "$folder/log"; exit 1; }
ls site/axonize/_core*.so >/dev/null
rm -rf src
# The interpreter's own leaks are not ours; PYTHONMALLOC=malloc lets the sanitizer see every object.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
  PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 AXONIZE_PURE=0 AXONIZE_EXPECT=c PYTHONPATH="$folder/site" \
  "$python" -m pytest tests/test_clock.py tests/test_core.py tests/test_context.py tests/test_generators.py tests/test_spans.py \
  tests/test_fuzz.py -k "not flat and not leaks"
