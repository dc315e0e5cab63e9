"""`secrets policy`: three languages for one policy, and nothing is asked of AWS unasked."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
import yaml
from moto.sts.models import STSBackend

from django_kms_secrets.backends.iam import Arn, KeyOf, Statement
from django_kms_secrets.policy import MANAGED_POLICY, Facts, as_cloudformation, as_terraform

from .doors import inside

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:ap-northeast-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TABLE = "credstash://notes?region_name=ap-northeast-2&names=A,B"
GIVEN = ("--account", ACCOUNT, "--key-arn", KEY)
COPY = "last_known_good.path=/x&last_known_good.max_age=1&last_known_good.key_id"
#: What languages write in ways of their own, or not at all.
ODD = '\b\f\n"\\b\x85\u2028\u00e9\U0001f511'
ODD_QUOTED = quote(ODD, safe="")


@pytest.fixture(autouse=True)
def _no_region(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


def policy(*args, url=TABLE, door="module"):
    return inside(door, url, ["policy", *args])


def document(*args, url=TABLE):
    return json.loads(policy(*args, url=url).ok().out)


class TestOffline:
    def test_reader(self):
        """Word for word what a reader of two names gets, and nothing is sent for it."""
        for door in ("module", "manage"):
            done = policy("reader", *GIVEN, door=door).ok()
            assert done.err == ""
            assert json.loads(done.out) == {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "Items",
                        "Effect": "Allow",
                        "Action": ["dynamodb:Query"],
                        "Resource": [f"arn:aws:dynamodb:ap-northeast-2:{ACCOUNT}:table/notes"],
                        "Condition": {
                            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["A", "B"]}
                        },
                    },
                    {
                        "Sid": "Records",
                        "Effect": "Allow",
                        "Action": ["kms:Decrypt"],
                        "Resource": [KEY],
                        "Condition": {"Null": {"kms:EncryptionContextKeys": "true"}},
                    },
                ],
            }

    def test_last_known_good(self):
        """Who reads settings may seal their copy, and open it: nothing else under that key."""
        other = KEY.replace("1234abcd", "12345678")
        statement = {
            "Sid": "LastKnownGood",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": [other],
            "Condition": {
                "StringEquals": {"kms:EncryptionContext:django-kms-secrets": ["last-known-good"]}
            },
        }
        for role in ("reader", "writer", "rotator", "admin"):
            without = document(role, *GIVEN)["Statement"]
            found = document(role, *GIVEN, url=f"{TABLE}&{COPY}={other}")["Statement"]
            assert found == [*without, *([statement] if role in ("reader", "admin") else [])]
        memory = COPY.rpartition("&")[0]
        assert document("reader", *GIVEN, url=f"{TABLE}&{memory}") == document("reader", *GIVEN)
        by_alias = document("reader", *GIVEN, url=f"{TABLE}&{COPY}=alias/copy")["Statement"][-1]
        assert by_alias == {**statement, "Resource": [KEY]}

    def test_two_aliases(self):
        """Each key is looked up, or is a parameter, by a name of its own."""
        url = f"{TABLE}&{COPY}=alias/copy"
        done = policy("reader", "-f", "terraform", url=url).ok()
        for source, alias in (("secrets", "alias/credstash"), ("secrets2", "alias/copy")):
            assert f'data "aws_kms_key" "{source}" {{\n  key_id = "{alias}"\n' in done.out
            assert f"resources = [data.aws_kms_key.{source}.arn]\n" in done.out
        done = policy("reader", "-f", "cloudformation", url=url).ok()
        template = yaml.load(done.out, _Loader)
        assert list(template["Parameters"]) == ["KeyArn", "KeyArn2"]
        assert json.dumps(template).count('"ref KeyArn2"') == 1
        assert done.err.endswith(
            "note: the parameter KeyArn2 is the ARN of the KMS key that alias/copy names\n"
        )

    def test_secret_of_a_name(self):
        """The ARN of a secret ends in six characters that nobody knows before."""
        url = "secretsmanager://?prefix=notes/&region_name=cn-north-1&names=A"
        first, second = document("reader", *GIVEN, url=url)["Statement"][:2]
        assert first["Resource"] == [
            f"arn:aws-cn:secretsmanager:cn-north-1:{ACCOUNT}:secret:notes/A-??????"
        ]
        assert (second["Action"], second["Resource"]) == (
            ["secretsmanager:BatchGetSecretValue"],
            ["*"],
        )

    @pytest.mark.parametrize("end", ["", "-AbC123", "-master"])
    def test_document_by_its_arn(self, end):
        """An ARN may lack AWS's six characters; where it seems to have them, both are allowed."""
        arn = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:notes/live{end}"
        url = f"secretsmanager:///{arn}?region_name=eu-west-1&key_id={KEY}"
        secrets, key = document("reader", url=url)["Statement"]
        expected = [arn, f"{arn}-??????"] if end else [f"{arn}-??????"]
        assert secrets["Resource"] == expected
        assert key["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"] == expected

    def test_key_of_secrets(self):
        """A key of one's own in Secrets Manager is allowed for these secrets only."""
        url = f"secretsmanager:///notes?region_name=eu-west-1&key_id={KEY}"
        statements = {
            role: document(role, "--account", ACCOUNT, url=url)["Statement"][-1]
            for role in ("reader", "writer", "rotator")
        }
        secret = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:notes-??????"
        assert [statement["Resource"] for statement in statements.values()] == [[KEY]] * 3
        reader = statements["reader"]["Condition"]["StringLike"]
        assert reader["kms:EncryptionContext:SecretARN"] == [secret]
        assert reader["kms:ViaService"] == ["secretsmanager.*"]
        # Who puts a secret under a key has it tried under this name.
        writer = statements["writer"]["Condition"]["StringLike"]
        assert writer["kms:EncryptionContext:SecretARN"] == [secret, "RequestToValidateKeyAccess"]
        assert statements["rotator"]["Action"] == [
            "kms:Decrypt",
            "kms:Encrypt",
            "kms:GenerateDataKey",
        ]

    def test_key_by_its_id(self):
        """A key's id, with region and account, is its ARN."""
        found = document("reader", "--account", ACCOUNT, url=f"{TABLE}&key_id={KEY[-36:]}")
        assert found["Statement"][1]["Resource"] == [KEY]

    def test_key_in_another_region(self):
        """The key is where kms_region_name says."""
        url = f"{TABLE}&key_id={KEY[-36:]}&kms_region_name=eu-west-1"
        (key,) = document("reader", "--account", ACCOUNT, url=url)["Statement"][1]["Resource"]
        assert key == KEY.replace("ap-northeast-2", "eu-west-1")

    def test_several_keys(self):
        """During a change of the key, both are allowed."""
        other = KEY[:-1] + "f"
        found = document("rotator", *GIVEN, "--key-arn", other)
        assert found["Statement"][-1]["Resource"] == [KEY, other]

    def test_default_region(self, monkeypatch):
        """Without region_name it is the region that boto3 would take; without any, an error."""
        url = "credstash://?names=A"
        assert "no AWS region is known" in policy("reader", *GIVEN, url=url).failed()
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-gov-west-1")
        (table,) = document("reader", *GIVEN, url=url)["Statement"][0]["Resource"]
        assert table == f"arn:aws-us-gov:dynamodb:us-gov-west-1:{ACCOUNT}:table/credential-store"

    def test_nothing_is_needed_for_what_is_known(self):
        """A document by its ARN needs neither a region nor an account."""
        arn = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:notes-AbC123"
        found = document("reader", url=f"secretsmanager:///{arn}?key_id={KEY}")
        both = [arn, f"{arn}-??????"]
        assert [part["Resource"] for part in found["Statement"]] == [both, [KEY]]

    def test_key_that_is_none(self):
        """What is neither id nor alias nor ARN would be a policy for nothing."""
        error = policy("reader", "--account", ACCOUNT, url=f"{TABLE}&key_id=credstash").failed()
        assert "key_id 'credstash' is not the id, the alias or the ARN of a KMS key" in error
        assert "begins with alias/" in error

    @pytest.mark.parametrize(
        "key_id",
        [
            f"{KEY}%22,%22*",
            KEY.replace(ACCOUNT, "*"),
            "arn:aws:kms:*",
            "alias/%22",
            "x%22alias/notes",
            f"arn:aws:kms:*:{ACCOUNT}:alias/notes",
        ],
    )
    def test_key_that_only_looks_like_one(self, key_id):
        """The ARN of a key has nothing in it that means more than itself, and so has an alias."""
        for store in (f"{TABLE}&key_id=", "secretsmanager:///notes?region_name=eu-west-1&key_id="):
            error = policy("reader", "--account", ACCOUNT, url=store + key_id).failed()
            assert "is not the id, the alias or the ARN of a KMS key" in error

    def test_alias_by_its_arn(self):
        """The ARN of an alias is one more way to name a key."""
        arn = f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/notes/live"
        done = policy("reader", "-f", "terraform", url=f"{TABLE}&key_id={arn}").ok()
        assert f'key_id = "{arn}"' in done.out

    def test_table_by_its_arn(self):
        """A table may be named by its ARN, in another account too: that is the resource."""
        arn = "arn:aws-cn:dynamodb:cn-north-1:210987654321:table/notes"
        url = f"credstash://?table={arn}&region_name=cn-north-1&names=A"
        for words in (["reader"], ["rotator"], ["admin"]):
            for part in document(*words, *GIVEN, url=url)["Statement"]:
                if part["Action"][0].startswith("dynamodb:"):
                    assert part["Resource"] == [arn]
        assert arn in policy("reader", "-f", "terraform", url=url).ok().out

    @pytest.mark.parametrize(
        "table",
        [
            "*",
            "ab",
            "a" * 256,
            "notes*",
            "n/s",
            "notes%0A",
            "arn:aws:dynamodb:*:*:table/*",
            f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/notes/index/x",
        ],
    )
    def test_table_that_is_none(self, table):
        """What DynamoDB takes for no table would be a policy for nothing, or for others."""
        error = policy("reader", *GIVEN, url=f"{TABLE}&table={table}".replace("notes?", "?"))
        assert "is not the name or the ARN of a DynamoDB table" in error.failed()

    @pytest.mark.parametrize(
        "context",
        [
            "context.env=a&context.Env=b",
            "context.Name=a&bind_to_name=true",
            "former_context.env=a&former_context.ENV=b",
        ],
    )
    def test_keys_of_a_context_that_iam_takes_for_one(self, context):
        """Condition keys have no case: such a context cannot be asked for."""
        error = policy("reader", *GIVEN, url=f"{TABLE}&{context}").failed()
        assert "differ only in case" in error

    def test_key_of_secrets_is_pointed_out(self):
        """Without key_id, whoever has a key of their own is told, once, to name it."""
        for url in ("secretsmanager:///notes", "secretsmanager://?prefix=notes/"):
            url += f"{'&' if '?' in url else '?'}region_name=eu-west-1"
            for role in ("reader", "rotator"):
                err = policy(role, "--account", ACCOUNT, url=url).ok().err
                assert err.count("kms:Decrypt") == err.count("--key-arn ARN") == 1
                assert err.count("lambda:InvokeFunction") == (role == "rotator")
                assert "kms:Decrypt" not in policy(role, *GIVEN, url=url).ok().err
        url = f"secretsmanager:///notes?region_name=eu-west-1&key_id={KEY}"
        assert policy("reader", "--account", ACCOUNT, url=url).ok().err == ""

    def test_scan_is_pointed_out(self):
        """Without NAMES a reader scans the table, and whoever grants that is told what it means."""
        done = policy("reader", *GIVEN, url=TABLE.replace("&names=A,B", "&prefix=n/")).ok()
        assert "note: dynamodb:Scan sees every record of the table" in done.err
        assert "dynamodb:Scan" not in policy("writer", *GIVEN, url=TABLE[:-10]).ok().words


class TestAsking:
    def test_ask_aws(self, aws, url, fill):
        """--ask-aws fills the account and the key in; then nothing is a placeholder."""
        fill({"A": "x"})
        with aws.counted() as counted:
            done = policy("reader", "--ask-aws", url=f"{url}&names=A").ok()
        (table,), (key,) = (part["Resource"] for part in json.loads(done.out)["Statement"])
        assert table == f"arn:aws:dynamodb:ap-northeast-2:{ACCOUNT}:table/credential-store"
        assert re.fullmatch(rf"arn:aws:kms:ap-northeast-2:{ACCOUNT}:key/[0-9a-f-]+", key)
        assert counted == {"trentservice.DescribeKey": 1}  # STS has no operation in a header
        for language in ("terraform", "cloudformation"):
            text = policy("reader", "--ask-aws", "-f", language, url=f"{url}&names=A").ok()
            assert key in text.out
            assert text.err == ""

    def test_key_that_is_not_there(self, aws, url):
        """An alias that names no key: what creates it."""
        error = policy("reader", "--ask-aws", url=f"{url}&names=A&key_id=alias/none").failed()
        assert "there is no KMS key alias/none in ap-northeast-2" in error
        assert "`secrets setup --create-key`" in error

    @pytest.mark.parametrize("language", ["json", "terraform", "cloudformation"])
    @pytest.mark.parametrize(
        "answer", ['x"]\n}\n${file("/etc/passwd")}', "*", KEY.replace("key/", "alias/"), f"{KEY}*"]
    )
    def test_answer_that_is_no_key(self, answer, language, aws, url):
        """What KMS does not say, but what listens in its place, gets into no policy."""
        reply = {"KeyMetadata": {"KeyId": "x", "Arn": answer}}
        aws.faults.append(lambda operation, _: (200, reply) if "Key" in operation else None)
        words = ("--ask-aws", "--account", ACCOUNT, "-f", language)
        error = policy("reader", *words, url=f"{url}&names=A").failed()
        assert "the answer to DescribeKey is not the ARN of a KMS key" in error
        assert "something else than AWS may be listening there" in error
        assert answer not in error

    def test_answer_without_a_key(self, aws, url):
        """An answer that lacks the ARN is no traceback."""
        reply = {"KeyMetadata": {"KeyId": "x"}}
        aws.faults.append(lambda operation, _: (200, reply) if "Key" in operation else None)
        error = policy("reader", "--ask-aws", "--account", ACCOUNT, url=url).failed()
        assert "was answered without Arn" in error

    @pytest.mark.parametrize("language", ["json", "terraform", "cloudformation"])
    @pytest.mark.parametrize("answer", ['${file("/etc/passwd")}', "*", "", "\u0661" * 12])
    def test_answer_that_is_no_account(self, answer, language, aws, url, monkeypatch):
        """Neither does what STS does not say."""
        monkeypatch.setattr(
            STSBackend, "get_caller_identity", lambda *_: ("member", "arn:aws:iam::x", answer)
        )
        words = ("--ask-aws", "--key-arn", KEY, "-f", language)
        error = policy("reader", *words, url=f"{url}&names=A").failed()
        assert "the answer to GetCallerIdentity is not the number of an account" in error
        assert "something else than AWS may be listening there" in error
        assert not answer or answer not in error

    def test_nothing_is_asked_otherwise(self, aws, url):
        """Without it no request is made, in any language."""
        for words in (GIVEN, ("-f", "terraform"), ("-f", "cloudformation")):
            policy("admin", *words, url=url).ok()
        assert aws.requests == []


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "a policy needs the number of the account"),
            (("--account", ACCOUNT), "names a KMS key by its ARN, and alias/credstash"),
            (("--account", "hidden-marker"), "--account is not 12 digits"),
            (("--account", "\u0661" * 12), "--account is not 12 digits"),
            (("--key-arn", "hidden-marker"), "--key-arn is not the ARN of a KMS key"),
            (("--key-arn", KEY.replace("key/", "alias/")), "--key-arn is not the ARN"),
        ],
    )
    def test_what_is_missing(self, words, said):
        """What cannot be known offline is an error that says how to give it."""
        error = policy("reader", *words).failed()
        assert said in error
        assert "hidden-marker" not in error

    def test_other_stores(self, file_url):
        """A file has no permissions in AWS."""
        assert "FileStore needs no permissions in AWS" in policy("reader", url=file_url).failed()

    def test_role(self):
        """There are four roles; a wrong one is not repeated."""
        error = policy("hidden-marker").refused()
        assert "'reader', 'writer', 'rotator', 'admin'" in error
        assert "hidden-marker" not in error


class TestSize:
    NAMES = ",".join(f"A_RATHER_LONG_NAME_{number:03}" for number in range(300))

    def test_too_many_names_under_a_prefix(self):
        """Names that no managed policy takes become the prefix, and that is said."""
        done = policy("reader", *GIVEN, url=f"{TABLE[:-4]}={self.NAMES}&prefix=notes/").ok()
        assert len("".join(done.out.split())) < MANAGED_POLICY
        (items, _) = json.loads(done.out)["Statement"]
        assert items["Condition"] == {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["notes/*"]}
        }
        assert items["Action"] == ["dynamodb:Query"]
        assert done.err.startswith("note: 300 names make ")
        assert "everything under the prefix notes/ is allowed instead" in done.err

    def test_too_many_names_without_a_prefix(self):
        """Without a prefix nothing is widened: the policy is whole, and what to do is said."""
        done = policy("reader", *GIVEN, url=f"{TABLE[:-4]}={self.NAMES}").ok()
        assert len("".join(done.out.split())) > MANAGED_POLICY
        assert (
            len(
                json.loads(done.out)["Statement"][0]["Condition"]["ForAllValues:StringEquals"][
                    "dynamodb:LeadingKeys"
                ]
            )
            == 300
        )
        assert re.match(
            r"note: this policy has [\d,]+ characters, and a managed policy takes 6,144", done.err
        )

    def test_the_count_is_right(self):
        """What is counted is what AWS counts: everything but white space."""
        names = ",".join(f"N{number}" for number in range(1000))
        done = policy("reader", *GIVEN, url=f"{TABLE[:-4]}={names}").ok()
        counted = int(re.search(r"has ([\d,]+) characters", done.err)[1].replace(",", ""))
        real = len("".join(done.out.split()))
        assert real <= counted <= real + 20  # the longest partition


STORES = [
    TABLE,
    f"{TABLE}&{COPY}={KEY}",
    f"{TABLE}&prefix=a$b/&context.env=live&bind_to_name=true&former_context.x=y",
    "credstash://?prefix=%7Bx%7D/",
    "secretsmanager:///notes/live?key_id=alias/notes",
    "secretsmanager://?prefix=notes/&names=A,B",
    "secretsmanager://?prefix=",
    f"credstash://?table=arn:aws:dynamodb:ap-northeast-2:{ACCOUNT}:table/notes&names=A",
    f"secretsmanager:///arn:aws:secretsmanager:ap-northeast-2:{ACCOUNT}:secret:db-master",
    f"{TABLE}&prefix=%C3%A9%E2%80%A8/&context.env=%0C%5Cb%22",
]


class _Loader(yaml.SafeLoader):
    pass


_SUBSTITUTES = {
    "${AWS::Partition}": "aws",
    "${AWS::Region}": "ap-northeast-2",
    "${AWS::AccountId}": ACCOUNT,
}


def _sub(loader, node):
    text = loader.construct_scalar(node)
    for name, value in _SUBSTITUTES.items():
        text = text.replace(name, value)
    assert not re.search(r"\$\{(?!!)", text)  # CloudFormation would look for it
    return text.replace("${!", "${")


_Loader.add_constructor("!Sub", _sub)
_Loader.add_constructor("!Ref", lambda loader, node: f"ref {loader.construct_scalar(node)}")


class TestCloudFormation:
    @pytest.mark.parametrize("url", [*STORES, "secretsmanager://?prefix=a$b/&names=A*"])
    @pytest.mark.parametrize("role", ["reader", "writer", "rotator", "admin"])
    def test_same_policy(self, role, url, monkeypatch):
        """The template's document, filled in by CloudFormation, is the one in JSON."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-2")
        template = yaml.load(policy(role, "-f", "cloudformation", url=url).ok().out, _Loader)
        (resource,) = template["Resources"].values()
        text = json.dumps(resource["Properties"]["PolicyDocument"]).replace("ref KeyArn", KEY)
        given = GIVEN if "ref KeyArn" in json.dumps(template) else GIVEN[:2]
        assert json.loads(text) == document(role, *given, url=url)

    def test_odd_text(self):
        """Text is ASCII in the template, and YAML reads in it what it is."""
        url = f"{TABLE}&context.{ODD_QUOTED}={ODD_QUOTED}"
        done = policy("reader", "-f", "cloudformation", *GIVEN, url=url).ok()
        assert done.out.isascii()
        template = yaml.load(done.out, _Loader)
        (resource,) = template["Resources"].values()
        condition = resource["Properties"]["PolicyDocument"]["Statement"][1]["Condition"]
        assert condition["StringEquals"] == {f"kms:EncryptionContext:{ODD}": [ODD]}

    def test_facts_are_text(self):
        """A fact in a text that CloudFormation fills in is none of its variables."""
        statement = Statement("X", ["s3:Y"], [Arn("s3", None, "z")])
        text = as_cloudformation([statement], "Name", Facts("${A}", "${B}", "${C}"))
        assert '!Sub "arn:${!C}:s3:${!B}:${!A}:z"' in text

    def test_key_is_a_parameter(self):
        """A key that is not known is a parameter, and that is said."""
        done = policy("reader", "-f", "cloudformation").ok()
        assert yaml.load(done.out, _Loader)["Parameters"] == {
            "KeyArn": {
                "Type": "String",
                "Description": "The ARN of the KMS key that alias/credstash names.",
            }
        }
        assert done.err == (
            "note: the parameter KeyArn is the ARN of the KMS key that alias/credstash names\n"
        )
        assert "Parameters" not in policy("reader", "-f", "cloudformation", *GIVEN).ok().out


class TestTerraform:
    def test_reader(self):
        """Word for word: what is looked up stands before the policy."""
        done = policy("reader", "-f", "terraform", url="credstash://?names=A,B$").ok()
        assert done.out == (
            'data "aws_caller_identity" "current" {}\n'
            "\n"
            'data "aws_region" "current" {}\n'
            "\n"
            'data "aws_partition" "current" {}\n'
            "\n"
            'data "aws_kms_key" "secrets" {\n'
            '  key_id = "alias/credstash"\n'
            "}\n"
            "\n"
            'data "aws_iam_policy_document" "secrets_reader" {\n'
            "  statement {\n"
            '    sid       = "Items"\n'
            '    actions   = ["dynamodb:Query"]\n'
            '    resources = ["arn:${data.aws_partition.current.partition}:dynamodb:'
            "${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:"
            'table/credential-store"]\n'
            "\n"
            "    condition {\n"
            '      test     = "ForAllValues:StringEquals"\n'
            '      variable = "dynamodb:LeadingKeys"\n'
            '      values   = ["A", "B$${$}"]\n'
            "    }\n"
            "  }\n"
            "\n"
            "  statement {\n"
            '    sid       = "Records"\n'
            '    actions   = ["kms:Decrypt"]\n'
            "    resources = [data.aws_kms_key.secrets.arn]\n"
            "\n"
            "    condition {\n"
            '      test     = "Null"\n'
            '      variable = "kms:EncryptionContextKeys"\n'
            '      values   = ["true"]\n'
            "    }\n"
            "  }\n"
            "}\n"
        )
        assert done.err == (
            "note: Terraform looks up the KMS key that alias/credstash names, in the region of its "
            "provider\n"
        )

    def test_odd_text(self):
        """Terraform knows \\b and \\f not; control characters are numbers."""
        url = f"{TABLE}&context.env={ODD_QUOTED}%25%7B$"
        out = policy("reader", "-f", "terraform", *GIVEN, url=url).ok().out
        odd = r"\u0008\u000c\u000a\"\\b\u0085\u2028\u00e9\U0001f511"
        assert f'values   = ["{odd}%%{{$${{$}}"]' in out

    def test_facts_are_text(self):
        """A fact is none of Terraform's expressions, whoever gave it."""
        key = KeyOf("alias/x", None)
        statement = Statement("X", ["s3:Y"], [Arn("s3", None, "z"), key])
        facts = Facts('"${A}', '"${B}', '"${C}', {key: '"${D}'})
        text = as_terraform([statement], "name", facts)
        assert r'["arn:\"$${C}:s3:\"$${B}:\"$${A}:z", "\"$${D}"]' in text

    @pytest.mark.parametrize("option", ["prefix", "context.env", "names", "context.&{"])
    def test_what_terraform_takes_for_a_variable(self, option):
        """Its data source has a notation of its own for IAM's variables, and no escape for it."""
        url = f"credstash://?{quote(option, safe='')}=a%26%7Baws:username%7D"
        error = policy("reader", "-f", "terraform", *GIVEN, url=url).failed()
        assert "&{" in error
        assert "--format" in error
        policy("reader", "-f", "cloudformation", *GIVEN, url=url).ok()

    def test_only_what_is_used(self):
        """What is known is not looked up."""
        out = policy("reader", "-f", "terraform", *GIVEN).ok().out
        assert "aws_kms_key" not in out
        assert "aws_region" not in out
        assert "aws_caller_identity" not in out
        assert out.startswith('data "aws_partition" "current" {}\n')
