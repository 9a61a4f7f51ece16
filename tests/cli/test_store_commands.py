"""smartpipe store: what its commands do, and what they refuse."""

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from folders import contents

import smartpipe
from smartpipe.shards.manifest import sealed

ROOT = Path(__file__).parents[2]

ON_A_STORE = [
    ["ls"],
    ["ls", "--long"],
    ["ls", "--json"],
    ["get", ..., "a"],
    ["rm", ..., "a"],
    ["stats"],
    ["stats", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["compact"],
    ["gc"],
    ["backup", ..., "copy"],
    ["unpack", ..., "files"],
]


@pytest.fixture
def store(tmp_path):
    """The path of a store: two single values, one with a binary key, and a block of pairs."""
    with smartpipe.ShardStore(tmp_path / "store") as opened:
        opened.put_bytes(b"pages/a", b"<html>a</html>\n")
        opened.put_bytes(b"\x00\xff", b"\x00\x01\xfe")
        opened.put(b"pages/b", [(b"raw", b"<html>b</html>\n"), (b"log", b"ok\n"), (b"log", b"again\n")])
    return tmp_path / "store"


def damage(store, content):
    """Change a byte of a value, in whatever data file it lies uncompressed."""
    for data in store.glob("*.dat"):
        found = data.read_bytes().find(content)
        if found >= 0:
            with data.open("r+b") as file:
                file.seek(found)
                file.write(bytes([content[0] ^ 1]))
            return data
    raise AssertionError("no shard has this value")


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def arguments_of(command, path):
    if ... in command:
        return ["store", *[path if argument is ... else argument for argument in command]]
    return ["store", *command, path]


def test_ls(run, store):
    code, out, err = run("store", "ls", store)
    assert (code, sorted(out.splitlines()), err) == (0, [rb"\x00\xff", b"pages/a", b"pages/b"], "")
    assert sorted(run("store", "ls", store, "--prefix", "pages/").lines) == ["pages/a", "pages/b"]
    assert run("store", "ls", store, "--prefix", r"\x00").lines == [r"\x00\xff"]
    assert run("store", "ls", store, "--prefix", "none") == (0, b"", "")


def test_ls_long_has_what_the_index_has(run, store):
    before = time.time()
    heads, *rows = run("store", "ls", "-l", store).lines
    assert heads.split() == ["stored", "raw", "pairs", "written", "block"]
    assert {row.split()[-1]: row.split()[1:3] for row in rows} == {
        r"\x00\xff": ["11", "1"],
        "pages/a": ["23", "1"],
        "pages/b": [str(3 * 8 + 3 * 3 + 15 + 3 + 6), "3"],
    }
    (entry,) = [json.loads(line) for line in run("store", "ls", store, "--long", "--json", "--prefix", "pages/a").lines]
    assert (entry["block"], entry["raw_bytes"], entry["pair_count"]) == ("pages/a", 23, 1)
    assert entry["written"][:10] in (
        time.strftime("%Y-%m-%d", time.gmtime(before)),
        time.strftime("%Y-%m-%d", time.gmtime(before - 86400)),
    )


def test_get_writes_bytes(run, store):
    assert run("store", "get", store, r"\x00\xff") == (0, b"\x00\x01\xfe", "")
    assert run("store", "get", store, "hex:00ff").out == b"\x00\x01\xfe"
    assert run("store", "get", store, "pages/b").out == b"<html>b</html>\nok\nagain\n"
    assert run("store", "get", store, "pages/b", "-k", "log").out == b"ok\nagain\n"
    assert run("store", "get", store, "pages/b", "--key", "raw").out == b"<html>b</html>\n"


def test_a_missing_block_or_pair(run, store):
    for command in (["get", store, "no"], ["get", store, "pages/b", "-k", "no"], ["rm", store, "no"]):
        code, out, err = run("store", *command)
        assert (code, out, err.count("\n")) == (1, b"", 1)
        assert err.startswith(f"smartpipe: {store}") and "b'no'" in err


def test_put_of_a_file(run, tmp_path):
    (tmp_path / "file").write_bytes(b"\x00content\xff" * 100)
    assert run("store", "put", tmp_path / "new", r"a\x00", tmp_path / "file", "--compress", "zlib") == (0, b"", "")
    assert run("store", "get", tmp_path / "new", r"a\x00").out == b"\x00content\xff" * 100
    assert len(list((tmp_path / "new").glob("*.datz"))) == 1


@pytest.mark.parametrize("named", [["-"], []])
def test_put_from_standard_input(named, start, tmp_path, run):
    process = start("store", "put", "new", "key", *named, stdin=subprocess.PIPE)
    out, err = process.communicate(b"\x00from a pipe\n", timeout=60)
    assert (process.returncode, out, err) == (0, b"", b"")
    assert run("store", "get", tmp_path / "new", "key").out == b"\x00from a pipe\n"


def test_put_of_other_content(run, store, tmp_path):
    (tmp_path / "same").write_bytes(b"<html>a</html>\n")
    (tmp_path / "other").write_bytes(b"<html>other</html>\n")
    assert run("store", "put", store, "pages/a", tmp_path / "same") == (0, b"", "")
    code, out, err = run("store", "put", store, "pages/a", tmp_path / "other")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "another content" in err and "b'pages/a'" in err
    assert run("store", "get", store, "pages/a").out == b"<html>a</html>\n"
    assert run("store", "put", store, "pages/a", tmp_path / "other", "--overwrite") == (0, b"", "")
    assert run("store", "get", store, "pages/a").out == b"<html>other</html>\n"


def test_put_of_no_file_begins_no_store(run, tmp_path):
    code, _, err = run("store", "put", tmp_path / "new", "a", tmp_path / "missing")
    assert (code, err) == (1, f"smartpipe: {tmp_path}/missing: No such file or directory\n")
    assert not (tmp_path / "new").exists()


def test_rm_goes_on_behind_what_is_missing(run, store):
    code, _, err = run("store", "rm", store, "no", "pages/a", r"\x00\xff")
    assert (code, err.count("\n")) == (1, 1)
    assert run("store", "ls", store).lines == ["pages/b"]
    assert run("store", "rm", store, "pages/b") == (0, b"", "")
    assert run("store", "ls", store) == (0, b"", "")


def test_stats(run, store):
    run("store", "rm", store, "pages/a")
    found = json.loads(run("store", "stats", "--json", store).out)
    assert (found["keys"], found["shards"], found["tombstones"]) == (2, 1, 1)
    assert found["data_bytes"] == sum(path.stat().st_size for path in store.glob("*.dat"))
    assert found["live_bytes"] + found["dead_bytes"] == found["data_bytes"]
    lines = run("store", "stats", store).lines
    assert {line[:16].rstrip(): line[16:].strip().replace(",", "") for line in lines} == {
        name.replace("_", " "): str(number) for name, number in found.items()
    }


def test_compact_and_gc_make_room(run, store):
    with smartpipe.ShardStore(store) as opened:
        opened.put_many([(b"%d" % number, bytes(1000)) for number in range(1000)])
        for number in range(1000):
            opened.delete(b"%d" % number)
    before = sum(path.stat().st_size for path in store.glob("*.dat"))
    code, out, err = run("store", "compact", store)
    assert (code, err) == (0, "") and out.startswith(f"{store}: 1 shards compacted".encode())
    code, out, err = run("store", "gc", store, "--grace", "0")
    assert (code, err) == (0, "") and b" files removed" in out
    assert sum(path.stat().st_size for path in store.glob("*.dat")) < before - 1000 * 1000
    assert sorted(run("store", "ls", store).lines) == [r"\x00\xff", "pages/a", "pages/b"]
    assert json.loads(run("store", "compact", "--json", "--dead", "0.5", store).out)["shards"] == 0
    assert json.loads(run("store", "gc", "--json", "--grace", "0", store).out)["waiting"] == 0


def test_backup(run, store, tmp_path):
    code, out, err = run("store", "backup", store, tmp_path / "copy")
    assert (code, err) == (0, "") and out.startswith(f"{tmp_path}/copy: 1 shards copied".encode())
    assert run("store", "get", tmp_path / "copy", "pages/a").out == b"<html>a</html>\n"
    again = json.loads(run("store", "backup", store, tmp_path / "copy", "--json").out)
    assert (again["copied"], again["bytes"], again["kept"]) == ([], 0, 1)
    assert run("store", "backup", store, store).code == 1


def test_pack_and_unpack_of_the_repository(run, tmp_path):
    for name in ("docs", "tests"):
        code, out, err = run("store", "pack", ROOT / name, tmp_path / f"{name}.store", "--compress", "zlib")
        expected = contents(ROOT / name)
        size = sum(map(len, expected.values()))
        assert (code, err) == (0, "")
        assert out.decode() == f"{tmp_path}/{name}.store: {len(expected):,} files, {size:,} bytes\n"
        code, unpacked, err = run("store", "unpack", tmp_path / f"{name}.store", tmp_path / name)
        assert (code, err) == (0, "")
        assert unpacked.decode() == f"{tmp_path}/{name}: {len(expected):,} files, {size:,} bytes\n"
        assert contents(tmp_path / name) == expected


def test_pack_says_what_it_leaves_out(run, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    (tmp_path / "tree" / "link").symlink_to("file")
    os.mkfifo(tmp_path / "tree" / "fifo")
    code, out, err = run("store", "pack", tmp_path / "tree", tmp_path / "store")
    assert (code, out.decode()) == (0, f"{tmp_path}/store: 1 files, 7 bytes\n")
    assert sorted(err.splitlines()) == [
        f"smartpipe: warning: {tmp_path}/tree/{name}: neither a file nor a folder, left out"
        for name in ("fifo", "link")
    ]
    assert run("store", "ls", tmp_path / "store").lines == ["file"]


def test_pack_of_other_content(run, store, tmp_path):
    (tmp_path / "tree" / "pages").mkdir(parents=True)
    (tmp_path / "tree" / "pages" / "a").write_bytes(b"other")
    (tmp_path / "tree" / "pages" / "c").write_bytes(b"new")
    code, out, err = run("store", "pack", tmp_path / "tree", store)
    assert (code, out.decode()) == (1, f"{store}: 1 files, 3 bytes, 1 failed\n")
    assert err.count("\n") == 1 and "b'pages/a'" in err and "another content" in err
    assert run("store", "get", store, "pages/a").out == b"<html>a</html>\n"
    assert run("store", "get", store, "pages/c").out == b"new"
    assert run("store", "pack", tmp_path / "tree", store, "--overwrite").out.endswith(b"2 files, 8 bytes\n")
    assert run("store", "get", store, "pages/a").out == b"other"


def test_unpack_refuses_blocks_that_are_no_files_by_name(run, store, tmp_path):
    code, out, err = run("store", "unpack", store, tmp_path / "files")
    assert (code, out.decode()) == (1, f"{tmp_path}/files: 1 files, 15 bytes, 2 failed\n")
    assert err.count("\n") == 2 and r"b'\\x00\\xff'" in err.replace("\\", "\\\\") and "b'pages/b'" in err
    assert below(tmp_path / "files") == ["pages", "pages/a"]


def test_unpack_keeps_files_that_exist(run, store, tmp_path):
    run("store", "rm", store, "pages/b", r"\x00\xff")
    (tmp_path / "files" / "pages").mkdir(parents=True)
    (tmp_path / "files" / "pages" / "a").write_bytes(b"mine")
    code, out, err = run("store", "unpack", store, tmp_path / "files")
    assert (code, out.decode(), err) == (0, f"{tmp_path}/files: 0 files, 0 bytes, 1 kept\n", "")
    assert (tmp_path / "files" / "pages" / "a").read_bytes() == b"mine"
    assert run("store", "unpack", store, tmp_path / "files", "--overwrite").code == 0
    assert (tmp_path / "files" / "pages" / "a").read_bytes() == b"<html>a</html>\n"


@pytest.mark.parametrize("command", ON_A_STORE)
def test_no_store_is_one_line_and_nothing_is_begun(command, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"a file")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store").write_bytes(sealed({"smartpipe store": 99, "id": "0" * 16, "hash_key": "0" * 32}))
    before = below(tmp_path)
    for path, said in [
        ("nowhere", "there is no store"),
        ("file", "a store is a folder"),
        (".", "no store"),
        ("newer", "version 99"),
    ]:
        code, out, err = run(*arguments_of(command, path))
        assert (code, out, err.count("\n")) == (1, b"", 1), err
        assert err.startswith("smartpipe: ") and said in err, err
        assert below(tmp_path) == before


@pytest.mark.parametrize("command", ON_A_STORE)
def test_a_shard_that_is_gone_is_one_line(command, run, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in store.glob("*.dat"):
        path.unlink()
    code, _, err = run(*arguments_of(command, store))
    assert (code, err.count("\n")) == (1, 1) and "the shard is missing" in err


def test_a_damaged_value(run, store, tmp_path):
    data = damage(store, b"<html>a</html>\n")
    code, out, err = run("store", "get", store, "pages/a")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert data.name in err and "b'pages/a'" in err and "checksum" in err
    assert run("store", "get", store, r"\x00\xff").out == b"\x00\x01\xfe"
    code, out, err = run("store", "unpack", store, tmp_path / "files")
    assert code == 1 and "checksum" in err and not (tmp_path / "files" / "pages").exists()


def test_verify(run, store):
    code, out, err = run("store", "verify", store)
    assert (code, err) == (0, "") and out.startswith(f"{store}: all is well: 3 keys, 3 blocks whole, ".encode())
    report = json.loads(run("store", "verify", store, "--json").out)
    assert (report["ok"], report["keys"], report["blocks"], report["damage"]) == (True, 3, 3, [])


def test_verify_names_what_is_lost(run, store):
    data = damage(store, b"<html>a</html>\n")
    code, out, err = run("store", "verify", store)
    state, *lines = out.decode().splitlines()
    assert (code, err) == (1, "")
    assert state.startswith(f"{store}: NOT all is well: 3 keys, 2 blocks whole, 1 damaged or missing, ")
    ((what, file, _, _, block, reason),) = [line.split("\t") for line in lines]
    assert (what, file, block) == ("damaged", str(data), "pages/a") and "checksum" in reason
    found = run("store", "verify", "--json", store)
    report = json.loads(found.out)
    assert found.code == 1 and not report["ok"] and [one["block"] for one in report["damage"]] == ["pages/a"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ls"],
        ["ls", "s", "--prefix", r"\z"],
        ["get", "s"],
        ["get", "s", "hex:0"],
        ["put", "s"],
        ["put", "s", "k", "-", "--level", "10"],
        ["put", "s", "k", "-", "--compress", "gzip"],
        ["rm", "s"],
        ["compact", "s", "--dead", "2"],
        ["gc", "s", "--grace", "-1"],
        ["gc", "s", "--grace", "soon"],
        ["backup", "s"],
        ["pack", "d"],
        ["unpack", "s"],
    ],
)
def test_wrong_usage(arguments, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("store", *arguments)
    assert (code, out) == (2, b"") and "Usage: smartpipe store" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["put", ..., "k", "file"], ["pack", "tree", ...]])
def test_a_place_where_no_store_can_be(command, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"a file")
    (tmp_path / "tree").mkdir()
    for place in ("file", "file/store", "tree/../file/store"):
        code, out, err = run(*arguments_of(command, place))
        assert (code, out, err.count("\n")) == (1, b"", 1), err
        assert err.startswith("smartpipe: ")
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


def test_the_store_may_not_lie_in_the_tree_nor_the_tree_in_the_store(run, store, tmp_path):
    (tmp_path / "tree").mkdir()
    code, _, err = run("store", "pack", tmp_path / "tree", tmp_path / "tree" / "store")
    assert (code, err.count("\n")) == (1, 1) and "in the folder that it is made from" in err
    assert not list((tmp_path / "tree").iterdir())
    before = below(store)
    for folder in (store, store / "manifest" / "files"):
        code, _, err = run("store", "unpack", store, folder, "--overwrite")
        assert (code, err.count("\n")) == (1, 1) and "in the store that it is made from" in err
    assert below(store) == before
