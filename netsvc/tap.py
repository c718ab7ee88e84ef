"""
The one assembler: from settings to the daemon.

It imports everything and nothing imports it; what it is made of is in `netsvc.assembly`. All that can be
wrong with what the user asked for comes out here, before the log, the fork and the drop of privileges, as one
line and exit status 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService
from twisted.logger import Logger

from netsvc.assembly.common import Common
from netsvc.assembly.opening import Opening
from netsvc.assembly.planning import check, planned, wanted_by
from netsvc.assembly.reload import Present, Reload
from netsvc.assembly.serving import Serving
from netsvc.bridges import Bridges
from netsvc.configuration import Configuration, ServiceConfiguration
from netsvc.daemon import Daemon
from netsvc.failing import end_in_failure
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import Watchers
from netsvc.logoutput import log_observer
from netsvc.net.binding import Binding
from netsvc.net.listening import Listening
from netsvc.net.sockets import close_sockets
from netsvc.options import Options
from netsvc.ready import ReadyFile
from netsvc.settings import SettingError
from netsvc.signals import Hangup, after_first_signal
from netsvc.systemd import Notifier
from netsvc.trim import malloc_trim, trim_from_now_on
from netsvc.view import View

__all__ = ["Options", "makeService"]

_log = Logger()


def makeService(options: Options) -> IService:
    """
    Make the daemon; see `twisted.application.service.IServiceMaker`.

    @raise SystemExit: with one line for the user; its exit status is 1.
    """
    from twisted.internet import reactor

    # First, for it would end the process.
    hangup = Hangup()
    try:
        configuration = options.configuration()
        assembly = Assembly(configuration, reactor, _owner(options))
        daemon = assembly.daemon()
        daemon.log = log_observer(configuration.log, getattr(options, "parent", None), reactor)
    except SettingError as error:
        raise SystemExit(f"netsvc: {error}") from None
    _warn_of_root(_owner(options))
    # Not before, because it is as it begins to run that the reactor takes the signals itself.
    reactor.callWhenRunning(after_first_signal, daemon.abort)
    trim_from_now_on(reactor, malloc_trim())
    daemon.reloads_by(assembly.reload(daemon, options.configuration).again)
    hangup.tell(daemon.reload)
    return daemon


class Assembly:
    """Everything that the daemon is put together from."""

    def __init__(
        self, configuration: Configuration, reactor: Any, owner: tuple[int, int] | None = None
    ) -> None:
        """
        @param configuration: what the user wants.
        @param reactor: the reactor.
        @param owner: the user and group ids that the process will have, -1 for one that stays; None where
            both stay.
        """
        self._reactor = reactor
        self._common = common = Common(configuration, reactor, owner)
        serving = Serving(configuration, common)
        self._present = Present(configuration, serving, [], [])
        self._daemon: Daemon | None = None
        self._bridges = Bridges(serving.bridgeable(), self._bridged, reactor)
        common.view = View(
            facts=common.facts,
            timeline=common.timeline,
            watchers=Watchers(
                common.facts,
                common.timeline,
                common.clients,
                reactor,
                WatchLimits(watchers=configuration.web.max_watchers),
                history=None if common.journal is None else common.journal.history,
            ),
            clients=common.clients,
            journal=common.journal,
            listeners=self._present.listeners,
            bridges=self._bridges,
            shared=lambda service: self._present.serving.shared(service),
            ready=lambda: self._daemon is not None and self._daemon.ready,
            hidden=lambda: common.log.hidden,
            seconds=reactor.seconds,
        )

    def daemon(self) -> Daemon:
        """
        Open every listener.

        @raise SettingError: one of them cannot be opened; then none is.
        """
        configuration, common, serving = self._present.configuration, self._common, self._present.serving
        for name, why in configuration.left_out.items():
            _log.error("of what plugins declare, {name} is left out: {why}", name=name, why=why)
        for service in configuration.services:
            common.log.introduce(service.service.name, service.service.log)
        common.facts.tell(common.log, common.log.wants, common.log.room)
        ready = ReadyFile(configuration.net.ready)
        ready.prepare()
        check(configuration, common, serving)
        opening = Opening(configuration, common, serving)
        try:
            for wanted in wanted_by(configuration, common):
                self._present.running += opening.open(wanted.service, wanted.bindings)
        except SettingError:
            close_sockets(opening.opened)
            raise
        for one in self._present.running:
            limits = one.binding.limits
            common.log.allow(one.binding.url, limits.log_rate, limits.refusal_log_rate)
        self._present.listeners += [one.listener for one in self._present.running]
        self._daemon = Daemon(
            self._reactor,
            self._present.listeners,
            [self._bridges.stop, common.facts.flush, common.log.stop, common.clients.close],
            configuration.net.shutdown_grace,
            ready,
            end_in_failure(self._reactor),
            carried=self._bridges.listeners,
            journal=common.journal,
            supervisor=Notifier(os.environ),
        )
        return self._daemon

    def planned(self) -> list[tuple[str, Binding]]:
        """
        Find out what `daemon` would open, and whatever is wrong with it that shows before a socket is opened.

        The services' factories are made and thrown away, and certificates are read.

        @return: the service's name with each of its bindings.
        @raise SettingError: the daemon would not start.
        """
        found = planned(self._present.configuration, self._common, self._present.serving)
        return [(service.name, binding) for service, binding in found]

    def reload(self, daemon: Daemon, read: Callable[[], Configuration]) -> Reload:
        """
        Make what reads the configuration again.

        @param daemon: what `daemon` returned.
        @param read: reads it, in any thread.
        """
        return Reload(read, self._present, self._common, self._bridges, daemon)

    def _bridged(self, service: ServiceConfiguration, url: str) -> Listening:
        """What serves a service where the web service carries it, as it is configured at the time."""
        listening = self._present.serving.bridged(service, url)
        limits = listening.limits
        self._common.log.allow(url, limits.log_rate, limits.refusal_log_rate)
        return listening


def _owner(options: Options) -> tuple[int, int] | None:
    """The ids that twistd will change to, from its own ``--uid`` and ``--gid``."""
    parent = getattr(options, "parent", None) or {}
    ids = [parent.get(name) for name in ("uid", "gid")]
    if os.getuid() != 0 or ids == [None, None]:
        return None
    uid, gid = (-1 if one is None else one for one in ids)
    return uid, gid


def _warn_of_root(owner: tuple[int, int] | None) -> None:
    """Running as root is somebody's mistake, unless twistd drops it."""
    if os.getuid() == 0 and (owner is None or owner[0] in (-1, 0)):
        _log.warn(
            "netsvc runs as root and stays root: start it as another user, or give twistd --uid and --gid"
        )
