"""A Django model's stories to Dateline. Call it in your AppConfig's ready(): dateline_django.connect(Article)."""

import json
import os
import threading
import time
import urllib.request
import uuid


def article(fields, updated_at):
    """Dateline's JSON for a record of the model; a takedown for one that is not published, or not there any more."""
    if not fields.get("published"):
        return {"id": str(fields["id"]), "status": "unpublished", "updated_at": updated_at}
    return {
        "id": str(fields["id"]),
        "headline": fields["title"],
        "body_html": fields["body"],
        "sections": fields["sections"],
        "authors": [{"name": fields["author"]}],
        "embargo_until": fields["publish_at"],
        "updated_at": updated_at,
    }


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
    from django.db.models.signals import m2m_changed, post_delete, post_save
    from django.forms.models import model_to_dict
    from django.utils import timezone

    def changed(pk):
        fields = {"id": pk}
        if record := model.objects.filter(pk=pk).first():
            fields |= model_to_dict(record, ["title", "body", "author", "published"])
            fields["publish_at"] = record.publish_at and record.publish_at.isoformat()
            fields["sections"] = list(record.sections.values_list("slug", flat=True))
        threading.Thread(target=send, args=[article(fields, timezone.now().isoformat())]).start()

    def saved(instance, **_):
        transaction.on_commit(lambda pk=instance.pk: changed(pk))

    post_save.connect(saved, sender=model, weak=False)
    post_delete.connect(saved, sender=model, weak=False)
    m2m_changed.connect(saved, sender=model.sections.through, weak=False)
