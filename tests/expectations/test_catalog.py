"""The catalogue: every mistake of every file at once, each with file, line, key and the nearest valid name."""

from pathlib import Path

import pytest

from expectations import catalog as catalogue
from expectations.catalog import departments, load, read_contract
from expectations.plan import Plan
from expectations.verify import verify
from lakehouse.errors import ContractError, UsageError
from tests.jobs.small_city import DAY

OURS = Path(__file__).parents[2] / "expectations"
HEAD = """title: things
kind: government
sharing: unconditional
source: {type: file, uri: "{inbox}/*.csv"}
load: append
"""
"""Five lines every contract begins with here."""


@pytest.fixture
def city(tmp_path: Path) -> Path:
    (tmp_path / "standards").mkdir()
    (tmp_path / "contracts" / "town").mkdir(parents=True)
    (tmp_path / "departments.yml").write_text("departments:\n  - {id: town, zh: 镇, en: Town}\n")
    (tmp_path / "standards" / "postcode.yml").write_text(
        'zh: 邮政编码\nen: postal code\nsource: law\npattern: "^[0-9]{6}$"\nclass: sensitive\n'
    )
    return tmp_path


def contract(city: Path, text: str, name: str = "things", department: str = "town") -> Path:
    path = city / "contracts" / department / f"{name}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + text, "utf-8")
    return path


def mistakes(city: Path) -> list[str]:
    """What is said about the catalogue, a mistake a line, without the folder."""
    with pytest.raises(ContractError) as refused:
        verify(load(city))
    count, *lines = refused.value.what.splitlines()
    assert count.split()[0] == str(len(lines))
    return [line.strip().replace(f"{city}/", "") for line in lines]


def test_a_sound_catalogue_loads(city: Path) -> None:
    contract(city, "columns:\n  id: {type: string, standard: postcode}\n  n: {type: integer, class: public}\n")
    found = load(city)
    verify(found)
    (things,) = found.contracts
    assert (things.name, things.table) == ("town.things", "town__things")
    assert things.columns["id"].class_ == "sensitive"  # its standard's
    assert things.columns["n"].class_ == "public"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("columns:\n  id: {type: string, requird: true}\n", "7: columns.id.requird: unknown key; did you mean 'required'?"),
        ("colums:\n  id: {type: string}\n", "6: colums: unknown key; did you mean 'columns'?"),
        ("columns:\n  id: {type: strin}\n", "7: columns.id.type: 'strin' is not one of"),
        ("columns:\n  id:\n    type: date\n    format: yyyy-mm-DD\n", "9: columns.id.format: 'DD' in format"),
        ("columns:\n  id: {type: string, standard: postcod}\n", "7: no standard 'postcod'; did you mean 'postcode'?"),
        ("columns: {id: {type: string}}\narrives: {evry: day}\n", "7: arrives.evry: unknown key; did you mean 'every'?"),
        ("columns: {id: {type: string}}\nlimits:\n  rowz: 5\n", "8: limits.rowz: unknown key; did you mean 'rows'?"),
        ("columns: {id: {type: string}}\nkey: [nobody]\n", "key: no column 'nobody'"),
        ("columns: {id: {type: string}}\nkeep: 5y\n", "7: keep: '5y' is not a duration"),
        ("columns: {id: {type: string}}\ndataset: other\n", "7: dataset: unknown key; the path of the file says it"),
        ("columns: {id: {type: string}}\ncolumns: {id: {type: string}}\n", "7: key 'columns' stands there twice"),
        ("columns:\n  id: {type: string}\n  id: {type: date}\n", "8: key 'id' stands there twice"),
        ("columns: {id: {type: string}\n", "not YAML ("),
        ("columns: {id: {type: string, type: date}}\n", "6: key 'type' stands there twice"),
        ("columns: {id: {type: string, pattern: '('}}\n", "6: columns.id.pattern: '(' is not a regular expression"),
        ("columns: {id: {type: string, pattern: '(?=a)b'}}\n", "6: columns.id.pattern: not a regular expression of RE2"),
        ("columns: {id: {type: string, references: town.thing.id}}\n",
         "6: columns.id.references: no column 'town.thing.id'; did you mean 'town.things.id'?"),
        ("columns: {id: {type: string}}\nexpect:\n  warn: [volum]\n", "8: expect.warn.0.volum: no such check; did you mean 'volume'?"),
        ("columns: {id: {type: string}}\nexpect:\n  warn: [between]\n", "no such check"),
        ("columns: {id: {type: string}}\nexpect:\n  fail:\n    - row_count: {mn: 1}\n",
         "9: expect.fail.0.row_count.mn: no such argument; did you mean 'min'?"),
        ("columns: {id: {type: string}}\nexpect:\n  fail:\n    - row_count: {min: many}\n",
         "9: expect.fail.0.row_count.min: 'many': input should"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - filled: {share: 2, column: id}\n", "2 is not a share from 0 to 1"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - filled: {column: di}\n",
         "9: expect.warn.0.filled: no column 'di'; did you mean 'id'?"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - filled\n", "9: expect.warn.0.filled: argument 'column' is missing"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - when: {column: id, values: [a], then: id}\n",
         "no such argument; known: "),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - within_day: {column: id}\n",
         "'id' is a string, not a date or timestamp"),
        ("columns: {id: {type: date}}\nexpect:\n  warn:\n    - fresh: {column: id, within: soon}\n", "'soon' is not a duration"),
        ("columns: {a: {type: date}, b: {type: integer}}\nexpect:\n  warn:\n    - compare: {left: a, op: '<', right: b}\n",
         "a (date) and b (integer) can't be compared"),
        ("columns: {a: {type: date}, b: {type: date}}\nexpect:\n  warn:\n    - compare: {left: a, op: =<, right: b}\n",
         "9: expect.warn.0.compare.op: '=<' is not one of"),
        ("columns: {id: {type: string}}\nexpect: {warn: [axes]}\n", "the contract declares no point"),
        ("columns: {id: {type: string}}\nexpect: {fail: [volume], warn: [volume]}\n",
         "another check is called 'volume'; give one of them a 'name'"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n"
         "    - agrees: {dataset: town.thing, on: {id: id}, left: id, op: '==', right: id}\n",
         "9: expect.warn.0.agrees.dataset: no dataset 'town.thing'; did you mean 'town.things'?"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n"
         "    - agrees: {dataset: town.things, on: {id: nobody}, left: id, op: '==', right: no}\n",
         "no column 'nobody' in town.things"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - agrees: {dataset: town.things}\n", "argument 'on' is missing"),
        ("columns: {id: {type: string}}\nexpect:\n  warn:\n    - {row_count: {min: 1}, volume: {}}\n",
         "one check an item, like - row_count: {min: 1}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_nearest_name(city: Path, text: str, said: str) -> None:
    contract(city, text)
    found = mistakes(city)
    assert any(line.startswith("contracts/town/things.yml") and said in line for line in found), found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source: {type: file, uri: x, delimeter: ;}", "source.delimeter: unknown key; did you mean 'delimiter'?"),
        ("source: {type: http, uri: x, page: {parm: p}}", "source.page.parm: unknown key; did you mean 'param'?"),
        ("source: {type: postgres, connection: c, tabel: t}", "source.tabel: unknown key; did you mean 'table'?"),
    ],
)
def test_keys_of_a_source_are_those_of_its_kind(city: Path, text: str, said: str) -> None:
    path = contract(city, "columns: {id: {type: string}}\n")
    path.write_text(path.read_text().replace('source: {type: file, uri: "{inbox}/*.csv"}', text))
    assert any(f"things.yml:4: {said}" in line for line in mistakes(city))


def test_a_column_may_be_called_like_a_kind_of_source(city: Path) -> None:
    contract(city, "columns:\n  file: {type: string, requird: true}\n")
    assert mistakes(city) == [
        "contracts/town/things.yml:7: columns.file.requird: unknown key; did you mean 'required'?"
    ]


def test_every_mistake_of_every_file_at_once(city: Path) -> None:
    contract(city, "columns:\n  id: {type: strin, requird: true}\nlod: append\n")
    contract(city, "columns: {id: {type: string, standard: uscc}}\n", "others")
    contract(city, "columns: {id: {type: string}}\n", "things", "twon")
    (city / "standards" / "plate.yml").write_text("zh: 车牌\nen: plate\nsource: GA 36\npatern: x\ncodes: plates.csv\n")
    (city / "departments.yml").write_text(
        "departments:\n  - {id: town, zh: 镇, en: Town}\n  - {id: town, zh: 镇, en: T}\n  - {id: Bad}\n"
    )
    found = "\n".join(mistakes(city))
    for said in (
        "departments.yml:4: ",
        "department 'town' stands there twice",
        "standards/plate.yml:4: patern: unknown key; did you mean 'pattern'?",
        "contracts/town/others.yml:6: no standard 'uscc'",
        "contracts/town/things.yml:7: columns.id.type: 'strin'",
        "contracts/town/things.yml:7: columns.id.requird",
        "contracts/town/things.yml:8: lod: unknown key; did you mean 'load'?",
        "contracts/twon/things.yml: no department 'twon' in departments.yml; did you mean 'town'?",
    ):
        assert said in found, said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: keys like 'title:'"),
        (b"- a\n", ":1: keys like 'title:'"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: b: c\n", "not YAML"),
        (b"a: !!python/object/apply:os.system [id]\n", "not YAML"),
        (b"\ttitle: x\n", "not YAML"),
    ],
)
def test_what_is_no_contract_at_all(city: Path, content: bytes, said: str) -> None:
    (city / "contracts" / "town" / "things.yml").write_bytes(content)
    assert any(said in line for line in mistakes(city))


def test_a_register_that_is_missing_or_none(city: Path) -> None:
    (city / "departments.yml").write_text("town\n")
    with pytest.raises(ContractError, match="a list 'departments' is expected"):
        departments(city)
    (city / "departments.yml").unlink()
    with pytest.raises(ContractError, match="no such file"):
        departments(city)


def test_words_mean_what_people_read(city: Path) -> None:
    text = (
        "columns:\n  on: {type: string, in: [on, off, yes, no, 是]}\n  at: {type: date, between: [2026-01-01, 2026-12-31]}\n"
        "arrives: {by: 05:30}\n"
    )
    contract(city, text)
    (things,) = load(city).contracts
    assert things.columns["on"].in_ == ("on", "off", "yes", "no", "是")
    assert things.columns["at"].between == ("2026-01-01", "2026-12-31")
    assert f"{things.arrives.by:%H:%M}" == "05:30"


def test_nobody_by_that_name(city: Path) -> None:
    contract(city, "columns: {id: {type: string}}\n")
    found = load(city)
    with pytest.raises(UsageError, match=r"no dataset 'town\.thing'; did you mean 'town\.things'\?"):
        found.contract("town.thing")
    with pytest.raises(UsageError, match="no department 'twon'; did you mean 'town'"):
        found.of("twon")


def test_a_contract_from_anywhere_is_named_after_its_path(city: Path) -> None:
    found = read_contract(contract(city, "columns: {id: {type: string}}\n"), {})
    assert (found.department, found.dataset) == ("town", "things")


def test_our_own_catalogue_is_sound_and_every_plan_compiles() -> None:
    ours = load(OURS)
    verify(ours)
    for one in ours.contracts:
        plan = Plan(one, ours.standards, DAY)
        assert plan.rows(repeats=True)
        assert plan.tables() is not None


def test_the_register_is_read_without_the_engines() -> None:
    import subprocess
    import sys

    heavy = "{'pyarrow', 'ibis', 'duckdb', 'numba'}"
    code = f"import sys, expectations.catalog as c; c.departments(); print(sorted(set(sys.modules) & {heavy}))"
    said = subprocess.run([sys.executable, "-c", code], cwd=OURS.parent, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert catalogue.departments(OURS)
