"""``python -m lightning_gen.cli.sweep_process COMMAND ...``: a command that does not outlive the sweep which started it.

The sweep holds the other end of its standard input and writes nothing there. When the sweep is gone, however it ended, the input ends, and
the process is told to stop as by SIGTERM: ``fit`` then saves itself. Processes that ``fit`` starts share the input.
"""

from __future__ import annotations

import os
import signal
import threading

from lightning_gen.cli import main


def stop_with_parent() -> None:
    """Have this process told to stop when its standard input ends."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter exits.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    stop_with_parent()
    main()
