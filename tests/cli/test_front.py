"""The front door: light, one line per mistake, exit codes, and no bug hidden."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from lightning_gen import __version__, cli
from lightning_gen.cli.arguments import Arguments
from lightning_gen.errors import Preempted, UserError

HEAVY = {
    "torch",
    "pytorch_lightning",
    "lightning",
    "numpy",
    "jsonargparse",
    "wandb",
    "sklearn",
    "torchvision",
    "torchmetrics",
    "scipy",
    "PIL",
}


@pytest.fixture
def importable(monkeypatch):
    """Child processes import the package that this process tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[2]))


def imported_by(code, cwd):
    probe = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, cwd=cwd, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import lightning_gen.cli, lightning_gen.leaderboard.record, lightning_gen.leaderboard.store, lightning_gen.leaderboard.table",
        "from lightning_gen.cli import main; main(['--help'])",
        "from lightning_gen.cli import main; main(['leaderboard', '--help'])",
        "from lightning_gen.cli import main; main(['leaderboard', '--json', '--results', sys.path[-1]])",
    ],
)
@pytest.mark.usefixtures("importable")
def test_answers_without_loading_anything_but_the_standard_library(code, tmp_path):
    loaded = imported_by(code.replace("sys.path[-1]", repr(str(tmp_path))), tmp_path)
    assert not loaded & (HEAVY | {"rich", "yaml"})
    assert "lightning_gen" in loaded


@pytest.mark.usefixtures("importable")
def test_the_options_of_list_need_nothing_heavy(tmp_path):
    assert not imported_by("from lightning_gen.cli import main; main(['list', '--help'])", tmp_path) & HEAVY


@pytest.fixture
def call(capsys):
    """Run ``lightning-gen`` in this process: (exit code, stdout, stderr)."""

    def run(*argv):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def command(monkeypatch):
    """Replace the command ``demo`` by a function of its arguments."""

    def install(run):
        monkeypatch.setitem(sys.modules, "lightning_gen.cli.demo", types.SimpleNamespace(run=run))

    return install


def fail(error):
    def run(argv):
        raise error

    return run


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_names_every_command_on_a_line(call, argv):
    code, out, err = call(*argv)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == [*cli.COMMANDS]


def test_version(call):
    assert call("--version") == (0, f"lightning-gen {__version__}\n", "")


@pytest.mark.parametrize(
    ("word", "line"),
    [("evalute", "unknown command 'evalute'; did you mean 'evaluate'?"), ("--hlep", "unknown option '--hlep'; did you mean '--help'?")],
)
def test_a_misspelt_command_is_one_line(call, word, line):
    assert call(word) == (2, "", f"lightning-gen: {line}\n")


def test_a_command_gets_its_arguments_and_gives_its_code(call, command):
    command(lambda argv: print(argv) or 5)
    assert call("demo", "--x", "1") == (5, "['--x', '1']\n", "")


@pytest.mark.parametrize(("error", "code"), [(UserError("data.root: 'a\nb\x1b[2J'"), 2), (Preempted("data.root: 'a b[2J'"), 75)])
def test_a_user_error_is_one_line_with_its_code(call, command, error, code):
    command(fail(error))
    assert call("demo") == (code, "", "lightning-gen: error: data.root: 'a b[2J'\n")


def test_an_interruption_is_one_line(call, command):
    command(fail(KeyboardInterrupt()))
    assert call("demo") == (130, "", "lightning-gen: interrupted\n")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), BrokenPipeError("a worker died")])
def test_a_bug_stays_a_traceback(command, error):
    command(fail(error))
    with pytest.raises(type(error)):
        cli.main(["demo"])


@pytest.mark.parametrize("python", [[sys.executable], [sys.executable, "-u"]])
@pytest.mark.usefixtures("importable")
def test_a_reader_that_left_is_no_error(python, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    shell = subprocess.Popen(
        [*python, "-m", "lightning_gen", "--help"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    shell.stdout.close()
    assert shell.stderr.read() == b""
    assert shell.wait(timeout=60) == 1


@pytest.fixture
def arguments():
    parser = Arguments("draw", "Draw.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--num-samples", type=int)
    return parser


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--modle", "x"], "unknown option --modle; did you mean '--model'?"),
        (["--modle=x"], "unknown option --modle; did you mean '--model'?"),
        (["--mod", "x"], "unknown option --mod; did you mean '--model'?"),
        (["--model", "x", "--num", "1"], "unknown option --num; "),
        ([], "the following arguments are required: --model"),
        (["--model", "x", "--num-samples", "many"], "argument --num-samples: invalid int value: 'many'"),
        (["--model", "x", "stray\x1b"], "unrecognized arguments: stray"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(arguments, capsys, argv, line):
    with pytest.raises(SystemExit) as caught:
        arguments.parse_args(argv)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"lightning-gen draw: {line}")
    assert "\x1b" not in err


def test_good_options_are_parsed(arguments):
    parsed = arguments.parse_args(["--model=a", "--num-samples", "3"])
    assert (parsed.model, parsed.num_samples) == ("a", 3)


def test_a_command_without_any_stdout_runs(monkeypatch):
    """As a service manager or ``>&-`` starts it."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
