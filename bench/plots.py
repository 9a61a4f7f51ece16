"""The figures as charts, each as PNG and as SVG."""

from pathlib import Path
from textwrap import fill

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from bench.results import Results
from bench.workloads import Entrant, Workload

# Colours that differ for the colour-blind too (Okabe and Ito).
OWN, OTHER, BENEATH = "#0072B2", "#E69F00", "#BBBBBB"
LINES = {"smartpipe": OWN, "original": "#D55E00", "LMDB": "#009E73"}

# A chart and the workloads side by side in it.
CHARTS = {
    "plain": ("write-plain", "read-plain"),
    "compressed": ("write-compressed", "read-compressed"),
    "parts": ("select-plain", "select-compressed"),
    "by-key": ("key-plain", "key-compressed"),
    "small-pairs": ("write-small", "read-small"),
    "artifacts-write": ("artifacts-put", "artifacts-put-many"),
    "artifacts-read": ("artifacts-get", "artifacts-items"),
    "artifacts-delete": ("artifacts-delete", "artifacts-compact"),
    "objects-write": ("objects-write",),
    "objects-read": ("objects-read", "objects-get", "objects-cold"),
}
ROW = 0.22  # inches of a bar
WIDTH = 80  # characters of all titles side by side


def draw(results: Results, folder: Path) -> None:
    """Draw everything that was measured into a folder."""
    style = {"svg.hashsalt": "smartpipe", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        for name, names in CHARTS.items():
            workloads = [results.workloads[each] for each in names if entrants(results, results.workloads[each])]
            if workloads:
                save(bars(results, workloads), folder / name)
        if entrants(results, results.workloads["grow-write"]) and entrants(results, results.workloads["grow-read"]):
            save(growth(results), folder / "growth")


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=110, metadata={"Software": None})


def entrants(results: Results, workload: Workload) -> list[Entrant]:
    return [entrant for entrant in workload.entrants if results.measured(workload.name, entrant.name)]


def bars(results: Results, workloads: list[Workload]) -> Figure:
    """Workloads side by side, a bar for each entrant, the best on top, a line from the lowest round to the highest."""
    most = max(len(entrants(results, workload)) for workload in workloads)
    figure = Figure(figsize=(13, 1.4 + ROW * most), layout="constrained")
    for axes, workload in zip(figure.subplots(1, len(workloads), squeeze=False)[0], workloads, strict=True):
        panel(axes, results, workload, WIDTH // len(workloads))
    figure.suptitle("blue: smartpipe, yellow: others, grey: what lies beneath", fontsize=9)
    return figure


def panel(axes: Axes, results: Results, workload: Workload, width: int) -> None:
    less_is_better = workload.unit in ("µs", "ms")
    rows = [(entrant, sorted(results.speeds(workload, entrant))) for entrant in entrants(results, workload)]
    rows.sort(key=lambda row: row[1][len(row[1]) // 2], reverse=less_is_better)
    for place, (entrant, values) in enumerate(rows):
        middle = values[len(values) // 2]
        colour = OWN if entrant.own else BENEATH if entrant.limit else OTHER
        axes.barh(place, middle, color=colour)
        axes.plot([values[0], values[-1]], [place, place], color="black", linewidth=1)
        label = f"{middle:,.0f}" if middle >= 10 else f"{middle:.2f}"
        axes.annotate(
            label, (max(middle, values[-1]), place), (3, 0), textcoords="offset points", va="center", fontsize=8
        )
    # What lies beneath may be ten times as fast as everybody.
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12, y=0.01)
    axes.set_yticks(range(len(rows)), [entrant.name for entrant, _ in rows])
    better = "less is better" if less_is_better else "more is better"
    axes.set_xlabel(f"{workload.unit}, {better}, logarithmic")
    axes.set_title(fill(workload.title, width), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def growth(results: Results) -> Figure:
    """What a block costs by the number of blocks."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("grow-write", "grow-read"), strict=True):
        workload = results.workloads[name]
        for who, colour in LINES.items():
            found = [entrant for entrant in entrants(results, workload) if entrant.name.startswith(who)]
            counts = [entrant.count for entrant in found]
            values = [sorted(results.speeds(workload, entrant)) for entrant in found]
            axes.plot(counts, [each[len(each) // 2] for each in values], "o-", color=colour, label=who)
            axes.fill_between(
                counts, [each[0] for each in values], [each[-1] for each in values], color=colour, alpha=0.2
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("blocks")
        axes.set_ylabel("µs a block")
        axes.set_title(workload.title, fontsize=10)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
