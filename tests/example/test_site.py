"""The site around the notes: logging in, health, pages for everyone, the command line."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"


class TestLogin:
    def test_log_in_and_out(self, client, author):
        """The right password opens the site; logging out closes it."""
        data = {"username": "author", "password": "opens-the-authors-door"}
        assert client.post(LOGIN, data).url == "/"
        assert "Log out" in client.get("/").text
        assert client.post(reverse("logout")).url == "/"
        assert "Log out" not in client.get("/").text

    def test_wrong_password(self, client, author, read):
        """A wrong password is told without saying which half was wrong."""
        response = client.post(LOGIN, {"username": "author", "password": "guess"})
        assert read(response).title.startswith("Not logged in: ")
        assert "_auth_user_id" not in client.session
        assert "guess" not in response.text

    def test_next(self, client, author):
        """After the login people go on to the page they asked for."""
        response = client.get(LOGIN, {"next": "/notes/new/"})
        assert '<input type="hidden" name="next" value="/notes/new/">' in response.text
        data = {"username": "author", "password": "opens-the-authors-door", "next": "/notes/new/"}
        assert client.post(LOGIN, data).url == "/notes/new/"

    def test_next_stays_on_the_site(self, client, author):
        """A link to the login page cannot send people to another site."""
        data = {
            "username": "author",
            "password": "opens-the-authors-door",
            "next": "https://elsewhere.example/",
        }
        assert client.post(LOGIN, data).url == "/"

    def test_logging_out_takes_a_post(self, client, author):
        """A mere link, or a prefetch of one, logs nobody out."""
        client.force_login(author)
        assert client.get(reverse("logout")).status_code == 405
        assert "Log out" in client.get("/").text


class TestHealth:
    def test_ok(self, client, django_assert_num_queries):
        """A healthy process says so after one trivial query."""
        with django_assert_num_queries(1):
            response = client.get("/healthz")
        assert (response.status_code, response.text) == (200, "ok")
        assert "no-store" in response["Cache-Control"]

    def test_head(self, client):
        """Checks that send HEAD are answered as well; nothing else is."""
        assert client.head("/healthz").status_code == 200
        assert client.post("/healthz").status_code == 405

    def test_no_database(self, client, monkeypatch, caplog):
        """Without its database the site is not healthy, and nobody reads how it is reached."""

        def refuse(*args, **kwargs):
            raise OperationalError("cannot reach postgres://user:hunter2@db/notes")

        monkeypatch.setattr(connection, "cursor", refuse)
        response = client.get("/healthz")
        assert (response.status_code, response.text) == (503, "no database")
        assert "health check: no database (OperationalError)" in caplog.text
        assert "hunter2" not in caplog.text


class TestPages:
    """Every page can be read, and used, without eyes, mouse or script."""

    @pytest.fixture
    def pages(self, client, author, stranger, note, read):
        note_url = note.get_absolute_url()
        found = [read(client.get(url)) for url in ("/", "/?q=rye", LOGIN, note_url)]
        client.force_login(author)
        found += [
            read(client.get(url))
            for url in ("/", "/notes/new/", f"{note_url}edit/", f"{note_url}delete/")
        ]
        found.append(read(client.post("/notes/new/", {})))
        found.append(read(client.get("/nowhere/"), 404))
        client.force_login(stranger)
        found.append(read(client.get(f"{note_url}edit/"), 403))
        return found

    def test_every_field_has_a_label(self, pages):
        """No field is known by its place alone; the label points at the field itself."""
        fields = [(page, field) for page in pages for field in page.fields.values()]
        assert len(fields) > 6
        assert all(field["id"] in page.labelled for page, field in fields)

    def test_structure(self, pages):
        """A page has a language, a title of its own, one heading of the first rank, landmarks."""
        for page in pages:
            assert page.lang == "en"
            assert page.title.endswith("Notes")
            for tag in ("h1", "header", "main", "footer"):
                assert page.tags.count(tag) == 1, (page.title, tag)
            assert len(page.ids) == len(set(page.ids)), page.title

    def test_no_script(self, pages):
        """The site works without JavaScript because it has none."""
        assert not any("script" in page.tags for page in pages)

    def test_server_error(self, monkeypatch, read):
        """The page for the worst case needs no database, no login and no stylesheet."""

        def fail(*args, **kwargs):
            raise RuntimeError("worst case")

        monkeypatch.setattr("notes.views.NoteList.get_queryset", fail)
        page = read(Client(raise_request_exception=False).get("/"), 500)
        assert page.title == "Something went wrong – Notes"
        assert "link" not in page.tags


class TestAdmin:
    def test_notes_are_there(self, client, note, admin_client):
        """Notes can be found and opened in the admin."""
        found = admin_client.get("/admin/notes/note/", {"q": "bread"})
        assert "Bread" in found.text
        assert admin_client.get(f"/admin/notes/note/{note.pk}/change/").status_code == 200


class TestCreateDemoUser:
    PASSWORD = "a-good-long-phrase"

    @pytest.fixture
    def run(self, monkeypatch):
        def run_command(password: str = self.PASSWORD, username: str = "demo") -> str:
            monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
            out = io.StringIO()
            call_command("create_demo_user", username, "--password-stdin", stdout=out)
            return out.getvalue().strip()

        return run_command

    def test_creates_an_ordinary_user(self, run, django_user_model):
        """The user can log in and has no rights beyond that."""
        assert run() == "demo: created"
        user = django_user_model.objects.get()
        assert user.check_password(self.PASSWORD)
        assert not user.is_staff
        assert not user.is_superuser

    def test_twice_is_once(self, run, django_user_model):
        """Running it again changes nothing: not even the stored hash, so sessions live on."""
        run()
        before = django_user_model.objects.get().password
        assert run() == "demo: nothing to do"
        assert django_user_model.objects.get().password == before

    def test_new_password(self, run, django_user_model):
        """Another password replaces the one there is."""
        run()
        assert run("another-good-phrase") == "demo: password changed"
        assert django_user_model.objects.get().check_password("another-good-phrase")

    def test_asks_without_stdin(self, monkeypatch, django_user_model):
        """Without the option it asks at the terminal."""
        monkeypatch.setattr("getpass.getpass", lambda: self.PASSWORD)
        call_command("create_demo_user", "demo", stdout=io.StringIO())
        assert django_user_model.objects.get().check_password(self.PASSWORD)

    @pytest.mark.parametrize("password", ["", "short", "1234567890", "password1"])
    def test_weak_passwords(self, run, django_user_model, password):
        """A demo on the open internet is still on the open internet."""
        with pytest.raises(CommandError, match="password: "):
            run(password)
        assert not django_user_model.objects.exists()

    def test_bad_name(self, run, django_user_model):
        """A name that could not be typed at the login page is refused."""
        with pytest.raises(CommandError, match="username: "):
            run(username="no spaces please")
        assert not django_user_model.objects.exists()

    def test_leaves_staff_alone(self, run, staff):
        """The command is no way into an account with rights."""
        with pytest.raises(CommandError, match="staff is staff"):
            run(username="staff")


def test_migrations_are_complete():
    """Every change of a model has its migration."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
