"""What is stored."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.urls import reverse


class Note(models.Model):
    """A short text with an author."""

    title = models.CharField(max_length=120)
    body = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes"
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        # The key settles the order of notes made in the same instant: pages must not overlap.
        ordering = ["-created", "-pk"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("notes:detail", args=[self.pk])

    @property
    def was_edited(self) -> bool:
        """Whether it was saved again. Both moments are set in one save, microseconds apart."""
        return self.updated - self.created > timedelta(seconds=1)

    def may_be_changed_by(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        """Whether `user` may edit and delete this note: its author may, and staff may."""
        return user.is_staff or user.pk == self.author_id
