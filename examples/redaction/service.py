"""The services behind the three examples, on port 5000. What they were sent they print, so that one sees what got there.

/customers  answers with a customer;
/upload     with "stored";
/v1         as a chat that says back the first address it was sent, in pieces of a few letters, and then in a link.
"""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CUSTOMER = {
    "customer": {
        "fnr": "02013299997",
        "email": "kari@example.no",
        "card": "4111 1111 1111 1111",
        "address": {"street": "Storgata 1", "city": "Oslo"},
    },
    "notes": [{"id": 7, "text": "Kari rang fra jobben"}],
}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))) if self.command == "POST" else b""
        print(f"{self.command} {self.path}", body.decode("utf-8", "replace"), sep="\n", flush=True)
        if self.path.startswith("/v1"):
            self.stream(body.decode())
        elif self.path.startswith("/customers"):
            self.whole("application/json", json.dumps(CUSTOMER))
        else:
            self.whole("text/plain", "stored\n")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass

    def whole(self, content_type, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, request):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        found = re.search(r"PII\w+|[\w.+-]+@[\w.-]+\w", request)
        name = found.group() if found else "nobody"
        text = f"I wrote to {name} today. See https://crm.example.com/?q={name} for more."
        for at in range(0, len(text), 12):
            self.event(json.dumps({"choices": [{"index": 0, "delta": {"content": text[at : at + 12]}}]}))
            time.sleep(0.1)
        self.event(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    ThreadingHTTPServer(("127.0.0.1", port), Service).serve_forever()
