import os
from pathlib import Path

import pytest

import smartpipe


@pytest.mark.parametrize("options", [{}, {"compress": True}, {"format": 1}, {"format": 1, "compress": True}])
def test_facts(options, planted, pages):
    pipe = planted("p", pages, **options)
    found = smartpipe.info(pipe)
    data = pipe + (".datz" if options.get("compress") else ".dat")
    assert found.path == pipe
    assert found.format == options.get("format", 2)
    assert found.codec == ("zlib" if options.get("compress") else "none")
    assert (found.engine is None) == (found.codec == "none")
    assert (found.blocks, found.pairs) == (4, 5)
    assert found.raw_bytes == sum(8 + len(key) + len(value) for _, pairs in pages for key, value in pairs)
    assert found.data_bytes == os.path.getsize(data)
    assert found.index_bytes == os.path.getsize(pipe + ".idx")
    assert found.ratio == found.data_bytes / found.raw_bytes
    assert [(key.key, key.pairs, key.value_bytes) for key in found.pair_keys] == [
        (b"raw", 2, 6 + 256 * 40 + 9000),
        (b"log", 2, 7),
        (b"", 1, 0),
    ]


def test_the_engine_is_the_one_in_use(planted, pages):
    engine = smartpipe.engines()["zlib"]
    named = smartpipe.info(planted("p", pages, compress=True)).engine
    assert named.split() == [engine["engine"], engine["version"], f"({engine['binding']})"]


def test_large_values_are_not_read(planted):
    pipe = planted("p", [(b"a", [(b"raw", b"x" * 100_000), (b"log", b"ok")])])
    data = bytearray(Path(pipe + ".dat").read_bytes())
    data[data.index(b"x" * 1000) + 500] ^= 1
    Path(pipe + ".dat").write_bytes(data)
    assert smartpipe.info(pipe).raw_bytes == 2 * 11 + 100_002


def test_sizes_and_largest_blocks(planted):
    # 100 blocks of 10, 20 ... 1,000 raw bytes, not in this order.
    sizes = [size * 37 % 101 * 10 for size in range(1, 101)]
    assert sorted(sizes) == list(range(10, 1001, 10))
    pipe = planted("p", [(b"%d" % size, [(b"", bytes(size - 8))]) for size in sizes])
    found = smartpipe.info(pipe)
    assert (found.smallest_block, found.largest_block) == (10, 1000)
    assert found.quantiles == {25: 250, 50: 500, 75: 750, 90: 900, 99: 990}
    assert [(block.key, block.raw_bytes, block.pairs) for block in found.largest] == [
        (b"%d" % size, size, 1) for size in range(1000, 900, -10)
    ]
    assert [block.number for block in found.largest] == [sizes.index(size) for size in range(1000, 900, -10)]


def test_quantiles_of_large_blocks_are_at_most_a_thousandth_too_small(planted):
    sizes = [1_000_003 + 1009 * number for number in range(9)]
    pipe = planted("p", [(b"%d" % size, [(b"", bytes(size - 8))]) for size in sizes])
    found = smartpipe.info(pipe)
    assert (found.smallest_block, found.largest_block) == (sizes[0], sizes[-1])
    assert sizes[4] * 0.999 < found.quantiles[50] <= sizes[4]
    assert sizes[8] * 0.999 < found.quantiles[99] <= sizes[8]


def test_of_equal_blocks_the_first_are_named(planted):
    found = smartpipe.info(planted("p", [(b"%d" % number, []) for number in range(20)]))
    assert [block.number for block in found.largest] == list(range(10))


def test_pair_keys_that_are_never_repeated_are_summed(planted):
    pipe = planted(
        "p", [(b"%d" % block, [(b"%d-%d" % (block, pair), b"12") for pair in range(100)]) for block in range(15)]
    )
    keys = smartpipe.info(pipe).pair_keys
    assert len(keys) == 1001
    assert (keys[0].key, keys[0].pairs, keys[0].value_bytes) == (None, 500, 1000)
    assert sum(key.value_bytes for key in keys) == 15 * 100 * 2


def test_stamps_and_metadata(planted, pages):
    pipe = planted("p", pages, metadata={b"who": b"me"})
    with smartpipe.open(pipe) as reader:
        stamps = [entry.stamp for entry in reader.entries()]
    found = smartpipe.info(pipe)
    assert (found.first_stamp, found.last_stamp) == (stamps[0], stamps[-1])
    assert found.metadata[b"who"] == b"me"
    assert smartpipe.info(planted("old", pages, format=1)).first_stamp is None


def test_a_pipe_without_blocks(planted):
    found = smartpipe.info(planted("p", []))
    assert (found.blocks, found.pairs, found.raw_bytes, found.ratio) == (0, 0, 0, None)
    assert (found.smallest_block, found.largest_block, found.quantiles, found.largest) == (None, None, {}, [])
    assert (found.first_stamp, found.pair_keys) == (None, [])


def test_as_dict_is_plain(planted):
    plain = smartpipe.info(planted("p", [(b"a", [(b"k", b"v")])], metadata={b"who": b"me"})).as_dict()
    assert plain["pair_keys"] == [{"key": b"k", "pairs": 1, "value_bytes": 1}]
    assert plain["largest"][0] | {"stored_bytes": 0} == {
        "key": b"a",
        "number": 0,
        "pairs": 1,
        "raw_bytes": 10,
        "stored_bytes": 0,
    }
    assert plain["metadata"][b"who"] == b"me"
    assert plain["ratio"] == plain["data_bytes"] / 10


def test_no_such_pipe(tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        smartpipe.info(tmp_path / "nowhere")
