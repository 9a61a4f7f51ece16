"""The original's documented example, with only the import changed. SEMANTICS.md, «SmartPipe»."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference import format1

from .pipes import index
from .process import run

WRITING = """
from smartpipe import SmartPipeWriter

writer = SmartPipeWriter('my_data', compress=True)
writer.checkpoint(b'block-1')
writer.append(b'info', b'value')
writer.append(b'other-info', b'value2')
writer.checkpoint(b'block-2')
writer.append(b'info', b'value for block 2')
writer.append(b'error', b'failed, dude')
writer.close()
"""

READING = """
from smartpipe import SmartPipeReader

reader = SmartPipeReader('my_data')
while True:
    key = reader.get_next_block_key()
    if key is None:
        break
    print(key)
    for name, value in reader.pull_block():
        print(name, value)
"""

BLOCKS = [
    (b"block-1", [(b"info", b"value"), (b"other-info", b"value2")]),
    (b"block-2", [(b"info", b"value for block 2"), (b"error", b"failed, dude")]),
]
PRINTED = "".join(f"{key!r}\n" + "".join(f"{name!r} {value!r}\n" for name, value in pairs) for key, pairs in BLOCKS)


@pytest.mark.parametrize("compress", [True, False])
def test_the_documented_example(compress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    extension = "datz" if compress else "dat"
    run(WRITING if compress else WRITING.replace(", compress=True", ""))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"my_data.{extension}", "my_data.idx"]
    data, listed = (tmp_path / f"my_data.{extension}").read_bytes(), index("my_data").read_bytes()
    assert format1.read(data, listed, compressed=compress) == BLOCKS
    assert run(READING) == PRINTED


@pytest.mark.parametrize("compress", [True, False])
def test_reading_what_the_original_wrote(compress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, listed = format1.write(BLOCKS, compressed=compress)
    Path("my_data.datz" if compress else "my_data.dat").write_bytes(data)
    index("my_data").write_bytes(listed)
    assert run(READING) == PRINTED


def test_a_named_block_and_what_is_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(WRITING)
    code = """
from smartpipe import SmartPipeReader
reader = SmartPipeReader('my_data')
print(list(reader.pull_block(b'block-1')), reader.get_next_block_key())
print(list(reader.pull_block(b'no such block')), reader.get_next_block_key())
print(list(reader.pull_block(b'block-2')), reader.get_next_block_key())
"""
    first, second = BLOCKS[0][1], BLOCKS[1][1]
    assert run(code) == f"{first} b'block-2'\n[] b'block-2'\n{second} None\n"
