"""Hooks are deleted after a week; held ones wait, and go only beyond the ceiling, with a notice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.store import notices
from service.store.articles import hook_pruning, hooks
from service.store.articles.hooks import HELD, HOOK_DONE, HookResult, NewHook
from service.store.articles.sources import Source
from service.store.database.record import Record
from tests.builders import NOW, later


def keep(record: Record, source: Source, state: str, *names: str, at: float = 0) -> None:
    for name in names:
        new = NewHook(source.id, name, "POST", "/", {}, b"{}")
        hooks.keep(record, new, HookResult(state, "held" if state == HELD else "accepted"), later(at))


def there(record: Record, source: Source) -> dict[str, int]:
    return hooks.counts(record, source.id)


def test_a_hook_is_deleted_after_a_week_unless_it_is_held(record: Record, source: Source) -> None:
    keep(record, source, HOOK_DONE, "a", "b")
    keep(record, source, HELD, "c")
    assert hook_pruning.prune(record, NOW + timedelta(days=6)) == 0
    assert hook_pruning.prune(record, NOW + timedelta(days=8)) == 2
    assert there(record, source) == {"held": 1}


def test_beyond_the_ceiling_the_oldest_that_are_done_go_first(
    record: Record, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_pruning, "HOOKS_MOST", 3)
    keep(record, source, HELD, "a", "b")
    keep(record, source, HOOK_DONE, "c", "d", at=1)
    assert hook_pruning.prune(record, later(2)) == 2
    assert there(record, source) == {"held": 2}
    assert notices.latest(record) == []


def test_beyond_their_own_ceiling_the_oldest_held_ones_go_with_a_notice(
    record: Record, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_pruning, "HELD_HOOKS_MOST", 2)
    keep(record, source, HELD, "a", "b", "c")
    assert hook_pruning.prune(record, later(1)) == 1
    assert there(record, source) == {"held": 2}
    [notice] = notices.latest(record)
    assert (notice.kind, notice.count) == ("hook.deleted", 1)


def test_the_same_request_later_than_ten_minutes_is_another(record: Record, source: Source) -> None:
    keep(record, source, HOOK_DONE, "a", "a")
    assert there(record, source) == {"done": 1}
    keep(record, source, HOOK_DONE, "a", at=700)
    assert there(record, source) == {"done": 2}
