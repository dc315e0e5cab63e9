"""The CredStash record: sealing and opening, as pure functions.

The format is that of credstash 1.17.1 (``seal_aes_ctr_legacy``): a 64 byte data key from KMS,
whose first half encrypts with AES-256-CTR and whose second half authenticates the ciphertext
with HMAC (encrypt-then-MAC). ``docs/explanation/credstash-format.md`` describes it whole.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .exceptions import SecretIntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What KMS is asked for (bytes): 32 for AES-256 and 32 for the HMAC.
DATA_KEY_BYTES = 64
DEFAULT_DIGEST = "SHA256"

# The format fixes the first counter block for every record. That is safe only because no two
# records share a data key: with a shared key the two ciphertexts would be a two-time pad, and
# XORing them would give the XOR of the plaintexts. So: one GenerateDataKey per record, always.
_FIRST_COUNTER_BLOCK = (1).to_bytes(16, "big")

# hashlib's names by the format's. "SHA1" is not credstash's spelling, but other writers use it.
_DIGESTS = {
    "SHA": "sha1",
    "SHA1": "sha1",
    "SHA224": "sha224",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
    "MD5": "md5",
}
#: The digests that may be written: those that every reader of the format knows.
DIGESTS = tuple(name for name in _DIGESTS if name != "SHA1")


class Record(NamedTuple):
    """A sealed value, as bytes.

    Attributes:
        key: the data key as KMS encrypted it.
        contents: the ciphertext.
        tag: the HMAC of ``contents``.
        digest: the name of the HMAC's digest, one of `DIGESTS` or ``SHA1``.
    """

    key: bytes
    contents: bytes
    tag: bytes
    digest: str = DEFAULT_DIGEST


def seal(
    plaintext: bytes, *, data_key: bytes, encrypted_key: bytes, digest: str = DEFAULT_DIGEST
) -> Record:
    """Seal one value under a data key that seals nothing else.

    Args:
        plaintext: the value, UTF-8.
        data_key: 64 bytes from KMS, used for this record only.
        encrypted_key: the same key as KMS encrypted it.
        digest: one of `DIGESTS`.

    Returns:
        The record to store.
    """
    cipher_key, tag_key = _halves(data_key)
    contents = _aes_ctr(cipher_key, plaintext)
    return Record(encrypted_key, contents, _tag(tag_key, contents, digest), digest)


def unseal(record: Record, *, data_key: bytes) -> bytes:
    """Verify a record, in constant time, and only then decrypt it.

    Args:
        record: the record as stored.
        data_key: the record's data key as KMS decrypted it.

    Returns:
        The plaintext.

    Raises:
        SecretIntegrityError: the record is not what was sealed under this key.
    """
    cipher_key, tag_key = _halves(data_key)
    if not hmac.compare_digest(_tag(tag_key, record.contents, record.digest), record.tag):
        raise SecretIntegrityError("the stored HMAC does not match the stored contents")
    return _aes_ctr(cipher_key, record.contents)


def encode(record: Record) -> dict[str, str | bytes]:
    """Write a record as the attributes of a DynamoDB item.

    Returns:
        ``key`` and ``contents`` as base64 text, ``hmac`` as the bytes of lowercase hex, ``digest``
        as text: what credstash 1.17.1 under Python 3 writes, and every known reader accepts.
    """
    return {
        "key": base64.b64encode(record.key).decode("ascii"),
        "contents": base64.b64encode(record.contents).decode("ascii"),
        "hmac": record.tag.hex().encode("ascii"),
        "digest": record.digest,
    }


def decode(attributes: Mapping[str, object]) -> Record:
    """Read a record from the attributes of a DynamoDB item, as tolerant as the format's writers.

    ``hmac`` may be text (Python 2 wrote it so) or bytes, hex of either case; ``digest`` may be
    absent (before credstash 1.12); base64 may hold line breaks; other attributes are ignored.

    Raises:
        SecretIntegrityError: an attribute is missing, or not what the format says.
    """
    digest = attributes.get("digest", DEFAULT_DIGEST)
    if not isinstance(digest, str) or digest not in _DIGESTS:
        raise SecretIntegrityError(f"its digest is none of {', '.join(_DIGESTS)}")
    return Record(
        key=_base64(attributes, "key"),
        contents=_base64(attributes, "contents"),
        tag=_hex(attributes, "hmac"),
        digest=digest,
    )


def _halves(data_key: bytes) -> tuple[bytes, bytes]:
    if len(data_key) != DATA_KEY_BYTES:
        raise SecretIntegrityError(f"its data key is not {DATA_KEY_BYTES} bytes long")
    half = DATA_KEY_BYTES // 2
    # The halves keep the type, so a masked key stays masked in a traceback's frames.
    return type(data_key)(data_key[:half]), type(data_key)(data_key[half:])


def _aes_ctr(key: bytes, data: bytes) -> bytes:
    # CTR is its own inverse, so one function encrypts and decrypts.
    encryptor = Cipher(algorithms.AES(key), modes.CTR(_FIRST_COUNTER_BLOCK)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _tag(key: bytes, contents: bytes, digest: str) -> bytes:
    return hmac.digest(key, contents, _DIGESTS[digest])


def _base64(attributes: Mapping[str, object], name: str) -> bytes:
    text = attributes.get(name)
    if not isinstance(text, str):
        raise SecretIntegrityError(f"its attribute {name!r} is missing or is not text")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        pass
    raise SecretIntegrityError(f"its attribute {name!r} is not base64")


def _hex(attributes: Mapping[str, object], name: str) -> bytes:
    value = attributes.get(name)
    try:
        if isinstance(value, bytes):
            return binascii.unhexlify(value)
        if isinstance(value, str):
            return binascii.unhexlify(value.encode("ascii"))
    except ValueError:
        pass
    raise SecretIntegrityError(f"its attribute {name!r} is missing or is not hex")
