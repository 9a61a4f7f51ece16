"""smartpipe's store of artifacts, on shards and on files."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.rivals.objects import EXECUTION, FLOW, LAYER, NAME, ObjectKeeper, Objects
from smartpipe import locations
from smartpipe.stores import ArtifactStore

PLACE = {"flow": FLOW, "execution": EXECUTION, "layer": LAYER, "name": NAME}


class Artifacts(ObjectKeeper):
    """A store on a location; the level of its form is that of gzip."""

    @abstractmethod
    def location(self, folder: Path) -> locations.Location:
        """Return the place in a folder."""

    def open_objects(self, folder: Path, writes: bool) -> Objects:
        return ArtifactObjects(ArtifactStore(self.location(folder), level=self.form.level))


class Shards(Artifacts):
    """A store of shards, with its defaults."""

    def location(self, folder: Path) -> locations.Location:
        return locations.Shards(folder / "store")


class Files(Artifacts):
    """A tree of files, with its defaults."""

    def location(self, folder: Path) -> locations.Location:
        return locations.Files(folder)


class ArtifactObjects(Objects):
    """A store that is open."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.close = store.close

    def write(self, values: Iterable[Any]) -> None:
        self.store.write(**PLACE, index=0, values=values)

    def write_named(self, values: Iterable[Any]) -> None:
        write = self.store.write
        for number, value in enumerate(values):
            write(**PLACE, index=number, values=[value])

    def read(self) -> Iterator[Any]:
        yield from self.store.read(**PLACE)

    def names(self, values: Sequence[Any]) -> Sequence[int]:
        return range(len(values))

    @cached_property
    def get(self) -> Callable[[int], Any]:
        """Values by their index in one archive, or in all joined."""
        return self.store.read(**PLACE).__getitem__
