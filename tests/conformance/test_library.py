"""The sealing of credstash against ours, for more values than its command line has time for."""

from __future__ import annotations

import credstash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_kms_secrets.envelope import DIGESTS, decode, encode, seal, unseal
from django_kms_secrets.exceptions import SecretIntegrityError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
data_keys = st.binary(min_size=64, max_size=64)
digests = st.sampled_from(DIGESTS)


class KeyService:
    """What credstash asks for a data key, with an answer that is known."""

    def __init__(self, data_key: bytes) -> None:
        self.data_key = data_key

    def generate_key_data(self, size: int) -> tuple[bytes, bytes]:
        assert size == 64
        return self.data_key, b"blob"

    def decrypt(self, blob: bytes) -> bytes:
        assert blob == b"blob"
        return self.data_key


@given(text=texts, data_key=data_keys, digest=digests)
@settings(deadline=None)
def test_what_credstash_seals_we_open(text, data_key, digest):
    item = credstash.seal_aes_ctr_legacy(KeyService(data_key), text, digest_method=digest)
    assert unseal(decode(item), data_key=data_key) == text.encode()


@given(text=texts, data_key=data_keys, digest=digests)
@settings(deadline=None)
def test_what_we_seal_credstash_opens_and_would_have_sealed_alike(text, data_key, digest):
    record = seal(text.encode(), data_key=data_key, encrypted_key=b"blob", digest=digest)
    assert credstash.open_aes_ctr_legacy(KeyService(data_key), encode(record)) == text
    assert encode(record) == credstash.seal_aes_ctr_legacy(
        KeyService(data_key), text, digest_method=digest
    )


@given(text=texts.filter(bool), data_key=data_keys, digest=digests, bit=st.integers(0))
@settings(deadline=None)
def test_what_was_changed_neither_opens(text, data_key, digest, bit):
    record = seal(text.encode(), data_key=data_key, encrypted_key=b"blob", digest=digest)
    contents = bytearray(record.contents)
    contents[bit // 8 % len(contents)] ^= 1 << bit % 8
    changed = type(record)(record.key, bytes(contents), record.tag, record.digest)
    with pytest.raises(credstash.IntegrityError):
        credstash.open_aes_ctr_legacy(KeyService(data_key), encode(changed))
    with pytest.raises(SecretIntegrityError):
        unseal(changed, data_key=data_key)


def test_both_pad_a_version_alike():
    from django_kms_secrets.backends.credstash.versions import padded

    for version in ("0", "1", "7", "abc", "1" * 19, "1" * 20):
        assert padded(version) == credstash.paddedInt(version)


def test_both_know_the_same_digests():
    assert set(DIGESTS) == set(credstash.HASHING_ALGORITHMS)
