"""`smartpipe crawl`: a web site into a pipe."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from smartpipe import SmartPipeError
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH
from smartpipe.cli.bar import bar

if TYPE_CHECKING:
    from smartpipe.integrations.scrapy import CrawlCounts


@click.command()
@click.argument("url")
@click.option(
    "-o", "--output", "prefix", type=PATH, required=True, metavar="PIPE", help="The pipe; one that exists is continued."
)
@click.option("--max-pages", type=click.IntRange(min=1), metavar="N", help="Stop when the pipe has N pages.")
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Between two requests.  [default: 0.5, and 0 for this machine]",
)
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=8, metavar="N", help="Requests at a time.  [default: 8]"
)
@click.option("--retry", is_flag=True, help="Fetch again what had failed.")
@click.option("--ignore-robots", is_flag=True, help="Fetch also what robots.txt forbids.")
@click.option(
    "--compress", type=click.Choice(["none", "zlib", "zstd", "lz4"]), help="Codec of a new pipe.  [default: zlib]"
)
@click.option(
    "--level",
    type=click.IntRange(1, 9),
    default=6,
    metavar="1-9",
    help="From 1, fastest, to 9, smallest.  [default: 6]",
)
@click.option("--cache", type=PATH, metavar="PIPE", help="Take responses from this pipe, and put new ones there.")
@click.option("-s", "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of Scrapy.")
@click.pass_context
def crawl(
    context: click.Context,
    url: str,
    prefix: str,
    max_pages: int | None,
    delay: float | None,
    concurrency: int,
    retry: bool,
    ignore_robots: bool,
    compress: str | None,
    level: int,
    cache: str | None,
    pairs: tuple[str, ...],
) -> None:
    """Fetch the pages of one site into a pipe, a block each.

    Each block has the pairs raw, response, result, log and, for a page that failed, error. What robots.txt forbids
    is left out. Ctrl-C ends it, and the same command goes on where it stopped.
    """
    settings = dict(_setting(pair) for pair in pairs)
    try:
        from smartpipe.integrations import scrapy
    except ImportError as error:
        raise SmartPipeError(str(error)) from error
    with bar("crawl") as draw:

        def progress(counts: CrawlCounts) -> None:
            if draw is not None:
                done = counts.before + counts.pages + counts.redirects + counts.failures
                found = done + counts.left
                draw(done, found if max_pages is None else min(found, max(done, max_pages)))

        counts = scrapy.crawl(
            url,
            prefix,
            max_pages=max_pages,
            delay=delay,
            concurrency=concurrency,
            retry=retry,
            compress=False if compress == "none" else compress,
            level=level,
            obey_robots=not ignore_robots,
            cache=cache,
            settings=settings,
            progress=progress,
        )
    for line in _report(counts):
        output.line(line)
    if counts.signal is not None:
        name = signal.Signals(counts.signal).name
        click.echo(f"smartpipe: ended by {name}; the same command goes on from here", err=True)
        context.exit(128 + counts.signal)
    if counts.problem is not None:
        raise SmartPipeError(f"{url}: {counts.problem}")


def _setting(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{pair!r}: expected NAME=VALUE", param_hint="--set")
    return name, value


def _report(counts: CrawlCounts) -> list[str]:
    done = [_count(counts.pages, "page")]
    done += [_count(counts.redirects, "redirect")] if counts.redirects else []
    done += [_count(counts.failures, "failure")]
    done += [f"{counts.forbidden:,} forbidden by robots.txt"] if counts.forbidden else []
    rate = (counts.pages + counts.redirects + counts.failures) / counts.seconds
    lines = [f"{', '.join(done)}; {counts.bytes:,} bytes in {counts.seconds:.1f} s ({rate:.1f} a second)"]
    if counts.before:
        lines.append(f"in the pipe before: {_count(counts.before, 'page')}")
    if counts.failing:
        lines.append(f"in the pipe and failed: {_count(counts.failing, 'page')}, --retry fetches them again")
    if counts.left:
        lines.append(f"found and not fetched: {_count(counts.left, 'page')}")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
