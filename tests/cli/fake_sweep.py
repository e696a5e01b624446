"""``fake_sweep.py FOLDER JOBS OPTION...``: a sweep of one member for each option, such as ``steps=5``, with ``fake_fit.py`` for ``fit``."""

import pathlib
import signal
import sys

from lightning_gen.cli.sweep_member import Member
from lightning_gen.cli.sweep_places import places
from lightning_gen.cli.sweep_report import report
from lightning_gen.cli.sweep_runner import SIGNALS, Runner
from lightning_gen.errors import Preempted

FAKE_FIT = (sys.executable, str(pathlib.Path(__file__).with_name("fake_fit.py")))


class Lines:
    """Says what changes, and knows nothing that has to be imported for long."""

    def changed(self, rows, row):
        print(f"{row.status} {row.member.label} {row.text}", flush=True)

    def show(self, rows):
        pass


def hear_signals():
    """Whoever runs the tests in the background may have them ignored."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def members(folder, options):
    made = []
    for index, words in enumerate(options):
        values = dict(part.split("=", 1) for part in words.split(","))
        made.append(
            Member(tuple(f"--{name}={value}" for name, value in values.items()), {"number": str(index)} | values, folder / str(index))
        )
    return made


def main(folder, jobs, *options):
    found = members(pathlib.Path(folder), options)
    runner = Runner(found, places(int(jobs), len(found), [], [0]), Lines(), FAKE_FIT)
    runner.run()
    return report(runner, "this command again")


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Preempted as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
