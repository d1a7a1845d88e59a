"""The part of the OpenAPI document about feeds, sitemaps and lists of them, which are public."""

from __future__ import annotations

from openapi_pydantic import PathItem, Response

from feeds import CONTENT_TYPES
from service.api.document_parts import (
    TEXT,
    Responses,
    get,
    one_of,
    path,
    refusals,
    response,
    schema,
    served,
    words,
)
from service.http.problems import CONTENT_TYPE as PROBLEM
from service.http.problems import ProblemDetails

_JSON_FEED = schema(type="object", description="A JSON Feed; a closed one says `expired`.")
_FEED_TYPES = {
    kind.partition(";")[0]: _JSON_FEED if fmt == "json" else TEXT
    for fmt, kind in CONTENT_TYPES.items()
    if fmt != "html"
}


def feed_paths() -> dict[str, PathItem]:
    feed = path(
        "feed",
        "A section's slug, all, package/…, language/… or source/…; with /1, /2… a page of its archive."
        " A slug of another script is percent-encoded: %E4%B8%AD%E5%9B%BD.",
    )
    fmt = path("format", "An archive has rss and atom.", one_of("rss", "atom", "json"))
    documents = served(_FEED_TYPES)
    moved: Responses = {
        "301": Response(description="The feed was renamed: its new address, for ever."),
        "307": Response(description="This page is not complete: its stories are in the feed."),
    }
    logo: Responses = {"302": Response(description="The desk's logo, which is elsewhere.")}
    parts: Responses = {  # docs/serving.md
        "206": Response(description="The range asked for, of the uncompressed feed."),
        "226": Response(description="The stories new since the ETag given, if A-IM: feed is asked."),
    }
    gone: Responses = {
        "410": response(words(410), {PROBLEM: ProblemDetails, "application/feed+json": _JSON_FEED})
    }
    feed_refusals = refusals(404, 405, 406, 416)
    token = path("token", "feed_…, from the address that the desk gave.")
    return {
        "/feeds": get("listFeeds", "All feeds, as a page to read", served({"text/html": TEXT})),
        "/favicon.ico": get("readIcon", "An icon", {**served({"image/svg+xml": TEXT}), **logo}),
        "/feeds.opml": get("listFeedsAsOpml", "All feeds, as OPML 2.0", served({"text/x-opml": TEXT})),
        "/feeds/{feed}.{format}": get(
            "readFeed",
            "A feed, or a page of its archive",
            {**documents, **moved, **parts, **gone, **feed_refusals},
            feed,
            fmt,
        ),
        "/feeds/{feed}": get(
            "readFeedPage",
            "A feed, as a page to read and to subscribe from",
            {**served({"text/html": TEXT}), **moved, **refusals(404, 410)},
            feed,
        ),
        "/partner/feeds/{token}.{format}": get(
            "readPartnerFeed",
            "A partner's own feed, for every client that has its address; each fetch is recorded",
            {**documents, **refusals(404, 406, 410, 429)},
            token,
            fmt,
        ),
        "/sitemaps/news.xml": get(
            "readSitemap",
            "The stories of the last two days for Google News, or an index of files",
            {**served({"application/xml": TEXT}), **refusals(404)},
        ),
        "/sitemaps/news-{number}.xml": get(
            "readSitemapPart",
            "A thousand of them, if there are more",
            {**served({"application/xml": TEXT}), **refusals(404)},
            path("number", "From 1.", schema(type="integer", minimum=1)),
        ),
    }
