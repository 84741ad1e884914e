"""The way through the pages of an API: what to ask next, and whether what came can be all of it."""

import hashlib
from collections.abc import Iterator

import httpx

from lakehouse.api import Next, Paging
from lakehouse.errors import DeliveryUnreadable, SourceRefused
from lakehouse.formats.objects import Text
from lakehouse.formats.pages import records, value
from lakehouse.sources.api.asking import Asking, Question, Values
from lakehouse.sources.api.marks import Reach
from lakehouse.sources.patience import Client

_NO_MORE = {None, "", "false", "null"}


class Walk:
    """The pages of one window, from the first to the last. What they hold is told to `reach`, if there is one.

    `broken` once a page can't be read: it is landed as the last one, and refused when it is loaded.
    """

    def __init__(self, client: Client, asking: Asking, said: Values, reach: Reach | None) -> None:
        self._client, self._asking, self._said, self._reach = client, asking, said, reach
        self._source, self._where = asking.source, client.where
        self.broken = False
        self._pages = self._records = 0
        self._seen: dict[bytes, int] = {}
        self._asked: dict[Question, int] = {}

    def first(self) -> Question:
        """What to ask for the first page."""
        return self._noted(next(questions(self._asking, self._said)))

    def after(self, page: bytes, answer: httpx.Response) -> Question | None:
        """What to ask after this page came, None behind the last.

        Raises SourceRefused for an answer that says it is an error, a page or a question that came before, a link to
        another host; DeliveryUnreadable when pages end before (or after) the total that the source says.
        """
        self._pages += 1
        found = self._found(page)
        self._check_ok(page)
        if self.broken:
            return None
        self._refuse_repeated(found)
        self._records += len(found)
        if self._reach:
            self._reach.note(found)
        total = self._total(page)
        following = self._following(page, answer, len(found), total)
        if following is None and total is not None and self._records != total:
            raise DeliveryUnreadable(
                f"{self._records} of {total} records",
                where=self._where,
                hint="did it change meanwhile? Else a smaller 'size' or 'ends: empty', or ask the department",
            )
        return following

    def _found(self, page: bytes) -> list[Text]:
        try:
            return records(page, self._source, self._client.limits.row_bytes, self._where)
        except DeliveryUnreadable:
            self.broken = True
            return []

    def _check_ok(self, page: bytes) -> None:
        ok = self._source.ok
        if ok is None:
            return
        said = value(page, ok.path, self._source)
        wanted = str(ok.value).lower() if isinstance(ok.value, bool) else str(ok.value)
        if said != wanted and not (said is None and self.broken):
            what = f"'{ok.path}' is {said[:40]!r}" if said is not None else f"no '{ok.path}'"
            raise SourceRefused(
                f"the answer is an error: {what}, not {wanted!r}",
                where=self._where,
                hint="ask the department what it means, or check 'ok' in 'source'",
            )

    def _refuse_repeated(self, found: list[Text]) -> None:
        content = hashlib.sha256(b"\n".join(bytes(record) for record in found)).digest()[:16]
        before = self._seen.setdefault(content, self._pages)
        if found and before != self._pages:
            raise SourceRefused(
                f"page {self._pages} is page {before} again",
                where=self._where,
                hint="check the names under 'page' or 'next' in 'source'",
            )

    def _total(self, page: bytes) -> int | None:
        if self._source.total is None:
            return None
        said = value(page, self._source.total, self._source)
        if said is None or not said.isdecimal():
            what = "nothing" if said is None else repr(said[:40])
            raise SourceRefused(
                f"'{self._source.total}' says {what}, not how many records there are",
                where=self._where,
                hint="check 'total' in 'source', or ask the department what changed",
            )
        return int(said)

    def _following(self, page: bytes, answer: httpx.Response, found: int, total: int | None) -> Question | None:
        match self._source.page, self._source.next:
            case Paging() as paging, _:
                full = found >= paging.size if paging.ends == "short" else found > 0
                if not full or (total is not None and self._records >= total):
                    return None
                return self._asking.question({**self._said, **_place(paging, self._pages, self._records)})
            case _, Next() as told:
                return self._told(told, page, answer)
        return None

    def _told(self, told: Next, page: bytes, answer: httpx.Response) -> Question | None:
        if told.more and value(page, told.more, self._source) in _NO_MORE:
            return None
        if told.path is not None:
            said = value(page, told.path, self._source)
        elif told.header == "Link":
            said = answer.links.get("next", {}).get("url")
        else:
            said = answer.headers.get(told.header or "")
        if said is None or said in _NO_MORE:
            return None
        if told.param:
            return self._noted(self._asking.question({**self._said, told.param: said}))
        url = self._client.on_same_host(said, answer.url, "the link to the next page")
        return self._noted(self._asking.at(str(url)))

    def _noted(self, question: Question) -> Question:
        """The question, if it is a new one."""
        before = self._asked.setdefault(question, self._pages + 1)
        if before != self._pages + 1:
            raise SourceRefused(
                f"page {self._pages} leads back to page {before}",
                where=self._where,
                hint="check 'next' in 'source', or ask the department",
            )
        return question


def questions(asking: Asking, said: Values) -> Iterator[Question]:
    """What would be asked if every page were full, without end; a single question where answers say how to go on."""
    paging = asking.source.page
    number = 0
    while paging or not number:
        place = _place(paging, number, number * paging.size) if paging else {}
        yield asking.question({**said, **place})
        number += 1


def _place(paging: Paging, pages: int, rows: int) -> Values:
    """Where the page behind so many pages and rows begins."""
    place = paging.start + (pages if paging.by == "number" else rows)
    return {paging.param: place, paging.size_param: paging.size}
