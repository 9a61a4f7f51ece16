"""A file for each value, under the SHA-256 of its bytes: as laminar keeps artifacts, and as tarn does."""

import gzip
import json
import os
import pickle
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from bench.rivals.objects import EXECUTION, LAYER, NAME, Objects
from bench.rivals.store import Keeper, Pickles, Value, Values, pickled

READ_ONLY = 0o444


class Gzipped(Keeper):
    """laminar's artifacts: files of gzip in one folder."""

    def begin(self, folder: Path) -> None:
        (folder / "artifacts").mkdir()

    def open(self, folder: Path, writes: bool) -> Values:
        return GzippedFiles(folder / "artifacts", self.form.level)

    def open_objects(self, folder: Path, writes: bool) -> Objects:
        return Archived(self.open(folder, writes), folder / "archives" / EXECUTION / LAYER)


class GzippedFiles(Values):
    """The folder of the files."""

    def __init__(self, folder: Path, level: int) -> None:
        self.prefix = os.fsencode(folder) + b"/"
        self.level = level

    def put(self, key: bytes, value: bytes) -> None:
        with open(self.prefix + key + b".gz", "wb", buffering=0) as file:
            file.write(gzip.compress(value, self.level))

    def get(self, key: bytes) -> bytes:
        with open(self.prefix + key + b".gz", "rb", buffering=0) as file:
            return gzip.decompress(file.read())

    def items(self) -> Iterator[Value]:
        for entry in os.scandir(self.prefix):
            key = entry.name.removesuffix(b".gz")
            yield key, self.get(key)

    def delete(self, key: bytes) -> None:
        os.unlink(self.prefix + key + b".gz")


class Archived(Pickles):
    """laminar's datastore: the folder is that of a flow, and archives in JSON name the artifacts."""

    def __init__(self, opened: Values, archives: Path) -> None:
        super().__init__(opened)
        self.archives = archives

    def write(self, values: Iterable[Any]) -> None:
        self.archive(0, values)

    def write_named(self, values: Iterable[Any]) -> None:
        for number, value in enumerate(values):
            self.archive(number, [value])

    def archive(self, number: int, values: Iterable[Any]) -> None:
        """Write artifacts, and then an archive of them."""
        put, artifacts = self.opened.put, []
        for value in values:
            key, data = pickled(value)
            put(key, data)
            artifacts.append({"hexdigest": key.decode()})
        folder = f"{self.archives}/{number}"
        os.makedirs(folder)
        with open(f"{folder}/{NAME}.json", "w") as file:
            file.write(json.dumps({"artifacts": artifacts}))

    def read(self) -> Iterator[Any]:
        get = self.opened.get
        for number in sorted(os.listdir(self.archives), key=int):
            with open(f"{self.archives}/{number}/{NAME}.json") as file:
                artifacts = json.load(file)["artifacts"]
            for artifact in artifacts:
                yield pickle.loads(get(artifact["hexdigest"].encode()))


class Opened(Gzipped):
    """The same through `gzip.open`, which takes longer than opening a file and `gzip.decompress`."""

    def open(self, folder: Path, writes: bool) -> Values:
        return OpenedFiles(folder / "artifacts", self.form.level)


class OpenedFiles(GzippedFiles):
    """The folder of the files."""

    def put(self, key: bytes, value: bytes) -> None:
        with gzip.open(self.prefix + key + b".gz", "wb", self.level) as file:
            file.write(value)

    def get(self, key: bytes) -> bytes:
        with gzip.open(self.prefix + key + b".gz", "rb") as file:
            return file.read()


class Tarn(Keeper):
    """tarn's DiskDict with its usual levels: a folder for the first byte of the digest, and a file for the others."""

    def begin(self, folder: Path) -> None:
        (folder / "tarn").mkdir()

    def open(self, folder: Path, writes: bool) -> Values:
        return TarnFolders(folder / "tarn")


class TarnFolders(Values):
    """The folder of the folders. Files appear complete and read-only, and what is read is compared with its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.fsencode(folder)
        self.aside = self.folder + b"/.new-%d-" % os.getpid()
        self.numbers = count()

    def path(self, key: bytes) -> bytes:
        return b"%b/%b/%b" % (self.folder, key[:2], key[2:])

    def put(self, key: bytes, value: bytes) -> None:
        path = self.path(key)
        aside = self.aside + b"%d" % next(self.numbers)
        with open(aside, "xb", buffering=0) as file:
            file.write(value)
            os.fchmod(file.fileno(), READ_ONLY)
        try:
            os.rename(aside, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(aside, path)

    def get(self, key: bytes) -> bytes:
        with open(self.path(key), "rb", buffering=0) as file:
            value = file.read()
        if sha256(value).hexdigest().encode() != key:
            raise ValueError(f"{key!r} has other bytes")
        return value

    def items(self) -> Iterator[Value]:
        for folder in os.scandir(self.folder):
            for entry in os.scandir(folder):
                key = folder.name + entry.name
                yield key, self.get(key)

    def delete(self, key: bytes) -> None:
        os.unlink(self.path(key))
