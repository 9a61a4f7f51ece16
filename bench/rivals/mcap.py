"""MCAP: a channel per pair key and one for the block's key; the messages of a block share a time, its number."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from mcap.reader import SeekingReader
from mcap.writer import CompressionType, Writer

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store

KINDS = {"none": CompressionType.NONE, "zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}
KEY = " key"


class Messages(Rival):
    """A file of messages in chunks of 1 MiB."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        with open(folder / "blocks.mcap", "wb") as file:
            writer = Writer(file, compression=KINDS[self.form.codec])
            writer.start()
            channels = {KEY.encode(): writer.register_channel(KEY, "", 0)}
            for number, (key, pairs) in enumerate(blocks):
                writer.add_message(channels[KEY.encode()], number, key, number)
                for name, value in pairs.items():
                    if name not in channels:
                        channels[name] = writer.register_channel(name.decode(), "", 0)
                    writer.add_message(channels[name], number, value, number)
            writer.finish()

    def open(self, folder: Path) -> Store:
        return MessageStore(folder / "blocks.mcap")


class MessageStore(Store):
    """Messages that are read. There is no way to one by a key."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.reader = SeekingReader(self.file)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        messages = self.reader.iter_messages(log_time_order=False)
        for _, group in groupby(messages, lambda found: found[2].log_time):
            (_, _, first), *rest = group
            yield first.data, [(channel.topic.encode(), message.data) for _, channel, message in rest]

    def select(self, name: bytes) -> Iterator[bytes]:
        for _, _, message in self.reader.iter_messages(topics=name.decode(), log_time_order=False):
            yield message.data

    def close(self) -> None:
        self.file.close()
