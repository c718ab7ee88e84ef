"""Opens the sockets that are wanted, and makes the listener of each."""

from __future__ import annotations

import os
from collections.abc import Sequence

from netsvc.assembly.common import Common
from netsvc.assembly.running import Running, makeup_of
from netsvc.assembly.serving import Serving
from netsvc.configuration import Configuration, ServiceConfiguration
from netsvc.net.binding import Binding
from netsvc.net.datagramlistener import DatagramListener
from netsvc.net.listener import Listener
from netsvc.net.sockets import OpenSocket, close_sockets, open_where
from netsvc.net.streamlistener import EndpointListener, StreamListener, WebSocketListener
from netsvc.net.succession import Succession
from netsvc.settings import SettingError


class Opening:
    """
    Makes listeners.

    @ivar opened: the sockets that have a listener, for whoever has to close them when something else fails.
    """

    def __init__(self, configuration: Configuration, common: Common, serving: Serving) -> None:
        """
        @param configuration: what the user wants.
        @param common: what all listeners have in common.
        @param serving: makes what serves.
        """
        self.opened: list[OpenSocket] = []
        self._configuration = configuration
        self._common = common
        self._serving = serving

    def open(
        self,
        service: ServiceConfiguration,
        bindings: Sequence[Binding],
        beside: bool = False,
        leaving: Sequence[OpenSocket] = (),
    ) -> list[Running]:
        """
        Open sockets or endpoints of one WHERE, and make their listeners, which do not start yet.

        @param beside: others of that WHERE are open already.
        @param leaving: sockets that will be closed in a moment, on whose ports they may be.
        @raise SettingError: one cannot be opened or made; then none of them is left open.
        """
        if bindings[0].transport == "endpoint":
            return [self._running(service, one, False, self._endpoint(service, one)) for one in bindings]
        opened = open_where(bindings, self._common.left_out, beside, leaving)
        any_port = bindings[0].port == 0
        try:
            self._hand_over_files(opened)
            made = [self.listen(service, one, any_port) for one in opened]
        except BaseException:
            close_sockets(opened)
            raise
        self.opened.extend(opened)
        return made

    def listen(self, service: ServiceConfiguration, opened: OpenSocket, any_port: bool) -> Running:
        """
        Make the listener on a socket.

        @param any_port: whether it was asked for on any port.
        @raise SettingError: it cannot be made.
        """
        return self._running(service, opened.binding, any_port, self._listener(service, opened))

    def _running(
        self, service: ServiceConfiguration, binding: Binding, any_port: bool, listener: Listener
    ) -> Running:
        certificates = self._serving.certificates_of(binding)
        makeup = makeup_of(service, binding, self._configuration, certificates)
        return Running(service, binding, any_port, makeup, listener)

    def _hand_over_files(self, opened: Sequence[OpenSocket]) -> None:
        """Give the files of UNIX sockets to the user that twistd becomes: they are for that user alone."""
        if self._common.owner is None:
            return
        for one in opened:
            if one.unlink is None:
                continue
            try:
                os.chown(one.unlink, *self._common.owner)
            except OSError as error:
                binding = one.binding
                raise SettingError(
                    f"{binding.origin} {binding.where}: {one.unlink} cannot be given to the user that twistd "
                    f"becomes: {error.strerror}"
                ) from error

    def _listener(self, service: ServiceConfiguration, opened: OpenSocket) -> Listener:
        if opened.binding.kind == "datagram":
            return self._datagram_listener(service, opened)
        if opened.binding.transport in ("ws", "wss"):
            carried, _, listening = self._serving.websocket(service, opened.binding)
            return WebSocketListener(opened, listening, carried, self._common.reactor)
        listening = self._serving.listening(service, opened.binding)
        return StreamListener(opened, listening, self._common.reactor)

    def _datagram_listener(self, service: ServiceConfiguration, opened: OpenSocket) -> DatagramListener:
        common = self._common
        return DatagramListener(
            opened,
            self._serving.datagrams(service, opened.binding),
            service.service.name,
            opened.binding.limits,
            common.facts,
            common.own,
            common.reactor,
        )

    def _endpoint(self, service: ServiceConfiguration, binding: Binding) -> EndpointListener:
        serving = Succession(self._serving.listening(service, binding))
        opening = self._serving.listen(binding, serving.guards)
        return EndpointListener(opening, binding.origin, serving, self._common.reactor)
