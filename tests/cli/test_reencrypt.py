"""`reencrypt`: another key, context or binding for what is stored, in words without values."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from django_kms_secrets.backends.credstash import CredStashStore
from django_kms_secrets.backends.secretsmanager import SecretsManagerStore
from django_kms_secrets.cli.main import VERBS
from django_kms_secrets.config import read_config
from tests.server.embedded import REGION

from .conftest import MARK, denied
from .doors import MODULE, environment, inside, on_terminal

PLACE = f"CredStash table credential-store in {REGION}"
WRITES = {"dynamodb.PutItem", "dynamodb.TransactWriteItems", "dynamodb.DeleteItem"}
KEEP = "disable the old KMS key only when nothing reads with it any more"
STAYS = f"{KEEP}; without --prune, old versions stay under it\n"


@pytest.fixture(params=["module", "manage", "call"])
def door(request, url):
    """The command through each of its doors."""

    def run(*args, url=url):
        return inside(request.param, url, ["reencrypt", *args])

    return run


@pytest.fixture
def verb(url):
    """``reencrypt …`` through one door."""

    def run(*args, url=url):
        return inside("module", url, ["reencrypt", *args])

    return run


@pytest.fixture(autouse=True)
def new_key(request):
    """Another KMS key, where there is an account."""
    if "url" in request.fixturenames:
        request.getfixturevalue("url")
        with CredStashStore(key_id="alias/new") as store:
            store.setup_key()


@pytest.fixture
def filled(url, fill):
    """Two secrets, one of which has three versions and a pending value."""
    for value in ("first", "second", "third"):
        fill({"SECRET_KEY": f"{MARK} {value}"})
    fill({"TOKEN": f"{MARK} token"})
    with read_config(url).make_store() as store:
        store.stage("SECRET_KEY", f"{MARK} pending")


def options(url, **more):
    return read_config(url).with_options(**more)


def stages(url, name="SECRET_KEY", **more):
    with options(url, **more).make_store() as store:
        return {stage: secret.value for stage, secret in store.get_stages(name).items()}


def count(url):
    with read_config(url).make_store() as store:
        return len(store.list_secrets())


class TestKey:
    def test_transcript(self, door, url, filled):
        """It counts what it did, says what comes next, and no value; the values are the same."""
        before = stages(url)
        done = door("--key-id", "alias/new").ok()
        assert done.out == ""
        assert done.err == (
            f"{PLACE}: 2 re-encrypted, 0 were already\n"
            "next: give OPTIONS the same key_id, deploy every host, and run this again, for what "
            "was written meanwhile\n" + STAYS
        )
        assert stages(url) == before
        assert stages(url, "TOKEN")["CURRENT"] == f"{MARK} token"
        again = door("--key-id", "alias/new").ok()
        assert again.err.startswith(f"{PLACE}: 0 re-encrypted, 2 were already\n")

    def test_what_options_have_already(self, verb, url, filled):
        """Once OPTIONS are changed there is nothing more to change in them."""
        verb("--key-id", "alias/new").ok()
        done = verb("--key-id", "alias/new", url=f"{url}&key_id=alias/new").ok()
        assert done.err == f"{PLACE}: 0 re-encrypted, 2 were already\n{STAYS}"

    def test_an_alias_that_names_another_key_now(self, verb, url, aws, filled):
        """The same alias, another key behind it: it is the key that counts."""
        with CredStashStore() as store:
            kms = store._services[1].client
            target = kms.describe_key(KeyId="alias/new")["KeyMetadata"]["KeyId"]
            kms.update_alias(AliasName="alias/credstash", TargetKeyId=target)
        assert "2 re-encrypted, 0 were" in verb("--key-id", "alias/credstash").ok().err

    def test_some_names(self, door, url, filled):
        """Only those that are named, each once."""
        done = door("TOKEN", "TOKEN", "--key-id", "alias/new").ok()
        assert done.err.startswith(f"{PLACE}: 1 re-encrypted, 0 were already\n")
        assert "1 re-encrypted, 1 were already" in door("--key-id", "alias/new").ok().err

    def test_an_empty_store(self, verb, aws):
        """There is nothing to do, and that is no error."""
        with aws.counted() as sent:
            done = verb("--key-id", "alias/new").ok()
        assert done.err.startswith(f"{PLACE}: 0 re-encrypted, 0 were already\n")
        assert sent == {"dynamodb.Scan": 1}


class TestContext:
    def test_asks_first(self, verb, url, aws, filled):
        """Hosts that do not know the context yet would be locked out: not without a yes."""
        with aws.counted() as sent:
            error = verb("--context", "env=production").failed()
        assert error == (
            f"error: not done without a yes: 2 secrets of {PLACE}: a host whose OPTIONS have no "
            "former_context cannot read what is re-encrypted; go on?\n"
            "hint: add --yes\n"
        )
        assert not WRITES & set(sent)

    def test_transcript(self, door, url, filled):
        """The options to change are named; with them everything is read, without them nothing."""
        before = stages(url)
        done = door("--context", "env=production", "--context", f"app={MARK}", "--yes").ok()
        assert done.err == (
            f"{PLACE}: 2 re-encrypted, 0 were already\n"
            "next: give OPTIONS the same context, former_context, deploy every host, and run this "
            "again, for what was written meanwhile\n"
        )
        context = {"env": "production", "app": MARK}
        assert stages(url, context=context) == before
        error = inside("module", url, ["get", "TOKEN"]).failed()
        assert "KMS would not decrypt its data key" in error

    def test_no_question_where_options_have_it_already(self, verb, url, filled):
        """The way the page tells: OPTIONS first, then this; no host is locked out."""
        later = f"{url}&context.env=production&former_context="
        done = verb("--context", "env=production", url=later).ok()
        assert done.err == (
            f"{PLACE}: 2 re-encrypted, 0 were already\n"
            "next: once this finds all done already, take former_context out of OPTIONS\n"
        )
        assert "0 re-encrypted, 2 were" in verb("--context", "env=production", url=later).ok().err

    def test_there_and_back(self, verb, url, filled):
        """``--no-context`` makes it empty again."""
        before = stages(url)
        verb("--context", "env=x", "--yes").ok()
        verb("--no-context", "--yes", url=f"{url}&context.env=x").ok()
        assert stages(url) == before

    def test_bind_and_back(self, verb, url, filled):
        """``--bind`` adds name and version to the context, ``--no-bind`` takes them out."""
        before = stages(url)
        done = verb("--bind", "--yes").ok()
        assert "next: give OPTIONS the same bind_to_name, former_context, " in done.err
        assert stages(url, bind_to_name=True) == before
        assert inside("module", url, ["get", "TOKEN"]).code == 1
        verb("--no-bind", "--yes", url=f"{url}&bind_to_name=true").ok()
        assert stages(url) == before

    def test_all_at_once(self, verb, url, filled):
        """A key, a context and a binding are one re-encryption."""
        before = stages(url)
        verb("--key-id", "alias/new", "--context", "a=b", "--bind", "--prune", "--yes").ok()
        assert stages(url, context={"a": "b"}, bind_to_name=True) == before
        assert count(url) == 4

    def test_the_change_before_is_not_over(self, verb, url, aws, filled):
        """A second change before the first is over would lose the first context."""
        later = f"{url}&context.env=one&former_context.env=zero"
        with aws.counted() as sent:
            error = verb("--context", "env=two", "--yes", url=later).failed()
        assert "the change before this one is not over" in error
        assert not sent


class TestPrune:
    def test_transcript(self, door, url, filled):
        """What is not in use goes; what is in use stays."""
        before = stages(url)
        done = door("--key-id", "alias/new", "--prune", "--yes").ok()
        assert done.err == (
            f"{PLACE}: 2 re-encrypted, 0 were already\n"
            f"{PLACE}: 2 had old versions, which are deleted\n"
            "next: give OPTIONS the same key_id, deploy every host, and run this again, for what "
            f"was written meanwhile\n{KEEP}\n"
        )
        assert stages(url) == before
        assert count(url) == 4

    def test_asks_before_anything_is_written(self, verb, aws, filled):
        """Without a terminal the answer is --yes."""
        with aws.counted() as sent:
            error = verb("--key-id", "alias/new", "--prune").failed()
        assert "delete the versions that are neither current, previous nor pending?" in error
        assert "hint: add --yes" in error
        assert not WRITES & set(sent)

    @pytest.mark.parametrize("answer, code, left", [("y", 0, 4), ("n", 1, 5)])
    def test_on_a_terminal(self, url, filled, tmp_path, answer, code, left):
        """It is asked there; what is quick shows no bar."""
        done = on_terminal(
            [*MODULE, "reencrypt", "--key-id", "alias/new", "--prune", "--url", url],
            [("[y/N]", f"{answer}\n")],
            cwd=tmp_path,
        )
        assert done.code == code, done.screen
        assert "2/2" not in done.screen
        assert MARK not in done.screen
        assert done.piped == ""
        assert count(url) == left

    def test_not_after_a_failure(self, verb, url, aws, filled):
        """What could not be re-encrypted may still need its old versions."""
        with read_config(url).make_store() as store:
            client = store._services[0].client
            key = {"name": {"S": "TOKEN"}, "version": {"S": f"{1:019}"}}
            client.update_item(
                TableName="credential-store",
                Key=key,
                UpdateExpression="SET contents = :x",
                ExpressionAttributeValues={":x": {"S": "*"}},
            )
        with aws.counted() as sent:
            error = verb("--key-id", "alias/new", "--prune", "--yes").failed()
        assert "TOKEN version 0000000000000000001" in error
        assert sent["dynamodb.DeleteItem"] == 0

    def test_a_store_that_cannot(self, verb, aws):
        """…is told before anything is written."""
        with SecretsManagerStore(prefix="notes/") as store:
            store.put("A", "1")
        with aws.counted() as sent:
            error = verb("--key-id", "k", "--prune", url="secretsmanager://?prefix=notes/").failed()
        assert "SecretsManagerStore has no old versions that could be deleted" in error
        assert "leave --prune out" in error
        assert not sent


class TestDryRun:
    def test_transcript(self, door, aws, filled):
        """It lists what would be worked on, asks nothing and writes nothing."""
        with aws.counted() as sent:
            done = door("--key-id", "alias/new", "--bind", "--prune", "--dry-run").ok()
        assert done.out == ""
        assert done.err == (
            f"~ SECRET_KEY\n~ TOKEN\n{PLACE}: 2 secrets would be worked on\n"
            "nothing was written: --dry-run\n"
        )
        assert sent == {"dynamodb.Scan": 1}

    def test_of_one(self, verb, filled):
        assert "\n1 secret would" not in verb("TOKEN", "--no-bind", "--dry-run").ok().err
        assert verb("TOKEN", "--no-bind", "--dry-run").err.startswith(
            f"~ TOKEN\n{PLACE}: 1 secret would be worked on\n"
        )


class TestRefusals:
    @pytest.mark.parametrize(
        "args, message",
        [
            ((), "re-encrypt under what?"),
            (("TOKEN",), "re-encrypt under what?"),
            (("--prune", "--yes"), "re-encrypt under what?"),
            (("--key-id", ""), "--key-id is empty"),
            (("--context", MARK), "a --context is not of the form KEY=VALUE"),
            (("--context", f"={MARK}"), "a --context is not of the form KEY=VALUE"),
            (("--context", f"{MARK}="), "a --context is not of the form KEY=VALUE"),
            (("--context", f"a={MARK}", "--context", "a=2"), "the context has a twice"),
            (
                ("--bind", "--context", f"name={MARK}", "--yes"),
                "with bind_to_name the encryption context has name and version of its own",
            ),
        ],
    )
    def test_nothing_is_sent(self, verb, aws, filled, args, message):
        """What is wrong with the arguments is said before AWS is asked, without a value."""
        with aws.counted() as sent:
            error = verb(*args).failed()
        assert message in error
        assert MARK not in error
        assert not sent

    @pytest.mark.parametrize(
        "args", [("--context", f"a={MARK}", "--no-context"), ("--context",), (f"--bind={MARK}",)]
    )
    def test_usage(self, verb, args):
        """What contradicts itself is wrong usage."""
        assert MARK not in verb(*args).refused()

    def test_names_that_are_not_there(self, door, aws, filled):
        """All of them are named, and nothing is written for the others."""
        with aws.counted() as sent:
            error = door("NOPE", "TOKEN", "NEITHER", "--key-id", "alias/new").err
        assert f"{PLACE} has nothing to re-encrypt that is called NOPE, NEITHER" in error
        assert sent == {"dynamodb.Scan": 1}

    def test_memory(self, door):
        """A store that encrypts nothing has nothing to re-encrypt."""
        done = door("--key-id", "k", url="locmem://x")
        assert done.code == 1
        assert "LocMemStore encrypts nothing" in done.err

    def test_a_file(self, on_file):
        assert "FileStore encrypts nothing" in on_file("reencrypt", "--key-id", "k").failed()

    @pytest.mark.parametrize("args", [("--context", "a=b"), ("--no-context",), ("--bind",)])
    def test_secrets_manager_has_no_context_to_change(self, verb, aws, args):
        with aws.counted() as sent:
            error = verb(*args, "--key-id", "k", url="secretsmanager:///doc").failed()
        assert "Secrets Manager has an encryption context of its own" in error
        assert not sent

    def test_a_key_that_is_not_there(self, verb, url, filled):
        before = count(url)
        assert "there is no KMS key alias/none" in verb("--key-id", "alias/none").failed()
        assert count(url) == before


class TestFailures:
    def test_of_one_secret(self, door, url, aws, filled):
        """The others are done; the exit code is 1; it counts; a rerun goes on."""

        def fault(operation, body):
            if operation == "TransactWriteItems" and "TOKEN" in str(body):
                reasons = [{"Code": "ConditionalCheckFailed"}] * len(body["TransactItems"])
                reply = {"__type": "TransactionCanceledException", "CancellationReasons": reasons}
                return 400, reply
            return None

        aws.faults.append(fault)
        done = door("--key-id", "alias/new")
        assert done.code == 1
        assert done.err.startswith(
            f"{PLACE}: 1 re-encrypted, 0 were already, 1 not known to be done\n"
        )
        assert "somebody else wrote" in done.err
        assert "next:" not in done.err
        assert MARK not in done.err
        aws.faults.clear()
        again = door("--key-id", "alias/new").ok()
        assert again.err.startswith(f"{PLACE}: 1 re-encrypted, 1 were already\n")

    def test_of_all(self, verb, aws, filled):
        """A permission that is missing for all ends it at once."""
        aws.faults.append(denied("TransactWriteItems"))
        error = verb("--key-id", "alias/new")
        assert error.code == 1
        assert f"{PLACE}: 0 re-encrypted, 0 were already, 2 not known to be done\n" in error.err
        assert error.err.count("error: ") == 1

    def test_ctrl_c(self, url, aws, filled, tmp_path):
        """It ends at once with 130 and counts; each secret is whole; a rerun goes on."""
        program = subprocess.Popen(
            [*MODULE, "reencrypt", "--key-id", "alias/new", "--url", url],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
        )
        waited = threading.Event()

        def fault(operation, body):
            if operation != "TransactWriteItems":
                return None
            if not waited.is_set():
                waited.set()
                program.send_signal(signal.SIGINT)
                program.wait(60)
            # Nobody hears it any more. Carried out, it could meet the second run.
            return 500, "InternalFailure"

        aws.faults.append(fault)
        words = program.communicate(timeout=60)[1].decode()
        aws.faults.clear()
        assert program.returncode == 130, words
        assert "not known to be done\n" in words
        assert "Traceback" not in words
        done = inside("module", url, ["reencrypt", "--key-id", "alias/new"]).ok()
        assert " re-encrypted, " in done.err
        assert stages(url)["PENDING"] == f"{MARK} pending"
        assert stages(url)["PREVIOUS"] == f"{MARK} second"


class TestSecretsManager:
    @pytest.mark.parametrize(
        "target, names",
        [("secretsmanager:///notes", ["notes"]), ("secretsmanager://?prefix=n/", ["A", "B"])],
    )
    def test_transcript(self, verb, aws, target, names):
        """A document is one thing; under a prefix each secret is one."""
        with read_config(target).make_store() as store:
            store.setup()
            store.put_many({"A": f"{MARK} a", "B": f"{MARK} b"})
            place = store.place
        dry = verb("--key-id", "alias/new", "--dry-run", url=target).ok()
        assert [line[2:] for line in dry.err.splitlines() if line[0] == "~"] == names
        done = verb("--key-id", "alias/new", url=target).ok()
        assert done.err == (
            f"{place}: {len(names)} re-encrypted, 0 were already\n"
            "next: give OPTIONS the same key_id, deploy every host, and run this again, for what "
            "was written meanwhile\n" + STAYS
        )

    def test_a_name_in_a_document(self, verb, aws):
        """A document is re-encrypted whole, so a name in it is not something to re-encrypt."""
        with SecretsManagerStore(secret_id="notes") as store:
            store.setup()
            store.put("A", MARK)
        error = verb("A", "--key-id", "k", url="secretsmanager:///notes").failed()
        assert "nothing to re-encrypt that is called A" in error
        assert "a document is re-encrypted whole" in error


def test_it_is_one_of_the_verbs():
    """…in the help after `rollback`."""
    verbs = [*VERBS]
    assert verbs[verbs.index("rollback") + 1] == "reencrypt"


def test_rich_is_not_imported_without_a_terminal(url, filled, tmp_path):
    """Only a terminal pays for it."""
    code = (
        "import sys; from django_kms_secrets.__main__ import main; "
        f"main(['reencrypt', '--key-id', 'alias/new', '--url', {url!r}]); "
        "assert 'rich' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    )
