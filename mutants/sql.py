"""Faults that a query may have: each is one small edit of its text. Pure: text in, edits out.

A mutation tool sees a query as a string like any other, and leaves it alone. The text may be a part of a query only, as
they are composed of parts: `{…}` of an f-string is one word, and a word that is missing at an end is somewhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_QUERY = re.compile(
    r"""\b(?:SELECT|UPDATE\ [a-z{]|INSERT\ INTO|DELETE\ FROM|WHERE|ORDER\ BY|EXISTS\ \(|CASE\ WHEN|LIMIT\ :)
    | \bFOR\ NO\ KEY\ UPDATE | \bSKIP\ LOCKED | \bIS\ (?:NOT\ )?NULL\b | \bIN\ [(:] | \bAND\ [({a-z]
    | [\w.}]\ (?:=|<>|<|<=|>|>=)\ [:'{a-z0-9]""",
    re.VERBOSE,
)
_TOKEN = re.compile(
    r"""'[^']*' | \{\{[^{}]*\}\} | \{(?:[^{}]|\{[^{}]*\})*\} | :\w+(?:\[\w*\])? | [\w.]+
    | <> | <= | >= | \S""",
    re.VERBOSE,
)
_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": "<>", "<>": "="}
_ENDS_CONDITION = {
    "AND", "OR", "ORDER", "GROUP", "LIMIT", "RETURNING", "THEN", "ELSE", "FOR", "UNION", "FROM", "WHERE", "ON",
    "HAVING", "JOIN", "LEFT", "CROSS", "SET", ",",
}  # fmt: skip
_ENDS_KEYS = {"LIMIT", "FOR", "OFFSET", "RETURNING", "UNION"}


@dataclass(frozen=True)
class Edit:
    """The text from `start` to `end` is replaced by `text`."""

    start: int
    end: int
    text: str

    def applied(self, sql: str) -> str:
        return sql[: self.start] + self.text + sql[self.end :]


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    depth: int  # of parentheses and CASE … END around it


def is_sql(text: str) -> bool:
    return _QUERY.search(text) is not None


def drop_order(sql: str) -> Iterator[Edit]:
    """No ORDER BY."""
    for order, keys in _orders(_tokens(sql)):
        yield Edit(order.start, keys[-1][-1].end if keys else order.end + len(" BY"), "")


def drop_order_key(sql: str) -> Iterator[Edit]:
    """One key less, of several to order by."""
    for _, keys in _orders(_tokens(sql)):
        for number, key in enumerate(keys if len(keys) > 1 else ()):
            last = number == len(keys) - 1
            start = keys[number - 1][-1].end if last else key[0].start
            yield Edit(start, key[-1].end if last else keys[number + 1][0].start, "")


def turn_order(sql: str) -> Iterator[Edit]:
    """One key descending for ascending, or the other way round."""
    for _, keys in _orders(_tokens(sql)):
        for key in keys:
            if key[-1].text in ("ASC", "DESC"):
                yield Edit(key[-1].start, key[-1].end, "ASC" if key[-1].text == "DESC" else "DESC")
            else:
                yield Edit(key[-1].end, key[-1].end, " DESC")


def drop_condition(sql: str) -> Iterator[Edit]:
    """One condition less: true where it is joined by AND, false where by OR."""
    tokens = _tokens(sql)
    for number, token in enumerate(tokens):
        if token.text not in ("AND", "OR", "WHERE", "ON", "WHEN", "("):
            continue
        depth = token.depth + 1 if token.text == "(" else token.depth
        condition = _until(tokens[number + 1 :], depth, _ENDS_CONDITION)
        if not condition:
            continue
        follows = number + 1 + len(condition)
        joins = (token.text, tokens[follows].text if follows < len(tokens) else "")
        if token.text == "(" and not {"AND", "OR"} & {joins[1]}:
            continue
        yield Edit(condition[0].start, condition[-1].end, "1 = 0" if "OR" in joins else "1 = 1")


def never_an_arm(sql: str) -> Iterator[Edit]:
    """One arm of a CASE less."""
    tokens = _tokens(sql)
    for number, token in enumerate(tokens):
        if token.text == "WHEN" and (condition := _until(tokens[number + 1 :], token.depth, {"THEN"})):
            yield Edit(condition[0].start, condition[-1].end, "1 = 0")


def turn_comparison(sql: str) -> Iterator[Edit]:
    """`<` for `<=`, `=` for `<>`, and back."""
    in_set = False
    for token in _tokens(sql):
        if token.text in ("SET", "WHERE", "FROM"):
            in_set = token.text == "SET"
        if token.text in _COMPARISONS and not (in_set and token.depth == 0):
            yield Edit(token.start, token.end, _COMPARISONS[token.text])


def turn_not(sql: str) -> Iterator[Edit]:
    """NOT where there is none, and none where there is one: before EXISTS, NULL and IN."""
    tokens = _tokens(sql)
    for number, token in enumerate(tokens):
        before = [each.text for each in tokens[max(0, number - 2) : number]]
        is_null = token.text == "NULL" and ("IS" in before[-1:] or before == ["IS", "NOT"])
        if not is_null and token.text not in ("EXISTS", "IN"):
            continue
        if "NOT" in before[-1:]:
            yield Edit(tokens[number - 1].start, token.start, "")
        else:
            yield Edit(token.start, token.start, "NOT ")


def drop_member(sql: str) -> Iterator[Edit]:
    """One member less of `IN (…, …)`."""
    for found in re.finditer(r"\bIN \(([^()]*,[^()]*)\)", sql):
        members = found[1].split(",")
        for number in range(len(members)):
            rest = ",".join(members[:number] + members[number + 1 :]).strip()
            yield Edit(found.start(1), found.end(1), rest)


def drop_limit(sql: str) -> Iterator[Edit]:
    """A million rows more than LIMIT allows."""
    for found in re.finditer(r"\bLIMIT\b", sql):
        yield Edit(found.end(), found.end(), " 1000000 +")


def drop_lock(sql: str) -> Iterator[Edit]:
    """No lock, or one that is waited for."""
    for found in re.finditer(r"\s+FOR (?:NO KEY )?UPDATE(?: SKIP LOCKED)?|\s+SKIP LOCKED", sql):
        yield Edit(found.start(), found.end(), "")
        if "SKIP LOCKED" in found[0] and "FOR" in found[0]:
            yield Edit(found.end() - len(" SKIP LOCKED"), found.end(), "")


def turn_number(sql: str) -> Iterator[Edit]:
    """A number that is one more; not of SELECT 1, of which only the row counts."""
    tokens = _tokens(sql)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.text.isdigit() and (before is None or before.text != "SELECT"):
            yield Edit(token.start, token.end, str(int(token.text) + 1))


EDITS: dict[str, Callable[[str], Iterator[Edit]]] = {
    edits.__name__: edits
    for edits in (
        drop_order, drop_order_key, turn_order, drop_condition, never_an_arm, turn_comparison, turn_not, drop_member,
        drop_limit, drop_lock, turn_number,
    )
}  # fmt: skip


def _tokens(sql: str) -> list[_Token]:
    found: list[_Token] = []
    depth = 0
    for match in _TOKEN.finditer(sql):
        if match[0] in (")", "END"):
            depth -= 1
        found.append(_Token(match[0], match.start(), match.end(), depth))
        if match[0] in ("(", "CASE"):
            depth += 1
    return found


def _until(tokens: Sequence[_Token], depth: int, ends: set[str]) -> Sequence[_Token]:
    """Those before the first that is of `ends`, or closes the parentheses that they are in."""
    for number, token in enumerate(tokens):
        if token.depth < depth or (token.depth == depth and token.text in ends):
            return tokens[:number]
    return tokens


def _orders(tokens: Sequence[_Token]) -> Iterator[tuple[_Token, list[Sequence[_Token]]]]:
    """Each ORDER with its keys."""
    for number, token in enumerate(tokens):
        if token.text == "ORDER":
            rest = _until(tokens[number + 2 :], token.depth, _ENDS_KEYS)
            yield token, _split(rest, token.depth)


def _split(tokens: Sequence[_Token], depth: int) -> list[Sequence[_Token]]:
    commas = [number for number, each in enumerate(tokens) if each.text == "," and each.depth == depth]
    bounds = zip([-1, *commas], [*commas, len(tokens)], strict=True)
    return [tokens[start + 1 : end] for start, end in bounds if end > start + 1]
