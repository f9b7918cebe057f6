"""The library `eventsourcing` on `eventsourcing-umadb`: its own suites for whoever keeps its events."""

from eventsourcing.dcb.tests import DcbRecorderTestCase
from eventsourcing.tests import persistence
from eventsourcing_umadb.recorders import UmaDbAggregateRecorder, UmaDbApplicationRecorder, UmaDbDcbRecorder
from server import WithServer


class AggregateRecorder(WithServer, persistence.AggregateRecorderTestCase):
    recorder_supports_idempotent_appends = True

    def create_recorder(self) -> UmaDbAggregateRecorder:
        return UmaDbAggregateRecorder(self.client)


class ApplicationRecorder(WithServer, persistence.ApplicationRecorderTestCase):
    recorder_supports_idempotent_appends = True

    def create_recorder(self) -> UmaDbApplicationRecorder:
        return UmaDbApplicationRecorder(self.client)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class NonInterleaving(WithServer, persistence.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> UmaDbApplicationRecorder:
        return UmaDbApplicationRecorder(self.client)


class DcbRecorder(WithServer, DcbRecorderTestCase):
    def test_append_read(self) -> None:
        self._test_append_read(UmaDbDcbRecorder(self.client))

    def test_append_subscribe(self) -> None:
        self._test_append_subscribe(UmaDbDcbRecorder(self.client))


# The bases are suites for others to fill in, not tests.
del DcbRecorderTestCase, WithServer
