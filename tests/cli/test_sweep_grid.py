"""A grid is a W&B sweep file, or a shorter form of one; what is wrong with it is one line, before anything starts."""

import pytest

from lightning_gen.cli.sweep_grid import read_grid
from lightning_gen.cli.sweep_places import places
from lightning_gen.errors import UserError


@pytest.fixture
def grid(tmp_path):
    """The grid of a text."""

    def read(text):
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return read_grid(path)

    return read


def test_members_are_the_product_with_the_configuration_first(grid):
    members = grid("parameters: {model.beta: [1, 1e-3], config: vae_digits, seed_everything: {values: [0, 1]}}").members()
    assert [options for options, _ in members] == [
        ["--config=vae_digits", f"--model.beta={beta}", f"--seed_everything={seed}"] for beta in ("1", "0.001") for seed in (0, 1)
    ]
    assert [values for _, values in members][1] == {"model.beta": "1", "seed_everything": "1"}


def test_the_short_and_the_long_form_are_one_grid(grid):
    short = grid("parameters: {config: vae_digits, model.beta: [1, 2]}")
    long = grid(
        "program: lightning-gen\nmethod: grid\nmetric: {name: x}\ncommand: ['${env}', '${program}', fit, '${args}']\n"
        "parameters: {config: {value: vae_digits}, model.beta: {values: [1, 2]}}"
    )
    assert short.members() == long.members()


def test_the_words_of_a_command_stand_where_they_stand(grid):
    found = grid("command: [lightning-gen, fit, --config, vae_digits, '${args}', --wandb, 'off']\nparameters: {model.beta: [1]}")
    assert found.with_options(["--budget.images", "5"]).members() == [
        (["--config", "vae_digits", "--model.beta=1", "--wandb", "off", "--budget.images", "5"], {})
    ]


def test_values_are_written_as_the_command_line_reads_them(grid):
    (options, _), *_ = grid("parameters: {a: true, b: null, c: [[1, 2]], d: {value: {class_path: X}}, e: 'off', f: 1e6}").members()
    assert options == ["--a=true", "--b=null", "--c=[1, 2]", '--d={"class_path": "X"}', "--e=off", "--f=1000000"]


def test_seeds_take_the_place_of_the_grids(grid):
    members = grid("parameters: {config: x, seed_everything: [7]}").with_seeds("0, 1,2").members()
    assert [values for _, values in members] == [{"seed_everything": str(seed)} for seed in range(3)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "expected a mapping with the key parameters, got a list"),
        ("", "expected a mapping with the key parameters, got nothing"),
        ("a: [", "not valid YAML"),
        ("parametres: {a: [1]}", "unknown key 'parametres'; did you mean 'parameters'?"),
        ("parameters: {a: [1]}\nearly_terminate: {type: hyperband}", "unknown key 'early_terminate'"),
        ("method: bayes\nparameters: {a: [1]}", "method: expected grid, got 'bayes'; other methods need W&B's server: wandb sweep"),
        ("method: grid", "parameters: expected options of fit, such as model.learning_rate, with their values, got None"),
        ("parameters: {}", "parameters: expected options of fit"),
        ("parameters: [a]", "parameters: expected options of fit"),
        ("parameters: {a: []}", "parameters.a: expected at least one value, got an empty list"),
        ("parameters: {a: {values: []}}", "parameters.a: expected at least one value, got an empty list"),
        ("parameters: {a: {values: 3}}", "parameters.a.values: expected a list, got 3"),
        ("parameters: {a: {min: 0, max: 1}}", "parameters.a: expected a list, one value, or values or value under it, got min, max"),
        ("parameters: {a: [1, 2, 1]}", "parameters.a: 1 occurs 2 times; expected different values"),
        ("parameters: {runs: [a, b]}", "parameters: runs follows from the sweep's folder; expected no value"),
        ("parameters: {a: [1]}\ncommand: [fit, --resume, x, '${args}']", "command: resume follows from what the sweep's folder holds"),
        ("parameters: {a: [1]}\ncommand: [fit]", "command: expected fit, options, and ${args} once"),
        ("parameters: {a: [1]}\ncommand: fit ${args}", "command: expected fit, options, and ${args} once"),
        ("parameters: {a: [1]}\ncommand: ['${args}', fit]", "command: expected fit, options, and ${args} once"),
        ("parameters: {a: [1]}\ncommand: [rm, fit, '${args}']", "got 'rm'"),
        ("parameters: {a: [1]}\ncommand: [fit, '${args}', '${args_no_hyphens}']", "got '${args_no_hyphens}'"),
    ],
)
def test_a_bad_grid_is_one_line_with_the_file(grid, text, words):
    with pytest.raises(UserError) as caught:
        grid(text)
    assert words in str(caught.value)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seeds", ["", "0,,1", "a", "-1", "1.5", str(2**32), "0,1,0"])
def test_bad_seeds_are_refused(grid, seeds):
    with pytest.raises(UserError, match=r"^--seeds: "):
        grid("parameters: {config: x}").with_seeds(seeds)


@pytest.mark.parametrize("word", ["--runs", "--resume=x"])
def test_what_a_sweep_decides_is_refused_after_two_hyphens(grid, word):
    with pytest.raises(UserError, match=r"^options after --: (runs|resume) follows from"):
        grid("parameters: {config: x}").with_options([word])


# Places.


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def devices(made):
    return [place.environment.get("CUDA_VISIBLE_DEVICES") for place in made]


def test_every_gpu_gets_a_member_and_every_member_its_share_of_cores():
    made = places(None, 10, ["0", "1"], range(8))
    assert devices(made) == ["0", "1"]
    assert [place.cores for place in made] == [frozenset(range(4)), frozenset(range(4, 8))]
    assert [place.environment["OMP_NUM_THREADS"] for place in made] == ["4", "4"]


def test_fewer_members_than_gpus_get_several_each():
    assert devices(places(2, 10, ["a", "b", "c", "d"], range(4))) == ["a,b", "c,d"]


def test_more_members_than_gpus_share_them():
    assert devices(places(4, 10, ["0", "1"], range(4))) == ["0", "1", "0", "1"]


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 1), (4, 1), (8, 2), (64, 16)])
def test_without_a_gpu_four_cores_get_a_member(cores, count):
    assert len(places(None, 100, [], range(cores))) == count


def test_cores_are_cut_into_groups_that_do_not_overlap():
    groups = [place.cores for place in places(3, 100, [], range(8))]
    assert [len(group) for group in groups] == [2, 2, 2]
    assert len(frozenset().union(*groups)) == 6


def test_more_members_than_cores_share_them():
    assert [place.cores for place in places(3, 100, [], [4, 5])] == [{4}, {5}, {4}]


def test_a_lonely_member_is_kept_to_nothing_and_no_place_is_made_for_nobody():
    (place,) = places(8, 1, [], range(6))
    assert place.cores == frozenset()
    assert place.environment == {"OMP_NUM_THREADS": "6"}


def test_a_number_of_threads_that_the_user_set_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert places(2, 9, [], range(8))[0].environment == {"OMP_NUM_THREADS": "3"}


def test_no_members_at_a_time_is_refused():
    with pytest.raises(UserError, match=r"^--jobs: expected at least 1, got 0"):
        places(0, 1, [], [0])
