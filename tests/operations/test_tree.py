"""pack and unpack: a tree of files becomes a store and comes back, and no key leads out of the folder."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from folders import contents

import smartpipe
from smartpipe.operations import tree

ROOT = Path(__file__).parents[2]

NAMES = [
    b"plain",
    b"with space",
    b" ",
    b"new\nline",
    b"tab\t",
    b"\xff\xfe\x80",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"\xe2\x80\xae\xf0\x9f\x98\x80",
    b"back\\slash",
    b"...",
    b"-rf",
    b"~",
    b"%2e%2e",
    b"\x01\x1b[2J",
    b"store",
    b"n" * 255,
]

OUTSIDE = [
    b"",
    b"/",
    b"/etc/passwd",
    b"//etc/passwd",
    b".",
    b"..",
    b"../outside",
    b"../../../../../../../../outside",
    b"a/../../outside",
    b"a/..",
    b"./a",
    b"a/./b",
    b"a//b",
    b"a/",
    b"a/b/",
    b"\0",
    b"a\0b",
    b"a/\0/b",
    b"n" * 256,
    b"a/" + b"n" * 300 + b"/b",
    b"d/" * 2047 + b"too long",
]


def plant(folder, files):
    """Write files, {path as bytes: content}, below a folder."""
    for name, content in files.items():
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def values(path):
    with smartpipe.ShardStore(path, "r") as store:
        return {key: block[b""] for key, block in store.items()}


def store_of(path, blocks, **options):
    with smartpipe.ShardStore(path, **options) as store:
        for key, value in blocks.items():
            store.put_bytes(key, value)
    return path


def test_every_name_and_content_comes_back(tmp_path):
    files = {
        **{name: name * 3 for name in NAMES},
        **{b"deep/" * 20 + name: name[::-1] for name in NAMES},
        b"empty": b"",
        b"large": os.urandom(5 << 20),
        b"dir/empty": b"",
    }
    plant(tmp_path / "tree", files)
    counts = smartpipe.pack(tmp_path / "tree", tmp_path / "store", compress="zlib", level=1)
    size = sum(map(len, files.values()))
    assert counts == {"files": len(files), "bytes": size, "failed": 0}
    assert values(tmp_path / "store") == files
    counts = smartpipe.unpack(tmp_path / "store", tmp_path / "back")
    assert counts == {"files": len(files), "bytes": size, "kept": 0, "failed": 0}
    assert contents(tmp_path / "back") == files


def test_many_small_files_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "TOGETHER", 100)
    files = {b"%d/%d" % (number % 7, number): b"%d" % number for number in range(201)}
    plant(tmp_path / "tree", files)
    assert smartpipe.pack(tmp_path / "tree", tmp_path / "store")["files"] == len(files)
    assert smartpipe.unpack(tmp_path / "store", tmp_path / "back")["files"] == len(files)
    assert contents(tmp_path / "back") == files


def test_relative_names_and_paths_of_pathlib_and_str(tmp_path, monkeypatch):
    plant(tmp_path / "tree", {b"a/b": b"content"})
    monkeypatch.chdir(tmp_path / "tree")
    smartpipe.pack(".", "../store")
    smartpipe.unpack("../store", Path("..") / "back")
    assert contents(tmp_path / "back") == {b"a/b": b"content"}


def test_folders_without_files_are_not_kept(tmp_path):
    (tmp_path / "tree" / "empty" / "more").mkdir(parents=True)
    assert smartpipe.pack(tmp_path / "tree", tmp_path / "store") == {"files": 0, "bytes": 0, "failed": 0}
    assert smartpipe.unpack(tmp_path / "store", tmp_path / "back")["files"] == 0
    assert list((tmp_path / "back").iterdir()) == []


def test_links_and_devices_are_left_out_with_a_warning(tmp_path):
    plant(tmp_path / "tree", {b"file": b"content"})
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree" / "folder").symlink_to(tmp_path)
    (tmp_path / "tree" / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "tree" / "fifo")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = smartpipe.pack(tmp_path / "tree", tmp_path / "store")
    assert counts == {"files": 1, "bytes": 7, "failed": 0}
    assert sorted(os.path.basename(str(warning.message).partition(":")[0]) for warning in caught) == [
        "dangling",
        "fifo",
        "folder",
        "link",
    ]
    assert values(tmp_path / "store") == {b"file": b"content"}


def test_the_folder_itself_may_be_a_link(tmp_path):
    plant(tmp_path / "tree", {b"file": b"content"})
    (tmp_path / "link").symlink_to("tree")
    (tmp_path / "target").mkdir()
    (tmp_path / "other").symlink_to("target")
    smartpipe.pack(tmp_path / "link", tmp_path / "store")
    smartpipe.unpack(tmp_path / "store", tmp_path / "other")
    assert contents(tmp_path / "target") == {b"file": b"content"}


def test_packing_again_writes_nothing(tmp_path):
    plant(tmp_path / "tree", {b"a": b"1", b"b": b"2"})
    first = smartpipe.pack(tmp_path / "tree", tmp_path / "store")
    before = sum(path.stat().st_size for path in (tmp_path / "store").glob("*.dat"))
    assert smartpipe.pack(tmp_path / "tree", tmp_path / "store") == first
    assert sum(path.stat().st_size for path in (tmp_path / "store").glob("*.dat")) == before


def test_a_collision_keeps_the_others(tmp_path):
    plant(tmp_path / "tree", {b"%d" % number: b"new" for number in range(10)})
    store = store_of(tmp_path / "store", {b"3": b"old", b"7": b"new"})
    with pytest.raises(smartpipe.CollisionError) as caught:
        smartpipe.pack(tmp_path / "tree", store)
    assert caught.value.block == b"3"
    errors = []
    assert smartpipe.pack(tmp_path / "tree", store, on_error=errors.append) == {"files": 9, "bytes": 27, "failed": 1}
    assert [(type(error), error.block) for error in errors] == [(smartpipe.CollisionError, b"3")]
    assert values(store) == {b"%d" % number: b"old" if number == 3 else b"new" for number in range(10)}
    assert smartpipe.pack(tmp_path / "tree", store, overwrite=True)["failed"] == 0
    assert values(store)[b"3"] == b"new"


def test_a_file_that_vanishes_is_an_error_and_the_others_are_stored(tmp_path):
    plant(tmp_path / "tree", {b"a": bytes(tree.TOGETHER_BYTES), b"b": b"vanishes", b"c": b"stays", b"d/e": b"stays"})

    def progress(done, total):
        (tmp_path / "tree" / "b").unlink(missing_ok=True)

    errors = []
    counts = smartpipe.pack(tmp_path / "tree", tmp_path / "store", on_error=errors.append, progress=progress)
    assert (counts["files"], counts["failed"]) == (3, 1)
    assert isinstance(errors[0], smartpipe.StorageError) and errors[0].path == str(tmp_path / "tree" / "b")
    assert set(values(tmp_path / "store")) == {b"a", b"c", b"d/e"}


def test_a_folder_that_vanishes_is_an_error(tmp_path):
    plant(tmp_path / "tree", {b"a": bytes(tree.TOGETHER_BYTES), b"b/c": b"vanishes", b"d": b"stays"})

    def progress(done, total):
        if (tmp_path / "tree" / "b").exists():
            (tmp_path / "tree" / "b" / "c").unlink()
            (tmp_path / "tree" / "b").rmdir()

    errors = []
    counts = smartpipe.pack(tmp_path / "tree", tmp_path / "store", on_error=errors.append, progress=progress)
    assert (counts["files"], counts["failed"]) == (2, 1)
    assert [error.path for error in errors] == [str(tmp_path / "tree" / "b")]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path):
    plant(tmp_path / "tree", {b"grows": bytes(16 << 20), b"stays": b"content"})
    grow = "import sys\nfile = open(sys.argv[1], 'ab', 0)\nprint(flush=True)\nfor _ in range(10**7): file.write(b'x')"
    child = subprocess.Popen([sys.executable, "-c", grow, tmp_path / "tree" / "grows"], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        for number in range(100):
            errors = []
            smartpipe.pack(tmp_path / "tree", tmp_path / f"store{number}", on_error=errors.append)
            if errors:
                break
    finally:
        child.kill()
        child.communicate()
    assert [str(error) for error in errors] == [f"{tmp_path}/tree/grows: the file changed while it was read"]
    assert values(tmp_path / f"store{number}") == {b"stays": b"content"}


def test_a_file_too_large_for_a_block(tmp_path):
    plant(tmp_path / "tree", {b"fits": bytes(992), b"large": bytes(993)})
    errors = []
    counts = smartpipe.pack(tmp_path / "tree", tmp_path / "store", on_error=errors.append, max_block_size=1000)
    assert (counts["files"], counts["failed"]) == (1, 1)
    assert isinstance(errors[0], smartpipe.BlockTooLargeError)
    assert errors[0].path == str(tmp_path / "tree" / "large") and "1000 bytes" in str(errors[0])


def test_what_is_no_folder_is_not_packed(tmp_path):
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.pack(tmp_path / "nowhere", tmp_path / "store")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(smartpipe.FormatError):
        smartpipe.pack(tmp_path / "file", tmp_path / "store")
    with pytest.raises(ValueError, match="in the folder"):
        smartpipe.pack(tmp_path, tmp_path / "store")
    with pytest.raises(ValueError, match="on_error"):
        smartpipe.pack(tmp_path, tmp_path / "store", on_error="ignore")
    assert not (tmp_path / "store").exists()


def test_progress_counts_bytes_and_blocks(tmp_path):
    plant(tmp_path / "tree", {b"a": bytes(10), b"b": bytes(tree.TOGETHER_BYTES), b"c": bytes(5)})
    seen = []
    smartpipe.pack(tmp_path / "tree", tmp_path / "store", progress=lambda done, total: seen.append((done, total)))
    size = tree.TOGETHER_BYTES + 15
    assert seen == [(size - 5, size), (size, size)]
    seen.clear()
    smartpipe.unpack(tmp_path / "store", tmp_path / "back", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("key", OUTSIDE)
def test_a_key_that_is_no_path_below_the_folder_is_refused_by_name(key, tmp_path):
    place = tmp_path / "one" / "two"
    place.mkdir(parents=True)
    store = store_of(tmp_path / "store", {key: b"hostile", b"good/file": b"good"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(smartpipe.FormatError) as caught:
        smartpipe.unpack(store, place)
    assert (caught.value.block, caught.value.path) == (key, str(store))
    errors = []
    counts = smartpipe.unpack(store, place, on_error=errors.append, overwrite=True)
    assert [error.block for error in errors] == [key]
    assert counts == {"files": 1, "bytes": 4, "kept": 0, "failed": 1}
    assert contents(place) == {b"good/file": b"good"}
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [place / "good", place / "good" / "file"]


def test_a_backslash_is_refused_where_it_separates(tmp_path, monkeypatch):
    store = store_of(tmp_path / "store", {b"a\\..\\..\\b": b""})
    assert smartpipe.unpack(store, tmp_path / "here")["files"] == 1
    monkeypatch.setattr(tree, "SEPARATOR", b"\\")
    with pytest.raises(smartpipe.FormatError):
        smartpipe.unpack(store, tmp_path / "there")


def test_the_longest_path_is_written(tmp_path):
    names = [b"d" * 200] * 20 + [b"f" * 75]
    key = b"/".join(names)
    assert len(key) == 4095
    store = store_of(tmp_path / "store", {key: b"content"})
    assert smartpipe.unpack(store, tmp_path / "back")["files"] == 1
    folder = os.open(tmp_path / "back", os.O_RDONLY)
    for name in names[:-1]:
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    assert os.listdir(folder) == ["f" * 75]
    os.close(folder)
    # Such a tree has no path for the clean-up of temporary folders.
    subprocess.run(["rm", "-rf", tmp_path / "back"], check=True)


def test_a_key_that_is_the_folder_of_another_is_named(tmp_path):
    blocks = {b"a": b"file", b"a/b": b"below", b"a/b/c": b"deeper", b"x/y/z": b"below", b"x/y": b"file", b"q": b"q"}
    for turn, order in enumerate((sorted(blocks), sorted(blocks, reverse=True))):
        store = store_of(tmp_path / f"store{turn}", {key: blocks[key] for key in order})
        errors = []
        smartpipe.unpack(store, tmp_path / f"back{turn}", on_error=errors.append)
        assert sorted(error.block for error in errors) == [b"a/b", b"a/b/c", b"x/y/z"]
        assert all(isinstance(error, smartpipe.FormatError) and "is a block too" in str(error) for error in errors)
        assert contents(tmp_path / f"back{turn}") == {b"a": b"file", b"x/y": b"file", b"q": b"q"}


def test_no_link_in_the_target_is_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    target = tmp_path / "target"
    target.mkdir()
    (target / "folder").symlink_to(outside)
    (target / "link").symlink_to(outside / "file")
    (target / "dangling").symlink_to(outside / "new")
    store = store_of(tmp_path / "store", {b"folder/file": b"x", b"folder/a/b": b"x", b"link": b"x", b"dangling": b"x"})
    errors = []
    counts = smartpipe.unpack(store, target, on_error=errors.append)
    assert counts == {"files": 0, "bytes": 0, "kept": 2, "failed": 2}
    assert {type(error) for error in errors} == {smartpipe.PipeExistsError}
    assert sorted(error.block for error in errors) == [b"folder/a/b", b"folder/file"]
    counts = smartpipe.unpack(store, target, on_error="skip", overwrite=True)
    assert counts == {"files": 2, "bytes": 2, "kept": 0, "failed": 2}
    assert contents(outside) == {b"file": b"mine"}
    assert not (target / "link").is_symlink() and (target / "link").read_bytes() == b"x"


def test_what_is_in_the_place_of_a_file_or_folder_is_an_error(tmp_path):
    plant(tmp_path / "target", {b"folder/file": b"mine", b"file": b"mine"})
    store = store_of(tmp_path / "store", {b"folder": b"x", b"file/below": b"x", b"new": b"x"})
    for overwrite in (False, True):
        errors = []
        smartpipe.unpack(store, tmp_path / "target", on_error=errors.append, overwrite=overwrite)
        assert sorted((type(error), error.block, error.path) for error in errors) == [
            (smartpipe.PipeExistsError, b"file/below", str(tmp_path / "target" / "file" / "below")),
            (smartpipe.PipeExistsError, b"folder", str(tmp_path / "target" / "folder")),
        ]
        assert contents(tmp_path / "target") == {b"folder/file": b"mine", b"file": b"mine", b"new": b"x"}


def test_existing_files_are_kept_unless_overwritten(tmp_path):
    plant(tmp_path / "target", {b"a": b"mine", b"d/b": b"mine"})
    store = store_of(tmp_path / "store", {b"a": b"theirs", b"d/b": b"theirs", b"d/c": b"theirs"})
    assert smartpipe.unpack(store, tmp_path / "target") == {"files": 1, "bytes": 6, "kept": 2, "failed": 0}
    assert contents(tmp_path / "target") == {b"a": b"mine", b"d/b": b"mine", b"d/c": b"theirs"}
    assert smartpipe.unpack(store, tmp_path / "target", overwrite=True)["files"] == 3
    assert contents(tmp_path / "target") == {b"a": b"theirs", b"d/b": b"theirs", b"d/c": b"theirs"}


@pytest.mark.parametrize("pairs", [[], [(b"raw", b"x")], [(b"", b"x"), (b"", b"y")], [(b"", b"x"), (b"log", b"y")]])
def test_a_block_that_is_no_single_value_is_refused_by_name(pairs, tmp_path):
    store = store_of(tmp_path / "store", {b"good": b"x"})
    with smartpipe.ShardStore(store) as opened:
        opened.put(b"pairs", pairs)
    errors = []
    assert smartpipe.unpack(store, tmp_path / "back", on_error=errors.append)["files"] == 1
    assert [(type(error), error.block) for error in errors] == [(smartpipe.FormatError, b"pairs")]
    assert contents(tmp_path / "back") == {b"good": b"x"}


def test_a_damaged_value_is_left_out(tmp_path):
    store = store_of(tmp_path / "store", {b"a": b"first value", b"b": b"second value", b"c": b"third value"})
    (data,) = store.glob("*.dat")
    content = data.read_bytes()
    data.write_bytes(content.replace(b"second value", b"second valuf"))
    with pytest.raises(smartpipe.CorruptError):
        smartpipe.unpack(store, tmp_path / "raised")
    errors = []
    counts = smartpipe.unpack(store, tmp_path / "back", on_error=errors.append)
    assert (counts["files"], counts["failed"]) == (2, 1)
    assert isinstance(errors[0], smartpipe.CorruptError) and errors[0].block == b"b"
    assert contents(tmp_path / "back") == {b"a": b"first value", b"c": b"third value"}


def test_a_target_that_takes_nothing_ends_it(tmp_path):
    store = store_of(tmp_path / "store", {b"a": b"1", b"b": b"2"})
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(smartpipe.StorageError) as caught:
        smartpipe.unpack(store, tmp_path / "file", on_error="skip")
    assert caught.value.path == str(tmp_path / "file")
    if os.geteuid() == 0:
        target = Path("/proc/self/fdinfo")  # where even root makes no files
    else:
        target = tmp_path / "locked"
        target.mkdir(mode=0o500)
    with pytest.raises(smartpipe.StorageError) as caught:
        smartpipe.unpack(store, target, on_error="skip")
    assert caught.value.path in (str(target / "a"), str(target / "b"))


def test_nothing_is_left_aside(tmp_path):
    store = store_of(tmp_path / "store", {b"%d/%d" % (number % 3, number): b"x" for number in range(30)})
    smartpipe.unpack(store, tmp_path / "back")
    smartpipe.unpack(store, tmp_path / "back", overwrite=True)
    assert all(name.isdigit() for _, _, names in os.walk(tmp_path / "back") for name in names)


def test_the_folder_may_not_lie_in_the_store(tmp_path):
    store = store_of(tmp_path / "store", {b"store": b"hostile", b"manifest/1": b"hostile"})
    (tmp_path / "link").symlink_to(store)
    for target in (store, store / "manifest", store / "new", tmp_path / "link"):
        with pytest.raises(ValueError, match="in the store"):
            smartpipe.unpack(store, target, overwrite=True)
    assert values(store) == {b"store": b"hostile", b"manifest/1": b"hostile"}
