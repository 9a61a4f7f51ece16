"""All golden files, with smartpipe and with the plain reader; and format 1 written again as the original wrote it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import smartpipe

from . import Blocks, format1, format2, store
from . import read as read_files
from .expected import FOLDERS, GOLDEN, Folder, describe, load

FORMAT1 = load(GOLDEN / "format1")
FORMAT2 = load(GOLDEN / "format2")
UNLISTED = {"no-index", "killed", "torn"}
CODECS = {format2.NONE: "none", format2.ZLIB: "zlib", format2.ZSTD: "zstd", format2.LZ4: "lz4"}


@pytest.fixture(autouse=True)
def _no_surprise() -> Iterator[None]:
    """Some of these files have no index, or one that is behind, and smartpipe says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        yield


def read_smartpipe(prefix: Path) -> Blocks:
    """All blocks, read one after another and each by its key."""
    with smartpipe.open(prefix) as pipe:
        blocks = [(key, list(block)) for key, block in pipe.items()]
        assert [(key, list(pipe[key])) for key in pipe] == blocks
        assert len(pipe) == len(blocks)
    return blocks


@pytest.mark.parametrize("suffix", ["dat", "datz"])
@pytest.mark.parametrize("name", FORMAT1)
class TestFormat1:
    def test_smartpipe_reads(self, name: str, suffix: str) -> None:
        prefix = GOLDEN / "format1" / suffix / name
        assert describe(read_smartpipe(prefix)) == FORMAT1[name]
        with smartpipe.open(prefix) as pipe:
            assert (pipe.format, pipe.codec) == (1, "zlib" if suffix == "datz" else "none")

    def test_plain_reader_reads(self, name: str, suffix: str) -> None:
        assert describe(read_files(GOLDEN / "format1" / suffix / name).blocks) == FORMAT1[name]

    @pytest.mark.parametrize("face", ["open", "SmartPipeWriter"])
    def test_smartpipe_writes_as_the_original(self, name: str, suffix: str, face: str, tmp_path: Path) -> None:
        golden = GOLDEN / "format1" / suffix / name
        compressed = suffix == "datz"
        blocks = read_files(golden).blocks
        if face == "open":
            with smartpipe.open(tmp_path / "pipe", "w", format=1, compress=compressed) as pipe:
                for key, pairs in blocks:
                    pipe.write(key, pairs)
        else:
            writer = smartpipe.SmartPipeWriter(str(tmp_path / "pipe"), compress=compressed)
            for key, pairs in blocks:
                writer.checkpoint(key)
                for pair in pairs:
                    writer.append(*pair)
            writer.close()
        data, golden_data = (Path(f"{prefix}.{suffix}").read_bytes() for prefix in (tmp_path / "pipe", golden))
        index, golden_index = (Path(f"{prefix}.idx").read_bytes() for prefix in (tmp_path / "pipe", golden))
        if not compressed:
            assert (data, index) == (golden_data, golden_index)
        else:
            # Engines may compress to other bytes, so that only the places of the streams may differ.
            entries, golden_entries = format1.read_index(index), format1.read_index(golden_index)
            assert [(entry.key, entry.raw_offset) for entry in entries] == [
                (entry.key, entry.raw_offset) for entry in golden_entries
            ]
            assert inflate(data, entries) == inflate(golden_data, golden_entries)


def inflate(data: bytes, entries: list[format1.Entry]) -> list[bytes]:
    """The inflated bytes of each block of a .datz; a block's stream ends where the next begins."""
    ends = [*(entry.offset for entry in entries[1:]), len(data)]
    return [format1.inflate(data[entry.offset : end]) for entry, end in zip(entries, ends, strict=False)]


@pytest.mark.parametrize(
    ("folder", "name"),
    [(folder, name) for folder in FOLDERS for name in FORMAT2 if folder.has(name)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
class TestFormat2:
    def test_smartpipe_reads(self, folder: Folder, name: str) -> None:
        prefix = GOLDEN / "format2" / folder.name / name
        assert describe(read_smartpipe(prefix)) == FORMAT2[name]["blocks"]
        with smartpipe.open(prefix) as pipe:
            assert (pipe.format, pipe.codec) == (2, folder.codec)
            assert describe([(b"", pipe.metadata.items())])[0]["pairs"] == FORMAT2[name]["metadata"]

    @pytest.mark.parametrize("use_index", [True, False])
    def test_plain_reader_reads(self, folder: Folder, name: str, use_index: bool) -> None:
        contents = read_files(GOLDEN / "format2" / folder.name / name, use_index=use_index)
        assert (contents.format, contents.compressed) == (2, folder.suffix == "datz")
        assert describe(contents.blocks) == FORMAT2[name]["blocks"]
        assert describe([(b"", contents.metadata)])[0]["pairs"] == FORMAT2[name]["metadata"]

    def test_is_what_its_name_says(self, folder: Folder, name: str) -> None:
        prefix = GOLDEN / "format2" / folder.name / name
        data = Path(f"{prefix}.{folder.suffix}").read_bytes()
        index_path = Path(f"{prefix}.idx")
        index = index_path.read_bytes() if index_path.exists() else None
        assert (index is None) == (name == "no-index")
        assert [finding.what for finding in format2.findings(data, index)] == (["torn tail"] if name == "torn" else [])
        pipe = format2.read(data, index)
        assert bool(pipe.scanned.records) == (name in UNLISTED)
        if name == "appended":
            assert pipe.index
            assert len(pipe.index.frames) > 1
        header = format2.read_file_header(data)
        records = format2.scan(data, header.file_id).records
        assert CODECS[header.codec] == folder.codec
        blocks = [record for record in records if record.kind == format2.BLOCK]
        assert {record.codec for record in blocks} <= {header.codec}
        copies = [record.dictionary for record in records if record.kind == format2.DICTIONARY]
        if folder.name != "zstd-dictionary":
            assert not copies and not any(record.dictionary for record in blocks)
        elif name == "items":
            assert copies == [1, 1, 2, 2]
            assert [record.dictionary for record in blocks] == [1] * (len(blocks) // 2) + [2] * (len(blocks) // 2)
            assert all(record.head_stored < record.head_raw for record in blocks)
        else:
            assert copies == [1, 1]
            assert {record.dictionary for record in blocks} <= {1}


def test_no_golden_file_is_left_out() -> None:
    for suffix in ("dat", "datz"):
        assert {path.stem for path in (GOLDEN / "format1" / suffix).glob(f"*.{suffix}")} == set(FORMAT1)
    assert {path.name for path in (GOLDEN / "format2").iterdir() if path.is_dir()} == {
        folder.name for folder in FOLDERS
    }
    for folder in FOLDERS:
        found = {path.stem for path in (GOLDEN / "format2" / folder.name).glob(f"*.{folder.suffix}")}
        assert found == {name for name in FORMAT2 if folder.has(name)}


@pytest.mark.parametrize("mode", ["r", "a"])
def test_the_golden_store(mode: Any, tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / "store.json").read_text())
    assert describe(sorted(store.read(GOLDEN / "store").items())) == expected
    folder = tmp_path / "store"
    shutil.copytree(GOLDEN / "store", folder)
    with smartpipe.ShardStore(folder, mode) as opened:
        assert describe(sorted((key, list(block)) for key, block in opened.items())) == expected
        assert len(opened) == len(expected)
        assert b"killed" not in opened
        assert b"item/5" not in opened
        if mode == "a":
            opened.put_bytes(b"killed", b"now whole")
            assert opened.get_bytes(b"killed") == b"now whole"
        report = opened.verify()
        assert report.ok
        assert any("killed" in note for note in report.notes) == (mode == "r")
