"""A request that is only planned."""

from buyer import TOKEN, Listener, journal_path, make_request
from ground.clock import VirtualClock
from ground.service import LoopbackService

from kling_cli.api.service import Service
from kling_cli.buying.claim import Terms
from kling_cli.buying.rehearsal import Rehearsal
from kling_cli.journal import Journal
from kling_cli.secret import Token
from kling_cli.transport.exchange import Transport
from kling_cli.watching.following import Kit
from kling_cli.watching.schedule import Schedule


def test_a_plan_has_nothing_to_settle(service: LoopbackService, clock: VirtualClock) -> None:
    """A signal that ends a dry run leaves nothing bought."""
    request = make_request(service.base_url)
    token = Token(TOKEN, source="test")
    kit = Kit(
        journal=Journal(journal_path(), now=clock.time),
        service=Service(Transport(environ={}), base_url=service.base_url, token=token),
        clock=clock,
        talk=Listener(),
        schedule=Schedule(),
    )
    terms = Terms(external_task_id="kling-1")
    rehearsal = Rehearsal(request, terms, kit=kit, url=service.base_url)
    assert rehearsal.run().plan == "buy"
    assert rehearsal.abandon() is None
    kit.journal.close()
