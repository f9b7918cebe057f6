"""The Python client `umadb`."""

import threading
from uuid import uuid4

import umadb
from server import DEADLINE, WithServer


def event(kind: str, *tags: str, **more) -> umadb.Event:
    return umadb.Event(event_type=kind, data=b"data", tags=list(tags), **more)


def query(*tags: str) -> umadb.Query:
    return umadb.Query(items=[umadb.QueryItem(tags=list(tags))])


class Client(WithServer):
    def positions(self, **asked) -> list[int]:
        return [found.position for found in self.client.read(**asked)]

    def test_an_empty_log(self) -> None:
        self.assertIsNone(self.client.head())
        self.assertEqual(self.client.read().collect_with_head(), ([], None))
        self.assertIsNone(self.client.get_tracking_info("source"))

    def test_what_is_appended_is_read(self) -> None:
        given = event("Placed", "b", "a", uuid=uuid4(), metadata={"actor": "me"})
        self.assertEqual(self.client.append([given, event("Paid")]), 2)
        [found, nameless], head = self.client.read().collect_with_head()
        self.assertEqual((head, self.client.head()), (2, 2))
        got = found.event
        self.assertEqual(
            (got.event_type, bytes(got.data), got.tags, got.uuid, got.metadata),
            ("Placed", b"data", ["b", "a"], given.uuid, {"actor": "me"}),
        )
        self.assertIsNotNone(nameless.event.uuid)

    def test_ranges(self) -> None:
        self.client.append([event("T", f"tag:{n % 2}") for n in range(6)])
        self.assertEqual(self.positions(start=4), [4, 5, 6])
        self.assertEqual(self.positions(start=4, backwards=True), [4, 3, 2, 1])
        self.assertEqual(self.positions(start=0, backwards=True), [])
        self.assertEqual(self.positions(query=query("tag:1"), backwards=True, limit=2), [6, 4])
        self.assertEqual(self.client.read(limit=0).collect_with_head(), ([], None))
        self.assertEqual(self.client.read(limit=2).collect_with_head()[1], 2)

    def test_a_log_of_many_messages(self) -> None:
        for _ in range(10):
            self.client.append([event("T", metadata={"filling": "v" * 4000}) for _ in range(500)])
        self.assertEqual(self.positions(), list(range(1, 5001)))
        self.assertEqual(self.positions(backwards=True), list(range(5000, 0, -1)))

    def test_a_condition(self) -> None:
        self.client.append([event("T", "x")])
        guard = umadb.AppendCondition(fail_if_events_match=query("x"))
        with self.assertRaises(umadb.IntegrityError):
            self.client.append([event("T", "x")], condition=guard)
        guard = umadb.AppendCondition(fail_if_events_match=query("x"), after=1)
        self.assertEqual(self.client.append([event("T", "x")], condition=guard), 2)

    def test_the_same_events_again(self) -> None:
        events = [event("T", "x", uuid=uuid4()) for _ in range(2)]
        guard = umadb.AppendCondition(fail_if_events_match=query("x"))
        self.assertEqual(self.client.append(events, condition=guard), 2)
        self.client.append([event("T", "x")])
        self.assertEqual(self.client.append(events, condition=guard), 2)
        self.assertEqual(self.client.head(), 3)
        with self.assertRaises(umadb.IntegrityError):
            self.client.append(events[::-1], condition=guard)

    def test_tracking(self) -> None:
        at = lambda position: umadb.TrackingInfo("source", position)
        self.client.append([event("T")], tracking_info=at(5))
        self.assertEqual(self.client.get_tracking_info("source"), 5)
        for position in (5, 4):
            with self.assertRaises(umadb.IntegrityError):
                self.client.append([event("T")], tracking_info=at(position))
        self.client.append([event("T")], tracking_info=at(6))
        self.assertEqual((self.client.get_tracking_info("source"), self.client.head()), (6, 2))
        told = [found.tracking_info.position for found in self.client.read()]
        self.assertEqual(told, [5, 6])

    def test_bad_arguments(self) -> None:
        for bad in (event(""), event("T", ""), event("T", "a" * 256), event("$T")):
            with self.assertRaises(ValueError) as raised:
                self.client.append([bad])
            self.assertNotIsInstance(raised.exception, umadb.IntegrityError)

    def test_a_subscription(self) -> None:
        self.client.append([event("T", "x"), event("T", "y"), event("T", "x")])
        subscription = self.client.subscribe(query=query("x"), after=1)
        self.assertEqual(next(subscription).position, 3)
        later = threading.Timer(0.1, lambda: self.client.append([event("T", "y"), event("T", "x")]))
        later.start()
        self.assertEqual(next(subscription).position, 5)
        later.join()
        subscription.cancel()

    def test_a_subscription_is_open_when_the_server_ends(self) -> None:
        subscription = self.client.subscribe()
        self.process.terminate()
        with self.assertRaises(StopIteration):
            next(subscription)
        self.assertEqual(self.process.wait(timeout=DEADLINE), 0)

    def test_health(self) -> None:
        for service in ("", "umadb.v1.DCB"):
            self.assertEqual(self.client.check_health(service), umadb.ServingStatus.SERVING)


# A base for others, not a test.
del WithServer
