"""`smartpipe artifacts` and its commands"""

from __future__ import annotations

import json
import os
from typing import Any

import click

import smartpipe
from smartpipe.cli import output
from smartpipe.cli.arguments import PATH, grace_option, json_option
from smartpipe.cli.bar import bar
from smartpipe.cli.keys import show_text
from smartpipe.cli.store import writing_options
from smartpipe.locations import Files, Location, Shards
from smartpipe.operations.files import check_folder, is_below
from smartpipe.shards.folder import STORE, open_folder
from smartpipe.stores import Accessor, ArtifactCopyReport, ArtifactStore
from smartpipe.stores.artifacts import GRACE

READING = frozenset({"contents", "labels"})
"""The abilities of a place that a command only reads."""

place_argument = click.argument("path", metavar="PLACE", type=PATH)


@click.group()
def artifacts() -> None:
    """Stores of Python values, as files or packed in shards.

    A PLACE is a folder: a store of shards, or else a tree of files.
    """


@artifacts.command()
@click.argument("root", type=PATH)
@click.argument("path", metavar="STORE", type=PATH)
@writing_options
@click.pass_context
def pack(context: click.Context, root: str, path: str, overwrite: bool, options: dict[str, Any]) -> None:
    """Pack a tree of files into a store of shards.

    Every file below ROOT becomes a value, also those that are no artifacts and archives, so that `unpack` makes the
    same tree again. Links and whatever else is no file are left out, with a warning; folders without files, times and
    permissions are not kept. STORE is begun where there is none; what it has already is kept, so that an interrupted
    run is simply run again. A file that can not be packed is an error, also where STORE has another content under its
    key; the others are packed.
    """
    check_folder(root)
    if _is_shards(root):
        raise smartpipe.FormatError("this is a store of shards, not a tree of files", path=root)
    if is_below(path, root):
        raise ValueError(f"{path}: the store would lie in the folder that it is made from, {root}")
    if not path:
        raise ValueError("the path of the store is empty")
    with Shards(path, **options) as target:
        target.store  # noqa: B018  begins it, or says what else is there
        _copy(context, "pack", _reading(Files(root)), target, path, overwrite)


@artifacts.command()
@click.argument("path", metavar="STORE", type=PATH)
@click.argument("root", type=PATH)
@click.option("--overwrite", is_flag=True, help="Let this content count where ROOT has another.")
@click.pass_context
def unpack(context: click.Context, path: str, root: str, overwrite: bool) -> None:
    """Write a store of shards as a tree of files.

    Each value becomes a file below ROOT, whose path is the key. What is there with the same content is kept. A value
    that can not be a file is an error, also where ROOT has another content under its key; the others are written.
    """
    if not root:
        raise ValueError("the path of the folder is empty")
    if os.path.lexists(root):
        check_folder(root)
        if _is_shards(root):
            raise smartpipe.FormatError("this is a store of shards, not a tree of files", path=root)
    open_folder(path, False)
    with Shards(path, mode="r") as source, Files(root) as target:
        _copy(context, "unpack", source, target, root, overwrite)


def _copy(context: click.Context, what: str, source: Location, target: Location, path: str, overwrite: bool) -> None:
    with bar(what, unit="bytes") as progress:
        report = ArtifactStore(source).copy_to(
            target, overwrite=overwrite, on_error=output.complain_of, progress=progress
        )
    output.line(f"{path}: {report.values:,} values, {report.bytes:,} bytes{_details(report)}")
    context.exit(1 if report.failed else 0)


def _details(report: ArtifactCopyReport) -> str:
    details = f": {report.artifacts:,} artifacts, {report.archives:,} archives"
    if report.gone:
        details += f"; {len(report.gone):,} removed meanwhile"
    if report.left:
        details += f"; {len(report.left):,} combined archives left out, which are made anew when they are read"
    if report.failed:
        details += f"; {report.failed:,} failed"
    return details


@artifacts.command()
@place_argument
@click.argument("flow", required=False)
@click.argument("execution", required=False)
@click.argument("layer", required=False)
@json_option
def ls(path: str, flow: str | None, execution: str | None, layer: str | None, as_json: bool) -> None:
    """List flows, executions, layers or artifacts.

    Without FLOW the flows, with it its executions, then the layers of an EXECUTION, and the names of the artifacts of
    a LAYER.
    """
    with _opened(path) as store:
        if flow is None:
            what, names = "flow", store.list_flows()
        elif execution is None:
            what, names = "execution", store.list_executions(flow=flow)
            if not names and flow not in store.list_flows():
                raise _missing(path, f"there is no flow {flow!r}")
        elif layer is None:
            what, names = "layer", store.list_layers(flow=flow, execution=execution)
            if not names:
                raise _missing(path, f"the flow {flow!r} has no execution {execution!r}")
        else:
            what, names = "artifact", store.list_artifacts(flow=flow, execution=execution, layer=layer)
            if not names:
                raise _missing(path, f"the execution {execution!r} of the flow {flow!r} has no layer {layer!r}")
    for name in names:
        if as_json:
            output.json_line({what: name})
        else:
            output.line(show_text(name))


def _missing(path: str, reason: str) -> smartpipe.SmartPipeError:
    return smartpipe.ArtifactNotFound(reason, path=path)


@artifacts.command()
@place_argument
@click.argument("flow")
@click.argument("execution")
@click.argument("layer")
@click.argument("name")
@click.option("--index", type=click.IntRange(min=0), metavar="N", help="Only what was written with this index.")
@click.option("--at", type=int, metavar="I", help="Only this value, from 0; -1 is the last.")
@click.option("--raw", is_flag=True, help="Write values as they were serialized.")
@click.option("--allow-pickle", is_flag=True, help="Load pickles of any kind. They can run any code.")
def cat(
    path: str,
    flow: str,
    execution: str,
    layer: str,
    name: str,
    index: int | None,
    at: int | None,
    raw: bool,
    allow_pickle: bool,
) -> None:
    """Write the values of an artifact.

    bytes and text as they are, with nothing between; others as lines of JSON, or as Python shows them where JSON has
    no such. All indexes, one after another, or --index; all values or --at. Nothing that is read can run code, unless
    --allow-pickle.
    """
    with _opened(path, allow_pickle=allow_pickle) as store:
        archive = store.read_archive(flow=flow, execution=execution, layer=layer, name=name, index=index)
        values = Accessor(store, flow, archive)
        wanted = archive.artifacts
        if at is not None:
            if not -len(wanted) <= at < len(wanted):
                raise ValueError(f"{path}: there is no value {at}: {name!r} has {len(wanted):,}")
            wanted = (wanted[at],)
        try:
            if raw:
                for artifact in wanted:
                    output.write(store.read_serialized(flow=flow, artifact=artifact))
            else:
                for value in values if at is None else (values[at],):
                    _write_value(value)
        except smartpipe.UnsupportedError as error:
            reason = f"{error.args[0]}; with --allow-pickle it is, and can run any code"
            raise smartpipe.UnsupportedError(reason, path=path, block=error.block) from None


def _write_value(value: object) -> None:
    if isinstance(value, bytes):
        output.write(value)
    elif isinstance(value, str):
        output.write(value.encode("utf-8", "surrogatepass"))
    else:
        output.line(_json(value) if _is_json(value) else repr(value))


def _json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _is_json(value: object) -> bool:
    """Whether JSON has such a value, where a tuple counts as a list."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if type(value) in (list, tuple):
        return all(map(_is_json, value))  # type: ignore[call-overload]
    if type(value) is float:
        return value - value == 0  # neither infinite nor not a number
    return value is None or type(value) in (bool, int, str)


@artifacts.command()
@place_argument
@json_option
def stats(path: str, as_json: bool) -> None:
    """Say how much there is, and what storing equal values once has saved."""
    with _opened(path) as store:
        found = store.stats().as_dict()
    output.numbers(found, as_json)


@artifacts.command()
@place_argument
@click.option("--flow", metavar="FLOW", help="Only this one.")
@grace_option(GRACE)
@json_option
def gc(path: str, flow: str | None, grace: float, as_json: bool) -> None:
    """Remove artifacts that no archive names.

    Also combined archives of which no archives are there any more. Other processes go on meanwhile. In a store of
    shards the room is given back by `smartpipe store compact`.
    """
    with _opened(path, writes=True) as store:
        report = store.gc(flow, grace=grace)
    if as_json:
        output.json_line(report.as_dict())
        return
    output.line(f"{path}: {len(report.removed):,} removed, {report.bytes:,} bytes; {report.waiting:,} wait")


@artifacts.command()
@place_argument
@json_option
@click.pass_context
def verify(context: click.Context, path: str, as_json: bool) -> None:
    """Look at every value, archive and record, and say what is not whole.

    A line for each: key and reason, with a tab between. Nothing is loaded, and nothing changed. The exit code is 0 when
    all is well, 1 when not.
    """
    with _opened(path) as store, bar("verify", unit="bytes") as progress:
        report = store.verify(progress=progress)
    if as_json:
        output.json_line(report.as_dict())
    else:
        state = "all is well" if report.ok else "NOT all is well"
        output.line(
            f"{path}: {state}: {report.artifacts:,} artifacts, {report.archives:,} archives, {report.records:,}"
            f" records, {report.bytes:,} bytes; {report.unnamed:,} artifacts that no archive names"
        )
        for problem in report.problems:
            output.line(f"{show_text(problem.key)}\t{show_text(problem.reason)}")
    context.exit(0 if report.ok else 1)


def _opened(path: str, *, writes: bool = False, allow_pickle: bool = False) -> ArtifactStore:
    """A store of artifacts in a folder that is there."""
    check_folder(path)
    place: Location
    if _is_shards(path):
        open_folder(path, False)
        place = Shards(path) if writes else Shards(path, mode="r")
    else:
        place = Files(path) if writes else _reading(Files(path))
    return ArtifactStore(place, allow_pickle=allow_pickle)


def _is_shards(path: str) -> bool:
    return os.path.isfile(os.path.join(path, STORE))


def _reading(place: Files) -> Files:
    place.abilities = READING
    return place
