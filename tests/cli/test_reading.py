"""ls, cat, cat-all, info, check, grep, diff, engines: what they print."""

import json
import subprocess
import sys

import pytest

import smartpipe


def json_lines(result):
    return [json.loads(line) for line in result.lines]


def test_ls(run, pipe):
    result = run("ls", pipe)
    assert result.lines == [
        "https://a",
        "       15000  raw",
        "           3  log",
        "           6  log",
        "caf\u00e9 \\\\",
        "          15  raw",
        r"\x00\xff",
        "           3  hex:",
        r"           0  \x1b[2J",
        r"           1  \x68ex:",
    ]
    assert (result.code, result.err) == (0, "")


def test_ls_top(run, pipe):
    assert run("ls", pipe, "--top").lines == ["https://a", "caf\u00e9 \\\\", r"\x00\xff"]


def test_ls_of_one_block(run, pipe):
    assert run("ls", pipe, r"\x00\xff").lines == [
        r"\x00\xff",
        "           3  hex:",
        r"           0  \x1b[2J",
        r"           1  \x68ex:",
    ]
    assert json_lines(run("ls", pipe, "hex:00ff", "--json"))[0]["block"] == r"\x00\xff"
    assert run("ls", pipe, "https://a", "--top").code == 2


def test_ls_long(run, pipe):
    with smartpipe.open(pipe) as reader:
        entries = list(reader.entries())
    heads, *lines = run("ls", pipe, "--long", "--top").lines
    assert heads.split() == ["number", "stored", "raw", "pairs", "written", "block"]
    assert len(lines) == 3
    for entry, line in zip(entries, lines, strict=True):
        number, stored, raw, pairs, day, time, *key = line.split()
        assert [int(number), int(stored), int(raw), int(pairs)] == [entry.number, entry.stored, entry.raw, entry.pairs]
        assert key[0].encode()[:3] in (b"htt", b"caf", b"\\x0")
        assert day.startswith("20") and time.endswith("+00:00")
    assert [line for line in run("ls", pipe, "-l").lines if line in lines] == lines
    assert heads.index("block") == lines[0].index("https://a")
    assert len(run("ls", pipe, "--long").lines) == 1 + 3 + 7


def test_ls_long_of_format_1_says_what_is_not_known(run, tmp_path):
    with smartpipe.open(tmp_path / "old", "w", format=1, compress=True) as writer:
        writer.write(b"a", {b"k": b"v" * 100})
        writer.write(b"b", {b"k": b"v"})
    _, first, last = run("ls", tmp_path / "old", "--long", "--top").lines
    assert first.split()[2:] == ["109", "-", "-", "a"]
    assert last.split()[2:] == ["-", "-", "-", "b"]
    assert json_lines(run("ls", tmp_path / "old", "--long", "--top", "--json"))[1]["raw_bytes"] is None


def test_ls_json(run, pipe):
    assert json_lines(run("ls", pipe, "--json")) == [
        {
            "block": "https://a",
            "pairs": [{"key": "raw", "bytes": 15000}, {"key": "log", "bytes": 3}, {"key": "log", "bytes": 6}],
        },
        {"block": "caf\u00e9 \\\\", "pairs": [{"key": "raw", "bytes": 15}]},
        {
            "block": r"\x00\xff",
            "pairs": [{"key": "hex:", "bytes": 3}, {"key": r"\x1b[2J", "bytes": 0}, {"key": r"\x68ex:", "bytes": 1}],
        },
    ]
    assert json_lines(run("ls", pipe, "--top", "--json"))[0] == {"block": "https://a"}
    long = json_lines(run("ls", pipe, "--long", "--json"))[0]
    assert (long["number"], long["pair_count"], long["raw_bytes"], len(long["pairs"])) == (0, 3, 15009 + 33, 3)


@pytest.mark.parametrize(
    "arguments, value",
    [
        (["https://a", "raw"], b"<html>a</html>\n" * 1000),
        (["https://a", "log"], b"ok\nagain\n"),
        (["https://a"], b"<html>a</html>\n" * 1000 + b"ok\nagain\n"),
        (["caf\u00e9 \\\\", "raw"], b"<html>b</html>\n"),
        ([r"\x00\xff", ""], b"\x00\x01\xfe"),
        (["hex:00ff", "hex:"], b"\x00\x01\xfe"),
        (["hex:00ff", r"\x68ex:"], b"h"),
        (["hex:00ff", r"\x1b[2J"], b""),
        (["-c", "https://a", "-k", "log"], b"ok\nagain\n"),
        (["--block", "https://a", "--key", "log"], b"ok\nagain\n"),
        (["https://a", "-k", "log"], b"ok\nagain\n"),
        (["-c", r"\x00\xff"], b"\x00\x01\xfeh"),
    ],
)
def test_cat(arguments, value, run, pipe):
    assert run("cat", pipe, *arguments) == (0, value, "")


@pytest.mark.parametrize("path", ["pages", "pages.datz", "pages.idx"])
def test_a_pipe_is_named_by_any_of_its_files(path, run, pipe):
    assert run("cat", pipe.parent / path, "https://a", "log").out == b"ok\nagain\n"


def test_cat_of_what_is_not_there(run, pipe):
    code, out, err = run("cat", pipe, "https://b")
    assert (code, out) == (1, b"") and "https://b" in err and err.count("\n") == 1
    code, out, err = run("cat", pipe, "https://a", "nothing")
    assert (code, out) == (1, b"") and "https://a" in err and "nothing" in err and err.count("\n") == 1


def test_cat_all(run, pipe):
    everything = b"<html>a</html>\n" * 1000 + b"ok\nagain\n<html>b</html>\n\x00\x01\xfeh"
    assert run("cat-all", pipe) == (0, everything, "")
    assert run("cat_all", pipe) == (0, everything, "")


@pytest.mark.parametrize(
    "pattern, out",
    [
        ("log", b"ok\nagain\n"),
        ("^lo", b"ok\nagain\n"),
        ("^$", b"\x00\x01\xfe"),
        ("log|^$|:", b"ok\nagain\n\x00\x01\xfeh"),
        (r"\x1b", b""),
        ("nothing", b""),
    ],
)
def test_cat_all_of_some_keys(pattern, out, run, pipe):
    assert run("cat-all", pipe, "-p", pattern) == (0, out, "")


def test_info(run, pipe):
    result = run("info", pipe)
    facts = dict(line.split(None, 1) for line in result.lines[:6] if line)
    assert facts["pipe"] == str(pipe)
    assert facts["format"] == "2"
    assert facts["codec"].startswith(f"zlib, {smartpipe.engines()['zlib']['engine']} ")
    assert (facts["blocks"], facts["pairs"]) == ("3", "7")
    assert facts["raw"] == f"bytes   {15009 + 33 + 15 + 11 + 4 + 24 + 8:,}"
    text = result.out.decode()
    assert "who = me" in text
    assert "          15,042  https://a\n" in text
    assert "          15,015            2  raw\n" in text
    assert "               3            1  hex:\n" in text


def test_info_json(run, pipe):
    result = run("info", pipe, "--json")
    assert len(result.lines) == 1
    found = json.loads(result.lines[0])
    assert (found["format"], found["codec"], found["blocks"], found["pairs"]) == (2, "zlib", 3, 7)
    assert {"key": r"\x1b[2J", "pairs": 1, "value_bytes": 0} in found["pair_keys"]
    assert found["metadata"]["who"] == "me"
    assert found["largest"][0]["key"] == "https://a"
    assert found["quantiles"]["99"] <= 15042


def test_info_of_an_empty_pipe(run, tmp_path):
    smartpipe.open(tmp_path / "empty", "w").close()
    result = run("info", tmp_path / "empty")
    assert result.code == 0
    assert "blocks      0" in result.lines


def test_info_sums_what_it_does_not_list(run, tmp_path):
    with smartpipe.open(tmp_path / "many", "w") as writer:
        writer.write(b"a", [(b"%d" % number, b"12345") for number in range(1100)])
    lines = run("info", tmp_path / "many").lines
    assert "             500          100  (others)" in lines


def test_check(run, pipe):
    result = run("check", pipe, "-r", "5", "-l", "2")
    first, second = result.lines
    assert first.startswith("in order   2 blocks, 4 pairs, 15,068 bytes in ")
    assert second.startswith("at random  5 blocks, ")
    assert " blocks/s, " in first
    assert len(run("check", pipe).lines) == 1


def test_check_json(run, pipe):
    report = json.loads(run("check", pipe, "--random", "1", "--json").out)
    assert (report["sequential"]["blocks"], report["random"]["blocks"]) == (3, 1)


def test_grep(run, pipe):
    assert run("grep", "html>b|again", pipe) == (
        0,
        b"https://a\tlog\t0\tagain\n" + "caf\u00e9 \\\\\traw\t1\t<html>b</html>\n".encode(),
        "",
    )
    assert run("grep", r"\x01", pipe).lines == ["\\x00\\xff\thex:\t1\t\\x00\\x01\\xfe"]
    assert run("grep", "html", pipe, "--key", "log") == (1, b"", "")


def test_grep_shows_a_part_of_a_long_line(run, tmp_path):
    with smartpipe.open(tmp_path / "p", "w") as writer:
        writer.write(b"a", {b"k": b"b" * 1000 + b"needle" + b"c" * 1000})
        writer.write(b"b", {b"k": b"first line\n" + b"-" * 80 + b"needle"})
        writer.write(b"c", {b"k": b"d" * 9000})
    result = run("grep", "needle|d+", tmp_path / "p")
    assert result.lines == [
        f"a\tk\t1000\t...{'b' * 80}needle{'c' * 80}...",
        f"b\tk\t91\t{'-' * 80}needle",
        f"c\tk\t0\t{'d' * 480}...",
    ]


def test_grep_json(run, pipe):
    assert json_lines(run("grep", "again", pipe, "--json")) == [
        {"block": "https://a", "pair": "log", "start": 0, "text": "again", "line_start": 0, "line": "again"}
    ]


@pytest.fixture
def other(tmp_path):
    with smartpipe.open(tmp_path / "other", "w", format=1) as writer:
        writer.write("caf\u00e9 \\".encode(), [(b"raw", b"<html>c</html>!\n")])
        writer.write(b"https://a", [(b"raw", b"<html>a</html>\n" * 1000), (b"log", b"ok\n"), (b"log", b"again\n")])
        writer.write(b"new", [])
    return tmp_path / "other"


def test_diff(run, pipe, other):
    assert run("diff", pipe, other) == (
        1,
        "".join(
            [
                "changed\tcaf\u00e9 \\\\\traw\t15 bytes -> 16 bytes\n",
                f"removed\t\\x00\\xff\t{11 + 12 + 13} bytes\n",
                "added\tnew\t0 bytes\n",
                "moved\thttps://a\n",
            ]
        ).encode(),
        "",
    )
    assert run("diff", pipe, pipe) == (0, b"", "")


def test_diff_json(run, pipe, other):
    result = run("diff", pipe, other, "--json")
    assert result.code == 1
    assert json_lines(result)[0] == {
        "kind": "changed",
        "block": "caf\u00e9 \\\\",
        "pair": "raw",
        "first": 15,
        "second": 16,
    }


def test_engines(run):
    found = smartpipe.engines()
    rows = [line.split("\t") for line in run("engines").lines if line]
    assert rows[0] == ["codec", "level", "writes", "reads", "MB/s in", "MB/s out", "stored"]
    listed = json_lines(run("engines", "--json"))
    assert len(rows) - 1 == len(listed) == 27
    for row, line in zip(rows[1:], listed, strict=True):
        codec = found[line["codec"]]
        assert row[:2] == [line["codec"], str(line["level"])]
        assert line["writes"] == codec["levels"][line["level"]]
        assert line["reads"] == {name: codec[name] for name in ("engine", "version", "binding")}
        assert row[3] == f"{codec['engine']} {codec['version']} ({codec['binding']})"
        assert line["bytes_per_second_in"] > 0 and line["bytes_per_second_out"] > 0 and 0 < line["stored"] < 1


def test_engines_says_what_to_install(environment):
    code = "import sys; sys.modules['lz4'] = None; from smartpipe.cli import main; sys.exit(main())"
    for arguments, last in (
        (["engines"], "lz4\t-\tmissing: pip install 'smartpipe[lz4]'"),
        (["engines", "--json"], '{"codec": "lz4", "engine": null, "install": "pip install \'smartpipe[lz4]\'"}'),
    ):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == last
