"""The pytest plugin as the tests of a Django project see it: found by pytest itself."""

from __future__ import annotations

import sys

import pytest

from django_kms_secrets import load

SETTINGS = """
from django_kms_secrets import load

secrets = load()
SECRET_KEY = secrets["SECRET_KEY"]
API_KEY = secrets["API_KEY"]
USE_TZ = True
"""

INI = """
[pytest]
DJANGO_SETTINGS_MODULE = settings
addopts = -p no:cacheprovider --strict-markers
filterwarnings = error
"""

REAL = "credstash://some-table?region_name=eu-west-1"


@pytest.fixture
def project(pytester, monkeypatch):
    """A Django project, in offline mode, with a key pair that is made up."""
    pytester.makepyfile(settings=SETTINGS)
    pytester.makeini(INI)
    monkeypatch.setenv("KMS_SECRETS_OFFLINE", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    return pytester


def test_the_fixtures_here(override_secrets, secrets_store):
    """They are there for our own tests as well."""
    secrets_store.put("KEY", "stored")
    secrets = load(secrets_store.url)
    assert secrets["KEY"] == "stored"
    override_secrets(KEY="given")
    assert secrets["KEY"] == "given"


def test_the_fixtures(project):
    """Values last to the end of the test, in pytest's tests and in Django's; a store is empty."""
    project.makepyfile(
        """
        import pytest
        from django.conf import settings
        from django.test import SimpleTestCase

        import settings as module
        from django_kms_secrets import load
        from django_kms_secrets.testing import override_secrets as overridden

        @pytest.mark.parametrize("value", ["one", "two"])
        def test_override(value, override_secrets):
            assert "API_KEY" not in module.secrets
            override_secrets(API_KEY=value)
            assert module.secrets["API_KEY"] == value
            assert "SecretStr" in repr(module.secrets["API_KEY"])
            override_secrets(API_KEY=None)
            assert "API_KEY" not in module.secrets

        def test_one(override_secrets, monkeypatch):
            other = load()
            override_secrets(other, API_KEY="given")
            assert other["API_KEY"] == "given"
            assert module.secrets["API_KEY"] == ""

        @pytest.mark.parametrize("again", [False, True])
        def test_store(again, secrets_store, monkeypatch):
            monkeypatch.delenv("KMS_SECRETS_OFFLINE")
            assert list(load(secrets_store.url)) == []
            secrets_store.put("API_KEY", "hunter2")
            assert load(secrets_store.url)["API_KEY"] == "hunter2"

        @overridden(SECRET_KEY="given", API_KEY="given")
        class Case(SimpleTestCase):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                assert module.secrets["API_KEY"] == "given"

            def test_case(self):
                assert module.secrets["SECRET_KEY"] == "given"
                assert settings.API_KEY == ""  # it was read before

            async def test_async(self):
                assert module.secrets["API_KEY"] == "given"

        def test_afterwards():
            assert "API_KEY" not in module.secrets
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=8)


GUARDED = f"""
    import pytest
    from django_kms_secrets import load

    @pytest.fixture
    def read(monkeypatch):
        monkeypatch.delenv("KMS_SECRETS_OFFLINE")
        # Where the guard lets a request pass, it finds nobody.
        monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("it was sent"))
        secrets = load("{REAL}")
        def read():
            try:
                secrets.get("API_KEY")
            except Exception:
                pass
        return read

    def test_plain(read):
        read()

    @pytest.mark.kms_secrets_allow_aws
    def test_marked(read):
        read()

    def test_plain_again(read):
        read()
"""


def test_the_guard(project):
    """With the option, a test that would reach AWS fails by name, unless it is marked."""
    project.makepyfile(test_it=GUARDED)
    project.makeini(f"{INI}kms_secrets_no_aws = true\n")
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E *WouldReachAWS: test_it.py::test_plain would reach AWS: "
            "Scan of some-table at https://dynamodb.eu-west-1.amazonaws.com",
            "E *hint: *@pytest.mark.kms_secrets_allow_aws*",
            "E *it was sent",
            "E *WouldReachAWS: test_it.py::test_plain_again would reach AWS: *",
        ]
    )


def test_the_guard_of_a_conftest(pytester, monkeypatch):
    """Where pytest looks for no plugins, a conftest may name this one."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest('pytest_plugins = ["django_kms_secrets.pytest_plugin"]')
    pytester.makeini("[pytest]\nkms_secrets_no_aws = true\n")
    pytester.makepyfile(
        """
        from django_kms_secrets import aws

        def test_it():
            assert aws.guard
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_there_is_no_guard_unasked(project):
    """Who only has the package installed is left alone."""
    project.makepyfile(test_it=GUARDED)
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=3)
    result.stdout.no_fnmatch_line("*WouldReachAWS*")


def test_settings_are_guarded_too(project, monkeypatch):
    """With the option, settings that would read AWS as they are imported end the run."""
    monkeypatch.delenv("KMS_SECRETS_OFFLINE")
    monkeypatch.setenv("KMS_SECRETS_URL", REAL)
    project.makepyfile("def test_it(): pass")
    project.makeini(f"{INI}kms_secrets_no_aws = true\n")
    result = project.runpytest_subprocess()
    assert result.ret != 0
    assert "would reach AWS: Scan of some-table" in result.stderr.str() + result.stdout.str()
    result.stdout.no_fnmatch_line("*passed*")


def test_it_costs_nothing(pytester):
    """Where nothing of it is used, neither Django nor a module of ours is imported."""
    pytester.makepyfile(
        """
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("kms_secrets")
            found = {name for name in sys.modules if name.startswith(("django.", "boto"))}
            assert not found
            ours = {name for name in sys.modules if name.startswith("django_kms_secrets.")}
            assert ours == {"django_kms_secrets._version", "django_kms_secrets.pytest_plugin"}
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:django", "-W", "error")
    result.assert_outcomes(passed=1)


def test_settings_may_come_first(pytester):
    """A program that imports settings and starts pytest itself is not warned of the plugin."""
    pytester.makepyfile("def test_it(): pass")
    program = "import sys, django_kms_secrets, pytest; sys.exit(pytest.main(['-W', 'error']))"
    done = pytester.run(sys.executable, "-c", program)
    assert done.ret == 0
