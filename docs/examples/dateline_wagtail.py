"""Wagtail's pages to Dateline. Call it in your AppConfig's ready(): dateline_wagtail.connect(ArticlePage)."""

import json
import os
import threading
import time
import urllib.request
import uuid


def article(page, updated_at):
    """Dateline's JSON for a page in the form of Wagtail's API v2; a takedown if the API does not show it."""
    if "meta" not in page:
        return {"id": f"page-{page['id']}", "status": "unpublished", "updated_at": updated_at}
    posted = {
        "id": f"page-{page['id']}",
        "headline": page["title"],
        "summary": page["intro"],
        "body_html": page["body"],
        "sections": [each["slug"] for each in page["sections"]],
        "authors": [{"name": each["name"]} for each in page["authors"]],
        "correction_note": page["correction_note"] or None,
        "url": page["meta"]["html_url"],
        "language": page["meta"]["locale"],
        "published_at": page["meta"]["first_published_at"],
    }
    return posted | {"updated_at": updated_at}


def send(posted):
    headers = {
        "Authorization": f"Bearer {os.environ['INTAKE_KEY']}",
        "Content-Type": "application/json",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    url = os.environ["INTAKE_URL"] + "/v1/articles"
    request = urllib.request.Request(url, json.dumps(posted).encode(), headers)
    for seconds in (1, 5, 30, 120, 600, 3600):  # a restart of this process loses what still waits
        try:
            return urllib.request.urlopen(request, timeout=20).read()
        except OSError as error:
            if 400 <= getattr(error, "code", 500) < 500 and error.code != 429:
                raise RuntimeError(error.read().decode()) from error  # it says what is wrong with the article
        time.sleep(seconds)
    raise RuntimeError(f"Dateline does not answer: {posted['id']} was not sent")


def connect(model):
    from django.db import transaction
    from django.db.models.signals import post_delete, post_save
    from django.utils import timezone
    from wagtail import signals
    from wagtail.models import Page, PageViewRestriction
    from wagtail.rich_text import expand_db_html

    def changed(page_id):
        shown = {"id": page_id}
        if page := model.objects.live().public().filter(pk=page_id).first():  # as everybody may read it now
            meta = {"html_url": page.full_url, "locale": page.locale.language_code}
            meta["first_published_at"] = page.first_published_at.isoformat()
            shown |= {
                "title": page.title,
                "intro": page.intro,
                "body": expand_db_html(page.body),
                "meta": meta,
            }
            shown |= {"sections": page.sections.values("slug"), "authors": page.authors.values("name")}
            shown |= {"correction_note": page.correction_note}
        threading.Thread(target=send, args=[article(shown, timezone.now().isoformat())]).start()

    def moved(instance, **_):  # what is true of a page's address and privacy is true of those below it
        page = Page.objects.filter(pk=getattr(instance, "page_id", instance.pk)).first()
        for pk in (
            model.objects.descendant_of(page, inclusive=True).values_list("pk", flat=True) if page else []
        ):
            transaction.on_commit(lambda pk=pk: changed(pk))

    def deleted(instance, **_):
        transaction.on_commit(lambda pk=instance.pk: changed(pk))

    for name in ("page_published", "page_unpublished", "page_slug_changed", "post_page_move"):
        getattr(signals, name).connect(moved, weak=False)
    for signal in (post_save, post_delete):
        signal.connect(moved, sender=PageViewRestriction, weak=False)
    post_delete.connect(deleted, sender=model, weak=False)
