#!/bin/sh
# The tests with extensions that were built for the sanitizers of addresses and of undefined behaviour, in a copy of the
# tree below build/: tests/sanitize.sh PYTHON [options of pytest]. PYTHON has what the tests need, Cython and setuptools.
#
# Without the fuzzers, which have a build of their own, and with a part of the torture: TORTURE_SCALE.
set -eu
cd "$(dirname "$0")/.."
python=$1
shift
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac

place=$PWD/build/sanitize
rm -rf "$place"
mkdir -p "$place/tree" "$place/venv/bin"
tar --create --exclude=./build --exclude=./dist --exclude=./.git --exclude='./.venv*' --exclude=__pycache__ \
    --exclude='*.so' . | tar --extract --directory "$place/tree"
find "$place/tree/smartpipe" -name '*.c' -delete
cd "$place/tree"
export SMARTPIPE_BUILD=sanitize
"$python" setup.py -q build_ext --inplace -j "$(nproc)" > "$place/build.log" 2>&1 || { cat "$place/build.log"; exit 1; }

# An interpreter with the sanitizer in it. To preload it would put it also into all other programs that the tests start.
"$python" - "$place" << 'END'
import pathlib, subprocess, sys, sysconfig
place = pathlib.Path(sys.argv[1])
get = sysconfig.get_config_var
if get("Py_ENABLE_SHARED"):
    library = ["-L" + get("LIBDIR"), "-lpython" + get("LDVERSION"), "-Wl,-rpath," + get("LIBDIR")]
else:
    library = [get("LIBPL") + "/" + get("LIBRARY"), *get("LIBS").split(), *get("SYSLIBS").split()]
source = place / "python.c"
source.write_text("#include <Python.h>\nint main(int n, char **words) { return Py_BytesMain(n, words); }\n")
flags = ["-fsanitize=address,undefined", "-I" + sysconfig.get_path("include"), "-Wl,-export-dynamic"]
subprocess.run(["gcc", *flags, source, "-o", place / "venv/bin/python", *library], check=True)
home = pathlib.Path(sys._base_executable).parent
(place / "venv/pyvenv.cfg").write_text(f"home = {home}\nversion = {sys.version.split()[0]}\n")
packages = place / f"venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
packages.mkdir(parents=True)
found = dict.fromkeys([str(place / "tree"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
(packages / "chain.pth").write_text("".join(f"{path}\n" for path in found))
END

# CPython frees little at its end; the C of csrc is looked through for leaks by the fuzz targets.
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=64"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export TORTURE_SCALE="${TORTURE_SCALE:-0.02}"
# Not: memory, which the sanitizer gives out here, and a crash that is made by hand, which it would report.
"$place/venv/bin/python" -m pytest tests -p no:cacheprovider \
    --ignore=tests/hostile/test_fuzz.py --ignore=tests/hostile/test_memory.py --ignore=tests/hostile/test_soak.py \
    --deselect tests/hostile/test_malicious.py::test_ten_gigabytes_of_honest_zeros \
    --deselect tests/hostile/test_malicious.py::test_a_million_blocks_under_one_key \
    --deselect tests/hostile/test_malicious.py::test_a_million_entries_of_format_1_at_one_place \
    --deselect tests/container/test_background.py::test_large_blocks_among_small_ones_take_no_more_memory_than_is_under_way \
    --deselect tests/container/test_readahead.py::test_a_block_for_which_there_was_no_memory_is_read_again \
    --deselect tests/container/test_reader.py::test_a_block_that_is_kept_keeps_no_other_one \
    --deselect tests/operations/test_map.py::test_a_worker_that_dies_is_named_with_its_block "$@"
