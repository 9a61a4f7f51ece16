"""What lies beneath: memory, files, and the engines alone, on the bytes of the same blocks, in buffers used again.

Nothing is split into pairs, checked or looked up. The calls go to C through ctypes and `os`: what Python adds is under
a microsecond for a block or a megabyte. ISA-L's state has no size that is promised: it is called through its package.
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store

LENGTH = struct.Struct("<I")
CHUNK = 1 << 20


def joined(pairs: dict[bytes, bytes]) -> bytes:
    """The bytes of a block: each key and value behind its length."""
    return b"".join(part for pair in pairs.items() for item in pair for part in (LENGTH.pack(len(item)), item))


class Limit(Rival):
    """What handles the joined bytes of blocks."""

    def prepare(self, blocks: list[Block]) -> None:
        self.raw = [joined(pairs) for _, pairs in blocks]

    def size(self, pairs: dict[bytes, bytes]) -> int:
        return len(joined(pairs))


class Memory(Limit):
    """memcpy into memory that was touched."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        for _ in self.read():
            pass

    def prepare(self, blocks: list[Block]) -> None:
        super().prepare(blocks)
        whole = b"".join(self.raw)
        self.length = len(whole)
        self.source = ctypes.create_string_buffer(whole, self.length)
        self.target = ctypes.create_string_buffer(self.length)
        ctypes.memset(self.target, 1, self.length)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        source, target = ctypes.addressof(self.source), ctypes.addressof(self.target)
        view = memoryview(self.target)
        for begin in range(0, self.length, CHUNK):
            size = min(CHUNK, self.length - begin)
            ctypes.memmove(target + begin, source + begin, size)
            yield b"", ((b"", view[begin : begin + size]),)

    def open(self, folder: Path) -> Store:
        return Direct(self)


class File(Limit):
    """write() and read() with 1 MiB at a time, the latter into one buffer."""

    def prepare(self, blocks: list[Block]) -> None:
        super().prepare(blocks)
        self.whole = b"".join(self.raw)

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        view = memoryview(self.whole)
        with open(folder / "file", "wb", buffering=0) as file:
            file.writelines(view[begin : begin + CHUNK] for begin in range(0, len(view), CHUNK))

    def open(self, folder: Path) -> Store:
        return FileStore(folder / "file")


class FileStore(Store):
    """A file that is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb", buffering=0)
        self.buffer = memoryview(bytearray(CHUNK))

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        self.file.seek(0)
        while size := self.file.readinto(self.buffer):
            yield b"", ((b"", self.buffer[:size]),)

    def close(self) -> None:
        self.file.close()


class Engine(Limit):
    """A compressor on one block after another, from and into memory."""

    def prepare(self, blocks: list[Block]) -> None:
        super().prepare(blocks)
        # Room for what does not shrink.
        self.capacity = max(map(len, self.raw)) * 9 // 8 + 1024
        self.buffer = ctypes.create_string_buffer(self.capacity)
        self.begin()
        self.streams = [self.stream(raw) for raw in self.raw]

    def stream(self, raw: bytes) -> bytes:
        size = self.deflate(raw)
        return ctypes.string_at(self.buffer, size)

    def begin(self) -> None:
        """Make what is used again for each block."""

    def deflate(self, raw: bytes) -> int:
        """Compress a block into the buffer; return the size."""
        raise NotImplementedError

    def inflate(self, stream: bytes, size: int) -> bytes | None:
        """Decompress a block into the buffer, or return it."""
        raise NotImplementedError

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        for raw in self.raw:
            self.deflate(raw)
        (folder / "sizes").touch()
        os.truncate(folder / "sizes", sum(map(len, self.streams)))

    def open(self, folder: Path) -> Store:
        return Direct(self)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        view = memoryview(self.buffer)
        for stream, raw in zip(self.streams, self.raw, strict=True):
            found = self.inflate(stream, len(raw))
            yield b"", ((b"", found or view[: len(raw)]),)


class Direct(Store):
    """A limit that keeps nothing in files."""

    def __init__(self, limit: Memory | Engine) -> None:
        self.read = limit.read


class Libdeflate(Engine):
    """libdeflate, from the extension of the package deflate."""

    def begin(self) -> None:
        from deflate import _deflate

        library = ctypes.CDLL(_deflate.__file__)
        library.libdeflate_alloc_compressor.restype = ctypes.c_void_p
        library.libdeflate_alloc_decompressor.restype = ctypes.c_void_p
        library.libdeflate_zlib_compress.restype = ctypes.c_size_t
        self.compress, self.decompress = library.libdeflate_zlib_compress, library.libdeflate_zlib_decompress
        self.compressor = ctypes.c_void_p(library.libdeflate_alloc_compressor(self.form.level))
        self.decompressor = ctypes.c_void_p(library.libdeflate_alloc_decompressor())

    def deflate(self, raw: bytes) -> int:
        size = ctypes.c_size_t(self.capacity)
        return self.compress(self.compressor, raw, ctypes.c_size_t(len(raw)), self.buffer, size)

    def inflate(self, stream: bytes, size: int) -> None:
        length = ctypes.c_size_t(len(stream))
        code = self.decompress(self.decompressor, stream, length, self.buffer, ctypes.c_size_t(size), None)
        assert code == 0


class ZlibStream(ctypes.Structure):
    """zlib-ng's own z_stream."""

    _fields_ = (
        ("next_in", ctypes.c_char_p),
        ("avail_in", ctypes.c_uint32),
        ("total_in", ctypes.c_size_t),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_size_t),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_uint32),
        ("reserved", ctypes.c_ulong),
    )


class ZlibNg(Engine):
    """zlib-ng, from the extension of its package."""

    FINISH = 4
    END = 1

    def begin(self) -> None:
        from zlib_ng import zlib_ng

        self.library = ctypes.CDLL(zlib_ng.__file__)
        self.deflating, self.inflating = ZlibStream(), ZlibStream()
        assert self.library.zng_deflateInit(ctypes.byref(self.deflating), self.form.level) == 0
        assert self.library.zng_inflateInit(ctypes.byref(self.inflating)) == 0

    def run(self, stream: ZlibStream, source: bytes, capacity: int) -> None:
        stream.next_in, stream.avail_in = source, len(source)
        stream.next_out, stream.avail_out = ctypes.addressof(self.buffer), capacity

    def deflate(self, raw: bytes) -> int:
        self.library.zng_deflateReset(ctypes.byref(self.deflating))
        self.run(self.deflating, raw, self.capacity)
        assert self.library.zng_deflate(ctypes.byref(self.deflating), self.FINISH) == self.END
        return self.deflating.total_out

    def inflate(self, stream: bytes, size: int) -> None:
        self.library.zng_inflateReset(ctypes.byref(self.inflating))
        self.run(self.inflating, stream, self.capacity)
        assert self.library.zng_inflate(ctypes.byref(self.inflating), self.FINISH) == self.END


class Zstd(Engine):
    """zstd, from the extension of the package backports.zstd."""

    def begin(self) -> None:
        from backports.zstd import _zstd

        library = ctypes.CDLL(_zstd.__file__)
        for name in ("ZSTD_createCCtx", "ZSTD_createDCtx"):
            getattr(library, name).restype = ctypes.c_void_p
        for name in ("ZSTD_compressCCtx", "ZSTD_decompressDCtx"):
            getattr(library, name).restype = ctypes.c_size_t
        self.library = library
        self.compressor = ctypes.c_void_p(library.ZSTD_createCCtx())
        self.decompressor = ctypes.c_void_p(library.ZSTD_createDCtx())

    def deflate(self, raw: bytes) -> int:
        capacity, length = ctypes.c_size_t(self.capacity), ctypes.c_size_t(len(raw))
        return self.library.ZSTD_compressCCtx(self.compressor, self.buffer, capacity, raw, length, self.form.level)

    def inflate(self, stream: bytes, size: int) -> None:
        capacity, length = ctypes.c_size_t(self.capacity), ctypes.c_size_t(len(stream))
        found = self.library.ZSTD_decompressDCtx(self.decompressor, self.buffer, capacity, stream, length)
        assert found == size


class Lz4(Engine):
    """lz4, from the extension of its package."""

    def begin(self) -> None:
        from lz4.block import _block

        self.library = ctypes.CDLL(_block.__file__)

    def deflate(self, raw: bytes) -> int:
        return self.library.LZ4_compress_default(raw, self.buffer, len(raw), self.capacity)

    def inflate(self, stream: bytes, size: int) -> None:
        assert self.library.LZ4_decompress_safe(stream, self.buffer, len(stream), self.capacity) == size


class Isal(Engine):
    """ISA-L, through the functions of its package, which give fresh bytes."""

    def begin(self) -> None:
        from isal import isal_zlib

        self.module = isal_zlib

    def stream(self, raw: bytes) -> bytes:
        return self.module.compress(raw, self.form.level)

    def deflate(self, raw: bytes) -> int:
        return len(self.module.compress(raw, self.form.level))

    def inflate(self, stream: bytes, size: int) -> bytes:
        return self.module.decompress(stream, bufsize=size)
