"""Two lists of China's administrative divisions, of different makers and years, which disagree below city level."""

from tests.real.deliveries import Lake, column

TREE = "divisions/ok_data_level4.csv"


def test_codes_one_list_has_and_the_other_has_not(lake: Lake) -> None:
    known = set(column(TREE, "id"))
    missing = {
        name: sum(code not in known for code in column(f"divisions/{name}.csv", "code"))
        for name in ("areas", "streets")
    }
    assert missing == {"areas": 132, "streets": 7_188}
    assert lake.found("divisions.areas") == {"code.references": missing["areas"]}
    assert lake.found("divisions.streets") == {"code.references": missing["streets"]}


def test_no_list_contradicts_itself(lake: Lake) -> None:
    assert set(column("divisions/streets.csv", "areaCode")) <= set(column("divisions/areas.csv", "code"))
    assert lake.results("divisions.streets")["area.references"] == ("passed", 41_352, 0)


def test_what_has_no_official_code_is_found(lake: Lake) -> None:
    assert lake.found("divisions.tree") == {
        "full_code.pattern": sum(len(code) != 12 for code in column(TREE, "ext_id"))
    }
