"""Processes that work on tasks; what they make of them comes back in the order of the tasks."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import FrameType, TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Context = TypeVar("Context")

Begin = Callable[[int], object]
"""Called with the number of what is worked on next, so that it can be named if the process dies of it."""
Work = Callable[[Task, Begin], Iterator[Result]]
Mask = set[int | signal.Signals]
"""Signals that are held back."""

START = "spawn" if sys.platform == "darwin" else "fork"
"""Forked processes can run functions that can not be pickled. On macOS the system's libraries do not survive a fork."""
AHEAD = 16 << 20
"""So many bytes of results for each process wait for their turn; then only the process whose turn it is gets on."""
TASKS = 8
"""Tasks for each process that were given out and are not through."""
LOOK = 1.0
"""Seconds without a message, after which it is looked whether the process still lives. Its connection does not always
tell: a process that the work has forked has it too."""
PATIENCE = 1.0
"""Seconds that a process has to end by itself."""
END = b""
"""The message behind the last result of a task."""


class WorkerDied(Exception):
    """A process ended before it was told to."""

    def __init__(self, context: Any, number: int, how: str) -> None:
        super().__init__(how)
        self.context = context
        """What its task was given out with."""
        self.number = number
        """What the process last told that it begins; -1 if nothing of its task."""
        self.how = how


class InProcess(Generic[Task, Result]):
    """The same as `Workers`, without any process."""

    def __init__(self, work: Work[Task, Result]) -> None:
        self._work = work

    def __enter__(self) -> InProcess[Task, Result]:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def results(self, tasks: Iterable[tuple[Task, Context]]) -> Iterator[tuple[Context, Result]]:
        for task, context in tasks:
            for result in self._work(task, _ignore_number):
                yield context, result


class Workers(Generic[Task, Result]):
    """`count` processes that run `work`, a generator of results, on one task after another.

    They start when this is made, before the caller opens what they must not inherit, and end with the `with` statement.
    ValueError where the system starts processes anew and `work` can not be pickled.
    """

    def __init__(self, count: int, work: Work[Task, Result]) -> None:
        self._workers: list[_Worker] = []
        # Signals wait until all have started, so that none is forgotten, and until each has its own handlers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for _ in range(count):
                self._workers.append(_Worker(work, [worker.connection for worker in self._workers], mask))
        except BaseException:
            self._end(kill=True)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def __enter__(self) -> Workers[Task, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(kill=kind is not None)

    def results(self, tasks: Iterable[tuple[Task, Context]]) -> Iterator[tuple[Context, Result]]:
        """Give out the tasks; yield each result, and the context that its task came with, in the order of the tasks.

        An exception of the work is raised when it is its turn, and WorkerDied where a process ended.
        """
        coming = iter(tasks)
        idle = list(self._workers)
        flight: deque[_Flight] = deque()
        held = 0
        while True:
            while idle and len(flight) < TASKS * len(self._workers):
                following = next(coming, None)
                if following is None:
                    break
                flight.append(_Flight(idle.pop(), *following))
            if not flight:
                return
            first = flight[0]
            listened = {
                each.worker.connection: each
                for each in flight
                if each.open and (not first.waiting if each is first else held < AHEAD * len(self._workers))
            }
            ready = wait([*listened], timeout=0 if first.ready else LOOK)
            for connection, each in listened.items():
                if connection in ready:
                    held += each.receive()
                    if each.ended:
                        idle.append(each.worker)
            if first.waiting:
                message = first.waiting.popleft()
                held -= len(message)
                result = pickle.loads(message)
                if isinstance(result, _Raised):
                    result.raise_again()
                yield first.context, result
            elif first.ended:
                flight.popleft()
            elif first.lost or (not ready and first.worker.is_gone()):
                raise WorkerDied(first.context, first.worker.number.value, first.worker.how())

    def _end(self, kill: bool) -> None:
        for worker in self._workers:
            if kill:
                worker.process.kill()
            worker.connection.close()
        due = time.monotonic() + PATIENCE
        for worker in self._workers:
            # All results are here: what still keeps a process is a thread that the work left behind.
            worker.wait(due)
            worker.process.kill()
            worker.process.join()


class _Worker:
    """A process, as its parent sees it."""

    def __init__(self, work: Work[Any, Any], siblings: list[Connection], mask: Mask) -> None:
        context: Any = multiprocessing.get_context(START)
        self.connection: Connection
        self.connection, its = context.Pipe()
        self.number = context.RawValue("q", -1)
        # A connection ends only when nobody has its other end: a forked process closes the ends that are its parent's.
        inherited = [*siblings, self.connection] if START == "fork" else []
        self.process = context.Process(target=_serve, args=(work, its, inherited, self.number, mask), daemon=True)
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"processes are started anew here, and the function can not be sent to them: {error}; "
                "define it at the top of a module, or work without processes (jobs=1)"
            ) from error
        finally:
            its.close()

    def is_gone(self) -> bool:
        """Whether the process has ended and everything that it sent was read."""
        return not self.process.is_alive() and not self.connection.poll()

    def wait(self, due: float) -> None:
        """Wait until then for the process to end. Its `join` waits for ever, timeout or not, if files were closed."""
        while self.process.is_alive() and time.monotonic() < due:
            time.sleep(0.002)

    def how(self) -> str:
        """How the process ended."""
        self.wait(time.monotonic() + PATIENCE)
        code = self.process.exitcode
        if code is None:
            return "does not answer any more"
        if code < 0:
            return f"was killed by signal {-code} ({signal.strsignal(-code)})"
        return f"ended with exit code {code}"


class _Flight:
    """A task that was given to a worker."""

    def __init__(self, worker: _Worker, task: object, context: Any) -> None:
        self.worker = worker
        self.context = context
        self.waiting: deque[bytes] = deque()
        """Results whose turn has not come."""
        self.ended = False
        self.lost = False
        """Nothing more will come: the process is gone."""
        try:
            worker.connection.send(task)
        except OSError:
            self.lost = True

    @property
    def open(self) -> bool:
        """Whether more results can come."""
        return not (self.ended or self.lost)

    @property
    def ready(self) -> bool:
        """Whether there is something to do without waiting."""
        return bool(self.waiting) or not self.open

    def receive(self) -> int:
        """Take the next message of the worker; returns how many bytes wait more than before."""
        try:
            message = self.worker.connection.recv_bytes()
        except (EOFError, OSError):
            self.lost = True
            return 0
        if message == END:
            self.ended = True
        else:
            self.waiting.append(message)
        return len(message)


class _Raised(NamedTuple):
    """An exception on its way to the parent; what of it can not be pickled stays behind, but not its text."""

    error: Exception | None
    cause: BaseException | None
    text: str

    def raise_again(self) -> None:
        error = self.error or RuntimeError("an exception that can not be pickled was raised in another process")
        there = _Elsewhere(self.text)
        if self.cause is None:
            raise error from there
        self.cause.__cause__ = there
        raise error from self.cause


class _Elsewhere(Exception):
    """The traceback of an exception in another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _serve(work: Work[Any, Any], connection: Connection, inherited: list[Connection], number: Any, mask: Mask) -> None:
    """What a worker does."""
    # Ctrl-C reaches every process of a terminal, and it is the parent that decides. A handler, and not SIG_IGN, which
    # programs that the work starts would inherit.
    signal.signal(signal.SIGINT, _ignore_signal)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for other in inherited:
        other.close()

    def begin(next_number: int) -> None:
        number.value = next_number

    try:
        while True:
            task = connection.recv()
            for message in _messages(work, task, begin):
                connection.send_bytes(message)
            begin(-1)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has no more tasks, or is gone


def _messages(work: Work[Any, Any], task: object, begin: Begin) -> Iterator[bytes]:
    try:
        for result in work(task, begin):
            yield pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        yield pickle.dumps(_Raised(_portable(error), _portable(error.__cause__), text), pickle.HIGHEST_PROTOCOL)
    yield END


Error = TypeVar("Error", bound=BaseException)


def _portable(error: Error | None) -> Error | None:
    """The exception as its parent will see it, None where it does not survive the way there."""
    try:
        copy = pickle.loads(pickle.dumps(error, pickle.HIGHEST_PROTOCOL))
    except Exception:
        return None
    return copy if type(copy) is type(error) else None


def _ignore_signal(number: int, frame: FrameType | None) -> None:
    pass


def _ignore_number(number: int) -> None:
    pass
