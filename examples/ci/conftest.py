"""How netsvc runs for these tests."""

import pytest


@pytest.fixture(scope="session")
def netsvc_options():
    """The collector acknowledges what it gets."""
    return ["--udp", "udp://127.0.0.1:0?ack=received"]
