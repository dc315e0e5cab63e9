"""The pages: reading is open to all, writing needs a login, changing needs the author."""

import logging
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.generic import CreateView, DeleteView, DetailView, ListView, UpdateView

from .forms import NoteForm, SearchForm
from .models import Note

logger = logging.getLogger(__name__)


class NoteList(ListView):
    """All notes, newest first, or those that contain the words searched for."""

    queryset = Note.objects.select_related("author")
    paginate_by = 10

    def get_queryset(self) -> QuerySet[Note]:
        self.search = SearchForm(self.request.GET)
        notes = super().get_queryset()
        if not self.search.is_valid():
            return notes.none()
        wanted = self.search.cleaned_data["q"]
        return notes.filter(Q(title__icontains=wanted) | Q(body__icontains=wanted))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(search=self.search, **kwargs)


class NoteDetail(DetailView):
    """One note."""

    queryset = Note.objects.select_related("author")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        may_change = self.object.may_be_changed_by(self.request.user)
        return super().get_context_data(may_change=may_change, **kwargs)


class NoteCreate(LoginRequiredMixin, SuccessMessageMixin, CreateView):
    """A new note, by whoever is logged in."""

    model = Note
    form_class = NoteForm
    success_message = "“%(title)s” is saved."

    def form_valid(self, form: NoteForm) -> HttpResponse:
        form.instance.author = self.request.user
        return super().form_valid(form)


class AuthorOnlyMixin(LoginRequiredMixin):
    """Shut out those who may not change the note: strangers to the login page, others by 403."""

    def get_object(self, queryset: QuerySet[Note] | None = None) -> Note:
        note = super().get_object(queryset)
        if not note.may_be_changed_by(self.request.user):
            raise PermissionDenied
        return note


class NoteUpdate(AuthorOnlyMixin, SuccessMessageMixin, UpdateView):
    """Change a note."""

    model = Note
    form_class = NoteForm
    success_message = "Your changes to “%(title)s” are saved."


class NoteDelete(AuthorOnlyMixin, SuccessMessageMixin, DeleteView):
    """Ask, and delete the note once the question is answered by POST."""

    model = Note
    success_url = reverse_lazy("notes:list")

    def get_success_message(self, cleaned_data: dict[str, Any]) -> str:
        return f"“{self.object.title}” is deleted."


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Say "ok" where the process answers and its database does."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        # The kind of error only: a driver's message can quote the connection string.
        logger.error("health check: no database (%s)", type(error).__name__)
        return HttpResponse("no database", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")
