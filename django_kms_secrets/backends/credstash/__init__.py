"""Secrets in a CredStash table: DynamoDB holds the records, KMS their data keys."""

from .store import CredStashStore

__all__ = ["CredStashStore"]
