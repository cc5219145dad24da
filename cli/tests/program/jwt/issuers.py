"""JWKS and tokens of the very shapes that identity providers have, signed by Python's cryptography.

    python3 issuers.py FOLDER

writes NAME.json into FOLDER for each provider, and prints lines: its name, what the token is, a tab, and the token. The shapes are those of
Keycloak's and Dex's source and documentation, and of Auth0's documentation (access token profiles; JSON web key sets).
"""

import base64
import datetime
import hashlib
import json
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

folder = sys.argv[1]
now = int(time.time())


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, common_name):
        self.key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        start = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
        certificate = builder.not_valid_after(start + datetime.timedelta(days=3650)).sign(self.key, hashes.SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def public(self):
        numbers = self.key.public_key().public_numbers()
        return {"n": number(numbers.n), "e": number(numbers.e)}

    def chain(self):
        return {"x5c": [base64.b64encode(self.certificate).decode()], "x5t": b64(hashlib.sha1(self.certificate).digest())}

    def sign(self, header, claims):
        """`header` as the provider writes it, letter by letter."""
        signed = b64(header.encode()) + "." + b64(json.dumps(claims, separators=(",", ":")).encode())
        return signed + "." + b64(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def publish(name, keys):
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump({"keys": keys}, file)


def tell(name, what, token):
    print(f"{name} {what}\t{token}")


def keycloak():
    """A realm has a key for signatures and one for encryption; its tokens are by a JSON writer that likes blanks."""
    key, other = Key("main"), Key("main")
    kid = b64(hashlib.sha256(key.spki).digest())

    def jwk(key, kid, algorithm, use):
        sha256 = {"x5t#S256": b64(hashlib.sha256(key.certificate).digest())}
        return {"kid": kid, "kty": "RSA", "alg": algorithm, "use": use, **key.chain(), **sha256, **key.public()}

    publish("keycloak", [jwk(other, "enc-1", "RSA-OAEP", "enc"), jwk(key, kid, "RS256", "sig")])
    claims = {
        "exp": now + 300,
        "iat": now,
        "auth_time": now - 60,
        "jti": "onrtac:d58f5dc8-fd8f-462b-8a19-716f8f83985b",
        "iss": "https://sso.example.org/realms/main",
        "aud": ["switchboard", "account"],
        "sub": "36fa0f91-f94d-4a0c-afed-6b7d952e47da",
        "typ": "Bearer",
        "azp": "chat-frontend",
        "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
        "acr": "1",
        "allowed-origins": ["https://chat.example.org"],
        "realm_access": {"roles": ["offline_access", "default-roles-main", "uma_authorization", "staff"]},
        "resource_access": {"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}},
        "scope": "openid email profile",
        "email_verified": True,
        "name": "Alice Example",
        "groups": ["staff"],
        "preferred_username": "alice",
        "given_name": "Alice",
        "family_name": "Example",
        "email": "alice@example.org",
    }
    header = '{"alg":"RS256","typ" : "JWT","kid" : "%s"}' % kid
    tell("keycloak", "access", key.sign(header, claims))
    # What it is without the audience mapper, and the other tokens that come along with it.
    tell("keycloak", "foreign", key.sign(header, claims | {"aud": "account"}))
    tell("keycloak", "id", key.sign(header, claims | {"typ": "ID", "aud": "chat-frontend"}))
    tell("keycloak", "unknown", other.sign(header.replace(kid, "enc-1"), claims))


def auth0():
    """A tenant has the key that is next, too. Its API has either profile of access tokens."""
    key, following = Key("tenant.eu.auth0.com"), Key("tenant.eu.auth0.com")

    def jwk(key, kid):
        return {"kty": "RSA", "use": "sig", **key.public(), "kid": kid, **key.chain(), "alg": "RS256"}

    publish("auth0", [jwk(key, "NkU1QTdCMzA4QzREN"), jwk(following, "RDk4MEYyQTk0NzFBN")])
    claims = {
        "https://rooms.example.org/name": "alice",
        "iss": "https://tenant.eu.auth0.com/",
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://rooms.example.org", "https://tenant.eu.auth0.com/userinfo"],
        "iat": now,
        "exp": now + 86400,
        "scope": "openid profile email",
        "permissions": ["staff"],
    }
    header = '{"alg":"RS256","typ":"%s","kid":"NkU1QTdCMzA4QzREN"}'
    party = {"azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja"}
    tell("auth0", "access", key.sign(header % "JWT", claims | party))
    rfc9068 = {"client_id": party["azp"], "jti": "73WakrfVbNJBaAmhQtEeDv"}
    tell("auth0", "access", key.sign(header % "at+jwt", claims | rfc9068))
    # A machine's has no action, and so no name; an ID token is for the page.
    machine = {name: value for name, value in claims.items() if "/name" not in name and name != "scope"}
    machine |= party | {"sub": party["azp"] + "@clients", "aud": "https://rooms.example.org", "gty": "client-credentials"}
    tell("auth0", "nameless", key.sign(header % "JWT", machine))
    tell("auth0", "id", key.sign(header % "JWT", claims | {"aud": party["azp"], "nonce": "n-0S6_WzA2Mj", "nickname": "alice"}))


def dex():
    """Keys go round: the one in use, and those before it, without certificates."""
    key, before = Key("dex"), Key("dex")

    def jwk(key, kid):
        return {"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", **key.public()}

    kid = "9d44741f773b938cf65dd326685b86180c324d99"
    publish("dex", [jwk(key, kid), jwk(before, "1c5f0f9a1c6b5c3f2b8de1a5f0d5b7a9d4c6e8f0")])
    claims = {
        "iss": "https://dex.example.org/dex",
        "sub": "CgcyMzQyNzQ5EgZnaXRodWI",
        "aud": "switchboard",
        "exp": now + 86400,
        "iat": now,
        "at_hash": "bi96gOXZShvlWYtal9Eqiw",
        "c_hash": "SR0bHfvD8BrHwrmIEUbDVg",
        "email": "alice@example.org",
        "email_verified": True,
        "groups": ["staff", "example:developers"],
        "name": "Alice Example",
        "preferred_username": "alice",
        "federated_claims": {"connector_id": "github", "user_id": "2342749"},
    }
    header = '{"alg":"RS256","kid":"%s"}' % kid
    tell("dex", "id", key.sign(header, claims))
    # By another client, to which ours is trusted.
    tell("dex", "id", key.sign(header, claims | {"aud": ["switchboard", "desk"], "azp": "desk"}))
    tell("dex", "foreign", key.sign(header, claims | {"aud": "desk"}))
    tell("dex", "elsewhere", key.sign(header, claims | {"email": "alice@example.com"}))
    tell("dex", "unverified", key.sign(header, claims | {"email_verified": False}))


keycloak()
auth0()
dex()
