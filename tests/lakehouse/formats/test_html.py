from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.errors import DeliveryUnreadable

Reads = Callable[..., object]
SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "messy"
PAGE = """<html><head><meta http-equiv="Content-Type" content="text/html; charset=gb2312"><style>td {{}}</style></head><body>
<table class=nav><tr><td>首页<td>退出</table>
<table id=main><tr><td colspan=3>名单</td></tr>
<tr><th rowspan="2">单位</th><th colspan=2>水位<script>x()</script></th></tr><tr><th>上游</th><th>下游&nbsp;</th>
{rows}</table></body>"""
ROWS = "<tr><td> 南 \n 通<br>市<b>\n</b> <td>&lt;1&gt;<td></td></tr><tr></tr>\n<tr><td rowspan=2>甲<td>1<td>2<tr><td>3"


def test_a_table_of_a_page_that_is_called_xls(reads: Reads):
    page = PAGE.format(rows=ROWS).encode("gb18030")
    got = reads(page, "x.xls", format="html", sheet="main", skip=1, header=2)
    assert got.names == ["单位", "水位 上游", "水位 下游"]
    assert got.rows == [("南 通\n市", "<1>", None), ("甲", "1", "2"), (None, "3", None)]
    assert got.numbers == [4, 6, 7]
    assert reads(page, "x.htm", header=False).rows == [("首页", "退出")]
    assert reads(page, "x.html", sheet=2, header=False, columns=("a", "b", "c")).rows[0] == ("名单", None, None)


@pytest.mark.parametrize(
    ("page", "source", "message"),
    [
        (b"", {}, "no table is in the page"),
        (b"<p>down", {}, "no table is in the page"),
        (b"<table><tr><td colspan=9999999999>1<td>2</table>", {}, "more than 16384 columns"),
        (b"<table id=a></table>", {"sheet": "b"}, "no table 'b' among a"),
        (b"<table></table>", {}, "empty sheet"),
        ("<table><tr><td>南通".encode("gb18030"), {}, "the page isn't utf-8"),
        (b"<meta charset=martian><table>", {}, "says its encoding is martian"),
    ],
)
def test_what_is_wrong_with_a_page(reads: Reads, page: bytes, source: dict[str, str], message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads(page, "x.html", **source)


@pytest.mark.skipif(not SHARED.exists(), reason="the real deliveries (../shared/data) are not here")
def test_real_pages(reads: Reads):
    spans = reads((SHARED / "rowcolspan.html").read_bytes(), "x.html", header=False, columns=("a", "b", "c", "d", "e"))
    assert spans.rows[2:4] == [("25", "26", "27", None, "29"), (None, "36", None, None, "39")]
    odd = reads((SHARED / "badcolspan.html").read_bytes(), "y.html", header=False, columns=("a", "b", "c", "d"))
    assert odd.rows[0] == ("05", "06", "08", "09") and len(odd.rows) == 4
    inner = reads((SHARED / "complex.html").read_bytes(), "z.html", sheet=2)
    assert (inner.names, inner.rows) == (["head"], [("foot",), ("body",)])
