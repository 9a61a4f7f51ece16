"""map on the command line: finding the function, its options, its ends. What it does is in tests/operations."""

import signal
import subprocess
import time

import pytest

import smartpipe

MODULE = """
import time

def upper(key, block):
    if key == b"3":
        return None
    if key == b"5":
        raise ValueError("not\\nfive")
    return [(name, value.upper()) for name, value in block]

def slow(key, block):
    time.sleep(0.3)
    return block

class Namespace:
    @staticmethod
    def inner(key, block):
        return {b"inner": b""}

number = 7
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A pipe of ten blocks in the current folder, beside the module `functions_of_test_map`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "functions_of_test_map.py").write_text(MODULE)
    with smartpipe.open("source", "w", compress=True) as writer:
        for number in range(10):
            writer.write(b"%d" % number, [(b"raw", b"page %d" % number), (b"log", b"ok"), (b"\x00", b"zero")])
    return "source"


def blocks(path):
    with smartpipe.open(path) as reader:
        return {key: list(block) for key, block in reader.items()}


def test_a_function_of_the_current_folder(process, source):
    code, out, err = process("map", source, "made", "functions_of_test_map:upper")
    assert (code, err) == (0, "")
    assert out.startswith(b"made: 8 blocks, 1 left out, 1 failed; ")
    made = blocks("made")
    assert list(made) == [b"0", b"1", b"2", b"4", b"5", b"6", b"7", b"8", b"9"]
    assert made[b"0"] == [(b"raw", b"PAGE 0"), (b"log", b"OK"), (b"\x00", b"ZERO")]
    ((name, text),) = made[b"5"]
    assert name == b"error" and b"not\nfive" in text


def test_a_function_within_a_class(process, source):
    assert process("map", source, "made", "functions_of_test_map:Namespace.inner", "-j", "1").code == 0
    assert blocks("made")[b"9"] == [(b"inner", b"")]


def test_selected_keys(process, source):
    ended = process(
        "map", source, "made", "functions_of_test_map:upper", "--select", "log", "--select", r"\x00", "-j", "2"
    )
    assert ended.code == 0
    assert blocks("made")[b"1"] == [(b"log", b"OK"), (b"\x00", b"ZERO")]


def test_form_of_the_new_pipe(process, source):
    ended = process("map", source, "made", "functions_of_test_map:upper", "--format", "1", "--compress", "zlib")
    assert ended.code == 0
    with smartpipe.open("made") as reader:
        assert (reader.format, reader.codec) == (1, "zlib")


def test_an_exception_that_ends_the_run(process, source):
    code, out, err = process("map", source, "made", "functions_of_test_map:upper", "--on-error", "raise", "-j", "1")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "block b'5'" in err and r"ValueError: not\x0afive" in err
    code, out, err = process(
        "--traceback", "map", source, "other", "functions_of_test_map:upper", "--on-error", "raise", "-j", "1"
    )
    assert code == 1 and 'raise ValueError("not\\nfive")' in err


def test_an_existing_destination(process, source):
    for _ in range(2):
        ended = process("map", source, "made", "functions_of_test_map:upper")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, b"", 1) and "made" in ended.err
    ended = process("map", source, "made", "functions_of_test_map:upper", "--resume")
    assert ended.code == 0 and b"9 there before" in ended.out
    ended = process("map", source, "made", "functions_of_test_map:Namespace.inner", "--replace")
    assert ended.code == 0 and len(blocks("made")) == 10
    assert process("map", source, "made", "functions_of_test_map:upper", "--replace", "--resume").code == 2


def test_a_source_that_is_the_destination(process, source):
    code, out, err = process("map", source, "source.dat", "functions_of_test_map:upper", "--replace")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "same pipe" in err
    assert len(blocks("source")) == 10


@pytest.mark.parametrize(
    "name, what",
    [
        ("functions_of_test_map", "expected MODULE:FUNCTION"),
        (":upper", "expected MODULE:FUNCTION"),
        ("functions_of_test_map:", "expected MODULE:FUNCTION"),
        ("functions_of_test_mop:upper", "no module 'functions_of_test_mop'"),
        ("functions_of_test_map.sub:upper", "no module 'functions_of_test_map.sub'"),
        ("functions_of_test_map:lower", "has no 'lower'"),
        ("functions_of_test_map:Namespace.outer", "has no 'Namespace.outer'"),
        ("functions_of_test_map:number", "no function but a int"),
    ],
)
def test_no_such_function(name, what, process, source):
    code, out, err = process("map", source, "made", name)
    assert (code, out) == (2, b"") and what in err and "Traceback" not in err


@pytest.mark.parametrize(
    "text, what",
    [
        ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere'"),
        ("def f(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_module_that_can_not_be_imported_is_an_error_of_its_own(text, what, process, source, tmp_path):
    (tmp_path / "broken_of_test_map.py").write_text(text)
    code, out, err = process("map", source, "made", "broken_of_test_map:f")
    assert (code, out, err.count("\n")) == (1, b"", 1) and what in err


def test_ctrl_c_leaves_a_pipe_that_is_resumed(start, process, source):
    running = start("map", source, "made", "functions_of_test_map:slow", "-j", "2", start_new_session=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if len(blocks("made")) >= 2:
                break
        except smartpipe.SmartPipeError:
            pass
        time.sleep(0.05)
    # As a terminal does it: to all processes of the group.
    subprocess.run(["kill", "-INT", "--", f"-{running.pid}"], check=True)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, b"")
    assert err.decode().startswith("smartpipe: interrupted") and err.count(b"\n") == 1
    assert subprocess.run(["pgrep", "-g", str(running.pid)], check=False, stdout=subprocess.DEVNULL).returncode == 1
    before = len(blocks("made"))
    assert 2 <= before < 10
    ended = process("map", source, "made", "functions_of_test_map:slow", "--resume")
    assert ended.code == 0 and f"{before} there before" in ended.out.decode()
    assert list(blocks("made").items()) == list(blocks(source).items())


def test_a_terminated_run_leaves_no_process(start, source):
    running = start("map", source, "made", "functions_of_test_map:slow", "-j", "2", start_new_session=True)
    time.sleep(1)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if subprocess.run(["pgrep", "-g", str(running.pid)], check=False, stdout=subprocess.DEVNULL).returncode == 1:
            return
        time.sleep(0.1)
    raise AssertionError("workers are left")
