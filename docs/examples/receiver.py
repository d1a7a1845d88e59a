"""A partner's receiver for Dateline's pushes. Python 3.11 or newer, standard library only.

    DATELINE_SECRETS=whsec_… python receiver.py [PORT]

While a secret is being changed, give both, separated by a blank. The table `article` then holds the newest
revision of every story; a story that was taken down is there by its status alone.
"""

import base64
import hmac
import json
import logging
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEYS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in os.environ["DATELINE_SECRETS"].split()]
DATABASE = os.environ.get("DATELINE_DATABASE", "held.db")
TOLERANCE_SECONDS = 300
BODY_MAX = 8 * 1024 * 1024


class Untrusted(Exception):
    """The request is not from Dateline, or too old to be sure."""


def verify(headers, body):
    """The push's id. Raises Untrusted unless one of the signatures fits one of the secrets."""
    push_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        raise Untrusted("webhook-timestamp is missing or too far from now")
    signed = f"{push_id}.{timestamp}.".encode() + body
    given = [each.removeprefix("v1,") for each in headers.get("webhook-signature", "").split(" ")]
    for key in KEYS:
        expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
        if any(hmac.compare_digest(expected, each.encode()) for each in given):
            return push_id
    raise Untrusted("no signature fits")


def store(push_id, sequence, data):
    """Keeps the story if this push is new and newer than what is held: one transaction, safe to run twice."""
    database = sqlite3.connect(DATABASE, timeout=10)
    try:
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE IF NOT EXISTS push (id TEXT PRIMARY KEY, sequence INTEGER)")
            database.execute(
                "CREATE TABLE IF NOT EXISTS article (id TEXT PRIMARY KEY, revision INTEGER, status TEXT, data TEXT)"
            )
            fresh = database.execute(
                "INSERT INTO push VALUES (?, ?) ON CONFLICT DO NOTHING", (push_id, sequence)
            ).rowcount
            if not fresh:
                return "repeat"
            newer = database.execute(
                "INSERT INTO article VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET revision = excluded.revision,"
                " status = excluded.status, data = excluded.data WHERE article.revision < excluded.revision",
                (data["article"], data["revision"], data["status"], json.dumps(data)),
            ).rowcount
            return "stored" if newer else "stale"
    finally:
        database.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps the connection for the next push
    wbufsize = -1  # sends an answer in one packet
    timeout = 60

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_MAX:
            self.close_connection = True
            self.answer(413, "too long")
            return
        body = self.rfile.read(length)  # the raw bytes: they are what is signed
        try:
            push_id = verify(self.headers, body)
            data = json.loads(body)["data"]
            result = store(push_id, int(self.headers.get("dateline-sequence", 0)), data)
        except Untrusted as error:
            self.answer(401, str(error))
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, f"not a push: {error}")
        except sqlite3.Error:
            self.answer(503, "try again", {"Retry-After": "30"})
        else:
            logging.info("%s r%s %s: %s", data["article"], data["revision"], data["status"], result)
            self.answer(200, result)

    def answer(self, status, text, headers=None):
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Handler)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.info("listening on port %s", server.server_port)
    server.serve_forever()
