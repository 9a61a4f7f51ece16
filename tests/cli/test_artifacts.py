"""smartpipe artifacts: what its commands do, and what they refuse."""

import datetime
import gzip
import hashlib
import json
import os
import pickle
import signal
import time

import pytest
from folders import contents, small_disk

from smartpipe.locations import Files, Shards
from smartpipe.stores import ArtifactStore

READING = [
    ["ls"],
    ["ls", ..., "F"],
    ["ls", ..., "F", "1"],
    ["ls", ..., "F", "1", "L"],
    ["cat", ..., "F", "1", "L", "pages"],
    ["stats"],
    ["verify"],
]


def arguments_of(command, path):
    return ["artifacts", *([path if part is ... else part for part in command] if ... in command else [*command, path])]


def fill(place):
    store = ArtifactStore(place)
    for index in range(2):
        store.write(
            flow="F", execution="1", layer="L", index=index, name="pages", values=[f"{index}a\n", f"{index}b\n"]
        )
    store.write(
        flow="F", execution="1", layer="L", index=0, name="kinds", values=[b"\x00\xff", {"\u00e9": [1, (2.5,)]}, ""]
    )
    store.write(flow="F", execution="1", layer="M", index=0, name="time", values=[datetime.timedelta(1)])
    store.write(flow="F", execution="2", layer="L", index=0, name="pages", values=["0a\n"])
    store.write(flow="G", execution="1", layer="L", index=0, name="one", values=[42])
    place.write(b"README", b"of somebody else", labels=["by hand"])
    place.close()


@pytest.fixture
def tree(tmp_path):
    """A store of artifacts as files."""
    fill(Files(tmp_path / "tree"))
    return tmp_path / "tree"


@pytest.fixture
def packed(tmp_path):
    """The same in shards."""
    fill(Shards(tmp_path / "packed"))
    return tmp_path / "packed"


@pytest.fixture(params=["tree", "packed"])
def place(request):
    return request.getfixturevalue(request.param)


def values(folder):
    """What is in a tree of files, but what the place has there for itself."""
    return {name: content for name, content in contents(folder).items() if not name.startswith(b".smartpipe/")}


# pack and unpack


def test_pack_and_unpack_give_the_same_tree(run, tree, tmp_path):
    (tree / "more").mkdir()
    (tree / "more" / os.fsdecode(b"\xff\n")).write_bytes(b"\x00")
    (tree / "large").write_bytes(os.urandom(2_000_000))
    before = contents(tree)
    code, out, err = run("artifacts", "pack", tree, tmp_path / "new")
    expected = values(tree)
    size = sum(map(len, expected.values()))
    assert (code, err) == (0, "")
    assert out.decode() == (f"{tmp_path / 'new'}: {len(expected)} values, {size:,} bytes: 9 artifacts, 6 archives\n")
    assert contents(tree) == before
    code, out, err = run("artifacts", "unpack", tmp_path / "new", tmp_path / "deep" / "back")
    assert (code, err) == (0, "")
    assert out.decode().startswith(f"{tmp_path / 'deep' / 'back'}: {len(expected)} values, {size:,} bytes")
    assert values(tmp_path / "deep" / "back") == expected
    with Files(tmp_path / "deep" / "back") as back:
        assert {content.key: content.labels for content in back.contents() if content.labels} == {
            b"README": {"by hand"}
        }


def test_pack_takes_what_a_new_store_takes(run, tree, tmp_path):
    (tree / "text").write_bytes(b"text " * 100_000)
    assert run("artifacts", "pack", tree, tmp_path / "new", "--compress", "zlib", "--level", "9").code == 0
    assert sum(path.stat().st_size for path in (tmp_path / "new").glob("*.datz")) < 20_000
    assert run("artifacts", "pack", tree, tmp_path / "new", "--level", "10").code == 2


def test_pack_again_goes_on(run, tree, tmp_path):
    first = run("artifacts", "pack", tree, tmp_path / "new")
    size = sum(path.stat().st_size for path in (tmp_path / "new").glob("*.dat"))
    (tree / "F" / "later").write_bytes(b"later")
    code, out, _ = run("artifacts", "pack", tree, tmp_path / "new")
    assert (first.code, code) == (0, 0) and b" 17 values" in out
    assert sum(path.stat().st_size for path in (tmp_path / "new").glob("*.dat")) < size + 2000


def test_links_are_told_of(run, tree, tmp_path):
    (tree / "link").symlink_to("README")
    code, _, err = run("artifacts", "pack", tree, tmp_path / "new")
    assert (code, err) == (0, f"smartpipe: warning: {tree / 'link'}: neither a file nor a folder, left out\n")


def test_another_content_is_an_error_and_the_others_are_packed(run, tree, tmp_path):
    assert run("artifacts", "pack", tree, tmp_path / "new").code == 0
    (tree / "README").write_bytes(b"changed")
    (tree / "later").write_bytes(b"later")
    code, out, err = run("artifacts", "pack", tree, tmp_path / "new")
    assert code == 1 and err.count("\n") == 1 and "b'README'" in err and b"1 failed" in out
    assert run("store", "get", tmp_path / "new", "later").out == b"later"
    assert run("store", "get", tmp_path / "new", "README").out == b"of somebody else"
    assert run("artifacts", "pack", tree, tmp_path / "new", "--overwrite").code == 0
    assert run("store", "get", tmp_path / "new", "README").out == b"changed"
    (tree / "README").write_bytes(b"again")
    code, _, err = run("artifacts", "unpack", tmp_path / "new", tree)
    assert code == 1 and err.count("\n") == 1 and "README" in err
    assert (tree / "README").read_bytes() == b"again"
    assert run("artifacts", "unpack", tmp_path / "new", tree, "--overwrite").code == 0
    assert (tree / "README").read_bytes() == b"changed"


def test_an_archive_that_names_what_is_gone_is_an_error(run, tree, tmp_path):
    gone = next((tree / "G" / "artifacts").iterdir())
    gone.unlink()
    code, out, err = run("artifacts", "pack", tree, tmp_path / "new")
    assert code == 1 and err.count("\n") == 1 and gone.name in err and b"5 archives; 1 failed" in out
    assert run("artifacts", "verify", tmp_path / "new").code == 0


def test_what_pack_and_unpack_refuse(run, tree, packed, tmp_path):
    before = contents(tmp_path)
    nowhere, file = tmp_path / "nowhere", tree / "README"
    for command in (
        ["pack", nowhere, tmp_path / "new"],
        ["pack", file, tmp_path / "new"],
        ["pack", packed, tmp_path / "new"],
        ["pack", tree, tree],
        ["pack", tree, tree / "below"],
        ["pack", tree, file],
        ["unpack", nowhere, tmp_path / "new"],
        ["unpack", tree, tmp_path / "new"],
        ["unpack", file, tmp_path / "new"],
        ["unpack", packed, file],
        ["unpack", packed, packed],
        ["unpack", packed, packed / "below"],
    ):
        code, out, err = run("artifacts", *command)
        assert (code, out, err.count("\n")) == (1, b"", 1), command
        assert err.startswith("smartpipe: ") and (str(command[1]) in err or str(command[2]) in err)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "tree"]


def test_a_full_disk_is_one_line(run, tree, tmp_path):
    (tree / "large").write_bytes(os.urandom(2_000_000))
    assert run("artifacts", "pack", tree, tmp_path / "new").code == 0
    with small_disk(tmp_path / "disk"):
        for command in (["pack", tree, tmp_path / "disk" / "a"], ["unpack", tmp_path / "new", tmp_path / "disk" / "b"]):
            code, out, err = run("artifacts", *command)
            assert (code, out) == (1, b"")
            assert "No space left on device" in err and "Traceback" not in err


def test_interrupted_it_ends_with_130_and_can_be_run_again(start, run, tmp_path):
    for number in range(200):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
        for name in range(50):
            (tmp_path / "tree" / str(number) / str(name)).write_bytes(b"%d" % name * 100)
    process = start("artifacts", "pack", "tree", "new")
    until = time.monotonic() + 30
    while not (tmp_path / "new" / "store").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"smartpipe: interrupted\n")
    code, out, err = run("artifacts", "pack", tmp_path / "tree", tmp_path / "new")
    assert (code, err) == (0, "") and b" 10,000 values" in out


# ls, cat, stats


def test_ls_at_each_depth(run, place):
    assert run("artifacts", "ls", place) == (0, b"F\nG\n", "")
    assert run("artifacts", "ls", place, "F").lines == ["1", "2"]
    assert run("artifacts", "ls", place, "F", "1").lines == ["L", "M"]
    assert run("artifacts", "ls", place, "F", "1", "L").lines == ["kinds", "pages"]
    assert run("artifacts", "ls", place, "F", "1", "L", "--json").lines == [
        '{"artifact": "kinds"}',
        '{"artifact": "pages"}',
    ]
    assert json.loads(run("artifacts", "ls", place, "--json").lines[0]) == {"flow": "F"}


def test_a_flow_without_archives_has_no_executions(run, tree):
    (tree / "G" / "archives").rename(tree / "elsewhere")
    assert run("artifacts", "ls", tree, "G") == (0, b"", "")


def test_what_is_not_there_is_one_line(run, place):
    for command, named in (
        (["ls", place, "no"], "'no'"),
        (["ls", place, "F", "no"], "'no'"),
        (["ls", place, "F", "1", "no"], "'no'"),
        (["ls", place, "../F"], "'../F'"),
        (["cat", place, "F", "1", "L", "no"], "no.json"),
        (["cat", place, "F", "1", "L", "pages", "--index", "7"], "7/pages.json"),
        (["cat", place, "F", "1", "L", "pages", "--at", "4"], "has 4"),
        (["cat", place, "F", "1", "L", "pages", "--at", "-5"], "has 4"),
        (["gc", place, "--flow", "a/b"], "'a/b'"),
    ):
        code, out, err = run("artifacts", *command)
        assert (code, out, err.count("\n")) == (1, b"", 1) and named in err, command


@pytest.mark.parametrize("command", [*READING, ["gc"]])
def test_a_place_that_is_not_there(run, tmp_path, command):
    (tmp_path / "file").write_bytes(b"file")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        code, out, err = run(*arguments_of(command, path))
        assert (code, out, err.count("\n")) == (1, b"", 1) and str(path) in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_path_is_not_the_current_folder(run, tree, packed, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for command in (
        ["pack", tree, ""],
        ["pack", "", "x"],
        ["unpack", packed, ""],
        ["unpack", "", "x"],
        ["ls", ""],
        ["gc", ""],
    ):
        code, out, err = run("artifacts", *command)
        assert (code, out, err.count("\n")) == (1, b"", 1), command
    assert list((tmp_path / "here").iterdir()) == []


def test_a_flow_may_be_named_store(run, tmp_path):
    ArtifactStore(Files(tmp_path)).write(flow="store", execution="1", layer="L", index=0, name="x", values=["a"])
    assert run("artifacts", "ls", tmp_path).lines == ["store"]
    assert run("artifacts", "cat", tmp_path, "store", "1", "L", "x").out == b"a"


def test_a_folder_with_a_foreign_file_named_store(run, tree):
    (tree / "store").write_bytes(b"no store of shards")
    code, out, err = run("artifacts", "ls", tree)
    assert (code, out, err.count("\n")) == (1, b"", 1) and str(tree / "store") in err


@pytest.mark.parametrize("command", READING)
def test_what_only_reads_changes_nothing(run, place, command):
    def state():
        return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in place.rglob("*")}

    before = state()
    assert run(*arguments_of(command, place)).code == 0
    assert state() == before


def test_cat(run, place):
    cat = ["artifacts", "cat", place, "F", "1", "L"]
    assert run(*cat, "pages") == (0, b"0a\n0b\n1a\n1b\n", "")
    assert run(*cat, "pages", "--index", "1").out == b"1a\n1b\n"
    assert run(*cat, "pages", "--at", "-1").out == b"1b\n"
    assert run(*cat, "pages", "--index", "0", "--at", "1").out == b"0b\n"
    assert run(*cat, "kinds").out == b'\x00\xff{"\xc3\xa9": [1, [2.5]]}\n'
    assert run(*cat, "kinds", "--at", "0", "--raw").out == pickle.dumps(b"\x00\xff", 5)
    assert run("artifacts", "cat", place, "G", "1", "L", "one").out == b"42\n"


def test_cat_of_what_json_has_not(run, tmp_path):
    shown = [None, True, {1: 2}, float("nan"), [b"x"], {"a": {1}}, "\ud800", ["\ud800"], 2**80, (), {"a": float("inf")}]
    store = ArtifactStore(Files(tmp_path))
    store.write(flow="F", execution="1", layer="L", index=0, name="x", values=shown)
    assert run("artifacts", "cat", tmp_path, "F", "1", "L", "x").out.split(b"\n") == [
        b"null",
        b"true",
        b"{1: 2}",
        b"nan",
        b"[b'x']",
        b"{'a': {1}}",
        b'\xed\xa0\x80["\\ud800"]',
        b"1208925819614629174706176",
        b"[]",
        b"{'a': inf}",
        b"",
    ]


def test_nothing_runs_code_unless_it_is_allowed(run, place):
    cat = ["artifacts", "cat", place, "F", "1", "M", "time"]
    code, out, err = run(*cat)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "datetime.timedelta" in err and "--allow-pickle" in err
    assert run(*cat, "--allow-pickle") == (0, b"datetime.timedelta(days=1)\n", "")
    assert run(*cat, "--raw").out == pickle.dumps(datetime.timedelta(1), 5)


def test_a_pickle_that_wants_to_run_code_runs_none(run, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    data = pickle.dumps(Evil())
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "tree" / "F" / "artifacts").mkdir(parents=True)
    (tmp_path / "tree" / "F" / "artifacts" / f"{digest}.gz").write_bytes(gzip.compress(data))
    archive = tmp_path / "tree" / "F" / "archives" / "1" / "L" / "0" / "x.json"
    archive.parent.mkdir(parents=True)
    archive.write_text(json.dumps({"artifacts": [{"hexdigest": digest}]}))
    for command in (
        ["cat", ..., "F", "1", "L", "x"],
        ["verify"],
        ["stats"],
        ["ls", ..., "F"],
        ["pack", ..., tmp_path / "new"],
    ):
        code = run(*arguments_of(command, tmp_path / "tree")).code
        assert code == (1 if command[0] == "cat" else 0)
    assert not (tmp_path / "evil").exists()


def test_damage_is_one_line(run, tree):
    [artifact] = (tree / "G" / "artifacts").iterdir()
    whole = artifact.read_bytes()
    for content in (b"", b"no gzip", gzip.compress(b"another value"), whole[:-3]):
        artifact.write_bytes(content)
        for options in ([], ["--raw"]):
            code, out, err = run("artifacts", "cat", tree, "G", "1", "L", "one", *options)
            assert (code, out, err.count("\n")) == (1, b"", 1) and artifact.name in err
        assert artifact.read_bytes() == content  # what only reads removes nothing
    [archive] = (tree / "G").rglob("one.json")
    archive.write_bytes(b"{")
    code, out, err = run("artifacts", "cat", tree, "G", "1", "L", "one")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "no archive" in err


def test_stats(run, place):
    found = dict(line.rsplit(None, 1) for line in run("artifacts", "stats", place).lines)
    assert (found["flows"], found["executions"], found["layers"], found["archives"]) == ("2", "3", "4", "6")
    assert (found["values"], found["artifacts"], found["unnamed"], found["others"]) == ("10", "9", "0", "1")
    assert int(found["saved"]) > 0
    told = json.loads(run("artifacts", "stats", place, "--json").out)
    assert told["values"] == 10 and told["saved"] == int(found["saved"])


# gc and verify


def test_gc(run, place):
    location = Files(place) if place.name == "tree" else Shards(place)
    with ArtifactStore(location) as store:
        store.delete_execution(flow="F", execution="1")
    assert run("artifacts", "gc", place) == (0, f"{place}: 0 removed, 0 bytes; 7 wait\n".encode(), "")
    assert run("artifacts", "gc", place, "--flow", "G", "--grace", "0").out.startswith(f"{place}: 0 removed".encode())
    told = json.loads(run("artifacts", "gc", place, "--grace", "0", "--json").out)
    assert len(told["removed"]) == 7 and told["waiting"] == 0
    assert run("artifacts", "cat", place, "F", "2", "L", "pages").out == b"0a\n"
    assert run("artifacts", "verify", place).code == 0
    assert run("artifacts", "gc", place, "--grace", "-1").code == 2


def test_gc_beside_an_archive_that_is_none(run, tree):
    (tree / "F" / "archives" / "1" / "L" / "0" / "bad.json").write_bytes(b"{")
    before = values(tree)
    code, _, err = run("artifacts", "gc", tree, "--grace", "0")
    # Nothing is unnamed in any case, and yet nobody knows.
    assert code == 1 and err.count("\n") == 1 and "bad.json" in err
    assert values(tree) == before


def test_verify(run, place):
    code, out, err = run("artifacts", "verify", place)
    assert (code, err) == (0, "")
    assert out.decode().startswith(f"{place}: all is well: 9 artifacts, 6 archives, 0 records, ")
    location = Files(place) if place.name == "tree" else Shards(place)
    with location:
        [damaged] = [content.key for content in location.contents(b"G/artifacts/")]
        location.write(damaged, gzip.compress(b"other"), overwrite=True)
        location.write(b"F/archives/1/L/9/x.json", b"{")
    code, out, err = run("artifacts", "verify", place)
    first, *problems = out.decode().splitlines()
    assert code == 1 and err == "" and "NOT all is well" in first
    assert [line.partition("\t")[0] for line in problems] == ["F/archives/1/L/9/x.json", damaged.decode()]
    told = json.loads(run("artifacts", "verify", place, "--json").out)
    assert told["ok"] is False and len(told["problems"]) == 2
