"""Schemathesis over the OpenAPI document: no 5xx, and nothing that the document does not say."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from server import BINARY, DEADLINE, WithServer

#: The requests that are made up are the same each time: the examples, and each way of leaving the schema.
SEED = 7
#: What an answer is held against. That every request which fits its schema is taken is not promised: names and data are
#: bounded in bytes, and what is named must be there.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
]
#: Two whose answers do not end, and one that is refused with 503 while one of before still runs.
LEFT_OUT = ["subscribe", "subscribeStream", "verifyStore"]


class Document(WithServer):
    """Whatever is asked of a server without keys is answered as documented."""

    #: Sent with every request.
    headers: dict[str, str] = {}
    def folder(self) -> str:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        return place.name

    def arguments(self, place: str) -> list[str]:
        return ["--plugins", self.plugins]

    def setUp(self) -> None:
        self.plugins, self.place = self.folder(), self.folder()
        built = Path(BINARY).parent.glob("build/tidemill-plugins-*/out/counter.wasm")
        shutil.copy(max(built, key=lambda file: file.stat().st_mtime), self.plugins)
        super().setUp()
        event = {"type": "OrderPlaced", "stream": "order-42", "id": "0199a0a0-0000-7000-8000-000000000001"}
        body = json.dumps({"events": [event]}).encode()
        headers = {"content-type": "application/json", **self.headers}
        self.until_counter_runs()
        urlopen(Request(f"{self.http}/v1/events?wait_for=counter", body, headers)).close()

    def until_counter_runs(self) -> None:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with suppress(HTTPError), urlopen(Request(f"{self.http}/v1/plugins/counter", headers=self.headers)) as told:
                if json.load(told).get("status"):
                    return
            time.sleep(0.05)
        self.fail("the counter never ran")

    def ask(self, checks: list[str]) -> None:
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{self.http}/v1/openapi.json"]
        options = ["--checks", ",".join(checks), "--phases", "examples,coverage", "--seed", str(SEED)]
        options += ["--generation-database", "none", "--request-timeout", str(DEADLINE), "--continue-on-failure", "--no-color"]
        options += [option for name, value in self.headers.items() for option in ("--header", f"{name}: {value}")]
        options += [option for name in LEFT_OUT for option in ("--exclude-operation-id", name)]
        hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
        # It keeps files of its own where it runs.
        done = subprocess.run([*command, *options], capture_output=True, text=True, env=hooks, cwd=self.place)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")

    def test_it_is_answered_as_documented(self) -> None:
        self.ask(CHECKS)


class DocumentWithKeys(Document):
    """The same of a server with keys, with one that opens everything and without one."""

    def arguments(self, place: str) -> list[str]:
        make = [BINARY, "keys", "new", "everything", "--scope", "admin", "--data", place]
        key = subprocess.run(make, check=True, capture_output=True, text=True).stdout.strip()
        self.headers = {"Authorization": f"Bearer {key}"}
        return super().arguments(place)

    def connect(self) -> None:
        """Nobody asks its gRPC face."""

    def test_without_a_key_too(self) -> None:
        self.headers = {}
        # Who may not ask is not told what could be asked.
        self.ask([check for check in CHECKS if check != "unsupported_method"])
