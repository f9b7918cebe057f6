"""Keys and TLS, as the Python client `umadb` has them."""

import os
import shutil
import subprocess
import unittest

import umadb
from server import BINARY, WithServer

CERTIFICATE = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
class Keys(WithServer):
    """A server that speaks TLS and asks for keys: one may append and read all, one may read some types."""

    def arguments(self, place: str) -> list[str]:
        self.cert, key = os.path.join(place, "cert.pem"), os.path.join(place, "key.pem")
        files = ["-out", self.cert, "-keyout", key]
        subprocess.run(["openssl", *CERTIFICATE.split(), *files], check=True, stderr=subprocess.DEVNULL)
        make = [BINARY, "keys", "new", "--data", place]
        both = [*make, "both", "--scope", "read", "--scope", "append"]
        some = [*make, "some", "--scope", "read", "--type", "Order*"]
        self.both, self.some = (
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() for command in (both, some)
        )
        return ["--tls-cert", self.cert, "--tls-key", key]

    def connect(self, key: str | None = None) -> umadb.Client:
        return umadb.Client(self.url, ca_path=self.cert, api_key=key or self.both)

    def test_a_key_opens_what_it_is_for(self) -> None:
        self.assertTrue(self.url.startswith("https://"))
        events = [umadb.Event(event_type=name, data=b"1") for name in ("OrderPlaced", "Paid")]
        self.assertEqual(self.client.append(events), 2)
        self.assertEqual([found.position for found in self.client.read()], [1, 2])
        some = self.connect(self.some)
        self.assertEqual([found.position for found in some.read()], [1])
        with self.assertRaises(umadb.AuthenticationError):
            some.append(events)

    def test_without_a_key_nothing_opens(self) -> None:
        for client in (umadb.Client(self.url, ca_path=self.cert), self.connect("wrong")):
            with self.assertRaises(umadb.AuthenticationError):
                client.append([umadb.Event(event_type="A", data=b"1")])
            with self.assertRaises(umadb.AuthenticationError):
                client.head()
