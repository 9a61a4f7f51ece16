"""The target `api` as a program of atheris: `python -m hostile.fuzz.fuzz_api [options of libFuzzer] [folders, inputs]`.

targets.py says what its environment is.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from random import Random

import atheris
from reference import format2

with atheris.instrument_imports(include=["smartpipe"]):
    from hostile.fuzz import api

# It has done its work: programs that this one starts, as that which names the lines of a stack, do without it.
os.environ.pop("LD_PRELOAD", None)

NUMBERS = [0, 1, 2, 31, 32, 64, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**63, 2**64 - 8, 2**64 - 1]
# Where in each structure a field lies, and how long it is.
FILE = [(8, 8), (16, 4), (20, 4), (24, 1), (25, 1)]
RECORD = [(8, 8), (16, 8), *((at, 4) for at in range(24, 60, 4)), (60, 1), (61, 1), (62, 2)]
DIRECTORY = [(64, 4), (68, 4), (72, 4), (80, 4), (84, 4), (88, 4)]
INDEX = [(8, 8), (16, 4), (20, 4), (24, 8), (40, 8)]
FRAME = [*((at, 8) for at in range(8, 104, 8)), (104, 4), (108, 4), (112, 4), (120, 8)]
ENTRY = [(0, 8), (8, 8), (16, 8), *((at, 4) for at in range(24, 44, 4)), (44, 1), (45, 1), (46, 2)]


def mutate(content: bytes, most: int, seed: int) -> bytes:
    """Change an input, mostly where its structures are: the checksums are made right when it is tried."""
    random = Random(seed)
    if len(content) < 5:
        return bytes(atheris.Mutate(content, most))
    options = content[0]
    size = int.from_bytes(content[1:4], "little")
    parts = [bytearray(content[4 : 4 + size]), bytearray(content[4 + size :])]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        part = parts[random.random() < 0.4]
        what = random.random()
        if what < 0.5:
            set_field(part, random)
        elif what < 0.65 and part:
            part[:] = atheris.Mutate(bytes(part), len(part) + 64)
        elif what < 0.75 and part:
            begin, end = sorted(random.choices(range(len(part) + 1), k=2))
            place = random.randrange(len(part) + 1)
            part[place:place] = part[begin:end]
        elif what < 0.85 and part:
            begin, end = sorted(random.choices(range(len(part) + 1), k=2))
            del part[begin : random.choice((end, len(part), min(begin + 8, len(part))))]
        else:
            options ^= random.choice((api.DATZ, api.INDEX, api.CHECKSUMS, api.CHECKSUMS | api.SIZES, api.SIZES))
    if random.random() < 0.5:
        options |= api.CHECKSUMS | api.INDEX
    data, index = parts
    return (bytes([options]) + len(data).to_bytes(3, "little") + data + index)[:most]


def set_field(part: bytearray, random: Random) -> None:
    """Give a field of some structure in a data or index file another number."""
    base, fields = random.choice(structures(part) or [(0, [(random.randrange(max(1, len(part))), 4)])])
    offset, length = random.choice(fields)
    at = base + offset
    if at + length > len(part):
        return
    old = int.from_bytes(part[at : at + length], "little")
    limit = 256**length
    other = random.choice(
        [
            random.choice(NUMBERS) % limit,
            (old + random.randrange(-9, 10)) % limit,
            old ^ 1 << random.randrange(8 * length),
            len(part),
            random.randrange(len(part) + 1),
        ]
    )
    part[at : at + length] = (other % limit).to_bytes(length, "little")


def structures(part: bytearray) -> list[tuple[int, list[tuple[int, int]]]]:
    """Where something with fields begins in a file, and these."""
    found = []
    if part.startswith(format2.FILE_MAGIC):
        found.append((0, FILE))
    if part.startswith(format2.INDEX_MAGIC):
        found.append((0, INDEX))
    for magic, fields in ((format2.RECORD_MAGIC, [*RECORD, *DIRECTORY]), (format2.FRAME_MAGIC, FRAME)):
        at = part.find(magic)
        while at >= 0:
            found.append((at, fields))
            if fields is FRAME:
                found += [(at + 136 + format2.ENTRY.size * number, ENTRY) for number in range(3)]
            at = part.find(magic, at + 1)
    return found


def main() -> None:
    folder = Path(tempfile.mkdtemp())

    def test_one_input(content: bytes) -> None:
        for path in folder.iterdir():
            path.unlink()
        api.try_input(content, folder)

    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
