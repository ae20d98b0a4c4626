"""What the dashboard answers: pages, their data, streams of changes, metrics. It reads, and writes nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from analysis.dashboard.metrics import CONTENT_TYPE, Metrics
from analysis.dashboard.pages import Pages
from analysis.dashboard.static import STATIC
from analysis.dashboard.strips import Strips
from analysis.dashboard.studies import Entry, Studies
from analysis.dashboard.summaries import live, summary
from analysis.page.payload import shown
from trainables.model_files import model_file
from trainables.names import visible

STREAM_SECONDS = 0.25
"""How often a stream looks whether something has changed; it looks at memory."""
SIGN_OF_LIFE_SECONDS = 10.0
"""A stream that has nothing to say says so this often: pages, and what is between, then know that it is alive."""
RETRY_MILLISECONDS = 1000
"""After which a page asks again when the dashboard is away."""
GONE = "gone"
"""What is shown of a study whose folder is no longer there."""
SAMPLE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""A sample is somebody's file: shown as a picture it cannot do anything, opened by itself neither."""
_SHOWN_TYPES = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/svg+xml",
)
"""What a browser shows as a picture. Anything else, whatever it calls itself, is a file to keep."""


@dataclass(frozen=True)
class Dashboard:
    """The answers, from what is known of a results folder's studies."""

    studies: Studies
    pages: Pages
    strips: Strips = field(default_factory=Strips)
    numbers: Metrics = field(default_factory=Metrics)
    is_over: Callable[[], bool] = lambda: False
    """Whether the server is ending: then streams end, too."""

    def app(self) -> Starlette:
        """The application; `guard.Guard` belongs before it."""
        return Starlette(
            routes=[
                Route("/", self.index),
                Route("/studies.json", self.list),
                Route("/events", self.index_events),
                Route("/metrics", self.metrics),
                Route("/static/{name}", self.static),
                Route("/study/{key}/", self.study),
                Route("/study/{key}/events", self.study_events),
                Route("/study/{key}/now.json", self.now),
                Route("/study/{key}/data.json", self.data),
                Route("/study/{key}/sample/{digest}", self.sample),
                Route("/study/{key}/log/{signature}", self.log),
                Route("/study/{key}/strip/{signature}", self.strip),
                Route("/study/{key}/strip/{signature}/{number:int}", self.strip_picture),
            ],
            exception_handlers={HTTPException: _wrong},
        )

    async def index(self, request: Request) -> Response:
        """The page with the list of studies."""
        return _shell("studies.html")

    async def study(self, request: Request) -> Response:
        """The page of a study."""
        self._entry(request)
        return _shell("study.html")

    async def list(self, request: Request) -> Response:
        """What the list of studies shows."""
        sequence = self._list_sequence()
        entries = self.studies.entries.values()
        rows = [summary(entry, self.pages.verdicts.get(entry.key)) for entry in entries]
        return _json(
            {
                "sequence": sequence,
                "results": str(self.studies.results),
                "problem": self.studies.problem,
                "studies": [row.as_json() for row in sorted(rows, key=lambda row: row.order)],
                "others": self.studies.others,
            }
        )

    async def now(self, request: Request) -> Response:
        """What runs in a study now, and how far it is."""
        entry = self._entry(request)
        sequence = self._sequence(entry.key)
        shown = live(entry, self.studies.source.glyphs)
        return _json({"sequence": sequence, **shown, "summary": summary(entry).as_json()})

    async def data(self, request: Request) -> Response:
        """What a study's page draws: `analysis.page.shape.StudyPage` as JSON."""
        entry = self._entry(request)
        page = await run_in_threadpool(self.pages.page, entry.key)
        if page is None:
            raise HTTPException(404, "There is no such study.")
        headers = {"ETag": f'"{page.sequence}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(page.content, media_type="application/json", headers=headers)

    async def sample(self, request: Request) -> Response:
        """A sample of a study, by the digest of its bytes."""
        entry = self._entry(request)
        found = await run_in_threadpool(self.pages.sample, entry.key, request.path_params["digest"])
        if found is None:
            raise HTTPException(404, "There is no such sample.")
        media_type, content = found
        if media_type in _SHOWN_TYPES:
            return Response(content, media_type=media_type, headers=SAMPLE_HEADERS)
        headers = {**SAMPLE_HEADERS, "Content-Disposition": "attachment"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def log(self, request: Request) -> Response:
        """The end of a trial's log, by a signature that the study's plan has."""
        entry, signature = self._trial(request)
        text = await run_in_threadpool(self.studies.log_end, entry, signature)
        return PlainTextResponse(visible(text) or "This trial has left no log here.\n")

    async def strip(self, request: Request) -> Response:
        """How far the strip of a trial's model is; asking for it begins it, and waits for nothing.

        With `again`, one that failed is made once more.
        """
        entry, model = self._model(request)
        page = await run_in_threadpool(self.pages.page, entry.key)
        offer = None if page is None else self.studies.source.offer(page.family)
        if offer is None:
            raise HTTPException(404, "Models of this study's family have nothing to show here.")
        if request.query_params.get("again"):
            self.strips.forget(model)
        return _json(self.strips.ask(model, offer))

    async def strip_picture(self, request: Request) -> Response:
        """A picture of a strip that is done."""
        content = self.strips.picture(self._model(request)[1], request.path_params["number"])
        if content is None:
            raise HTTPException(404, "There is no such picture, or no longer.")
        return Response(content, media_type="image/png")

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        text = self.numbers.text(list(self.studies.entries.values()), self.pages.verdicts)
        return Response(text, media_type=CONTENT_TYPE)

    async def static(self, request: Request) -> Response:
        """A script or a style sheet of the dashboard, by its name in a fixed list."""
        found = STATIC.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "There is no such file.")
        headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    async def index_events(self, request: Request) -> Response:
        """A line whenever the list of studies has changed."""
        return self._stream(request, self._list_sequence)

    async def study_events(self, request: Request) -> Response:
        """A line whenever a study, or the data of its page, has changed."""
        entry = self._entry(request)
        return self._stream(request, lambda: self._sequence(entry.key))

    def _entry(self, request: Request) -> Entry:
        """The study that an address names. Raises HTTPException where there is none."""
        entry = self.studies.ask(request.path_params["key"])
        if entry is None:
            raise HTTPException(404, "There is no such study in the results folder, or no longer.")
        return entry

    def _trial(self, request: Request) -> tuple[Entry, str]:
        """The study and the trial that an address names. Raises HTTPException where the plan has none."""
        entry, signature = self._entry(request), request.path_params["signature"]
        trials = (entry.standing or {}).get("trials", ())
        if not any(trial["signature"] == signature for trial in trials):
            raise HTTPException(404, "The study has no such trial.")
        return entry, signature

    def _model(self, request: Request) -> tuple[Entry, Path]:
        """The study and the model's file of a trial that an address names. Raises HTTPException without one."""
        entry, signature = self._trial(request)
        path = entry.folder / model_file(signature)
        if self.studies.outside(path) or not path.is_file():
            raise HTTPException(404, "This trial has left no model here.")
        return entry, path

    def _list_sequence(self) -> str:
        """What the list of studies compares itself with."""
        return f"{self.studies.sequence}-{self.pages.sequence}"

    def _sequence(self, key: str) -> str:
        """What a study's page compares itself with; asking for it also says that somebody looks at the study."""
        entry = self.studies.ask(key)
        return GONE if entry is None else f"{entry.sequence}-{self.pages.known(key)}"

    def _stream(self, request: Request, sequence: Callable[[], str]) -> Response:
        """Server-sent events: `changed`, with what a page compares itself with as the event's id.

        A page that comes again says which one it has; so any server can go on, and none has to remember a page.
        """
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        known = request.headers.get("last-event-id", request.query_params.get("since", ""))
        return StreamingResponse(
            self._events(known, sequence),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _events(self, known: str, sequence: Callable[[], str]) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        said_at = float("-inf")
        while not self.is_over():
            now = sequence()
            if now != known:
                yield f"id: {now}\nevent: changed\ndata: {now}\n\n"
            elif time.monotonic() - said_at > SIGN_OF_LIFE_SECONDS:
                yield "event: alive\ndata:\n\n"
            else:
                await asyncio.sleep(STREAM_SECONDS)
                continue
            known, said_at = now, time.monotonic()


def _shell(name: str) -> Response:
    """A page without content: its script asks for that."""
    return Response(STATIC[name].content, media_type=STATIC[name].media_type)


def _json(content: object) -> Response:
    """JSON, with texts as a page may show them."""
    return Response(json.dumps(shown(content), separators=(",", ":")), media_type="application/json")


async def _wrong(request: Request, error: Exception) -> Response:
    """A line for an address that there is not."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code)
