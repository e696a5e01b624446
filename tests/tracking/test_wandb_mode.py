"""Whether and how W&B runs."""

import sys

import pytest

from lightning_gen.errors import UserError
from lightning_gen.tracking import CSVTracker, WandbTracker, build_trackers, wandb_mode


@pytest.mark.parametrize(
    ("setting", "variable", "logged_in", "expected"),
    [
        ("auto", None, True, "online"),
        ("auto", None, False, "offline"),
        ("auto", "online", False, "offline"),
        ("auto", "offline", True, "offline"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "disabled", True, None),
        ("on", "disabled", True, None),
        ("on", None, False, "offline"),
        ("off", "online", True, None),
    ],
)
def test_mode_follows_setting_environment_and_login(environment, setting, variable, logged_in, expected):
    questions = []
    environment.setattr("wandb.login", lambda **kwargs: questions.append(kwargs) or logged_in)
    if variable:
        environment.setenv("WANDB_MODE", variable)
    assert wandb_mode(setting) == expected
    assert all(question == {"prompt": False, "verify": False} for question in questions)


def test_bad_settings_are_named(environment):
    with pytest.raises(UserError, match="wandb: expected auto, on or off, got 'yes'"):
        wandb_mode("yes")
    environment.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="WANDB_MODE: expected online, offline or disabled, got 'ofline'"):
        wandb_mode("auto")


@pytest.mark.parametrize(("setting", "lines"), [("on", 1), ("auto", 0), ("off", 0)])
def test_missing_wandb_is_left_out_and_explained_only_to_who_asked(environment, tmp_path, caplog, setting, lines):
    environment.setitem(sys.modules, "wandb.sdk", None)
    with caplog.at_level("INFO"):
        trackers = build_trackers(tmp_path, {}, wandb=setting)
    assert [type(tracker) for tracker in trackers] == [CSVTracker]
    assert [record.getMessage().startswith("W&B: left out") for record in caplog.records] == [True] * lines


def test_only_rank_0_asks_for_a_login_but_all_ranks_have_the_same_loggers(environment, tmp_path):
    environment.setattr("wandb.login", lambda **kwargs: pytest.fail("asked"))
    environment.setattr("pytorch_lightning.utilities.rank_zero_only.rank", 1)
    assert [type(tracker) for tracker in build_trackers(tmp_path, {})] == [CSVTracker, WandbTracker]


def test_a_login_that_fails_means_offline(environment):
    environment.setattr("wandb.login", lambda **kwargs: (_ for _ in ()).throw(ValueError("API key must be 40 characters")))
    assert wandb_mode("auto") == "offline"
