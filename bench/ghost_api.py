"""A Ghost Content API with so many posts, none of them changed: `python -m bench.ghost_api PORT COUNT`.

It answers with pages that it has made before, so that it costs the machine little. `/requests` says how many it had.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from service.intake.adapters.ghost import PAGE_POSTS

REQUESTS = "/requests"


def post_id(number: int) -> str:
    """An id as Ghost's are."""
    return f"{number:024x}"


def pages(count: int) -> list[bytes]:
    """The pages of all ids, the first first."""
    made = []
    for start in range(0, count, PAGE_POSTS):
        ids = range(start, min(start + PAGE_POSTS, count))
        posts = [{"id": post_id(each), "visibility": "public"} for each in ids]
        following = start // PAGE_POSTS + 2 if start + PAGE_POSTS < count else None
        made.append(json.dumps({"posts": posts, "meta": {"pagination": {"next": following}}}).encode())
    return made


def serve(port: int, count: int) -> None:
    made = pages(count)
    nothing = json.dumps({"posts": [], "meta": {"pagination": {"next": None}}}).encode()
    requests = 0

    class PagesHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together: apart, the second waits for an acknowledgement

        def do_GET(self) -> None:
            nonlocal requests
            if self.path == REQUESTS:
                self._send(str(requests).encode())
                return
            requests += 1
            query = parse_qs(urlsplit(self.path).query)
            whole = query.get("filter") == ["visibility:public"]
            self._send(made[int(query["page"][0]) - 1] if whole else nothing)

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), PagesHandler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
