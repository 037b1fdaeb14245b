#!/bin/sh
# Builds the C core with sanitizers and runs the tests of the hot path over it: the address and
# undefined-behaviour ones, or, where the Python was itself built with the thread sanitizer (CPython's
# ./configure --disable-gil --with-thread-sanitizer), that one. Races of CPython's own are listed in its
# Tools/tsan/suppressions_free_threading.txt: TSAN_OPTIONS=suppressions=<that file>.
# Needs gcc with libasan, or libtsan, and a Python that has tests/requirements.txt (or -free.txt) installed.
# Usage: scripts/sanitize.sh [python]
set -eu
python=${1:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$here/csrc" "$here/src" "$here/tests" "$here/setup.py" "$here/pyproject.toml" "$here/README.md" "$folder"
cd "$folder"
threads=$("$python" -c "import sysconfig; print('with-thread-sanitizer' in (sysconfig.get_config_var('CONFIG_ARGS') or ''))")
case $threads in
  True) flags="-fsanitize=thread" ;;
  *) flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined" ;;
esac
AXONIZE_PURE=0 AXONIZE_CFLAGS="-O1 -g -fno-omit-frame-pointer $flags" \
  "$python" setup.py -q build --build-lib "$folder/site" 2>"$folder/log" || { cat "$folder/log"; exit 1; }
ls site/axonize/_core*.so >/dev/null
rm -rf src
export PYTHONDONTWRITEBYTECODE=1 AXONIZE_PURE=0 AXONIZE_EXPECT=c PYTHONPATH="$folder/site"
if [ "$threads" = True ]; then
  # A program of its own for each fork: the sanitizer's threads do not survive one.
  TSAN_OPTIONS="exitcode=66:halt_on_error=0:${TSAN_OPTIONS-}" "$python" -m pytest tests/test_threads.py -k "not forks"
  exit
fi
# The interpreter's own leaks are not ours; PYTHONMALLOC=malloc lets the sanitizer see every object.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
  "$python" -m pytest tests/test_clock.py tests/test_core.py tests/test_context.py tests/test_generators.py tests/test_spans.py \
  tests/test_fuzz.py tests/test_threads.py -k "not flat and not leaks"
