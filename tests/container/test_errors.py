"""The errors: what they are, what they carry, and that they travel between processes."""

from __future__ import annotations

import copy
import errno
import pickle
from pathlib import Path

import pytest

import smartpipe
from smartpipe import errors

from .pipes import SMALL, Kind, every_kind, plant
from .process import run

BASES: dict[str, tuple[type[BaseException], ...]] = {
    "FormatError": (),
    "CorruptError": (),
    "TruncatedError": (errors.CorruptError,),
    "DuplicateKeyError": (KeyError,),
    "BlockNotFound": (KeyError,),
    "PairNotFound": (KeyError,),
    "ArtifactNotFound": (KeyError,),
    "PipeNotFoundError": (FileNotFoundError, OSError),
    "PipeExistsError": (FileExistsError, OSError),
    "LockedError": (),
    "BlockTooLargeError": (ValueError,),
    "ClosedError": (ValueError,),
    "ReplacedError": (),
    "CollisionError": (),
    "UnsupportedError": (),
    "EngineError": (),
    "StorageError": (OSError,),
    "FunctionError": (),
    "WorkerError": (),
}
every_error = pytest.mark.parametrize("name", BASES)


def test_these_are_all() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SmartPipeError) and value is not errors.SmartPipeError
    }
    assert found == set(BASES)


@every_error
def test_errors_are_also_what_a_caller_would_catch(name: str) -> None:
    kind = getattr(smartpipe, name)
    assert kind is getattr(errors, name)
    assert name in smartpipe.__all__
    assert issubclass(kind, smartpipe.SmartPipeError)
    for base in (KeyError, ValueError, OSError, TypeError, errors.CorruptError, FileNotFoundError, FileExistsError):
        assert issubclass(kind, base) == (base in BASES[name] or kind is base)
    assert kind.__doc__


@every_error
@pytest.mark.parametrize(
    "where",
    [{}, {"path": "a.dat"}, {"path": "a.dat", "block": b"k\x00", "offset": 32}, {"block": b""}, {"offset": 0}],
    ids=str,
)
def test_errors_say_and_carry_where(name: str, where: dict[str, object]) -> None:
    error = getattr(errors, name)("expected 5 bytes, found 3", **where)
    for attribute in ("path", "block", "offset"):
        assert getattr(error, attribute) == where.get(attribute)
        if attribute in where:
            shown = where[attribute] if attribute != "block" else repr(where[attribute])
            assert str(shown) in str(error)
    assert str(error).endswith("expected 5 bytes, found 3")
    assert "None" not in str(error)
    assert "\n" not in str(error)


@every_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_travel(name: str, protocol: int) -> None:
    options = {"number": errno.ENOSPC} if name == "StorageError" else {}
    error = getattr(errors, name)("a reason", path="a.dat", block=b"key", offset=7, **options)
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert (other.path, other.block, other.offset) == ("a.dat", b"key", 7)
        assert other.args == error.args
        if isinstance(error, OSError):
            assert (other.errno, other.filename) == (error.errno, error.filename)


def test_numbers_of_the_system() -> None:
    assert errors.PipeNotFoundError("x", path="p").errno == errno.ENOENT
    assert errors.PipeNotFoundError("x", path="p").filename == "p"
    assert errors.PipeExistsError("x", path="p").errno == errno.EEXIST
    assert errors.StorageError("x", path="p", number=errno.EIO).errno == errno.EIO
    assert errors.StorageError("x", path="p").filename == "p"


def test_a_long_key_is_not_shown_as_a_whole() -> None:
    assert len(str(errors.BlockNotFound("x", block=b"k" * 100_000))) < 1000


def test_the_warning() -> None:
    assert issubclass(smartpipe.PipeWarning, UserWarning)
    assert not issubclass(smartpipe.PipeWarning, smartpipe.SmartPipeError)


@every_kind
def test_errors_of_a_pipe_come_out_of_another_process(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    Path(kind.data(prefix)).write_bytes(kind.data(prefix).read_bytes()[:-1])
    code = """
import pickle, sys, smartpipe
try:
    list(smartpipe.open(sys.argv[1])[b"last"])
except smartpipe.SmartPipeError as error:
    print(pickle.dumps(error).hex())
"""
    error = pickle.loads(bytes.fromhex(run(code, prefix)))
    assert type(error) is smartpipe.TruncatedError
    assert error.path == str(kind.data(prefix))
    assert error.offset is not None
