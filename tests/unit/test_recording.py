"""What settings ask for in offline mode is remembered, by name and by how it was asked."""

from __future__ import annotations

import pytest

from django_kms_secrets import load, recording
from django_kms_secrets.recording import Read

NEEDED = Read(required=True, from_env=False)
OPTIONAL = Read(required=False, from_env=False)
ENV_NEEDED = Read(required=True, from_env=True)
ENV_OPTIONAL = Read(required=False, from_env=True)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(recording, "recordings", [])
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    monkeypatch.setenv("THERE", "a variable")


def read(how):
    """The reads of one expression on `secrets`."""
    secrets = load("locmem://")
    how(secrets)
    return secrets._recording.reads


@pytest.mark.parametrize(
    "how, kind",
    [
        (lambda secrets: secrets["X"], NEEDED),
        (lambda secrets: secrets.json("X"), NEEDED),
        (lambda secrets: secrets.database("X"), NEEDED),
        (lambda secrets: secrets.get("X"), OPTIONAL),
        (lambda secrets: secrets.get("X", ""), OPTIONAL),
        (lambda secrets: "X" in secrets, OPTIONAL),
        (lambda secrets: secrets.fallbacks("X"), OPTIONAL),
        (lambda secrets: secrets.previous("X"), OPTIONAL),
        (lambda secrets: secrets.env("X"), ENV_NEEDED),
        (lambda secrets: secrets.env.list("X"), ENV_NEEDED),
        (lambda secrets: secrets.env.json("X"), ENV_NEEDED),
        (lambda secrets: secrets.env.db("X"), ENV_NEEDED),
        (lambda secrets: secrets.env.cache("X"), ENV_NEEDED),
        (lambda secrets: secrets.env("X", default="d"), ENV_OPTIONAL),
        (lambda secrets: secrets.env.int("X", default=1), ENV_OPTIONAL),
        (lambda secrets: secrets.env.db("X", default="sqlite://"), ENV_OPTIONAL),
        (lambda secrets: "X" in secrets.env, ENV_OPTIONAL),
        (lambda secrets: (secrets.get("X"), secrets["X"]), NEEDED),
        (lambda secrets: (secrets["X"], secrets.get("X")), NEEDED),
        (lambda secrets: (secrets.env("X"), secrets.get("X")), NEEDED),
        (lambda secrets: (secrets.get("X"), secrets.env("X")), NEEDED),
        (lambda secrets: (secrets.env("X", default=""), "X" in secrets), OPTIONAL),
    ],
)
def test_every_way_to_ask_is_recorded(how, kind):
    """Each way to read a name is one read of it, needed unless there is a default."""
    assert read(how) == {"X": kind}


def test_a_dotted_name_is_recorded_as_it_was_asked_for():
    """Whether it is a tree with a leaf or a name with a dot, only the store knows."""
    assert read(lambda secrets: secrets["site.api.key"]) == {"site.api.key": NEEDED}


def test_a_variable_of_the_environment_is_not_needed_of_the_store():
    """What the environment has need not be in the store."""
    assert read(lambda secrets: secrets.env("THERE")) == {"THERE": ENV_OPTIONAL}
    assert read(lambda secrets: secrets.env.url("THERE")) == {"THERE": ENV_OPTIONAL}


def test_the_prefix_of_env_is_part_of_the_name():
    """``env.prefix`` counts."""

    def how(secrets):
        env = secrets.env
        env.prefix = "NOTES_"
        return env("X", default=""), env.db("Y")

    assert read(how) == {"NOTES_X": ENV_OPTIONAL, "NOTES_Y": ENV_NEEDED}


@pytest.mark.parametrize(
    "how", [dict, list, len, bool, lambda secrets: secrets.database(), lambda secrets: {**secrets}]
)
def test_all_of_a_store_may_be_asked_for(how):
    """Who goes through all names, or asks how many they are, uses all of them."""
    secrets = load("locmem://")
    assert not secrets._recording.whole
    how(secrets)
    assert secrets._recording.whole


def test_layers_have_a_recording_of_their_own():
    """What is asked of two layers is asked of both stores, and of neither alone."""
    shared, own = load("locmem://shared"), load("locmem://own")
    layered = shared | own
    layered["X"]
    shared["Y"]
    assert [(found.sources, list(found.reads)) for found in recording.recordings] == [
        (("locmem://shared",), ["Y"]),
        (("locmem://own",), []),
        (("locmem://shared", "locmem://own"), ["X"]),
    ]


def test_a_recording_outlives_its_secrets():
    """Settings may keep the value alone."""
    load({"BACKEND": "nowhere"})["X"]
    assert [list(found.reads) for found in recording.recordings] == [["X"]]


def test_online_nothing_is_recorded(monkeypatch):
    """A server keeps no list of what it reads."""
    monkeypatch.delenv("KMS_SECRETS_OFFLINE")
    secrets = load("locmem://")
    assert secrets.get("X", "") == ""
    assert secrets._recording is None
    assert recording.recordings == []


def test_whose_stages_are_asked_for():
    """It is remembered whose pending and previous values `secrets run` has to fetch."""
    secrets = load("locmem://")
    secrets.fallbacks("X"), secrets.previous("Y"), secrets["Z"]
    assert secrets._recording.staged == {"X", "Y"}


def test_the_environment_before(monkeypatch):
    """What settings put into the environment once they had (empty) secrets is not in the copy."""
    monkeypatch.setattr(recording, "environment", None)
    load("locmem://")
    monkeypatch.setenv("MADE_OF_A_SECRET", "")
    load("locmem://")
    assert recording.environment["THERE"] == "a variable"
    assert "MADE_OF_A_SECRET" not in recording.environment
