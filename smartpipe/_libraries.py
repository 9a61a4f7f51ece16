"""The libraries that run the codecs, as packages bring them: their modules, versions, and where their C functions are.

A library is imported when something first needs it. The C functions are those that the package's extension module
exports; nothing is compiled against them.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False  # for type checkers, which take it for typing's: that module takes long to import
if TYPE_CHECKING:
    from typing import Any

CHOICE = os.environ.get("SMARTPIPE_ENGINE", "")
"""The environment's choice: "python" calls Python APIs only, "zlib-ng" uses no other library for the codec zlib, "c" is
as none."""
CHOICES = ("c", "python", "zlib-ng")


class Library:
    """Where a library is: in the first of the modules that is there, functions with the prefix and these names."""

    __slots__ = ("functions", "modules", "prefix")

    def __init__(self, modules: tuple[str, ...], prefix: str, functions: tuple[str, ...]) -> None:
        self.modules = modules
        self.prefix = prefix
        self.functions = functions


LIBRARIES = {
    "zlib-ng": Library(
        ("zlib_ng.zlib_ng",),
        "",
        (
            "zlibng_version",
            "zng_crc32_z",
            "zng_deflateInit2_",
            "zng_deflate",
            "zng_deflateReset",
            "zng_deflateEnd",
            "zng_inflateInit2_",
            "zng_inflate",
            "zng_inflateReset",
            "zng_inflateEnd",
        ),
    ),
    "libdeflate": Library(
        ("deflate._deflate",),
        "libdeflate_",
        (
            "alloc_compressor",
            "zlib_compress",
            "free_compressor",
            "alloc_decompressor",
            "zlib_decompress_ex",
            "gzip_decompress_ex",
            "free_decompressor",
        ),
    ),
    "ISA-L": Library(("isal.isal_zlib",), "isal_", ("deflate_stateless_init", "deflate_stateless")),
    "zstd": Library(
        ("backports.zstd._zstd", "_zstd"),
        "ZSTD_",
        (
            "versionNumber",
            "isError",
            "getErrorCode",
            "createCCtx",
            "freeCCtx",
            "CCtx_setParameter",
            "compress2",
            "createDCtx",
            "freeDCtx",
            "decompressDCtx",
            "CCtx_loadDictionary",
            "createDDict",
            "freeDDict",
            "decompress_usingDDict",
        ),
    ),
    "lz4": Library(
        ("lz4.block._block",),
        "LZ4_",
        (
            "versionNumber",
            "sizeofState",
            "initStream",
            "resetStream_fast",
            "compress_fast_continue",
            "sizeofStateHC",
            "compress_HC_extStateHC",
            "decompress_safe",
        ),
    ),
}
APIS = {"zstd": ("backports.zstd", "compression.zstd"), "lz4": ("lz4.block",)}
"""The modules of Python that are used where the C functions can not be."""


def _first(modules: tuple[str, ...]) -> Any:
    """The first of some modules that can be imported, None where none can."""
    for name in modules:
        try:
            return import_module(name)
        except ImportError:
            pass
    return None


def addresses(name: str) -> list[int] | None:
    """The addresses of a library's functions, None where they can not be had."""
    if CHOICE == "python":
        return None
    library = LIBRARIES[name]
    module = _first(library.modules)
    if module is None or getattr(module, "__file__", None) is None:
        return None
    try:
        import ctypes

        exported = ctypes.CDLL(module.__file__)
        functions = [getattr(exported, library.prefix + function) for function in library.functions]
    except (ImportError, OSError, AttributeError):
        return None
    return [ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions]


def api(name: str) -> Any:
    """The module with a library's Python API, None where there is none."""
    return _first(APIS[name])


def version(name: str) -> str:
    """The version of a library that is there; that of its package where the library does not tell its own."""
    match name:
        case "zlib-ng":
            return str(import_module("zlib_ng.zlib_ng").ZLIBNG_VERSION)
        case "libdeflate":
            return str(import_module("deflate").__version__)
        case "ISA-L":
            return str(import_module("isal").__version__)
        case "zstd":
            return str(api("zstd").zstd_version)
        case _:
            return str(import_module("lz4").library_version_string())
