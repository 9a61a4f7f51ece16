"""The figures as Markdown."""

from pathlib import Path

from bench.results import LIMIT, SELF, Place, Results

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
DATA = {"pages": "Pages", "small": "Small blocks"}
CODECS = {"zlib": "compressed, level 6", "none": "plain"}
MEMORY = ("write", "read")
VERSIONS = ("Python", "smartpipe", "zlib-ng", "LMDB", "SQLite", "FastWARC")
OWN = (SELF, "smartpipe, format 1", LIMIT)
# Differences below are noise.
EQUAL = 0.95


def markdown(results: Results) -> str:
    """Return the whole section: where it was measured, goals, tables, and where smartpipe loses."""
    parts = [header(results), goals(results)]
    for data, codec in dict.fromkeys((place.data, place.codec) for place in results.places()):
        parts.append(table(results, data, codec))
    parts.append(losses(results))
    return "\n\n".join(parts)


def header(results: Results) -> str:
    commit = results.commit[:12] + (" with changes that were not committed" if results.dirty else "")
    pages = results.extra[Place("pages", "zlib", "write"), SELF]
    small = results.extra[Place("small", "zlib", "write"), SELF]
    machine = results.machine
    versions = ", ".join(f"{name} {machine[name]}" for name in VERSIONS)
    lines = [
        f"Measured {results.date} at {commit}: {results.rounds()} rounds on {results.cpu}, ",
        f"{machine['memory']}, {machine['system']}, {machine['file system']}, load {machine['load']} at the end. ",
        f"{versions}. ",
        f"Pages: {pages['blocks']:,} blocks, {pages['raw'] / 1e6:.1f} MB of pairs. ",
        f"Small blocks: {small['blocks']:,}, {small['raw'] / 1e6:.1f} MB.",
    ]
    return "".join(lines)


def goals(results: Results) -> str:
    lines = ["| goal | measured | |", "|---|---|---|"]
    for goal in results.goals():
        lines.append(f"| {goal.promise} | {goal.measured} | {'reached' if goal.reached else '**short**'} |")
    return "\n".join(lines)


def table(results: Results, data: str, codec: str) -> str:
    """A row per rival: a workload a column, then the size on disk and the peak memory."""
    places = [place for place in results.places() if (place.data, place.codec) == (data, codec)]
    names = [place.workload for place in places]
    title = f"**{DATA[data]}, {CODECS[codec]}**"
    lines = [f"| | {' | '.join(names)} | on disk | memory to write | to read |", "|---" * (len(names) + 4) + "|"]
    for rival in results.rivals():
        cells = [speed(results, place, rival) for place in places]
        write = results.extra.get((Place(data, codec, "write"), rival), {})
        cells.append(size(write.get("stored") or None))
        for workload in MEMORY:
            cells.append(size(results.extra.get((Place(data, codec, workload), rival), {}).get("memory")))
        lines.append(f"| {rival} | {' | '.join(cells)} |")
    return f"{title}\n\n" + "\n".join(lines)


def speed(results: Results, place: Place, rival: str) -> str:
    if (place, rival) not in results.times:
        return "–"
    figure = results.speed(place, rival)
    return figure if rival == SELF else f"{figure} ({results.ratio(place, rival):.2f})"


def size(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:,.1f} MB"


def losses(results: Results) -> str:
    """Every case in which a rival is faster or smaller."""
    lines = []
    for place in results.places():
        faster = {
            rival: 1 / results.ratio(place, rival)
            for rival in results.rivals()
            if rival not in OWN and (place, rival) in results.times and results.ratio(place, rival) < EQUAL
        }
        if faster:
            who = ", ".join(f"{rival} {times:.1f} ×" for rival, times in faster.items())
            lines.append(f"- {place.workload}, {DATA[place.data].lower()}, {CODECS[place.codec]}: {who} as fast")
    for place in results.places():
        if place.workload == "write":
            own = results.extra[place, SELF]["stored"]
            smaller = {
                rival: results.extra[place, rival]["stored"] / own
                for rival in results.rivals()
                if rival not in OWN and results.extra[place, rival]["stored"] < own
            }
            if smaller:
                who = ", ".join(f"{rival} {part:.2f} ×" for rival, part in smaller.items())
                lines.append(f"- on disk, {DATA[place.data].lower()}, {CODECS[place.codec]}: {who} the size")
    return "**Where smartpipe loses**\n\n" + ("\n".join(lines) or "Nowhere in this run.")


def publish(text: str, page: Path) -> None:
    """Put the section between the markers of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: no {BEGIN} … {END} to put the figures between")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
