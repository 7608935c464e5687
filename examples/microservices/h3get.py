"""A request over HTTP/3 with aioquic; prints the response as `curl -i` does.

    python h3get.py [-X METHOD] [-H 'name: value']... [-d BODY] https://localhost:8443/path

The certificate is not verified: the demo makes its own at every start.
"""

import argparse
import asyncio
import ssl
import sys
from urllib.parse import urlsplit

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset


class Http(H3Connection):
    """aioquic wants as many bytes as Content-Length says, also of an answer to HEAD, which has none (RFC 9110, 8.6)."""

    is_head = False

    def _check_content_length(self, stream):
        if not self.is_head:
            super()._check_content_length(stream)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = Http(self._quic)
        self.headers, self.body = [], b""
        self.done = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, (ConnectionTerminated, StreamReset)) and not self.done.done():
            self.done.set_exception(ConnectionError(f"the gateway ended it: {event}"))
        for received in self.http.handle_event(event):
            if isinstance(received, HeadersReceived) and not self.headers:
                self.headers = received.headers
            elif isinstance(received, DataReceived):
                self.body += received.data
            if getattr(received, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)

    async def request(self, method, url, headers, body):
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        head = [(":method", method), (":scheme", "https"), (":authority", url.netloc), (":path", target)]
        head += [("user-agent", "aioquic"), *headers]
        self.http.is_head = method == "HEAD"
        stream = self._quic.get_next_available_stream_id()
        encoded = [(name.lower().encode(), value.encode()) for name, value in head]
        self.http.send_headers(stream, encoded, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body.encode(), end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.done, timeout=15)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", default="GET", dest="method")
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", default=None, dest="body")
    parser.add_argument("url")
    arguments = parser.parse_args()
    url = urlsplit(arguments.url)
    headers = [tuple(part.strip() for part in header.split(":", 1)) for header in arguments.headers]
    quic = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    # The demo listens on IPv4's loopback; the name that is asked for stays the URL's.
    quic.server_name = url.hostname
    address = "127.0.0.1" if url.hostname == "localhost" else url.hostname
    async with connect(address, url.port or 443, configuration=quic, create_protocol=Client) as client:
        await client.request(arguments.method, url, headers, arguments.body)
        fields = [(name.decode(), value.decode("latin-1")) for name, value in client.headers]
    status = next(value for name, value in fields if name == ":status")
    print(f"HTTP/3 {status}")
    for name, value in fields:
        if not name.startswith(":"):
            print(f"{name}: {value}")
    print(flush=True)
    sys.stdout.buffer.write(client.body)


if __name__ == "__main__":
    asyncio.run(main())
