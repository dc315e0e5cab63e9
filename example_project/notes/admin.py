"""Notes in Django's own back office."""

from django.contrib import admin

from .models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """Find a note by its words, its author or its date."""

    list_display = ["title", "author", "created", "updated"]
    list_select_related = ["author"]
    list_filter = ["created"]
    search_fields = ["title", "body", "author__username"]
    autocomplete_fields = ["author"]
