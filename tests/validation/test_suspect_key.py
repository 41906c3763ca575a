"""A run that was reviewed with a key revoked as suspect counts no more until it is shown again."""

from __future__ import annotations

from core.access import rotation, usecases
from core.policy.state import Actor
from tests.builders.validation import Team, approve, installation, passing, run
from tests.house import PASSWORD, HouseUnderTest
from tests.req import req
from validation import queries
from validation.releases import ReviewRun, review_run


def doubted(house: HouseUnderTest, actor: Actor, since: int) -> None:
    house.person("owner-9", "system_owner")
    old = house.house.signer.kid_of_person(actor.user)
    house.commit(rotation.rotate_key(house.desk, actor, rotation.RotateKey(PASSWORD)).proposal)
    house.commit(usecases.revoke_key(house.desk, Actor("owner-9"), old, "laptop stolen", suspect_from=since))
    house.work()


@req("VAL-13", "SIG-10")
def test_a_run_reviewed_with_a_suspect_key_becomes_suspect_and_another_does_not(house: HouseUnderTest) -> None:
    team = Team.of(house)
    approve(house, team, installation("fine"))
    first = run(house, team, "IQ-SMALL", checks={"fine": passing()})
    second = run(house, team, "IQ-SMALL", checks={"fine": passing()})
    seq = house.commit(review_run(house.desk, team.lead, ReviewRun(first.run, "As expected."))).seq

    doubted(house, team.lead, seq)

    with house.desk.reading() as session:
        assert queries.run_row(session, first.run)["state"] == "suspect"
        assert "A signature it rests on is suspect" in queries.run_row(session, first.run)["suspect"]
        assert queries.run_row(session, second.run)["state"] == "concluded"
    assert house.words().count("validation.suspect") == 1
