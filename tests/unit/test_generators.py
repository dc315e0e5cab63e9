"""New values: who makes them, how strong they are, and that a failure shows none."""

from __future__ import annotations

import string
import subprocess
import sys
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_kms_secrets import SecretsError, SecretStr, generators
from django_kms_secrets.generators import choose

if TYPE_CHECKING:
    from pathlib import Path

MARK = "hidden-marker"


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a module of generators and gives the path of its ``make``."""

    def write(source: str) -> str:
        (tmp_path / "project_makers.py").write_text(f"MARK = '{MARK}'\n{source}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "project_makers", raising=False)
        return "project_makers.make"

    yield write
    sys.modules.pop("project_makers", None)


class TestSecretKey:
    @pytest.mark.parametrize("name", ["SECRET_KEY", "notes/production/SECRET_KEY", "a.SECRET_KEY"])
    def test_is_made_by_django(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A SECRET_KEY, alone or below other names, is what Django's own function makes."""
        monkeypatch.setattr("django.core.management.utils.get_random_secret_key", lambda: MARK)
        assert choose(name).make() == MARK

    def test_is_a_good_one(self) -> None:
        """It passes Django's own check of a key: length, and number of different characters."""
        key = choose("SECRET_KEY").make()
        assert len(key) >= 50
        assert len(set(key)) >= 5
        assert key != choose("SECRET_KEY").make()

    @pytest.mark.parametrize(
        "name", ["DATABASE_URL", "SECRET_KEY_2", "MY_SECRET_KEY", "secret_key", "SECRET_KEY/x", "A"]
    )
    def test_no_other_name_is_guessed(self, name: str) -> None:
        """Another name needs an option: random characters would break a DATABASE_URL."""
        with pytest.raises(SecretsError) as caught:
            choose(name)
        assert name in caught.value.message
        assert caught.value.names == (name,)
        for option in ("--length", "--generator", "--value -", "--value @FILE"):
            assert option in caught.value.hint

    def test_options_win(self) -> None:
        """An option counts for a SECRET_KEY too."""
        assert len(choose("SECRET_KEY", length=99).make()) == 99


class TestRandom:
    def test_defaults(self) -> None:
        """--length alone takes letters and digits, --alphabet alone 50 characters."""
        assert set(choose("A", length=4000).make()) == set(string.ascii_letters + string.digits)
        value = choose("A", alphabet="0123456789abcdef").make()
        assert len(value) == 50
        assert set(value) <= set("0123456789abcdef")

    @given(st.integers(22, 200), st.text(string.printable[:95], min_size=10))
    def test_length_and_alphabet(self, length: int, alphabet: str) -> None:
        """A value has the length asked for, of characters of the alphabet; masked; no two alike."""
        if len(set(alphabet)) < 10:
            return
        generator = choose("A", length=length, alphabet=alphabet)
        one, two = generator.make(), generator.make()
        assert len(one) == len(two) == length
        assert set(one) <= set(alphabet)
        assert one != two
        assert isinstance(one, SecretStr)

    def test_characters_are_equally_likely(self) -> None:
        """A character that stands twice in the alphabet does not come twice as often."""
        counts = Counter(choose("A", length=4096, alphabet="aaaaaaaaab").make())
        assert 1600 < counts["a"] < 2500  # 2048 ± 14 standard deviations at the worse end

    def test_comes_from_the_secrets_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Random characters come from the operating system's source, by way of `secrets`."""
        monkeypatch.setattr("secrets.choice", lambda characters: characters[0])
        assert choose("A", length=30).make() == "a" * 30

    @pytest.mark.parametrize("alphabet", ["", "a", "aaaa", "ab\n", "ab\udcff"])
    def test_alphabets_that_are_none(self, alphabet: str) -> None:
        """Fewer than two different characters, or one that is not printable, is refused."""
        with pytest.raises(SecretsError, match="the alphabet"):
            choose("A", length=200, alphabet=alphabet)

    @pytest.mark.parametrize("length", [0, -1, 4097, 10**12])
    def test_lengths_that_are_none(self, length: int) -> None:
        """A length that makes no key is refused before anything is made."""
        with pytest.raises(SecretsError, match=f"a length of {length} is not 1 to 4096"):
            choose("A", length=length)

    @pytest.mark.parametrize(
        "length, alphabet, bits", [(63, "01", 63), (10, None, 59), (15, "0123456789abcdef", 60)]
    )
    def test_too_weak(self, length: int, alphabet: str | None, bits: int) -> None:
        """Under 64 bits is an error that says how many there are, and what would be enough."""
        with pytest.raises(SecretsError, match=f"are {bits} bits, which can be guessed") as caught:
            choose("A", length=length, alphabet=alphabet)
        assert "128 bits take --length " in caught.value.hint

    @pytest.mark.parametrize(
        "length, alphabet, warning",
        [
            (64, "01", "64 characters out of 2 are 64 bits; 128 bits take --length 128"),
            (127, "01", "127 characters out of 2 are 127 bits; 128 bits take --length 128"),
            (128, "01", ""),
            (21, None, "21 characters out of 62 are 125 bits; 128 bits take --length 22"),
            (22, None, ""),
        ],
    )
    def test_weak(self, length: int, alphabet: str | None, warning: str) -> None:
        """Under 128 bits is a warning that says the same; from 128 on there is none."""
        assert choose("A", length=length, alphabet=alphabet).warning == warning

    def test_a_project_may_have_a_secrets_module(self, tmp_path: Path) -> None:
        """A secrets.py in the current directory is not even imported, but for random text."""
        (tmp_path / "secrets.py").write_text("raise SystemExit('imported')\n")
        code = (
            "from django_kms_secrets import generators; "
            "print(generators.choose('A', path='os.getcwd').words); "
            "generators.choose('A', length=50).make()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout == "os.getcwd\n"
        assert "the generator failed: 50 random characters raised SystemExit" in done.stderr


class TestCallable:
    def test_makes_the_value(self, maker: Any) -> None:
        """The callable is called without arguments, once a value, and not before."""
        path = maker("calls = []\ndef make():\n    calls.append(1)\n    return MARK + str(calls)")
        generator = choose("A", path=path)
        assert sys.modules["project_makers"].calls == []
        value = generator.make()
        assert value == f"{MARK}[1]"
        assert isinstance(value, SecretStr)

    @pytest.mark.parametrize(
        "returned, reason",
        [
            ("''", "gave an empty str"),
            ("None", "gave a NoneType, no str"),
            ("MARK.encode()", "gave a bytes, no str"),
            ("[MARK]", "gave a list, no str"),
        ],
    )
    def test_gives_no_text(self, maker: Any, returned: str, reason: str) -> None:
        """What is no text, or empty, is refused by its type; it is not shown."""
        path = maker(f"def make():\n    return {returned}")
        error = _error_of(path)
        assert error.message == f"the generator failed: {path} {reason}"

    @pytest.mark.parametrize("raised", ["ValueError(MARK)", "SystemExit(MARK)", "Own(MARK)"])
    def test_raises(self, maker: Any, raised: str) -> None:
        """Of what it raises only the type is shown; nothing of it is left in the error."""
        path = maker(
            f"class Own(Exception): pass\ndef make():\n    value = MARK\n    raise {raised}"
        )
        error = _error_of(path)
        kind = raised.partition("(")[0]
        assert error.message == f"the generator failed: {path} raised {kind}"

    def test_interrupt_is_not_its_failure(self, maker: Any) -> None:
        """Ctrl-C in a generator is Ctrl-C."""
        path = maker("def make():\n    raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            choose("A", path=path).make()

    @pytest.mark.parametrize("path", [MARK, "", ".", "os.", ".getcwd", "os", f"{MARK}.x", "a b.c"])
    def test_is_no_path(self, path: str) -> None:
        """What is not package.module.callable is refused, and not repeated: it may be a value."""
        with pytest.raises(SecretsError, match="not of the form") as caught:
            choose("A", path=path)
        assert MARK not in str(caught.value)

    @pytest.mark.parametrize(
        "path, reason",
        [
            ("no_such_package.make", "ModuleNotFoundError"),
            ("os.no_such_function", "AttributeError"),
            ("os.sep", "it is not callable"),
        ],
    )
    def test_is_not_there(self, path: str, reason: str) -> None:
        """A callable that is not there is an error with its path, before anything is read."""
        with pytest.raises(SecretsError) as caught:
            choose("A", path=path)
        assert caught.value.message == f"the generator {path} cannot be used: {reason}"

    @pytest.mark.parametrize("line", ["raise ValueError(MARK)", "raise SystemExit(MARK)", "x = ("])
    def test_module_that_cannot_be_imported(self, maker: Any, line: str) -> None:
        """Of a module that fails only the type of the error is shown."""
        path = maker(f"{line}\ndef make(): pass")
        with pytest.raises(SecretsError, match="cannot be used: ") as caught:
            choose("A", path=path)
        _shows_nothing(caught.value)


def _error_of(path: str) -> SecretsError:
    with pytest.raises(SecretsError) as caught:
        choose("A", path=path).make()
    _shows_nothing(caught.value)
    return caught.value


def _shows_nothing(error: SecretsError) -> None:
    """Neither the error, nor what it came from, nor a variable of our frames has the value."""
    assert error.__context__ is error.__cause__ is None
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    ours = shown[shown.index(generators.__file__) :]
    assert MARK not in ours
