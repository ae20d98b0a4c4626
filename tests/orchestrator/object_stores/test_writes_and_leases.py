"""Of many that write one object of a real S3 server one wins, and one launch at a time holds the lease of a study."""

import json
import threading

import pytest
from object_server import needs_server

from orchestrator.ledger import LedgerError
from orchestrator.ledger import lease as leases
from orchestrator.ledger.lease import Lease
from orchestrator.ledger.objects import Objects

pytestmark = needs_server


# The store


def test_of_many_that_create_a_key_one_wins_and_of_many_that_replace_an_object_one(objects: Objects) -> None:
    tag = objects.put("lease", b"free")  # Not what one of them writes: an ETag is the digest of the content.
    won: list[tuple[str, int]] = []
    barrier = threading.Barrier(8)

    def contend(number: int) -> None:
        barrier.wait()
        if objects.create("new", b"%d" % number) is not None:
            won.append(("created", number))
        if objects.swap("lease", b"%d" % number, tag) is not None:
            won.append(("swapped", number))

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(kind for kind, _ in won) == ["created", "swapped"]
    assert {objects.get("new"), objects.get("lease")} == {b"%d" % number for _, number in won}


def test_what_is_there_already_is_no_conflict_where_it_is_the_same(objects: Objects) -> None:
    assert objects.put_new("part", b"rows") is not None
    assert objects.put_new("part", b"rows") is not None
    assert objects.put_new("part", b"others") is None
    assert objects.get("part") == b"rows"


# The lease


def test_a_lease_is_refused_while_it_is_held_and_given_once_it_is_let_go(objects: Objects) -> None:
    with Lease(objects, "study") as held:
        held.check()
        with pytest.raises(LedgerError, match=r"another launch is running this study \(process \d+ on "):
            Lease(objects, "study").__enter__()
    with Lease(objects, "study"):
        pass


def test_a_lease_whose_process_is_dead_or_that_nobody_renewed_is_taken_over(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(objects, "study"):
        holder = json.loads(objects.get("study/lease.json"))
        objects.put("study/lease.json", json.dumps({**holder, "process": 2**22 + 1}).encode())
        with Lease(objects, "study"):  # A process of this machine, which has none of that number.
            pass
    objects.put("other/lease.json", json.dumps({**holder, "host": "elsewhere"}).encode())
    with pytest.raises(LedgerError, match=r"on elsewhere.*its lease ends in"):
        Lease(objects, "other").__enter__()
    monkeypatch.setattr(leases, "LIFETIME_SECONDS", -1.0)
    with Lease(objects, "other"):
        pass


def test_who_lost_the_lease_may_record_nothing_and_leaves_it_to_its_holder(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SAFE_SECONDS", 0.0)
    with Lease(objects, "study") as held:
        held.check()
        objects.put("study/lease.json", b'{"host": "elsewhere"}')
        with pytest.raises(LedgerError, match="another launch has taken this study over"):
            held.check()
    assert objects.get("study/lease.json") == b'{"host": "elsewhere"}'
