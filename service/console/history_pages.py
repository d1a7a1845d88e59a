"""The page of an article and that of an event: parts of their histories, each table with a way to the next rows."""

from __future__ import annotations

from flask import render_template, request

from service.console.list_page import ListPage
from service.store import names
from service.store.database.record import Record
from service.store.views import history
from service.store.views.deliveries import DeliveryNow, delivery_matrix
from service.store.views.history import ArticleTrace, DeliveryTrace, HistoryPart, RevisionNow
from service.store.views.holdings import FIRST_PLACE, HoldingNow, read_place

TABLE_ROWS = 50
COLUMNS = 12  # revisions beside each other

Row = tuple[DeliveryNow, dict[int, DeliveryNow]]


def article(record: Record, name: str) -> str:
    """Those that have not confirmed the newest come first: after a kill they are the ones to call."""
    before = request.args.get("revisions", HistoryPart.before, type=int)
    after = read_place(request.args.get("holdings", "")) or FIRST_PLACE
    part = HistoryPart(before, after, TABLE_ROWS)
    trace = history.article_trace(record, name, part)
    columns = trace.revisions[:COLUMNS]
    return render_template(
        "status/article.html",
        article=trace,
        holdings=_holdings(trace),
        revisions=_revisions(trace),
        columns=columns,
        matrix=_matrix(record, trace, [each.number for each in columns]),
    )


def event(record: Record, name: str) -> str:
    after = names.read_delivery_id(request.args.get("after", ""))
    trace = history.event_trace(record, name, after, TABLE_ROWS)
    return render_template("status/event.html", trace=trace, event=trace.event, deliveries=_deliveries(trace))


def _holdings(trace: ArticleTrace) -> ListPage[HoldingNow]:
    shown, before, total = trace.holdings, trace.holdings_before, trace.holding_count
    more = bool(shown) and before + len(shown) < total
    return ListPage(shown, before, total, str(shown[-1].place) if more else None)


def _revisions(trace: ArticleTrace) -> ListPage[RevisionNow]:
    shown = trace.revisions
    if not shown:
        return ListPage((), trace.revision, trace.revision, None)
    last = shown[-1].number
    return ListPage(shown, trace.revision - shown[0].number, trace.revision, last if last > 1 else None)


def _matrix(record: Record, trace: ArticleTrace, revisions: list[int]) -> ListPage[Row]:
    """Per endpoint its deliveries by revision: of a revision sent again, the last one."""
    after = request.args.get("after", 0, type=int)
    found = delivery_matrix(record, trace.row, revisions, after, TABLE_ROWS)
    rows: dict[int, Row] = {}
    for each in found.deliveries:
        rows.setdefault(each.endpoint_id, (each, {}))[1][each.revision] = each
    return ListPage(tuple(rows.values()), found.before, found.total, found.after)


def _deliveries(trace: history.EventTrace) -> ListPage[DeliveryNow]:
    shown: tuple[DeliveryTrace, ...] = trace.deliveries
    before, total = trace.deliveries_before, trace.delivery_count
    more = bool(shown) and before + len(shown) < total
    return ListPage([each.delivery for each in shown], before, total, shown[-1].delivery.id if more else None)
