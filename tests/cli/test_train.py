"""train, and --dictionary of the commands that write a pipe."""

import json

import pytest

import smartpipe


def item(number):
    return b'{"title": "item %d", "links": ["https://example.org/%d"], "words": %d}' % (number, number, 7 * number)


@pytest.fixture
def items(tmp_path):
    """The prefix of a pipe of 600 small similar blocks of two pairs."""
    with smartpipe.open(tmp_path / "items", "w") as pipe:
        for number in range(600):
            pipe.write(b"item/%d" % number, {b"result": item(number), b"log": b"200 in %d ms" % number})
    return tmp_path / "items"


@pytest.fixture
def dictionary(run, items, tmp_path):
    """A file that `train` wrote."""
    assert run("train", items, "-o", tmp_path / "dictionary", "--size", "1000").code == 0
    return tmp_path / "dictionary"


def dictionary_of(prefix):
    with smartpipe.open(prefix) as pipe:
        return pipe.dictionary


def test_train(run, items, tmp_path):
    code, out, err = run("train", items, "-o", tmp_path / "made", "--size", "1000")
    content = (tmp_path / "made").read_bytes()
    assert (code, out, err) == (0, f"{tmp_path}/made: {len(content):,} bytes\n".encode(), "")
    assert content == smartpipe.train(items, size=1000)
    assert run("train", items, "--output", tmp_path / "selected", "--size", "1000", "--select", "log").code == 0
    assert (tmp_path / "selected").read_bytes() == smartpipe.train(items, size=1000, select=[b"log"]) != content


def test_a_file_that_is_there_is_kept(run, items, tmp_path):
    (tmp_path / "made").write_bytes(b"kept")
    code, out, err = run("train", items, "-o", tmp_path / "made", "--size", "1000")
    assert (code, out, err) == (1, b"", f"smartpipe: {tmp_path}/made: there is such a file already\n")
    assert (tmp_path / "made").read_bytes() == b"kept"


def test_where_nothing_is_trained_nothing_is_written(run, pipe, tmp_path):
    code, out, err = run("train", pipe, "-o", tmp_path / "made")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "too little to train" in err
    code, out, err = run("train", tmp_path / "nowhere", "-o", tmp_path / "made")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "nowhere" in err
    for wrong in (["-o", tmp_path / "made", "--size", "255"], []):
        assert run("train", pipe, *wrong).code == 2
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("command", ["convert", "concat", "import", "map", "recover"])
def test_commands_that_write_a_pipe_take_it(command, run, items, dictionary, tmp_path, monkeypatch):
    source, function = items, []
    if command == "import":
        source = tmp_path / "files"
        run("extract", items, source)
    if command == "map":
        (tmp_path / "copying.py").write_text("def copy(key, block):\n    return block\n")
        monkeypatch.syspath_prepend(tmp_path)
        function = ["copying:copy", "--jobs", "1"]
    zstd = ["--compress", "zstd"]
    assert run(command, source, tmp_path / "plain", *function, *zstd).code == 0
    assert run(command, source, tmp_path / "new", *function, *zstd, "--dictionary", dictionary).code == 0
    assert dictionary_of(tmp_path / "plain") is None
    assert dictionary_of(tmp_path / "new") == dictionary.read_bytes()
    assert (tmp_path / "new.datz").stat().st_size < 0.8 * (tmp_path / "plain.datz").stat().st_size
    assert run("diff", items, tmp_path / "new") == (0, b"", "")
    if command != "import":
        assert run(command, tmp_path / "new", tmp_path / "again", *function, *zstd).code == 0
        assert dictionary_of(tmp_path / "again") == dictionary.read_bytes()
        assert run(command, tmp_path / "new", tmp_path / "off", *function, *zstd, "--dictionary", "none").code == 0
        assert dictionary_of(tmp_path / "off") is None


def test_info_says_how_large_it_is(run, items, dictionary, tmp_path):
    run("convert", items, tmp_path / "new", "--compress", "zstd", "--dictionary", dictionary)
    size = dictionary.stat().st_size
    assert f"dictionary  {size:,} bytes" in run("info", tmp_path / "new").lines
    assert json.loads(run("info", tmp_path / "new", "--json").out)["dictionary_bytes"] == size
    assert "dictionary" not in run("info", items).out.decode()
    assert json.loads(run("info", items, "--json").out)["dictionary_bytes"] is None


@pytest.mark.parametrize(
    "content, options, said",
    [
        (None, ["--compress", "zstd"], "No such file or directory"),
        (b"", ["--compress", "zstd"], "not a dictionary of zstd: 0 bytes"),
        (b"any bytes", ["--compress", "zstd"], "smartpipe.train or zstd --train makes one"),
        (bytes(2**20 + 1), ["--compress", "zstd"], "more than 1,048,576 bytes are no dictionary"),
        (b"\x37\xa4\x30\xec and no more", ["--compress", "zstd"], "are not a dictionary of zstd"),
        (
            b"any bytes",
            [],
            'a dictionary is for the codec zstd, and the pipe has none: with compress="zstd", --compress zstd',
        ),
        (b"any bytes", ["--compress", "lz4"], "a dictionary is for the codec zstd, and the pipe has lz4"),
        (b"any bytes", ["--format", "1", "--compress", "zlib"], "a dictionary is for the codec zstd"),
    ],
)
def test_what_is_no_dictionary_or_no_place_for_one(content, options, said, run, items, tmp_path):
    path = tmp_path / "dictionary"
    if content is not None:
        path.write_bytes(content)
    code, out, err = run("convert", items, tmp_path / "new", *options, "--dictionary", path)
    assert (code, out, err.count("\n")) == (1, b"", 1) and said in err, err
    assert not list(tmp_path.glob("new*"))
