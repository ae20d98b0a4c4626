"""Starts the dashboard: its socket, its access, the threads that read, and the server; ends all of them on a signal."""

import errno
import ipaddress
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from analysis.dashboard.app import Dashboard
from analysis.dashboard.guard import LOOPBACK_NAMES, Access, Guard, is_name
from analysis.dashboard.pages import Pages
from analysis.dashboard.strips import Strips
from analysis.dashboard.studies import LOOK_SECONDS, Source, Studies
from trainables.errors import UserError
from trainables.wording import expected

TOKEN_BYTES = 24
MIN_TOKEN_LETTERS = 16
LEAVE_SECONDS = 1
"""After which connections that are still open at the end are cut."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """How the dashboard is reached."""

    results: Path
    host: str = LOOPBACK
    port: int = 0
    """0 for any free one."""
    names: Sequence[str] = ()
    """Further names that it goes by, such as that of a proxy before it."""
    token: str | None = None
    """None makes one, where one is needed."""


class Serving:
    """A dashboard whose socket is open, so that its address is known; `run` answers until a signal comes.

    Raises UserError where the options cannot be met.
    """

    def __init__(self, options: Options, source: Source) -> None:
        _check_readable(options.results)
        _check_token(options.token)
        _check_names(options.names)
        self._socket = _listening(options.host, options.port)
        self.port: int = self._socket.getsockname()[1]
        self._options = options
        self._access = access_of(options, self._socket.getsockname()[0], self.port)
        studies = Studies(options.results, source)
        pages = Pages(studies)
        self._strips = Strips()
        self._tasks: tuple[Callable[[], bool], ...] = (studies.step, pages.step, self._strips.step)
        dashboard = Dashboard(studies, pages, self._strips, is_over=lambda: self._server.should_exit)
        config = uvicorn.Config(
            Guard(dashboard.app(), self._access),
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=LEAVE_SECONDS,
        )
        self._server = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """What a browser opens; with the token, where one is needed."""
        shown = self._options.host
        if shown in ("0.0.0.0", "::", ""):
            shown = socket.gethostname()
        shown = f"[{shown}]" if ":" in shown else shown
        token = f"?token={self._access.token}" if self._access.token is not None else ""
        return f"http://{shown}:{self.port}/{token}"

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM, which is raised again once everything has ended."""
        ended = threading.Event()
        with self._socket, _working(self._tasks, ended):
            try:
                self._server.run(sockets=[self._socket])
            finally:
                self._strips.close()

    def stop(self) -> None:
        """End `run` from another thread."""
        self._server.should_exit = True


@contextmanager
def _working(tasks: Sequence[Callable[[], bool]], ended: threading.Event) -> Iterator[None]:
    """Call each task in a thread of its own, again at once while there is work, until the context is left."""
    threads = [threading.Thread(target=_repeat, args=(task, ended), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for (
            thread
        ) in threads:  # Daemons: a read that takes longer keeps nobody waiting, and leaves nothing behind.
            thread.join(LOOK_SECONDS / 2)


def _repeat(task: Callable[[], bool], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            has_worked = task()
        except Exception:
            traceback.print_exc()  # A mistake of ours must be seen, and must not end the others' view.
            has_worked = False
        if not has_worked:
            ended.wait(LOOK_SECONDS)


def access_of(options: Options, bound: str, port: int) -> Access:
    """Who may ask a dashboard that listens on an address and a port."""
    is_local = ipaddress.ip_address(bound).is_loopback
    token = options.token
    if token is None and not is_local:
        token = secrets.token_urlsafe(TOKEN_BYTES)
    own = [options.host, bound, f"[{bound}]", *options.names]
    own += LOOPBACK_NAMES if is_local else [*LOOPBACK_NAMES, socket.gethostname(), socket.getfqdn()]
    return Access(
        hosts=frozenset(name.lower() for name in own if name),
        any_address=not is_local,
        token=token,
        cookie=f"asyrp_sweep_{port}",
    )


def _check_readable(results: Path) -> None:
    if not results.exists():
        raise UserError(
            f"--results: {results} does not exist; name a results folder, or start a study: asyrp-sweep run SPACE"
        )
    if not results.is_dir():
        raise UserError(f"--results: {results} is a file; expected a results folder")
    try:
        next(results.iterdir(), None)
    except OSError as error:
        raise UserError(f"--results: {results} cannot be read: {error.strerror or error}") from error


def _check_token(token: str | None) -> None:
    if token is not None and len(token) < MIN_TOKEN_LETTERS:
        raise UserError(
            f"--token: expected at least {MIN_TOKEN_LETTERS} characters; found {len(token)}; without it, one is made up"
        )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not is_name(name):
            raise UserError(
                f"--allow-host: {expected('a name such as lab.example.org, without http:// and port', name)}"
            )


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises UserError where it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host: {host!r} is no name or address that this machine knows; expected one of its own, such as "
            f"{LOOPBACK} or 0.0.0.0 (all of them)"
        ) from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(_refused(host, port, error)) from error
    return listening


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port: {port} on {host} is taken by another program; choose another one, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"--port: {port} is for the system's own programs; choose one above 1023, or 0 for any that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host: {host} is no address of this machine; expected one of its own, such as {LOOPBACK} or 0.0.0.0"
    return f"--host, --port: {host}:{port} cannot be used: {error.strerror or error}"
