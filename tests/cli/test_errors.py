"""Bad input: which exit code, one line on standard error, no traceback."""

import os

import pytest

ON_A_PIPE = [
    ["ls"],
    ["ls", "--top"],
    ["ls", "--long", "--json"],
    ["cat", ..., "0"],
    ["cat", ..., "0", "raw"],
    ["cat-all"],
    ["cat-all", "-p", "raw"],
    ["info"],
    ["info", "--json"],
    ["check"],
    ["check", "-r", "3"],
    ["grep", "x"],
    ["diff", ...],
    ["convert", ..., "new"],
    ["concat", ..., "new"],
    ["map", ..., "new", "os.path:basename"],
    ["extract", ..., "new"],
]


@pytest.mark.parametrize("command", ON_A_PIPE)
def test_no_pipe_that_could_be_read(command, run, bad_pipes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, named in bad_pipes:
        if ... in command:
            arguments = [path if argument is ... else argument for argument in command]
        else:
            arguments = [*command, path]
        if command[0] == "diff":
            arguments.append(path)
        code, _, err = run(*arguments)
        assert code == 1, arguments
        assert err.startswith("smartpipe: ") and err.count("\n") == 1, err
        assert named in err
        if command[0] != "map":
            # map leaves what it made before the damage, to be resumed.
            assert not list(tmp_path.glob("new*"))


def test_a_folder_without_read_permission(run, pipe, tmp_path):
    if os.geteuid() == 0:
        # Root reads everything; a name that is too long fails the same way.
        code, out, err = run("ls", "n" * 5000)
    else:
        tmp_path.chmod(0)
        code, out, err = run("ls", pipe)
        tmp_path.chmod(0o700)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert err.startswith("smartpipe: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ls"],
        ["ls", "a", "b", "c"],
        ["ls", "--nonsense", "p"],
        ["cat", "p"],
        ["cat", "p", "b", "-c", "b"],
        ["cat", "p", "b", "k", "-k", "k"],
        ["cat", "p", r"\z"],
        ["cat", "p", "hex:0"],
        ["cat", "p", "b", "\\"],
        ["cat-all", "p", "-p", "("],
        ["grep", "(", "p"],
        ["grep", "a"],
        ["grep", "a", "p", "--key", r"\x1"],
        ["check", "p", "-l", "-1"],
        ["check", "p", "-l", "many"],
        ["check", "p", "-r", "-1"],
        ["diff", "p"],
        ["convert", "p"],
        ["concat", "p"],
        ["extract", "p"],
        ["import", "d"],
        ["map", "p", "q"],
        ["map", "p", "q", "no colon"],
        ["map", "p", "q", "no_such_module:f"],
        ["map", "p", "q", "os.path:no_such_function"],
        ["map", "p", "q", "os:name"],
        ["map", "p", "q", "os.path:join", "-j", "0"],
        ["map", "p", "q", "os.path:join", "--on-error", "x"],
        ["crawl"],
        ["engines", "p"],
    ],
)
def test_wrong_usage(arguments, run):
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    assert "Usage: smartpipe" in err
    assert "Traceback" not in err


def test_a_wrong_regular_expression_is_explained(run, pipe):
    assert "'(' is no regular expression: missing )" in run("grep", "(", pipe).err


def test_a_wrong_key_is_explained(run, pipe):
    assert r"any byte \xNN" in run("cat", pipe, r"\n").err


def test_control_sequences_in_messages_are_escaped(run, tmp_path):
    code, _, err = run("ls", tmp_path / "a\x1b[2J\nb")
    assert code == 1
    assert r"a\x1b[2J\x0ab" in err and err.count("\n") == 1 and "\x1b" not in err


def test_an_index_of_another_pipe_is_a_warning(run, pipe, tmp_path):
    import smartpipe

    with smartpipe.open(tmp_path / "other", "w", compress=True) as writer:
        writer.write(b"x", {})
    os.replace(tmp_path / "other.idx", f"{pipe}.idx")
    code, out, err = run("ls", pipe, "--top")
    assert (code, out.count(b"\n")) == (0, 3)
    assert err.startswith("smartpipe: warning: ") and err.count("\n") == 1


def test_a_traceback_on_request(run, tmp_path):
    code, out, err = run("--traceback", "ls", tmp_path / "nowhere")
    assert (code, out) == (1, b"")
    assert "Traceback" in err and err.splitlines()[-1].startswith("smartpipe: ")
