"""Secrets in AWS Secrets Manager: one JSON document, or one secret per name."""

from .store import SecretsManagerStore

__all__ = ["SecretsManagerStore"]
