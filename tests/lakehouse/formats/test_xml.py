from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import xml as reader

Reads = Callable[..., object]


def test_rows_at_a_path(reads: Reads):
    data = """<?xml version="1.0"?><!-- <item/> -->
    <s:Envelope xmlns:s="urn:s"><s:Head><item a="no"/></s:Head><s:Body><items>
      <item id="1"><a> x &amp; &#20013;</a><b><c>1.50</c><d unit="m">7</d></b></item>
      <other><item id="no"/></other>
      <item xmlns:xsi="urn:xsi" id="2"><a xsi:nil="true"/><b/>text<p>1</p><p/><p k="v">3</p></item>
      <item/>
    </items></s:Body></s:Envelope>"""
    got = reads(data.encode(), "x.xml", records="/Envelope/Body/items/item", columns=("a", "@id", "b.c"))
    assert got.names == ["a", "@id", "b.c", "b.d", "b.d.@unit", "p", "#text"]
    assert got.rows == [
        (" x & 中", "1", "1.50", "7", "m", None, None),
        (None, "2", None, None, None, '["1",null,{"@k":"v","#text":"3"}]', "text"),
        (None,) * 7,
    ]
    assert got.numbers == [1, 2, 3]


def test_without_a_path_every_element_in_the_root_is_a_row(reads: Reads):
    assert reads(b"<l><r><a>1</a></r><r><b><![CDATA[<2>]]></b></r></l>", "x.xml").rows == [("1", None), (None, "<2>")]
    assert reads(b"<l></l>", "y.xml").rows == []


@pytest.mark.parametrize("encoding", ["gbk", "GB2312", "utf-16", "gb18030", "latin-1"])
def test_the_encoding_is_what_the_document_or_the_contract_says(reads: Reads, encoding: str):
    text = "é" if encoding == "latin-1" else "南通"
    data = f'<?xml version="1.0" encoding="{encoding}"?><l><r><a>{text}</a></r></l>'
    assert reads(data.encode(encoding), "x.xml").rows == [(text,)]
    assert reads(data.partition("?>")[2].encode(encoding), "y.xml", encoding=encoding).rows == [(text,)]


ENTITIES = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><l><r><a>&b;</a></r></l>'
FOREIGN = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l><r><a>&a;</a></r></l>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "empty file"),
        ("a,b\n1,2\n", "not well-formed XML: .*line 1"),
        ("<l><r><a>1</a></r><r><a>", "not well-formed XML: .*line 1"),
        ("<l><r><a>1</a></r></l><l/>", "not well-formed"),
        ("<l><r><a>&b;</a></r></l>", "not well-formed XML: undefined entity"),
        (ENTITIES, "has a DTD"),
        (FOREIGN, "has a DTD"),
        ("<!DOCTYPE l SYSTEM 'http://127.0.0.1:1/x'><l/>", "has a DTD"),
        ("<l><r a='1'><a>1</a>" + "<d>" * 200 + "</d>" * 200 + "</r></l>", "deeper than 100"),
        ("<l><r><a><b>1</b></a><a.b>2</a.b></r></l>", "two values called 'a.b'"),
        ("<l xmlns:x='x'><r a='1' x:a='2'/></l>", "two values called 'a'"),
        ("<?xml version='1.0' encoding='martian'?><l/>", "says its encoding is martian"),
        ("<!DOCTYPE html><html><body>down</body></html>", "has a DTD"),
    ],
)
def test_what_is_wrong_with_the_whole_document(reads: Reads, data: str, message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads(data.encode(), "x.xml")


def test_a_path_that_leads_nowhere_and_bytes_of_another_encoding(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="no element at '/l/items'"):
        reads(b"<l><r/></l>", "x.xml", records="/l/items/r")
    with pytest.raises(DeliveryUnreadable, match=r"not well-formed XML: .*line 2"):
        reads("<l>\n<r><a>南通市</a></r></l>".encode("gb18030"), "y.xml")


@pytest.mark.parametrize(
    "data",
    [
        "<l><r><a>123456789</a></r></l>",
        "<l><r><a>" + "1" * 500_000,
        "<l><r a='" + "1" * 500_000,
        "<l><!-- " + "1" * 500_000,
        "<l><x>" + "1" * 500_000,
        "<l><r>" + "<a/>" * 100_000,
    ],
)
def test_what_never_ends_is_refused(reads: Reads, data: str):
    with pytest.raises(DeliveryUnreadable, match=r"row_bytes|not well-formed"):
        reads(data.encode(), "x.xml", limits={"row_bytes": 10})


def test_too_many_columns(reads: Reads):
    data = "<l><r>" + "".join(f"<c{n}>1</c{n}>" for n in range(100_000)) + "</r></l>"
    with pytest.raises(DeliveryUnreadable, match="100000 columns are more"):
        reads(data.encode(), "x.xml")


def test_rows_are_those_of_the_whole_tree(reads: Reads, monkeypatch: pytest.MonkeyPatch):
    """Compared with the standard library's tree, whatever the pieces end with."""
    monkeypatch.setattr(reader, "_AT_ONCE", 7)
    texts = ["", " ", "x", "&lt;", "中 \n文", "]]&gt;"]
    rows = "".join(f"<r><a>{one}</a><b><c>{other}</c></b></r>\n" for one in texts for other in texts)
    data = f"<l>{rows}</l>"
    tree = ElementTree.fromstring(data)
    got = reads(data.encode(), "x.xml", columns=("a", "b.c"))
    assert got.rows == [(row.findtext("a") or None, row.findtext("b/c") or None) for row in tree]


def test_memory_does_not_grow_with_the_document(reads: Reads, tmp_path: Path):
    import resource

    def rows() -> int:
        count = 0
        for _ in reader.records((b"<l>", *[b"<r><a>1</a>" + b" " * 999 + b"</r>"] * 50_000, b"</l>"), "", 10_000, "x"):
            count += 1
        return count

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert rows() == 50_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
