"""Nobody reads the dashboard through another site's page or without its token, and nobody changes anything."""

from pathlib import Path

import pytest
from dashboard_client import Client, Serve

from analysis.dashboard.guard import Access
from analysis.dashboard.serving import MIN_TOKEN_LETTERS, Options, access_of

TOKEN = "a token that nobody guesses"


@pytest.fixture(scope="module")
def local(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("results"), names=("tunnel.example",))


@pytest.fixture(scope="module")
def guarded(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("results"), token=TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:1", "tunnel.example"])
def test_it_answers_to_its_names_whatever_the_port(local: Client, host: str) -> None:
    assert local.get("/", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example"),
        *(
            "evil.example:80#localhost",
            "127.0.0.1:80:90",
            "localhost.",
            "192.168.0.1",
            " ",
            "[::1",
            "localhost/x",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/", "/studies.json", "/metrics", "/static/page.css", "/nothing"])
def test_it_answers_to_no_other_name(local: Client, host: str, path: str) -> None:
    found = local.get(path, host=host)

    assert found.status == 400
    assert b"stud" not in found.body


def test_a_request_without_a_name_is_refused(local: Client) -> None:
    assert local.get("/", host="").status == 400


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"]
)
@pytest.mark.parametrize("path", ["/", "/study/x/data.json"])
def test_nothing_can_be_sent(local: Client, method: str, path: str) -> None:
    found = local.get(path, method=method)

    assert found.status == 405
    assert found.headers["allow"] == "GET, HEAD"


def test_head_tells_what_get_would_without_the_content(local: Client) -> None:
    found = local.get("/", method="HEAD")

    assert (found.status, found.body) == (200, b"")
    assert local.get("/events", method="HEAD").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_other_sites_read_nothing(local: Client, headers: dict[str, str]) -> None:
    assert local.get("/studies.json", headers).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {},
    ],
)
def test_links_its_own_pages_and_other_programs_may(local: Client, headers: dict[str, str]) -> None:
    assert local.get("/", headers).status == 200


def test_its_own_origin_may(local: Client) -> None:
    assert local.get("/studies.json", {"Origin": f"http://127.0.0.1:{local.port}"}).status == 200


@pytest.mark.parametrize("path", ["/", "/studies.json", "/nothing", "/static/studies.js", "/metrics"])
def test_every_answer_says_what_a_browser_may_do_with_it(local: Client, path: str) -> None:
    headers = local.get(path).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_pages_are_stored_nowhere(local: Client) -> None:
    assert local.get("/").headers["cache-control"] == "no-store"
    assert local.get("/studies.json").headers["cache-control"] == "no-store"


# The token


@pytest.mark.parametrize(
    "path", ["/", "/studies.json", "/metrics", "/static/studies.js", "/events", "/nothing"]
)
def test_without_the_token_there_is_nothing(guarded: Client, path: str) -> None:
    found = guarded.get(path)

    assert found.status == 401
    assert TOKEN.encode() not in found.body


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + " ", "%00", "%F0%9F%98%80"])
def test_a_wrong_token_is_none(guarded: Client, token: str) -> None:
    token = token.replace(" ", "%20")

    assert guarded.get(f"/?token={token}").status == 401
    assert guarded.get("/", {"Authorization": f"Bearer {token}"}).status == 401
    assert guarded.get("/", {"Cookie": f"asyrp_sweep_{guarded.port}={token}"}).status == 401


def test_the_token_is_exchanged_for_a_cookie_once(guarded: Client) -> None:
    asked = guarded.get(f"/?token={TOKEN.replace(' ', '+')}&view=1")
    cookie = asked.headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    later = guarded.get("/studies.json", {"Cookie": f"{name}={rest.partition(';')[0]}"})

    assert asked.status == 200
    assert b'url=/?view=1"' in asked.body
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert TOKEN.encode() not in asked.body
    assert later.status == 200


def test_prometheus_brings_it_in_a_header(guarded: Client) -> None:
    assert guarded.get("/metrics", {"Authorization": f"Bearer {TOKEN}"}).status == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example/", "/%22%3E%3Cscript%3E/"])
def test_the_way_on_leads_nowhere_else(guarded: Client, path: str) -> None:
    body = guarded.get(f"{path}?token={TOKEN.replace(' ', '+')}").body.decode()

    assert "<script" not in body
    assert "url=//" not in body
    assert "url=/\\" not in body
    assert "url=/" in body


# Which names, and whether a token


def test_on_this_machine_alone_nobody_needs_a_token(tmp_path: Path) -> None:
    assert access_of(Options(tmp_path), "127.0.0.1", 1).token is None


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.168.7.1"])
def test_beyond_it_a_token_is_made(tmp_path: Path, bound: str) -> None:
    one, other = (access_of(Options(tmp_path, host=bound), bound, 1) for _ in range(2))

    assert len(one.token or "") >= MIN_TOKEN_LETTERS
    assert one.token != other.token


def test_beyond_it_any_address_is_a_name_but_no_name_that_is_not_said(tmp_path: Path) -> None:
    access = access_of(Options(tmp_path, host="0.0.0.0", names=("Lab.example",)), "0.0.0.0", 1)

    assert access.knows("192.168.7.1:8686")
    assert access.knows("[fe80::1]:8686")
    assert access.knows("lab.EXAMPLE")
    assert not access.knows("evil.example")


def test_a_host_of_many_colons_is_looked_at_in_no_time() -> None:
    assert not Access(frozenset({"localhost"})).knows(":" * 10_000)
