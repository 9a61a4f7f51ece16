"""A pipe that is made of one with a dictionary has it too, as long as the codec is zstd."""

import os
import warnings
from pathlib import Path
from random import Random

import pytest
from backports import zstd
from reference import format2

import smartpipe


def item(number):
    """A small block like all others."""
    text = b'{"title": "item %d", "links": ["https://example.org/%d"], "words": %d}' % (number, number, 7 * number)
    return b"item/%d" % number, [(b"result", text), (b"log", b"200 in %d ms" % number)]


ITEMS = [item(number) for number in range(400)]
SAMPLES = [value for _, pairs in ITEMS for _, value in pairs]
DICTIONARY = zstd.train_dict(SAMPLES, 500).dict_content
OTHER = zstd.train_dict(SAMPLES[::2], 600).dict_content


def keep(key, block):
    return block


def mapped(source, target, **options):
    smartpipe.map(source, target, keep, jobs=1, **options)


def mapped_by_processes(source, target, **options):
    smartpipe.map(source, target, keep, jobs=2, **options)


# Each makes a pipe of the same blocks; the first three find the codec themselves.
COPIES = {
    "convert": smartpipe.convert,
    "concat": lambda source, target, **options: smartpipe.concat([source], target, **options),
    "recover": smartpipe.recover,
    "map": mapped,
    "map by processes": mapped_by_processes,
}
every_copy = pytest.mark.parametrize("name", COPIES)


def copy(name, source, target, **options):
    if name.startswith("map"):
        options = {"compress": "zstd", **options}
    COPIES[name](source, target, **options)


def records(prefix):
    data = Path(f"{prefix}.datz").read_bytes()
    return data, format2.scan(data, format2.read_file_header(data).file_id).records


def dictionaries(prefix):
    """(number, content) of each dictionary record."""
    data, found = records(prefix)
    return [
        (record.dictionary, format2.read_record(data, record)[1][0][1])
        for record in found
        if record.kind == format2.DICTIONARY
    ]


def numbers(prefix):
    """The dictionaries that blocks were compressed with; 0 for none."""
    return {record.dictionary for record in records(prefix)[1] if record.kind == format2.BLOCK}


def damage(prefix, *which):
    """Flip a byte in the content of dictionary records."""
    data, found = records(prefix)
    damaged = bytearray(data)
    for record in [record for record in found if record.kind == format2.DICTIONARY]:
        if record.dictionary in which:
            damaged[record.end - 3] ^= 0x20
    Path(f"{prefix}.datz").write_bytes(damaged)


@pytest.fixture
def source(planted):
    return planted("source", ITEMS, compress="zstd", dictionary=DICTIONARY, metadata={b"by": b"test"})


@every_copy
def test_the_new_pipe_has_the_dictionary_of_the_source(name, source, tmp_path, blocks_of):
    copy(name, source, tmp_path / "new")
    copy(name, source, tmp_path / "without", dictionary=False)
    assert dictionaries(tmp_path / "new") == [(1, DICTIONARY)] * 2
    assert numbers(tmp_path / "new") == {1}
    assert dictionaries(tmp_path / "without") == []
    assert numbers(tmp_path / "without") == {0}
    assert blocks_of(tmp_path / "new") == blocks_of(tmp_path / "without") == ITEMS
    assert smartpipe.verify(tmp_path / "new").ok
    size, before, without = (
        os.path.getsize(f"{path}.datz") for path in (tmp_path / "new", source, tmp_path / "without")
    )
    assert size <= before
    assert size < 0.8 * without
    with smartpipe.open(tmp_path / "new") as pipe:
        assert pipe.dictionary == DICTIONARY
    with smartpipe.open(tmp_path / "new", "a") as pipe:
        pipe.write(b"more", ITEMS[0][1])
    assert numbers(tmp_path / "new") == {1}


@every_copy
def test_another_is_taken_instead(name, source, tmp_path, blocks_of):
    copy(name, source, tmp_path / "new", dictionary=OTHER)
    assert dictionaries(tmp_path / "new") == [(1, OTHER)] * 2
    assert blocks_of(tmp_path / "new") == ITEMS


@every_copy
def test_of_several_the_last_is_taken(name, planted, tmp_path, blocks_of):
    source = planted("source", ITEMS[:100], compress="zstd")
    for part, dictionary in ((ITEMS[100:200], DICTIONARY), (ITEMS[200:300], OTHER), (ITEMS[300:], None)):
        with smartpipe.open(source, "a", dictionary=dictionary) as pipe:
            for block in part:
                pipe.write(*block)
    assert numbers(source) == {0, 1, 2}
    copy(name, source, tmp_path / "new")
    assert dictionaries(tmp_path / "new") == [(1, OTHER)] * 2
    assert numbers(tmp_path / "new") == {1}
    assert blocks_of(tmp_path / "new") == ITEMS


@every_copy
@pytest.mark.parametrize("which", [0, 1])
def test_one_copy_of_it_may_be_damaged(name, which, source, tmp_path, blocks_of):
    data, found = records(source)
    damaged = bytearray(data)
    damaged[[record for record in found if record.kind == format2.DICTIONARY][which].end - 3] ^= 0x20
    Path(f"{source}.datz").write_bytes(damaged)
    copy(name, source, tmp_path / "new")
    assert dictionaries(tmp_path / "new") == [(1, DICTIONARY)] * 2
    assert blocks_of(tmp_path / "new") == ITEMS


@every_copy
def test_with_both_copies_damaged_the_one_before_is_taken(name, planted, tmp_path, blocks_of):
    source = planted("source", ITEMS, compress="zstd", dictionary=DICTIONARY)
    smartpipe.open(source, "a", dictionary=OTHER).close()
    damage(source, 2)
    copy(name, source, tmp_path / "new")
    assert dictionaries(tmp_path / "new") == [(1, DICTIONARY)] * 2
    assert blocks_of(tmp_path / "new") == ITEMS
    damage(source, 1)
    if name == "recover":
        assert smartpipe.recover(source, tmp_path / "nothing").blocks == 0
        assert dictionaries(tmp_path / "nothing") == []
    else:
        with pytest.raises(smartpipe.CorruptError, match="dictionary 1, which it was compressed with"):
            copy(name, source, tmp_path / "nothing")


@every_copy
@pytest.mark.parametrize("compress", [False, "zlib", "lz4"])
def test_another_codec_has_none(name, compress, source, tmp_path, blocks_of):
    copy(name, source, tmp_path / "new", compress=compress)
    data = (tmp_path / ("new.datz" if compress else "new.dat")).read_bytes()
    found = format2.scan(data, format2.read_file_header(data).file_id).records
    assert not [record for record in found if record.dictionary]
    assert blocks_of(tmp_path / "new") == ITEMS
    with pytest.raises(ValueError, match="a dictionary is for the codec zstd"):
        copy(name, source, tmp_path / "refused", compress=compress, dictionary=OTHER)
    assert not list(tmp_path.glob("refused*"))


@every_copy
@pytest.mark.parametrize("compress", [False, True])
def test_a_source_of_format_1_has_none_to_carry_over(name, compress, planted, tmp_path, blocks_of):
    source = planted("source", ITEMS, format=1, compress=compress)
    copy(name, source, tmp_path / "new", compress="zstd")
    assert dictionaries(tmp_path / "new") == []
    copy(name, source, tmp_path / "other", compress="zstd", dictionary=OTHER)
    assert dictionaries(tmp_path / "other") == [(1, OTHER)] * 2
    assert blocks_of(tmp_path / "new") == blocks_of(tmp_path / "other") == ITEMS


def test_format_1_has_no_place_for_it(source, tmp_path, blocks_of):
    with pytest.warns(smartpipe.PipeWarning, match="metadata"):
        smartpipe.convert(source, tmp_path / "old", format=1)
    with smartpipe.open(tmp_path / "old") as pipe:
        assert (pipe.format, pipe.codec, pipe.dictionary) == (1, "zlib", None)
    assert blocks_of(tmp_path / "old") == ITEMS


def test_of_several_sources_the_first_that_has_one_counts(planted, tmp_path, blocks_of):
    sources = [
        planted("plain", ITEMS[:100]),
        planted("first", ITEMS[100:200], compress="zstd", dictionary=DICTIONARY),
        planted("second", ITEMS[200:], compress="zstd", dictionary=OTHER),
    ]
    smartpipe.concat(sources, tmp_path / "all", compress="zstd")
    assert dictionaries(tmp_path / "all") == [(1, DICTIONARY)] * 2
    assert numbers(tmp_path / "all") == {1}
    assert blocks_of(tmp_path / "all") == ITEMS
    smartpipe.concat(sources[::-1], tmp_path / "reversed")
    assert dictionaries(tmp_path / "reversed") == [(1, OTHER)] * 2
    smartpipe.concat(sources, tmp_path / "not-compressed")
    assert os.path.exists(tmp_path / "not-compressed.dat")


def test_a_run_that_is_resumed_goes_on_with_what_it_has(source, tmp_path, blocks_of):
    for name, dictionary in (("without", False), ("with", None), ("other", OTHER)):

        def interrupt(done, total):
            if done == 100:
                raise KeyboardInterrupt

        target = tmp_path / name
        with pytest.raises(KeyboardInterrupt):
            smartpipe.map(source, target, keep, jobs=1, compress="zstd", dictionary=dictionary, progress=interrupt)
        before = dictionaries(target)
        assert before == {"without": [], "with": [(1, DICTIONARY)] * 2, "other": [(1, OTHER)] * 2}[name]
        smartpipe.map(source, target, keep, jobs=1, compress="zstd", resume=True)
        assert dictionaries(target) == before
        assert numbers(target) == ({0} if name == "without" else {1})
        assert blocks_of(target) == ITEMS
    smartpipe.map(source, tmp_path / "new", keep, jobs=1, compress="zstd", resume=True)
    assert dictionaries(tmp_path / "new") == [(1, DICTIONARY)] * 2


def test_an_extracted_folder_has_it(source, tmp_path, blocks_of):
    folder = tmp_path / "folder"
    smartpipe.extract(source, folder)
    assert (folder / "%dictionary").read_bytes() == DICTIONARY
    smartpipe.import_folder(folder, tmp_path / "new")
    assert dictionaries(tmp_path / "new") == [(1, DICTIONARY)] * 2
    assert blocks_of(tmp_path / "new") == ITEMS
    assert os.path.getsize(tmp_path / "new.datz") <= os.path.getsize(source + ".datz")
    for number, (options, expected) in enumerate(
        [
            ({"dictionary": OTHER}, OTHER),
            ({"dictionary": False}, None),
            ({"compress": "lz4"}, None),
            ({"format": 1}, None),
        ]
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", smartpipe.PipeWarning)  # metadata
            smartpipe.import_folder(folder, tmp_path / f"{number}", **options)
        with smartpipe.open(tmp_path / f"{number}") as pipe:
            assert pipe.dictionary == expected
        assert blocks_of(tmp_path / f"{number}") == ITEMS


def test_the_dictionary_of_a_folder_is_what_its_list_says(source, planted, tmp_path):
    folder = tmp_path / "folder"
    smartpipe.extract(source, folder)
    listed = (folder / "%blocks.jsonl").read_text()
    dictionary = folder / "%dictionary"
    (tmp_path / "elsewhere").write_bytes(DICTIONARY)

    def refused(match):
        with pytest.raises(smartpipe.FormatError, match=match):
            smartpipe.import_folder(folder, tmp_path / "new")
        assert not list(tmp_path.glob("new*"))

    dictionary.unlink()
    refused("%dictionary: .*not there")
    dictionary.symlink_to(tmp_path / "elsewhere")
    refused("%dictionary: expected a regular file")
    (folder / "%blocks.jsonl").write_text(listed.replace('"dictionary": true', '"dictionary": "elsewhere"', 1))
    refused("expected whether there is a dictionary")
    (folder / "%blocks.jsonl").write_text(listed.replace('"dictionary": true', '"dictionary": false', 1))
    refused("%dictionary: .*does not name it")
    dictionary.unlink()
    smartpipe.import_folder(folder, tmp_path / "new")
    assert dictionaries(tmp_path / "new") == []
    (folder / "%blocks.jsonl").write_text(listed)
    raw = zstd.ZstdDict(Random(5).randbytes(2**20), is_raw=True)
    dictionary.write_bytes(zstd.finalize_dict(raw, SAMPLES, 2**20 + 1024, 3).dict_content)
    with pytest.raises(ValueError, match="more than 1048576"):
        smartpipe.import_folder(folder, tmp_path / "other")


def test_map_does_not_compress_unless_asked(source, tmp_path, blocks_of):
    smartpipe.map(source, tmp_path / "new", keep, jobs=1)
    assert os.path.exists(tmp_path / "new.dat")
    assert blocks_of(tmp_path / "new") == ITEMS


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_recover_finds_codec_and_dictionary_without_the_header_of_the_file(codec, planted, tmp_path, blocks_of):
    dictionary = DICTIONARY if codec == "zstd" else None
    source = planted("source", ITEMS, compress=codec, dictionary=dictionary)
    with open(source + ".datz", "r+b") as file:
        file.write(bytes(32))
    report = smartpipe.recover(source, tmp_path / "new")
    assert (report.blocks, report.lost) == (len(ITEMS), [])
    with smartpipe.open(tmp_path / "new") as pipe:
        assert (pipe.codec, pipe.dictionary) == (codec, dictionary)
    assert blocks_of(tmp_path / "new") == ITEMS


def test_a_rebuilt_index_names_it(source):
    os.remove(source + ".idx")
    smartpipe.rebuild_index(source)
    with smartpipe.open(source) as pipe:
        assert pipe.dictionary == DICTIONARY
    with smartpipe.open(source, "a") as pipe:
        pipe.write(b"more", ITEMS[0][1])
    assert numbers(source) == {1}
    assert smartpipe.verify(source).ok
