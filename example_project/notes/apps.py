"""The one app of the site."""

from django.apps import AppConfig


class NotesConfig(AppConfig):
    """Short notes that anyone may read and their authors may change."""

    name = "notes"
    default_auto_field = "django.db.models.BigAutoField"
