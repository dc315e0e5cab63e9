"""What the admin hangs the page on: a permission, and an entry in its index."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class _NoRows(models.Manager["StoredSecret"]):
    """Without a query, which would fail for want of a table: `dumpdata` asks every model."""

    def get_queryset(self) -> models.QuerySet[StoredSecret]:
        found: models.QuerySet[StoredSecret] = super().get_queryset().none()
        return found


class StoredSecret(models.Model):
    """No table and no rows: what the page lists comes from the stores."""

    # Without it there would be an id, whose type is the site's choice and would need a migration.
    name: models.CharField[str, str] = models.CharField(max_length=255, primary_key=True)

    objects: ClassVar[models.Manager[StoredSecret]] = _NoRows()

    class Meta:
        managed: ClassVar[bool] = False
        default_permissions: ClassVar[tuple[str, ...]] = ("view",)
        verbose_name: ClassVar[str] = "stored secret"
        base_manager_name: ClassVar[str] = "objects"

    def __str__(self) -> str:
        return self.name
