"""The description of the API: /openapi.json (OpenAPI 3.1) for programs, /docs for people."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from flask import Blueprint, Response, render_template, request

from service.http import parameters
from service.http.problems import PROBLEMS

_HEADERS = {"Cache-Control": "public, max-age=300"}
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"


def create_blueprint(public_url: str) -> Blueprint:
    blueprint = Blueprint("openapi", __name__)

    @cache
    def description() -> dict[str, Any]:
        # Imported by the first request: it takes half a second, and no other request needs it.
        from service.api.document import describe  # noqa: PLC0415

        return describe(public_url)

    @blueprint.get("/openapi.json")
    def get_openapi() -> Response:
        """The description as data."""
        parameters.require_known()
        body = json.dumps(description(), ensure_ascii=False, indent=1).encode()
        headers = {**_HEADERS, "Access-Control-Allow-Origin": "*"}
        response = Response(body, content_type="application/json", headers=headers)
        response.set_etag(hashlib.sha256(body).hexdigest()[:32])
        response.make_conditional(request)
        return response

    @blueprint.get("/docs")
    def get_docs() -> Response:
        """The description as a page."""
        parameters.require_known()
        page = render_template("docs.html", api=description(), problems=PROBLEMS, public_url=public_url)
        headers = {**_HEADERS, "Content-Security-Policy": _POLICY}
        return Response(page, content_type="text/html; charset=utf-8", headers=headers)

    return blueprint
