"""The page of graphs in a real browser: it opens, filters, draws, and runs nothing that a name contains."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import CONTRAST, HOSTILE, LOOKS, barriers, card_shown, find, seen_as, visit, wait
from made_graphs import make_graph_explanations, make_graphs

from gragr_explain.rationale import ChangeFact
from gragr_explain.report import export

Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    graphs = make_graphs()
    explanations = make_graph_explanations(
        graphs, class_names=[*HOSTILE[:2], "third"], feature_names=["C", HOSTILE[0], HOSTILE[1], "N"],
        texts=lambda number: f"Reason {number}: {HOSTILE[number % 3]}",
        changes=lambda number: ChangeFact(1 + number % 3, HOSTILE[number % 2], 0.7) if number % 4 else None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("page")
    return export(
        explanations,
        folder,
        data=graphs,
        title=f"Title {HOSTILE[0]}",
        cards=[3, 2, 4],
        formats=["html"],
        progress=False,
    )["html"]


@pytest.fixture
def opened(browser, page):
    yield from visit(browser, page)


def shown_graphs(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#rows tr[data-id]')].map((row) => +row.dataset.id)"
    )


def open_card(browser, number):
    browser.execute_script(f"window.location.hash = 'graph-{number}'")
    wait(lambda: card_shown(browser) == number)


def test_hostile_names_are_shown_and_not_run(opened):
    assert f"Title {HOSTILE[0]}" == opened.title
    find(opened, "#gallery a")[0].click()
    wait(lambda: card_shown(opened) == 3)
    text = opened.execute_script("return document.querySelector('dialog').textContent")
    assert f"Reason 3: {HOSTILE[0]}" in text
    assert all(name in text for name in HOSTILE[:2])
    assert find(opened, "img[src=x]") == []
    assert HOSTILE[0] in find(opened, "#patterns")[0].get_attribute("textContent")


def test_a_card_draws_the_whole_graph_and_what_supports_it(opened):
    open_card(opened, 3)
    assert len(find(opened, "dialog .subgraph circle")) == 11
    assert len(find(opened, "dialog .subgraph .edge")) == 10  # both ways as one
    assert len(find(opened, "dialog .subgraph .edge.key")) == 1
    assert len(find(opened, "dialog .subgraph .edge.pale")) == 6
    assert find(opened, "dialog .subgraph .head") == []
    assert "11 of its 11 nodes; 4 edges support" in find(opened, "dialog .subgraph")[0].get_attribute("aria-label")
    open_card(opened, 2)  # goes one way only
    assert len(find(opened, "dialog .subgraph .head")) == 4
    open_card(opened, 4)
    assert "No edge supports this prediction" in find(opened, "dialog")[0].text
    assert find(opened, "dialog .subgraph .edge") == []


def test_rows_keys_and_the_address_open_cards(opened):
    row = find(opened, "#rows tr[data-id]")[2]
    row.click()
    wait(lambda: card_shown(opened) == 2)
    assert opened.switch_to.active_element.get_attribute("id") == "card-title"
    opened.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    wait(lambda: card_shown(opened) == 3)
    assert opened.current_url.endswith("#graph-3")
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait(lambda: card_shown(opened) is None)
    link = find(opened, ".picks a")[0]
    number = int(link.get_dom_attribute("href").removeprefix("#graph-"))
    link.click()
    wait(lambda: card_shown(opened) == number)


def test_search_filters_and_sorting(opened):
    assert find(opened, "#count")[0].text == "30 graphs"
    query = find(opened, "#query")[0]
    query.send_keys("graph 17")
    assert shown_graphs(opened) == [17]
    query.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    query.send_keys("nothing like this")
    assert "No graph fits" in find(opened, "#rows")[0].text
    find(opened, "#clear")[0].click()
    find(opened, "#wrong-filter")[0].click()
    assert shown_graphs(opened) == [0, 5, 10, 15, 20, 25]
    find(opened, "#clear")[0].click()
    opened.execute_script("document.querySelector('[data-show=falls]').click()")
    assert find(opened, "#falls-filter")[0].is_selected()
    assert 0 < len(shown_graphs(opened)) < 25
    find(opened, "#clear")[0].click()
    find(opened, "th[data-key=sure] button")[0].click()
    assert shown_graphs(opened) == list(range(25))
    find(opened, "th[data-key=sure] button")[0].click()
    assert shown_graphs(opened) == list(range(29, 4, -1))


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_no_barrier_is_found(opened, look):
    with seen_as(opened, **look):
        for card in (None, 3, 4):
            if card is not None:
                open_card(opened, card)
            assert barriers(opened) == []


@pytest.mark.parametrize("look", [{}, {"dark": True}], ids=str)
def test_every_text_stands_out_from_its_ground(opened, look):
    with seen_as(opened, **look):
        for card in (None, 3):
            if card is not None:
                open_card(opened, card)
            seen, faint = opened.execute_script(CONTRAST)
            assert seen > 20
            assert faint == []


def test_a_phone_needs_no_sideways_scrolling(opened):
    with seen_as(opened, phone=True):
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        open_card(opened, 3)
        assert opened.execute_script(
            "const d = document.getElementById('dialog'); return d.scrollWidth <= d.clientWidth"
        )


def test_printing_shows_the_cards_in_full_and_no_controls(opened):
    with seen_as(opened, medium="print"):
        opened.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        cards = find(opened, "#printed-cards [data-card]")
        assert [card.get_attribute("data-card") for card in cards] == ["3", "2", "4"]
        assert all(card.is_displayed() for card in cards)
    opened.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert find(opened, "#printed-cards [data-card]") == []


@pytest.mark.parametrize("settings", [{"regression": True}, {"labels": False}, {"index": [4]}, {"index": []}], ids=str)
def test_pages_of_other_explanations_open(browser, tmp_path, settings):
    graphs = make_graphs(12, one_hot=False)
    explanations = make_graph_explanations(graphs, **settings)
    page = export(explanations, tmp_path, data=graphs, formats=["html"], progress=False)["html"]
    for opened in visit(browser, page):
        count = len(explanations)
        assert find(opened, "#count")[0].text == f"{count} graphs"
        if count:
            open_card(opened, int(explanations.index[0]))


@pytest.mark.parametrize(
    ("settings", "title", "none"),
    [
        ({"class_names": HOSTILE}, f"Edges that support the label {HOSTILE[0]}", f"supports the label {HOSTILE[0]}."),
        ({"regression": True}, "Edges that bring it near its label", "brings this value near its label."),
    ],
)
def test_where_labels_are_explained_cards_say_what_supports_the_label(browser, tmp_path, settings, title, none):
    graphs = make_graphs(12)
    explanations = replace(make_graph_explanations(graphs, **settings), explains_labels=True)
    page = export(explanations, tmp_path, data=graphs, formats=["html"], progress=False)["html"]
    for opened in visit(browser, page):
        open_card(opened, 4)  # a graph without edges
        assert title in [heading.text for heading in find(opened, "dialog h3")]
        assert f"No edge {none}" in find(opened, "dialog")[0].text
        assert "edges support its label" in find(opened, "dialog .subgraph")[0].get_attribute("aria-label")
