"""The administration's own pages of a WordPress, used as a browser uses them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import requests

from tests.systems.wordpress_site import WpSite


class WpAdmin:
    """A browser that has logged in."""

    def __init__(self, site: WpSite) -> None:
        self._url = f"{site.url}/wp-admin"
        self._browser: requests.Session = site.log_in()

    def list_of_posts(self) -> str:
        """The page with the column of the plug-in."""
        return html.unescape(self._browser.get(f"{self._url}/edit.php", timeout=60).text)

    def unpublish(self, posts: Sequence[int]) -> None:
        """Bulk edit: all of them become drafts."""
        query: list[tuple[str, str]] = [
            ("post_type", "post"), ("_wpnonce", nonce(self.list_of_posts())), ("action", "edit"), ("action2", "-1"),
            ("bulk_edit", "Update"), ("_status", "draft"), ("post_author", "-1"), ("comment_status", ""),
            ("ping_status", ""), ("sticky", "-1"), ("post_format", "-1"), ("post_view", "list"),
            ("screen", "edit-post"), *(("post[]", str(post)) for post in posts),
        ]  # fmt: skip
        referer = {"Referer": f"{self._url}/edit.php"}
        done = self._browser.get(f"{self._url}/edit.php", params=query, headers=referer, timeout=60)
        assert done.ok, done.text[:500]

    def send_all_again(self) -> str:
        """Presses the button of the settings page, and returns the page that follows."""
        page = self._browser.get(f"{self._url}/options-general.php?page=dateline", timeout=60).text
        form = {"action": "dateline", "_wpnonce": nonce(page), "all": "Send all again"}
        return self._browser.post(f"{self._url}/admin-post.php", data=form, timeout=60).text


def nonce(page: str) -> str:
    """The number used once of the form in a page of the administration."""
    found = re.search(r'name="_wpnonce" value="([0-9a-f]+)"', page)
    assert found, page[:500]
    return found.group(1)
