"""The ratios as bar charts."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import CODECS
from bench.results import SELF, Place, Results

# Colours that differ for the colour-blind too (Okabe and Ito).
COLOURS = ("#999999", "#000000", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73")
WIDTH = 0.12


def draw(results: Results, codec: str, path: Path) -> None:
    """Draw for one codec how many times as fast as each rival smartpipe is, and save it as SVG."""
    places = [place for place in results.places() if place.codec == codec]
    rivals = [rival for rival in results.rivals() if rival != SELF]
    with mpl.rc_context({"svg.hashsalt": "smartpipe", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, rival in enumerate(rivals):
            bars(axes, results, places, rival, number)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log", base=2)
        axes.set_ylabel("smartpipe's speed / the rival's")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xticks(range(len(places)), [f"{place.workload}\n{place.data}" for place in places])
        axes.set_title(f"{CODECS[codec]}: above 1 smartpipe is faster, below 1 slower")
        axes.legend(ncols=1, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})


def bars(axes: Axes, results: Results, places: list[Place], rival: str, number: int) -> None:
    """The bars of one rival; those who do not do a workload leave their place empty."""
    there = [(at, results.ratio(place, rival)) for at, place in enumerate(places) if (place, rival) in results.times]
    left = [at + (number - 3) * WIDTH for at, _ in there]
    # Bars grow from 1, up or down.
    heights = [ratio - 1 for _, ratio in there]
    axes.bar(left, heights, WIDTH, bottom=1, label=rival, color=COLOURS[number])
