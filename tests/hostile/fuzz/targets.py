"""Builds the targets with clang and runs them; what they found is in what libFuzzer prints."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zlib_ng import zlib_ng

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = ("csrc", "smartpipe", "setup.py", "pyproject.toml", "README.md", "LICENSE")
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
BUILD = ROOT / "build" / "fuzz"
FUZZER = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
# Without `undefined`, which objects to what Cython writes. What it is good for is told by the build for gcc's.
EXTENSION = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,fuzzer-no-link"

C_TARGETS = ("index", "record", "head", "inflate", "zstd")
# What part of the time each gets, in the order in which they are started.
SHARES = {"api": 0.4, "index": 0.2, "record": 0.15, "inflate": 0.15, "head": 0.05, "zstd": 0.05}
MOST = 1024
"""MB that a target may need."""
LONGEST = {"api": 4096, "index": 12288, "record": 8192, "inflate": 8192, "head": 4096, "zstd": 4096}


def missing() -> str | None:
    """What stands against building and running the targets here, None where nothing does."""
    if not sys.platform.startswith("linux"):
        return "the fuzz targets are for Linux"
    if not (ROOT / "csrc").is_dir():
        return "the sources of smartpipe are not here"
    if shutil.which("clang") is None:
        return "clang is not installed"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n > 0; }\n")
        built = subprocess.run(["clang", *FUZZER, "-o", f"{folder}/empty", str(source)], capture_output=True, text=True)
    if built.returncode != 0:
        return f"clang can not build for libFuzzer: {built.stderr.strip().splitlines()[-1]}"
    for module in ("atheris", "Cython", "setuptools"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return None


def build() -> None:
    """Build what is not there yet, or older than its sources, below the build folder of the repository."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with fresh("c", [ROOT / "csrc", *HERE.glob("*.[ch]")]) as folder:
            if folder is not None:
                build_c(folder)
        with fresh("api", [ROOT / name for name in SOURCES]) as folder:
            if folder is not None:
                build_api(folder)


@contextmanager
def fresh(name: str, sources: list[Path]) -> Iterator[Path | None]:
    """An empty folder to build in, None where what was built from the same is there."""
    digest = hashlib.sha256(f"{sys.version} {zlib_ng.__file__} {FUZZER} {EXTENSION}".encode())
    for path in sorted(path for source in sources for path in (source, *source.rglob("*"))):
        generated = path.suffix == ".c" and path.with_suffix(".pyx").exists()
        if path.suffix in (".c", ".h", ".py", ".pyx", ".pxd", ".toml") and not generated:
            digest.update(path.read_bytes())
    folder = BUILD / name
    stamp = folder / "built-from"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        yield None
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    stamp.write_text(digest.hexdigest())


def build_c(folder: Path) -> None:
    csrc = sorted((ROOT / "csrc").glob("*.c"))
    # The extension module of zlib-ng wants symbols of Python, which nobody calls.
    symbols = command("nm", "-D", "--undefined-only", zlib_ng.__file__).split()
    names = sorted({symbol.partition("@")[0] for symbol in symbols if re.match(r"_?Py", symbol)})
    (folder / "python.c").write_text("".join(f"char {name}[64];\n" for name in names))
    for target in C_TARGETS:
        stubs = [folder / "python.c"] if target == "inflate" else []
        library = f'-DZLIBNG="{zlib_ng.__file__}"'
        sources = [HERE / f"{target}.c", *csrc, *stubs]
        flags = ["-std=gnu11", "-Wall", "-Wextra", *FUZZER, "-I", ROOT / "csrc", library]
        command("clang", *flags, *sources, "-o", folder / target, "-rdynamic", "-ldl")


def build_api(folder: Path) -> None:
    """The extensions in a copy of the package, with coverage for libFuzzer and the address sanitizer."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder)
    for source in (folder / "smartpipe").rglob("*.pyx"):
        source.with_suffix(".c").unlink(missing_ok=True)
    environment = {"CC": "clang", "LDSHARED": "clang -shared", "CFLAGS": EXTENSION, "SMARTPIPE_BUILD": "release"}
    jobs = str(os.cpu_count() or 1)
    command(sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j", jobs, cwd=folder, **environment)


def command(*arguments: object, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints; it must succeed."""
    ended = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{arguments[0]} ended with {ended.returncode}:\n{(ended.stdout + ended.stderr)[-5000:]}")
    return ended.stdout


def program(target: str) -> tuple[list[str], dict[str, str]]:
    """The command of a target, and what its environment needs more."""
    if target in C_TARGETS:
        return [str(BUILD / "c" / target)], {
            "ASAN_OPTIONS": "quarantine_size_mb=64",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
    origin = importlib.util.find_spec("atheris")
    assert origin is not None and origin.origin is not None
    atheris = Path(origin.origin).parent
    # libFuzzer is in the first, and finds the function that calls our mutator only where it was loaded before.
    preloaded = [atheris.parent / "asan_with_fuzzer.so", *atheris.glob("custom_mutator.*.so")]
    paths = [str(BUILD / "api"), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return [sys.executable, "-m", "hostile.fuzz.fuzz_api"], {
        "LD_PRELOAD": " ".join(map(str, preloaded)),
        "PYTHONPATH": os.pathsep.join(paths),
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16",
        "SMARTPIPE_ENGINE": "c",
    }


@dataclass
class Result:
    """What came of running a target."""

    target: str
    executions: int
    peak: int  # bytes
    failure: str | None
    mismatch: bool


def limits_of_all() -> list[str]:
    """What libFuzzer takes for a failure. Linux counts what this process had at its peak as that of a program which it
    starts, too."""
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return ["-timeout=30", f"-rss_limit_mb={MOST + inherited}"]


def fuzz(target: str, seconds: float, seed: int) -> Result:
    """Run a target for so long; an input that fails is put into its crashers."""
    grown = BUILD / "corpus" / target
    crashers = HERE / "crashers" / target
    for folder in (grown, crashers):
        folder.mkdir(parents=True, exist_ok=True)
    limits = [*limits_of_all(), "-malloc_limit_mb=64", f"-max_len={LONGEST[target]}", "-report_slow_units=1000"]
    return run(
        target,
        [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}", *limits, "-print_final_stats=1"],
        [f"-artifact_prefix={crashers}/", str(grown), str(HERE / "corpus" / target)],
        timeout=2 * seconds + 120,
    )


def replay(target: str) -> Result:
    """Run a target on its seeds and on all that it once failed on."""
    inputs = [*(HERE / "corpus" / target).iterdir(), *(HERE / "crashers" / target).glob("*")]
    return run(target, limits_of_all(), [str(path) for path in sorted(inputs)], timeout=280)


def run(target: str, options: list[str], inputs: list[str], *, timeout: float) -> Result:
    arguments, environment = program(target)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        try:
            ended = subprocess.run(
                [*arguments, *options, *inputs],
                stdout=subprocess.PIPE,  # where atheris shows an exception
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "TMPDIR": folder},
                timeout=timeout,
            )
            code, log = ended.returncode, ended.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as expired:
            code, log = -1, (expired.stdout or b"").decode(errors="replace")
    counted = re.findall(r"number_of_executed_units: (\d+)", log) or re.findall(r"^#(\d+)", log, re.MULTILINE)
    peak = re.findall(r"peak_rss_mb: +(\d+)", log)
    failure = None
    if code != 0:
        culprit = re.findall(r"Test unit written to (\S+)", log) or re.findall(r"^Running: (\S+)", log, re.MULTILINE)
        path = culprit[-1] if culprit else " ".join(inputs)
        settings = [f"{name}={value}" for name, value in environment.items()]
        again = shlex.join(["env", *settings, *arguments, path])
        failure = f"{target}: exit code {code}: {path}\nagain by: {again}\n{excerpt(log)}"
    return Result(
        target,
        executions=int(counted[-1]) if counted else 0,
        peak=(int(peak[-1]) if peak else 0) << 20,
        failure=failure,
        mismatch="Mismatch: " in log,
    )


def excerpt(log: str) -> str:
    """The lines of a log that say what went wrong, without the progress of the fuzzer."""
    lines = [line for line in log.splitlines() if not re.match(r"#\d+\s|\s*NEW_(FUNC|PC)|INFO: ", line)]
    return "\n".join(line[:300] for line in lines[:60])
