"""`python -m torture --hours H [--seed S] [--write]`: all rows, as many cases as the time allows, and their figures.

Exit code 1 where anything was found. With --write the table takes the place of the one in docs/durability.md.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from torture import rows
from torture.harness import Figures
from torture.rows import NotRun

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "durability.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
MIB = 1 << 20
SHOWN = 3  # failures of a row
LONGEST = 4000  # characters of one

HEAD = """\
| test | done | acknowledged blocks lost | wrong bytes | crashes, hangs, failed tests | seconds | peak memory |
|---|---|---|---|---|---|---|
"""


def line(figures: Figures | NotRun) -> str:
    """The line of a row in the table."""
    if isinstance(figures, NotRun):
        return f"| {figures.name} | not in this run: {figures.reason} | | | | | |\n"
    goal = f" of {figures.goal:,}" if figures.goal else ""
    memory = f"{figures.peak / MIB:.0f} MiB" if figures.peak else ""
    counts = f"{figures.lost} | {figures.wrong} | {figures.crashes}"
    return (
        f"| {figures.name} | {figures.cases:,}{goal} {figures.unit} | {counts} | {figures.seconds:,.0f} | {memory} |\n"
    )


def table(found: list[Figures | NotRun], about: str) -> str:
    return f"{about}\n\n{HEAD}{''.join(map(line, found))}"


def about(hours: float, seed: int) -> str:
    """When and what was run."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    changed = " with uncommitted changes" if git("status", "--porcelain", "--", "csrc", "smartpipe", "tests") else ""
    return f"{date}, commit {commit}{changed}, seed {seed}, {hours:g} hours on {rows.machine()}."


def git(*arguments: str) -> str:
    process = subprocess.run(["git", *arguments], cwd=HOME, capture_output=True, text=True, check=False)
    return process.stdout.strip()


def write(text: str, page: Path) -> None:
    """Put the table where the page has one."""
    content = page.read_text()
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def run(hours: float, seed: int, page: Path | None) -> int:
    """Run everything; 1 where something was found."""
    found: list[Figures | NotRun] = []

    def tell(figures: Figures | NotRun) -> None:
        found.append(figures)
        print(line(figures), end="", flush=True)
        if isinstance(figures, Figures):
            for failure in figures.failures[:SHOWN]:
                cut = len(failure) - LONGEST
                print(failure if cut <= 0 else f"{failure[:200]}\n…\n{failure[cut + 200 :]}", flush=True)
            if len(figures.failures) > SHOWN:
                print(f"and {len(figures.failures) - SHOWN} more", flush=True)

    rows.run_all(hours, seed, tell)
    text = table(found, about(hours, seed))
    print(f"\n{text}", flush=True)
    if page is not None:
        write(text, page)
    return 0 if all(figures.good for figures in found if isinstance(figures, Figures)) else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description="Break pipes on purpose, and count.")
    parser.add_argument("--hours", type=float, default=1.0, help="about how long to run (1)")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other cases (1)")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(HOME)}")
    arguments = parser.parse_args()
    return run(arguments.hours, arguments.seed, PAGE if arguments.write else None)


if __name__ == "__main__":
    sys.exit(main())
