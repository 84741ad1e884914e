"""Objects of S3 and of stores that speak like it (MinIO, OSS, OBS ...), folders being what stands before `/` in their keys.

The connection's URI is `s3://KEY:SECRET@HOST` or, as Airflow writes it, `aws://KEY:SECRET@/?endpoint_url=...`, with
`region_name` (left out, us-east-1) and `addressing=virtual` for stores that want the bucket in the host's name. Without
either the store is Amazon's own. Why this isn't pyarrow's driver: docs/decisions/files-elsewhere.md.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree.ElementTree import Element, ParseError

import httpx
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from fsspec import AbstractFileSystem

from lakehouse.contract import Limits
from lakehouse.errors import EnvironmentFault, SourceRefused
from lakehouse.sources.drop.place import capped
from lakehouse.sources.drop.remote import Address
from lakehouse.sources.drop.web import Web, missing
from lakehouse.sources.login import Form, Login

_WORDS = {"endpoint_url", "region_name", "addressing"}
_PAGE_BYTES = 16 << 20
"""A page of a list holds 1,000 keys of 1 KB at most."""


def opened(address: Address, limits: Limits, where: str) -> AbstractFileSystem:
    """The store's objects; a path is `/bucket/key`. Raises EnvironmentFault where the connection says what can't be."""
    said = address.said
    if unknown := said.keys() - _WORDS:
        fault = f"connection '{address.connection}': '{min(unknown)}' means nothing in it"
        raise EnvironmentFault(fault, hint=f"known: {', '.join(sorted(_WORDS))}")
    region = said.get("region_name", "us-east-1")
    port = f":{address.port}" if address.port else ""
    store = said.get("endpoint_url") or f"https://{address.host or f's3.{region}.amazonaws.com'}{port}"
    home, bucket = httpx.URL(store), address.path.split("/")[1]
    if said.get("addressing") == "virtual":
        home = home.copy_with(host=f"{bucket}.{home.host}")
    log_in = Signature(address.user, address.password, region) if address.user else Login()
    return S3(home, limits, where, log_in, in_host=said.get("addressing") == "virtual")


class S3(Web):
    """The objects of a store that can be read."""

    protocol = "s3"

    def __init__(self, home: httpx.URL, limits: Limits, where: str, log_in: Login, *, in_host: bool) -> None:
        super().__init__(home, limits, where, log_in)
        self._in_host = in_host

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        return capped(self._listed(path), self._client.where)

    def url(self, path: str) -> httpx.URL:
        _, bucket, key = path.split("/", 2)
        return self._home.join(quote("/" + (key if self._in_host else f"{bucket}/{key}"), safe="/-_.~"))

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        _, bucket, *keys = path.rstrip("/").split("/")
        prefix = "".join(f"{key}/" for key in keys)
        asked = {"delimiter": "/", "encoding-type": "url", "list-type": "2", "prefix": prefix}
        while True:
            page = self._page(bucket, asked)
            for found in _all(page, "Contents"):
                key = unquote_plus(_text(found, "Key"))
                if key != prefix:  # what some programs make to stand for the folder
                    yield {"name": f"/{bucket}/{key}", "type": "file", **_facts(found)}
            for found in _all(page, "CommonPrefixes"):
                yield {"name": f"/{bucket}/{unquote_plus(_text(found, 'Prefix')).rstrip('/')}", "type": "directory"}
            token = _text(page, "NextContinuationToken")
            if _text(page, "IsTruncated") != "true":
                return
            if token in ("", asked.get("continuation-token")):
                raise SourceRefused("its list doesn't go on", where=self._client.where, hint="ask the department")
            asked = asked | {"continuation-token": token}

    def _page(self, bucket: str, asked: dict[str, str]) -> Element:
        query = urlencode(sorted(asked.items()), quote_via=quote, safe="-_.~")
        url = self.url(f"/{bucket}/").copy_with(query=query.encode())
        with missing(), self._client.answer(url) as answer:
            body = b""
            for piece in self._client.body(answer):
                body += piece
                if len(body) > _PAGE_BYTES:
                    break
        try:
            page: Element = fromstring(body)
        except (ParseError, DefusedXmlException) as error:
            hint = "check the connection: is it the address of an S3 store?"
            raise SourceRefused("its list can't be read", where=self._client.where, hint=hint) from error
        return page


class Signature(Login):
    """AWS Signature Version 4 of requests without a body
    (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html)."""

    def __init__(self, key: str, secret: str, region: str) -> None:
        self._key, self._secret, self._region = key, secret, region

    def sign(self, request: httpx.Request, post: Form) -> None:
        at = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{at[:8]}/{self._region}/s3/aws4_request"
        request.headers["x-amz-date"] = at
        request.headers["x-amz-content-sha256"] = _NOTHING
        signed = sorted(
            name for name in ("host", "range", "x-amz-content-sha256", "x-amz-date") if name in request.headers
        )
        path, _, query = request.url.raw_path.decode().partition("?")
        lines = [f"{name}:{request.headers[name]}" for name in signed]
        names = ";".join(signed)
        canonical = "\n".join((request.method, path, query, *lines, "", names, _NOTHING))
        text = "\n".join(("AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{self._secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._key}/{scope},SignedHeaders={names},Signature={signature}"
        )


_NOTHING = hashlib.sha256(b"").hexdigest()


def _facts(found: Element) -> dict[str, Any]:
    size, modified = _text(found, "Size"), None
    with suppress(ValueError):
        # as the header `Last-Modified` gives it: in whole seconds
        modified = datetime.fromisoformat(_text(found, "LastModified")).replace(microsecond=0).astimezone(UTC)
    return {"size": int(size) if size.isdecimal() else None, "mtime": modified, "etag": _text(found, "ETag")}


def _all(page: Element, name: str) -> list[Element]:
    return page.findall(f"{{*}}{name}")


def _text(found: Element, name: str) -> str:
    return found.findtext(f"{{*}}{name}") or ""
