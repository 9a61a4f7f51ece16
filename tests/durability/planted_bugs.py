"""Bugs that are put into a copy of smartpipe, one at a time, and what is to find them.

Each is a change of a source file with a switch in it: `PLANTED` stands for an expression that is true where the bug is
switched on. See `planting`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """The first cases of a row of torture."""

    module: str
    cases: int

    def __str__(self) -> str:
        return f"{self.cases} cases of {self.module}"


@dataclass(frozen=True)
class Test:
    """Other tests, as pytest names them below tests/."""

    __test__ = False

    node: str

    def __str__(self) -> str:
        return self.node


@dataclass(frozen=True)
class Bug:
    name: str
    file: str
    change: str
    """Lines that occur once in the file, a line of dashes, and the lines that take their place; and the next change,
    behind a line of =."""
    catchers: list[Row | Test]
    """What is to find it: one of them is enough, and each is run as long as none has."""

    def changes(self) -> list[tuple[str, str]]:
        """The old and the new text of each change."""
        pieces = [change.split("------\n") for change in self.change.removeprefix("\n").split("======\n")]
        return [(old, new) for old, new in pieces]


POWER = "durability.test_power"
KILL = "durability.test_kill"
FAULTS = "durability.test_faults"
FOLLOWERS = "durability.test_followers"
REBUILD = "durability.test_rebuild_equals"
DAMAGE = "hostile.test_damage_row"
TRUNCATION = "hostile.test_truncation"

# The first ones, of Python, Cython and C, are those that the tests try.
SAMPLE = 5
BUGS = [
    Bug(
        "no sync of the folder of a new pipe",
        "smartpipe/container/opening.py",
        """
    disk.sync_folder(paths.folder)
    return output
------
    if not PLANTED:
        disk.sync_folder(paths.folder)
    return output
""",
        [Row(POWER, 1000)],
    ),
    Bug(
        "a short write is taken for a whole one",
        "smartpipe/_platform.pyx",
        """
        if written < len(data):
------
        if written < len(data) and not PLANTED:
""",
        [Row(FAULTS, 400)],
    ),
    Bug(
        "a torn tail is not cut before the pipe goes on",
        "smartpipe/container/opening.py",
        """
    if end < size:
        disk.truncate(file, end)
------
    if end < size and not PLANTED:
        disk.truncate(file, end)
""",
        [Row(KILL, 300)],
    ),
    Bug(
        "the sum of a page of the index is not looked at",
        "csrc/run.c",
        """
        if (crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
------
        if (!PLANTED && crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
""",
        [Row(DAMAGE, 1000)],
    ),
    Bug(
        "the totals are wrong after going on",
        "smartpipe/container/frames.pyx",
        """
    tally.raw = frame.raw
------
    if not PLANTED:
        tally.raw = frame.raw
""",
        [Row(REBUILD, 30)],
    ),
    Bug(
        "a block is not synced though its writer asked for that",
        "smartpipe/container/output.pyx",
        """
            self.sync_blocks()
        elif self.timer is not None:
------
            if PLANTED:
                self.hand_over()
            else:
                self.sync_blocks()
        elif self.timer is not None:
""",
        [Row(POWER, 1000)],
    ),
    Bug(
        "no sync of the data at the end",
        "smartpipe/container/output.pyx",
        """
        if self.syncs:
            self.sync_blocks()
        else:
------
        if self.syncs and not PLANTED:
            self.sync_blocks()
        else:
""",
        [Row(POWER, 1000)],
    ),
    Bug(
        "no sync of the folder between the two renames of a replacement",
        "smartpipe/container/opening.py",
        """
    disk.sync_folder(paths.folder)
    disk.rename(index, paths.index)
------
    if not PLANTED:
        disk.sync_folder(paths.folder)
    disk.rename(index, paths.index)
""",
        [Row(POWER, 20_000)],
    ),
    Bug(
        "synced is claimed before the sync",
        "smartpipe/container/output.pyx",
        """
        record.stamp = max(date(), self.tally.stamp + 1, record.stamp)
        record.synced = self.tally.synced
------
        record.stamp = max(date(), self.tally.stamp + 1, record.stamp)
        record.synced = self.size if PLANTED else self.tally.synced
""",
        [Row(POWER, 5000), Test("durability/test_power.py::test_no_more_is_claimed_to_be_synced_than_was")],
    ),
    Bug(
        "a failed sync is tried again, and then taken for good",
        "smartpipe/container/output.pyx",
        """
            for file in self.files():
                disk.sync(file)
        except OSError as error:
------
            for file in self.files():
                try:
                    disk.sync(file)
                except OSError:
                    if not PLANTED:
                        raise
                    disk.sync(file)
        except OSError as error:
""",
        [Row(FAULTS, 1000)],
    ),
    Bug(
        "a writer that failed writes on",
        "smartpipe/container/output.pyx",
        """
        if self.failed is not None:
            raise errors.StorageError(f"nothing more is written after an error: {self.failed}", path=self.data_path,
------
        if self.failed is not None and not PLANTED:
            raise errors.StorageError(f"nothing more is written after an error: {self.failed}", path=self.data_path,
""",
        [Row(FAULTS, 400)],
    ),
    Bug(
        "damage below what was synced is cut",
        "smartpipe/container/scan.pyx",
        """
        kept = max(synced, self.floor)
------
        kept = self.floor if PLANTED else max(synced, self.floor)
""",
        [Row(DAMAGE, 4000)],
    ),
    Bug(
        "damage that a frame lists is cut",
        "smartpipe/container/opening.py",
        """
    scan = Scan(source, frames.index, frames.tally, size, True, frames.floor)
------
    scan = Scan(source, frames.index, frames.tally, size, True, 0 if PLANTED else frames.floor)
""",
        [Test("container/test_append.py::test_what_a_frame_lists_is_never_cut")],
    ),
    Bug(
        "the index is believed though the data has another history",
        "smartpipe/container/frames.pyx",
        """
        return record.crc == tally.last_crc
    return True
------
        return PLANTED or record.crc == tally.last_crc
    return True
""",
        [Test("container/test_damage.py::test_the_index_of_a_copy_that_went_on_differently")],
    ),
    Bug(
        "the checksum of heads and values is not looked at",
        "smartpipe/container/source.pyx",
        """
    if task.check and crc32(task.stored, task.size) != task.crc:
------
    if task.check and not PLANTED and crc32(task.stored, task.size) != task.crc:
""",
        [Row(DAMAGE, 1000)],
    ),
    Bug(
        "the checksum of directory and key is not looked at",
        "csrc/record.c",
        """
    if (crc32(0, p, covered) != r->lead_crc)
------
    if (!PLANTED && crc32(0, p, covered) != r->lead_crc)
""",
        [Row(DAMAGE, 4000)],
    ),
    Bug(
        "a size is held against the end in 32 bits",
        "csrc/run.c",
        """
    if (entry->key > run->key_bytes || entry->key_length > run->key_bytes - entry->key)
------
    if (PLANTED ? (uint32_t)(entry->key + entry->key_length) > run->key_bytes
                : entry->key > run->key_bytes || entry->key_length > run->key_bytes - entry->key)
""",
        [Test("hostile/test_fields.py::test_fields_of_the_index")],
    ),
    Bug(
        "format 1: the index is not synced before data lies behind blocks that were",
        "smartpipe/container/output.pyx",
        """
        if self.guarded:
            try:
------
        if self.guarded and not PLANTED:
            try:
""",
        [Row(POWER, 1000)],
    ),
    Bug(
        "a block counts before all of it is there",
        "smartpipe/container/scan.pyx",
        """
                if record.size > self.size - offset:
------
                if record.size > self.size - offset and not (
                        PLANTED and sp_lead_size(&record) <= self.size - offset):
""",
        [Row(TRUNCATION, 20_000)],
    ),
    Bug(
        "blocks that wait in the process are listed and acknowledged by a flush",
        "smartpipe/container/output.pyx",
        """
        self.hand_over()
        if self.tally.end > self.flushed_to:
------
        if not PLANTED:
            self.hand_over()
        if self.tally.end > self.flushed_to:
======
        self.hand_over()
        self.flush_time = clock()
------
        if not PLANTED:
            self.hand_over()
        self.flush_time = clock()
""",
        [Row(KILL, 2000)],
    ),
]
