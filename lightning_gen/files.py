"""Files that are complete or absent, whatever kills the process that writes them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator

from lightning_gen.errors import UserError


@contextlib.contextmanager
def complete(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name in the same folder to write to, which becomes ``path`` when the block ends well, and is gone when it does not.

    It keeps the suffix, by which some writers choose a format.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    partial = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
