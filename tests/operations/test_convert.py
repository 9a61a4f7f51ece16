import base64
import hashlib
import json
import os
import zlib
from pathlib import Path

import pytest

import smartpipe

GOLDEN = Path(__file__).parent.parent / "golden" / "format1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def as_expected(blocks, planned):
    """The blocks in the form of expected.json: base64, or sha256 and size where it has that."""
    for (key, pairs), plan in zip(blocks, planned, strict=True):
        yield {
            "key": base64.b64encode(key).decode(),
            "pairs": [
                [base64.b64encode(name).decode(), coded(value, known)]
                for (name, value), (_, known) in zip(pairs, plan["pairs"], strict=True)
            ],
        }


def coded(value, known):
    if isinstance(known, dict):
        return {"sha256": hashlib.sha256(value).hexdigest(), "size": len(value)}
    return base64.b64encode(value).decode()


@pytest.mark.parametrize("compress", [False, "zlib"])
@pytest.mark.parametrize("codec", ["dat", "datz"])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_pipes_of_the_original_are_converted_whole(name, codec, compress, tmp_path, blocks_of):
    counts = smartpipe.convert(GOLDEN / codec / name, tmp_path / "new", compress=compress)
    planned = EXPECTED[name]
    assert list(as_expected(blocks_of(tmp_path / "new"), planned)) == planned
    assert counts == {"blocks": len(planned), "pairs": sum(len(block["pairs"]) for block in planned)}


def test_back_to_format_1_gives_the_bytes_of_the_original(tmp_path):
    for name in EXPECTED:
        smartpipe.convert(GOLDEN / "dat" / name, tmp_path / f"{name}-2", compress=True)
        smartpipe.convert(tmp_path / f"{name}-2", tmp_path / name, format=1, compress=False)
        for suffix in (".dat", ".idx"):
            assert (tmp_path / (name + suffix)).read_bytes() == (GOLDEN / "dat" / (name + suffix)).read_bytes()


def test_codec_and_metadata_are_those_of_the_source(planted, pages, tmp_path):
    source = planted("source", pages, compress=True, metadata={b"who": b"me", b"why": b"test"})
    smartpipe.convert(source, tmp_path / "copy", metadata={b"why": b"copy"})
    with smartpipe.open(tmp_path / "copy") as pipe:
        assert (pipe.format, pipe.codec) == (2, "zlib")
        assert pipe.metadata[b"who"] == b"me"
        assert pipe.metadata[b"why"] == b"copy"


def test_level_reaches_the_codec(planted, tmp_path):
    text = b" ".join(str(number).encode() for number in range(20_000))
    source = planted("source", [(b"a", [(b"raw", text)])])
    smartpipe.convert(source, tmp_path / "fast", compress=True, level=1)
    smartpipe.convert(source, tmp_path / "small", compress=True, level=9)
    assert os.path.getsize(tmp_path / "small.datz") < os.path.getsize(tmp_path / "fast.datz") < len(text)


def test_format_1_can_not_carry_metadata_and_says_so(planted, pages, tmp_path, blocks_of):
    source = planted("source", pages, metadata={b"who": b"me"})
    with pytest.warns(smartpipe.PipeWarning, match="metadata"):
        smartpipe.convert(source, tmp_path / "old", format=1)
    assert blocks_of(tmp_path / "old") == pages
    with pytest.raises(ValueError, match="metadata"):
        smartpipe.convert(planted("bare", pages), tmp_path / "older", format=1, metadata={b"who": b"me"})


@pytest.mark.parametrize(
    "operation",
    [
        smartpipe.convert,
        lambda source, target, **options: smartpipe.concat([source], target, **options),
        smartpipe.recover,
        lambda source, target, **options: smartpipe.import_folder(source + "-folder", target, **options),
    ],
    ids=["convert", "concat", "recover", "import"],
)
def test_a_warning_names_the_line_that_called(operation, planted, tmp_path):
    source = planted("source", [(b"a", [])], metadata={b"who": b"me"})
    smartpipe.extract(source, source + "-folder")
    with pytest.warns(smartpipe.PipeWarning, match="metadata") as warned:
        operation(source, tmp_path / "old", format=1)
    assert [warning.filename for warning in warned] == [__file__]


def test_concat_keeps_the_order_of_the_sources(planted, tmp_path, blocks_of):
    first = planted("first", [(b"b", [(b"k", b"1")]), (b"a", [])], compress=True, metadata={b"n": b"1", b"x": b""})
    second = planted("second", [(b"0", [(b"k", b"2"), (b"k", b"3")])], format=1)
    third = planted("third", [], metadata={b"n": b"3"})
    assert smartpipe.concat([first, second, third], tmp_path / "all") == {"blocks": 3, "pairs": 3}
    assert blocks_of(tmp_path / "all") == [(b"b", [(b"k", b"1")]), (b"a", []), (b"0", [(b"k", b"2"), (b"k", b"3")])]
    with smartpipe.open(tmp_path / "all") as pipe:
        assert pipe.codec == "zlib"
        assert (pipe.metadata[b"n"], pipe.metadata[b"x"]) == (b"3", b"")


def test_a_key_in_two_sources_is_named_and_nothing_is_published(planted, tmp_path, blocks_of):
    first = planted("first", [(b"a", [(b"k", b"1")]), (b"both", [])])
    second = planted("second", [(b"both", [(b"k", b"2")])])
    old = planted("old", [(b"kept", [])])
    with pytest.raises(smartpipe.DuplicateKeyError, match=r"block b'both': .*second has this block"):
        smartpipe.concat([first, second], old, mode="w")
    assert blocks_of(old) == [(b"kept", [])]
    with pytest.raises(smartpipe.DuplicateKeyError):
        smartpipe.concat([first, second], tmp_path / "new")
    assert sorted(path.name for path in tmp_path.glob("new*")) == []


def test_damage_in_the_source_publishes_nothing(planted, tmp_path):
    source = planted("source", [(b"a", [(b"k", b"1" * 9000)]), (b"b", [(b"k", b"2" * 9000)])])
    data = bytearray(Path(source + ".dat").read_bytes())
    data[data.index(b"2" * 9000) + 17] ^= 1
    Path(source + ".dat").write_bytes(data)
    with pytest.raises(smartpipe.CorruptError):
        smartpipe.convert(source, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.glob("new*")) == []


def test_an_existing_destination_is_replaced_only_on_request(planted, pages, blocks_of):
    source = planted("source", pages)
    old = planted("old", [(b"kept", [])], compress=True)
    with pytest.raises(smartpipe.PipeExistsError, match="old"):
        smartpipe.convert(source, old)
    assert blocks_of(old) == [(b"kept", [])]
    smartpipe.convert(source, old, mode="w", compress=False)
    assert blocks_of(old) == pages
    assert not os.path.exists(old + ".datz")


@pytest.mark.parametrize("name", ["source", "source.dat", "source.idx", "./here/../source", "link", "hard"])
@pytest.mark.parametrize("mode", ["x", "w"])
def test_the_destination_must_not_be_a_source(name, mode, planted, pages, tmp_path, blocks_of):
    source = planted("source", pages)
    other = planted("other", [(b"x", [])])
    (tmp_path / "here").mkdir()
    os.symlink(source + ".dat", tmp_path / "link.dat")
    os.link(source + ".dat", tmp_path / "hard.dat")
    with pytest.raises(ValueError, match="same pipe"):
        smartpipe.concat([other, source], tmp_path / name, mode=mode, compress=True)
    assert blocks_of(source) == pages


@pytest.mark.parametrize("suffix", [".idx", ".dat"])
def test_a_prefix_that_ends_like_a_file_name_is_no_other_pipe(suffix, planted, pages, tmp_path, blocks_of):
    source = planted("source", pages)
    smartpipe.convert(source, tmp_path / f"source{suffix}.dat")
    assert blocks_of(tmp_path / f"source{suffix}.dat") == pages
    assert blocks_of(source) == pages


def test_misuse(planted, pages, tmp_path):
    source = planted("source", pages)
    with pytest.raises(TypeError, match="list"):
        smartpipe.concat(source, tmp_path / "new")
    with pytest.raises(ValueError, match="at least one"):
        smartpipe.concat([], tmp_path / "new")
    with pytest.raises(ValueError, match="mode"):
        smartpipe.convert(source, tmp_path / "new", mode="a")
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        smartpipe.convert(tmp_path / "nowhere", tmp_path / "new")


def test_max_block_size_is_that_of_reading_too(planted, tmp_path):
    source = planted("source", [(b"a", [(b"k", bytes(5000))])])
    with pytest.raises(smartpipe.BlockTooLargeError):
        smartpipe.convert(source, tmp_path / "new", max_block_size=4999)
    assert smartpipe.convert(source, tmp_path / "new", max_block_size=6000)["blocks"] == 1


def test_progress_counts_blocks(planted, pages, tmp_path):
    source = planted("source", pages)
    calls = []
    smartpipe.convert(source, tmp_path / "new", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_interruption_publishes_nothing(planted, pages, tmp_path, blocks_of):
    source = planted("source", pages)
    old = planted("old", [(b"kept", [])])

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smartpipe.convert(source, tmp_path / "new", progress=interrupt)
    assert not list(tmp_path.glob("new*"))
    with pytest.raises(KeyboardInterrupt):
        smartpipe.convert(source, old, mode="w", progress=interrupt)
    assert blocks_of(old) == [(b"kept", [])]
    assert sorted(path.name for path in tmp_path.glob("old*")) == ["old.dat", "old.idx"]


def test_each_block_of_a_compressed_format_1_pipe_is_its_own_stream(planted, tmp_path):
    source = planted("source", [(b"a", [(b"k", b"v")]), (b"b", [(b"k", b"w")])])
    smartpipe.convert(source, tmp_path / "old", format=1, compress=True)
    stream = zlib.decompressobj()
    first = stream.decompress((tmp_path / "old.datz").read_bytes())
    assert first == b"\x01\0\0\0k\x01\0\0\0v"
    assert zlib.decompress(stream.unused_data) == b"\x01\0\0\0k\x01\0\0\0w"
