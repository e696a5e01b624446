"""The page's data: complete, printable, and from nowhere but the run's own folder."""

import json
import math
import os
import re
import shlex
from dataclasses import replace

import pytest
from runs_on_disk import CONFIG, make_run, named, noisy_sheet, page_file, page_of, png, with_setting

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.page.curves import MOST_POINTS, thinned
from lightning_gen.leaderboard.page.rows import web_address
from lightning_gen.leaderboard.page.run_files import file_within, run_folder_of, sample_sheet, thumbnail
from lightning_gen.leaderboard.record import write

EVIL = "</script><script>alert(1)</script>"


def only_row(tmp_path, out="site"):
    (row,) = page_of(tmp_path, tmp_path / out)["rows"]
    return row


def test_a_row_has_all_that_its_folder_tells(tmp_path, example):
    make_run(tmp_path / "runs" / "a", example)
    row = only_row(tmp_path)
    assert row["sheet"]["link"] == "../runs/a/pictures/samples_0000100000.png"
    assert row["sheet"]["small"].startswith("data:image/webp;base64,")
    assert row["curves"]["FD(digits-cnn)"] == {"from": "validation split, at checkpoints", "x": [2000, 4000], "y": [40.0, 20.0]}
    assert row["differences"] == []
    assert row["settings"]["model.init_args.latent_dim"] == "16"
    assert [command.split()[:3] for command in row["train"]] == [["lightning-gen", "fit", "--config"]] * 2
    assert row["train"][1] == "lightning-gen fit --config vae_digits"


def test_a_record_alone_is_a_row_without_a_folder(tmp_path, example):
    write(example, tmp_path)
    row = only_row(tmp_path)
    assert (row["sheet"], row["settings"], row["differences"], row["train"], row["evaluate"], row["curves"]) == (
        None,
        None,
        None,
        [],
        None,
        {},
    )


def test_flags_say_a_difference_that_flags_can_say(tmp_path, example):
    make_run(tmp_path / "a", example, config=with_setting("model.init_args.latent_dim", 32))
    assert only_row(tmp_path)["train"][1] == "lightning-gen fit --config vae_digits --model.latent_dim 32"


def test_a_difference_within_a_network_is_left_to_the_runs_own_configuration(tmp_path, example):
    make_run(tmp_path / "a", example, config=with_setting("model.init_args.encoder.init_args.hidden", [8]))
    (command,) = only_row(tmp_path)["train"]
    assert command.endswith("a/config.yaml")


def test_records_stand_in_for_a_curve(tmp_path, example):
    first = replace(example, checkpoint=replace(example.checkpoint, kind="last", sha256="1"), cost=replace(example.cost, images_seen=5))
    folder = make_run(tmp_path / "a", example, named(first, example.run_name, 50.0))
    (folder / "metrics.csv").unlink()
    curve = only_row(tmp_path)["curves"]["FD(digits-cnn)"]
    assert (curve["from"], curve["x"], curve["y"]) == ("from the result records", [5, 100000], [50.0, 12.345])


def test_seeds_of_one_recipe_share_their_mean(tmp_path, example):
    for seed, value in enumerate([1.0, 3.0]):
        record = named(example, f"run {seed}", value, training_seed=seed)
        make_run(tmp_path / str(seed), record, config=CONFIG | {"seed_everything": seed})
    data = page_of(tmp_path, tmp_path)
    ranked = data["tables"][0]["ranked_by"]
    assert [row["seeds"][str(ranked)]["text"] for row in data["rows"]] == ["2.000 ± 1.4"] * 2


def test_a_collapsed_model_is_marked(tmp_path, example):
    score = replace(example.scores[0], details={"collapsed": True, "notes": ["collapsed: half"]})
    make_run(tmp_path / "a", replace(example, scores=[score]))
    assert only_row(tmp_path)["collapsed"] == "collapsed: half"


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "checkpoints/../../secret"])
def test_a_checkpoint_outside_the_run_is_in_no_command(tmp_path, example, path):
    make_run(tmp_path / "a", replace(example, checkpoint=replace(example.checkpoint, path=path)))
    assert only_row(tmp_path)["evaluate"] is None


def test_where_a_record_says_it_lies_is_never_read(tmp_path, example):
    secret = make_run(tmp_path / "secret")
    for number, says in enumerate([str(secret), "../secret", "runs/../../secret"]):
        folder = tmp_path / "runs" / str(number) / "results"
        folder.mkdir(parents=True)
        make_run(tmp_path / "made" / str(number), named(example, str(number), 1.0, run_folder=says))
        (file,) = (tmp_path / "made" / str(number) / "results").iterdir()
        file.rename(folder / file.name)
    rows = page_of(tmp_path / "runs", tmp_path)["rows"]
    assert len(rows) == 3
    assert [(row["sheet"], row["settings"]) for row in rows] == [(None, None)] * 3


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "pictures/samples_0000100000.png"])
def test_a_link_out_of_the_run_is_not_followed(tmp_path, example, name):
    outside = make_run(tmp_path / "elsewhere")
    folder = make_run(tmp_path / "runs" / "a", example)
    (folder / name).unlink()
    (folder / name).symlink_to(outside / name)
    assert file_within(folder, name) is None
    row = only_row(tmp_path / "runs")
    assert {"config.yaml": row["settings"], "metrics.csv": row["curves"] or None}.get(name, row["sheet"]) is None


def test_a_name_cannot_leave_the_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "file").write_text("")
    assert [file_within(tmp_path / "run", name) for name in ("../file", str(tmp_path / "file"), "a\0b", ".")] == [None] * 4


def test_pipes_and_loops_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    (tmp_path / "metrics.csv").symlink_to(tmp_path / "metrics.csv")
    assert file_within(tmp_path, "config.yaml") is None
    assert file_within(tmp_path, "metrics.csv") is None


def test_markup_ends_no_element_and_is_no_markup(tmp_path, example):
    record = replace(example, run_name=EVIL, config_name="<img src=x onerror=alert(1)>", machine='"&amp;', wandb_url="javascript:alert(1)")
    make_run(tmp_path / "a", record)
    text = page_file(tmp_path, tmp_path / "site").read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert not set("<>&") & set(data)
    (row,) = json.loads(data)["rows"]
    assert (row["run"], row["config"], row["machine"]) == (EVIL, record.config_name, record.machine)
    assert row["wandb"]["url"] is None
    assert text.count("<script") == 2


def test_no_text_turns_round_what_stands_beside_it(tmp_path, example):
    make_run(tmp_path / "a", replace(example, run_name="a\u202eb\x1bc", machine="x\u2066y"))
    row = only_row(tmp_path)
    assert (row["run"], row["machine"]) == ("abc", "xy")


def test_commands_are_one_command_whatever_a_run_is_called(tmp_path, example):
    make_run(
        tmp_path / "a; rm -rf $HOME" / "b",
        replace(example, config_name="$(reboot)\n;ls"),
        config=with_setting("ema", {"half_life_images": "`x`"}),
    )
    row = only_row(tmp_path)
    for command in [*row["train"], row["evaluate"]]:
        assert "\n" not in command
        assert shlex.split(command)[0] == "lightning-gen"
        assert not {";", "rm", "ls"} & set(shlex.split(command))


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "data:text/html,x", "//host/x", "ftp://host/x", "https://", "https://a b/", "", None, "http://[x"]
)
def test_what_is_no_web_address_is_no_link(text):
    assert web_address(text) is None


def test_a_web_address_is_a_link():
    assert web_address("https://wandb.ai/me/project/runs/1") == "https://wandb.ai/me/project/runs/1"


def test_a_folder_named_like_a_scheme_is_a_relative_link(tmp_path, example):
    make_run(tmp_path / "javascript:alert(1)", example)
    assert only_row(tmp_path, ".")["sheet"]["link"] == "javascript%3Aalert%281%29/pictures/samples_0000100000.png"


def test_numbers_that_json_has_not_are_shown_and_not_sorted_by(tmp_path, example):
    make_run(tmp_path / "a", named(example, "a", math.nan, cost=replace(example.cost, samples_per_second=math.inf, device_hours=math.nan)))
    row = only_row(tmp_path)
    assert row["speed"] == [None, "inf"]
    assert {score["text"][:3] for score in row["scores"]["best"].values() if score["value"] is None} == {"nan"}
    page_file(tmp_path, tmp_path / "site")


def test_a_date_is_in_utc_and_a_count_may_be_any_integer(tmp_path, example):
    make_run(tmp_path / "a", replace(example, created="2025-01-01T01:30:00+02:00", cost=replace(example.cost, images_seen=10**400)))
    row = only_row(tmp_path)
    assert row["date"][1] == "2024-12-31 23:30"
    assert row["images"][1] == "inf"


@pytest.mark.parametrize("content", [b"", b"GIF89a", png()[:40], png()[:-20] + b"x" * 20])
def test_a_damaged_sheet_is_no_sheet(tmp_path, example, content):
    folder = make_run(tmp_path / "a", example)
    (folder / "pictures" / "samples_0000100000.png").write_bytes(content)
    sheet = only_row(tmp_path)["sheet"]
    assert sheet is None or sheet["small"].startswith("data:image/webp")


def test_a_sheet_that_says_its_noise_says_it_on_the_page(tmp_path, example):
    folder = make_run(tmp_path / "a", example)
    assert only_row(tmp_path)["sheet"]["noise"] is None
    noisy_sheet(folder / "pictures" / "samples_0000100000.png", seed=7, labels=[1, 2])
    noise = only_row(tmp_path)["sheet"]["noise"]
    assert (noise["seed"], noise["draws"], noise["columns"]) == (7, ["normal z (16)"], 2)
    noisy_sheet(folder / "pictures" / "samples_0000100000.png", seed=7, labels=[2, 1])
    assert only_row(tmp_path)["sheet"]["noise"]["labels"] != noise["labels"]


def test_a_large_picture_becomes_small(tmp_path):
    (tmp_path / "sheet.png").write_bytes(png(1000))
    assert len(thumbnail(tmp_path / "sheet.png")) < 2000


def test_the_sheet_is_the_one_of_the_checkpoint_else_the_last_before_it(tmp_path):
    (tmp_path / "pictures").mkdir()
    for images in (10, 20, 40):
        (tmp_path / "pictures" / f"samples_{images:010d}.png").write_bytes(png())
    assert [sample_sheet(tmp_path, images)[1] for images in (20, 39, 99, 5)] == [20, 20, 40, 10]
    assert sample_sheet(tmp_path / "none", 5) is None


def test_only_the_folder_results_belongs_to_a_run(tmp_path):
    assert run_folder_of(tmp_path / "run" / "results" / "a.result.json") == tmp_path / "run"
    assert run_folder_of(tmp_path / "run" / "a.result.json") is None


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "progress/images,full/x\n1,\nx,y\n3,nan\n", 'progress/images,full/x\n1,"', "progress/images,full/x\n1,2\n"]
)
def test_metrics_without_a_curve_are_no_curve(tmp_path, example, text):
    folder = make_run(tmp_path / "a", example)
    (folder / "metrics.csv").write_text(text)
    assert only_row(tmp_path)["curves"] == {}


def test_a_point_logged_twice_counts_as_logged_last(tmp_path, example):
    folder = make_run(tmp_path / "a", example)
    (folder / "metrics.csv").write_text("progress/images,full/x\n1,5\n2,6\n1,7\n")
    assert only_row(tmp_path)["curves"]["x"]["y"] == [7.0, 6.0]


def test_a_long_curve_keeps_its_ends():
    points = [(number, float(number)) for number in range(10_001)]
    kept = thinned(points)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_a_row_in_two_tables_is_in_the_page_once(tmp_path, make, example):
    make_run(tmp_path / "a", make("a", fd=1.0, bpd=2.0))
    make_run(tmp_path / "b", make("b", bpd=1.0))
    data = page_of(tmp_path, tmp_path)
    assert [len(table["rows"]) for table in data["tables"]] == [1, 2]
    assert len(data["rows"]) == 2


def test_the_page_goes_to_a_folder_or_a_file(tmp_path, example):
    make_run(tmp_path / "a", example)
    assert page_file(tmp_path / "a", tmp_path / "new" / "folder") == tmp_path / "new" / "folder" / "index.html"
    assert page_file(tmp_path / "a", tmp_path / "x.html") == tmp_path / "x.html"
    with pytest.raises(UserError, match="cannot be written"):
        page_file(tmp_path / "a", tmp_path / "x.html" / "y")


def test_the_page_is_complete_in_itself(tmp_path, example):
    make_run(tmp_path / "a", example)
    text = page_file(tmp_path, tmp_path / "site").read_text()
    assert "default-src &#x27;none&#x27;" in text
    links = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import', text)
    assert {address for pair in links for address in pair} <= {"data:,", ""}
