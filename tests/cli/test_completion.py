"""`completion SHELL`: as the page of the command says it, in real shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_kms_secrets.cli.main import VERBS

from .doors import environment, inside, on_terminal

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command.md"


@pytest.fixture
def shell(tmp_path):
    """A home in which all was done that the page says for bash."""
    section = PAGE.read_text("utf-8").split("## Shell completion")[1].split("For zsh")[0]
    lines, command = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    home = tmp_path / "shell"
    home.mkdir()
    bin_of_python = str(Path(sys.executable).parent)
    env = environment(
        HOME=str(home),
        PATH=os.pathsep.join([bin_of_python, os.environ["PATH"]]),
        TERM="dumb",
        PS1="ready> ",
        INPUTRC="/dev/null",
    )
    run = ["bash", "-ec", command.removeprefix("$ ")]
    subprocess.run(run, env=env, cwd=home, check=True)
    (home / ".bashrc").write_text(f"{lines}PS1='ready> '\n")
    # What stands in the place of manage.py shows what it is called with, and that it is only then.
    (home / "manage.py").write_text("import sys; print('called:', *sys.argv[1:])\n")
    return home, env


TYPED = pytest.mark.parametrize(
    "typed, called",
    [
        ("secrets rollb\tX", "called: secrets rollback X"),
        ("secrets rotate A --prom\t", "called: secrets rotate A --promote"),
        ("secrets getall --for django-e\t", "called: secrets getall --for django-environ"),
        ("secrets policy wri\t", "called: secrets policy writer"),
        ("secrets putall mana\t", "called: secrets putall manage.py"),
        ("secrets --u\t", "called: secrets --url"),
        ("secrets --url mana\t", "called: secrets --url manage.py"),
        ("secrets --url file:///x li\t", "called: secrets --url file:///x list"),
        ("secrets --url=x:y rotate A --prom\t", "called: secrets --url=x:y rotate A --promote"),
        ("secrets list --format=j\t", "called: secrets list --format=json"),
        ("secrets policy --url x wri\t", "called: secrets policy --url x writer"),
        ("secrets run -- gunicorn --ur\tX", "called: secrets run -- gunicorn --urX"),
        ("secrets run -- gunicorn mana\t", "called: secrets run -- gunicorn manage.py"),
    ],
)


@TYPED
def test_a_tab_in_bash(shell, typed, called):
    """A verb, an option, a choice of an option or of an argument; else the name of a file.

    So it is after `--url`, too, and with `=`. Behind `--` is the command of another program.
    """
    assert called in called_by("bash", shell, typed)


@TYPED
def test_a_tab_in_zsh(shell, typed, called):
    """The same lines after compinit, and the script for zsh in the place of that for bash."""
    home, env = shell
    script = home / ".secrets-completion.bash"
    script.write_text(inside("module", "", ["completion", "zsh"]).out)
    lines = (home / ".bashrc").read_text()
    (home / ".zshrc").write_text(f"autoload -U compinit && compinit -u\n{lines}")
    assert called in called_by("zsh", (home, env), typed)


@pytest.mark.parametrize(
    "typed, words",
    [
        ("secrets rollb", ["rollback"]),
        ("secrets rotate A --prom", ["--promote"]),
        ("secrets list -f ", ["json", "text"]),
        ("secrets policy wri", ["writer"]),
        ("secrets --u", ["--url"]),
        ("secrets --url x li", ["list"]),
        ("secrets --url=x li", ["list"]),
        ("secrets list --format=j", ["--format=json"]),
        ("secrets --url x list -f ", ["json", "text"]),
    ],
)
def test_fish_offers(tmp_path, typed, words):
    """What a verb, an option and a choice may be, with the line that the page has for fish."""
    script = tmp_path / "secrets.fish"
    script.write_text(inside("module", "", ["completion", "fish"]).out)
    [line] = re.findall(r"```fish\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    command = f"begin; {line}end >/dev/null; or exit 1; source {script}; complete -C '{typed}'"
    env = environment(HOME=str(tmp_path), PATH=os.environ["PATH"])
    done = subprocess.run(["fish", "-c", command], env=env, check=True, capture_output=True)
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()] == words


def called_by(program, shell, typed):
    """The lines on a terminal in which the shell called what stands in for manage.py."""
    home, env = shell
    answers = [("ready> ", f"{typed}\n"), ("called: ", "exit\n")]
    done = on_terminal(["/usr/bin/env", program, "-i"], answers, cwd=home, env=env, pipe=False)
    return [line.rstrip() for line in done.screen.splitlines()]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_verb_is_in_it(name):
    """Without a store: it asks nothing of one."""
    done = inside("module", "", ["completion", name]).ok()
    words = set(re.findall(r"[\w-]+", done.out))
    assert {*VERBS, "push", "pull"} <= words
    assert done.err == ""


def test_nothing_is_started(monkeypatch):
    """The script runs no program: what a shell sources has only words and its own commands."""
    script = inside("module", "", ["completion", "bash"]).out
    assert "python" not in script.replace("python-dotenv", "")
    assert re.findall(r"\$\((\w+)", script) == ["compgen"]


def test_the_script_for_zsh_is_that_for_bash():
    """After the module of zsh that takes it."""
    bash, zsh = (inside("module", "", ["completion", name]).out for name in ("bash", "zsh"))
    assert zsh == f"autoload -U +X bashcompinit && bashcompinit\n{bash}"


def test_another_shell_is_refused():
    assert "choose from" in inside("module", "", ["completion", "tcsh"]).refused()
