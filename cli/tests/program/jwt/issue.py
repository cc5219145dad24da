"""Keys and tokens of issuers of the test's, signed by Python's cryptography.

    python3 issue.py FOLDER

writes keys and a file of settings into FOLDER, and prints a line for each case: what `token check` has to say, a tab, and the token.
"""

import base64
import hashlib
import hmac
import json
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

folder = sys.argv[1]
now = int(time.time())
day = 24 * 3600


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def write(name, data):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)


def pem(name, key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    data = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    write(name, data)
    return data


ed = ed25519.Ed25519PrivateKey.generate()
p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
large, small = (rsa.generate_private_key(65537, bits) for bits in (2048, 1024))
other = ec.generate_private_key(ec.SECP256R1())
secret = b"a secret that is long enough for HS256"

pem("ed.pem", ed), pem("p256.pem", p256), pem("p384.pem", p384)
rsa_pem = pem("rsa.pem", large)
pem("small.pem", small)
write("secret", secret + b"\n")


def ecdsa(key, digest, length):
    def sign(message):
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")

    return sign


def rs(digest, key=large):
    return lambda message: key.sign(message, padding.PKCS1v15(), digest)


def hs(key):
    return lambda message: hmac.new(key, message, hashlib.sha256).digest()


es256 = ecdsa(p256, hashes.SHA256(), 32)
es384 = ecdsa(p384, hashes.SHA384(), 48)
rs256 = rs(hashes.SHA256())
ps256 = lambda message: large.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def jwk(key, kid, **more):
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        own = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    else:
        own = {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
    return {**own, "kid": kid, **more}


# As Keycloak publishes them: one to sign, and one for what is encrypted to it.
keycloak = [jwk(large, "kc-sig", use="sig", alg="RS256", x5c=["AA"]), jwk(other, "kc-enc", use="enc", alg="RSA-OAEP")]
auth0 = [jwk(large, "a0", use="sig", alg="RS256", x5t="x"), jwk(other, "a1", alg="ES256")]
dex = [jwk(large, "dex-1", use="sig", alg="RS256"), jwk(small, "dex-2", use="sig", alg="RS256")]
for name, keys in {"keycloak": keycloak, "auth0": auth0, "dex": dex}.items():
    write(f"{name}.json", json.dumps({"keys": keys}).encode())

sources = {
    "pss": {"issuer": "pss", "algorithms": ["PS256"], "keys": f"{folder}/rsa.pem", "names": ["pss-*"]},
    "hs": {"issuer": "hs", "algorithms": ["HS256"], "keys": f"{folder}/secret", "names": ["hs-*"]},
    "keycloak": {
        "issuer": "https://sso.example.org/realms/main", "algorithms": ["RS256"], "keys": f"{folder}/keycloak.json", "names": ["kc-*"],
        "name-claim": "preferred_username", "groups-claim": "realm_access.roles",
    },
    "auth0": {
        "issuer": "https://tenant.eu.auth0.com/", "audience": "https://rooms.example.org", "algorithms": ["RS256"],
        "keys": f"{folder}/auth0.json", "names": ["a0-*"], "name-claim": "https://rooms.example.org/name", "groups-claim": "permissions",
        "typ": "JWT",
    },
    "dex": {
        "issuer": "https://dex.example.org/dex", "audience": ["other", "switchboard"], "algorithms": ["RS256"],
        "keys": f"{folder}/dex.json", "names": ["dex-*"], "name-claim": "email", "strip-domain": "example.org", "groups-claim": "groups",
    },
    "corp": {
        "issuer": "corp", "algorithms": ["EdDSA", "ES256", "ES384", "RS256"],
        "keys": [f"{folder}/{key}.pem" for key in ("ed", "p256", "p384", "rsa")],
    },
}
settings = ['listen = ["rooms=tcp://127.0.0.1:0"]']
for name, source in sources.items():
    settings.append(f"[jwt.{name}]")
    # Such values are written in JSON as in TOML.
    settings += [f"{key} = {json.dumps(value)}" for key, value in {"audience": "switchboard", **source}.items()]
settings += ["[tokens.bob]", f'hash = "sha256:{"0" * 64}"', "[groups.staff]", 'rooms = { "ops.**" = ["all"] }']
write("settings.toml", "\n".join(settings).encode())

good = {"iss": "corp", "aud": "switchboard", "sub": "alice", "iat": now, "exp": now + 3600}
absent = object()


def token(sign, header, claims):
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    message = ".".join(b64(part.encode()) for part in parts)
    return f"{message}.{b64(sign(message.encode()))}"


def case(expected, sign=es256, alg="ES256", header=None, **claims):
    said = {name: value for name, value in {**good, **claims}.items() if value is not absent}
    print(expected, token(sign, {"alg": alg, **(header or {})}, said), sep="\t")


# Algorithms and keys.
case("alice, by jwt.corp", ed.sign, "EdDSA")
case("alice, by jwt.corp")
case("alice, by jwt.corp", es384, "ES384")
case("alice, by jwt.corp", rs256, "RS256")
case("pss-alice, by jwt.pss", ps256, "PS256", iss="pss", sub="pss-alice")
case("hs-alice, by jwt.hs", hs(secret), "HS256", iss="hs", sub="hs-alice")
unsigned = lambda message: b""
for alg in ("none", "None", "NONE", "", "es256", "RS512", "ES256K", "HS512"):
    case("refused: `alg`", unsigned, alg)
    case("refused: `alg`", es256, alg)
print("refused: `alg`", token(es256, {}, good), sep="\t")
print("refused: its header", token(es256, {"alg": ["ES256"]}, good), sep="\t")
case("refused: `alg`", hs(rsa_pem), "HS256")
case("refused: `alg`", hs(rsa_pem), "HS256", iss="pss", sub="pss-alice")
case("refused: the signature", hs(rsa_pem), "HS256", iss="hs", sub="hs-alice")
case("refused: the signature", hs(b""), "HS256", iss="hs", sub="hs-alice")
case("refused: `alg`", rs256, "RS256", iss="pss", sub="pss-alice")
case("refused: the signature", rs256, "PS256", iss="pss", sub="pss-alice")
case("refused: the signature", ps256, "RS256")
case("refused: the signature", rs(hashes.SHA512()), "RS256")
case("refused: the signature", rs(hashes.SHA256(), small), "RS256")
case("refused: the signature", es384, "ES256")
case("refused: the signature", es256, "ES384")
case("refused: the signature", ecdsa(other, hashes.SHA256(), 32), "ES256")
case("refused: the signature", lambda message: p256.sign(message, ec.ECDSA(hashes.SHA256())), "ES256")
case("refused: the signature", lambda message: bytes(64), "ES256")
case("refused: the signature", unsigned, "ES256")

# Times.
case("refused: it has expired", exp=now - 40)
case("alice, by jwt.corp", exp=now - 5, iat=now - 100)
for name in ("exp", "nbf", "iat"):
    for wrong in (str(now + 60), -1, 1e300, None, [], {}, True):
        case("refused: `exp` is missing", **{name: wrong})
print("refused: its claims", token(es256, {"alg": "ES256"}, json.dumps(good).replace(str(now + 3600), "1e999")), sep="\t")
case("refused: `exp` is missing", exp=absent)
case("alice, by jwt.corp", exp=now + 3600.5)
case("refused: it is not valid yet", nbf=now + 100)
case("refused: it is not valid yet", iat=now + 100)
case("refused: it is good for longer", exp=now + 25 * 3600)
case("refused: it is good for longer", exp=now + 25 * 3600, iat=absent)
case("alice, by jwt.corp", exp=now + day - 10, iat=absent)

# For whom, and by whom.
case("alice, by jwt.corp", aud=["x", "switchboard"])
for wrong in ("x", ["x"], [], 7, None, {"switchboard": 1}, absent, "switchboard ", ["switchboard", 7]):
    case("refused: `aud`", aud=wrong)
for wrong in ("corp/", "Corp", absent, None, ["corp"], "https://sso.example.org/realms/main/"):
    case("refused: `iss`", iss=wrong)
case("refused: `alg`", iss="https://sso.example.org/realms/main")

# Headers.
case("alice, by jwt.corp", header={"kid": "what has no name is meant by any"})
for header in ({"kid": 7}, {"kid": None}, {"typ": 7}):
    case("refused: its header", header=header)
for header in ({"crit": ["x"]}, {"crit": []}, {"b64": False}, {"crit": ["b64"], "b64": True}):
    case("refused: its header has `crit`", header=header)
brought = jwk(other, "x")
case("refused: the signature", ecdsa(other, hashes.SHA256(), 32), header={"jwk": brought})
case("alice, by jwt.corp", header={"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": brought, "x5c": ["AA"]})
print("refused: its header", token(es256, '{"alg":"none","alg":"ES256"}', good), sep="\t")
print("refused: its claims", token(es256, {"alg": "ES256"}, json.dumps(good)[:-1] + ',"sub":"root"}'), sep="\t")

# Forms.
whole = token(es256, {"alg": "ES256"}, good)
message, _, signature = whole.rpartition(".")
for wrong in (message, f"{whole}.", f"{whole}.{signature}", f"{whole}.e30.e30"):
    print("refused: it is nobody's", wrong, sep="\t")
for wrong in (f"{whole}=", f"{message}.{signature[:-2]}+/", f"{message}.{signature[:-1]}B", f"{message}.{signature}AAA"):
    print("refused: not three parts", wrong, sep="\t")
print("refused: the signature", f"{message}.{signature}A", sep="\t")
for wrong in ("", "W10", b64(b"null"), b64(b'"x"')):
    print("refused: its header", f"{wrong}.{whole.split('.')[1]}.{signature}", sep="\t")
bits = base64.urlsafe_b64decode(signature + "==")
for bit in range(0, 512, 8):
    flipped = bytes(byte ^ (1 << bit // 8 % 8 if index == bit // 8 else 0) for index, byte in enumerate(bits))
    print("refused: the signature", f"{message}.{b64(flipped)}", sep="\t")

# Names.
for wrong in ("auth0|1", "a b", "", "guest-1", "server", "a*", "{name}", "é", 7, None, ["alice"], absent):
    case("refused: the claim with the name", sub=wrong)
for wrong in ("bob", "BOB", "bob.2", "pss-alice", "first.last", "alice.2"):
    case("refused: the name is none", sub=wrong)

# As they come from others.
keycloak_claims = {
    "iss": "https://sso.example.org/realms/main", "aud": ["switchboard", "account"], "typ": "Bearer", "azp": "switchboard",
    "sub": "0b6d2bd6-9b7f-4c8e-8a53-1d6b7e0a3c11", "preferred_username": "kc-alice", "scope": "openid email", "exp": now + 300,
    "jti": "x", "realm_access": {"roles": ["offline_access", "staff", "uma_authorization"]}, "auth_time": now - 10,
}
case("kc-alice, by jwt.keycloak", rs256, "RS256", {"kid": "kc-sig", "typ": "JWT"}, **keycloak_claims)
case("in staff", rs256, "RS256", {"kid": "kc-sig", "typ": "JWT"}, **keycloak_claims)
for kid in ("kc-enc", "../../etc/passwd", "' OR 1=1", "", "k" * 5000):
    case("refused: no key of the source", rs256, "RS256", {"kid": kid}, **keycloak_claims)
auth0_claims = {
    "iss": "https://tenant.eu.auth0.com/", "aud": ["https://rooms.example.org", "https://tenant.eu.auth0.com/userinfo"],
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "https://rooms.example.org/name": "a0-alice", "azp": "x", "scope": "openid profile",
    "permissions": ["staff", "read:rooms"], "exp": now + 86400,
}
case("a0-alice, by jwt.auth0", rs256, "RS256", {"kid": "a0", "typ": "JWT"}, **auth0_claims)
case("in staff", rs256, "RS256", {"kid": "a0", "typ": "JWT"}, **auth0_claims)
case("refused: `typ`", rs256, "RS256", {"kid": "a0", "typ": "at+jwt"}, **auth0_claims)
case("refused: `typ`", rs256, "RS256", {"kid": "a0"}, **auth0_claims)
case("refused: `alg`", ecdsa(other, hashes.SHA256(), 32), "ES256", {"kid": "a1", "typ": "JWT"}, **auth0_claims)
dex_claims = {
    "iss": "https://dex.example.org/dex", "aud": "switchboard", "sub": "CgQxMjM0EgRsZGFw", "email": "dex-alice@example.org",
    "email_verified": True, "groups": ["staff", "admins of all"], "name": "Alice", "at_hash": "x",
}
case("dex-alice, by jwt.dex", rs256, "RS256", {"kid": "dex-1"}, **dex_claims)
case("in staff", rs256, "RS256", {"kid": "dex-1"}, **dex_claims)
case("refused: no key of the source", rs(hashes.SHA256(), small), "RS256", {"kid": "dex-2"}, **dex_claims)
case("refused: the claim with the name", rs256, "RS256", {"kid": "dex-1"}, **{**dex_claims, "email": "dex-alice@evil.org"})
