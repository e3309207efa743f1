"""The page in a real browser: Chromium without a window, driven as a reader would."""

import json
import shutil
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from copy_eval.reports.page import render_page
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs Chromium and chromedriver on the PATH to drive the page"
)

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,900",
    "--force-prefers-reduced-motion",
)  # fmt: skip

# With one slash alone: of what looks like a path, a label holds only the end.
HOSTILE = "<img src=x onerror=window.hacked=1><b>bold<a href=javascript:hacked=1></script>, \"q\" 'q' $x$ &amp;\n=cmd()"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, {10: 0.9, 20: 0.5, 40: 0.1}, model="steady", log_samples=True)
    write_results(folder, {10: 1.0, 20: 0.04, 40: "over context"}, model=HOSTILE)
    write_results(folder, {10: 0.3, 20: 0.2}, model="brief")
    write_results(folder, {0: 0.5, 100: 0.4}, model="steady", task="squad_by_length", date=2.0)
    file = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(render_page(build_report([folder])), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def sweep_url(tmp_path_factory):
    """A page of ten training steps of one model, and of one step of another."""
    folder = tmp_path_factory.mktemp("sweep")
    for step in range(0, 1000, 100):
        scores = {10: step / 1000, 20: step / 2000, 40: "over context"}
        write_results(folder, scores, model=HOSTILE, model_revision=f"step{step}", date=float(step))
    write_results(folder, {10: 0.3, 20: 0.2}, model="other", model_revision="step7")
    file = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(render_page(build_report([folder])), encoding="utf-8")
    return file.as_uri()


@contextmanager
def screen_of(page, width):
    """Show the page as a phone does whose screen is ``width`` CSS pixels wide."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        WebDriverWait(page, 5).until(
            lambda page: page.execute_script(
                "return [...document.querySelectorAll('.chart svg')].every(svg => svg.clientWidth <= innerWidth)"
            )
        )
        yield
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def open_page(chromium, url):
    """Open a page and wait for its charts."""
    chromium.get_log("performance"), chromium.get_log("browser")  # what went before
    chromium.get(url)
    WebDriverWait(chromium, 20).until(
        lambda page: page.execute_script(
            "return [...document.querySelectorAll('.chart')].every(c => c.querySelector('svg'))"
        )
    )
    return chromium


@pytest.fixture
def page(chromium, page_url):
    return open_page(chromium, page_url)


@pytest.fixture
def sweep(chromium, sweep_url):
    return open_page(chromium, sweep_url)


def table_after(page, heading):
    return page.find_element(By.CSS_SELECTOR, f"section[aria-labelledby='{heading}'] table")


def names(table):
    return [cell.text for cell in table.find_elements(By.CSS_SELECTOR, "tbody tr:not([hidden]) th")]


def header(table, name):
    return next(head for head in table.find_elements(By.CSS_SELECTOR, "thead th[aria-sort]") if head.text == name)


def as_shown(model):
    return model.replace("\n", "\\n")


def test_a_column_sorts_both_ways_with_missing_values_last(page):
    table = table_after(page, "task-phonebook_copy")
    ten, forty = header(table, "10"), header(table, "40")
    ten.find_element(By.TAG_NAME, "button").click()
    assert (ten.get_attribute("aria-sort"), names(table)) == ("descending", [as_shown(HOSTILE), "steady", "brief"])
    ten.find_element(By.TAG_NAME, "button").click()
    assert (ten.get_attribute("aria-sort"), names(table)) == ("ascending", ["brief", "steady", as_shown(HOSTILE)])
    for order in ("descending", "ascending"):
        forty.find_element(By.TAG_NAME, "button").click()
        # One model is over the context at 40, one was not evaluated there.
        assert (forty.get_attribute("aria-sort"), names(table)[0]) == (order, "steady")
    assert ten.get_attribute("aria-sort") == "none"


def test_tab_reaches_the_sort_buttons_and_enter_sorts(page):
    buttons = []
    for _ in range(30):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        if focused.tag_name == "button" and focused.text == "Area":
            break
        buttons.append(focused.text)
    assert buttons[0] == "Skip to the results"
    assert page.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    ActionChains(page).send_keys(Keys.ENTER).perform()
    assert focused.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


def test_a_checkbox_hides_a_model_in_every_chart_and_table(page):
    def shown_marks():
        """Lines of the two charts of accuracy, and cells of the heat map."""
        lines = [
            len(page.find_elements(By.CSS_SELECTOR, f"#chart-accuracy-{task}-1 .mark-line path"))
            for task in ("phonebook_copy", "squad_by_length")
        ]
        return [*lines, len(page.find_elements(By.CSS_SELECTOR, "[id^=chart-depth] .mark-rect path"))]

    def wait_for(marks):
        WebDriverWait(page, 5).until(lambda _: shown_marks() == marks, f"{shown_marks()}")

    wait_for([3, 1, 15])
    page.find_element(By.XPATH, "//label[contains(., 'steady')]").click()
    wait_for([2, 0, 0])
    tables = page.find_elements(By.CSS_SELECTOR, "main table")
    assert len(tables) >= 5
    assert not any("steady" in name for table in tables for name in names(table))
    page.find_element(By.CSS_SELECTOR, "button[value=none]").click()
    wait_for([0, 0, 0])
    page.find_element(By.CSS_SELECTOR, "button[value=all]").click()
    wait_for([3, 1, 15])


def hover(page, place, chart="chart-accuracy-phonebook_copy-1", kind="symbol"):
    point = page.find_elements(By.CSS_SELECTOR, f"#{chart} .mark-{kind} path")[place]
    page.execute_script("arguments[0].closest('.chart').scrollIntoView({block: 'center', behavior: 'instant'})", point)
    ActionChains(page).move_to_element(point).perform()
    return WebDriverWait(page, 5).until(
        lambda page: page.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible").text
    )


def test_hovering_over_a_point_shows_its_values_and_no_markup_of_its_model(page):
    text = next(text for place in range(9) if as_shown(HOSTILE) in (text := hover(page, place)))
    for part in ("exact match 100.0%", "95 % interval 92.9% to 100.0%", "entries in the phonebook 10", "prompts 50"):
        assert part in text


def test_hovering_over_a_cell_of_a_heat_map_shows_its_prompts_and_interval(page):
    text = hover(page, 0, "chart-depth-phonebook_copy-1", "rect")
    for part in ("exact match 100.0%", "95 % interval 72.2% to 100.0%", "depth 0% to 20%", "prompts 10"):
        assert part in text


def test_nothing_of_a_models_name_is_executed_or_becomes_an_element(page):
    hover(page, 0)
    assert page.execute_script("return window.hacked") is None
    assert page.find_elements(By.CSS_SELECTOR, "img, a[href^=javascript], main b, svg a, #vg-tooltip-element b") == []
    assert page.find_elements(By.XPATH, "//label[contains(., '<b>bold')]")


def test_no_request_leaves_the_file_and_the_console_is_silent(page, page_url):
    hover(page, 0)
    page.find_element(By.CSS_SELECTOR, "#models label").click()
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent" and message["params"]["documentURL"] == page_url
    ]
    assert requests[0] == page_url
    assert all(url.startswith(("data:", "blob:")) for url in requests[1:])
    assert page.get_log("browser") == []


@pytest.mark.parametrize("width", [360, 390])
def test_the_page_fits_a_phone_and_its_tables_scroll_in_their_boxes(page, width):
    with screen_of(page, width):
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        box = page.find_element(By.CSS_SELECTOR, "section[aria-labelledby=leaderboard] .scroll")
        assert page.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)


def test_on_a_phone_the_models_stay_in_sight_above_what_scrolls(page):
    with screen_of(page, 390):
        for table in page.find_elements(By.CSS_SELECTOR, "section > .scroll thead"):
            page.execute_script("window.scrollTo(0, arguments[0].getBoundingClientRect().top + scrollY - 20)", table)
            assert page.execute_script("return document.elementFromPoint(120, 40).closest('aside') !== null")


def contrasts(page):
    """Return the least contrast of text to its background, as WCAG defines it, for each kind of element with text."""
    return page.execute_script("""
        const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
        const paper = (element) => {
            for (; element; element = element.parentElement) {
                const colour = parse(getComputedStyle(element).backgroundColor);
                if (colour.length === 3 || colour[3] > 0) return colour;
            }
        };
        const least = {};
        // Figures on the cells of a heat map have a background of their own; a test of their colours holds it.
        for (const element of document.querySelectorAll("body *")) {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            if (!own || !element.checkVisibility() || element.closest("script, .role-mark")) continue;
            const style = getComputedStyle(element);
            const ink = parse(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
            const [one, other] = [luminance(ink), luminance(paper(element))].sort((a, b) => b - a);
            const kind = `${element.tagName} ${element.getAttribute("class") ?? ""}`.trim();
            least[kind] = Math.min(least[kind] ?? Infinity, (one + 0.05) / (other + 0.05));
        }
        return least;
    """)


TRAINING = "chart-emergence-phonebook_copy-1"


def test_over_training_a_point_shows_length_step_accuracy_and_interval(sweep):
    text = next(text for place in range(20) if "step 500" in (text := hover(sweep, place, TRAINING)))
    # Wilson's interval of 25 right out of 50.
    for part in ("entries in the phonebook 10", "training step 500", "exact match 50.0%", "36.6% to 63.4%"):
        assert part in text
    assert sweep.execute_script("return window.hacked") is None
    assert sweep.get_log("browser") == []


def test_over_training_the_table_sorts_by_step_and_by_a_length(sweep):
    table = next(table for table in sweep.find_elements(By.CSS_SELECTOR, "main table") if "Training step" in table.text)
    assert names(table)[::9] == ["0", "900"]
    header(table, "Training step").find_element(By.TAG_NAME, "button").click()
    assert names(table)[::9] == ["900", "0"]
    header(table, "20").find_element(By.TAG_NAME, "button").click()
    header(table, "20").find_element(By.TAG_NAME, "button").click()
    assert names(table)[::9] == ["0", "900"]


def test_over_training_a_chart_shows_while_any_step_of_its_model_is_ticked_and_fits_the_window_again(sweep):
    chart = sweep.find_element(By.ID, TRAINING)
    assert chart.is_displayed()
    sweep.find_element(By.CSS_SELECTOR, "button[value=none]").click()
    assert not chart.is_displayed()
    sweep.find_element(By.XPATH, "//label[contains(., '@step100')]").click()
    assert chart.is_displayed()
    sweep.find_element(By.XPATH, "//label[contains(., 'other')]").click()
    sweep.find_element(By.XPATH, "//label[contains(., '@step100')]").click()
    assert not chart.is_displayed()
    with screen_of(sweep, 390):
        sweep.find_element(By.CSS_SELECTOR, "button[value=all]").click()
        assert chart.is_displayed()
        drawing = chart.find_element(By.TAG_NAME, "svg")
        WebDriverWait(sweep, 5).until(lambda _: 0 < drawing.rect["width"] <= chart.rect["width"])
        assert sweep.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("url", ["page_url", "sweep_url"])
def test_all_text_can_be_read_in_the_light_and_in_the_dark(chromium, url, scheme, request):
    page = open_page(chromium, request.getfixturevalue(url))
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        found = WebDriverWait(page, 5).until(
            lambda page: min((measured := contrasts(page)).values()) >= 4.5 and measured, f"{contrasts(page)}"
        )
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert {"TD number", "H1", "text"} <= set(found)
