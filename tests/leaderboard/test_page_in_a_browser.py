"""The page in headless Chromium, driven by selenium: ``pip install -e ".[browser]"``, ``apt-get install chromium chromium-driver``."""

import shutil
import time
from dataclasses import replace

import pytest
from runs_on_disk import make_run, named, noisy_sheet, page_file, with_setting

from lightning_gen.leaderboard.compare import compare_named
from lightning_gen.leaderboard.store import find_results

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[browser]'")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no chromium with its chromedriver on this machine")

SCRIPT = "<script>alert(1)</script>"
RESULTS = 1000
BUILD_SECONDS = 12.0
"""Of processor time in which the page of that many results is to be written; it takes a third of it on an idle machine."""
SECONDS = 1.0
"""In which the page of that many results is to be there, in processor time of the page's thread: a test's machine may be busy."""


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path, example):
    """Four runs: two families, one collapsed, one with a name that is markup; the second has no bits/dim."""
    distance = replace(example.scores[0], details={"collapsed": True, "notes": [SCRIPT]})
    flow = replace(example.model, name="MAF", family="flow")
    make_run(tmp_path / "runs" / "a", named(example, SCRIPT, 3.0, cost=replace(example.cost, samples_per_second=10.0)))
    collapsed = replace(example, scores=[distance], config_name="gone")
    make_run(tmp_path / "runs" / "b", named(collapsed, "collapsed run", 20.0, cost=replace(example.cost, samples_per_second=200.0)))
    quick = replace(example.cost, samples_per_second=3000.0, device_hours=0.01)
    make_run(
        tmp_path / "runs" / "c", named(replace(example, model=flow), "flow run", 100.0, cost=quick), config=with_setting("budget.images", 7)
    )
    untrained = replace(example.checkpoint, kind="untrained", sha256="0")
    make_run(tmp_path / "runs" / "d", named(example, "untrained run", 400.0, checkpoint=untrained))
    browser.get("about:blank")
    browser.get(page_file(tmp_path / "runs", tmp_path / "site").as_uri())
    yield browser
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert errors == []


def rows(page, column="run"):
    """The texts of a column from top to bottom."""
    heads = [head.get_attribute("data-column") for head in page.find_elements(By.CSS_SELECTOR, "#board > thead th")]
    lines = page.find_elements(By.CSS_SELECTOR, "#board > tbody > tr[data-row]")
    return [line.find_elements(By.CSS_SELECTOR, ":scope > td")[heads.index(column)].get_attribute("textContent") for line in lines]


def click(page, selector):
    page.execute_script("arguments[0].click()", page.find_element(By.CSS_SELECTOR, selector))


def sort_by(page, column):
    click(page, f'th[data-column="{column}"] button')


def test_rows_stand_by_rank_and_the_untrained_last(page):
    assert rows(page) == [SCRIPT, "collapsed run", "flow run", "untrained run"]
    assert rows(page, "rank") == ["1", "2", "3", "–"]


def test_a_click_on_a_head_sorts_and_another_turns_round(page):
    sort_by(page, "speed")
    assert rows(page)[0] == "untrained run"
    assert page.find_element(By.CSS_SELECTOR, 'th[data-column="speed"]').get_attribute("aria-sort") == "descending"
    sort_by(page, "speed")
    assert rows(page) == [SCRIPT, "collapsed run", "flow run", "untrained run"]


def test_what_a_row_has_not_comes_last_either_way(page):
    column = page.execute_script("return `s${table().columns.find((each) => each.name === 'bits/dim').id}`")
    for _ in range(2):
        sort_by(page, column)
        assert rows(page)[-1] == "collapsed run"


def test_filters_by_words_family_and_kind(page):
    search = page.find_element(By.ID, "search")
    search.send_keys("flow digits")
    assert rows(page) == ["flow run"]
    assert page.find_element(By.ID, "shown").text == "1 of 4 rows"
    page.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", search)
    Select(page.find_element(By.ID, "family")).select_by_value("flow")
    assert rows(page) == ["flow run"]
    Select(page.find_element(By.ID, "family")).select_by_value("")
    Select(page.find_element(By.ID, "kinds")).select_by_value("collapsed")
    assert rows(page) == ["collapsed run"]
    Select(page.find_element(By.ID, "kinds")).select_by_value("sound")
    assert rows(page) == [SCRIPT, "flow run", "untrained run"]


def test_a_row_opens_to_its_sheet_curve_difference_and_commands(page):
    page.find_element(By.CSS_SELECTOR, "#board > tbody > tr:nth-child(3) > td:nth-child(3)").click()
    detail = page.find_element(By.CSS_SELECTOR, ".detail")
    words = detail.get_attribute("textContent")
    assert "budget.images" in words
    assert "lightning-gen fit --config vae_digits --budget.images 7" in words
    assert "Ranked by FD(digits-cnn): digits test" in words
    assert detail.find_elements(By.CSS_SELECTOR, "path.curve")
    picture = detail.find_element(By.CSS_SELECTOR, "img.sheet")
    # The sheet itself, from beside the page, takes the place of its small copy.
    WebDriverWait(page, 10).until(lambda _: picture.get_attribute("src").endswith("runs/c/pictures/samples_0000100000.png"))
    assert picture.get_property("naturalWidth") == 8
    page.find_element(By.CSS_SELECTOR, "#board > tbody > tr:nth-child(3) > td:nth-child(3)").click()
    assert not page.find_elements(By.CSS_SELECTOR, ".detail")


def test_two_or_three_runs_stand_side_by_side(page):
    for number in (1, 3):
        click(page, f"#board > tbody > tr:nth-child({number}) input")
    click(page, "#open-compare")
    dialog = page.find_element(By.ID, "compare")
    assert len(dialog.find_elements(By.CSS_SELECTOR, ".sheets figure")) == 2
    line = dialog.find_element(By.CSS_SELECTOR, '[data-score="FD(digits-cnn)"]').get_attribute("textContent")
    assert "3.000" in line
    assert "100.0" in line
    assert len(dialog.find_elements(By.CSS_SELECTOR, ".plots figure:first-child path.curve")) == 2
    keys = [cell.get_attribute("textContent") for cell in dialog.find_elements(By.CSS_SELECTOR, ".diff tbody th")]
    assert keys == ["budget.images"]
    page.execute_script("document.getElementById('compare').close()")
    click(page, "#board > tbody > tr:nth-child(2) input")
    assert page.find_element(By.CSS_SELECTOR, "#board > tbody > tr:nth-child(4) input").get_property("disabled")


def test_verdicts_are_those_of_the_command(page, tmp_path):
    for number in (3, 1):
        click(page, f"#board > tbody > tr:nth-child({number}) input")
    click(page, "#open-compare")
    found, _ = find_results([tmp_path / "runs"])
    a, b = (next(str(path) for path, record in found if record.run_name == name) for name in (SCRIPT, "flow run"))
    asked = compare_named(a, b, found).verdicts
    shown = [
        tuple(cell.get_attribute("textContent") for cell in line.find_elements(By.CSS_SELECTOR, "th, td"))
        for line in page.find_elements(By.CSS_SELECTOR, ".verdict tbody tr")
    ]
    assert shown == [(verdict.score, verdict.answer, verdict.difference, verdict.method) for verdict in asked]
    assert shown[0][1] == "A is better"
    sides = page.find_element(By.CSS_SELECTOR, ".verdict .legend").get_attribute("textContent")
    assert sides == f"A: VAE, {SCRIPT}B: MAF, flow run"


def test_three_runs_are_compared_two_by_two(page):
    for number in (1, 2, 3):
        click(page, f"#board > tbody > tr:nth-child({number}) input")
    click(page, "#open-compare")
    assert len(page.find_elements(By.CSS_SELECTOR, ".verdict")) == 3


def test_of_a_pair_that_the_page_does_not_hold_the_command_is_given(browser, tmp_path, example, monkeypatch):
    monkeypatch.setattr("lightning_gen.leaderboard.page.verdicts.MOST_VERDICTS", 0)
    for number in range(2):
        make_run(tmp_path / "runs" / str(number), named(example, f"run {number}", 1.0 + number))
    browser.get("about:blank")
    browser.get(page_file(tmp_path / "runs", tmp_path / "site").as_uri())
    for number in (1, 2):
        click(browser, f"#board > tbody > tr:nth-child({number}) input")
    click(browser, "#open-compare")
    verdict = browser.find_element(By.CSS_SELECTOR, ".verdict")
    assert "This page cannot tell: it holds the verdicts on the 1 best-ranked of its 2 rows." in verdict.get_attribute("textContent")
    command = verdict.find_element(By.TAG_NAME, "code").get_attribute("textContent")
    files = sorted(map(str, (tmp_path / "runs").rglob("*.result.json")), key=lambda file: file.split("runs/")[-1])
    assert command == f"lightning-gen leaderboard --compare {' '.join(files)}"


Z, PIXELS = "normal z (16)", "uniform pixels (64)"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {}, f"The same noise, image by image: {Z} of seed 0."),
        ({}, {"draws": [Z, PIXELS]}, f"The same noise, image by image: {Z} of seed 0. Besides, b draws {PIXELS}."),
        (
            {},
            {"columns": 4},
            f"The same noise, image by image from left to right and downwards, in 2 and 4 columns: {Z} of seed 0.",
        ),
        ({"columns": None}, {"columns": None}, f"The same noise: {Z} of seed 0."),
        ({}, {"labels": [1]}, f"The same noise, image by image: {Z} of seed 0. Their labels are not the same."),
        ({}, {"seed": 5}, "Not the same noise: seed 0 (a), seed 5 (b)."),
        ({}, {"draws": ["normal z (8)"]}, f"Not the same noise, though of seed 0: a draws {Z}; b draws normal z (8)."),
        ({}, None, "Whether the noise is the same cannot be told: the sheet of b does not say which numbers its model drew."),
        (None, None, "Whether the noise is the same cannot be told: no sheet says which numbers its model drew."),
        ({}, "", "No common noise: there is no sample sheet beside the record of b."),
    ],
)
def test_whether_two_sheets_are_of_the_same_noise_is_said(browser, tmp_path, example, first, second, words):
    for name, noise in (("a", first), ("b", second)):
        sheet = make_run(tmp_path / "runs" / name, named(example, name, 1.0)) / "pictures" / "samples_0000100000.png"
        if noise == "":
            sheet.unlink()
        elif noise is not None:
            noisy_sheet(sheet, **noise)
    browser.get("about:blank")
    browser.get(page_file(tmp_path / "runs", tmp_path / "site").as_uri())
    for number in (1, 2):
        click(browser, f"#board > tbody > tr:nth-child({number}) input")
    click(browser, "#open-compare")
    assert browser.find_element(By.CSS_SELECTOR, "#compare .noise").get_attribute("textContent") == words


def test_the_last_checkpoint_has_a_column_only_beside_another(browser, tmp_path, example):
    last = replace(example.checkpoint, kind="last", sha256="1")
    make_run(tmp_path / "a", named(replace(example, checkpoint=last), "a", 1.0))
    make_run(tmp_path / "b", example, named(replace(example, checkpoint=last), example.run_name, 50.0))
    shown = []
    for folder in ("a", "b"):
        browser.get("about:blank")
        browser.get(page_file(tmp_path / folder, tmp_path / "site").as_uri())
        shown.append(bool(browser.find_elements(By.CSS_SELECTOR, 'th[data-column="last"]')))
    assert shown == [False, True]


def test_a_narrow_window_shows_the_score_and_cuts_nothing_off(page):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 400, "height": 850, "deviceScaleFactor": 1, "mobile": False})
    try:
        page.refresh()
        heads = page.find_elements(By.CSS_SELECTOR, "#board > thead th")
        assert [head.get_attribute("data-column") for head in heads][1:3] == ["rank", "model"]
        assert heads[3].get_attribute("textContent").startswith("FD(digits-cnn)")
        for number in (1, 3):
            click(page, f"#board > tbody > tr:nth-child({number}) input")
        click(page, "#open-compare")
        for selector in ("html", "#compare"):
            assert (
                page.execute_script(f"const part = document.querySelector('{selector}'); return part.scrollWidth - part.clientWidth") == 0
            )
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_pareto_front_is_what_nothing_beats_in_both(page):
    front = page.find_elements(By.CSS_SELECTOR, "#plots figure:first-child circle.front")
    assert [dot.get_attribute("aria-label").partition(",")[0] for dot in front] == [
        "MAF: FD(digits-cnn) 100",
        "VAE: FD(digits-cnn) 20",
        "VAE: FD(digits-cnn) 3",
    ]
    hours = page.find_elements(By.CSS_SELECTOR, "#plots figure:nth-child(2) circle.front")
    assert len(hours) == 2  # 20.0 took as long as 3.0
    points = "[{x: 1, y: 5}, {x: 2, y: 5}, {x: 1, y: 5}, {x: 3, y: 4}]"
    assert page.execute_script(f"return paretoFront({points}, 1, 1).map((point) => point.x)") == [1, 3]


def test_a_name_that_is_markup_is_a_name(page):
    click(page, "#board > tbody > tr:nth-child(1) .toggle")
    for number in (1, 3):
        click(page, f"#board > tbody > tr:nth-child({number}) input")
    click(page, "#open-compare")
    assert page.execute_script("return document.querySelectorAll('script').length") == 2
    assert SCRIPT in page.find_element(By.ID, "compare").get_attribute("textContent")
    page.execute_script("return 1")  # an open alert would refuse this


def test_a_script_that_came_in_all_the_same_would_not_run(page):
    page.execute_script("const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s)")
    page.execute_script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.broken = 1\">')")
    time.sleep(0.2)
    assert page.execute_script("return window.broken") is None
    page.get_log("browser")  # the refusals


def test_the_address_keeps_the_view(page):
    page.find_element(By.ID, "search").send_keys("run")
    sort_by(page, "speed")
    click(page, "#board > tbody > tr:nth-child(2) .toggle")
    address, shown = page.current_url, rows(page)
    page.get("about:blank")
    page.get(address)
    assert rows(page) == shown
    assert len(page.find_elements(By.CSS_SELECTOR, ".detail")) == 1


def test_nothing_is_asked_of_a_network(page):
    click(page, "#board > tbody > tr:nth-child(1) .toggle")
    asked = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in asked if not name.startswith(("file:", "data:"))] == []


@pytest.mark.slow
def test_a_thousand_results_are_there_in_under_a_second(browser, tmp_path, example):
    for number in range(RESULTS):
        record = named(example, f"run {number}", 1.0 + number, cost=replace(example.cost, samples_per_second=1.0 + number * 7 % 997))
        make_run(tmp_path / "runs" / str(number), record)
    browser.get("about:blank")
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    before = time.process_time()
    file = page_file(tmp_path / "runs", tmp_path / "site")
    assert time.process_time() - before < BUILD_SECONDS
    browser.get(file.as_uri())
    measured = {each["name"]: each["value"] for each in browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    assert 0 < measured["TaskDuration"] < SECONDS
    assert browser.find_element(By.ID, "shown").text == f"{RESULTS} rows"
    while browser.execute_script("return waiting.length"):
        browser.execute_script("const view = document.getElementById('scroll'); view.scrollTop = view.scrollHeight")
        time.sleep(0.05)
    assert len(rows(browser, "rank")) == RESULTS


def test_published_numbers_stand_apart_from_the_ranked_rows(browser, tmp_path, example):
    protocol = {"dataset": "mnist", "split": "test", "num_bits": 1, "binarization": "dynamic"}
    nats = replace(example.scores[1], name="nats", value=90.0, protocol=protocol)
    make_run(tmp_path / "runs" / "a", replace(example, scores=[nats]))
    browser.get("about:blank")
    browser.get(page_file(tmp_path / "runs", tmp_path / "site").as_uri())
    section = browser.find_element(By.ID, "published")
    summary = section.find_element(By.TAG_NAME, "summary")
    assert summary.text.endswith("published numbers, not ranked")
    summary.click()
    lines = [line.text for line in section.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert len(lines) == int(summary.text.split()[0])
    assert any("PixelSNAIL" in line and "78.61" in line and "verified in the source" in line for line in lines)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#board > tbody > tr[data-row]")) == 1


def test_without_published_numbers_nothing_is_said_of_them(page):
    assert not page.find_element(By.ID, "published").is_displayed()
