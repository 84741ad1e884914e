"""Citizens' messages and the replies to them: workbooks in Chinese."""

import json
import re
from collections import Counter
from datetime import datetime

import pytest

from tests.real.deliveries import Lake, column, in_china, repeats

POSTS, REPLIES = "hotline/messages_sheet_3.xlsx", "hotline/messages_sheet_4.xlsx"
INNER_SPACE = re.compile("[\t\n\u00a0]")


def test_dates_as_text_and_as_excel_serial_numbers_are_one_instant(lake: Lake) -> None:
    cells = column(POSTS, "留言时间")
    assert Counter(type(cell) for cell in cells) == {str: 4197, datetime: 129}
    rows = lake.rows("silver", "hotline.posts", "posted_at")
    assert [row["posted_at"] for row in rows] == [in_china(cell) for cell in cells]
    assert lake.results("hotline.posts")["posted_at.type"] == ("passed", len(cells), 0)


@pytest.mark.parametrize(("name", "sent"), [("posted_at", "留言时间"), ("replied_at", "答复时间")])
def test_where_one_way_of_writing_is_declared_the_other_is_a_finding(lake: Lake, name: str, sent: str) -> None:
    other = [cell for cell in column(REPLIES, sent) if isinstance(cell, datetime) or ":" not in cell]
    assert lake.found("hotline.replies")[f"{name}.type"] == len(other) == 1
    (kept,) = [row["_raw"] for row in lake.rows("silver", "hotline.replies", name, "_raw") if row[name] is None]
    assert json.loads(kept)[name] == str(other[0])


def test_tabs_line_breaks_and_hard_spaces(lake: Lake) -> None:
    names = {"subject": "留言主题", "text": "留言详情", "reply": "答复意见"}
    inside = {f"{n}.pattern": _with_inner_space(column(REPLIES, sent)) for n, sent in names.items()}
    times = {"posted_at.type": 1, "replied_at.type": 1}
    assert lake.found("hotline.replies") == inside | times
    assert lake.found("hotline.posts") == {"text.pattern": _with_inner_space(column(POSTS, "留言详情"))}


def test_outer_white_space_goes_and_nothing_else(lake: Lake) -> None:
    sent = column(POSTS, "留言详情")
    assert sum(text != text.strip() for text in sent) > 4000
    kept = [row["text"] for row in lake.rows("silver", "hotline.posts", "text")]
    assert kept == [text.strip() for text in sent]
    assert sum("http" in text for text in kept) == sum("http" in text for text in sent) > 0


def test_no_id_is_there_twice(lake: Lake) -> None:
    for dataset, file in (("hotline.posts", POSTS), ("hotline.replies", REPLIES)):
        ids = column(file, "留言编号")
        assert lake.results(dataset)["key.unique"] == ("passed", len(ids), repeats(ids))


def _with_inner_space(texts: list[str]) -> int:
    return sum(bool(INNER_SPACE.search(text.strip())) for text in texts)
