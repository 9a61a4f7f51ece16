"""What only a process of its own shows: exit codes, closed outputs, signals, terminals, start-up."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

import smartpipe


@pytest.fixture
def large(tmp_path):
    """A pipe whose listing and whose values are far more than the buffer of an operating system's pipe."""
    with smartpipe.open(tmp_path / "large", "w", compress=True) as writer:
        for number in range(5000):
            writer.write(b"https://example.org/%d" % number, {b"raw": b"<html>%d</html>\n" % number * 20})
    return tmp_path / "large"


@pytest.fixture
def shell(environment, tmp_path):
    """shell("smartpipe ls p | head -1") runs a line in bash; gives the exit code of the first command, and the
    outputs."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "smartpipe"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m smartpipe "$@"\n')
    script.chmod(0o755)

    def shell(line, **variables):
        done = subprocess.run(
            ["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}} >code"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=60,
            env={**environment, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **variables},
        )
        return int((tmp_path / "code").read_text()), done.stdout, done.stderr.decode()

    return shell


def test_version(process):
    code, out, err = process("--version")
    assert (code, out, err) == (0, f"smartpipe {smartpipe.__version__}\n".encode(), "")


def test_version_loads_nothing_heavy(environment):
    code = (
        "import sys; sys.argv = ['smartpipe', '--version']\n"
        "from smartpipe.cli import main\n"
        "main(); print(sorted(name for name in sys.modules if '.' not in name))"
    )
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout.decode()
    loaded = set(eval(out.splitlines()[1]))
    assert "click" in loaded
    assert not loaded & {"rich", "numpy", "scrapy", "twisted", "multiprocessing", "concurrent", "hypothesis", "urllib3"}


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing, environment):
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['smartpipe', 'ls', 'p']\n"
        "from smartpipe.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert (
        done.stderr.decode() == f"smartpipe: the command line needs {missing}: install smartpipe with the extra cli\n"
    )


def test_help(process):
    code, out, err = process("--help")
    assert (code, err) == (0, "")
    for command in (
        "ls",
        "cat",
        "cat-all",
        "tail",
        "check",
        "info",
        "convert",
        "map",
        "crawl",
        "grep",
        "diff",
        "extract",
        "import",
        "concat",
        "engines",
    ):
        assert f"\n  {command} " in out.decode()
    assert process("ls", "-h").code == 0


def test_exit_codes(process, pipe, tmp_path):
    assert process("ls", pipe).code == 0
    code, out, err = process("ls", tmp_path / "nowhere")
    assert (code, out, err.count("\n")) == (1, b"", 1) and "nowhere" in err
    assert process("ls").code == 2
    assert process().code == 2


def test_values_are_raw_bytes(process, pipe):
    assert process("cat", pipe, "hex:00ff", "").out == b"\x00\x01\xfe"


def test_arguments_that_are_no_utf_8(process, tmp_path):
    with smartpipe.open(tmp_path / "p", "w") as writer:
        writer.write(b"\xff\xfe", {b"\xe9": b"value"})
    assert process("cat", "p", os.fsdecode(b"\xff\xfe"), os.fsdecode(b"\xe9")).out == b"value"


@pytest.mark.parametrize(
    "line",
    [
        "smartpipe ls large",
        "smartpipe ls large --json",
        "smartpipe cat-all large",
        "smartpipe grep html large",
        "smartpipe diff large other",
        "smartpipe ls --top large",
    ],
)
def test_a_closed_output_ends_quietly(line, shell, large, tmp_path):
    with smartpipe.open(tmp_path / "other", "w") as writer:
        writer.write(b"other", {})
    code, out, err = shell(f"{line} | head -n 1")
    assert (code, err) == (0, "")
    assert out.count(b"\n") == 1


def test_an_output_that_was_closed_before(shell, pipe, tmp_path):
    for line in ("smartpipe --help", "smartpipe --version", "smartpipe cat pages https://a log"):
        # The reader is gone before the program writes.
        _, _, err = shell(f"(sleep 0.3; {line}; echo $? >inner) | true")
        assert ((tmp_path / "inner").read_text(), err) == ("0\n", "")


@pytest.mark.parametrize(
    "line",
    [
        "smartpipe cat-all large",
        "smartpipe ls large",
        "smartpipe cat pages https://a log",
        "smartpipe --version",
        "smartpipe info pages",
    ],
)
def test_a_full_disk_under_the_output(line, shell, large, pipe):
    code, _, err = shell(f"{line} >/dev/full")
    assert (code, err) == (1, "smartpipe: standard output: No space left on device\n")


def test_no_output_at_all(shell, pipe):
    code, _, err = shell("smartpipe ls pages >&-")
    assert (code, err) == (1, "smartpipe: standard output is closed\n")
    assert shell("smartpipe ls nowhere 2>&-")[0] == 1
    assert shell("smartpipe ls nowhere >&- 2>&-")[0] == 1
    assert shell("smartpipe ls pages 2>&-")[0] == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_names_are_utf_8_in_any_locale(variables, shell, pipe):
    _, out, err = shell("smartpipe ls pages --top; smartpipe ls 'caf\u00e9'", **variables)
    assert out == b"https://a\n" + "caf\u00e9 \\\\".encode() + b"\n\\x00\\xff\n"
    assert err.count("\n") == 1 and err.startswith("smartpipe: caf\u00e9")


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c(number, start, large):
    # Nobody reads, so the command is still writing when the signal comes.
    running = start("cat-all", large)
    assert running.stdout.read(10) == b"<html>0</h"
    time.sleep(0.2)
    assert running.poll() is None
    running.send_signal(number)
    # Before anything more is read: what is left of the output must not hold it up.
    assert running.wait(timeout=20) == 130
    assert running.stderr.read() == b"smartpipe: interrupted\n"
    running.stdout.close()
    running.stderr.close()


def on_a_terminal(start, *arguments, **options):
    """Run a command with a terminal as its standard error; gives its standard output and what it drew."""
    master, slave = pty.openpty()
    drawn = b""
    try:
        running = start(*arguments, stderr=slave, **options)
        os.close(slave)
        out = running.stdout.read() if running.stdout else b""
        running.wait(timeout=60)
        while select.select([master], [], [], 0.2)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            drawn += part
        if running.stdout:
            running.stdout.close()
        return running.returncode, out, drawn.decode()
    finally:
        os.close(master)


@pytest.fixture
def in_xterm(environment):
    environment.update(TERM="xterm", COLUMNS="100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CI"):
        environment.pop(name, None)


@pytest.mark.parametrize(
    "command", [["check", "-r", "5000"], ["info", "--json"], ["cat-all"], ["grep", "4999"], ["convert", ..., "new"]]
)
def test_a_bar_on_a_terminal_shows_what_is_done(command, start, large, in_xterm):
    arguments = [large if argument is ... else argument for argument in command]
    if ... not in command:
        arguments.append(large)
    code, out, drawn = on_a_terminal(start, *arguments)
    assert code == 0
    assert command[0] in drawn and "/5000" in drawn.replace("10000", "5000").replace(",", "")
    assert b"\x1b" not in out and out


def test_no_bar_where_lines_go_to_the_same_terminal(start, large, in_xterm):
    master, slave = pty.openpty()
    running = start("grep", ">4999<", large, stdout=slave, stderr=slave)
    os.close(slave)
    drawn = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        drawn += part
    os.close(master)
    assert running.wait(timeout=60) == 0
    assert drawn.startswith(b"https://example.org/4999\traw\t") and b"\x1b" not in drawn


def test_no_bar_elsewhere(process, large):
    assert process("check", large).err == ""


def test_completion_of_bash(process, environment, tmp_path):
    source = process(env={**environment, "_SMARTPIPE_COMPLETE": "bash_source"})
    assert source.code == 0 and b"complete -o nosort -F" in source.out
    asked = process(
        env={**environment, "_SMARTPIPE_COMPLETE": "bash_complete", "COMP_WORDS": "smartpipe c", "COMP_CWORD": "1"}
    )
    names = {line.split(",")[1] for line in asked.lines}
    assert names == {"cat", "cat-all", "check", "concat", "convert", "crawl"}


def test_json_is_read_by_a_json_reader(process, pipe):
    keys = [json.loads(line)["block"] for line in process("ls", pipe, "--json").lines]
    assert len(keys) == 3
