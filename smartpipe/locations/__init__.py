"""Places that keep values under keys: in named files, packed in shards, in memory. docs/locations.md."""

from smartpipe.locations.files import Files
from smartpipe.locations.location import Content, Location, opened
from smartpipe.locations.memory import Memory
from smartpipe.locations.shards import Shards

__all__ = ["Content", "Files", "Location", "Memory", "Shards", "opened"]
