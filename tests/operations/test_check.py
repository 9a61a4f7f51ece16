from pathlib import Path

import pytest

import smartpipe


@pytest.mark.parametrize("options", [{}, {"compress": True}, {"format": 1}, {"format": 1, "compress": True}])
def test_everything_is_counted(options, planted, pages):
    report = smartpipe.check(planted("p", pages, **options), random_reads=10)
    raw = sum(8 + len(key) + len(value) for _, pairs in pages for key, value in pairs)
    assert (report.sequential.blocks, report.sequential.pairs, report.sequential.raw_bytes) == (4, 5, raw)
    assert report.random.blocks == 10
    assert report.sequential.seconds > 0
    assert report.sequential.blocks_per_second == 4 / report.sequential.seconds


def test_limit_reads_only_the_first_blocks(planted):
    pipe = planted("p", [(b"%d" % number, [(b"k", b"v" * number)]) for number in range(50)])
    report = smartpipe.check(pipe, limit=3, random_reads=9)
    assert (report.sequential.blocks, report.sequential.raw_bytes) == (3, 3 * 9 + 0 + 1 + 2)
    # Three rounds over the same three blocks.
    assert (report.random.blocks, report.random.raw_bytes) == (9, 3 * (3 * 9 + 0 + 1 + 2))
    assert smartpipe.check(pipe, limit=0, random_reads=5).random is None
    assert smartpipe.check(pipe, limit=99).sequential.blocks == 50


def test_random_reads_draw_different_blocks(planted):
    # Each block has a size of its own, a power of two, so that the sum tells which were read.
    pipe = planted("p", [(b"%d" % number, [(b"", bytes((1 << number) - 8))]) for number in range(3, 15)])
    read = smartpipe.check(pipe, random_reads=5).random.raw_bytes
    assert read.bit_count() == 5


def test_without_random_reads_or_blocks_there_is_no_such_part(planted):
    assert smartpipe.check(planted("p", [(b"a", [])])).random is None
    report = smartpipe.check(planted("none", []), random_reads=3)
    assert report.as_dict()["random"] is None
    assert report.sequential.blocks_per_second >= 0


def test_as_dict(planted):
    report = smartpipe.check(planted("p", [(b"a", [(b"k", b"v")])]), random_reads=1).as_dict()
    assert report["path"].endswith("p")
    for name in ("sequential", "random"):
        assert {key: report[name][key] for key in ("blocks", "pairs", "raw_bytes")} == {
            "blocks": 1,
            "pairs": 1,
            "raw_bytes": 10,
        }
        assert report[name]["blocks_per_second"] == 1 / report[name]["seconds"]


@pytest.mark.parametrize("compress", [False, True])
def test_a_flipped_bit_anywhere_in_a_value_is_found(compress, planted):
    value = b"".join(b"%d," % (number * number) for number in range(3000))
    pipe = planted("p", [(b"a", [(b"k", value)])], compress=compress)
    path = Path(pipe + (".datz" if compress else ".dat"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(smartpipe.CorruptError, match="block b'a'"):
        smartpipe.check(pipe)


@pytest.mark.parametrize("argument", [{"limit": -1}, {"random_reads": -1}])
def test_numbers_below_zero(argument, planted):
    with pytest.raises(ValueError, match=next(iter(argument))):
        smartpipe.check(planted("p", []), **argument)


def test_progress_counts_both_parts(planted, pages):
    calls = []
    smartpipe.check(planted("p", pages), 3, 2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
