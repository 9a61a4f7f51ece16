"""Who may write, combine and collect in a store of artifacts at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256

from smartpipe import errors
from smartpipe.locations.location import Location
from smartpipe.stores.keys import Layer

LAYERS = 1 << 31
"""Numbers of a flow to lock: the first lets in those who want one of the others, which stand for its layers."""
PATIENCE = 0.25
"""Seconds for which nobody new may begin to write while somebody who wants to be alone waits for those who are at it,
before these are let in."""


@contextmanager
def writing(location: Location, place: Layer) -> Iterator[None]:
    """Let nobody collect artifacts of the flow, or make combined archives of the layer."""
    if "lock" not in location.abilities:
        yield
        return
    gate, layer = _numbers(place)
    with ExitStack() as held:
        with location.lock(gate, exclusive=False):
            held.enter_context(location.lock(layer, exclusive=False))
        yield


@contextmanager
def quiet(location: Location, place: Layer) -> Iterator[bool]:
    """Let nobody write to a layer; gives False where somebody does just now, or the place can not have that."""
    with ExitStack() as held:
        got = False
        if {"write", "delete", "lock"} <= location.abilities:
            try:
                got = held.enter_context(location.lock(_numbers(place)[1], wait=False))
            except errors.StorageError:
                pass  # nobody may write here
        yield got


@contextmanager
def alone(location: Location, flow: str) -> Iterator[None]:
    """Let nobody write to a flow."""
    if "lock" not in location.abilities:
        yield
        return
    gate = _gate(flow)
    with ExitStack() as held:
        while True:
            with ExitStack() as asked:
                if not asked.enter_context(location.lock(gate)):
                    break  # a file system without locks
                until = time.monotonic() + PATIENCE
                got = False
                while not got and time.monotonic() < until:
                    attempt = ExitStack()
                    got = attempt.enter_context(location.lock(gate + 1, LAYERS - 1, wait=False))
                    if got:
                        held.enter_context(attempt)
                    else:
                        attempt.close()
                        time.sleep(PATIENCE / 100)
                if got:
                    held.enter_context(asked.pop_all())
                    break
            # A writer whose values come from what writes here too would wait for itself.
            time.sleep(PATIENCE / 10)
        yield


def _gate(flow: str) -> int:
    return int.from_bytes(sha256(flow.encode()).digest()[:4], "big") % LAYERS * LAYERS


def _numbers(place: Layer) -> tuple[int, int]:
    """Return the numbers of a flow and of a layer. Those that share one wait for each other, which does no harm."""
    gate = _gate(place.flow)
    layer = int.from_bytes(sha256(f"{place.execution}/{place.layer}".encode()).digest()[:4], "big")
    return gate, gate + 1 + layer % (LAYERS - 1)
