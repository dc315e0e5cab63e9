"""The page: a list to look at, of which nothing can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.template.response import TemplateResponse

from .models import StoredSecret
from .report import LIFETIME, Cache

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    _ModelAdmin = admin.ModelAdmin[StoredSecret]
else:
    _ModelAdmin = admin.ModelAdmin

#: How many names a page has.
PER_PAGE = 100

cache: Cache = Cache()


@admin.register(StoredSecret)
class StoredSecretAdmin(_ModelAdmin):
    """The list in the place of the model's; there are no other pages of it."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Of the admin's own addresses that of the list, which asks for a login and is not kept."""
        return [url for url in super().get_urls() if str(url.name).endswith("_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The list. A store that cannot be asked is what the page tells then: its status is 200."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        report = cache.report()
        wanted = request.GET.get("q", "").strip()
        only_findings = "findings" in request.GET
        rows = [
            row
            for row in report.rows
            if wanted.casefold() in row.name.casefold() and (row.findings or not only_findings)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Stored secrets",
            "report": report,
            "lifetime": int(LIFETIME),
            "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("p")),
            "wanted": wanted,
            "only_findings": only_findings,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "kms_secrets_admin/stored_secrets.html", context)
