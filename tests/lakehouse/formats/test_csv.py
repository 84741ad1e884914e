import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import csv as reader

Reads = Callable[..., object]


def test_values_stay_as_sent(reads: Reads):
    got = reads(b"a,b\n007, x \n1e5,NULL\n,\n\0,\xc2\xa0\n")
    assert got.names == ["a", "b"]
    assert got.rows == [("007", " x "), ("1e5", "NULL"), ("", ""), ("\0", "\xa0")]
    assert got.numbers == [2, 3, 4, 5]


def test_header_is_trimmed_and_loses_its_mark(reads: Reads):
    assert reads("\ufeff a ,\u3000b\n1,2\n".encode()).names == ["a", "b"]


def test_a_column_without_a_name_is_named_by_its_position(reads: Reads):
    assert reads(b",b,\n1,2,3\n").names == ["column_1", "b", "column_3"]


def test_too_few_and_too_many_fields_are_unparsable_and_shift_no_number(reads: Reads):
    got = reads(b"a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert (got.rows, got.numbers) == ([("1", "2"), ("7", "8")], [2, 5])
    assert [(u.source_row, u.reason, u.raw) for u in got.unparsable] == [
        (3, "1 fields instead of 2", "3"),
        (4, "3 fields instead of 2", "4,5,6"),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_blank_lines_are_no_records_but_keep_their_number(reads: Reads, end: bytes):
    got = reads(end.join([b"", b"a,b", b"", b"1,2", b"", b'"3', b'",4', b"5", b""]))
    assert got.rows == [("1", "2"), (f"3{end.decode()}", "4")]
    assert got.numbers == [4, 6]
    assert [u.source_row for u in got.unparsable] == [7]


def test_lines_to_skip_are_counted(reads: Reads):
    got = reads(b'"a title,\nin two lines"\n\na,b\n1,2\n', skip=1)
    assert (got.names, got.rows, got.numbers) == (["a", "b"], [("1", "2")], [4])


def test_without_header_the_declared_names_count_and_the_first_record_is_1(reads: Reads):
    got = reads(b"1,2\n3,4\n", columns=("id", "time"), header=False)
    assert (got.names, got.rows, got.numbers) == (["id", "time"], [("1", "2"), ("3", "4")], [1, 2])


def test_one_column_file_keeps_quoted_empty_fields(reads: Reads):
    got = reads(b'a\n""\n\nx\n', columns=("a",))
    assert (got.rows, got.numbers) == ([("",), ("x",)], [2, 4])


def test_quotes_by_rfc_4180(reads: Reads):
    got = reads(b'a;b\n"x;""y""";"line\nbreak"\n5" pipe;"\n"\n', delimiter=";")
    assert got.rows == [('x;"y"', "line\nbreak"), ('5" pipe', "\n")]


def test_another_quote(reads: Reads):
    assert reads(b"a,b\n'x,y',\"z\n", quote="'").rows == [("x,y", '"z')]


def test_an_unclosed_quote_takes_one_line_with_it(reads: Reads):
    got = reads(b'a,b\n1,"abc\n2,def\n3,"x"\n')
    assert (got.rows, got.numbers) == ([("2", "def"), ("3", "x")], [3, 4])
    assert [(u.source_row, u.raw) for u in got.unparsable] == [(2, '1,"abc')]


def test_an_unclosed_quote_at_the_end_and_text_behind_a_quote(reads: Reads):
    got = reads(b'a,b\n"O"Brien",1\n2,3\n4,"5')
    assert got.rows == [("2", "3")]
    assert [u.raw for u in got.unparsable] == ['"O"Brien",1', '4,"5']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "utf-16", "UTF8"])
def test_encodings(reads: Reads, encoding: str):
    data = '名称,电话\n南通市,"一\n二"\n'.encode(encoding)
    assert reads(data, columns=("名称", "电话"), encoding=encoding).rows == [("南通市", "一\n二")]


def test_latin_1(reads: Reads):
    assert reads("a,b\ncafé,ÿ\n".encode("latin-1"), encoding="latin-1").rows == [("café", "ÿ")]


@pytest.mark.parametrize(("encoding", "broken"), [("utf-8", b"\xe4\xb8,2"), ("gb18030", b"\xc4,2")])
def test_undecodable_bytes_cost_only_their_record(reads: Reads, encoding: str, broken: bytes):
    data = "a,b\n南通,1\n".encode(encoding) + broken + b"\n" + "如皋,3\n".encode(encoding)
    got = reads(data, encoding=encoding)
    assert (got.rows, got.numbers) == ([("南通", "1"), ("如皋", "3")], [2, 4])
    shown = "".join(f"\\x{byte:02x}" for byte in broken[:-2]) + ",2"
    assert [(u.source_row, u.reason, u.raw) for u in got.unparsable] == [(3, f"bytes not valid {encoding}", shown)]


@pytest.mark.parametrize(
    ("written", "declared"), [("gb18030", "utf-8"), ("utf-8", "gb18030"), ("utf-16", "utf-8"), ("utf-8", "latin-1")]
)
def test_a_wrong_encoding_is_named_with_the_right_one(reads: Reads, written: str, declared: str):
    with pytest.raises(DeliveryUnreadable) as caught:
        reads("名称,电话\n南通市海门区,二\n".encode(written), encoding=declared)
    assert f"look like {written}" in caught.value.what
    assert f"encoding: {written}" in caught.value.hint


def test_undecodable_bytes_in_a_record_with_too_many_fields(reads: Reads):
    got = reads(b"a,b\n1,2\n\xff,1,2\n3,4\n")
    assert got.rows == [("1", "2"), ("3", "4")]
    assert [(u.source_row, u.raw) for u in got.unparsable] == [(3, "\\xff,1,2")]


def test_most_records_undecodable_is_a_wrong_encoding(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="look like gb18030"):
        reads(b"a,b\n" + "南通,如皋\n".encode("gb18030") * 9 + b"x,y\n")


def test_unknown_encoding(reads: Reads):
    with pytest.raises(ContractError, match="'klingon' is unknown"):
        reads(b"a,b\n", encoding="klingon")
    with pytest.raises(ContractError, match="'hex' is unknown"):
        reads(b"a,b\n", encoding="hex")


@pytest.mark.parametrize(
    ("name", "data", "declared"),
    [
        ("x.tsv", b"a\tb\n1,2\t3\n", {}),
        ("x.PSV", b"a|b\n1,2|3\n", {}),
        ("x.tsv", b"a;b\n1,2;3\n", {"delimiter": ";"}),
        ("x.txt", b'a,b\n"1,2",3\n', {}),
    ],
)
def test_the_name_says_the_delimiter_where_the_contract_does_not(reads: Reads, name: str, data: bytes, declared: dict):
    assert reads(data, name, **declared).rows == [("1,2", "3")]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_file(reads: Reads, data: bytes):
    with pytest.raises(DeliveryUnreadable, match="empty file"):
        reads(data)


def test_a_header_alone_is_a_delivery_of_no_rows(reads: Reads):
    assert (reads(b"a,b").rows, reads(b"a,b\r\n").rows_in) == ([], 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"b,a,a\n1,2,3\n", "columns 2 and 3 have the same name"),
        (b", ,\n1,2,3\n", "header is empty"),
        (b"a,_source_row\n1,2\n", "reserved"),
        (b"a;b\n1;2\n", "delimited by ';'"),
        (b"a\tb\n1\t2\n", r"delimited by '\\t'"),
        (b"PK\x03\x04\n", "zip file or workbook"),
        (b"\n <!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_wrong_with_the_whole_file(reads: Reads, data: bytes, message: str):
    with pytest.raises(DeliveryUnreadable, match=message):
        reads(data)


def test_wrong_delimiter_without_header(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="delimited by ';'"):
        reads(b"1;2\n", header=False)


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ({"rows": 2}, b"a,b\n" + b"1,2\n" * 3),
        ({"columns": 1}, b"a,b\n1,2\n"),
        ({"row_bytes": 9}, b"a,b\n12345,67890\n"),
    ],
)
def test_limits_are_named(reads: Reads, limit: dict[str, int], data: bytes):
    with pytest.raises(DeliveryUnreadable) as caught:
        reads(data, limits=limit)
    name, allowed = next(iter(limit.items()))
    assert f"allowed {allowed}" in caught.value.what
    assert f"limits: {{{name}:" in caught.value.hint


def test_a_file_of_broken_lines_is_refused_not_hoarded(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match=r"2000 of 2001 records .*row 3, 1 fields instead of 2"):
        reads(b"a,b\n1,2\n" + b"broken\n" * 2000)


def test_without_quotes_is_the_same(reads: Reads):
    data = b"a,b\r\n1,\r\n\r\nx\r\n 2,y\r\n"
    assert reads(data, quoted=False) == reads(data, quoted=True)


def test_blocks_cut_anywhere(reads: Reads, monkeypatch: pytest.MonkeyPatch):
    data = 'a,b\r\n1,"x\r\n""y"""\r\n\r\n"中",2\r3\r\n4,"5\r\n6,7'.encode()
    whole = reads(data)
    assert (len(whole.rows), len(whole.unparsable)) == (3, 2)
    for size in range(1, len(data)):
        monkeypatch.setattr(reader, "_BLOCK", size)
        assert reads(data) == whole
    for size in range(1, 20):
        monkeypatch.setattr(reader, "_BLOCK", size)
        assert reads(data.decode().encode("gb18030"), encoding="gb18030") == whole


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=8)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(texts, min_size=width, max_size=width), max_size=6))
dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "quotechar": st.sampled_from("\"'"),
        # only with this line end does Python quote every value that holds a carriage return or line feed
        "lineterminator": st.just("\r\n"),
        "quoting": st.just(csv.QUOTE_MINIMAL),
    }
) | st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "quotechar": st.sampled_from("\"'"),
        "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
        "quoting": st.just(csv.QUOTE_ALL),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=tables, dialect=dialects, size=st.integers(1, 64), encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"])
)
def test_what_python_writes_reads_back_equal(
    reads: Reads, monkeypatch: pytest.MonkeyPatch, table: list[list[str]], dialect: dict, size: int, encoding: str
):
    width = len(table[0]) if table else 1
    names = [f"n{position}" for position in range(width)]
    written = io.StringIO()
    csv.writer(written, **dialect).writerows([names, *table])
    monkeypatch.setattr(reader, "_BLOCK", size)
    got = reads(
        written.getvalue().encode(encoding),
        columns=tuple(names),
        encoding=encoding,
        delimiter=dialect["delimiter"],
        quote=dialect["quotechar"],
    )
    assert got.rows == [tuple(row) for row in table]
    assert not got.unparsable
    assert got.numbers == list(range(2, len(table) + 2))


@pytest.mark.parametrize(
    ("delimiter", "data"),
    [
        ("||", 'a||b\n1|||2\n3||"x||y"\n"||"||\n'),
        ("，", 'a，b\n1，|2\n3，"x||y"\n"||"，\n'),
        ("|+|", 'a|+|b\n1|+||2\n3|+|"x||y"\n"||"|+|\n'),
        ("\x01", 'a\x01b\n1\x01|2\n3\x01"x||y"\n"||"\x01\n'),
    ],
)
def test_delimiters_of_any_length(reads: Reads, monkeypatch: pytest.MonkeyPatch, delimiter: str, data: str):
    for size in (1, 2, 3, 1000):
        monkeypatch.setattr(reader, "_BLOCK", size)
        got = reads(data.encode(), delimiter=delimiter)
        assert got.names == ["a", "b"]
        assert got.rows == [("1", "|2"), ("3", "x||y"), ("||", "")]
    broken = reads(data.encode() + f"1{delimiter}2{delimiter}3\n".encode(), delimiter=delimiter)
    assert [u.raw for u in broken.unparsable] == [f"1{delimiter}2{delimiter}3"]
    assert reads(data.replace('"', "").encode(), delimiter=delimiter, quoted=False).rows[0] == ("1", "|2")


def test_delimiters_that_cannot_be_told(reads: Reads):
    with pytest.raises(DeliveryUnreadable, match="stands for the delimiter"):
        reads(b"a||b\n1\x1f||2\n", delimiter="||")
    for delimiter in ('"', "|\n"):
        with pytest.raises(ContractError, match="line break or the quote"):
            reads(b"a,b\n", delimiter=delimiter)


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_footers(reads: Reads, monkeypatch: pytest.MonkeyPatch, size: int):
    monkeypatch.setattr(reader, "_BLOCK", size)
    data = "a,b\n1,2\n合计,3\n\n4,5\n合计,6\n\n共 3 条\n\n".encode()
    rows = [("1", "2"), ("合计", "3"), ("4", "5")]
    for footer in (2, "合计|共", "[合共]"):
        got = reads(data, footer=footer)
        assert (got.rows, got.numbers, got.unparsable) == (rows, [2, 3, 5], [])
    assert len(reads(data, footer="共").rows) == 4
    assert reads(data, footer=9).rows == reads(data, footer=".").rows == []
    assert len(reads(data, footer=0).unparsable) == 1
    assert reads(data, footer="nothing like it").rows_in == 5


def test_a_footer_that_is_no_pattern(reads: Reads):
    with pytest.raises(ValueError, match="is not a regular expression"):
        reads(b"a,b\n", footer="(")


def test_rows_of_any_width_where_they_are_declared(reads: Reads):
    data = b'a,b,c\n1,2,3\n4\n5,"x,y"\n\n6,7,8,,\n"9,",,,x\n\n"q,",,,\n,,\n'
    got = reads(data, columns=("a", "b", "c"), ragged=True)
    assert got.rows == [
        ("1", "2", "3"), ("4", "", ""), ("5", "x,y", ""), ("6", "7", "8"), ("q,", "", ""), ("", "", ""),
    ]  # fmt: skip
    assert got.numbers == [2, 3, 4, 6, 9, 10]
    assert [(u.source_row, u.reason) for u in got.unparsable] == [(7, "4 fields instead of 3")]
    assert len(reads(data, columns=("a", "b", "c")).unparsable) == 5


def test_names_over_several_lines(reads: Reads):
    got = reads('"面积\n(平方米)"," b \r\n\r\n c"\n1,2\n'.encode(), columns=("面积 (平方米)", "b c"))
    assert (got.names, got.numbers) == (["面积 (平方米)", "b c"], [2])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "big5"])
def test_encodings_without_a_mark_are_named(reads: Reads, encoding: str):
    data = "景點編號,說明文字\n第一個,位於山上的古老寺院遺址\n".encode(encoding)
    with pytest.raises(DeliveryUnreadable, match=f"look like {encoding}"):
        reads(data, columns=("景點編號", "說明文字"))
    assert reads(data, columns=("景點編號", "說明文字"), encoding=encoding).rows[0][0] == "第一個"


def test_zero_bytes_cost_nothing(reads: Reads):
    data = "a,b\n南通\0,2\n\0\0,\0\n".encode()
    assert reads(data).rows == [("南通\0", "2"), ("\0\0", "\0")]
    assert len(reads(data + bytes(64)).unparsable) == 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(reads: Reads, monkeypatch: pytest.MonkeyPatch, encoding: str):
    data = "编号,说明\n1,第一个位于山上的古老寺院遗址\n".encode(encoding)
    for size in (1000, 20):
        monkeypatch.setattr(reader, "_BLOCK", size)
        assert reads(data, columns=("编号", "说明"), encoding="utf-16").rows == [("1", "第一个位于山上的古老寺院遗址")]


def test_a_footer_is_matched_as_it_was_sent(reads: Reads):
    assert reads("a||b\n1||2\n合计||2\n".encode(), delimiter="||", footer=r"合计\|\|").rows == [("1", "2")]
