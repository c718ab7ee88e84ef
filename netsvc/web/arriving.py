"""How a client of the site arrived, for services that it reaches through it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netsvc.interfaces import Arrival, IArrivalTransport


def arrival_of(request: Any) -> Arrival:
    """
    How the client of a request arrived.

    @param request: a `netsvc.web.request.Request` that is being answered.
    @return: its transport's arrival. Where a proxy that is believed tells its address, its port is not
        known, and 0.
    """
    arrival: Arrival = IArrivalTransport(request.channel.transport).arrival()
    address = request.site.access.client_address(request)
    if address is None or address == arrival.address:
        return arrival
    return replace(arrival, address=address, port=0)
