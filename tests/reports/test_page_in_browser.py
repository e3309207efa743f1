"""The page in a real browser: Chromium without a window, driven as a reader would."""

import json
import shutil

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
)  # fmt: skip

HOSTILE = '<img src=x onerror=alert(1)><b>bold</b>, "a" </script>\n=cmd()'


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, {10: 0.9, 20: 0.5, 40: 0.1}, model="steady")
    write_results(folder, {10: 1.0, 20: 0.04, 40: "over context"}, model=HOSTILE)
    write_results(folder, {10: 0.3, 20: 0.2}, model="brief")
    file = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(render_page(build_report([folder])), encoding="utf-8")
    return file


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
