"""The real binary, with a store of its own for each test."""

import os
import subprocess
import tempfile
import unittest

import umadb

BINARY = os.environ["TIDEMILL"]
#: Longest wait for anything, in seconds: only reached by a failure.
DEADLINE = 300


class WithServer(unittest.TestCase):
    """A test with an empty server at `self.url` and a client of it at `self.client`; its HTTP face is at `self.http`."""

    def arguments(self, place: str) -> list[str]:
        """What the server is told beside its data directory, `place`."""
        return []

    def connect(self) -> umadb.Client:
        return umadb.Client(self.url)

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        arguments = ["--data", place.name, "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [BINARY, "serve", *arguments, *self.arguments(place.name)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.addCleanup(self.end)
        assert self.process.stdout is not None
        said = [line.split() for line in (self.process.stdout.readline(), self.process.stdout.readline())]
        self.url = next(words[1] for words in said if words[:1] == ["grpc"])
        urls = (word for words in said for word in words if word.startswith(("http://", "https://")))
        self.http = next(url for url in urls if url != self.url)
        self.client = self.connect()
        super().setUp()

    def end(self) -> None:
        """Ends the server in order, open streams or not."""
        self.process.terminate()
        self.assertEqual(self.process.wait(timeout=DEADLINE), 0)
        self.process.stdout.close()
