"""`axonize-run cmd …`: runs a Python program with recording and integrations on, without a change to it.

Works for what the command starts in turn (uvicorn --workers, gunicorn, torchrun): the environment is
inherited. Configuration comes from the AXONIZE_* variables; AXONIZE_INSTRUMENT names integrations,
separated by commas, where not all are wanted.
"""

from __future__ import annotations

import os
import sys

_USAGE = """usage: axonize-run [--] command [argument ...]

Runs a Python program under Axonize, e.g. `axonize-run uvicorn app:app --workers 4`.
Variables: AXONIZE_ENDPOINT, AXONIZE_SERVICE_NAME, AXONIZE_API_KEY, AXONIZE_INSTRUMENT, ...
"""


def main() -> None:
    """Replaces this process by the command."""
    command = sys.argv[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    if not command or command[0] in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        sys.exit(0 if command else 2)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_auto")
    paths = [folder, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    os.environ["AXONIZE_AUTO"] = "1"
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"axonize-run: cannot run {command[0]}: {error.strerror}\n")
        sys.exit(127)
