"""The page in the admin that lists the secrets."""

from __future__ import annotations

import io
import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.urls import NoReverseMatch, path, reverse

from django_kms_secrets import StoreUnavailable, load, loader
from django_kms_secrets.backends.locmem import _STORES, LocMemStore
from django_kms_secrets.contrib.admin.admin import StoredSecretAdmin, cache
from django_kms_secrets.contrib.admin.models import StoredSecret
from django_kms_secrets.contrib.admin.report import Cache

pytestmark = pytest.mark.django_db

PAGE = "/admin/kms_secrets_admin/storedsecret/"
VALUE = "a value that nobody may see"
HOSTILE = "<script>alert(1)</script>&\"'{{ 7 }}"


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    """A store with a few names, and what reads it."""
    monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
    monkeypatch.setattr(cache, "report", Cache().report)
    _STORES.clear()
    store().put_many({"API_KEY": VALUE, "SECRET_KEY": VALUE, HOSTILE: VALUE})
    found = load({"BACKEND": "django_kms_secrets.backends.locmem.LocMemStore"})
    yield found
    _STORES.clear()


def store():
    return LocMemStore()


def allow(user):
    user.user_permissions.add(Permission.objects.get(codename="view_storedsecret"))


def names(response):
    """Each is isolated: one that turns the direction of writing cannot turn its row around."""
    return re.findall(r'<th scope="row"><bdi>(.*?)</bdi></th>', response.text)


class TestWhoSeesIt:
    def test_anonymous(self, client):
        """Nobody in particular is asked to log in, and comes back here."""
        response = client.get(PAGE)
        assert response.status_code == 302
        assert response.url == f"/admin/login/?next={PAGE}"

    def test_not_staff(self, client, author):
        """The permission is not enough: it is a page of the admin."""
        allow(author)
        client.force_login(author)
        assert client.get(PAGE).status_code == 302

    def test_staff_without_the_permission(self, client, staff):
        """They see neither the page nor that it is there."""
        client.force_login(staff)
        response = client.get(PAGE)
        assert response.status_code == 403
        assert "API_KEY" not in response.text
        assert PAGE not in client.get("/admin/").text
        assert client.get("/admin/kms_secrets_admin/").status_code == 404

    def test_staff_with_the_permission(self, client, staff):
        """It is in the index of the admin, as something to view."""
        allow(staff)
        client.force_login(staff)
        assert PAGE in client.get("/admin/").text
        assert PAGE in client.get("/admin/kms_secrets_admin/").text
        assert "API_KEY" in client.get(PAGE).text

    def test_there_is_no_other_permission(self):
        """Nobody can be allowed to change what cannot be changed."""
        found = Permission.objects.filter(content_type__app_label="kms_secrets_admin")
        assert [one.codename for one in found] == ["view_storedsecret"]


class TestReadOnly:
    @pytest.mark.parametrize("ending", ["add/", "API_KEY/change/", "API_KEY/delete/"])
    def test_no_other_address(self, admin_client, ending):
        """There is no page that adds, changes or deletes, for a superuser either."""
        assert admin_client.get(PAGE + ending).status_code == 404

    @pytest.mark.parametrize("name", ["add", "change", "delete", "history"])
    def test_no_other_name(self, name):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:kms_secrets_admin_storedsecret_{name}", args=["A"][: name != "add"])

    def test_no_table(self):
        """The app has no table of its own."""
        assert StoredSecret._meta.db_table not in connection.introspection.table_names()

    @pytest.mark.parametrize("every", [False, True])
    def test_the_database_can_be_dumped(self, every):
        """`dumpdata` of a site does not fail for want of the table, and has nothing of it."""
        call_command(
            "dumpdata", "kms_secrets_admin", use_base_manager=every, stdout=(out := io.StringIO())
        )
        assert out.getvalue().strip() == "[]"

    def test_nothing_of_it_can_be_viewed_on_site(self, admin_client):
        """The admin's address for that says that there is none, where the table would be asked."""
        content_type = ContentType.objects.get_for_model(StoredSecret)
        assert admin_client.get(f"/admin/r/{content_type.pk}/API_KEY/").status_code == 404


class TestThePage:
    def test_no_value(self, admin_client, secrets, caplog):
        """No value is in the page or in a log, whatever has been read before."""
        assert secrets["API_KEY"] == VALUE
        caplog.set_level("DEBUG")
        response = admin_client.get(PAGE)
        assert "API_KEY" in response.text
        assert VALUE not in response.text
        assert VALUE not in caplog.text

    def test_names_are_text(self, admin_client):
        """A name cannot bring in tags or template code."""
        response = admin_client.get(PAGE, {"q": "<script>alert"})
        assert names(response) == ["&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;{{ 7 }}"]
        assert "<script>alert" not in response.text

    def test_what_is_searched_for_is_text(self, admin_client):
        """What stands in the address cannot bring in tags either."""
        response = admin_client.get(PAGE, {"q": '"><script>alert(1)'})
        assert "<script>alert" not in response.text
        assert 'value="&quot;&gt;&lt;script&gt;alert(1)"' in response.text

    def test_nothing_keeps_it(self, admin_client):
        """Neither a browser nor a proxy is to keep the page."""
        header = admin_client.get(PAGE)["Cache-Control"]
        assert {"no-store", "private"} <= {part.strip() for part in header.split(",")}

    def test_a_row(self, admin_client):
        """A rotation and a finding are told in words."""
        store().stage("API_KEY", "another one")
        response = admin_client.get(PAGE, {"q": "API_KEY"})
        _, _, table = response.text.partition("<caption>Stored secrets: 1</caption>")
        cells = re.findall(r"<td>(.*?)</td>", table)
        assert cells == [
            "memory store default",
            "1",
            "not recorded",
            "never",
            "a new value is pending, in version 2: promote or abandon it",
            "never rotated",
        ]

    def test_search(self, admin_client):
        """Names are found by a part of them, in whatever case; what is found can be nothing."""
        assert names(admin_client.get(PAGE, {"q": " key"})) == ["API_KEY", "SECRET_KEY"]
        assert names(admin_client.get(PAGE, {"q": "secret_"})) == ["SECRET_KEY"]
        assert "No name to show." in admin_client.get(PAGE, {"q": "nothing"}).text

    def test_only_with_findings(self, admin_client):
        """What is all right can be left out."""
        store().rotate("SECRET_KEY", "another", expected="1")
        response = admin_client.get(PAGE, {"q": "key", "findings": "1"})
        assert names(response) == ["API_KEY"]
        assert 'value="1" checked' in response.text

    def test_pages(self, admin_client):
        """A hundred names a page, of a store with five thousand; links keep the search."""
        store().put_many({f"NAME_{number:04}": "x" for number in range(5000)})
        response = admin_client.get(PAGE, {"q": "NAME"})
        assert names(response) == [f"NAME_{number:04}" for number in range(100)]
        assert "Page 1 of 50" in response.text
        (link,) = re.findall(r'<a href="(\S+)" rel="next">', response.text)
        following = admin_client.get(PAGE + link.replace("&amp;", "&"))
        assert names(following)[0] == "NAME_0100"
        assert names(admin_client.get(PAGE, {"q": "NAME", "p": "9999"}))[-1] == "NAME_4999"
        assert names(admin_client.get(PAGE, {"q": "NAME", "p": "x"}))[0] == "NAME_0000"

    def test_structure(self, admin_client):
        """A language, a title, one heading, a table with a caption and heads, labelled fields."""
        text = admin_client.get(PAGE).text
        assert '<html lang="en' in text
        assert re.search(r"<title>\s*Stored secrets \|", text)
        assert len(re.findall(r"<h1\b", text)) == 1
        _, _, table = text.partition("<caption>Stored secrets: 3</caption>")
        assert table.count('<th scope="col">') == 7
        for field, label in (("wanted", "Part of a name"), ("findings", "Only with findings")):
            assert text.count(f'id="{field}"') == 1
            assert f'<label for="{field}">{label}</label>' in text

    def test_another_language(self, admin_client):
        """The page is English, and says so, where the admin around it is in another language."""
        with override_settings(LANGUAGE_CODE="de"):
            text = admin_client.get(PAGE).text
        assert '<html lang="de"' in text
        assert '<h1 lang="en">Stored secrets</h1>' in text
        assert '<div id="content-main" lang="en">' in text

    def test_few_queries(self, admin_client, django_assert_max_num_queries):
        """The database is asked for the session and the user."""
        with django_assert_max_num_queries(2):
            admin_client.get(PAGE)


class TestTrouble:
    @pytest.mark.parametrize("debug", [False, True])
    def test_a_store_that_is_out(self, admin_client, monkeypatch, settings, secrets, debug):
        """What is wrong stands on the page, with what to do; it is no page of errors."""
        assert secrets["API_KEY"] == VALUE

        def refuse(store):
            raise StoreUnavailable(f"no answer about {VALUE}", hint="<b>wait</b>")

        monkeypatch.setattr(LocMemStore, "list_secrets", refuse)
        settings.DEBUG = debug
        response = admin_client.get(PAGE)
        assert response.status_code == 200
        assert "Error: no answer about **********" in response.text
        assert "&lt;b&gt;wait&lt;/b&gt;" in response.text
        assert VALUE not in response.text
        assert "No name to show." in response.text

    def test_no_store(self, admin_client, monkeypatch):
        """A process that reads nothing says so."""
        monkeypatch.setattr(loader, "_LIVING", type(loader._LIVING)())
        assert "This process reads no store" in admin_client.get(PAGE).text


own_site = admin.AdminSite(name="own")
own_site.register(StoredSecret, StoredSecretAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("own/", own_site.urls)]


class TestTheApp:
    def test_a_site_of_ones_own(self, admin_client):
        """It can be registered with another AdminSite, whose links it then has."""
        with override_settings(ROOT_URLCONF=__name__):
            response = admin_client.get("/own/kms_secrets_admin/storedsecret/")
        assert "API_KEY" in response.text
        assert 'href="/own/"' in response.text
        assert 'href="/admin/"' not in response.text

    @pytest.mark.parametrize(
        "auto_field", ["django.db.models.AutoField", "django.db.models.BigAutoField"]
    )
    def test_no_migration_is_missing(self, settings, auto_field):
        """A site's DEFAULT_AUTO_FIELD changes nothing about the app."""
        settings.DEFAULT_AUTO_FIELD = auto_field
        out = io.StringIO()
        call_command("makemigrations", "kms_secrets_admin", check=True, dry_run=True, stdout=out)
        assert "No changes detected" in out.getvalue()

    def test_no_check_complains(self):
        """Neither the model nor its admin has anything to mend."""
        config = apps.get_app_config("kms_secrets_admin")
        out = io.StringIO()
        call_command("check", config.label, stdout=out, stderr=out, fail_level="WARNING")
        assert "no issues" in out.getvalue()
