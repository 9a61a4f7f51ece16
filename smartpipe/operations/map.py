"""map: a function over all blocks of a pipe, on all cores, what it makes of them written to a second pipe."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import smartpipe
from smartpipe import errors
from smartpipe.container.paths import paths_of
from smartpipe.container.reader import MAX_BLOCK_SIZE
from smartpipe.container.writer import carried
from smartpipe.operations.progress import Progress
from smartpipe.operations.workers import Begin, InProcess, WorkerDied, Workers

Pairs = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
Function = Callable[[bytes, "smartpipe.Block"], Pairs | None]

ERROR = b"error"
"""The key of the pair that takes the place of what a function that raised would have returned."""

PART_BYTES = 4 << 20
PART_BLOCKS = 1024
"""A process gets as many blocks at a time as have so many bytes, and not more than so many."""
PARTS = 16
"""A pipe that is small for that is cut into so many parts for each process, so that all end at about the same time."""
BATCH_BYTES = 256 << 10
BATCH_SECONDS = 0.1
"""A process hands over what it has made when it has so many bytes, or has worked so long."""
BLOCK_BYTES = 64
"""What a block counts that has no pairs."""
NEAR = 64
"""So many blocks are read and left out rather than seeking behind them."""
ERROR_BYTES = 64 << 10
"""A longer traceback loses its middle: the message of an exception can be a whole page."""


class Counts(NamedTuple):
    """What `map` did. Bytes are 8 + key + value for each pair."""

    read: int
    """Blocks that the function got: those written, dropped and failed."""
    written: int
    """Blocks with what the function returned."""
    dropped: int
    """Blocks for which it returned None."""
    failed: int
    """Blocks with an `error` pair."""
    skipped: int
    """Blocks that the destination had already."""
    read_bytes: int
    """Of the pairs that the function got: of those selected."""
    written_bytes: int
    """Of the pairs that were written, error pairs too."""
    seconds: float


def map(
    src: str | os.PathLike[str] | smartpipe.Split,
    dst: str | os.PathLike[str],
    function: Function,
    select: Iterable[bytes] | None = None,
    jobs: int | None = None,
    on_error: str = "record",
    resume: bool = False,
    *,
    mode: Literal["w", "x"] = "w",
    progress: Progress | None = None,
    **options: Any,
) -> Counts:
    """Call a function with every block of the pipe `src`, and write what it returns to the pipe `dst`, in that order.

    `function(key, block)` returns the pairs of the new block, which gets the same key: a mapping or an iterable of
    (key, value), all bytes or anything with the buffer protocol; or None, and there is no block. When it raises an
    Exception, or returns something else, the new block has one pair `error` with the traceback; on_error="raise" ends
    the run with a FunctionError instead. With `select`, an iterable of pair keys, it sees only these pairs, and no
    other large value is read.

    `jobs`: how many processes work; None: as many as the processors that this process may use; 1 works in this process
    and starts no other. A process that dies is a WorkerError. Memory is bounded: about 16 MiB of results for each
    process, and the blocks at work. The function is inherited by fork, so it can be any; on macOS it must be one that
    can be pickled.

    A new `dst` is written in place, and after an interruption or an error it is a valid pipe with the blocks so far. A
    pipe that is there is replaced when all is done (mode "w") or refused (mode "x": PipeExistsError); until then it
    stays, and an interrupted run leaves its blocks in the pipe `dst` + ".new".

    `resume`: go on with `dst`, or begin it, in any mode. Blocks that it has are left out, failed ones too; for dropped
    ones the function is called again. PipeExistsError where there is a `dst` + ".new": it is not clear which is meant.

    `options` are those of `smartpipe.open` for `dst`; max_block_size is that of reading too. A new `dst` with
    compress="zstd" has the dictionary of `src` where `dictionary` gives no other and is not False. `src` may be a
    Split. `progress(done, total)` is called after each block. Errors: those of `smartpipe.open`; damage of `src`;
    ValueError where `dst` is `src`. On each, what came before is in `dst`.

    >>> import smartpipe
    >>> with smartpipe.open("pages", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<title>A</title>"})
    ...     pipe.write(b"https://b", {b"log": b"timeout"})
    >>> def title(key, block):
    ...     return {b"title": block[b"raw"].removeprefix(b"<title>").removesuffix(b"</title>")}
    >>> counts = smartpipe.map("pages", "titles", title, select=[b"raw"])
    >>> counts.written, counts.failed
    (1, 1)
    >>> with smartpipe.open("titles") as pipe:
    ...     pipe[b"https://a"][b"title"], pipe[b"https://b"].keys()
    (b'A', [b'error'])
    """
    if not callable(function):
        raise TypeError(f"the function is a {type(function).__name__}, and can not be called")
    if on_error not in ("record", "raise"):
        raise ValueError(f"on_error is 'record' or 'raise', not {on_error!r}")
    if mode not in ("w", "x"):
        raise ValueError(f"mode is 'w' (a pipe at dst is replaced) or 'x' (it is refused), not {mode!r}")
    if jobs is None:
        jobs = _processors()
    elif jobs < 1:
        raise ValueError(f"jobs is at least 1, not {jobs}")
    if jobs > 1 and multiprocessing.current_process().daemon:
        raise ValueError(
            "this is a daemonic process, as those of multiprocessing.Pool, which can start no others: jobs=1 works here"
        )
    begin = time.perf_counter()
    limit = options.get("max_block_size", MAX_BLOCK_SIZE)
    with smartpipe.open(src, max_block_size=limit) as reader:
        _refuse_same(reader, dst)
        if resume:
            _refuse_unfinished(dst)
        if select is not None and not isinstance(select, (bytes, str)):
            select = list(select)
        reader.items(select=select)  # raises what is wrong with select before anything is begun
        goes_on = resume and bool(paths_of(dst).existing())
        if options.get("compress") == "zstd" and options.get("dictionary") is None and not goes_on:
            options["dictionary"] = carried(reader.dictionary)
        work = _Work(reader, select, function, on_error == "raise", limit, BATCH_BYTES if jobs > 1 else 0)
        # Processes start before the destination is opened: they must not inherit its lock.
        workers: Workers[Sequence[int], _Batch] | InProcess[Sequence[int], _Batch]
        workers = Workers(min(jobs, len(reader)), work) if jobs > 1 else InProcess(work)
        with workers, smartpipe.open(dst, "a" if resume else mode, **options) as writer:
            run = _Run(reader, writer, resume, jobs, progress)
            try:
                for part, batch in workers.results(run.parts()):
                    run.write(part, batch)
                run.report()  # blocks that were skipped behind the last one that was not
            except WorkerDied as died:
                raise run.worker_error(died) from None
            except errors.FunctionError as error:
                error.args = (f"{error.args[0]}; {run.left()}",)
                raise
            except KeyboardInterrupt as interrupt:
                interrupt.args = interrupt.args or (f"{run.left()}; resume goes on from there",)
                raise
        return run.counts(time.perf_counter() - begin)


Outcome = list[tuple[bytes, bytes]] | bytes | None
"""What was made of a block: pairs, the text of an error, or None for no block."""


class _Batch(NamedTuple):
    """What was made of some blocks, one after another."""

    outcomes: list[Outcome]
    read_bytes: int
    written_bytes: int


class _Part(NamedTuple):
    """Blocks that are worked on in one go."""

    numbers: Sequence[int]
    keys: list[bytes]
    left: Iterator[bytes]
    """The keys of the blocks that were not written yet."""


class _Work:
    """Calls the function with blocks, given by their numbers. Where it is pickled it opens the pipe again."""

    def __init__(
        self,
        reader: smartpipe.Reader,
        select: Iterable[bytes] | None,
        function: Function,
        raising: bool,
        limit: int,
        batch_bytes: int,
    ) -> None:
        self.reader: smartpipe.Reader | None = reader
        self.path = reader.data_path
        self.splits = reader.splits(1)
        self.select = select
        self.function = function
        self.raising = raising
        self.limit = limit
        self.batch_bytes = batch_bytes
        self.items: Any = None
        self.place = 0  # the number of the block that comes next in items

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "reader": None, "items": None}

    def __call__(self, numbers: Sequence[int], begin: Begin) -> Iterator[_Batch]:
        outcomes: list[Outcome] = []
        read = written = 0
        due = time.monotonic() + BATCH_SECONDS
        try:
            for number in numbers:
                begin(number)
                key, block = self._block(number)
                for name, size in block.sizes():
                    read += 8 + len(name) + size
                outcome, size = self._outcome(key, block)
                outcomes.append(outcome)
                written += size
                if written + BLOCK_BYTES * len(outcomes) >= self.batch_bytes or time.monotonic() >= due:
                    yield _Batch(outcomes, read, written)
                    outcomes = []
                    read = written = 0
                    due = time.monotonic() + BATCH_SECONDS
        except Exception:
            yield _Batch(outcomes, read, written)  # the blocks before the one that raised
            raise
        yield _Batch(outcomes, read, written)

    def _block(self, number: int) -> tuple[bytes, smartpipe.Block]:
        if self.items is None or not 0 <= number - self.place <= NEAR:
            if self.reader is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", smartpipe.PipeWarning)  # the parent has shown them
                    self.reader = smartpipe.open(self.splits[0], max_block_size=self.limit)
            self.items = self.reader.items(select=self.select, start=number)
            self.place = number
        while self.place < number:
            self.place += 1
            next(self.items)
        self.place += 1
        found: tuple[bytes, smartpipe.Block] = next(self.items)
        return found

    def _outcome(self, key: bytes, block: smartpipe.Block) -> tuple[Outcome, int]:
        """What is made of a block, and how many bytes of pairs that is."""
        try:
            returned = self.function(key, block)
            return (None, 0) if returned is None else _checked(returned, self.limit)
        except Exception as error:
            if self.raising:
                what = "".join(traceback.format_exception_only(error)).strip()
                raise errors.FunctionError(f"the function raised {what:.500}", path=self.path, block=key) from error
            text = _traceback(error)
            return text, 8 + len(ERROR) + len(text)


def _checked(returned: Pairs, limit: int) -> tuple[list[tuple[bytes, bytes]], int]:
    """The pairs that a function returned, and their bytes. An endless iterable of them is too large a block as well."""
    if isinstance(returned, (dict, Mapping)):
        returned = returned.items()
    elif isinstance(returned, (str, bytes, bytearray, memoryview)) or not isinstance(returned, Iterable):
        raise TypeError(
            f"the function returned a {type(returned).__name__}, not a mapping, an iterable of pairs, or None"
        )
    pairs = []
    total = 0
    for pair in returned:
        try:
            key, value = pair
        except (TypeError, ValueError):
            raise TypeError(f"a pair is (key, value), not {pair!r:.80}") from None
        if type(key) is not bytes:
            key = _as_bytes(key, "key")
        if type(value) is not bytes:
            value = _as_bytes(value, "value")
        total += 8 + len(key) + len(value)
        if total > limit:
            raise smartpipe.BlockTooLargeError(f"{total} bytes, more than max_block_size, {limit}")
        pairs.append((key, value))
    return pairs, total


def _as_bytes(content: object, what: str) -> bytes:
    if isinstance(content, str):
        raise TypeError(f"the {what} of a pair is a str, not bytes: encode it, as in {content[:40]!r}.encode()")
    try:
        return memoryview(content).tobytes()  # type: ignore[arg-type]
    except TypeError:
        kind = type(content).__name__
        raise TypeError(f"the {what} of a pair is a {kind}, not bytes or anything with the buffer protocol") from None


def _traceback(error: Exception) -> bytes:
    """The traceback as text in UTF-8, from the function on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace)).encode("utf-8", "backslashreplace")
    if len(text) > ERROR_BYTES:
        half = ERROR_BYTES // 2
        text = b"%s\n[%d bytes left out]\n%s" % (text[:half], len(text) - 2 * half, text[-half:])
    return text


class _Run:
    """The side of a run that writes."""

    def __init__(
        self, reader: smartpipe.Reader, writer: smartpipe.Writer, resume: bool, jobs: int, progress: Progress | None
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.resume = resume
        self.most = max(1, min(PART_BLOCKS, len(reader) // (PARTS * jobs)))
        self.progress = progress
        self.reported = 0
        self.written = self.dropped = self.failed = self.skipped = self.read_bytes = self.written_bytes = 0

    def parts(self) -> Iterator[tuple[Sequence[int], _Part]]:
        """The blocks that are not in the destination yet, cut into parts: their numbers, and the part."""
        numbers: list[int] = []
        keys: list[bytes] = []
        size = 0
        for number, (key, stored) in enumerate(_sizes(self.reader)):
            if self.resume and key in self.writer:
                self.skipped += 1
                continue
            numbers.append(number)
            keys.append(key)
            size += stored
            if size >= PART_BYTES or len(keys) >= self.most:
                yield _part(numbers, keys)
                numbers, keys, size = [], [], 0
        if keys:
            yield _part(numbers, keys)

    def write(self, part: _Part, batch: _Batch) -> None:
        for outcome, key in zip(batch.outcomes, part.left, strict=False):
            if outcome is None:
                self.dropped += 1
            elif isinstance(outcome, bytes):
                self.writer.write(key, [(ERROR, outcome)])
                self.failed += 1
            else:
                self.writer.write(key, outcome)
                self.written += 1
            self.report()
        self.read_bytes += batch.read_bytes
        self.written_bytes += batch.written_bytes

    def report(self) -> None:
        if self.progress is not None and self.reported != self.read + self.skipped:
            self.reported = self.read + self.skipped
            self.progress(self.reported, len(self.reader))

    @property
    def read(self) -> int:
        return self.written + self.dropped + self.failed

    def worker_error(self, died: WorkerDied) -> errors.WorkerError:
        part: _Part = died.context
        if died.number < 0:
            text, key = f"a process {died.how} before it began with this block", part.keys[0]
        else:
            text, key = f"the process that worked on this block {died.how}", part.keys[part.numbers.index(died.number)]
        return errors.WorkerError(f"{text}; {self.left()}", path=self.reader.data_path, block=key)

    def left(self) -> str:
        """What an unfinished run leaves, in words."""
        text = f"{len(self.writer):,} blocks are in {self.writer.data_path}"
        if self.writer.data_path != paths_of(self.writer.path).data_path(self.writer.codec != "none"):
            text += f", and {self.writer.path} is as it was"
        return text

    def counts(self, seconds: float) -> Counts:
        return Counts(
            read=self.read,
            written=self.written,
            dropped=self.dropped,
            failed=self.failed,
            skipped=self.skipped,
            read_bytes=self.read_bytes,
            written_bytes=self.written_bytes,
            seconds=seconds,
        )


def _part(numbers: list[int], keys: list[bytes]) -> tuple[Sequence[int], _Part]:
    contiguous = numbers[-1] - numbers[0] + 1 == len(numbers)
    compact = range(numbers[0], numbers[-1] + 1) if contiguous else numbers
    return compact, _Part(compact, keys, iter(keys))


def _sizes(reader: smartpipe.Reader) -> Iterator[tuple[bytes, int]]:
    """The key of each block, and about how large it is; 0 from a damaged entry on, as reading the blocks will tell."""
    number = 0
    try:
        for entry in reader.entries():
            yield entry.key, entry.stored if entry.raw is None else entry.raw
            number += 1
    except smartpipe.SmartPipeError:
        for key in itertools.islice(reader.keys(), number, None):
            yield key, 0


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _refuse_same(reader: smartpipe.Reader, dst: str | os.PathLike[str]) -> None:
    # By the files and not by their names. What replaces a pipe is written beside it, and clears that place first.
    paths = paths_of(dst)
    for file in (*paths.existing(), paths.index, *paths.new.existing(), paths.new.index):
        for source in (reader.data_path, reader.index_path):
            if os.path.exists(file) and os.path.exists(source) and os.path.samefile(file, source):
                raise ValueError(f"{os.fspath(dst)}: source and destination are the same pipe, {source}")


def _refuse_unfinished(dst: str | os.PathLike[str]) -> None:
    unfinished = paths_of(dst).new
    if unfinished.existing():
        raise smartpipe.PipeExistsError(
            f"{unfinished.existing()[0]} is left of a run that was to replace this pipe: go on with that one by giving "
            f"{unfinished.prefix} as the destination, or remove it",
            path=os.fspath(dst),
        )
