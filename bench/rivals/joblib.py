"""joblib.dump: a file for each Python value, in one folder, under its number."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib

from bench.rivals.objects import ObjectKeeper, Objects


class Dumps(ObjectKeeper):
    """A folder of files, as joblib's documentation has it: plain, or with zlib."""

    def open_objects(self, folder: Path, writes: bool) -> Objects:
        return DumpedFiles(folder, ("zlib", self.form.level) if self.form.codec == "deflate" else 0)


class DumpedFiles(Objects):
    """The folder of the files."""

    def __init__(self, folder: Path, compress: tuple[str, int] | int) -> None:
        self.folder = folder
        self.compress = compress

    def write(self, values: Iterable[Any]) -> None:
        dump, folder, compress = joblib.dump, self.folder, self.compress
        for number, value in enumerate(values):
            dump(value, f"{folder}/{number}.pkl", compress=compress)

    def read(self) -> Iterator[Any]:
        load = joblib.load
        for entry in os.scandir(self.folder):
            yield load(entry.path)

    def names(self, values: Sequence[Any]) -> Sequence[int]:
        return range(len(values))

    def get(self, name: int) -> Any:
        return joblib.load(f"{self.folder}/{name}.pkl")
