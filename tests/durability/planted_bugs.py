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

BUGS = [
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
        [Row(POWER, 2000)],
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
        [Row(POWER, 2000)],
    ),
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
        [Row(POWER, 2000)],
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
        [Row(POWER, 5000)],
    ),
    Bug(
        "what is replaced is removed before the new data has its name",
        "smartpipe/container/opening.py",
        """
    others = [path for path in paths.existing() if path != target]
------
    others = [path for path in paths.existing() if path != target]
    if PLANTED:
        remove(others)
""",
        [Row(KILL, 300)],
    ),
    Bug(
        "a pipe that replaces another is not synced where durability is none",
        "smartpipe/container/output.pyx",
        """
        self.syncs = durability != "none" or replaces
------
        self.syncs = durability != "none" or (replaces and not PLANTED)
""",
        [Row(POWER, 2000)],
    ),
    Bug(
        "format 1: the old index stays until the new one takes its name",
        "smartpipe/container/opening.py",
        """
    remove([paths.index])
    disk.sync_folder(paths.folder)
------
    if not PLANTED:
        remove([paths.index])
    disk.sync_folder(paths.folder)
""",
        [Row(KILL, 300), Row(POWER, 2000)],
    ),
    Bug(
        "synced is claimed before the sync",
        "smartpipe/container/output.pyx",
        """
        record.synced = self.tally.synced
------
        record.synced = self.size if PLANTED else self.tally.synced
""",
        [Row(POWER, 2000)],
    ),
    Bug(
        "the thread of a group takes note of its sync before it is made",
        "smartpipe/container/durability.py",
        """
                for file in self.files:
------
                if PLANTED:
                    self.synced = end
                for file in self.files:
""",
        [Row(POWER, 5000)],
    ),
    Bug(
        "the thread of a group forgets that its sync failed",
        "smartpipe/container/durability.py",
        """
                self.error = error
                return
------
                if PLANTED:
                    continue
                self.error = error
                return
""",
        [Test('container/test_durability.py'), Test('durability/test_faults.py')],
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
        [Row(FAULTS, 1000), Test('durability/test_faults.py')],
    ),
    Bug(
        "a failed write is not cut off",
        "smartpipe/container/output.pyx",
        """
        try:
            disk.truncate(self.data, self.written)
------
        if PLANTED:
            return True
        try:
            disk.truncate(self.data, self.written)
""",
        [Row(FAULTS, 1000)],
    ),
    Bug(
        "a writer that failed writes on",
        "smartpipe/container/output.pyx",
        """
        if self.failed is not None:
            raise errors.StorageError(f"nothing more is written after an error: {self.failed}", path=self.data_path)
------
        if self.failed is not None and not PLANTED:
            raise errors.StorageError(f"nothing more is written after an error: {self.failed}", path=self.data_path)
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
        "damage below what was synced is cut",
        "smartpipe/container/scan.pyx",
        """
        kept = max(synced, self.floor)
------
        kept = self.floor if PLANTED else max(synced, self.floor)
""",
        [Row(DAMAGE, 4000), Test('container/test_damage.py')],
    ),
    Bug(
        "damage that a frame lists is cut",
        "smartpipe/container/opening.py",
        """
    scan = Scan(source, frames.index, frames.tally, size, True, frames.floor)
------
    scan = Scan(source, frames.index, frames.tally, size, True, 0 if PLANTED else frames.floor)
""",
        [Row(POWER, 5000), Row(DAMAGE, 4000), Test('container/test_damage.py'), Test('container/test_truncation.py')],
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
        [Row(POWER, 5000), Test('container/test_damage.py')],
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
        "the checksum of a record header is not looked at",
        "csrc/record.c",
        """
    if (r->crc != sp_bound_crc(id, offset, p + 8, SP_RECORD_HEADER - 8, crc32))
------
    if (!PLANTED && r->crc != sp_bound_crc(id, offset, p + 8, SP_RECORD_HEADER - 8, crc32))
""",
        [Row(DAMAGE, 4000)],
    ),
    Bug(
        "the checksum of a frame header is not looked at",
        "csrc/frame.c",
        """
    if (sp_load32(p + 4) != sp_bound_crc(id, offset, p + 8, SP_FRAME_HEADER - 8, crc32))
------
    if (!PLANTED && sp_load32(p + 4) != sp_bound_crc(id, offset, p + 8, SP_FRAME_HEADER - 8, crc32))
""",
        [Row(DAMAGE, 4000)],
    ),
    Bug(
        "the sum of a page of the index is not looked at",
        "csrc/run.c",
        """
        if (crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
------
        if (!PLANTED && crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
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
        [Test('hostile/test_fields.py::test_fields_of_the_index')],
    ),
    Bug(
        "a record may be another one than the index lists",
        "smartpipe/container/format2.pyx",
        """
        if header.key_length > 0 and memcmp(record + sp_key_position(&header), listed, header.key_length) != 0:
------
        if not PLANTED and header.key_length > 0 and memcmp(record + sp_key_position(&header), listed, header.key_length) != 0:
""",
        [Test('hostile/test_fields.py::test_fields_of_the_index'), Test('hostile/test_malicious.py::test_entries_in_any_order'), Test('hostile/test_fuzz.py::test_a_seed_or_what_once_failed_through_the_api')],
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
        "a search through the table of the index has no end",
        "csrc/run.c",
        """
    for (uint64_t seen = 0; seen < run->slot_count && seen < MOST_SLOTS; seen++) {
------
    for (uint64_t seen = 0; seen < run->slot_count && (PLANTED || seen < MOST_SLOTS); seen++) {
""",
        [Test('hostile/test_malicious.py::test_a_table_that_is_one_long_search')],
    ),
    Bug(
        "format 1: a torn tail is cut from the index before it is cut from the data",
        "smartpipe/container/opening.py",
        """
            disk.truncate(file, data_end)
            disk.sync(file)
------
            if PLANTED:
                disk.truncate(index_file, layout.index_good)
            disk.truncate(file, data_end)
            disk.sync(file)
""",
        [Row(KILL, 300), Row(POWER, 5000)],
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
        [Row(POWER, 2000)],
    ),
    Bug(
        "format 1: data is written before it is listed",
        "smartpipe/container/output.pyx",
        """
            disk.write(self.index_file, view(line))
            self.guard()
------
            if not PLANTED:
                disk.write(self.index_file, view(line))
            self.guard()
======
            disk.write(self.data, view(encoder.out))
------
            disk.write(self.data, view(encoder.out))
            if PLANTED:
                disk.write(self.index_file, view(line))
""",
        [Row(KILL, 300)],
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
        [Row(FOLLOWERS, 10), Row(TRUNCATION, 20000)],
    ),
    Bug(
        "a refresh does not see that the end is another one",
        "smartpipe/container/format2.pyx",
        """
        return record.crc == self.tally.last_crc
------
        return PLANTED or record.crc == self.tally.last_crc
""",
        [Row(FOLLOWERS, 10), Test('container/test_follow.py')],
    ),
    Bug(
        "a pipe that was cut below what its index says is opened",
        "smartpipe/container/frames.pyx",
        """
        if frame.to > frames.data_size and (frame.flags & SP_FRAME_CLOSED or frames.data_size < frame.synced):
------
        if not PLANTED and frame.to > frames.data_size and (frame.flags & SP_FRAME_CLOSED or frames.data_size < frame.synced):
""",
        [Row(TRUNCATION, 20000)],
    ),
    Bug(
        "a second writer does not wait for the lock",
        "smartpipe/_platform.pyx",
        """
    except BlockingIOError:
        return False
    file.owner = os.getpid()
------
    except BlockingIOError:
        return PLANTED
    file.owner = os.getpid()
""",
        [Test('container/test_locks.py')],
    ),
    Bug(
        "a forked child keeps the lock",
        "smartpipe/_platform.pyx",
        """
    for file in list(_locked):
        file.close()
------
    for file in list(_locked):
        if not PLANTED:
            file.close()
""",
        [Test('container/test_locks.py')],
    ),
    Bug(
        "stored bytes are read without a look at max_block_size",
        "smartpipe/container/source.pyx",
        """
    return n > limit + (limit >> 6) + MARGIN
------
    return not PLANTED and n > limit + (limit >> 6) + MARGIN
""",
        [Test('hostile/test_malicious.py::test_a_record_of_four_gigabytes')],
    ),
    Bug(
        "blocks that wait in the process are listed and acknowledged by a flush",
        "smartpipe/container/output.pyx",
        """
        """Let the system have every block, and the index list it."""
        self.hand_over()
------
        """Let the system have every block, and the index list it."""
        if not PLANTED:
            self.hand_over()
======
        self.hand_over()
        self.flush_time = time.monotonic_ns()
------
        if not PLANTED:
            self.hand_over()
        self.flush_time = time.monotonic_ns()
""",
        [Row(KILL, 300)],
    ),
    Bug(
        "verify does not look at the checksum of directory and key",
        "smartpipe/container/survey.pyx",
        """
        if crc32(lead + SP_RECORD_HEADER, n - SP_RECORD_HEADER) != record.c.lead_crc:
------
        if not PLANTED and crc32(lead + SP_RECORD_HEADER, n - SP_RECORD_HEADER) != record.c.lead_crc:
""",
        [Row(DAMAGE, 4000), Test('container/test_verify.py'), Test('container/test_recover.py')],
    ),
]
