"""Schemathesis over the OpenAPI document: no 5xx, and nothing that the document does not say."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

from server import BINARY, WithServer

#: Requests that are made up for each operation and phase.
EXAMPLES = 40
#: They are the same each time.
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
    def arguments(self, place: str) -> list[str]:
        return ["--plugins", self.plugins]

    def setUp(self) -> None:
        plugins = tempfile.TemporaryDirectory()
        self.addCleanup(plugins.cleanup)
        built = Path(BINARY).parent.glob("build/tidemill-plugins-*/out/counter.wasm")
        shutil.copy(max(built, key=lambda file: file.stat().st_mtime), plugins.name)
        self.plugins = plugins.name
        super().setUp()
        event = {"type": "OrderPlaced", "stream": "order-42", "id": "0199a0a0-0000-7000-8000-000000000001"}
        body = json.dumps({"events": [event]}).encode()
        headers = {"content-type": "application/json"}
        urlopen(Request(f"{self.http}/v1/events?wait_for=counter", body, headers)).close()

    def test_whatever_is_asked_is_answered_as_documented(self) -> None:
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{self.http}/v1/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", str(SEED)]
        options += ["--generation-database", "none", "--request-timeout", "30", "--continue-on-failure", "--no-color"]
        left_out = [option for name in LEFT_OUT for option in ("--exclude-operation-id", name)]
        hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run([*command, *options, *left_out], capture_output=True, text=True, env=hooks)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
