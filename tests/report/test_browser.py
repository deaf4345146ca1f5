"""The report in headless Chromium: by mouse, keyboard and screen reader; without script."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpex_bench import plots, report
from gpex_bench.statistics.outcomes import agreement_summary
from tests.vocabulary import frames as synthetic
from tests.vocabulary import report as made_up

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
WebDriverWait = pytest.importorskip(
    "selenium.webdriver.support.ui", reason="needs selenium"
).WebDriverWait
axe = pytest.importorskip("axe_selenium_python", reason="needs axe_selenium_python")
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="needs chromium and chromedriver (Debian: chromium-driver)",
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:selenium", "ignore::ResourceWarning"),
]
SIZES = {"phone": 390, "laptop": 1280, "wide": 1920}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every kind of section and a real figure."""
    conclusions = made_up.conclusions()
    efficiency = made_up.inputs()["efficiency"]
    names = ["lime", "sobol", "random_map"]
    drawings = {
        "cost": plots.cost_against_score(efficiency.query("dataset == 'shapes'"), True),
        "gallery": plots.gallery(plots.Gallery(**synthetic.gallery("mnist5k", 2))),
        "dots": plots.headline_dots(conclusions["headline"], names, "srg"),
    }
    pictures = [
        report.Picture(
            section=name,
            dataset="",
            title=one.title,
            svg=plots.to_svg(one, name),
            data=f"{name}.csv",
        )
        for name, one in drawings.items()
    ]
    agreement = synthetic.agreement(synthetic.predictions(40, 2))
    results = made_up.results(
        run="browser",
        agreement=agreement_summary(agreement),
        surrogates=synthetic.surrogates()[:1],
        bibliography="@misc{bluecher2024decoupling, title = {Decoupling}, year = {2024}}",
        pictures=pictures,
        facts=[{"dataset": "mnist5k", "network": "cnn", "test accuracy": "97 %"}],
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report.render(results))
    return path


def started(width: int = 1280, script: bool = True, dark: bool = False) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return browser


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    found = started()
    found.get(page.as_uri())
    found.execute_script(
        "document.querySelectorAll('#compare .fold').forEach(f => { f.open = true; })"
    )
    yield found
    found.quit()


def test_nothing_is_loaded_and_nothing_is_complained_about(browser: Any, page: Path) -> None:
    asked = [entry["message"] for entry in browser.get_log("performance")]
    urls = [
        text.partition('"url":"')[2].partition('"')[0]
        for text in asked
        if 'Network.requestWillBeSent"' in text
    ]
    assert [url for url in urls if url != page.as_uri() and not url.startswith("data:")] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_table_sorts_both_ways_with_words_last(browser: Any) -> None:
    column = """const table = document.querySelector('#compare details.table table');
        const value = (row) => row.cells[1] ? row.cells[1].dataset.v : '';
        return Array.from(table.tBodies[0].rows, value)"""
    button = browser.find_element(
        "css selector", "#compare details.table table th:nth-child(2) button"
    )
    orders = []
    for _ in range(2):
        browser.execute_script("arguments[0].click()", button)
        orders.append([value for value in browser.execute_script(column)])
    down, up = ([float(value) for value in order if value] for order in orders)
    assert len(down) > 8 and down == sorted(down, reverse=True) and up == sorted(up)
    assert all(not value for order in orders for value in order[len(down) :])
    head = browser.find_element("css selector", "#compare details.table table th:nth-child(2)")
    assert head.get_attribute("aria-sort") == "ascending"


def test_the_filter_shows_what_is_asked_for(browser: Any) -> None:
    rows = "Array.from(document.querySelectorAll('#compare tr[data-kind]'))"
    shown = f"return {rows}.filter((row) => !row.hidden)"
    every = browser.execute_script(f"{shown}.length")
    field = browser.find_element("css selector", "#filter input")
    field.send_keys("lrp")
    names = browser.execute_script(f"{shown}.map((row) => row.cells[0].textContent)")
    assert 0 < len(names) < every and all("lrp" in name for name in names)
    field.send_keys("\b\b\b")
    select = "const select = document.querySelector('#filter select'); select.value = arguments[0];"
    choose = f"{select} select.dispatchEvent(new Event('change'))"
    browser.execute_script(choose, "control")
    assert set(browser.execute_script(f"{shown}.map((row) => row.dataset.kind)")) == {"control"}
    browser.execute_script(choose, "")
    assert browser.execute_script(f"{shown}.length") == every


def test_a_cell_opens_from_the_keyboard_and_closes_with_escape(browser: Any) -> None:
    cell = browser.find_element("css selector", "#compare details.table td details summary")
    browser.execute_script("arguments[0].focus()", cell)
    cell.send_keys("\ue007")  # Enter
    dialog = browser.find_element("css selector", "dialog")
    assert dialog.is_displayed() and "samples: median" in dialog.text and "srg" in dialog.text
    assert (
        dialog.find_element("css selector", "svg.hist path").get_attribute("d").startswith("M0 20V")
    )
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert not dialog.is_displayed()


def test_a_link_opens_the_card_it_leads_to(browser: Any) -> None:
    link = browser.find_element("css selector", "#compare a[href='#method-lime']")
    browser.execute_script("arguments[0].click()", link)
    card = browser.find_element("id", "method-lime")
    assert card.get_attribute("open") is not None
    assert "hyperparameters" in card.text and "srg" in card.text


def test_axe_finds_no_serious_fault(browser: Any) -> None:
    for dark in (False, True):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        axe.Axe(browser).inject()
        browser.execute_script(
            "window.found = null;"
            "axe.run({exclude: [['figure svg']]}, {resultTypes: ['violations']})"
            ".then((result) => { window.found = [result.violations, result.passes.length]; })"
        )
        waiting = WebDriverWait(browser, 300, 1)  # it takes long on a machine with other work
        faults, n_passed = waiting.until(
            lambda driver: driver.execute_script("return window.found")
        )
        assert n_passed > 15  # rules that found something to look at
        serious = [
            f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])})"
            for one in faults
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], f"dark: {dark}"


@pytest.mark.parametrize("width", SIZES.values(), ids=SIZES)
def test_the_page_is_no_wider_than_the_window(browser: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_everything_can_be_read_without_script(page: Path) -> None:
    found = started(script=False)
    try:
        found.get(page.as_uri())
        assert found.find_elements("css selector", "dialog, th button, #filter input") == []
        found.find_element("css selector", "#scores-1 > summary").send_keys("\ue007")
        cell = found.find_element("css selector", "#scores-1 details.table td details")
        detail = cell.find_element("css selector", "div")
        assert not detail.is_displayed()
        cell.find_element("css selector", "summary").send_keys("\ue007")
        assert detail.is_displayed() and "samples: median" in detail.text
        card = found.find_element("id", "method-lime")
        group = "//details[.//details[@id='method-lime']]/summary"
        found.find_element("xpath", group).send_keys("\ue007")
        card.find_element("css selector", "summary").send_keys("\ue007")
        assert "hyperparameters" in card.text
    finally:
        found.quit()
