"""What a pipe has, as plain dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import smartpipe


def blocks(prefix: Path) -> dict[str, dict[str, bytes]]:
    """The blocks of a pipe in the order of the file, by key; each must have its pair keys once."""
    with smartpipe.open(prefix) as pipe:
        read = {}
        for key, block in pipe.items():
            pairs = {name.decode(): value for name, value in block}
            assert len(pairs) == len(block)
            read[key.decode()] = pairs
        return read


def result(block: dict[str, bytes]) -> Any:
    return json.loads(block["result"].decode("utf-8"))


def facts(block: dict[str, bytes]) -> dict[str, str]:
    """The lines `name: value` of a log."""
    lines = block["log"].decode("utf-8").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}
