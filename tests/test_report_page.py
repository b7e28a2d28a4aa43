"""The report's page: whole in one file, names as text, worst first, small."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from facedepth.evaluation.report_page import MOST_ROWS, Case, report_page

SETTINGS = {"model": "unet", "kind": "relief", "region": "face", "align": "scale_shift", "depth_kind": "metric"}
VOID = {"meta", "input", "img", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and collects the pictures' table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data


def scores_of(values) -> list[dict]:
    return [{"name": f"seed{index:04d}", "rmse": value, "mad_deg": 10.0 + index} for index, value in enumerate(values)]


def page_of(values, cases=()) -> str:
    return report_page(scores_of(values), SETTINGS, cases, main_score="rmse")


def test_the_table_has_every_picture_the_worst_first():
    page = Page(page_of([0.2, 0.5, float("nan"), 0.1]))
    names = [row[0] for row in page.rows if row and row[0].startswith("seed")]
    assert names == ["seed0002", "seed0001", "seed0000", "seed0003"]  # one without a score is a fault: first
    assert ["seed0001", "0.500", "11.00"] in page.rows
    assert ["seed0002", "-", "12.00"] in page.rows


def test_means_are_those_of_the_pictures_that_have_a_score():
    page = Page(page_of([0.2, 0.4, float("nan")]))
    (row,) = [row for row in page.rows if row[0] == "rmse" and len(row) == 6]
    assert row[1:3] == ["0.300", "0.300"]


def test_one_picture_is_a_number_and_neither_worst_nor_best():
    case = Case("best", {"name": "a", "rmse": 0.0033}, {"a": np.zeros((8, 8, 3), np.uint8)})
    page = report_page([{"name": "a", "rmse": 0.0033}], SETTINGS, [case], main_score="rmse")
    assert "unet on 1 picture<" in page
    assert '<div class="card"><p>0.00330</p></div>' in page
    assert "<h2>The picture</h2>" in page
    assert "<figcaption>photo</figcaption>" in page  # its name stands above


def test_few_pictures_are_a_line_each_and_many_are_bars_that_say_how_many():
    page = page_of([0.2, 0.5, 0.3])
    assert re.findall(r"<line[^>]*><title>(0\.\d+)", page)[:3] == ["0.200", "0.500", "0.300"]
    assert "<rect" not in page
    assert '<p class="ends"><span>0.200</span><span>each line a picture</span><span>0.500</span></p>' in page
    page = page_of([0.1] * 7 + list(np.linspace(0.2, 0.5, 13)))
    assert "<line" not in page
    assert "<title>0.100 to 0.140: 7</title>" in page
    assert "tallest bar: 7 pictures" in page


def test_a_column_is_written_with_the_same_decimals_throughout():
    scores = [{"name": str(place), "rmse": value} for place, value in enumerate((0.0051, 0.00564, 0.0, 12.0))]
    page = Page(report_page(scores, SETTINGS, [], main_score="rmse"))
    assert [row[1] for row in page.rows if row[0].isdigit()] == ["12.00000", "0.00564", "0.00510", "0.00000"]


def test_scores_near_one_are_told_apart():
    scores = [{"name": str(place), "rmse": value} for place, value in enumerate((1.0, 1.0, 0.998))]
    page = Page(report_page(scores, SETTINGS, [], main_score="rmse"))
    assert [row[1] for row in page.rows if row[0].isdigit()] == ["1.00000", "1.00000", "0.99800"]


def test_a_picture_without_a_name_has_a_row_too():
    page = Page(report_page([{"name": "", "rmse": 0.1}, {"name": "b", "rmse": 0.2}], SETTINGS, [], main_score="rmse"))
    assert ["", "0.100"] in page.rows


def test_what_was_scored_and_when_stand_under_the_title():
    page = report_page(scores_of([0.1, 0.2]), SETTINGS | {"data": "Faces('x<y')", "date": "2026-01-02"}, [],
                       main_score="rmse")
    assert "<br>Faces(&#x27;x&lt;y&#x27;), 2026-01-02</p>" in page


def test_names_are_text_not_markup():
    scores = [{"name": "<script>alert(1)</script>", "rmse": 0.1}, {"name": "$title & co", "rmse": 0.2}]
    settings = SETTINGS | {"model": '"><img src=x onerror=alert(1)>'}
    case = Case("worst", scores[0], {"<b>bold</b>": np.zeros((4, 4, 3), np.uint8)})
    html = report_page(scores, settings, [case], main_score="rmse")
    Page(html)
    assert html.count("<script>") == 1  # the page's own
    assert "<img src=x" not in html
    assert "<b>" not in html
    assert "$title &amp; co" in html


def test_it_needs_nothing_beside_it():
    case = Case("worst", scores_of([0.1])[0], {"input": np.zeros((8, 8, 3), np.uint8)})
    html = page_of([0.1, 0.2], [case])
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^")\s]+)', html)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "http" not in html


def test_200_pictures_at_512_pixels_stay_below_5_mb():
    rng = np.random.default_rng(0)
    noise = {title: rng.integers(0, 255, (512, 512, 3), np.uint8) for title in "abcdef"}  # the worst for a JPEG
    scores = scores_of(rng.random(200))
    html = report_page(scores, SETTINGS, [Case("worst", scores[0], noise)] * 8, main_score="rmse")
    assert len(html) < 5e6


def test_a_huge_data_set_is_shown_by_its_worst_pictures():
    html = page_of(np.linspace(0.1, 0.2, MOST_ROWS + 500))
    assert html.count('<th scope="row" title="seed') == MOST_ROWS
    assert f"The {MOST_ROWS} worst of {MOST_ROWS + 500} pictures" in html
    assert "seed0000" not in html


@pytest.mark.parametrize("values", [[0.1], [0.1] * 5, [float("nan")], [float("inf"), 0.1]])
def test_odd_columns_are_a_page_too(values):
    Page(page_of(values))


@pytest.mark.parametrize("flat", [0.0, 1.0])
def test_pictures_scored_as_flat_are_told_first(flat):
    scores = [row | {"flat": flat * (place == 2)} for place, row in enumerate(scores_of([1.0, 2.0, 3.0]))]
    page = report_page(scores, SETTINGS, [], main_score="rmse")
    first = re.search(r'class="tile"><span>(\w+)</span><strong>([\d.]+)', page).groups()
    assert first == (("flat", "0.33") if flat else ("rmse", "2.00"))
