"""smartpipe.open: how a pipe is named, what the modes do, what contradicts itself, and what is no pipe."""

from __future__ import annotations

import errno
import itertools
import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import smartpipe
from smartpipe.container import opening

from .pipes import (
    FILE_ID,
    KINDS,
    PAGES,
    SMALL,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    files,
    index,
    plant,
    planter,
    read,
    warned,
    write,
)
from .process import run

FILE_HEADER = 32


class Named(os.PathLike[str]):
    """A path that is no pathlib.Path."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


# How a pipe is named


@every_kind
@pytest.mark.parametrize("kind_of_path", [str, Path, os.fsencode, Named])
@pytest.mark.parametrize("file", ["prefix", "data", "index"])
def test_prefix_and_either_file_name_a_pipe(
    kind: Kind, kind_of_path: Callable[[str], Any], file: str, prefix: str
) -> None:
    name = {"prefix": prefix, "data": prefix + kind.extension, "index": prefix + ".idx"}[file]
    with smartpipe.open(kind_of_path(name), "w", **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
    with smartpipe.open(kind_of_path(name), "a") as pipe:
        pipe.write(b"b", {})
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]
    with smartpipe.open(kind_of_path(name)) as pipe:
        assert list(pipe) == [b"a", b"b"]
        assert (pipe.path, pipe.data_path, pipe.index_path) == (prefix, prefix + kind.extension, prefix + ".idx")
        assert (pipe.format, pipe.codec) == (kind.format, "zlib" if kind.compress else "none")


@pytest.mark.parametrize("name", [b"\xff\xfe", "site.v1", "a.b.dat.x", ".hidden", "ä b", "new"])
def test_any_name_can_be_a_prefix(name: str | bytes, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    with smartpipe.open(path, "w") as pipe:
        pipe.write(b"a", {b"k": b"v"})
    assert os.path.exists(path + b".dat") and os.path.exists(path + b".idx")
    with smartpipe.open(path) as pipe:
        assert pipe[b"a"][b"k"] == b"v"


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with smartpipe.open("pipe", "w") as pipe:
        pipe.write(b"a", {})
    assert list(smartpipe.open("pipe.dat")) == [b"a"]
    assert list(smartpipe.open(Path("pipe"))) == [b"a"]


def test_a_pipe_stays_the_one_that_was_opened_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    plant(tmp_path / "pipe", SMALL, KINDS[0])
    monkeypatch.chdir(tmp_path)
    with smartpipe.open("pipe", "w") as pipe:
        pipe.write(b"new", {})
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert read(tmp_path / "pipe") == [(b"new", [])]
    assert sorted(files(tmp_path / "pipe")) == ["pipe.dat", "pipe.idx"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", ["r", "w", "x", "a"])
def test_an_empty_path(mode: Any) -> None:
    with pytest.raises(ValueError, match="path"):
        smartpipe.open("", mode)


@pytest.mark.parametrize("path", [5, None, ["pipe"]])
def test_a_path_of_another_type(path: Any) -> None:
    with pytest.raises(TypeError):
        smartpipe.open(path)


# Modes


@every_kind
def test_w_makes_a_new_pipe(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    assert read(prefix) == PAGES


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_w_replaces_a_pipe_of_any_kind(kind: Kind, old: Kind, prefix: str) -> None:
    plant(prefix, SMALL, old)
    write(prefix, PAGES, kind)
    assert read(prefix) == PAGES
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]


@every_kind
def test_x_makes_a_new_pipe_only(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
    before = files(prefix)
    for other in KINDS:
        with pytest.raises(smartpipe.PipeExistsError, match="pipe") as caught:
            smartpipe.open(prefix, "x", **other.options)
        assert isinstance(caught.value, FileExistsError)
        assert (caught.value.path, caught.value.errno) == (prefix, errno.EEXIST)
    assert files(prefix) == before


@every_kind
def test_a_makes_a_pipe_and_goes_on_with_it(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "a", **kind.options) as pipe:
        pipe.write(*PAGES[0])
    for key, pairs in PAGES[1:]:
        with smartpipe.open(prefix, "a") as pipe:
            assert (pipe.format, pipe.codec) == (kind.format, "zlib" if kind.compress else "none")
            assert pipe.recovered is None
            pipe.write(key, pairs)
    assert read(prefix) == PAGES


@every_kind
def test_a_with_the_options_that_the_pipe_has(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, "a", **kind.options, level=9) as pipe:
        pipe.write(b"new", {})
    assert read(prefix) == [*SMALL, (b"new", [])]


def test_a_new_pipe_is_of_format_2_and_not_compressed(prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        assert (pipe.format, pipe.codec, pipe.data_path) == (2, "none", prefix + ".dat")


@pytest.mark.parametrize("format", [1, 2])
@pytest.mark.parametrize("mode", ["w", "x", "a"])
@pytest.mark.parametrize("extension", [".dat", ".datz"])
def test_the_name_of_the_data_file_says_whether_to_compress(
    format: Any, mode: Any, extension: str, prefix: str
) -> None:
    with smartpipe.open(prefix + extension, mode, format=format) as pipe:
        assert pipe.codec == ("zlib" if extension == ".datz" else "none")
        pipe.write(b"a", {b"k": b"v" * 1000})
    assert sorted(files(prefix)) == ["pipe" + extension, "pipe.idx"]
    assert read(prefix) == [(b"a", [(b"k", b"v" * 1000)])]


def test_zlib_by_name(prefix: str) -> None:
    with smartpipe.open(prefix, "w", compress="zlib") as pipe:
        assert pipe.codec == "zlib"


@pytest.mark.parametrize("mode", ["", "rb", "wb", "R", "r+", "rw", None, 1])
def test_unknown_modes(mode: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        smartpipe.open(prefix, mode)
    assert files(prefix) == {}


# Contradictions

WRONG = [
    {"format": 0},
    {"format": 3},
    {"format": "2"},
    {"compress": "zip"},
    {"compress": "gzip"},
    {"compress": ""},
    {"level": 0},
    {"level": 10},
    {"level": -1},
    {"max_block_size": 0},
    {"max_block_size": -1},
    {"format": 1, "metadata": {b"k": b"v"}},
]


@pytest.mark.parametrize("mode", ["w", "x", "a"])
@pytest.mark.parametrize("options", WRONG, ids=str)
def test_options_that_are_wrong(mode: Any, options: dict[str, Any], prefix: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each names another option
        smartpipe.open(prefix, mode, **options)
    assert files(prefix) == {}


@pytest.mark.parametrize("options", [{"format": 2}, {"compress": True}, {"metadata": {}}], ids=str)
def test_options_that_are_for_writing(options: dict[str, Any], prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with pytest.raises(ValueError, match="writing"):
        smartpipe.open(prefix, **options)


def test_max_block_size_of_a_reader(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with pytest.raises(ValueError, match="max_block_size"):
        smartpipe.open(prefix, max_block_size=0)


@pytest.mark.parametrize("mode", ["w", "x", "a"])
@pytest.mark.parametrize("extension", [".dat", ".datz"])
@pytest.mark.parametrize("format", [1, 2])
def test_compress_that_contradicts_the_name(mode: Any, extension: str, format: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="compress"):
        smartpipe.open(prefix + extension, mode, format=format, compress=extension == ".dat")
    assert files(prefix) == {}


@every_kind
@pytest.mark.parametrize("asked", KINDS, ids=str)
def test_append_that_contradicts_the_pipe(kind: Kind, asked: Kind, prefix: str) -> None:
    if asked == kind:
        return
    plant(prefix, SMALL, kind)
    before = files(prefix)
    with pytest.raises(ValueError):  # noqa: PT011 - names format or compress
        smartpipe.open(prefix, "a", **asked.options)
    assert files(prefix) == before


@every_kind
def test_append_to_the_other_data_file_of_a_pipe(kind: Kind, prefix: str) -> None:
    # To make P.datz beside P.dat would take the index away from it.
    plant(prefix, SMALL, kind)
    before = files(prefix)
    with pytest.raises(ValueError, match=r"pipe\.dat"):
        smartpipe.open(prefix + (".dat" if kind.compress else ".datz"), "a")
    assert files(prefix) == before
    assert read(prefix) == SMALL


@every_kind_of_format1
def test_metadata_for_an_old_pipe_of_format_1(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    before = files(prefix)
    with pytest.raises(ValueError, match="metadata"):
        smartpipe.open(prefix, "a", metadata={b"k": b"v"})
    assert files(prefix) == before


@pytest.mark.parametrize("mode", ["w", "a", "x"])
def test_a_split_can_only_be_read(mode: Any, prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with smartpipe.open(prefix) as pipe, pytest.raises(ValueError, match="split"):
        smartpipe.open(pipe.splits(1)[0], mode)


@every_kind_of_format2
@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_a_writer_that_could_not_be_made_leaves_nothing(kind: Kind, mode: Any, prefix: str) -> None:
    with pytest.raises(smartpipe.BlockTooLargeError):
        smartpipe.open(prefix, mode, **kind.options, metadata={b"k": bytes(100)}, max_block_size=50)
    assert files(prefix) == {}


@every_kind_of_format2
def test_a_writer_that_could_not_be_made_leaves_the_old_pipe(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    before = files(prefix)
    with pytest.raises(smartpipe.BlockTooLargeError):
        smartpipe.open(prefix, "w", metadata={b"k": bytes(100)}, max_block_size=50)
    assert files(prefix) == before


# What is no pipe


def test_no_such_pipe(prefix: str) -> None:
    for name in (prefix, prefix + ".dat", prefix + ".datz", prefix + ".idx", prefix + "/deeper/pipe"):
        with pytest.raises(smartpipe.PipeNotFoundError) as caught:
            smartpipe.open(name)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.errno == errno.ENOENT
        assert caught.value.path is not None and caught.value.path.startswith(prefix)
        assert prefix in str(caught.value)


def test_the_other_data_file_is_not_the_one_that_was_named(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.open(prefix + ".datz")


@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_no_such_folder(mode: Any, prefix: str) -> None:
    with pytest.raises(smartpipe.StorageError) as caught:
        smartpipe.open(prefix + "/deeper/pipe", mode)
    assert caught.value.errno == errno.ENOENT
    assert prefix in str(caught.value)


@pytest.mark.parametrize("name", ["", "/", ".dat", ".datz"])
def test_a_folder(name: str, prefix: str) -> None:
    Path(prefix + name).mkdir()
    with pytest.raises(smartpipe.FormatError, match="folder"):
        smartpipe.open(prefix + name)


@every_kind
def test_a_folder_beside_a_pipe(kind: Kind, prefix: str) -> None:
    Path(prefix).mkdir()
    write(prefix, SMALL, kind)
    assert read(prefix) == SMALL


FOREIGN = {
    "text": b"No pipe at all, just some lines of text.\n" * 20,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zip": b"PK\x03\x04" + bytes(range(256)),
    "one byte": b"x",
    "magic after a transfer": b"\x89SP2\n\x1a\n" + bytes(100),
    "seven bits": b"\x09SP2\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("content", list(FOREIGN.values()), ids=list(FOREIGN))
@pytest.mark.parametrize("extension", [".dat", ".datz"])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_foreign_file(content: bytes, extension: str, mode: Any, prefix: str) -> None:
    Path(prefix + extension).write_bytes(content)
    for name in (prefix, prefix + extension):
        with pytest.raises(smartpipe.FormatError, match=r"pipe\.dat"):
            smartpipe.open(name, mode)
    assert files(prefix) == {"pipe" + extension: content}


def test_a_foreign_file_with_the_name_of_the_prefix(prefix: str) -> None:
    Path(prefix).write_bytes(b"text")
    with pytest.raises(smartpipe.FormatError, match="not a pipe"):
        smartpipe.open(prefix)


@pytest.mark.parametrize("extension", [".dat", ".datz"])
@pytest.mark.parametrize(
    "listed", [b"# VobSub index file, v7\n", b"{}", b"\xff" * 40, b"", bytes(19)], ids=["text", "json", "ff", "", "cut"]
)
def test_a_foreign_file_with_a_foreign_index(extension: str, listed: bytes, prefix: str) -> None:
    # The index lists not one block, and the data has something: no pipe, and nothing to be added to.
    Path(prefix + extension).write_bytes(FOREIGN["text"])
    index(prefix).write_bytes(listed)
    before = files(prefix)
    with pytest.raises(smartpipe.SmartPipeError, match=r"pipe\."):
        smartpipe.open(prefix, "a")
    assert files(prefix) == before
    with warned() as messages:
        try:
            assert read(prefix) == []
        except smartpipe.SmartPipeError:
            return
    assert messages


@every_kind_of_format1
def test_an_index_of_format_2_with_data_of_format_1(kind: Kind, prefix: str, tmp_path: Path) -> None:
    plant(prefix, SMALL, kind)
    plant(tmp_path / "other", SMALL, KINDS[0])
    index(prefix).write_bytes(index(tmp_path / "other").read_bytes())
    before = files(prefix)
    for mode in ("r", "a"):
        with pytest.raises(smartpipe.FormatError, match="format 2"):
            smartpipe.open(prefix, mode)  # type: ignore[call-overload]
    assert files(prefix) == before


def header(*, flags: int = 0, optional: int = 0, codec: int = 0, zeros: bytes = bytes(3)) -> bytes:
    start = struct.pack("<8sQIIB3s", b"\x89SP2\r\n\x1a\n", FILE_ID, flags, optional, codec, zeros)
    return start + struct.pack("<I", zlib.crc32(start))


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize(
    "start, error",
    [
        (header(flags=1), smartpipe.FormatError),
        (header(flags=1 << 31), smartpipe.FormatError),
        (header(zeros=b"\x00\x00\x01"), smartpipe.FormatError),
        (header()[:-1] + b"\x00", smartpipe.CorruptError),
    ],
)
def test_a_file_header_that_is_refused(mode: Any, start: bytes, error: type[Exception], prefix: str) -> None:
    Path(prefix + ".dat").write_bytes(start)
    with pytest.raises(error, match=r"pipe\.dat"):
        smartpipe.open(prefix, mode)
    assert files(prefix) == {"pipe.dat": start}


def test_optional_flags_are_ignored(prefix: str) -> None:
    Path(prefix + ".dat").write_bytes(header(optional=0x80000001))
    with warned():
        assert read(prefix) == []


# One file without the other


def test_an_index_without_data(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    Path(prefix + ".dat").unlink()
    with pytest.raises(smartpipe.PipeNotFoundError, match="index"):
        smartpipe.open(prefix)
    with pytest.raises(smartpipe.PipeNotFoundError, match="index"):
        smartpipe.open(prefix + ".idx")


@every_kind
def test_an_index_without_data_is_not_overwritten_by_chance(kind: Kind, prefix: str) -> None:
    # Perhaps the data is only elsewhere, and in format 1 the keys are nowhere but here.
    plant(prefix, SMALL, kind)
    kind.data(prefix).unlink()
    before = files(prefix)
    with pytest.raises(smartpipe.PipeNotFoundError, match="index"):
        smartpipe.open(prefix, "a", **kind.options)
    with pytest.raises(smartpipe.PipeExistsError, match=r"pipe\.idx"):
        smartpipe.open(prefix, "x", **kind.options)
    assert files(prefix) == before


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_w_where_an_index_without_data_is(kind: Kind, old: Kind, prefix: str) -> None:
    plant(prefix, SMALL, old)
    old.data(prefix).unlink()
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
    assert read(prefix) == [(b"a", [(b"k", b"v")])]


@every_kind_of_format2
def test_data_of_format_2_without_an_index(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    index(prefix).unlink()
    with pytest.warns(smartpipe.PipeWarning, match=r"pipe\.idx.*no index"):
        assert read(prefix) == SMALL
    assert not index(prefix).exists()  # readers never write


@every_kind_of_format1
@pytest.mark.parametrize("mode", ["r", "a"])
def test_data_of_format_1_without_an_index(kind: Kind, mode: Any, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    index(prefix).unlink()
    before = files(prefix)
    with pytest.raises(smartpipe.FormatError, match="keys"):
        smartpipe.open(prefix, mode)
    assert files(prefix) == before


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", range(FILE_HEADER + 1))
def test_what_a_kill_at_creation_leaves_is_an_empty_pipe(compress: bool, size: int, prefix: str) -> None:
    kind = Kind(2, compress)
    kind.data(prefix).write_bytes(header(codec=int(compress))[:size])
    with warned():
        assert read(prefix) == []
        with smartpipe.open(prefix, "a") as pipe:
            assert (pipe.format, pipe.codec) == (2, "zlib" if compress else "none")
            assert (pipe.recovered is None) == (size in (0, FILE_HEADER))
            pipe.write(b"a", {b"k": b"v"})
    assert read(prefix) == [(b"a", [(b"k", b"v")])]


@every_kind
def test_append_makes_of_two_empty_files_the_format_that_is_asked_for(kind: Kind, prefix: str) -> None:
    # What a kill at creation leaves, and what the original leaves of a pipe without blocks.
    kind.data(prefix).write_bytes(b"")
    index(prefix).write_bytes(b"")
    assert read(prefix) == []
    with smartpipe.open(prefix, "a", **kind.options) as pipe:
        assert (pipe.format, pipe.codec) == (kind.format, "zlib" if kind.compress else "none")
        pipe.write(b"a", {b"k": b"v"})
    with smartpipe.open(prefix) as reader:
        assert (reader.format, list(reader[b"a"])) == (kind.format, [(b"k", b"v")])


@every_kind_of_format2
@pytest.mark.parametrize("size", range(FILE_HEADER))
def test_data_cut_within_its_header_is_no_empty_pipe_where_the_index_lists_blocks(
    kind: Kind, size: int, prefix: str
) -> None:
    plant(prefix, SMALL, kind)
    os.truncate(kind.data(prefix), size)
    before = files(prefix)
    for mode in ("r", "a"):
        with pytest.raises(smartpipe.TruncatedError):
            smartpipe.open(prefix, mode)  # type: ignore[call-overload]
    assert files(prefix) == before


# Both data files: FORMAT.md, «Files and locks»


@pytest.mark.parametrize("dat, datz", list(itertools.product([1, 2], repeat=2)))
@pytest.mark.parametrize("whose", ["dat", "datz", "third", "none"])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_both_data_files(dat: int, datz: int, whose: str, mode: str, prefix: str, tmp_path: Path) -> None:
    formats = {"dat": dat, "datz": datz}
    if (whose, dat, datz) == ("datz", 1, 1):
        return  # an index of format 1 does not tell whose it is: that it is read with .dat is the original's rule
    for extension, format in formats.items():
        blocks = [(extension.encode(), [(b"k", extension.encode() * 20)])]
        if format == 1:
            plant(tmp_path / extension, blocks, Kind(1, extension == "datz"))
        else:
            # Files of their own ids.
            writer = planter(Kind(2, extension == "datz"))
            if extension == "datz":
                writer = type(writer)(FILE_ID + 1, codec=1)
            writer.write(*blocks[0])
            writer.sync()
            writer.frame(closed=True)
            writer.save(tmp_path / extension)
        (tmp_path / f"{extension}.{extension}").rename(f"{prefix}.{extension}")
    third = planter(Kind(2, False))
    third = type(third)(FILE_ID + 2)
    third.frame(closed=True)
    third.save(tmp_path / "third")
    if whose != "none":
        (tmp_path / f"{whose}.idx").rename(index(prefix))

    chosen = "datz" if (whose, datz) == ("datz", 2) else "dat"
    expected = [(chosen.encode(), [(b"k", chosen.encode() * 20)])]
    index_format = {"third": 2, "none": None, **formats}[whose]
    if formats[chosen] == 1 and index_format != 1:
        with pytest.raises(smartpipe.FormatError, match="index"):
            smartpipe.open(prefix, mode)  # type: ignore[call-overload]
        return
    with warned() as messages:
        if mode == "a":
            with smartpipe.open(prefix, "a") as pipe:
                assert pipe.data_path == f"{prefix}.{chosen}"
                pipe.write(b"new", {})
            expected.append((b"new", []))
        else:
            with smartpipe.open(prefix) as pipe:
                assert pipe.data_path == f"{prefix}.{chosen}"
        found = read(prefix)
    assert found == expected
    if mode == "r":
        assert bool(messages) == (whose != chosen)


@every_kind_of_format2
def test_the_name_of_a_data_file_chooses_between_both(kind: Kind, prefix: str) -> None:
    other = Kind(2, not kind.compress)
    plant(prefix, SMALL, kind)
    kept = index(prefix).read_bytes()
    writer = type(planter(other))(FILE_ID + 1, codec=int(other.compress))
    writer.write(b"other", {})
    writer.save(prefix)
    index(prefix).write_bytes(kept)
    assert read(kind.data(prefix)) == SMALL
    with pytest.warns(smartpipe.PipeWarning, match="stale"):
        assert read(other.data(prefix)) == [(b"other", [])]


@every_kind
def test_w_replaces_both_data_files(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    plant(prefix, SMALL, Kind(2, True))
    write(prefix, PAGES, kind)
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]
    assert read(prefix) == PAGES


# What the system refuses


@every_kind
@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_folder_in_the_place_of_the_index(kind: Kind, mode: Any, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    index(prefix).unlink()
    index(prefix).mkdir()
    with pytest.raises(smartpipe.StorageError) as caught:
        smartpipe.open(prefix, mode)
    assert caught.value.errno == errno.EISDIR
    assert caught.value.path == str(index(prefix))


FORBIDDEN = """
import errno, os, sys, smartpipe
path, data = sys.argv[1:]
os.chmod(data, 0)
os.setgroups([])
os.setuid(65534)
for mode in ("r", "a", "w"):
    try:
        smartpipe.open(path, mode)
    except smartpipe.StorageError as error:
        print(mode, error.errno == errno.EACCES, isinstance(error, OSError), error.path.startswith(path))
"""


@every_kind
def test_files_that_may_not_be_touched(kind: Kind) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        prefix = folder + "/pipe"
        plant(prefix, SMALL, kind)
        before = files(prefix)
        expected = "".join(f"{mode} True True True\n" for mode in "raw")
        assert run(FORBIDDEN, prefix, kind.data(prefix)) == expected
        assert files(prefix) == before


# What opening costs and says


def test_failed_openings_keep_no_files_open(prefix: str) -> None:
    here = Path("/proc/self/fd")
    if not here.exists():
        pytest.skip("no /proc here")
    plant(prefix, SMALL, KINDS[0])
    os.truncate(prefix + ".dat", 100)
    (Path(prefix).parent / "foreign.dat").write_bytes(b"text")
    before = len(list(here.iterdir()))
    for _ in range(20):
        for name in (prefix, str(Path(prefix).parent / "foreign"), prefix + "-none"):
            for mode in ("r", "a") if "none" not in name else ("r",):
                with pytest.raises(smartpipe.SmartPipeError):
                    smartpipe.open(name, mode)  # type: ignore[call-overload]
    assert len(list(here.iterdir())) == before


def test_readers_that_were_dropped_keep_no_files_open(prefix: str) -> None:
    here = Path("/proc/self/fd")
    if not here.exists():
        pytest.skip("no /proc here")
    plant(prefix, SMALL, KINDS[0])
    before = len(list(here.iterdir()))
    for _ in range(20):
        next(smartpipe.open(prefix).items())
    assert len(list(here.iterdir())) == before


def test_a_failed_opening_closes_each_file_once(prefix: str) -> None:
    # What is closed twice is, the second time, a file that somebody else has opened since.
    plant(prefix, SMALL, KINDS[0])
    index(prefix).unlink()
    Path(prefix + ".idx.tmp").mkdir()  # in the way of the new index
    error = None
    with warned():
        try:
            smartpipe.open(prefix, "a")
        except smartpipe.SmartPipeError as raised:
            error = raised
    assert isinstance(error, smartpipe.StorageError)
    assert error.errno == errno.EISDIR
    others = [os.open(prefix + ".other", os.O_RDWR | os.O_CREAT) for _ in range(8)]
    error = None  # with it goes what its traceback kept
    for fd in others:
        os.fstat(fd)
        os.close(fd)
    Path(prefix + ".idx.tmp").rmdir()
    with warned():
        smartpipe.open(prefix, "a").close()
    assert read(prefix) == SMALL


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_warning_names_the_line_that_opened_the_pipe(mode: Any, prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    data = Path(prefix + ".dat")
    os.truncate(data, data.stat().st_size - 1)
    index(prefix).unlink()

    def caller() -> None:
        smartpipe.open(prefix, mode).close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        caller()
    assert caught
    assert {(warning.filename, warning.lineno) for warning in caught} == {
        (__file__, caller.__code__.co_firstlineno + 1)
    }


@pytest.mark.parametrize("mode", ["r", "w", "x", "a"])
def test_a_path_that_ends_in_a_slash(mode: Any, tmp_path: Path) -> None:
    with pytest.raises(smartpipe.FormatError, match="folder"):
        smartpipe.open(f"{tmp_path}/", mode)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_is_begun_while_it_is_opened(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The reader finds an empty data file, and then an index that lists blocks.
    Path(prefix + ".dat").touch()
    header_of = opening.header_of
    writers: list[smartpipe.Writer] = []

    def first(file: object, path: str) -> object:
        monkeypatch.undo()
        header = header_of(file, path)
        writers.append(smartpipe.open(prefix, "a"))
        writers[0].write(b"a", {b"k": b"v"})
        writers[0].flush()
        return header

    monkeypatch.setattr(opening, "header_of", first)
    with smartpipe.open(prefix) as pipe:
        assert list(pipe) == [b"a"]
    writers[0].close()


@pytest.mark.parametrize("name", [".", "..", "folder/.", "folder/.."])
def test_a_folder_that_is_named_with_dots_is_no_pipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for mode in ("r", "w", "a", "x"):
        with pytest.raises(smartpipe.FormatError, match="folder"):
            smartpipe.open(name, mode)  # type: ignore[call-overload]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
