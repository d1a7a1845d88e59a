"""A Wagtail of its own on loopback: PyPI's Wagtail and Django with SQLite, and the file of docs/connect/wagtail.md."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.systems import install_cache
from tests.systems.ports import free_port
from tests.systems.processes import Programs

PACKAGES = ["wagtail==8.0.1", "Django==5.2.19"]
PAGE = Path(__file__).parents[2] / "docs" / "connect" / "wagtail.md"
COMMAND_LIMIT = 180.0

_SETTINGS = """
from pathlib import Path
FOLDER = Path(__file__).parent.parent
SECRET_KEY, DEBUG, ALLOWED_HOSTS = "tests", False, ["127.0.0.1"]
INSTALLED_APPS = [
    "newsroom.apps.NewsroomConfig", "wagtail.contrib.forms", "wagtail.contrib.redirects", "wagtail.embeds",
    "wagtail.sites", "wagtail.users", "wagtail.snippets", "wagtail.documents", "wagtail.images", "wagtail.search",
    "wagtail.admin", "wagtail.api.v2", "wagtail", "rest_framework", "modelcluster", "taggit", "django_filters",
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                           "django.contrib.messages.context_processors.messages"]}}]
ROOT_URLCONF, STATIC_URL = "newsroom.urls", "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "wagtail.db",
                         "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"}}}
DEFAULT_AUTO_FIELD, USE_TZ, TIME_ZONE = "django.db.models.BigAutoField", True, "Asia/Karachi"
WAGTAIL_SITE_NAME, WAGTAILADMIN_BASE_URL, WAGTAIL_ENABLE_UPDATE_CHECK = "The Harbour Post", "http://127.0.0.1", False
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database"}}
DATA_UPLOAD_MAX_MEMORY_SIZE = 20_000_000
"""
_APPS = """
from django.apps import AppConfig

class NewsroomConfig(AppConfig):
    name = "newsroom"

    def ready(self):
        from newsroom import dateline_wagtail
        from newsroom.models import ArticlePage
        dateline_wagtail.connect(ArticlePage)
"""
_MODELS = """
from django import forms
from django.db import models
from modelcluster.fields import ParentalManyToManyField
from wagtail.admin.panels import FieldPanel
from wagtail.api import APIField
from wagtail.fields import RichTextField
from wagtail.models import Page

class Section(models.Model):
    title = models.CharField(max_length=80)
    slug = models.SlugField(allow_unicode=True)

class Author(models.Model):
    name = models.CharField(max_length=80)

class ArticlePage(Page):
    intro = models.TextField(blank=True)
    body = RichTextField()
    correction_note = models.TextField(blank=True)
    sections = ParentalManyToManyField(Section, blank=True)
    authors = ParentalManyToManyField(Author, blank=True)
    content_panels = Page.content_panels + [
        FieldPanel("intro"), FieldPanel("body"), FieldPanel("correction_note"),
        FieldPanel("sections", widget=forms.CheckboxSelectMultiple),
        FieldPanel("authors", widget=forms.CheckboxSelectMultiple),
    ]
    api_fields = [APIField("body")]
"""
_URLS = """
from django.urls import include, path
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.api.v2.router import WagtailAPIRouter
from wagtail.api.v2.views import PagesAPIViewSet

api = WagtailAPIRouter("wagtailapi")
api.register_endpoint("pages", PagesAPIViewSet)
urlpatterns = [path("admin/", include(wagtailadmin_urls)), path("api/v2/", api.urls), path("", include(wagtail_urls))]
"""
_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "newsroom.settings"
execute_from_command_line(sys.argv)
"""
_FURNISH = """
import json
from django.contrib.auth.models import User
from newsroom.models import Author, Section
from wagtail.models import Page, Site
User.objects.create_superuser("editor", "editor@example.org", "{password}")
parents = [Page(title=title, slug=slug) for title, slug in (("News", "news"), ("Archive", "archive"))]
root = Site.objects.get().root_page
for each in parents:
    root.add_child(instance=each)
Site.objects.update(hostname="127.0.0.1", port={port})
Author.objects.create(name="Ayesha Khan")
for title, slug in (("World", "world"), ("Business & Money", "business"), ("中国", "中国")):
    Section.objects.create(title=title, slug=slug)
sections = dict(Section.objects.values_list("slug", "id"))
print("FACTS", json.dumps(dict(parents=[each.pk for each in parents], sections=sections)))
"""


def installed() -> Path:
    """The Python of the environment that has Wagtail."""

    def fill(folder: Path) -> None:
        install_cache.run_or_skip(folder, "venv", [sys.executable, "-m", "venv", str(folder / "venv")], {})
        command = [
            str(folder / "venv/bin/python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        install_cache.run_or_skip(folder, "pip install wagtail", [*command, *PACKAGES], {})

    return install_cache.cached("wagtail", PACKAGES, fill) / "venv" / "bin" / "python"


def file_of_the_page() -> str:
    """The file that docs/connect/wagtail.md gives."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{PAGE} has no file"
    return found.group(1)


class WagtailServer:
    """Starts in `programs`; `facts` are the ids of its sections and of the two pages that stories are below."""

    def __init__(self, programs: Programs, python: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.facts: dict[str, Any] = {}
        self._programs = programs
        self._manage = [str(python), str(programs.folder / "manage.py")]
        self._browser = requests.Session()
        self._browser.headers["Referer"] = self.url
        password = secrets.token_hex(12)
        self._lay_out(programs.folder)
        self.command("migrate", "makemigrations", "newsroom")
        self.command("migrate", "migrate", "--verbosity", "0")
        port = self.url.rpartition(":")[2]
        self.command(
            "furnish",
            "shell",
            "--verbosity",
            "0",
            "-c",
            _FURNISH.replace("{password}", password).replace("{port}", port),
        )
        facts = re.search(r"^FACTS (.*)$", programs.log("furnish"), re.MULTILINE)
        assert facts, programs.log("furnish")
        self.facts = json.loads(facts.group(1))
        programs.start(
            "wagtail",
            [*self._manage, "runserver", "--noreload", "--insecure", self.url.removeprefix("http://")],
        )
        programs.until("wagtail", f"{self.url}/api/v2/pages/", lambda answer: answer.ok)
        entered = self.post("login/", {"username": "editor", "password": password, "next": "/admin/"})
        assert "/login" not in entered.url, entered.text[:500]

    def _lay_out(self, folder: Path) -> None:
        package = folder / "newsroom"
        (package / "migrations").mkdir(parents=True)
        files = {"settings": _SETTINGS, "apps": _APPS, "models": _MODELS, "urls": _URLS, "__init__": "",
                 "migrations/__init__": "", "dateline_wagtail": file_of_the_page()}  # fmt: skip
        for name, text in files.items():
            (package / f"{name}.py").write_text(text, encoding="utf-8")
        (folder / "manage.py").write_text(_MANAGE, encoding="utf-8")
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)

    def command(self, name: str, *words: str) -> None:
        """A command of manage.py, in a process of its own."""
        status = self._programs.run(name, [*self._manage, *words], limit=COMMAND_LIMIT)
        assert status == 0, self._programs.log(name)

    def post(self, path: str, form: Mapping[str, str | Sequence[str]]) -> requests.Response:
        """Submits a form of the administration, as a browser does; fails if it is shown again with faults."""
        address = f"{self.url}/admin/{path}"
        page = self._browser.get(address, timeout=120)
        assert page.ok, f"{path}: {page.status_code} {page.text[:500]}"
        token = self._browser.cookies["csrftoken"]
        done = self._browser.post(address, data={**form, "csrfmiddlewaretoken": token}, timeout=120)
        faults = re.findall(r'class="[^"]*error-message[^"]*"[^>]*>\s*(.*?)\s*</', done.text, re.DOTALL)
        assert done.ok, f"{path}: {done.status_code} {done.text[:500]}"
        assert not faults, f"{path}: {faults}"
        return done

    def log(self) -> str:
        return self._programs.log("wagtail")
