"""What an offline W&B run wrote, read back from its file."""

from __future__ import annotations

import json
import pathlib
import struct
import time


def read_records(path: pathlib.Path) -> list:
    """The records of a ``.wandb`` file: a 7-byte header, then LevelDB's log framing in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts, records = path.read_bytes(), 7, b"", []
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


def item_key(item) -> str:
    return item.key or "/".join(item.nested_key)


def history(records) -> list[dict]:
    items = [record.history.item for record in records if record.WhichOneof("record_type") == "history"]
    return [{item_key(item): json.loads(item.value_json) for item in row} for row in items]


def artifacts(records) -> list:
    """The models that were recorded, without the artifacts in which W&B keeps tables."""
    return [record.artifact for record in records if record.HasField("artifact") and record.artifact.type == "model"]


def contents(artifact) -> dict[str, pathlib.Path]:
    """Name -> local file of what an artifact holds."""
    return {entry.path: pathlib.Path(entry.local_path) for entry in artifact.manifest.contents}


def table(folder: pathlib.Path, name: str) -> list[dict]:
    """The rows of the newest table of that name below a run folder."""
    files = folder.glob(f"wandb/offline-run-*/files/media/table/{name}_*.table.json")
    content = json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def sessions(folder: pathlib.Path) -> list[list]:
    """The records of every session of a run folder's run, oldest first."""
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))  # by their time
    return [finished(file) for file in files]


def finished(path: pathlib.Path) -> list:
    """The records of a run that was finished: wandb's own process may still be writing them."""
    for _ in range(600):
        records = read_records(path)
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path}: was not finished within a minute")
