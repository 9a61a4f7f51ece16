"""The benchmark as one command: measures, prints, and puts the figures of a full run into docs/benchmarks.md."""

import argparse
import sys
from pathlib import Path

import pytest

from bench.corpus import RESULTS
from bench.plots import draw
from bench.report import CODECS, markdown, publish
from bench.results import Results

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small corpus and three rounds: half a minute")
    parser.add_argument(
        "--corpus", type=Path, help="a folder whose files are the pages, at most 1,000 (default: pydoc's)"
    )
    parser.add_argument("--stores", type=Path, default=RESULTS / "stores", help="where to write (default: %(default)s)")
    options = parser.parse_args()

    RESULTS.mkdir(exist_ok=True)
    figures = RESULTS / "figures.json"
    arguments = [str(HERE), "-q", "--benchmark-quiet", "--benchmark-disable-gc", f"--benchmark-json={figures}"]
    arguments.append(f"--stores={options.stores}")
    if options.quick:
        arguments.append("--quick")
    if options.corpus is not None:
        arguments.append(f"--corpus={options.corpus}")
    code = pytest.main(arguments)
    if code != 0:
        sys.exit(code)

    results = Results(figures)
    text = markdown(results)
    print(f"\n{text}")
    if not options.quick and options.corpus is None:
        publish(text, DOCS / "benchmarks.md")
        for codec in CODECS:
            draw(results, codec, DOCS / f"benchmarks-{codec}.svg")
        print(f"\nIn {DOCS / 'benchmarks.md'} too.")


if __name__ == "__main__":
    main()
