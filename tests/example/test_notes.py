"""What the site promises its readers and its writers."""

from __future__ import annotations

import pytest
from django.urls import reverse
from notes.models import Note

pytestmark = pytest.mark.django_db

LIST, CREATE = "/", "/notes/new/"


def add_notes(author, count: int) -> None:
    for number in range(1, count + 1):
        Note.objects.create(title=f"Note {number:02}", body="Words.", author=author)


class TestReading:
    def test_list_is_open(self, client, note):
        """Anyone sees the notes, with their authors."""
        response = client.get(LIST)
        assert list(response.context["note_list"]) == [note]
        assert "Bread" in response.text
        assert "author" in response.text

    def test_list_without_notes(self, client):
        """An empty site says so, and how to begin."""
        response = client.get(LIST)
        assert "Nobody has written a note yet." in response.text
        assert f'href="{CREATE}"' in response.text

    def test_newest_first(self, client, author):
        """The last note written is the first one read, also among notes of one instant."""
        add_notes(author, 3)
        Note.objects.update(created=Note.objects.last().created)
        titles = [str(note) for note in client.get(LIST).context["note_list"]]
        assert titles == ["Note 03", "Note 02", "Note 01"]

    def test_pages(self, client, author):
        """Ten notes make a page; every note is on exactly one."""
        add_notes(author, 21)
        pages = [client.get(LIST, {"page": number}) for number in (1, 2, 3)]
        assert [len(page.context["note_list"]) for page in pages] == [10, 10, 1]
        assert len({note.pk for page in pages for note in page.context["note_list"]}) == 21
        assert "Page 2 of 3" in pages[1].text
        assert "Newer" not in pages[0].text
        assert "Older" not in pages[2].text

    @pytest.mark.parametrize("number", ["0", "2", "none"])
    def test_no_such_page(self, client, note, number):
        """A page that is not there is a 404, never an error."""
        assert client.get(LIST, {"page": number}).status_code == 404

    def test_list_asks_the_database_a_fixed_number_of_times(
        self, client, author, django_assert_num_queries
    ):
        """More notes do not mean more queries: one counts them, one fetches them."""
        add_notes(author, 20)
        with django_assert_num_queries(2):
            client.get(LIST)

    def test_detail_is_open(self, client, note):
        """Anyone reads a note; its paragraphs are kept."""
        response = client.get(note.get_absolute_url())
        assert "<p>Flour, water, salt.</p>" in response.text
        assert "<p>Time.</p>" in response.text

    def test_what_people_write_is_text(self, client, author):
        """Markup in a note is shown, never obeyed."""
        script = "<script>alert(1)</script>"
        note = Note.objects.create(title=script, body=script, author=author)
        for url in (LIST, note.get_absolute_url()):
            assert "<script" not in client.get(url).text

    def test_edited_is_said_only_when_it_was(self, client, note):
        """A note shows when it was edited, and is silent when it never was."""
        assert "edited" not in client.get(note.get_absolute_url()).text
        Note.objects.update(created=note.created.replace(year=2020))
        assert "edited" in client.get(note.get_absolute_url()).text

    def test_missing_note(self, client):
        """An unknown number gives the site's own page for it."""
        response = client.get("/notes/404/")
        assert response.status_code == 404
        assert "There is no such page" in response.text


class TestSearch:
    @pytest.mark.parametrize("words", ["bread", "WATER", "  salt  "])
    def test_finds_titles_and_texts(self, client, note, stranger, words):
        """Both the title and the text are searched, whatever the case."""
        Note.objects.create(title="Other", body="Nothing alike.", author=stranger)
        assert list(client.get(LIST, {"q": words}).context["note_list"]) == [note]

    def test_finds_nothing(self, client, note):
        """A search without a result says so and leads back."""
        response = client.get(LIST, {"q": "rye"})
        assert not response.context["note_list"]
        assert "No note contains that." in response.text

    def test_paging_keeps_the_search(self, client, author):
        """The link to the next page searches on."""
        add_notes(author, 11)
        assert 'href="?q=words&amp;page=2"' in client.get(LIST, {"q": "words"}).text

    @pytest.mark.parametrize("words", ["\0", "x" * 101])
    def test_odd_input(self, client, note, words):
        """Input the database could choke on is an error by the box, and finds nothing."""
        response = client.get(LIST, {"q": words})
        assert response.status_code == 200
        assert response.context["search"].errors
        assert not response.context["note_list"]


class TestWriting:
    def test_create(self, client, author):
        """Whoever is logged in writes a note, becomes its author and is told that it is saved."""
        client.force_login(author)
        response = client.post(CREATE, {"title": "Soup", "body": "Leeks."}, follow=True)
        note = Note.objects.get()
        assert (note.title, note.body, note.author) == ("Soup", "Leeks.", author)
        assert response.redirect_chain == [(note.get_absolute_url(), 302)]
        assert "“Soup” is saved." in response.text

    def test_author_cannot_be_chosen(self, client, author, stranger):
        """A forged author field is ignored."""
        client.force_login(author)
        client.post(CREATE, {"title": "Soup", "body": "Leeks.", "author": stranger.pk})
        assert Note.objects.get().author == author

    def test_update(self, client, author, note):
        """An author changes a note."""
        client.force_login(author)
        url = reverse("notes:update", args=[note.pk])
        response = client.post(url, {"title": "Rye bread", "body": "Rye."}, follow=True)
        note.refresh_from_db()
        assert (note.title, note.body) == ("Rye bread", "Rye.")
        assert "Your changes to “Rye bread” are saved." in response.text

    def test_staff_change_a_note_and_leave_its_author(self, client, staff, author, note):
        """Staff may edit what others wrote; it stays theirs."""
        client.force_login(staff)
        url = reverse("notes:update", args=[note.pk])
        client.post(url, {"title": "Bread!", "body": "Rye."})
        note.refresh_from_db()
        assert (note.title, note.author) == ("Bread!", author)

    def test_delete(self, client, author, note):
        """Opening the page deletes nothing; answering its question does."""
        client.force_login(author)
        url = reverse("notes:delete", args=[note.pk])
        assert "Delete this note?" in client.get(url).text
        assert Note.objects.exists()
        response = client.post(url, follow=True)
        assert not Note.objects.exists()
        assert response.redirect_chain == [(LIST, 302)]
        assert "“Bread” is deleted." in response.text

    @pytest.mark.parametrize(
        ("data", "field", "complaint"),
        [
            ({"title": "", "body": "Leeks."}, "title", "This field is required."),
            ({"title": " \t", "body": "Leeks."}, "title", "This field is required."),
            ({"title": "Soup", "body": ""}, "body", "This field is required."),
            ({"title": "x" * 121, "body": "Leeks."}, "title", "at most 120 characters"),
            ({"title": "So\0up", "body": "Leeks."}, "title", "Null characters"),
        ],
    )
    def test_mistakes(self, client, author, read, data, field, complaint):
        """A mistake saves nothing, keeps what was typed, and is told at its field."""
        client.force_login(author)
        response = client.post(CREATE, data)
        page = read(response)
        assert not Note.objects.exists()
        assert complaint in response.context["form"].errors[field][0]
        assert response.context["form"].data["body"] == data["body"]
        assert page.title.startswith("Not saved: ")
        assert page.fields[field]["aria-invalid"] == "true"
        assert page.fields[field]["aria-describedby"] in page.ids


class TestWhoMay:
    WRITING = ("create", "update", "delete")

    @staticmethod
    def url(action: str, note: Note) -> str:
        return reverse(f"notes:{action}", args=[] if action == "create" else [note.pk])

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize("action", WRITING)
    def test_strangers_to_the_site_log_in_first(self, client, note, action, method):
        """Nothing is written without a login; after it people are where they were going."""
        url = self.url(action, note)
        data = {"title": "Mine", "body": "Now."} if method == "post" else None
        response = getattr(client, method)(url, data)
        assert response.status_code == 302
        assert response.url == f"{reverse('login')}?next={url}"
        assert [str(each) for each in Note.objects.all()] == ["Bread"]

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize("action", ["update", "delete"])
    def test_others_may_not(self, client, note, stranger, action, method):
        """Another user's note is out of reach: 403, and nothing has changed."""
        client.force_login(stranger)
        response = getattr(client, method)(
            self.url(action, note), {"title": "Mine", "body": "Now."}
        )
        assert response.status_code == 403
        assert "This is not yours to change" in response.text
        assert [str(each) for each in Note.objects.all()] == ["Bread"]

    @pytest.mark.parametrize(
        ("who", "sees"), [("author", True), ("staff", True), ("stranger", False), (None, False)]
    )
    def test_buttons_are_for_those_who_may(self, client, request, note, who, sees):
        """Only people who may edit and delete are offered to."""
        if who:
            client.force_login(request.getfixturevalue(who))
        text = client.get(note.get_absolute_url()).text
        assert (self.url("update", note) in text) is sees
        assert (self.url("delete", note) in text) is sees

    def test_staff_may_delete(self, client, staff, note):
        """Staff may delete what others wrote."""
        client.force_login(staff)
        client.post(self.url("delete", note))
        assert not Note.objects.exists()

    def test_forged_forms_are_refused(self, author, note):
        """A form without its token changes nothing, and the page says why."""
        from django.test import Client

        client = Client(enforce_csrf_checks=True)
        client.force_login(author)
        response = client.post(self.url("delete", note))
        assert response.status_code == 403
        assert "That form is out of date" in response.text
        assert Note.objects.exists()
