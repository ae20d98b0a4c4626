"""An object store as results are kept in it: S3, Google's and Azure's through one library, and few verbs.

There is no rename and no lock. What takes their place are two conditions that the store itself keeps: an object is
created only if its key is free, and replaced only if it is still the one that was read. `probe` tries both, since some
servers take the conditions and ignore them.
"""

import contextlib
import importlib.util
import os
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.ledger.errors import LedgerError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "abfs": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
    "abfss": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
}
"""Scheme of a URL -> the variables that say who asks. A machine may have a role instead."""
REQUEST_SECONDS = 60
"""A request that takes longer is given up and asked again."""
RETRY_SECONDS = 30
"""No request is asked again later than this."""
_METADATA_HOSTS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Where machines in a cloud ask for their role: asked where no variable says who asks."""
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist")
_QUERY = re.compile(r"\?\S*")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_ONE_PIECE = 5 * 2**20
"""Bytes up to which an object is sent in one request."""


class Listed(NamedTuple):
    """What a store says of an object without giving it."""

    num_bytes: int
    tag: str
    """Changes whenever the object does."""
    modified_at: datetime
    """By the store's clock."""


class Objects:
    """The objects under a URL. Every verb raises LedgerError where the store cannot be reached or refuses."""

    def __init__(self, url: str, store: "ObjectStore") -> None:
        """`url` is for messages; keys are relative to it."""
        self.url = url.rstrip("/")
        self._store = store

    def get(self, key: str) -> bytes:
        """The content of an object. Raises FileNotFoundError where there is none."""
        import obstore

        with self._told("read"):
            return bytes(obstore.get(self._store, key).bytes())

    def look(self, key: str) -> Listed | None:
        """What the store says of one object; None where there is none."""
        import obstore

        try:
            with self._told("read"):
                return _listed(obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    def list(self, prefix: str = "") -> dict[str, Listed]:
        """Key -> object, for all keys under a folder's name."""
        import obstore

        with self._told("read"):
            pages = obstore.list(self._store, prefix.rstrip("/") or None)
            return {meta["path"]: _listed(meta) for page in pages for meta in page}

    def put(self, key: str, content: bytes) -> str:
        """Write an object, or replace it; its tag."""
        return self._put(key, content, "overwrite")

    def create(self, key: str, content: bytes) -> str | None:
        """Write an object whose key is free; its tag, None where the key is taken."""
        from obstore.exceptions import AlreadyExistsError

        try:
            return self._put(key, content, "create")
        except AlreadyExistsError:
            return None

    def swap(self, key: str, content: bytes, tag: str) -> str | None:
        """Replace the object that has this tag; the new tag, None where it is another one by now."""
        from obstore.exceptions import PreconditionError

        try:
            return self._put(key, content, {"e_tag": tag})
        except (PreconditionError, FileNotFoundError):
            return None

    def put_new(self, key: str, content: bytes) -> str | None:
        """As `create`, but that this content may be there already: a request that was asked twice is no conflict."""
        tag = self.create(key, content)
        if tag is not None:
            return tag
        found = self.look(key)
        return found.tag if found is not None and self.get(key) == content else None

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        with self._told("written"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def probe(self) -> datetime:
        """The store's time. Raises LedgerError where it ignores a condition, or cannot be read and written."""
        from obstore.exceptions import NotSupportedError

        key = f".probe-{uuid.uuid4().hex}"
        try:
            first = self.create(key, b"1")
            is_kept = first is not None and self.create(key, b"2") is None
            second = self.swap(key, b"3", first) if first is not None else None
            is_kept = is_kept and second is not None and self.swap(key, b"4", first or "") is None
            found = self.look(key)
        except NotSupportedError:
            is_kept = False
        finally:
            with contextlib.suppress(LedgerError):  # What went wrong before says more.
                self.delete(key)
        if not is_kept or found is None:
            raise LedgerError(
                f"{self.url}: this store ignores the conditions of a write (If-None-Match, If-Match): two launches "
                "could overwrite each other's results. Choose a store that keeps them, or a folder"
            )
        return found.modified_at

    def _put(self, key: str, content: bytes, mode: Any) -> str:
        import obstore

        with self._told("written"):
            # A condition holds for a write in one piece, and pieces cost two requests more.
            is_large = mode == "overwrite" and len(content) > _ONE_PIECE
            given = obstore.put(self._store, key, content, mode=mode, use_multipart=is_large)
        return str(given["e_tag"])

    @contextlib.contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        """Say in a line what a store refused; that a key is free or taken stays what it is."""
        from obstore.exceptions import (
            AlreadyExistsError,
            BaseError,
            NotSupportedError,
            PreconditionError,
        )

        try:
            yield
        except (AlreadyExistsError, NotSupportedError, PreconditionError):
            raise
        except (FileNotFoundError, BaseError) as error:
            if isinstance(error, FileNotFoundError) and not _says_bucket(error):
                raise
            raise LedgerError(self._refusal(verb, error)) from error

    def _refusal(self, verb: str, error: Exception) -> str:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text = _QUERY.sub("", str(error))  # Queries may be signed.
        if _says_bucket(error):
            return f"{self.url}: there is no such bucket; create it, or name another one with --results"
        names = CREDENTIALS[self.url.partition("://")[0]]
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            code = _CODE.search(text)
            cause = f" ({code[1]})" if code else ""
            return (
                f"{self.url} cannot be {verb}: the store refuses{cause}; give rights to whom {' and '.join(names)} "
                "name, or choose another place with --results"
            )
        if any(host in text for host in _METADATA_HOSTS) and (lacking := _lacking(self.url)):
            return f"{lacking}, and this machine has no role that gives them"
        return f"{self.url} cannot be {verb}: {text.splitlines()[0]}"


def is_url(text: str) -> bool:
    """Whether a text names a place by a URL rather than by a path."""
    return "://" in text


def objects_at(url: str) -> Objects:
    """The objects under a URL; asks the store for nothing yet. Raises LedgerError for a URL that names no place."""
    scheme, _, rest = url.partition("://")
    if scheme not in CREDENTIALS:
        from trainables.wording import expected

        raise LedgerError(f"--results: {expected('s3://, gs:// or abfs://', f'{scheme}://', CREDENTIALS)}")
    bucket, *parts = rest.rstrip("/").split("/")
    if not bucket or any(not part or part.startswith(".") for part in parts):
        raise LedgerError(
            f"--results: expected {scheme}://BUCKET/PATH, no part of it empty or beginning with a dot; found {url!r}"
        )
    if "@" in bucket and scheme not in ("abfs", "abfss"):
        names = " and ".join(CREDENTIALS[scheme])
        raise LedgerError(f"--results: a URL holds no credentials; set {names} instead")
    if importlib.util.find_spec("obstore") is None:
        raise LedgerError(
            f"{scheme}:// needs obstore, which the extra `store` brings: pip install 'asyrp-sweep[store]'"
        )
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    options: ClientConfig = {"timeout": timedelta(seconds=REQUEST_SECONDS)}
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["allow_http"] = True  # The user says so.
    retry: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    try:
        return Objects(url, from_url(url, client_options=options, retry_config=retry))
    except (BaseError, ValueError) as error:
        raise LedgerError(_lacking(url) or f"{url} cannot be used: {str(error).splitlines()[0]}") from error


def _lacking(url: str) -> str:
    """Which variables of the credentials are not set; nothing where all are."""
    missing = [name for name in CREDENTIALS[url.partition("://")[0]] if not os.environ.get(name)]
    are = "is" if len(missing) == 1 else "are"
    return f"{url}: no credentials: {' and '.join(missing)} {are} not set" if missing else ""


def _listed(meta: Any) -> Listed:
    return Listed(meta["size"], str(meta["e_tag"]), meta["last_modified"])


def _says_bucket(error: Exception) -> bool:
    return any(word in str(error) for word in _NO_BUCKET)
