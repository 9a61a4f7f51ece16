"""verify, recover and rebuild-index on the command line."""

import json
import shutil

import pytest

import smartpipe


@pytest.fixture
def damaged(pipe):
    """The pipe of three blocks with its second one damaged."""
    path = pipe.with_suffix(".datz")
    with smartpipe.open(pipe) as reader:
        entry = list(reader.entries())[1]
    data = bytearray(path.read_bytes())
    data[entry.offset + entry.stored - 1] ^= 1
    path.write_bytes(data)
    return pipe


def test_verify_a_whole_pipe(run, pipe):
    code, out, err = run("verify", pipe)
    assert (code, err) == (0, "")
    assert out.decode().startswith(f"{pipe}.datz: all is well: 3 blocks whole, ")
    code, out, err = run("verify", pipe, "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert (report["ok"], report["blocks"], report["damage"]) == (True, 3, [])


def test_verify_a_damaged_pipe(run, damaged):
    code, out, err = run("verify", damaged)
    assert (code, err) == (1, "")
    first, second = out.decode().splitlines()
    assert first.startswith(f"{damaged}.datz: NOT all is well: 2 blocks whole, 1 damaged or missing, ")
    what, file, _, _, block, reason = second.split("\t")
    assert (what, file, block) == ("damaged", f"{damaged}.datz", "caf\u00e9 \\\\")
    assert "checksum" in reason
    code, out, err = run("verify", damaged, "--json")
    [damage] = json.loads(out)["damage"]
    assert code == 1
    assert damage["block"] == "caf\u00e9 \\\\"


def test_verify_notes_what_is_no_damage(run, pipe):
    with pipe.with_suffix(".datz").open("ab") as file:
        file.write(bytes(100))
    code, out, _ = run("verify", pipe)
    assert code == 0
    assert out.decode().splitlines()[1:] == ["note\t100 zero bytes at the end"]


def test_recover_a_whole_pipe(run, pipe, tmp_path):
    code, out, err = run("recover", pipe, tmp_path / "new")
    assert (code, out.decode(), err) == (0, f"{tmp_path}/new: 3 blocks, 7 pairs\n", "")
    assert run("diff", pipe, tmp_path / "new").code == 0
    with smartpipe.open(tmp_path / "new") as reader:
        assert reader.metadata == {b"who": b"me"}


def test_recover_a_damaged_pipe(run, damaged, tmp_path):
    code, out, err = run("recover", damaged, tmp_path / "new")
    assert (code, err) == (3, "")
    first, second = out.decode().splitlines()
    assert first == f"{tmp_path}/new: 2 blocks, 6 pairs, 1 lost"
    assert second.split("\t")[4] == "caf\u00e9 \\\\"
    assert run("verify", tmp_path / "new").code == 0
    code, out, err = run("recover", damaged, tmp_path / "new")
    assert (code, out) == (1, b"")
    assert err.count("\n") == 1
    assert "there is a pipe already" in err
    code, out, err = run("recover", damaged, tmp_path / "new", "--replace", "--json", "--format", "1")
    report = json.loads(out)
    assert code == 3
    assert (report["blocks"], [lost["block"] for lost in report["lost"]]) == (2, ["caf\u00e9 \\\\"])


def test_recover_what_can_not_be_opened(run, pipe, tmp_path):
    path = pipe.with_suffix(".datz")
    path.write_bytes(path.read_bytes()[:-1])
    assert run("ls", pipe).code == 1
    code, out, _ = run("recover", pipe, tmp_path / "new")
    assert code == 3
    assert out.decode().splitlines()[0] == f"{tmp_path}/new: 2 blocks, 4 pairs, 1 lost"


def test_recover_an_unfinished_block(run, pipe, tmp_path):
    data = pipe.with_suffix(".datz").read_bytes()
    pipe.with_suffix(".idx").unlink()
    pipe.with_suffix(".datz").write_bytes(data + data[32:100])
    code, out, _ = run("recover", pipe, tmp_path / "new")
    assert code == 0
    first, second = out.decode().splitlines()
    assert first == f"{tmp_path}/new: 3 blocks, 7 pairs"
    assert second.split("\t")[0] == "torn"


def test_rebuild_index(run, pipe, tmp_path):
    shutil.copy(pipe.with_suffix(".datz"), tmp_path / "copy.datz")
    assert run("verify", tmp_path / "copy").code == 1
    code, out, err = run("rebuild-index", tmp_path / "copy")
    assert (code, out.decode(), err) == (0, f"{tmp_path}/copy.idx: 3 blocks\n", "")
    assert run("verify", tmp_path / "copy").code == 0
    code, out, _ = run("rebuild-index", tmp_path / "copy", "--json")
    assert (code, json.loads(out)["blocks"]) == (0, 3)


def test_rebuild_index_tells_of_damage(run, damaged):
    code, out, _ = run("rebuild-index", damaged)
    assert code == 0
    assert out.decode().splitlines()[1].startswith(f"damaged\t{damaged}.datz\t")


@pytest.mark.parametrize("command", [["verify"], ["recover"], ["rebuild-index"]])
def test_what_is_no_pipe(command, run, bad_pipes, tmp_path):
    for path, named in bad_pipes:
        arguments = [*command, path, *([tmp_path / "new"] if command == ["recover"] else [])]
        code, out, err = run(*arguments)
        if path.name == "cut":
            # It was one: what is lost is said.
            assert code == {"verify": 1, "recover": 3, "rebuild-index": 1}[command[0]]
            assert named in out.decode() + err
            continue
        assert (code, out) == (1, b""), path
        assert err.startswith("smartpipe: ")
        assert err.count("\n") == 1
        assert named in err


def test_wrong_usage(run):
    for arguments in (["verify"], ["recover", "a"], ["rebuild-index"], ["recover", "a", "b", "--level", "0"]):
        assert run(*arguments).code == 2


def test_one_copy_of_a_dictionary_is_no_loss(run, tmp_path):
    blocks = [(b"%d" % number, {b"log": b'{"status": 200, "number": %d}' % number}) for number in range(1000)]
    with smartpipe.open(tmp_path / "plain", "w") as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)
    dictionary = smartpipe.train(tmp_path / "plain", size=500)
    with smartpipe.open(tmp_path / "pipe", "w", compress="zstd", dictionary=dictionary) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)
    path = tmp_path / "pipe.datz"
    data = bytearray(path.read_bytes())
    data[data.index(dictionary) + 300] ^= 0x55
    path.write_bytes(data)
    said = "this is one copy of dictionary 1, and another is whole: no block is lost"
    verified = run("verify", tmp_path / "pipe")
    assert verified.code == 1 and verified.lines[1].startswith("damaged\t") and verified.lines[1].endswith(said)
    recovered = run("recover", tmp_path / "pipe", tmp_path / "new")
    assert (recovered.code, recovered.lines[0]) == (0, f"{tmp_path}/new: 1,000 blocks, 1,000 pairs")
    assert recovered.lines[1].startswith("note\t") and recovered.lines[1].endswith(said)
