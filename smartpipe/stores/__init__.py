"""Stores of Python values on any location. docs/artifacts.md."""

from smartpipe.stores.accessor import Accessor
from smartpipe.stores.archive import Archive, Artifact, Record
from smartpipe.stores.artifacts import ArtifactStore
from smartpipe.stores.reports import ArtifactCopyReport, ArtifactGcReport, ArtifactStats, ArtifactVerifyReport, Problem
from smartpipe.stores.serializers import Arrow, Json, Numpy, Pickle, Raw, Serializer

__all__ = [
    "Accessor",
    "Archive",
    "Arrow",
    "Artifact",
    "ArtifactCopyReport",
    "ArtifactGcReport",
    "ArtifactStats",
    "ArtifactStore",
    "ArtifactVerifyReport",
    "Json",
    "Numpy",
    "Pickle",
    "Problem",
    "Raw",
    "Record",
    "Serializer",
]
