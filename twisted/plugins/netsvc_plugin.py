"""
What twistd finds of netsvc: the service maker and the declarations of the built-in services.

It is imported for ``twistd --help`` and therefore imports none of the services' code.
"""

from __future__ import annotations

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from netsvc.service import NetService, Setting
from netsvc.websettings import WEB

netsvc = ServiceMaker(
    "netsvc",
    "netsvc.tap",
    "Small network services (timestamp, receiver, clients, echo and more) on TCP, UDP, TLS and UNIX sockets.",
    "netsvc",
)

timestamp = NetService(
    name="timestamp",
    summary="time-stamping echo",
    port=8009,
    stream="netsvc.services.timestamp.TimestampFactory",
    settings=(
        Setting(
            "framing",
            str,
            "chunk",
            choices=("chunk", "line"),
            reason="what gets one reply: each chunk of bytes as it was received, so that first programs, "
            "which send no newline, are answered, or each line",
        ),
        Setting(
            "style",
            str,
            "bracket",
            choices=("bracket", "plain"),
            reason="how the time is set off: [time] data, or time data; brackets show where the data begins",
        ),
        Setting(
            "data",
            str,
            "bytes",
            choices=("bytes", "repr"),
            reason="what follows the time: the bytes as they came, or a Python literal of them, which shows "
            "what a terminal would hide",
        ),
        Setting(
            "clock",
            str,
            "ctime",
            choices=("ctime", "iso", "ns"),
            reason="how the time reads: local in C's form, which people read best, UTC with microseconds, or "
            "nanoseconds since the epoch",
        ),
        Setting(
            "max_line",
            int,
            65_536,
            unit="bytes",
            minimum=1,
            maximum=16_777_216,
            reason="of one line, with framing = line, before it is answered 'line too long'; a client that "
            "never ends its line is not collected for ever",
        ),
    ),
    log={"opened": "...connected from: {peer}"},
)

receiver = NetService(
    name="receiver",
    summary="shows and records what arrives; can acknowledge",
    port=6667,
    stream="netsvc.services.receiver.ReceiverFactory",
    datagram="netsvc.services.receiver.ReceiverDatagram",
    needs=("journal",),
    settings=(
        Setting(
            "ack",
            str,
            "off",
            choices=("off", "received", "recorded"),
            reason="what is acknowledged: nothing, so that nobody gets what was not asked for, each message "
            "received, or each once it is safe in the journal",
        ),
        Setting("ack_text", str, "Got your message!", reason="what an acknowledgement says, as it stands"),
    ),
    log={
        "received": "Got message from {peer}: {data}",
        "closed": "End of the connection from {peer}",
    },
)

clients = NetService(
    name="clients",
    summary="client list: says who is here to whoever says its name",
    port=5000,
    stream="netsvc.services.clients.ClientsFactory",
    needs=("clients",),
    settings=(
        Setting(
            "ttl",
            float,
            3600.0,
            unit="seconds",
            minimum=0,
            maximum=31_536_000,
            reason="that an entry lives without renewal; 0 keeps it; an hour forgets what was switched off "
            "without a word",
        ),
        Setting(
            "max_clients",
            int,
            100_000,
            unit="entries",
            minimum=1,
            maximum=10_000_000,
            reason="in the list, beyond which the oldest leaves first, so that names made up without end "
            "cannot fill the memory",
        ),
        Setting(
            "linger",
            bool,
            False,
            reason="keeps the connection open and sends every change of the list; an entry then lives while "
            "its connection does; off, because a client that reads to the end would wait for ever",
        ),
        Setting(
            "max_pending",
            int,
            262_144,
            unit="bytes",
            minimum=1,
            maximum=1_073_741_824,
            reason="of changes that may wait for one lingering client while the list is being sent to it; a "
            "client that has more waiting cannot keep up and is aborted",
        ),
    ),
    # A lingering client may be silent for days; any other owes its name within first_line_timeout.
    limits={"idle_timeout": 0},
    first="segment",
)

echo = NetService(
    name="echo",
    summary="the same bytes back (RFC 862)",
    port=50_000,
    stream="netsvc.services.echo.EchoFactory",
    datagram="netsvc.services.echo.EchoDatagram",
    settings=(
        Setting(
            "disconnect",
            str,
            "",
            reason="a first message that contains this text has the connection reset, which some stacks' "
            "test suites ask of their echo server; empty resets none",
        ),
    ),
)

greeting = NetService(
    name="greeting",
    summary="greets and closes",
    port=12_345,
    stream="netsvc.services.greeting.GreetingFactory",
    settings=(Setting("text", str, "Thank you for connecting\r\n", reason="what is sent, as it stands"),),
    log={"opened": "Got connection from {peer}"},
)

discard = NetService(
    name="discard",
    summary="reads for ever and says nothing (RFC 863)",
    port=9009,
    stream="netsvc.services.discard.DiscardFactory",
    datagram="netsvc.services.discard.DiscardDatagram",
    limits={"idle_timeout": 0},
)

daytime = NetService(
    name="daytime",
    summary="the time of day in one line (RFC 867)",
    port=9013,
    stream="netsvc.services.daytime.DaytimeFactory",
    datagram="netsvc.services.daytime.DaytimeDatagram",
)

chargen = NetService(
    name="chargen",
    summary="characters without end (RFC 864)",
    port=9019,
    stream="netsvc.services.chargen.ChargenFactory",
    datagram="netsvc.services.chargen.ChargenDatagram",
)

time = NetService(
    name="time",
    summary="the time in four bytes (RFC 868)",
    port=9037,
    stream="netsvc.services.time.TimeFactory",
    datagram="netsvc.services.time.TimeDatagram",
)

whoami = NetService(
    name="whoami",
    summary="tells a client how it arrived",
    port=9042,
    stream="netsvc.services.whoami.WhoamiFactory",
    datagram="netsvc.services.whoami.WhoamiDatagram",
)

chat = NetService(
    name="chat",
    summary="everyone hears everyone",
    port=5222,
    stream="netsvc.services.chat.ChatFactory",
    websocket="netsvc.web.chatroom.ChatMessagesFactory",
    shared="netsvc.services.chat.Room",
    settings=(
        Setting(
            "max_line",
            int,
            8192,
            unit="bytes",
            minimum=1,
            maximum=1_048_576,
            reason="of one line before the client is told 'line too long' and closed; every line goes to "
            "everyone, so it is dearer than elsewhere",
        ),
        Setting(
            "max_members",
            int,
            1000,
            unit="members",
            minimum=1,
            maximum=100_000,
            reason="of the room; one more is told 'room full' and closed, for what one says is sent to all",
        ),
    ),
    limits={"idle_timeout": 0},
    first="line",
)

canvas = NetService(
    name="canvas",
    summary="everyone draws on one picture",
    websocket="netsvc.web.canvas.CanvasFactory",
    shared="netsvc.web.canvas.Picture",
    limits={"idle_timeout": 0},
)

web = NetService(
    name="web",
    summary="page, live timeline, WebSocket, API, metrics (HTTP)",
    port=8080,
    stream="netsvc.web.site.web_factory",
    shared="netsvc.web.site.Shared",
    needs=("reactor", "daemon", "listener", "limits"),
    settings=WEB,
    # Its own times hold: for a head, for a next request, for a wait, for a ping's answer.
    limits={"idle_timeout": 0},
    noted=False,
)

reactor = Reactor(
    "netsvc",
    "netsvc.net.fast.reactor",
    "epoll(7) with less work for each event; what netsvc runs on where nobody chooses another (Linux)",
)
