"""Pages of a release: one truth in HTML and JSON, the same bytes again, and nothing a department sends comes alive."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from expectations.catalog import Department, Unusable
from jobs.assess import assess, read_weights
from jobs.books import Books
from jobs.findings import wording
from jobs.scorecard import score, write_pages
from lakehouse.errors import ContractError, LakeError
from lakehouse.ops import Ops
from lakehouse.runs import Run
from lakehouse.settings import Settings
from tests.jobs.made_up import DAY, at, catalog, checked, contract, delivered, failing, released, whole_city

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<!--",
    "]]>",
    "\u202egnp.exe\u2028",
    "&lt;b&gt;",
]


class Document(HTMLParser):
    """The tags, attributes and texts of a page; fails on tags that don't close."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("lake")
    ops, found = whole_city(home, days=3)
    write_pages(home / "pages", ops, found, DAY + timedelta(days=2))
    return home, ops, found


def test_a_page_and_a_json_for_the_city_and_every_department(city):
    home, _, found = city
    names = {"index", *(d.id for d in found.departments)}
    pages = {f"{name}.{kind}" for name in names for kind in ("html", "json")}
    checks = {f"{department.id}.checks.html" for department in found.departments}
    there = {p.name for p in (home / "pages").iterdir() if not p.name.endswith(".gx.json")}
    assert there == pages | checks
    assert all(p.stat().st_size < 1_000_000 for p in (home / "pages").iterdir())


def test_html_and_json_say_the_same_numbers_as_the_assessment(city):
    home, ops, found = city
    day = DAY + timedelta(days=2)
    assessment = assess(Books.read(ops, found, day), found, read_weights(found.path))
    for department in found.departments:
        page = json.loads((home / "pages" / f"{department.id}.json").read_text("utf-8"))
        points = assessment.scores[department.id, "", "overall"].score
        assert page["grade"]["score"] == (None if points is None else round(points, 6))
        shown = "—" if points is None else f"{points:.1f}"
        html = (home / "pages" / f"{department.id}.html").read_text("utf-8")
        assert re.search(rf'<p class="big">{shown}\s', html)


def test_gains_add_up_to_everything_that_was_lost(city):
    home, _, found = city
    for department in found.departments:
        page = json.loads((home / "pages" / f"{department.id}.json").read_text("utf-8"))
        lost = 100 * page["grade"]["coverage"] - page["grade"]["floor"]
        assert sum(f["gain"] for f in page["findings"]) == pytest.approx(lost, abs=1e-3)


def test_a_wrong_contract_is_shown_with_its_reason(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    owner = found.contracts[0].department
    mistake = f"{found.path}/contracts/{owner}/a_broken.yml:7: columns: <wrong>"
    broken = replace(found, unusable=(Unusable(owner, "a_broken", (mistake,)),))
    write_pages(tmp_path / "pages", ops, broken, DAY)
    page = json.loads((tmp_path / "pages" / f"{owner}.json").read_text("utf-8"))
    (shown,) = [d for d in page["datasets"] if d["id"] == "a_broken"]
    assert (shown["grade"]["score"], shown["grade"]["coverage"], shown["usable"]) == (None, 0, "unknown")
    assert shown["fault"] == f"contracts/{owner}/a_broken.yml:7: columns: <wrong>"
    assert sum(f["gain"] for f in page["findings"]) == pytest.approx(
        100 * page["grade"]["coverage"] - page["grade"]["floor"], abs=1e-3
    )
    html = (tmp_path / "pages" / f"{owner}.html").read_text("utf-8")
    assert f"contracts/{owner}/a_broken.yml:7: columns: &lt;wrong&gt;" in html and "no score" in html


def test_pages_carry_everything_and_allow_nothing_else(city):
    home, _, _ = city
    for path in (home / "pages").glob("*.html"):
        text = path.read_text("utf-8")
        page = Document(text)
        policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
        assert policy.startswith("default-src 'none';")
        for tag in ("style", "script"):
            inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)
            digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        assert not {name for _, name, _ in page.attributes if name.startswith("on") or name in ("style", "src")}
        links = {value for _, name, value in page.attributes if name == "href"}
        assert all(link == "#main" or (home / "pages" / link).exists() for link in links)


def test_tables_have_captions_and_scopes_and_charts_have_titles(city):
    home, _, _ = city
    for path in (home / "pages").glob("*.html"):
        text = path.read_text("utf-8")
        assert text.count("<table") == text.count("<caption")
        assert not re.search(r"<th(?![^>]*scope=)[ >]", text)
        assert all("<title>" in svg for svg in re.findall(r'<svg[^>]*role="img".*?</svg>', text, re.S))
        assert len(re.findall(r'<span lang="zh">', text)) == len(re.findall(r'<span lang="en">', text))


def test_the_same_release_gives_the_same_bytes_whatever_came_later(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    write_pages(tmp_path / "one", ops, found, DAY)
    write_pages(tmp_path / "two", ops, found, DAY)
    delivered(ops, found.contracts[0], DAY, at=at(DAY, 40), quarantined=50)
    checked(ops, found.contracts[0], DAY, "id.required", 0, 100, at=at(DAY, 40))
    failing(ops, found.contracts[0], DAY, "id.required", key="later", at=at(DAY, 40))
    released(ops, DAY + timedelta(days=1), hour=20)
    ops.flush("later")
    write_pages(tmp_path / "three", ops, found, DAY)
    pages = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two", "three")]
    assert pages[0] == pages[1] == pages[2]


@pytest.fixture
def ops_of_two_days(home: Path):
    ops, firms = Ops(home), contract("trade", "firms")
    delivered(ops, firms, DAY, quarantined=3)
    checked(ops, firms, DAY, "id.required", 90, 100)
    for row in (9, 4, 7, 5):
        failing(ops, firms, DAY, "id.required", source_file="a.csv", source_row=row, key=f"k**{row}")
    released(ops, DAY)
    ops.flush("test")
    return ops, catalog([firms])


def test_a_finding_names_rows_to_look_at(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    write_pages(tmp_path / "pages", ops, found, DAY)
    finding = json.loads((tmp_path / "pages" / "trade.json").read_text("utf-8"))["findings"][0]
    assert (finding["check"], finding["failed"], finding["evaluated"]) == ("id.required", 10, 100)
    assert [e["row"] for e in finding["examples"]] == [4, 5, 7]
    html = (tmp_path / "pages" / "trade.html").read_text("utf-8")
    assert "a.csv" in html
    assert "k**4" in html
    assert wording().checks["required"].advice.zh in html


def test_files_that_were_taken_away_are_named_until_they_are_sent_again(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    pages, firms = tmp_path / "pages", found.contracts[0]
    for name in ("a.csv", "b.csv"):
        delivered(ops, firms, DAY, event="withdrawn", name=name, delivery_id=name, at=at(DAY, 8.6), rows=0)
    delivered(ops, firms, DAY, event="restored", name="b.csv", delivery_id="b.csv", at=at(DAY, 8.7), rows=0)
    ops.flush("again")
    write_pages(pages, ops, found, DAY)
    (dataset,) = json.loads((pages / "trade.json").read_text("utf-8"))["datasets"]
    assert (dataset["withdrawn"], dataset["rows"]["received"]) == (["a.csv"], 100)
    assert "taken away after delivery" in (pages / "trade.html").read_text("utf-8")


def test_rows_of_the_newest_run_only(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    failing(ops, found.contracts[0], DAY, "id.required", at=at(DAY, 8.7), run_id="again", source_row=88)
    ops.flush("again")
    write_pages(tmp_path / "pages", ops, found, DAY)
    finding = json.loads((tmp_path / "pages" / "trade.json").read_text("utf-8"))["findings"][0]
    assert [e["row"] for e in finding["examples"]] == [88]


def test_nothing_that_was_sent_comes_alive(home, tmp_path):
    ops = Ops(home)
    register = [Department(id=f"d{n}", zh=text, en=text[::-1], contact=text) for n, text in enumerate(HOSTILE)]
    contracts = [contract(f"d{n}", "data", title=f"{text} · {text}x") for n, text in enumerate(HOSTILE)]
    for declared, text in zip(contracts, HOSTILE, strict=True):
        delivered(ops, declared, DAY, reason=text)
        delivered(ops, declared, DAY, event="withdrawn", name=text)
        checked(ops, declared, DAY, f"{text}.required", 1, 2, check=text, message=text)
        failing(ops, declared, DAY, f"{text}.required", source_file=text, key=text, delivery_id=text)
        failed = {"status": "failed", "error": text, "department": declared.department, "day": DAY, "step": "clean"}
        ops.note("runs", at=at(DAY, 8), run_id="r", **failed)
    released(ops, DAY)
    ops.flush("test")
    write_pages(tmp_path / "pages", ops, catalog(contracts, register), DAY)
    calm = None
    for number, text in enumerate(HOSTILE):
        page = Document((tmp_path / "pages" / f"d{number}.html").read_text("utf-8"))
        assert calm in (None, sorted(set(page.tags)))
        calm = sorted(set(page.tags))
        assert page.tags.count("script") == 1
        assert not {name for _, name, _ in page.attributes if name.startswith("on")}
        assert any(text in shown for shown in page.texts)
    city = Document((tmp_path / "pages" / "index.html").read_text("utf-8"))
    assert city.tags.count("script") == 1
    assert "img" not in city.tags


def test_a_rewritten_folder_keeps_nothing_of_the_old(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "gone_department.html").write_text("old")
    write_pages(tmp_path / "pages", ops, found, DAY)
    assert not (tmp_path / "pages" / "gone_department.html").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name != "lake"] == ["pages"]


def test_without_a_release_the_old_pages_stay(ops_of_two_days, tmp_path):
    ops, found = ops_of_two_days
    write_pages(tmp_path / "pages", ops, found, DAY)
    with pytest.raises(LakeError, match="no release"):
        write_pages(tmp_path / "pages", ops, found, DAY + timedelta(days=9))
    assert (tmp_path / "pages" / "index.html").exists()


def test_an_empty_city_has_a_page(home, tmp_path):
    ops = Ops(home)
    released(ops, DAY)
    ops.flush("test")
    write_pages(tmp_path / "pages", ops, catalog([], [Department(id="idle", zh="闲", en="Idle")]), DAY)
    assert json.loads((tmp_path / "pages" / "index.json").read_text("utf-8"))["grade"]["score"] is None
    Document((tmp_path / "pages" / "idle.html").read_text("utf-8"))


def test_no_department_takes_the_city_s_page(ops_of_two_days, tmp_path):
    ops, _ = ops_of_two_days
    with pytest.raises(ContractError, match="index"):
        write_pages(tmp_path / "pages", ops, catalog([contract("index", "x")]), DAY)


def test_the_step_notes_every_dimension_of_dataset_department_and_city_and_publishes(ops_of_two_days, home):
    _, found = ops_of_two_days
    run = Run.start("score", DAY, at(DAY, 9.1), Settings.from_environment())
    assert score(run, found).status == "succeeded"
    run.ops.flush(run.id)
    rows = run.ops.read("scores", day=DAY).to_pylist()
    assert len(rows) == 3 * 12
    city = next(r for r in rows if r["department"] == "" and r["dimension"] == "overall")
    assert (city["coverage"], city["revision"], city["at"]) == (pytest.approx(0.61), 1, at(DAY, 9.1))
    assert {r["score"] for r in rows if r["dimension"] == "security"} == {None}
    assert (home / "pages" / "trade.html").exists()


def test_the_step_again_changes_nothing(ops_of_two_days):
    _, found = ops_of_two_days
    for hour, status in ((9.1, "succeeded"), (9.2, "unchanged")):
        run = Run.start("score", DAY, at(DAY, hour), Settings.from_environment())
        assert score(run, found).status == status
        run.ops.flush(run.id)
    assert run.ops.read("scores").num_rows == 3 * 12
