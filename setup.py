"""The extensions. Everything else is in pyproject.toml.

SMARTPIPE_BUILD chooses another build than the optimized one: "debug", "sanitize" (address and undefined behaviour) or
"coverage" (line tracing in Cython, gcov in C).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

BUILD = os.environ.get("SMARTPIPE_BUILD", "release")
FLAGS = {
    "release": ["-O2"],
    "debug": ["-O0", "-g3"],
    "sanitize": [
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
    ],
    "coverage": ["-O0", "-g", "--coverage", "-DCYTHON_TRACE=1"],
}
if BUILD not in FLAGS:
    raise SystemExit(f"SMARTPIPE_BUILD is {BUILD!r}, not one of {', '.join(FLAGS)}")
compile_args = ["-std=c11", "-fvisibility=hidden", *FLAGS[BUILD]]
link_args = [flag for flag in FLAGS[BUILD] if flag.startswith(("-fsanitize", "--coverage"))]


def extension(source: Path) -> Extension:
    """An extension module of a .pyx; only _codec links csrc, the others use its headers."""
    name = ".".join(source.with_suffix("").parts)
    c_files = sorted(str(path) for path in Path("csrc").glob("*.c")) if name == "smartpipe._codec" else []
    return Extension(
        name,
        [str(source), *c_files],
        include_dirs=["csrc"],
        depends=[str(path) for path in sorted(Path("csrc").glob("*.h"))],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


sources = sorted(Path("smartpipe").rglob("*.pyx"))
setup(
    ext_modules=cythonize(
        [extension(source) for source in sources],
        language_level=3,
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "auto_pickle": False,
            "cdivision": True,
            "nonecheck": True,
            "embedsignature": True,
            # The interpreter need not take its lock back for these: docs/threads.md.
            "freethreading_compatible": True,
            "linetrace": BUILD == "coverage",
        },
    )
)
