"""The lake's own Airflow under `CITYLAKE_HOME/airflow`: its settings, secrets and database."""

import configparser
import json
import os
import secrets
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from lakehouse.errors import EnvironmentFault
from lakehouse.layout import private

PORT = 8080
USER = "admin"
# Two tasks on the embedded engine and one on Spark are all that the pools let run at once; each slot is a process.
SLOTS = 3


def folder(home: Path) -> Path:
    """Where the lake's Airflow keeps what is its own; readable by its user alone."""
    airflow = home / "airflow"
    airflow.mkdir(mode=0o700, parents=True, exist_ok=True)
    airflow.chmod(0o700)
    return airflow


def logs(home: Path) -> Path:
    """Where Airflow's processes and tasks write."""
    written = home / "logs" / "airflow"
    written.mkdir(mode=0o700, parents=True, exist_ok=True)
    return written


def port() -> int:
    """The port of the pages: `CITYLAKE_AIRFLOW_PORT`, default 8080. Raises EnvironmentFault for what is none."""
    asked = os.environ.get("CITYLAKE_AIRFLOW_PORT") or str(PORT)
    if not (asked.isdecimal() and 0 < int(asked) < 65536):
        raise EnvironmentFault("CITYLAKE_AIRFLOW_PORT is no port number", hint="correct or unset it")
    return int(asked)


def environment(home: Path) -> dict[str, str]:
    """The present environment, made to find this lake's Airflow and never another one's."""
    ours = {
        f"AIRFLOW__{section}__{key}{end}".upper()
        for section, keys in _settings(home, "", "", "").items()
        for key in keys
        for end in ("", "_cmd", "_secret")
    }
    kept = {name: value for name, value in os.environ.items() if name not in ours and name != "AIRFLOW_CONFIG"}
    return kept | {"AIRFLOW_HOME": str(folder(home))}


def configure(home: Path) -> None:
    """Writes `airflow.cfg` (0600). Secrets are made once per lake and stay."""
    path = folder(home) / "airflow.cfg"
    known = configparser.RawConfigParser()
    known.read(path)
    fernet = known.get("core", "fernet_key", fallback="") or urlsafe_b64encode(secrets.token_bytes(32)).decode()
    pages, tokens = (
        known.get(section, key, fallback="") or secrets.token_urlsafe(48)
        for section, key in (("api", "secret_key"), ("api_auth", "jwt_secret"))
    )
    written = configparser.RawConfigParser()
    written.read_dict(_settings(home, fernet, pages, tokens))
    with private(path) as file:
        file.write("# Written anew at every start; AIRFLOW__SECTION__KEY in the environment sets what isn't here.\n")
        written.write(file)


def url(home: Path) -> str:
    """Where the pages are, as configured last."""
    known = configparser.RawConfigParser()
    known.read(folder(home) / "airflow.cfg")
    return known.get("api", "base_url")


def passwords(home: Path) -> Path:
    """The file (0600) with the user's password."""
    return folder(home) / "passwords.json"


def new_password(home: Path) -> str | None:
    """Makes the password, if there is none yet, and returns it."""
    path = passwords(home)
    if path.exists():
        return None
    password = secrets.token_urlsafe(12)
    with private(path) as file:
        json.dump({USER: password}, file)
    return password


def migrate(home: Path, env: Mapping[str, str]) -> None:
    """Brings Airflow's SQLite tables to the installed version; once, as it takes seconds."""
    stamp, installed = folder(home) / ".migrated", version("apache-airflow")
    if stamp.exists() and stamp.read_text() == installed:
        return
    command(home, env, "db", "migrate")
    (folder(home) / "airflow.db").chmod(0o600)
    stamp.write_text(installed)


def command(home: Path, env: Mapping[str, str], *arguments: str) -> None:
    """Runs `airflow <arguments>`; what it says goes to a log. Raises EnvironmentFault when it fails."""
    log = logs(home) / "setup.log"
    with log.open("ab") as file:
        ended = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments], env=env, stdout=file, stderr=file, check=False
        )
    if ended.returncode:
        what = f"`airflow {' '.join(arguments[:2])}` failed"
        raise EnvironmentFault(what, where=str(folder(home)), hint=f"see {log}")


def _settings(home: Path, fernet: str, pages: str, tokens: str) -> dict[str, dict[str, str]]:
    """airflow.cfg by section. Airflow reads a percent sign as the start of a reference: it is doubled."""
    airflow, written = home / "airflow", home / "logs" / "airflow"
    url = f"http://127.0.0.1:{port()}"
    settings = {
        "core": {
            "dags_folder": str(Path(__file__).parent),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "executor": "LocalExecutor",
            "parallelism": str(SLOTS),
            "fernet_key": fernet,
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(airflow / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
            "hostname_callable": "socket.gethostname",  # the default asks the name server
        },
        # Writers wait for one another this long, in seconds, before a task is told that the database is locked.
        "database": {"sql_alchemy_conn": f"sqlite:///{airflow / 'airflow.db'}?timeout=60"},
        "api": {
            "host": "127.0.0.1",
            "port": str(port()),
            "base_url": url,
            "workers": "1",
            "secret_key": pages,
            "default_wrap": "True",  # of lines in the log: what went wrong stands at their end
        },
        "api_auth": {"jwt_secret": tokens, "jwt_issuer": "citylake"},
        "dag_processor": {"parsing_processes": "1", "min_file_process_interval": "120", "print_stats_interval": "0"},
        # Steps may take every core: an answer of the API server can take longer than the 5 s of the default.
        "workers": {"execution_api_timeout": "30"},
        "logging": {
            "base_log_folder": str(written),
            "dag_processor_child_process_log_directory": str(written / "dag_processor"),
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
            "colored_console_log": "False",
            # Every look of a browser, and Airflow's remarks on its own libraries, would fill the logs.
            "namespace_levels": "http.access=WARNING py.warnings=ERROR",
        },
    }
    return {name: {key: value.replace("%", "%%") for key, value in keys.items()} for name, keys in settings.items()}
