"""Who may ask the dashboard: every request passes here before anything else looks at it.

- Only GET and HEAD: nothing can be changed.
- The Host header must be a name of this dashboard. Else a page of anybody's, whose name is made to mean this machine
  (DNS rebinding), could read all of it through the browser of somebody who may.
- Other sites may link here, and no more: no frames, no pictures, no scripts, no requests from their pages.
- Beyond this machine a token: once in the address, then in a cookie that no script and no other site gets to use.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer, unless it has its own."""
METHODS = ("GET", "HEAD")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:\[\]/@]+)(:\d{1,5})?")
_YEAR_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class Access:
    """What a request must show."""

    hosts: frozenset[str]
    """Names that the dashboard goes by, in lower case; an IPv6 address in brackets."""
    any_address: bool = False
    """Whether any IP address is one as well: a name can be made to mean this machine, an address cannot."""
    token: str | None = None
    """None where everybody who reaches the dashboard may read it."""
    cookie: str = "asyrp_sweep"
    """Name of the cookie; browsers share cookies among the ports of a machine, so each port has its own."""

    def knows(self, host: str) -> bool:
        """Whether a Host header names this dashboard, with any port: a tunnel may have another one."""
        match = _HOST.fullmatch(host.lower())
        return match is not None and (match[1] in self.hosts or (self.any_address and _is_address(match[1])))

    def takes(self, token: str) -> bool:
        """Whether this is the token, in a time that tells nothing of how much of it is right."""
        return self.token is not None and hmac.compare_digest(_digest(token), _digest(self.token))

    def takes_cookie(self, value: str) -> bool:
        """Whether a cookie is the one that the token was exchanged for."""
        return self.token is not None and hmac.compare_digest(value.encode(), _digest(self.token).encode())


def is_name(text: str) -> bool:
    """Whether a text can be the name in a Host header, without a port."""
    match = _HOST.fullmatch(text.lower())
    return match is not None and match[2] is None


class Guard:
    """The application behind it sees only requests that may be answered."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """What is answered in place of the page; None where nothing speaks against it."""
        if request.method not in METHODS:
            return _told(405, "This dashboard only shows: GET and HEAD.", {"Allow": ", ".join(METHODS)})
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._access.knows(hosts[0]):
            return _told(
                400,
                "This dashboard does not go by the name in the request. If the name is yours, start it with "
                "--allow-host NAME.",
            )
        if not _comes_from_here(request.headers, hosts[0]):
            return _told(403, "Another site's page may not read this dashboard.")
        return self._without_token(request)

    def _without_token(self, request: Request) -> Response | None:
        access = self._access
        if access.token is None:
            return None
        if "token" in request.query_params:
            if access.takes(request.query_params["token"]):
                return self._admission(request)
        elif access.takes_cookie(request.cookies.get(access.cookie, "")) or access.takes(
            request.headers.get("authorization", "").removeprefix("Bearer ")
        ):
            return None
        return _told(
            401,
            "This dashboard needs its token: open the address that `asyrp-sweep dashboard` printed, with ?token=...",
            {"WWW-Authenticate": "Bearer"},
        )

    def _admission(self, request: Request) -> Response:
        """The cookie for the token, and on to the page: without the token in its address, where others may see it.

        A page that goes on by itself, and no redirect: after a link in another site's page a redirect would still be
        that site's request, and browsers leave a strict cookie out of it.
        """
        rest = urlencode(
            [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        )
        path = quote(request.scope["path"].lstrip("/\\"))  # Two slashes would begin another site's name.
        target = escape(f"/{path}{'?' if rest else ''}{rest}")
        page = HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>asyrp-sweep</title>'
            f'<meta http-equiv="refresh" content="0;url={target}"><p><a href="{target}">To the dashboard</a></p>'
        )
        page.set_cookie(
            self._access.cookie,
            _digest(self._access.token or ""),
            max_age=_YEAR_SECONDS,
            httponly=True,
            samesite="strict",
        )
        return page


def _told(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


def _comes_from_here(headers: Mapping[str, str], host: str) -> bool:
    """Whether a request is this dashboard's own, of no page at all, or of somebody who follows a link.

    Old browsers and other programs send neither of these headers.
    """
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return False
    is_visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_visit or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _digest(token: str) -> str:
    """Letters of one length for any token: what is compared, and what a cookie may hold."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
