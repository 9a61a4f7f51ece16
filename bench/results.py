"""The figures of a run, from the file that pytest-benchmark wrote."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.cases import CODECS, WORKLOADS
from bench.rivals import RIVALS

SELF = "smartpipe"
LIMIT = "limit"


@dataclass(frozen=True)
class Place:
    """What is compared with one another: a kind of data, a codec and a workload."""

    data: str
    codec: str
    workload: str


@dataclass(frozen=True)
class Goal:
    """Something that was promised, and what came out."""

    promise: str
    measured: str
    reached: bool


class Results:
    """Medians and ratios. A ratio is the median of the ratios of the rounds: what else runs here moves it little."""

    def __init__(self, path: Path) -> None:
        found = json.loads(path.read_text())
        self.machine: dict[str, str] = found["machine_info"]["bench"]
        cpu = found["machine_info"]["cpu"]
        self.cpu = f"{cpu['count']} × {cpu.get('brand_raw', 'unknown')}"
        self.commit: str = found["commit_info"]["id"]
        self.dirty: bool = found["commit_info"]["dirty"]
        self.date: str = found["datetime"][:10]
        self.times: dict[tuple[Place, str], list[float]] = defaultdict(list)
        self.processor: dict[tuple[Place, str], list[float]] = defaultdict(list)
        self.extra: dict[tuple[Place, str], dict[str, int]] = defaultdict(dict)
        self.starts: dict[str, list[float]] = defaultdict(list)
        self.inflated = 0
        for test in found["benchmarks"]:
            self.take(test["extra_info"], test["stats"]["data"])

    def take(self, extra: dict[str, int | float | str], times: list[float]) -> None:
        if "rival" in extra:
            place = Place(str(extra["data"]), str(extra["codec"]), str(extra["workload"]))
            case = place, str(extra["rival"])
            self.times[case].extend(times)
            self.processor[case].append(float(extra["processor"]))
            self.extra[case].update({name: value for name, value in extra.items() if isinstance(value, int)})
        elif "program" in extra:
            self.starts[str(extra["program"])].extend(times)
        else:
            self.inflated = int(extra["inflated"])

    def rounds(self) -> int:
        """How often each case was measured."""
        return max(map(len, self.times.values()))

    def places(self) -> list[Place]:
        """What was compared, in the order of the tables."""
        return [
            Place(data, codec, workload) for data, names in WORKLOADS.items() for codec in CODECS for workload in names
        ]

    def rivals(self) -> list[str]:
        """Who was compared."""
        return [rival.name for rival in RIVALS]

    def speed(self, place: Place, rival: str) -> str:
        """The median of a case: MB of pairs a second for all pages, µs a block for everything else."""
        seconds = median(self.times[place, rival])
        extra = self.extra[place, rival]
        if place.data == "pages" and place.workload in ("write", "read"):
            return f"{extra['raw'] / seconds / 1e6:,.0f} MB/s"
        return f"{seconds / extra['blocks'] * 1e6:,.2f} µs"

    def ratio(self, place: Place, rival: str) -> float:
        """How many times as fast as the rival smartpipe is."""
        return middle_ratio(self.times[place, rival], self.times[place, SELF])

    def processor_ratio(self, place: Place, rival: str) -> float:
        """The same in processor time, which neither the disk nor other work on the machine adds to."""
        return middle_ratio(self.processor[place, rival], self.processor[place, SELF])

    def goals(self) -> list[Goal]:
        """What the issue promises, reached or short."""
        goals = []
        for workload, verb in (("write", "writing"), ("read", "reading all pairs of")):
            place = Place("pages", "zlib", workload)
            ratio, processor = self.ratio(place, LIMIT), self.processor_ratio(place, LIMIT)
            promise = f"{verb} compressed pages at 0.9 × the speed of zlib-ng's Python API alone, or more"
            measured = f"{ratio:.2f} ×, {processor:.2f} × in processor time"
            # Both, so that no other work on the machine lets it seem reached.
            goals.append(Goal(promise, measured, min(ratio, processor) >= 0.9))
        # The fastest start of each: whatever else runs on the machine only ever makes one slower.
        cost = 1000 * (min(self.starts["import"]) - min(self.starts["interpreter"]))
        goals.append(Goal("`import smartpipe` in under 30 ms more than the interpreter", f"{cost:.1f} ms", cost < 30))
        promise = "one small pair of a block with a page of 1 MiB inflates under 20 KB"
        goals.append(Goal(promise, f"{self.inflated:,} bytes", self.inflated < 20_000))
        return goals


def middle_ratio(theirs: list[float], ours: list[float]) -> float:
    """The median of the ratios of the rounds."""
    return median(their / our for their, our in zip(theirs, ours, strict=True))
