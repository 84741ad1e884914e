"""Column standards: check digits against python-stdnum, written forms and closed lists against a table of cases."""

import random
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import stdnum.cn.ric
import stdnum.cn.uscc
import yaml

from expectations.catalog import standards_of
from expectations.checks.norm import RESIDENT_WEIGHTS, USCC_ALPHABET
from expectations.fragments import about, conforms, text
from jobs.judge import codes
from lakehouse.engine import embedded
from lakehouse.settings import Settings

OURS = Path(__file__).parents[2] / "expectations"
CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "cases" / "standards.yml").read_text("utf-8"))
DAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


def judged(name: str, cells: list[str | None], place: Path, day: date = DAY) -> list[tuple[str | None, bool | None]]:
    """Each cell as the standard writes it, and whether it conforms (null: nothing to judge)."""
    standard = standards_of(OURS)[name]
    settings = Settings(home=place, catalog=place, inbox=place)
    with embedded.session(settings) as connection:
        connection.register("cells", pa.table({"place": range(len(cells)), "_text_v": pa.array(cells, pa.string())}))
        listed = codes(OURS / "standards" / standard.codes, day) if standard.codes else pa.table({"code": [""]})
        connection.register("codes", listed)
        written = f"SELECT place, {about(text((), standard), 'v')} AS v FROM cells AS t0"
        known = f"SELECT t0.*, v IN (SELECT code FROM codes) AS _listed_v FROM ({written}) AS t0"
        query = f"SELECT v, {about(conforms(standard), 'v')} AS passes FROM ({known}) AS t0 ORDER BY place"
        rows = connection.execute(query).to_arrow_table().to_pylist()
    return [(row["v"], row["passes"]) for row in rows]


@pytest.mark.parametrize("name", CASES)
def test_what_a_standard_says(name: str, place: Path) -> None:
    cases = CASES[name]
    found = judged(name, [case[0] for case in cases], place)
    words = {True: "passes", False: "fails", None: "nothing"}
    said = [[cell, words[passes]] for (cell, *_), (_, passes) in zip(cases, found, strict=True)]
    assert said == [case[:2] for case in cases]
    written = [[case[0], value] for case, (value, _) in zip(cases, found, strict=True) if len(case) > 2]
    assert written == [[case[0], case[2]] for case in cases if len(case) > 2]


def test_every_standard_has_cases() -> None:
    assert CASES.keys() == standards_of(OURS).keys()


def test_uscc_against_stdnum(place: Path) -> None:
    some = random.Random(32100)
    bases = ["9" + some.choice("12") + "320600" + "".join(some.choices(USCC_ALPHABET, k=9)) for _ in range(300)]
    right = [base + stdnum.cn.uscc.calc_check_digit(base) for base in bases]
    wrong = [code[:-1] + some.choice(USCC_ALPHABET.replace(code[-1], "")) for code in right]
    swapped = [code[:8] + code[9] + code[8] + code[10:] for code in right]
    digits = [base + letter for base in bases[:5] for letter in USCC_ALPHABET]
    assert [passes for _, passes in judged("uscc", right, place)] == [True] * len(right)
    everything = [*wrong, *swapped, *digits]
    assert [p for _, p in judged("uscc", everything, place)] == [stdnum.cn.uscc.is_valid(code) for code in everything]


def test_resident_id_against_stdnum(place: Path) -> None:
    some = random.Random(11643)
    days = [date.fromordinal(some.randrange(date(1930, 1, 1).toordinal(), DAY.toordinal())) for _ in range(300)]
    bases = [f"320602{day:%Y%m%d}{some.randrange(1000):03d}" for day in days]
    right = [base + stdnum.cn.ric.calc_check_digit(base + "0") for base in bases]
    wrong = [code[:-1] + some.choice("0123456789X".replace(code[-1], "")) for code in right]
    swapped = [code[:14] + code[15] + code[14] + code[16:] for code in right]
    assert [passes for _, passes in judged("resident_id", right, place)] == [True] * len(right)
    everything = [*wrong, *swapped]
    expected = [code[-1] == stdnum.cn.ric.calc_check_digit(code) for code in everything]  # it also wants places of old
    assert [passes for _, passes in judged("resident_id", everything, place)] == expected


def test_the_birth_date_of_a_resident_must_exist(place: Path) -> None:
    def written(born: str) -> str:
        base = f"320602{born}123"
        total = sum(int(digit) * weight for digit, weight in zip(base, RESIDENT_WEIGHTS, strict=True))
        return base + "10X98765432"[total % 11]

    births = {
        "20000229": True,
        "19000229": False,
        "20010229": False,
        "19990431": False,
        "19991231": True,
        "17991231": False,
    }
    assert [p for _, p in judged("resident_id", [written(born) for born in births], place)] == list(births.values())


@pytest.mark.parametrize(("day", "valid"), [(date(2020, 6, 18), True), (date(2020, 6, 19), False)])
def test_codes_are_valid_in_their_time(day: date, valid: bool, place: Path) -> None:
    """Nantong's 崇川 and 港闸 (320602, 320611) became 320613 on 19 June 2020, 海门市 (320684) became 320614."""
    old = judged("division_code", ["320602", "320611", "320684"], place, day)
    new = judged("division_code", ["320613", "320614"], place, day)
    assert {passes for _, passes in old} == {valid}
    assert {passes for _, passes in new} == {not valid}


def test_a_code_list_keeps_its_first_and_last_day(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("code,valid_from,valid_to\n01,2020-01-01,2020-12-31\n02,,\n01,2022-01-01,\n")
    days = ["2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01", "2022-01-01"]
    found = [sorted(codes(path, date.fromisoformat(day))["code"].to_pylist()) for day in days]
    assert found == [["02"], ["01", "02"], ["01", "02"], ["02"], ["01", "02"]]
