"""The time limit of one attempt."""

import http.client
import socket
import ssl
import threading
import urllib.request
from typing import Any, List, cast


class Attempt:
    """Ends the connection of an attempt when its time is over.

    The timeout of a socket is not enough: it is for each wait, so a server that sends a byte now and then could hold an
    attempt for ever. Only the search for the address of a name is not limited.
    """

    def __init__(self, seconds: float, context: ssl.SSLContext) -> None:
        self.seconds = seconds
        self._context = context
        self._is_over = False
        self._sockets: List[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "Attempt":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for one in self._sockets:
            one.close()

    def require_time(self) -> None:
        """What was read may be cut off when the time is over. Raises TimeoutError."""
        if self._is_over:
            raise TimeoutError("the time for the attempt is over")

    def handlers(self) -> List[urllib.request.BaseHandler]:
        """What makes urllib use connections that end in time."""
        attempt = self

        class Http(http.client.HTTPConnection):
            def __init__(self, *words: Any, **options: Any) -> None:
                super().__init__(*words, **options)
                setattr(self, "_create_connection", attempt._connect)

        class Https(http.client.HTTPSConnection):
            def __init__(self, *words: Any, **options: Any) -> None:
                super().__init__(*words, **options)
                setattr(self, "_create_connection", attempt._connect)

        class HttpHandler(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(cast(Any, Http), request)

        class HttpsHandler(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(cast(Any, Https), request, context=attempt._context)

        return [HttpHandler(), HttpsHandler(context=self._context)]

    def _connect(self, *words: Any, **options: Any) -> socket.socket:
        connected = socket.create_connection(*words, **options)
        # The connection and TLS take the socket over; a duplicate ends the same connection.
        self._sockets.append(connected.dup())
        if self._is_over:
            connected.close()
            self.require_time()
        return connected

    def _end(self) -> None:
        self._is_over = True
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
