"""The figures of a run: medians, spread, and ratios, which are medians of the ratios of the rounds."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench.workloads import Entrant, Workload, workloads

Figure = dict[str, float | int | str]


class Results:
    """What a run measured, from the file that it was kept in."""

    def __init__(self, path: Path) -> None:
        found = json.loads(path.read_text())
        self.machine: dict[str, str] = found["machine"]
        self.quick: bool = found["quick"]
        self.workloads = {workload.name: workload for workload in workloads(self.quick)}
        self.figures: dict[tuple[str, str], list[Figure]] = defaultdict(list)
        self.absent: dict[tuple[str, str], str] = {}
        for figure in found["figures"]:
            place = str(figure["workload"]), str(figure["entrant"])
            if "absent" in figure:
                self.absent[place] = str(figure["absent"])
            else:
                self.figures[place].append(figure)

    def measured(self, workload: str, entrant: str) -> bool:
        return (workload, entrant) in self.figures

    def values(self, workload: str, entrant: str, field: str = "seconds") -> list[float]:
        """A field of each round."""
        return [float(figure[field]) for figure in self.figures[workload, entrant]]

    def median(self, workload: str, entrant: str, field: str = "seconds") -> float:
        return median(self.values(workload, entrant, field))

    def has(self, workload: str, entrant: str, field: str) -> bool:
        return self.measured(workload, entrant) and field in self.figures[workload, entrant][0]

    def amount(self, workload: str, entrant: str, field: str) -> int:
        """What was handled or stored: the same in every round."""
        return int(self.figures[workload, entrant][-1][field])

    def ratio(self, workload: str, entrant: str, other: str, field: str = "seconds") -> float:
        """How many times as fast as the other the entrant is."""
        return median(self.ratios(workload, entrant, other, field))

    def ratios(self, workload: str, entrant: str, other: str, field: str = "seconds") -> list[float]:
        """The same of each round; where not all do as many blocks, of a block each."""

        def values(name: str) -> dict[int, float]:
            found = self.figures[workload, name]
            if field == "seconds":
                return {int(each["round"]): float(each[field]) / int(each.get("blocks", 1)) for each in found}
            return {int(each["round"]): float(each[field]) for each in found}

        ours, theirs = values(entrant), values(other)
        return [theirs[round] / ours[round] for round in ours if round in theirs]

    def processor_ratio(self, workload: str, entrant: str, other: str) -> float:
        """The same in processor time, to which neither the disk nor other work on the machine adds much."""

        def times(name: str) -> dict[int, float]:
            return {int(f["round"]): float(f["seconds"]) * float(f["cores"]) for f in self.figures[workload, name]}

        ours, theirs = times(entrant), times(other)
        return median(theirs[round] / ours[round] for round in ours if round in theirs)

    def speeds(self, workload: Workload, entrant: Entrant) -> list[float]:
        """What the tables show, of each round: a speed or a time, in the unit of the workload."""
        place = workload.name, entrant.name
        seconds = self.values(*place)
        if workload.unit == "MB/s":
            return [self.amount(*place, "raw") / value / 1e6 for value in seconds]
        if workload.unit == "million pairs/s":
            return [self.amount(*place, "pairs") / value / 1e6 for value in seconds]
        if workload.unit == "ms":
            return [value * 1e3 for value in seconds]
        if entrant.action in ("get", "pair"):
            return [value * 1e6 for value in seconds]
        return [value / self.amount(*place, "blocks") * 1e6 for value in seconds]

    def rounds(self) -> int:
        return max((len(figures) for figures in self.figures.values()), default=0)
