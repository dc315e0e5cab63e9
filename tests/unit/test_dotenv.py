"""dotenv: our own reading of it, and what other programs read in what we write."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import docker.utils
import environ
import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_kms_secrets.exceptions import SecretsError
from django_kms_secrets.formats.dotenv import TARGETS, dump, edit, parse

from . import strategies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
    "-----END PRIVATE KEY-----\n"
)

# What people store: no reader is a reason to refuse one of these.
COMMON = {
    "SECRET_KEY": "django-insecure-q)w4!x^3&9v_k#z@1*m(p+8=h%j$5t2",
    "PASSWORD": "correct horse battery staple",
    "PUNCTUATION": "p@ss#w0rd!;&|<>()[]*?~^%,.:=+-_/",
    "APOSTROPHE": "o'brien",
    "QUOTES": 'say "hello"',
    "BACKSLASH": "domain\\user",
    "DOLLAR": "pa$$word",
    "DATABASE_URL": "postgres://app:s3cr%23t@db.example:5432/app?sslmode=require",
    "REDIS_URL": "rediss://:p%40ss@cache.example:6379/0",
    "SENTRY_DSN": "https://0123456789abcdef@o1.ingest.example/42",
    "TOKEN": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "BASE64": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
    "JSON": '{"user": "app", "password": "it\'s", "ports": [1, 2]}',
    "UNICODE": "pässwörd-中文-🔑",
    "NUMBER": "007",
    "EMPTY": "",
}


# Ours


@given(strategies.secrets)
@settings(deadline=None)
def test_every_value_comes_back_the_same(values):
    assert parse(dump(values)) == values


@given(strategies.secrets)
@settings(deadline=None)
def test_every_value_takes_one_line_of_names(values):
    """Whatever stands in a value, no part of it can be taken for another assignment."""
    assert list(parse(dump(values) + "LAST='x'\n")) == [*values, "LAST"]


PARSED = {
    "literal in single quotes": (r"A='a\n$B #c \\'", r"a\n$B #c \\"),
    "line breaks in single quotes": ("A='a\nb\r\nc'", "a\nb\r\nc"),
    "escapes in double quotes": (r'A="\\ \" \n \r \t \$ \`"', '\\ " \n \r \t $ `'),
    "other backslashes in double quotes": (r'A="\d \u00e9 \' \x"', r"\d \u00e9 \' \x"),
    "line breaks in double quotes": ('A="a\nb"', "a\nb"),
    "nothing is expanded": ('A="$HOME ${HOME} `id` $(id)"', "$HOME ${HOME} `id` $(id)"),
    "plain to the end of the line": ("A=a b  c", "a b  c"),
    "plain without spaces around": ("A =  a b \t", "a b"),
    "plain without a comment": ("A=a # not this", "a"),
    "a hash inside a plain value": ("A=a#b", "a#b"),
    "a hash at once": ("A=#a", ""),
    "plain with quotes inside": ('A=o\'brien said "x"', 'o\'brien said "x"'),
    "plain with equals signs": ("A=b=c==", "b=c=="),
    "plain with backslashes": (r"A=a\nb", r"a\nb"),
    "plain and Windows line ends": ("A=a\r\n", "a"),
    "a comment after quotes": ("A='a' # comment", "a"),
    "empty": ("A=", ""),
    "empty in quotes": ("A=''", ""),
    "export": ("export A=a", "a"),
    "export and spaces": ("  export\tA\t=\ta", "a"),
    "between comments and blank lines": ("\n# A=x\n   # B\n\nA=a\n\n#", "a"),
}


@pytest.mark.parametrize("text, value", PARSED.values(), ids=PARSED)
def test_parse_reads_what_the_format_says(text, value):
    assert parse(text) == {"A": value}


def test_a_name_may_be_called_export():
    assert parse("export='x'\n") == {"export": "x"}


REFUSED = {
    "no assignment": ("A=a\nplanted\n", "line 2 is no NAME=value"),
    "no name": ("=planted", "line 1 is no NAME=value"),
    "a name in quotes": ("'A'=planted", "line 1 is no NAME=value"),
    "two words before the sign": ("A B=planted", "line 1 is no NAME=value"),
    "a single quote not closed": (
        "\nA='planted",
        "line 2: the quotes around the value of A are not",
    ),
    "a double quote not closed": (
        'A="planted\\"',
        "the quotes around the value of A are not closed",
    ),
    "something after the quotes": (
        "A='planted'x",
        "line 1: the quotes around the value of A are followed by something",
    ),
    "two quoted pieces": ("A='planted''x'", "the value of A are followed by something"),
    "a name twice": ("A=planted\nB='\n'\nA=planted", "A stands more than once: on lines 1 and 4"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED)
def test_parse_is_strict_and_never_repeats_a_value(text, message):
    with pytest.raises(SecretsError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["A B", "A=B", "A#B", "", "A\n", "'A'", '"', "A\u2028B", "\ufeffA"]
)
def test_a_name_that_cannot_be_read_back_is_refused(name):
    with pytest.raises(SecretsError, match="dotenv has no way to write the name ") as caught:
        dump({"GOOD": "planted", name: "planted"})
    assert caught.value.names == (name,)
    assert "planted" not in str(caught.value)


# Editing

FILE = """\
# Development only.

export  FIRST = one   # the first
SECOND="two
lines"
  THIRD='three' # the third

# FOURTH=off
LAST=five"""


def test_edit_changes_one_line_and_keeps_all_others():
    assert edit(FILE, {"SECOND": "2"}) == FILE.replace('SECOND="two\nlines"', "SECOND='2'")


def test_edit_takes_a_line_out_and_keeps_all_others():
    assert edit(FILE, {}, ["THIRD"]) == FILE.replace("  THIRD='three' # the third\n", "")


def test_edit_adds_new_names_at_the_end_on_lines_of_their_own():
    assert edit(FILE, {"NEW": "a\nb", "ALSO": ""}) == f"{FILE}\nNEW=\"a\\nb\"\nALSO=''\n"


def test_edit_of_nothing_changes_nothing():
    assert edit(FILE, {}) == FILE


def test_edit_of_an_empty_file():
    assert edit("", {"A": "x"}) == "A='x'\n"


def test_edit_keeps_a_byte_order_mark_and_windows_line_ends():
    assert edit("\ufeffA=x\r\nB=y\r\n", {"B": "z"}) == "\ufeffA=x\r\nB='z'\n"


comments = st.sampled_from(["", "\n", "# a comment\n", "#A='x'\n", " \t\n", "   # NAME=x\r\n"])


@given(
    old=strategies.secrets,
    new=strategies.secrets,
    kept=st.lists(comments, min_size=5, max_size=5),
    data=st.data(),
)
@settings(deadline=None)
def test_edit_keeps_every_comment_and_every_other_value(old, new, kept, data):
    removals = data.draw(st.lists(st.sampled_from([*old]) if old else st.nothing()))
    lines = [dump({name: value}) for name, value in old.items()]
    padded = [part for pair in zip(kept, [*lines, *[""] * 5], strict=False) for part in pair]
    after = edit("".join(padded), new, removals)
    expected = {name: value for name, value in old.items() if name not in removals} | new
    assert parse(after) == expected
    for name, line in zip(old, lines, strict=True):
        assert name in {*new, *removals} or line in after
    assert edit(after, {}, [*expected]) == "".join(kept), "the comments, in their order"


# Others


def python_dotenv(path: Path) -> dict[str, str | None]:
    return dict(dotenv_values(path))


def django_environ(path: Path) -> dict[str, str]:
    class Env(environ.Env):
        ENVIRON: Mapping[str, str] = {}

    Env.read_env(path)
    env = Env()
    return {name: env(name) for name in Env.ENVIRON}


def docker_sdk(path: Path) -> dict[str, str]:
    return docker.utils.parse_env_file(path)


def docker_cli(path: Path) -> dict[str, str]:
    """What ``docker run --env-file`` does, as ``opts/file.go`` and ``kvfile.go`` have it.

    Lines end with LF or CR LF, have at most 64 KiB, and are UTF-8; the first may begin with a
    byte order mark. Spaces before a name go, spaces after a value stay. A line that is empty or
    begins with ``#`` is passed over. The name ends at the first ``=`` and has no spaces. There are
    no quotes, no escapes and no comments behind a value.
    """
    values = {}
    for raw in path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        assert len(raw) < 64 * 1024, "token too long"
        line = raw.removesuffix(b"\r").decode("utf-8").lstrip()
        if not line or line.startswith("#"):
            continue
        name, sign, value = line.partition("=")
        assert sign, "no sign: the value comes from the environment"
        assert name, "no variable name"
        assert not any(char.isspace() for char in name), "a name with spaces"
        values[name] = value
    return values


READERS: dict[str, tuple[str, Callable[[Path], Mapping[str, str | None]]]] = {
    "python-dotenv": ("python-dotenv", python_dotenv),
    "django-environ": ("django-environ", django_environ),
    "docker SDK": ("docker", docker_sdk),
    "docker CLI": ("docker", docker_cli),
}
readers = pytest.mark.parametrize("target, read", READERS.values(), ids=READERS)


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dotenv") / ".env"


def refusal(name: str, value: str, target: str) -> SecretsError | None:
    try:
        dump({name: value}, target=target)
    except SecretsError as exc:
        return exc
    return None


def test_every_target_has_a_reader_here():
    assert {target for target, _ in READERS.values()} | {""} == set(TARGETS)


@readers
@given(values=st.lists(strategies.values, min_size=1, max_size=4))
@example(values=["\\", "'", "x"])
@example(values=['"', '""', '"x"', '\\"'])
@example(values=["${HOME}", "$HOME", "${", "a$"])
@example(values=["\\n", "\n", "\\\\n", "\r\n"])
@example(values=["#", " # x", "a #b", " "])
@settings(deadline=None, max_examples=200)
def test_a_reader_gets_the_same_value_or_dump_names_the_secret(target, read, values, env_file):
    accepted = {}
    for number, value in enumerate(values):
        name = f"NAME_{number}"
        error = refusal(name, value, target)
        if error is None:
            accepted[name] = value
        else:
            assert error.names == (name,)
            assert name in error.message
    assert read(written(env_file, dump(accepted, target=target))) == accepted


@readers
def test_common_values_are_not_refused(target, read, env_file):
    assert read(written(env_file, dump(COMMON, target=target))) == COMMON


def test_a_pem_key_is_refused_only_where_values_are_one_line(env_file):
    assert parse(dump({"PEM": PEM})) == {"PEM": PEM}
    text = dump({"PEM": PEM, "B": "x"}, target="python-dotenv")
    assert python_dotenv(written(env_file, text)) == {"PEM": PEM, "B": "x"}
    for target in ("django-environ", "docker"):
        with pytest.raises(SecretsError):
            dump({"PEM": PEM}, target=target)


REFUSALS = {
    "python-dotenv": ["planted ${HOME}", "planted\0"],
    "django-environ": ["$planted", "planted\n", "planted\u2028planted", "planted\0", "planted\x0c"],
    "docker": [" planted", "planted\t", "planted\nplanted", "planted\r", "planted" * 9000],
}


@pytest.mark.parametrize(
    "target, value", [(target, value) for target, values in REFUSALS.items() for value in values]
)
def test_a_refusal_names_target_and_secrets_and_no_value(target, value):
    with pytest.raises(SecretsError) as caught:
        dump({"GOOD": "planted", "BAD": value, "ALSO": value}, target=target)
    assert caught.value.names == ("ALSO", "BAD")
    assert caught.value.message == (
        f"{target} would not read back what dotenv can write for ALSO, BAD"
    )
    assert "-f json" in caught.value.hint
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("target", [target for target in TARGETS if target])
@pytest.mark.parametrize("name", ["with-dash", "dotted.name", "1ST", "é", "a/b"])
def test_a_name_that_is_no_variable_is_refused_for_other_readers(target, name):
    with pytest.raises(SecretsError, match=f"dotenv for {target} has no way to write the name"):
        dump({name: "x"}, target=target)


def test_load_dotenv_fills_a_fresh_environment_with_the_same_values(tmp_path):
    values = COMMON | {"PEM": PEM, "CONTROL": "\x01\x1f\x7f\x85\t\u2028"}
    path = written(tmp_path / ".env", dump(values, target="python-dotenv"))
    program = (
        "import dotenv, json, os, sys; dotenv.load_dotenv(sys.argv[1]); "
        "json.dump(dict(os.environ), sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env={"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert values.items() <= json.loads(done.stdout).items()


# Shells

printable = strategies.values.map(lambda text: "".join(char for char in text if char.isprintable()))


@given(values=st.lists(printable, min_size=20, max_size=40))
@example(values=[*COMMON.values()])
@example(
    values=[
        "$HOME",
        "`id`",
        "$(id)",
        "\\$HOME",
        "!x",
        "~",
        "*",
        "a'$x",
        "'`id`",
        "'\\",
        "'\"",
        "'!",
    ]
)
@settings(deadline=None, max_examples=30)
def test_a_shell_that_sources_the_default_output_gets_the_same_values(values, env_file):
    """For values without line breaks and control characters, and names that are variables."""
    named = {f"NAME_{number}": value for number, value in enumerate(values)}
    path = written(env_file, dump(named))
    show = "; ".join(f'printf "%s\\0" "${name}"' for name in named)
    done = subprocess.run(
        ["/bin/sh", "-euc", f". {path}; {show}"],
        env={"HOME": "/nowhere", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("utf-8").split("\0")[:-1] == values


def test_the_default_output_is_single_quoted_where_it_can_be():
    assert dump({"A": 'x $HOME `id` #"\t'}) == "A='x $HOME `id` #\"\t'\n"
    assert dump({"A": "o'brien $x `y` \\ \""}) == 'A="o\'brien \\$x \\`y\\` \\\\ \\""\n'
