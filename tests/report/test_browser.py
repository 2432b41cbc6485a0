"""The page in a real browser: it opens, filters, opens cards, and runs nothing that a name contains."""

import re
import shutil
import time
from urllib.parse import unquote

import pytest
from conftest import make_data, make_explanations

from gragr_explain.report import export

webdriver = pytest.importorskip("selenium.webdriver")
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium and chromedriver are needed")

HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "\"'><img src=x onerror='window.pwned = 2'>",
    "{{ 7 * 7 }} 🦊 <!-- \u2028 日本",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory, history):
    data = make_data()
    explanations = make_explanations(
        data, class_names=HOSTILE, feature_names=[HOSTILE[i % 3] for i in range(6)],
        texts=lambda node: f"Reason {node}: {HOSTILE[node % 3]}",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("page")
    return export(
        explanations,
        folder,
        data=data,
        history=history,
        title=f"Title {HOSTILE[0]}",
        cards=[3, 4, 39],
        formats=["html"],
    )["html"]


@pytest.fixture
def opened(browser, page):
    browser.get("about:blank")
    browser.get(page.as_uri())
    yield browser
    assert browser.execute_script("return window.pwned") is None
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def wait(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not come to what was expected"
        time.sleep(0.02)


def card_shown(browser):
    return browser.execute_script(
        "return Number(document.querySelector('dialog[open] [data-card]')?.dataset.card ?? NaN)"
    )


def shown_nodes(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#rows tr[data-node]')].map(r => +r.dataset.node)"
    )


def test_hostile_names_are_shown_and_not_run(opened):
    assert f"Title {HOSTILE[0]}" == opened.title
    find(opened, "#gallery a")[0].click()
    wait(lambda: card_shown(opened) == 3)
    text = opened.execute_script("return document.querySelector('dialog').textContent")
    assert f"Reason 3: {HOSTILE[0]}" in text
    assert all(name in text for name in HOSTILE[:2])
    assert find(opened, "img[src=x]") == []


def test_a_row_opens_its_card_and_escape_closes_it(opened):
    row = find(opened, "#rows tr[data-node]")[2]
    node = int(row.get_attribute("data-node"))
    row.click()
    wait(lambda: card_shown(opened) == node)
    assert opened.switch_to.active_element.get_attribute("id") == "card-title"
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait(lambda: card_shown(opened) is None)
    wait(lambda: "#node" not in opened.current_url)  # the dialog tells of its closing a moment later


def test_by_keyboard_alone(opened):
    link = find(opened, "#rows a.node")[0]
    link.send_keys(Keys.ENTER)
    wait(lambda: card_shown(opened) is not None)
    first = card_shown(opened)
    opened.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    wait(lambda: card_shown(opened) != first)
    assert card_shown(opened) == shown_nodes(opened)[1]


def test_a_neighbour_leads_to_its_card_and_back(opened):
    opened.get(f"{opened.current_url.split('#')[0]}#node-4")
    wait(lambda: card_shown(opened) == 4)
    neighbour = find(opened, "dialog svg.subgraph a")[0]
    node = int(neighbour.get_dom_attribute("href").removeprefix("#node-"))
    neighbour.find_element("css selector", "circle").click()
    wait(lambda: card_shown(opened) == node != 4)
    opened.back()
    wait(lambda: card_shown(opened) == 4)


def test_undefined_entries_are_said_with_their_reason(opened):
    opened.get(f"{opened.current_url.split('#')[0]}#node-39")
    wait(lambda: card_shown(opened) == 39)
    undefined = [item.text for item in find(opened, "dialog .psi.none")]
    assert any("not defined: it has no neighbours" in text for text in undefined)
    assert "No edge supports this prediction" in find(opened, "dialog")[0].text


def test_who_wrote_the_rationale(opened):
    for node, says in [(3, "was replaced by the template's"), (4, "Written by a language model"), (5, "by a template")]:
        opened.get(f"{opened.current_url.split('#')[0]}#node-{node}")
        wait(lambda node=node: card_shown(opened) == node)
        assert says in find(opened, "dialog .writer")[0].text


def test_search_filters_and_sorting(opened):
    total = find(opened, "#count")[0].text
    assert total == "40 nodes"
    query = find(opened, "#query")[0]
    query.send_keys("node 17")
    assert shown_nodes(opened) == [17]
    query.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    query.send_keys("reason 2")
    assert sorted(shown_nodes(opened)) == [2, *range(20, 30)]
    query.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    query.send_keys("nothing like this")
    assert shown_nodes(opened) == []
    assert "No node fits" in find(opened, "#rows")[0].text
    query.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    find(opened, "#wrong-filter")[0].click()
    wrong = shown_nodes(opened)
    assert wrong
    assert len(find(opened, "#rows tr.wrong")) == len(wrong)
    assert find(opened, "#count")[0].text == f"{len(wrong)} of 40 nodes"
    find(opened, "#wrong-filter")[0].click()
    find(opened, "th[data-key=node] button")[0].click()
    assert shown_nodes(opened) == list(range(25))
    assert find(opened, "th[data-key=node]")[0].get_attribute("aria-sort") == "ascending"
    find(opened, "#next-page")[0].click()
    assert shown_nodes(opened) == list(range(25, 40))


def test_filter_by_role_and_class(opened):
    choose = (
        "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))"
    )
    opened.execute_script(choose, "role-filter", "outlier")
    cells = {cell.text for cell in find(opened, "#rows td[data-key=role]")}
    assert cells == {"outlier"}
    opened.execute_script(choose, "role-filter", "")
    opened.execute_script(choose, "class-filter", "2")
    for row in find(opened, "#rows tr"):
        assert HOSTILE[2].split()[0] in row.text
    assert len(find(opened, "#rows tr")) < 40


def test_every_picture_has_an_alternative_and_every_control_a_name(opened):
    nameless = opened.execute_script("""
      return [...document.querySelectorAll("button, select, input, [role=img], [role=region], img")].filter((e) =>
        !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label") || e.hasAttribute("alt")))
        .map((e) => e.outerHTML)""")
    assert nameless == []
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_a_phone_needs_no_sideways_scrolling(opened):
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        find(opened, "#gallery a")[0].click()
        wait(lambda: card_shown(opened) == 3)
        assert opened.execute_script(
            "const d = document.getElementById('dialog'); return d.scrollWidth <= d.clientWidth"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_colour_of_the_map_can_be_chosen(opened):
    picture = "return document.getElementById('map-canvas').toDataURL()"
    wait(lambda: opened.execute_script("return document.getElementById('map-canvas').width") > 300)
    before = opened.execute_script(picture)
    opened.execute_script(
        "const s = document.getElementById('map-colour'); s.value = 'class'; s.dispatchEvent(new Event('change'))"
    )
    assert opened.execute_script(picture) != before
    assert HOSTILE[1] in find(opened, "#map-legend")[0].text


def test_printing_shows_the_cards_in_full(opened):
    opened.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert [card.get_attribute("data-card") for card in find(opened, "#printed-cards [data-card]")] == ["3", "4", "39"]
    opened.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert find(opened, "#printed-cards [data-card]") == []


def test_the_page_asks_for_nothing(browser, page):
    text = unquote(page.read_text(encoding="utf-8"))
    assert re.findall(r"""(?:src|href|action|url|import)\s*[=(]\s*["']?\s*(?:https?:)?//""", text) == []
    assert "http://" not in text
    assert "https://" not in text
    browser.get("about:blank")
    browser.get(page.as_uri())
    requests = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in requests if not name.startswith("data:")] == []


@pytest.mark.parametrize("options", [{"labels": False}, {"regression": True}, {"flat": True}, {"nodes": []}])
@pytest.mark.parametrize("edges", [True, False])
def test_pages_of_any_batch_open_without_an_error(browser, tmp_path, options, edges):
    data = make_data(edges=edges)
    path = export(make_explanations(data, **options), tmp_path, data=data, image_shape=(2, 3), formats=["html"])["html"]
    browser.get_log("browser")
    browser.get(path.as_uri())
    browser.execute_script("document.querySelector('#gallery a')?.click()")
    if "nodes" not in options:
        wait(lambda: card_shown(browser) is not None)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_ten_thousand_nodes_open_and_filter_fast(browser, tmp_path):
    data = make_data(10_000)
    words = " ".join(["the neighbours pull this way and that"] * 10)
    explanations = make_explanations(data, texts=lambda node: f"Node {node}: {words}, word{node % 100}x.")
    path = export(explanations, tmp_path, data=data, formats=["html"])["html"]
    browser.get("about:blank")
    start = time.perf_counter()
    browser.get(path.as_uri())
    opened = time.perf_counter() - start
    assert find(browser, "#count")[0].text == "10,000 nodes"
    assert len(find(browser, "#rows tr")) == 25
    times = browser.execute_script("""
      const query = document.getElementById("query");
      return ["word7x", "word", "node 99", ""].map((text) => {
        const start = performance.now();
        query.value = text;
        query.dispatchEvent(new Event("input"));
        return [performance.now() - start, document.getElementById("count").textContent];
      })""")
    assert [count for _, count in times] == [
        "100 of 10,000 nodes",
        "10,000 nodes",
        "111 of 10,000 nodes",
        "10,000 nodes",
    ]
    print(f"opened in {opened:.2f} s, filtered in {', '.join(f'{ms:.0f}' for ms, _ in times)} ms")
    assert opened < 6
    assert max(ms for ms, _ in times) < 500
