"""A WordPress of its own on loopback: Debian's WordPress and MariaDB, PHP's built-in server, and our plug-in."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from tests.systems.ports import free_port
from tests.systems.processes import START_LIMIT, Programs

PROGRAM = Path("/usr/share/wordpress")
PLUGIN = Path(__file__).parents[2] / "integrations" / "wordpress" / "dateline"
DATABASE_TOOLS = ("mariadbd", "mariadb-install-db", "mariadb")
PHP_EXTENSIONS = ("mysqli", "mbstring")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
ZONE = "Asia/Karachi"

_CONFIG = """<?php
define( 'DB_NAME', 'wordpress' );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', 'localhost:%(socket)s' );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DISABLE_WP_CRON', true );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.1' );
define( 'WP_ENVIRONMENT_TYPE', 'local' );
define( 'WP_HOME', '%(url)s' );
define( 'WP_SITEURL', '%(url)s' );
define( 'DATELINE_URL', '%(desk)s' );
define( 'AUTH_KEY', '%(salt)s' );
define( 'SECURE_AUTH_KEY', '%(salt)s' );
define( 'LOGGED_IN_KEY', '%(salt)s' );
define( 'NONCE_KEY', '%(salt)s' );
define( 'AUTH_SALT', '%(salt)s' );
define( 'SECURE_AUTH_SALT', '%(salt)s' );
define( 'LOGGED_IN_SALT', '%(salt)s' );
define( 'NONCE_SALT', '%(salt)s' );
$table_prefix = 'wp_';
defined( 'ABSPATH' ) || define( 'ABSPATH', __DIR__ . '/' );
require_once ABSPATH . 'wp-settings.php';
"""
_INSTALL = """<?php
define( 'WP_INSTALLING', true );
require __DIR__ . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install( 'The Harbour Post', 'editor', 'editor@example.org', false, '', '%(password)s' );
update_option( 'timezone_string', '%(zone)s' );
update_option( 'permalink_structure', '/%%postname%%/' );
"""
_FURNISH = """<?php
require __DIR__ . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
$active = activate_plugin( 'dateline/dateline.php' );
update_option( 'dateline_settings', array( 'secret' => '%(secret)s' ) );
$application = WP_Application_Passwords::create_new_application_password( 1, array( 'name' => 'systems' ) );
foreach ( array( 'world' => 'World', 'business' => 'Business &amp; Money', '中国' => '中国' ) as $slug => $name ) {
	$terms[ $slug ] = wp_insert_term( $name, 'category', array( 'slug' => $slug ) )['term_id'];
}
flush_rewrite_rules();
wp_delete_post( 1, true );
echo json_encode( array(
	'active' => null === $active, 'password' => $application[0], 'categories' => $terms,
	'version' => get_bloginfo( 'version' ), 'database' => $GLOBALS['wpdb']->db_server_info(), 'php' => PHP_VERSION,
) );
"""


def missing_parts() -> list[str]:
    """Debian's packages that are not installed here."""
    lacking = [] if (PROGRAM / "wp-includes" / "version.php").is_file() else ["wordpress"]
    if not all(shutil.which(tool, path=PATH) for tool in DATABASE_TOOLS):
        lacking.append("mariadb-server")
    if not shutil.which("php"):
        return [*lacking, "php-cli", "php-mysql"]
    ran = subprocess.run(["php", "-m"], capture_output=True, text=True, check=False, timeout=20)
    loaded = ran.stdout.lower().split()
    names = {"mysqli": "php-mysql"}
    return [*lacking, *(names.get(each, f"php-{each}") for each in PHP_EXTENSIONS if each not in loaded)]


def _dangling(folder: str, names: list[str]) -> list[str]:
    """The links that lead nowhere; copytree's own option takes relative ones to lead from the present folder."""
    return [each for each in names if not os.path.exists(os.path.join(folder, each))]


class WpSite:
    """Runs within `with`, in a folder of its own; it sends to the source that `desk_source` describes."""

    def __init__(self, folder: Path, desk_source: dict[str, Any]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.facts: dict[str, Any] = {}
        self.password = secrets.token_hex(12)
        self._source = desk_source
        self._site = folder / "wordpress"
        self._programs = Programs(folder, {"PATH": PATH, "PHP_CLI_SERVER_WORKERS": "4"})

    def __enter__(self) -> WpSite:
        try:
            self._start_database()
            self._install()
            self._start_server()
        except BaseException:
            self._programs.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._programs.end()

    @property
    def versions(self) -> str:
        return f"WordPress {self.facts['version']}, MariaDB {self.facts['database']}, PHP {self.facts['php']}"

    def rest(self, method: str, route: str, **fields: Any) -> Any:
        """The REST API as the editor uses it; fails unless the answer is a success."""
        answer = requests.request(
            method,
            f"{self.url}/wp-json/wp/v2/{route}",
            json=fields or None,
            auth=("editor", self.facts["password"]),
            timeout=60,
        )
        assert answer.ok, f"{method} {route}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def public_posts(self) -> list[dict[str, Any]]:
        """All that a reader without an account sees."""
        answer = requests.get(f"{self.url}/wp-json/wp/v2/posts?per_page=100", timeout=60)
        assert answer.ok, answer.text[:500]
        posts: list[dict[str, Any]] = answer.json()
        return posts

    def log_in(self) -> requests.Session:
        """A session of the administration's own pages."""
        session = requests.Session()
        session.get(f"{self.url}/wp-login.php", timeout=60)
        form = {"log": "editor", "pwd": self.password, "testcookie": "1"}
        entered = session.post(
            f"{self.url}/wp-login.php", data=form, headers={"Referer": self.url}, timeout=60
        )
        assert "wp-admin" in entered.url, entered.text[:500]
        return session

    def run_cron(self) -> None:
        """The system's own cron would do it every minute."""
        requests.get(f"{self.url}/wp-cron.php?doing_wp_cron", timeout=90)

    def waiting(self) -> str:
        """All that the plug-in has not sent, or was refused, with the answers."""
        return self.run_php(
            "<?php require __DIR__ . '/wp-load.php'; echo json_encode( $wpdb->get_results("
            " 'SELECT post_id, state, answer, tries FROM ' . Dateline\\table() . ' WHERE due IS NOT NULL' ) );"
        )

    def run_php(self, code: str) -> str:
        """Runs a program within the site, and returns its output."""
        program = self._site / f"run-{secrets.token_hex(4)}.php"
        program.write_text(code, encoding="utf-8")
        try:
            ran = subprocess.run(
                ["php", str(program)],
                cwd=self._site,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                env={**os.environ, "HTTP_HOST": self.url.removeprefix("http://")},
            )
        finally:
            program.unlink()
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
        return ran.stdout

    def add_code(self, name: str, code: str) -> None:
        """A program of the site's own, that WordPress runs with each request."""
        folder = self._site / "wp-content" / "mu-plugins"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.php").write_text(code, encoding="utf-8")

    def _start_database(self) -> None:
        data = self.folder / "database"
        user = ["--user=root"] if os.geteuid() == 0 else []
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", *user],
            capture_output=True, check=True, timeout=120, env={**os.environ, "PATH": PATH},
        )  # fmt: skip
        daemon = shutil.which("mariadbd", path=PATH)
        assert daemon
        self._programs.start("database", [
            daemon, "--no-defaults", f"--datadir={data}", f"--socket={self._socket}", "--skip-networking",
            "--innodb-flush-log-at-trx-commit=0", f"--pid-file={self.folder / 'database.pid'}", *user,
        ])  # fmt: skip
        deadline = time.monotonic() + START_LIMIT
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root", "--execute"]
        statement = "CREATE DATABASE IF NOT EXISTS wordpress CHARACTER SET utf8mb4"
        while subprocess.run([*command, statement], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, self._programs.log("database")
            time.sleep(0.2)

    @property
    def _socket(self) -> Path:
        return self.folder / "db.sock"

    def _install(self) -> None:
        # What Debian links to other packages that are not there, as the front page's theme, the tests do without.
        shutil.copytree(PROGRAM, self._site, ignore=_dangling)
        shutil.copytree(PLUGIN, self._site / "wp-content" / "plugins" / "dateline")
        values = {
            "socket": self._socket,
            "url": self.url,
            "desk": self._source["intake_url"],
            "salt": secrets.token_hex(32),
        }
        (self._site / "wp-config.php").write_text(_CONFIG % values, encoding="utf-8")
        self.run_php(_INSTALL % {"password": self.password, "zone": ZONE})
        furnished = self.run_php(_FURNISH % {"secret": self._source["secret"]})
        self.facts = json.loads(furnished.splitlines()[-1])
        assert self.facts["active"]

    def _start_server(self) -> None:
        address = self.url.removeprefix("http://")
        self._programs.start(
            "server",
            ["php", "-d", "display_errors=0", "-d", "log_errors=1", "-S", address, "-t", str(self._site)],
        )
        self._programs.until("server", f"{self.url}/wp-json/")
