"""The credstash record: what is sealed, what is opened, and what is refused unopened."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_kms_secrets import envelope
from django_kms_secrets.envelope import DIGESTS, Record, decode, encode, seal, unseal
from django_kms_secrets.exceptions import SecretIntegrityError
from django_kms_secrets.types import SecretBytes

DATA_KEY = bytes(range(64))

# Made with credstash 1.17.1 itself, whose KMS gave DATA_KEY: plaintext, digest, contents, HMAC.
VECTORS = [
    (
        "hunter2",
        "SHA256",
        "mCgY2i/LrQ==",
        "616e8a0375ea6bafe9fa59775b40795ac225db317a21fa636c747ab2333f7755",
    ),
    (
        "",
        "SHA256",
        "",
        "f49240b78aa90e53f46106c3481e377e19696e777328b1cd6ec6061a0bd868a9",
    ),
    (  # 33 bytes are three blocks of the counter: a wrong counter shows in the last two
        "0123456789abcdef0123456789abcdef!",
        "SHA256",
        "wGxEnX6MqdKez/pTK6ZTWz6Nh+2BGbWKMJHIV3tI9P/z",
        "f3ad9f81d72dba10f3ab0b4097390b6778127a2a18d71a380afc2f436ff689e9",
    ),
    (
        "pässwörd-中文-🔑",
        "SHA512",
        "gJ7S3TnOXFPUkrbV8G/Qq4mRRUEhvQ==",
        "c06583df289d07e165f775cf29e3689c277ebb15d267b1a2590b3d2e98a23710"
        "7bcc48551446689c28722d16fee0e77306562a00fd39c6d9be316f0bc49099e5",
    ),
    ("hunter2", "SHA", "mCgY2i/LrQ==", "6d7d47a30990f5710f85d045ee6fd84c130f95ff"),
    (
        "hunter2",
        "SHA224",
        "mCgY2i/LrQ==",
        "9edee49caee1d361e3f0671381eaffcb98b50ce5ae7c472b15ba057d",
    ),
    (
        "hunter2",
        "SHA384",
        "mCgY2i/LrQ==",
        "ee6c7aacfc6b867c36355320dd11e1973d5465d75abca019380f97f861ded9c3"
        "970a30891f1139dc7bed840830992f58",
    ),
    ("hunter2", "MD5", "mCgY2i/LrQ==", "22a4d63516774dfec82b17ec4dccea07"),
]
vectors = pytest.mark.parametrize(
    "plaintext, digest, contents, tag",
    VECTORS,
    ids=[f"{digest}-{len(text.encode())}" for text, digest, *_ in VECTORS],
)


def sealed(plaintext: bytes = b"hunter2", **options: str) -> Record:
    return seal(plaintext, data_key=DATA_KEY, encrypted_key=b"blob", **options)


def item(**changes: object) -> dict[str, object]:
    """The attributes of a good record with some of them changed; None takes one out."""
    attributes = {**encode(sealed()), **changes}
    return {name: value for name, value in attributes.items() if value is not None}


@vectors
def test_seal_makes_the_bytes_that_credstash_makes(plaintext, digest, contents, tag):
    record = sealed(plaintext.encode(), digest=digest)
    assert record == Record(b"blob", base64.b64decode(contents), bytes.fromhex(tag), digest)


@vectors
def test_unseal_opens_what_credstash_sealed(plaintext, digest, contents, tag):
    record = Record(b"blob", base64.b64decode(contents), bytes.fromhex(tag), digest)
    assert unseal(record, data_key=DATA_KEY) == plaintext.encode()


def test_every_digest_that_may_be_written_has_a_vector():
    assert {digest for _, digest, *_ in VECTORS} == set(DIGESTS)


@given(
    plaintext=st.binary(max_size=300),
    data_key=st.binary(min_size=64, max_size=64),
    blob=st.binary(max_size=200),
    digest=st.sampled_from(DIGESTS),
)
@settings(deadline=None)
def test_every_record_survives_its_way_through_an_item(plaintext, data_key, blob, digest):
    record = seal(plaintext, data_key=data_key, encrypted_key=blob, digest=digest)
    assert decode(encode(record)) == record
    assert unseal(record, data_key=data_key) == plaintext


@given(plaintext=st.binary(min_size=1, max_size=40), position=st.integers(0), bit=st.integers(0, 7))
@settings(deadline=None)
def test_one_flipped_bit_of_the_contents_is_refused(plaintext, position, bit):
    record = sealed(plaintext)
    contents = bytearray(record.contents)
    contents[position % len(contents)] ^= 1 << bit
    with pytest.raises(SecretIntegrityError):
        unseal(Record(record.key, bytes(contents), record.tag), data_key=DATA_KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: Record(r.key, r.contents[:-1], r.tag),
        lambda r: Record(r.key, r.contents + b"\0", r.tag),
        lambda r: Record(r.key, b"", r.tag),
        lambda r: Record(r.key, r.contents, r.tag[:-1]),
        lambda r: Record(r.key, r.contents, b""),
        lambda r: Record(r.key, r.contents, r.tag + b"\0"),
        lambda r: Record(r.key, r.contents, r.tag, "SHA512"),
        lambda r: Record(r.key, r.contents, bytes(32)),
    ],
    ids=[
        "contents cut",
        "contents longer",
        "contents empty",
        "tag cut",
        "tag empty",
        "tag longer",
        "another digest",
        "tag of zeros",
    ],
)
def test_a_tampered_record_never_reaches_decryption(change, monkeypatch):
    decrypted = []
    record = change(sealed())
    monkeypatch.setattr(envelope, "_aes_ctr", lambda *args: decrypted.append(args))
    with pytest.raises(SecretIntegrityError, match="the stored HMAC does not match the stored"):
        unseal(record, data_key=DATA_KEY)
    assert decrypted == []


def test_another_data_key_is_refused():
    with pytest.raises(SecretIntegrityError, match="does not match"):
        unseal(sealed(), data_key=bytes(reversed(DATA_KEY)))


def test_tags_are_compared_in_constant_time(monkeypatch):
    """The tags meet in `hmac.compare_digest`, and in nothing else: its answer decides."""
    compared = []

    def answer(verdict: bool):
        def compare(ours: bytes, theirs: bytes) -> bool:
            compared.append((ours, theirs))
            return verdict

        return compare

    record = sealed()
    monkeypatch.setattr(envelope.hmac, "compare_digest", answer(False))
    with pytest.raises(SecretIntegrityError):
        unseal(record, data_key=DATA_KEY)
    monkeypatch.setattr(envelope.hmac, "compare_digest", answer(True))
    other = Record(record.key, record.contents, bytes(32))
    assert unseal(other, data_key=DATA_KEY) == b"hunter2"
    assert compared == [(record.tag, record.tag), (record.tag, bytes(32))]


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_a_data_key_of_another_length_is_refused(length):
    with pytest.raises(SecretIntegrityError, match="data key is not 64 bytes long"):
        seal(b"x", data_key=bytes(length), encrypted_key=b"blob")
    with pytest.raises(SecretIntegrityError, match="data key is not 64 bytes long"):
        unseal(sealed(), data_key=bytes(length))


def test_the_halves_of_a_masked_key_are_masked():
    """A traceback shows the frames of `seal` and `unseal`, and the halves stand in them."""
    assert [type(half) for half in envelope._halves(SecretBytes(DATA_KEY))] == [SecretBytes] * 2


def test_encode_writes_exactly_the_types_of_the_format():
    attributes = encode(sealed(bytes(range(256)) * 10))
    assert {name: type(value) for name, value in attributes.items()} == {
        "key": str,
        "contents": str,
        "hmac": bytes,
        "digest": str,
    }
    assert attributes["digest"] == "SHA256"
    tag = hmac.digest(DATA_KEY[32:], base64.b64decode(attributes["contents"]), "sha256")
    assert attributes["hmac"] == tag.hex().encode("ascii")
    assert attributes["hmac"].islower()
    for name in ("key", "contents"):
        again = base64.b64encode(base64.b64decode(attributes[name], validate=True))
        assert again.decode() == attributes[name], "base64 is standard, padded and on one line"


def test_encode_writes_an_empty_secret_as_empty_contents():
    assert encode(sealed(b""))["contents"] == ""


TOLERATED = {
    "hmac as text, as Python 2 wrote it": {"hmac": sealed().tag.hex()},
    "hmac in upper case": {"hmac": sealed().tag.hex().upper().encode()},
    "hmac as text in upper case": {"hmac": sealed().tag.hex().upper()},
    "no digest, as before 1.12": {"digest": None},
    "line breaks in base64": {"contents": "mCgY\n2i/L\r\nrQ==\n", "key": "Ymxv\nYg==\n"},
    "attributes of others": {"comment": "a note", "ttl": 5, "tags": {"a"}},
}


@pytest.mark.parametrize("changes", TOLERATED.values(), ids=TOLERATED)
def test_decode_tolerates_what_other_writers_write(changes):
    assert decode(item(**changes)) == sealed()


@pytest.mark.parametrize("digest", ["SHA", "SHA1"])
def test_decode_knows_both_names_of_sha1(digest):
    record = decode(item(digest=digest, hmac=sealed(digest="SHA").tag.hex()))
    assert unseal(record, data_key=DATA_KEY) == b"hunter2"


def test_sha1_under_its_other_name_is_never_written():
    """credstash itself refuses to read ``SHA1``."""
    assert "SHA1" not in DIGESTS


REFUSED = {
    "no key": ({"key": None}, "'key' is missing or is not text"),
    "no contents": ({"contents": None}, "'contents' is missing or is not text"),
    "no hmac": ({"hmac": None}, "'hmac' is missing or is not hex"),
    "a binary key": ({"key": b"YmxvYg=="}, "'key' is missing or is not text"),
    "binary contents": ({"contents": b"mCgY2i/LrQ=="}, "'contents' is missing or is not text"),
    "a raw hmac": ({"hmac": hashlib.sha256(b"").digest()}, "'hmac' is missing or is not hex"),
    "half a hex digit": ({"hmac": "616"}, "'hmac' is missing or is not hex"),
    "hmac in other letters": ({"hmac": "٠١"}, "'hmac' is missing or is not hex"),
    "hmac as a number": ({"hmac": 616}, "'hmac' is missing or is not hex"),
    "key that is no base64": ({"key": "*not base64*"}, "'key' is not base64"),
    "contents that are no base64": ({"contents": "mCgY2i_LrQ=="}, "'contents' is not base64"),
    "base64 that is cut": ({"contents": "mCgY2i/LrQ"}, "'contents' is not base64"),
    "base64 with something in it": ({"contents": "mCgY!2i/LrQ=="}, "'contents' is not base64"),
    "contents in other letters": ({"contents": "ключ"}, "'contents' is not base64"),
    "an unknown digest": ({"digest": "CRC32"}, "its digest is none of SHA, SHA1, "),
    "a digest in lower case": ({"digest": "sha256"}, "its digest is none of "),
    "a digest that is no text": ({"digest": b"SHA256"}, "its digest is none of "),
    "an empty digest": ({"digest": ""}, "its digest is none of "),
}


@pytest.mark.parametrize("changes, message", REFUSED.values(), ids=REFUSED)
def test_decode_refuses_what_the_format_does_not_allow(changes, message):
    with pytest.raises(SecretIntegrityError) as caught:
        decode(item(**changes))
    assert message in str(caught.value)
    assert caught.value.__context__ is None, "the codec's error would carry the record"
