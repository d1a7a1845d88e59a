"""The plug-in for WordPress: PHP reads it, its words are right; `make test-systems` runs it in a real WordPress."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "integrations" / "wordpress"
FILES = sorted(PLUGIN.rglob("*.php"))
SECRET = f"whsec_{'A' * 43}="

# WordPress's own functions, as far as those that are tried need them. `$got` is what its HTTP functions answer.
_WORDPRESS = """<?php
define( 'ABSPATH', __DIR__ );
foreach ( array( 'add_action', 'add_filter', 'register_activation_hook', 'register_deactivation_hook',
	'register_uninstall_hook', 'plugin_basename' ) as $name ) {
	eval( "function $name() {}" );
}
function __( $text ) { return $text; }
class WP_Error { public $text; function get_error_message() { return $this->text; } }
function is_wp_error( $answer ) { return $answer instanceof WP_Error; }
function wp_generate_uuid4() { return 'one'; }
function wp_http_validate_url( $url ) { return 0 === strpos( $url, 'https://desk.example/' ); }
function wp_parse_url( $url, $part ) { return parse_url( $url, $part ); }
function wp_safe_remote_post( $url ) {
	global $got;
	echo $url, "\\n";
	if ( isset( $got['unreachable'] ) ) {
		$error = new WP_Error();
		$error->text = $got['unreachable'];
		return $error;
	}
	return $got;
}
class Database {
	public $prefix = 'wp_';
	function prepare( $sql, ...$values ) {
		return vsprintf( str_replace( '%s', "'%s'", $sql ), $values );
	}
	function query( $sql ) {
		echo $sql, "\\n";
		return 1;
	}
}
$wpdb = new Database();
function wp_remote_retrieve_response_code( $answer ) { return $answer['status']; }
function wp_remote_retrieve_body( $answer ) { return json_encode( $answer['body'] ?? '<html>' ); }
function wp_remote_retrieve_header( $answer, $name ) { return $answer[ $name ] ?? ''; }
$given = json_decode( stream_get_contents( STDIN ), true );
$got = $given['got'] ?? null;
require $given['plugin'];
echo json_encode( call_user_func_array( 'Dateline\\\\' . $given['call'], $given['with'] ) );
"""


def _php() -> str:
    php = shutil.which("php")
    if php is None:
        pytest.skip("no PHP is installed; apt-get install php-cli")
    return php


def _call(name: str, *values: Any, got: dict[str, Any] | None = None) -> tuple[list[str], Any]:
    """The addresses and the statements that a function of the plug-in sent, and its answer."""
    given = {"plugin": str(FILES[0]), "call": name, "with": values, "got": got}
    ran = subprocess.run(
        [_php(), "-n", "-d", "display_errors=stderr", "-r", _WORDPRESS.removeprefix("<?php")],
        input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    *asked, answer = ran.stdout.split("\n")
    return asked, json.loads(answer)


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name)
def test_php_reads_the_plug_in(file: Path) -> None:
    read = subprocess.run(
        [_php(), "-n", "-l", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert read.returncode == 0, read.stdout + read.stderr


def test_the_plug_in_has_a_file_of_php() -> None:
    assert [each.name for each in FILES] == ["dateline.php"]


@pytest.mark.parametrize(
    ("article", "outcome", "state"),
    [
        ({"headline": "A"}, "accepted", "public"),
        ({"headline": "A"}, "repeat", "public"),
        ({"headline": "A", "embargo_until": "2999-01-01T00:00:00Z"}, "accepted", "embargoed"),
        ({"headline": "A", "embargo_until": "1999-01-01T00:00:00Z"}, "accepted", "public"),
        ({"headline": "A"}, "held", "held"),
        ({"headline": "A"}, "ignored", "held"),
        ({"headline": "A"}, "stale", "stale"),
        ({"status": "unpublished"}, "ignored", "unpublished"),
        ({"status": "killed"}, "accepted", "killed"),
    ],
)
def test_a_story_is_said_to_be_with_outlets_only_if_dateline_took_it(
    article: dict[str, Any], outcome: str, state: str
) -> None:
    assert _call("state_after", article, outcome) == ([], state)


def test_an_editor_reads_the_warnings_but_for_the_classes_of_blocks() -> None:
    warnings = [
        {"pointer": "/body_html", "detail": "removed: attribute class (12)"},
        {"pointer": "/body_html", "detail": "removed: attribute class (1), <iframe> (1)"},
    ]
    _, words = _call("answer_words", {"outcome": "accepted", "revision": 3, "warnings": warnings})
    assert words == "accepted, revision 3\n/body_html removed: attribute class (1), <iframe> (1)"


def test_an_editor_reads_why_a_hook_is_held() -> None:
    answer = {"outcome": "held", "why": "no section 'weather'", "articles": [{"outcome": "held"}], "hook": 7}
    assert _call("answer_words", answer) == ([], "held\nno section 'weather'")


def test_an_editor_reads_each_fault_of_a_refused_story() -> None:
    problem = {
        "detail": "2 things are wrong",
        "errors": [{"pointer": "/a", "detail": "x"}, {"pointer": "/b", "detail": "y"}],
    }
    assert _call("problem_words", problem) == ([], "/a x\n/b y")
    assert _call("problem_words", {"detail": "too many posts"}) == ([], "too many posts")
    assert "is the address right?" in _call("problem_words", [])[1]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://desk.example/v1/articles", "https://desk.example/v1/articles?validate=1"),
        ("https://desk.example/v1/hooks/newsroom", "https://desk.example/v1/hooks/newsroom"),
    ],
)
def test_the_connection_test_keeps_nothing_at_the_desk(url: str, asked: str) -> None:
    got = {"status": 200, "body": {"outcome": "valid"}}
    assert _call("connection_fault", {"url": url, "secret": SECRET}, got=got) == ([asked], "")


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ({"status": 401, "body": {"detail": "No signature matches."}}, "does not know this secret"),
        ({"status": 404, "body": {"detail": "nothing here"}}, "the whole one that `dateline source add` printed"),
        ({"status": 200}, "The answer is not Dateline's: is the address right?"),
        ({"status": 301, "location": "https://desk.example/x?validate=1"}, "Write that one here: https://desk.example/x"),
        ({"status": 503, "body": {"detail": "the record is away"}}, "503 the record is away"),
        ({"unreachable": "no such host"}, "cannot be reached: no such host"),
    ],
)  # fmt: skip
def test_the_settings_say_what_is_wrong_with_the_connection(got: dict[str, Any], words: str) -> None:
    settings = {"url": "https://desk.example/v1/articles", "secret": SECRET}
    assert words in _call("connection_fault", settings, got=got)[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "", "secret": SECRET}, "the address and the secret are missing"),
        ({"url": "https://desk.example/", "secret": "whsec_abc"}, "was not copied whole"),
        ({"url": "https://desk.example/", "secret": "dateline_7wfb6vq39t9i_9F8N9dZMJAaSpat8"}, "was not copied whole"),
        ({"url": "http://10.0.0.5:8600/x", "secret": SECRET}, "define( 'DATELINE_URL', 'http://10.0.0.5:8600/x' );"),
    ],
)  # fmt: skip
def test_the_settings_say_what_to_mend(settings: dict[str, str], words: str) -> None:
    assert words in _call("settings_fault", settings)[1]


def test_settings_that_are_right_have_no_fault() -> None:
    assert _call("settings_fault", {"url": "https://desk.example/v1/articles", "secret": SECRET}) == ([], "")


def test_each_change_of_a_post_is_marked_on_sqlite_too() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.create_function("GREATEST", 2, max)
        database.execute(
            "CREATE TABLE wp_dateline (post_id PRIMARY KEY, version, due, tries DEFAULT 0, kill_reason)"
        )
        versions = []
        for reason in ("", "He is another man."):
            for statement in _call("mark", 5, reason)[0]:
                database.execute(statement.replace("INSERT IGNORE", "INSERT OR IGNORE"))
            [row] = database.execute("SELECT version, due IS NOT NULL, tries, kill_reason FROM wp_dateline")
            assert row[1:] == (1, 0, reason)
            versions.append(row[0])
            database.execute("UPDATE wp_dateline SET due = NULL, tries = 3")
    assert versions[1] > versions[0]
