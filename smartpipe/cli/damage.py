"""How commands print what is not whole."""

from __future__ import annotations

from collections.abc import Iterable

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.keys import show


def print_damage(damages: Iterable[smartpipe.Damage]) -> None:
    """A line for each: what, file, offset, bytes, block (nothing where it is not known), reason, with tabs between."""
    for damage in damages:
        block = "" if damage.block is None else show(damage.block)
        where = (damage.file, str(damage.offset), str(damage.size))
        output.line("\t".join((damage.what, *where, block, damage.reason)))
