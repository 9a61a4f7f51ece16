"""The figures as Markdown."""

from pathlib import Path
from statistics import median

from bench.goals import goals
from bench.results import Results
from bench.workloads import Entrant, Workload

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
# Differences below are noise.
EQUAL = 1.05
SIZE_EQUAL = 1.01


def markdown(results: Results) -> str:
    """Return the whole section: where it was measured, goals, tables, and where smartpipe loses."""
    parts = [header(results), "### Goals", goal_table(results), "### Figures", HOW]
    for workload in results.workloads.values():
        if any(results.measured(workload.name, entrant.name) for entrant in workload.entrants):
            parts.append(table(results, workload))
    parts += ["### Where smartpipe loses", losses(results)]
    return "\n\n".join(parts)


HOW = """\
Medians of the rounds, and in brackets the lowest and the highest. *Of smartpipe* is how many times as fast a row is
as smartpipe's first row, or its row for the same: the median of the ratios of the rounds, and above 1 it is faster
than smartpipe. *On disk* are all files, of artifacts and Python values what they and their folders take of it; *files*
counts both; *memory* is the growth at its peak, mapped files included, *cores* the processor time by the time. Rows in
italics are no contenders, but what lies beneath."""


def header(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {machine[name]}" for name in machine if name not in PLACE)
    rounds = results.rounds()
    run = f"`{machine['command']}`, {rounds} round{'s' * (rounds > 1)}, {machine['date']}, at {machine['commit']}"
    where = ", ".join(machine[name] for name in ("processor", "memory", "system", "file system"))
    return f"{run}. {where}, load {machine['load']} at the beginning. {machine['corpus']}. {versions}."


PLACE = ("command", "date", "commit", "processor", "memory", "system", "file system", "load", "corpus")


def goal_table(results: Results) -> str:
    lines = ["| goal | measured | |", "|---|---|---|"]
    for goal in goals(results):
        state = f"**{goal.state}**" if goal.state == "short" else goal.state
        lines.append(f"| {goal.promise} | {goal.figure} | {state} |")
    return "\n".join(lines)


def table(results: Results, workload: Workload) -> str:
    """A row per entrant, the fastest of a group of its own first."""
    extra = [name for name in COLUMNS if any(shown(results, workload, entrant, name) for entrant in workload.entrants)]
    first = base(workload)
    head = f"| {workload.title} | {workload.unit} | of {first.name} | " + " | ".join(COLUMNS[name] for name in extra)
    lines = [head + " |", "|---" * (len(extra) + 3) + "|"]
    for entrant in workload.entrants:
        name = f"*{entrant.name}*" if entrant.limit else entrant.name
        place = workload.name, entrant.name
        if place in results.absent:
            lines.append(f"| {name} | {short(results.absent[place])} |" + " |" * (len(extra) + 1))
        elif results.measured(*place):
            cells = [speed(results, workload, entrant), relative(results, workload, entrant)]
            cells += [cell(results, workload, entrant, column) for column in extra]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


COLUMNS = {
    "stored": "on disk",
    "files": "files",
    "memory": "memory",
    "anonymous": "anonymous memory",
    "length": "len",
    "lookup": "lookup",
    "get": "get",
    "cores": "cores",
}


def shown(results: Results, workload: Workload, entrant: Entrant, column: str) -> bool:
    if column == "anonymous" and workload.data != "keys":
        return False
    if column == "stored" and workload.data != "artifacts" and not any(each.fills for each in workload.entrants):
        return False
    return results.has(workload.name, entrant.name, column)


def cell(results: Results, workload: Workload, entrant: Entrant, column: str) -> str:
    if not shown(results, workload, entrant, column) or (entrant.limit and column == "stored"):
        return "–"
    value = results.median(workload.name, entrant.name, column)
    if column == "cores":
        return f"{value:.2f}"
    if column in ("length", "lookup", "get"):
        return f"{number(value * 1e6)} µs"
    if column == "files":
        return f"{value:,.0f}"
    return f"{value / 1e6:,.1f} MB"


def base(workload: Workload) -> Entrant:
    """What the rows of a table are compared with."""
    return workload.entrants[0]


def opponent(workload: Workload, entrant: Entrant) -> Entrant:
    """What one entrant is compared with: smartpipe, doing the same on as many blocks, compressed where that is."""
    own = [other for other in workload.entrants if other.own]
    same = [other for other in own if comparable(entrant, other)]
    packed = [other for other in same if (other.codec == "none") == (entrant.codec == "none")]
    return next(iter((*packed, *same)), own[0])


def relative(results: Results, workload: Workload, entrant: Entrant) -> str:
    other = base(workload) if workload.data not in ("keys", "artifacts", "objects") else opponent(workload, entrant)
    if entrant.action in ("get", "pair"):
        other = opponent(workload, entrant)
    if entrant == other or not results.measured(workload.name, other.name):
        return "–"
    return number(results.ratio(workload.name, entrant.name, other.name))


def speed(results: Results, workload: Workload, entrant: Entrant) -> str:
    values = sorted(results.speeds(workload, entrant))
    middle = number(median(values))
    return f"{middle} ({number(values[0])}–{number(values[-1])})" if len(values) > 1 else middle


def number(value: float) -> str:
    """Three digits, and never an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def short(reason: str) -> str:
    """Why there is nothing, without the details in brackets."""
    return reason.partition(" (")[0]


def losses(results: Results) -> str:
    """Every workload in which a contender is faster than the best of smartpipe on as many threads, or smaller."""
    lines = []
    for workload in results.workloads.values():
        found: dict[str, float] = {}
        for entrant in workload.entrants:
            if entrant.limit or entrant.own or not results.measured(workload.name, entrant.name):
                continue
            own = [
                other
                for other in workload.entrants
                if other.own
                and results.measured(workload.name, other.name)
                and other.threads <= entrant.threads
                and comparable(entrant, other)
            ]
            if own:
                best = max(results.ratio(workload.name, other.name, entrant.name) for other in own)
                if best * EQUAL < 1:
                    found[entrant.name] = 1 / best
        if found:
            ranked = sorted(found.items(), key=lambda item: -item[1])
            who = ", ".join(f"{name} {number(times)} ×" for name, times in ranked)
            lines.append(f"- {workload.title}: {who} as fast")
    lines += [line for name in ("write-plain", "write-compressed", "write-small") if (line := smaller(results, name))]
    return "\n".join(lines) or "Nowhere in this run."


def comparable(entrant: Entrant, other: Entrant) -> bool:
    """Whether a contender and smartpipe did the same: by key and by columns that is another action."""
    if entrant.action in ("get", "pair", "columns", "read", "select") and entrant.action != other.action:
        return False
    return (entrant.count, entrant.processes) == (other.count, other.processes)


def smaller(results: Results, name: str) -> str:
    """Who needs less of the disk than the smallest of smartpipe's."""
    workload = results.workloads[name]
    sizes = {
        entrant: results.amount(name, entrant.name, "stored")
        for entrant in workload.entrants
        if not entrant.limit and results.measured(name, entrant.name)
    }
    own = min((size for entrant, size in sizes.items() if entrant.own), default=0)
    found = {entrant.name: size / own for entrant, size in sizes.items() if own and size * SIZE_EQUAL < own}
    who = ", ".join(f"{entrant} {part:.2f} ×" for entrant, part in sorted(found.items(), key=lambda item: item[1]))
    return f"- On disk, {workload.title.lower()}: {who} the size" if who else ""


def publish(text: str, page: Path) -> None:
    """Put the section between the markers of a page."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: no {BEGIN} … {END} to put the figures between")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
