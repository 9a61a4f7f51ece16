"""convert, concat, extract, import: what they do and what they refuse."""

import pytest

import smartpipe


def everything(path):
    with smartpipe.open(path) as reader:
        return [(key, list(block)) for key, block in reader.items()]


def test_convert(run, pipe, tmp_path):
    assert run("convert", pipe, tmp_path / "new") == (0, f"{tmp_path}/new: 3 blocks, 7 pairs\n".encode(), "")
    assert everything(tmp_path / "new") == everything(pipe)
    with smartpipe.open(tmp_path / "new") as reader:
        assert (reader.format, reader.codec) == (2, "zlib")


@pytest.mark.parametrize(
    "options, form",
    [
        (["--format", "1"], (1, "zlib")),
        (["--format=1", "--compress=none"], (1, "none")),
        (["--compress", "none"], (2, "none")),
        (["--compress", "zlib", "--level", "9"], (2, "zlib")),
        (["--threads", "2"], (2, "zlib")),
        (["--format", "1", "--threads", "3"], (1, "zlib")),
    ],
)
def test_convert_to_another_form(options, form, run, pipe, tmp_path):
    assert run("convert", *options, pipe, tmp_path / "new").code == 0
    with smartpipe.open(tmp_path / "new") as reader:
        assert (reader.format, reader.codec) == form
    assert everything(tmp_path / "new") == everything(pipe)


def test_lost_metadata_is_one_line_on_stderr(run, pipe, tmp_path):
    assert run("convert", pipe, tmp_path / "new", "--format", "1").err == (
        f"smartpipe: warning: {tmp_path}/new: format 1 has no metadata, left out\n"
    )


def test_concat(run, pipe, tmp_path):
    with smartpipe.open(tmp_path / "more", "w") as writer:
        writer.write(b"more", {b"k": b"v"})
    assert run("concat", pipe, tmp_path / "more", tmp_path / "all").out.endswith(b"all: 4 blocks, 8 pairs\n")
    assert everything(tmp_path / "all") == [*everything(pipe), (b"more", [(b"k", b"v")])]
    code, out, err = run("concat", pipe, pipe, tmp_path / "twice")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "https://a" in err
    assert not list(tmp_path.glob("twice*"))


def test_extract_and_import(run, pipe, tmp_path):
    assert run("extract", pipe, tmp_path / "out") == (0, f"{tmp_path}/out: 3 blocks, 7 pairs\n".encode(), "")
    assert (tmp_path / "out" / "https%3A%2F%2Fa" / "log").read_bytes() == b"ok\n"
    assert run("import", tmp_path / "out", tmp_path / "back").out.endswith(b"back: 3 blocks, 7 pairs\n")
    assert run("diff", pipe, tmp_path / "back") == (0, b"", "")
    code, out, err = run("extract", pipe, tmp_path / "out")
    assert (code, out, err) == (1, b"", f"smartpipe: {tmp_path}/out: the folder is not empty\n")


def test_import_of_a_tree(run, tmp_path):
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "file").write_bytes(b"content")
    (tmp_path / "tree" / "link").symlink_to("sub")
    code, out, err = run("import", tmp_path / "tree", tmp_path / "p", "--compress", "zlib")
    assert (code, out) == (0, f"{tmp_path}/p: 1 blocks, 1 pairs\n".encode())
    assert err == f"smartpipe: warning: {tmp_path}/tree/link: neither a file nor a folder, left out\n"
    assert run("cat", tmp_path / "p", "sub/file", "raw").out == b"content"


@pytest.mark.parametrize("command", ["convert", "concat", "import"])
def test_an_existing_destination_is_kept_unless_replaced(command, run, pipe, tmp_path):
    with smartpipe.open(tmp_path / "old", "w") as writer:
        writer.write(b"kept", {})
    source = pipe
    if command == "import":
        source = tmp_path / "out"
        run("extract", pipe, source)
    code, out, err = run(command, source, tmp_path / "old")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert err.startswith("smartpipe: ") and "old" in err
    assert everything(tmp_path / "old") == [(b"kept", [])]
    assert run(command, source, tmp_path / "old", "--replace").code == 0
    assert everything(tmp_path / "old") == everything(pipe)


def test_a_pipe_is_not_converted_onto_itself(run, pipe):
    before = everything(pipe)
    code, out, err = run("convert", pipe, f"{pipe}.dat", "--replace", "--compress", "none")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "same pipe" in err
    assert everything(pipe) == before


@pytest.mark.parametrize("option", [["--format", "3"], ["--level", "0"], ["--level", "10"], ["--compress", "magic"],
                                    ["--threads", "0"]])  # fmt: skip
def test_values_that_an_option_does_not_have(option, run, pipe, tmp_path):
    code, out, err = run("convert", pipe, tmp_path / "new", *option)
    assert (code, out) == (2, b"") and option[0] in err
    assert not list(tmp_path.glob("new*"))


def test_into_a_folder_that_is_not_there(run, pipe, tmp_path):
    code, out, err = run("convert", pipe, tmp_path / "no" / "new")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "No such file or directory" in err
