import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smartpipe

LIST = "%blocks.jsonl"
LONG = b"https://a/" + b"x/" * 300

NASTY = [
    b"",
    b".",
    b"..",
    b"...",
    b"/",
    b"//",
    b"/etc/passwd",
    b"../../x",
    b"a/../..",
    b"a\\..\\b",
    b"C:\\x",
    b"\x00",
    b"a\x00b",
    b"~",
    b"~root",
    b".hidden",
    b"end.",
    b" ",
    b"a b",
    b"-rf",
    b"%",
    b"%2E",
    b"%41",
    b"A",
    b"%~0",
    b"%~1",
    b"a%~3",
    b"%blocks.jsonl",
    b"\n",
    b"\r\n",
    b"\x1b[2J",
    b"caf\xc3\xa9",
    b"\xff\xfe",
    b"con",
    b'*?<>|:"',
    b"$(id)",
    b"`id`",
    LONG,
    LONG + b"1",
    LONG + b"2",
    b"r" * 200,
    b"r" * 201,
    b"r" * 255,
    b"r" * 256,
    b"\x01" * 66,
    b"\x01" * 67,
]


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def there_and_back(pipe, tmp_path, **options):
    counts = smartpipe.extract(pipe, tmp_path / "out")
    assert smartpipe.import_folder(tmp_path / "out", tmp_path / "back", **options) == counts
    return tmp_path / "back"


def test_files_are_named_by_their_keys(planted, tmp_path):
    pipe = planted("p", [(b"https://a/?q=1", [(b"raw", b"<html>"), (b"log", b"\x00\n")]), (b"b", [])])
    assert smartpipe.extract(pipe, tmp_path / "new" / "out") == {"blocks": 2, "pairs": 2}
    folder = tmp_path / "new" / "out" / "https%3A%2F%2Fa%2F%3Fq%3D1"
    assert (folder / "raw").read_bytes() == b"<html>"
    assert (folder / "log").read_bytes() == b"\x00\n"
    assert everything_below(tmp_path / "new" / "out") == [
        LIST,
        "b",
        folder.name,
        f"{folder.name}/log",
        f"{folder.name}/raw",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compress": True},
        {"format": 1},
        {"format": 1, "compress": True},
        {"metadata": {b"who": b"me", b"\x00": b""}},
    ],
)
def test_the_same_pipe_comes_back(options, planted, pages, tmp_path, blocks_of):
    pipe = planted("p", pages, **options)
    back = there_and_back(pipe, tmp_path)
    assert blocks_of(back) == pages
    with smartpipe.open(pipe) as before, smartpipe.open(back) as after:
        assert (after.format, after.codec) == (before.format, before.codec)
        assert after.metadata == before.metadata


def test_a_format_1_pipe_comes_back_byte_for_byte(planted, pages, tmp_path):
    pipe = planted("p", pages, format=1)
    there_and_back(pipe, tmp_path)
    for suffix in (".dat", ".idx"):
        assert (tmp_path / ("back" + suffix)).read_bytes() == Path(pipe + suffix).read_bytes()


def test_nasty_keys_stay_in_the_folder_and_come_back(planted, tmp_path, blocks_of):
    blocks = [(key, [(pair, b"%d" % number) for number, pair in enumerate(NASTY)]) for key in NASTY]
    pipe = planted("p", blocks)
    before = everything_below(tmp_path)
    back = there_and_back(pipe, tmp_path)
    assert blocks_of(back) == blocks
    outside = [name for name in everything_below(tmp_path) if not name.startswith(("out/", "back."))]
    assert outside == sorted([*before, "out"])
    # A folder for each block and the list, each with a file for each pair, and nothing deeper.
    assert len(os.listdir(tmp_path / "out")) == len(NASTY) + 1
    for name in os.listdir(tmp_path / "out"):
        assert len(name) <= 255 and not name.startswith(".")
        if name != LIST:
            assert all(entry.is_file() for entry in os.scandir(tmp_path / "out" / name))
            assert len(os.listdir(tmp_path / "out" / name)) == len(NASTY)


def test_repeated_pair_keys_and_such_that_differ_in_case_have_files_of_their_own(planted, tmp_path, blocks_of):
    pairs = [(b"k", b"1"), (b"k", b"2"), (b"K", b"3"), (b"k", b"4"), (b"", b"5"), (b"", b"6")]
    back = there_and_back(planted("p", [(b"a", pairs)]), tmp_path)
    assert sorted(os.listdir(tmp_path / "out" / "a")) == ["%~4", "%~5", "K%~2", "k", "k%~1", "k%~3"]
    assert blocks_of(back) == [(b"a", pairs)]


def test_a_file_system_that_takes_two_names_for_one(planted, tmp_path, monkeypatch, blocks_of):
    real = os.mkdir

    def mkdir(path, *arguments, **named):
        folder, name = os.path.split(path)
        if name.lower() in (other.lower() for other in os.listdir(folder)):
            raise FileExistsError(17, "File exists", path)
        real(path, *arguments, **named)

    monkeypatch.setattr(os, "mkdir", mkdir)
    blocks = [(b"a", [(b"k", b"1")]), (b"A", [(b"k", b"2")])]
    back = there_and_back(planted("p", blocks), tmp_path)
    assert sorted(os.listdir(tmp_path / "out")) == [LIST, "A%~1", "a"]
    assert blocks_of(back) == blocks


keys = (
    st.binary(max_size=5)
    | st.text(max_size=4).map(str.encode)
    | st.sampled_from(NASTY)
    | st.binary(min_size=60, max_size=300)
)
pairs = st.lists(st.tuples(keys, st.binary(max_size=20) | st.binary(min_size=4000, max_size=5000)), max_size=4)


@given(st.dictionaries(keys, pairs, max_size=5))
@settings(deadline=None)  # a busy machine is no error
def test_any_pipe_comes_back(blocks):
    with tempfile.TemporaryDirectory() as folder:
        with smartpipe.open(f"{folder}/p", "w") as pipe:
            for key, content in blocks.items():
                pipe.write(key, content)
        smartpipe.extract(f"{folder}/p", f"{folder}/out")
        smartpipe.import_folder(f"{folder}/out", f"{folder}/back")
        with smartpipe.open(f"{folder}/back") as pipe:
            assert [(key, list(block)) for key, block in pipe.items()] == list(blocks.items())


def test_changed_files_are_taken_as_they_are(planted, pages, tmp_path, blocks_of):
    smartpipe.extract(planted("p", pages), tmp_path / "out")
    (tmp_path / "out" / "https%3A%2F%2Fa" / "log").write_bytes(b"another")
    smartpipe.import_folder(tmp_path / "out", tmp_path / "back", compress=True, metadata={b"by": b"hand"})
    assert dict(blocks_of(tmp_path / "back"))[b"https://a"][1:] == [(b"log", b"another"), (b"log", b"again")]
    with smartpipe.open(tmp_path / "back") as pipe:
        assert (pipe.codec, pipe.metadata[b"by"]) == ("zlib", b"hand")


def test_metadata_is_not_lost_silently(planted, pages, tmp_path):
    smartpipe.extract(planted("p", pages, metadata={b"who": b"me"}), tmp_path / "out")
    with pytest.warns(smartpipe.PipeWarning, match="metadata"):
        smartpipe.import_folder(tmp_path / "out", tmp_path / "back", format=1)


def test_any_tree_of_files(tmp_path, blocks_of):
    files = {
        "index.html": b"<html>",
        "b/2.txt": b"2",
        "b/10.txt": b"10",
        "b/c/deep": b"",
        "a": b"\x00",
        "caf\u00e9": b"e",
        ".hidden": b"h",
        "b.txt": b"",
        os.fsdecode(b"\xff"): b"bytes",
    }
    for name, content in files.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    (tmp_path / "tree" / "nothing in it").mkdir()
    counts = smartpipe.import_folder(tmp_path / "tree", tmp_path / "p")
    assert counts == {"blocks": 9, "pairs": 9}
    assert blocks_of(tmp_path / "p") == [
        (key, [(b"raw", value)])
        for key, value in [
            (b".hidden", b"h"),
            (b"a", b"\x00"),
            (b"b/10.txt", b"10"),
            (b"b/2.txt", b"2"),
            (b"b/c/deep", b""),
            (b"b.txt", b""),
            ("caf\u00e9".encode(), b"e"),
            (b"index.html", b"<html>"),
            (b"\xff", b"bytes"),
        ]
    ]


def test_links_and_such_are_left_out_of_a_tree_with_a_warning(tmp_path, blocks_of):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"1")
    (tree / "link").symlink_to(secret / "key")
    (tree / "linked").symlink_to(secret)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "fifo")
    with pytest.warns(smartpipe.PipeWarning) as warned:
        assert smartpipe.import_folder(tree, tmp_path / "p")["blocks"] == 1
    assert sorted(str(warning.message).split(":")[0] for warning in warned) == [
        str(tree / name) for name in ("fifo", "link", "linked", "loop")
    ]
    assert blocks_of(tmp_path / "p") == [(b"file", [(b"raw", b"1")])]


def test_a_deep_tree(tmp_path, blocks_of):
    # Deeper than functions call each other, here and in pytest's own removal of it.
    depth = 1200
    (tmp_path / "tree").mkdir()
    try:
        here = os.open(tmp_path / "tree", os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        file = os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=here)
        os.write(file, b"deep")
        os.close(file)
        os.close(here)
        smartpipe.import_folder(tmp_path / "tree", tmp_path / "p")
    finally:
        subprocess.run(["rm", "-r", tmp_path / "tree"], check=True)
    assert blocks_of(tmp_path / "p") == [(b"d/" * depth + b"f", [(b"raw", b"deep")])]


@pytest.mark.parametrize("name", ["p", "sub/p", "../tree/p", "link/p"])
def test_the_pipe_must_not_lie_in_the_folder(name, tmp_path, monkeypatch):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tree)
    before = everything_below(tree)
    with pytest.raises(ValueError, match="would lie in the folder"):
        smartpipe.import_folder(tree, (tmp_path if name.startswith("link") else tree) / name)
    monkeypatch.chdir(tree)
    with pytest.raises(ValueError, match="would lie in the folder"):
        smartpipe.import_folder(".", "p")
    assert everything_below(tree) == before


def test_a_pipe_with_the_name_of_the_folder_lies_beside_it(tmp_path, blocks_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_bytes(b"1")
    smartpipe.import_folder("site", "site")
    assert blocks_of("site") == [(b"file", [(b"raw", b"1")])]


def test_where_to_extract_must_be_empty(planted, pages, tmp_path):
    pipe = planted("p", pages)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"1")
    with pytest.raises(smartpipe.PipeExistsError, match="not empty"):
        smartpipe.extract(pipe, tmp_path / "full")
    assert everything_below(tmp_path / "full") == ["mine"]
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(smartpipe.PipeExistsError, match=name):
            smartpipe.extract(pipe, tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert smartpipe.extract(pipe, tmp_path / "empty")["blocks"] == 4


def test_a_missing_pipe_leaves_no_folder(tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        smartpipe.extract(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_to_import_must_be_a_folder(tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere: no such folder"):
        smartpipe.import_folder(tmp_path / "nowhere", tmp_path / "p")
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(smartpipe.FormatError, match="expected a folder, found a file"):
        smartpipe.import_folder(tmp_path / "file", tmp_path / "p")


def test_an_existing_pipe_is_replaced_only_on_request(planted, tmp_path, blocks_of):
    old = planted("old", [(b"kept", [])])
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"1")
    with pytest.raises(smartpipe.PipeExistsError, match="old"):
        smartpipe.import_folder(tmp_path / "tree", old)
    assert blocks_of(old) == [(b"kept", [])]
    smartpipe.import_folder(tmp_path / "tree", old, mode="w")
    assert blocks_of(old) == [(b"a", [(b"raw", b"1")])]
    with pytest.raises(ValueError, match="mode"):
        smartpipe.import_folder(tmp_path / "tree", old, mode="a")


def test_files_too_large_for_a_block_are_named(planted, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "small").write_bytes(bytes(100 - 11))
    with open(tmp_path / "tree" / "z", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(smartpipe.BlockTooLargeError, match=r"tree/z: .* 268435456 bytes"):
        smartpipe.import_folder(tmp_path / "tree", tmp_path / "p")
    with open(tmp_path / "tree" / "z", "wb") as file:
        file.truncate(100 - 10)
    with pytest.raises(smartpipe.BlockTooLargeError, match=r"tree/z: .* 100 bytes"):
        smartpipe.import_folder(tmp_path / "tree", tmp_path / "p", max_block_size=100)
    assert not list(tmp_path.glob("p.*"))
    # A block of two pairs, each of which would fit.
    smartpipe.extract(planted("two", [(b"a", [(b"k", bytes(60)), (b"l", bytes(60))])]), tmp_path / "out")
    with pytest.raises(smartpipe.BlockTooLargeError, match="out/a/l"):
        smartpipe.import_folder(tmp_path / "out", tmp_path / "p", max_block_size=137)
    assert smartpipe.import_folder(tmp_path / "out", tmp_path / "p", max_block_size=138)["pairs"] == 2


def test_progress_counts_blocks(planted, pages, tmp_path):
    pipe = planted("p", pages)
    calls = []

    def report(done, total):
        calls.append((done, total))

    expected = [(1, 4), (2, 4), (3, 4), (4, 4)]
    smartpipe.extract(pipe, tmp_path / "out", progress=report)
    assert calls == expected
    calls.clear()
    smartpipe.import_folder(tmp_path / "out", tmp_path / "back", progress=report)
    assert calls == expected
    calls.clear()
    (tmp_path / "out" / LIST).unlink()
    (tmp_path / "out" / "file").write_bytes(b"")
    smartpipe.import_folder(tmp_path / "out", tmp_path / "tree", progress=report)
    assert calls == [(done, 6) for done in range(1, 7)]


class TestDamagedFolders:
    """A folder may come from anybody: nothing in its list leads out of it, and nothing in it is left out silently."""

    @pytest.fixture
    def out(self, planted, tmp_path):
        blocks = [(b"a", [(b"k", b"1"), (b"k", b"2")]), (b"b", [(b"k", b"3")])]
        smartpipe.extract(planted("p", blocks), tmp_path / "out")
        return tmp_path / "out"

    @pytest.fixture
    def refused(self, out, tmp_path):
        def refused(error, match):
            with pytest.raises(error, match=match):
                smartpipe.import_folder(out, tmp_path / "back")
            assert not list(tmp_path.glob("back*"))

        return refused

    @staticmethod
    def edit(out, number, **changes):
        lines = (out / LIST).read_text().splitlines()
        record = json.loads(lines[number])
        record.update(changes)
        lines[number] = json.dumps({key: value for key, value in record.items() if value is not ...})
        (out / LIST).write_text("\n".join(lines) + "\n")

    def test_the_list_is_sound_to_begin_with(self, out, tmp_path, blocks_of):
        self.edit(out, 1)
        smartpipe.import_folder(out, tmp_path / "back")
        assert blocks_of(tmp_path / "back") == [(b"a", [(b"k", b"1"), (b"k", b"2")]), (b"b", [(b"k", b"3")])]

    @pytest.mark.parametrize(
        "name", ["../p.dat", "/etc/passwd", "..", ".", "", "b", "a/../b", "a\x00", "a\\b", "a%~1", "k", None, 3, []]
    )
    def test_names_that_are_not_those_of_the_key(self, name, out, refused):
        self.edit(out, 1, folder=name)
        refused(smartpipe.FormatError, "%blocks.jsonl: line 2: expected a")
        self.edit(out, 1, folder="a", pairs=[["k", name]] if name != "k" else [["k", "K"]])
        refused(smartpipe.FormatError, "%blocks.jsonl: line 2: expected a")

    @pytest.mark.parametrize("key", ["..", "%2e%2E", "a/b", "%", "%4", "%zz", "%41", "caf\u00e9", "\ud800", None, 5])
    def test_keys_that_are_not_in_escapes(self, key, out, refused):
        self.edit(out, 2, block=key, folder="b")
        refused(smartpipe.FormatError, "line 3: expected a key in percent escapes")

    @pytest.mark.parametrize("pairs", [None, {}, "k", [1], [["k"]], [["k", "k", "k"]], [{"k": "k"}], ...])
    def test_pairs_of_another_shape(self, pairs, out, refused):
        self.edit(out, 2, pairs=pairs)
        refused(smartpipe.FormatError, "line 3: expected")

    @pytest.mark.parametrize(
        "change",
        [
            {"smartpipe": "pipe"},
            {"version": 2},
            {"format": 3},
            {"format": "2"},
            {"codec": 1},
            {"blocks": "2"},
            {"blocks": ...},
            {"metadata": {}},
            {"metadata": [["a"]]},
            {"metadata": [["a", ".."]]},
            {"metadata": ...},
        ],
    )
    def test_a_first_line_of_another_shape(self, change, out, refused):
        self.edit(out, 0, **change)
        refused(smartpipe.FormatError, "line 1: expected")

    def test_a_codec_that_is_not_known(self, out, refused):
        self.edit(out, 0, codec="magic")
        refused(ValueError, "magic")

    @pytest.mark.parametrize("line", ["", "{", "[]", "null", '"a"', "\x00", "[" * 100_000, "{}"])
    def test_lines_that_are_no_object(self, line, out, refused):
        lines = (out / LIST).read_text().splitlines()
        (out / LIST).write_text("\n".join([lines[0], line, lines[2]]) + "\n")
        refused(smartpipe.FormatError, "line 2: expected")
        (out / LIST).write_text("\n".join([line, *lines[1:]]) + "\n")
        refused(smartpipe.FormatError, "line 1: expected")

    def test_a_list_cut_anywhere(self, out, refused):
        whole = (out / LIST).read_bytes()
        first = whole.index(b"\n") + 1
        for end in range(len(whole)):
            (out / LIST).write_bytes(whole[:end])
            if end < first - 1:
                refused(smartpipe.FormatError, "line 1: expected")
            else:
                refused(smartpipe.TruncatedError, "ends after [01] of 2 blocks")

    def test_a_list_with_more_lines(self, out, refused):
        with open(out / LIST, "a") as listing:
            listing.write("{}\n")
        refused(smartpipe.FormatError, "expected the end after 2 blocks")

    def test_a_block_listed_twice(self, out, refused):
        lines = (out / LIST).read_text().splitlines()
        (out / LIST).write_text("\n".join([lines[0], lines[1], lines[1]]) + "\n")
        refused(smartpipe.DuplicateKeyError, "block b'a'")

    @pytest.mark.parametrize("gone", ["a/k", "b"])
    def test_what_is_listed_and_not_there(self, gone, out, refused):
        os.rename(out / gone, out.parent / "elsewhere")
        refused(smartpipe.FormatError, f"out/{gone}: .* not there")

    @pytest.mark.parametrize("more", ["a/new", ".DS_Store", "c"])
    def test_what_is_there_and_not_listed(self, more, out, refused):
        (out / more).write_bytes(b"")
        refused(smartpipe.FormatError, f"out/{more}: .* does not name it")

    @pytest.mark.parametrize("place", ["a/k", "b", LIST])
    def test_links_in_the_place_of_files(self, place, out, refused):
        os.rename(out / place, out.parent / "elsewhere")
        (out / place).symlink_to(out.parent / "elsewhere")
        refused(smartpipe.FormatError, "found something else")

    def test_a_named_pipe_in_the_place_of_a_file(self, out, refused):
        os.remove(out / "b" / "k")
        os.mkfifo(out / "b" / "k")
        refused(smartpipe.FormatError, "out/b/k: expected a regular file")

    def test_an_extraction_that_failed_is_incomplete(self, planted, tmp_path, refused):
        pipe = planted("damaged", [(b"a", [(b"k", b"x" * 9000)]), (b"b", [(b"k", b"y" * 9000)])])
        data = bytearray(Path(pipe + ".dat").read_bytes())
        data[data.index(b"y" * 9000)] ^= 1
        Path(pipe + ".dat").write_bytes(data)
        with pytest.raises(smartpipe.CorruptError):
            smartpipe.extract(pipe, tmp_path / "half")
        with pytest.raises(smartpipe.TruncatedError, match="ends after 1 of 2 blocks"):
            smartpipe.import_folder(tmp_path / "half", tmp_path / "new")
