"""The blocks of a run, and folders with what each rival has written, made when they are first asked for."""

import shutil
import tempfile
from pathlib import Path

from bench.cases import Case
from bench.corpus import Block, Corpus


class Stores:
    """The blocks of a corpus, and the stores that the rivals made of them in folders of their own."""

    def __init__(self, corpus: Corpus, parent: Path) -> None:
        self.corpus = corpus
        self.parent = parent
        self.loaded: dict[str, list[Block]] = {}
        self.folders: dict[tuple[str, str, str], Path] = {}

    def blocks(self, data: str) -> list[Block]:
        """Return the blocks of a kind of data."""
        if data not in self.loaded:
            self.loaded[data] = self.corpus.blocks(data)
        return self.loaded[data]

    def fresh(self) -> Path:
        """Return a new, empty folder."""
        self.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.parent))

    def written(self, case: Case) -> Path:
        """Return the folder with what the rival of a case wrote."""
        place = case.data, case.codec, case.rival.name
        if place not in self.folders:
            folder = self.fresh()
            case.rival.write(folder, self.blocks(case.data), case.compress)
            self.folders[place] = folder
        return self.folders[place]

    def close(self) -> None:
        """Remove all folders."""
        for folder in self.folders.values():
            shutil.rmtree(folder)


def stored_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
