"""`netsvc.journal.reading`: what a slice of the facts gives, as it is sent."""

from __future__ import annotations

import base64
import json

from netsvc.facts import RECEIVED
from netsvc.journal.reading import Delivery, json_of

from .rows import nobody, row
from .watch_rig import WatchRig


def test_a_delivery_as_json() -> None:
    delivery = Delivery([row(5, b"\xff\x00")], 9, 2, None, lambda one: json_of(one, {"127.0.0.1": "ü"}.get))
    document = json.loads(delivery.encoded)
    assert (document["last"], document["left_out"], document["gap"]) == (9, 2, None)
    assert [fact["seq"] for fact in document["facts"]] == [5]
    assert document["facts"][0]["name"] == "ü"
    assert base64.b64decode(document["facts"][0]["data"]) == b"\xff\x00"
    assert delivery.encoded is delivery.encoded


def test_a_gap_as_json_and_a_path_that_is_no_text() -> None:
    rig = WatchRig()
    rig.emit(b"x")
    rig.timeline.clear()
    rig.facts.emit(RECEIVED, ("e", "l", "unix", "/run/\udcff", None, "", 7), b"y")
    follower = rig.follow(after=1)
    rig.pass_time()
    document = json.loads(json_of(follower.deliveries[0], nobody))
    assert document["gap"] == {"after": 1, "until": rig.timeline.gone, "facts": None}
    assert document["facts"][0]["address"] == "/run/\udcff"
