//! Clients known by certificates of an authority: whom those name, what was revoked, and what changes while a listener runs. And by
//! the user whose process they are.

use super::harness::patience::patiently;
use super::harness::served::Served;
use super::harness::tls_peer::Pair;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use switchboard::http::Request;
use switchboard::prelude::*;
use switchboard::{Certificates, ClientTrust, NameFrom, Subject, SubjectError, Tls, Trust, Unix};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// An authority of the test's, and where its files are.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = std::env::temp_dir().join(format!("switchboard-clients-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn issue(&self, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn named(&self, serial: u64, name: &str) -> Pair {
        self.issue(serial, |params| params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap())))
    }

    /// Writes the list of what is revoked.
    fn revoke(&self, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(3000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        std::fs::write(self.file("crl.pem"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    fn trust(&self) -> ClientTrust {
        ClientTrust::from_files(self.file("ca.pem"), [self.file("crl.pem")]).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn subject(pair: &Pair, from: NameFrom) -> std::result::Result<String, SubjectError> {
    Subject::of(&pair.der(), from).map(|subject| subject.name)
}

/// Says whom the peer's certificate names, and repeats what it says.
async fn who(mut conn: Connection<Lines>) -> Result {
    let tls = conn.tls().unwrap_or_default();
    let name = tls.peer_certificates.first().map(|shown| Subject::of(shown, NameFrom::SanDns));
    conn.send(name.map_or("nobody".to_owned(), |subject| subject.map_or_else(|e| e.to_string(), |s| s.name))).await?;
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

async fn enter(served: &Served, trust: &Trust) -> std::result::Result<(Connection<Lines>, String), ()> {
    let address = format!("localhost:{}", served.address().port());
    let mut conn: Connection<Lines> = Client::new().tls(address, trust).await.map_err(|_| ())?;
    match patiently(conn.recv()).await {
        Ok(Some(line)) => Ok((conn, String::from_utf8_lossy(&line).into_owned())),
        _ => Err(()),
    }
}

#[tokio::test]
async fn what_is_revoked_or_no_longer_trusted_is_refused_from_then_on() {
    let (server, authority, other) = (Pair::new(&["localhost"]), Authority::new("one"), Authority::new("other"));
    authority.revoke(&[]);
    other.revoke(&[]);
    let clients = authority.trust();
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).require_clients(&clients);
    let served = Served::start(Server::new().workers(0).listen(listener, who)).await;
    let by = |pair: &Pair| Trust::pem(&server.certificate).unwrap().identity(&pair.certificates());
    let (ann, bob, eve) = (authority.named(1, "ann"), authority.named(2, "bob"), other.named(1, "ann"));
    let (mut conn, name) = enter(&served, &by(&ann)).await.unwrap();
    assert_eq!(name, "ann");
    assert!(enter(&served, &by(&eve)).await.is_err());
    assert!(enter(&served, &Trust::pem(&server.certificate).unwrap()).await.is_err());
    let ann_id = Subject::of(&ann.der(), NameFrom::SanDns).unwrap().id;
    assert!(!clients.has_revoked(&ann_id));

    authority.revoke(&[1]);
    clients.reload().unwrap();
    assert!(clients.has_revoked(&ann_id));
    assert!(!clients.has_revoked(&Subject::of(&eve.der(), NameFrom::SanDns).unwrap().id), "it is another issuer's");
    // By the same client, that would resume its session if it could.
    assert!(enter(&served, &by(&ann)).await.is_err());
    assert_eq!(enter(&served, &by(&bob)).await.unwrap().1, "bob");
    // What becomes of who is there is for others to say.
    conn.send("still").await.unwrap();
    assert_eq!(patiently(conn.recv()).await.unwrap().unwrap(), "still");

    clients.replace(&other.trust());
    assert!(enter(&served, &by(&bob)).await.is_err());
    assert_eq!(enter(&served, &by(&eve)).await.unwrap().1, "ann");
    std::fs::write(authority.file("crl.pem"), "garbage").unwrap();
    assert!(clients.reload().is_err());
    assert_eq!(enter(&served, &by(&eve)).await.unwrap().1, "ann");
}

#[tokio::test]
async fn a_certificate_that_its_authority_does_not_vouch_for_now_is_refused() {
    let (server, authority, other) = (Pair::new(&["localhost"]), Authority::new("now"), Authority::new("unlisted"));
    authority.revoke(&[]);
    // Both are trusted, and one has no list: nobody knows whom it has revoked.
    let both = format!("{}{}", authority.issuer.pem(), other.issuer.pem());
    std::fs::write(authority.file("ca.pem"), both).unwrap();
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).request_clients(&authority.trust());
    let served = Served::start(Server::new().workers(0).listen(listener, who)).await;
    let trusting = Trust::pem(&server.certificate).unwrap();
    assert_eq!(enter(&served, &trusting).await.unwrap().1, "nobody");
    let past = authority.issue(1, |params| params.not_after = date_time_ymd(2001, 1, 1));
    let future = authority.issue(2, |params| params.not_before = date_time_ymd(3001, 1, 1));
    for wrong in [past, future, other.named(3, "ann"), Pair::new(&["ann"])] {
        assert!(enter(&served, &trusting.clone().identity(&wrong.certificates())).await.is_err());
    }
    assert_eq!(enter(&served, &trusting.identity(&authority.named(4, "ann").certificates())).await.unwrap().1, "ann");
}

#[test]
fn one_value_of_the_kind_is_a_name_and_none_or_several_are_not() {
    let authority = Authority::new("subjects");
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let email = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let with = |names: Vec<SanType>, common: &[&str]| {
        authority.issue(1, |params| {
            params.subject_alt_names = names;
            params.distinguished_name = rcgen::DistinguishedName::new();
            for name in common {
                params.distinguished_name.push(DnType::CommonName, *name);
            }
        })
    };
    let all = with(vec![dns("ann"), email("ann@example.org"), uri("spiffe://example.org/ann")], &["Ann"]);
    assert_eq!(subject(&all, NameFrom::SanDns).as_deref(), Ok("ann"));
    assert_eq!(subject(&all, NameFrom::SanEmail).as_deref(), Ok("ann@example.org"));
    assert_eq!(subject(&all, NameFrom::SanUri).as_deref(), Ok("spiffe://example.org/ann"));
    assert_eq!(subject(&all, NameFrom::CommonName).as_deref(), Ok("Ann"));
    let several = with(vec![dns("ann"), dns("bob")], &[]);
    assert_eq!(subject(&several, NameFrom::SanDns), Err(SubjectError::Several));
    assert_eq!(subject(&with(vec![dns("ann"), dns("ann")], &[]), NameFrom::SanDns), Err(SubjectError::Several));
    for from in [NameFrom::SanEmail, NameFrom::SanUri, NameFrom::CommonName] {
        assert_eq!(subject(&several, from), Err(SubjectError::None), "{from:?}");
    }
    // What is another kind is not taken in its place.
    assert_eq!(subject(&with(Vec::new(), &["ann"]), NameFrom::SanDns), Err(SubjectError::None));
    assert_eq!(Subject::of(b"garbage", NameFrom::SanDns).map(drop), Err(SubjectError::Malformed));
    let der = all.der();
    for end in 0..der.len() {
        assert!(Subject::of(&der[..end], NameFrom::SanDns).is_err(), "{end}");
    }
}

#[test]
fn what_is_wrong_with_the_files_of_clients_is_said_of_each() {
    let authority = Authority::new("faults");
    authority.revoke(&[1]);
    let faults = |ca: &str, crl: &str| {
        let made = ClientTrust::from_files(authority.file(ca), [authority.file(crl)]);
        made.map(drop).unwrap_err().faults.join("\n")
    };
    assert!(faults("none.pem", "ca.pem").contains("none.pem: No such file"));
    assert!(faults("none.pem", "ca.pem").contains("ca.pem: has no list of revoked certificates"));
    assert!(faults("crl.pem", "crl.pem").contains("crl.pem: has no certificate"));
    std::fs::write(authority.file("cut.pem"), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    assert!(faults("ca.pem", "cut.pem").contains("cut.pem: not a list of revoked certificates"));
    let none: [&Path; 0] = [];
    assert!(ClientTrust::from_files(authority.file("ca.pem"), none).is_ok());
    let _ =
        Certificates::from_pem([(&authority.named(1, "ann").certificate, &authority.named(2, "ann").key)]).unwrap_err();
}

#[tokio::test]
async fn a_unix_socket_knows_whose_process_its_peer_is_and_no_other_transport_does() {
    let folder = std::env::temp_dir().join(format!("switchboard-user-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let uid = async |mut conn: Connection<Lines>| -> Result {
        let user = conn.unix_user().map(|user| (user.uid, user.gid));
        Ok(conn.send(format!("{user:?}")).await?)
    };
    let answer = async |request: Request| {
        http::Response::new(format!("{:?}", request.unix_user().map(|user| (user.uid, user.gid))))
    };
    let (lines, web) = (folder.join("lines.sock"), folder.join("web.sock"));
    let server = Server::new().workers(0).listen(Unix::new(&lines), uid).listen_http(Unix::new(&web), answer);
    let served = Served::start(server.tcp("127.0.0.1:0", uid)).await;
    let own = std::fs::metadata("/proc/self").unwrap();
    let mine = Some((own.uid(), own.gid()));
    let mut said = String::new();
    patiently(UnixStream::connect(&lines).await.unwrap().read_to_string(&mut said)).await.unwrap();
    assert_eq!(said, format!("{mine:?}\n"));
    let mut stream = UnixStream::connect(&web).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut said = String::new();
    patiently(stream.read_to_string(&mut said)).await.unwrap();
    assert!(said.ends_with(&format!("{mine:?}")), "{said}");
    let tcp = super::harness::served::address(&served.urls[2]);
    let mut conn: Connection<Lines> = Client::new().tcp(tcp).await.unwrap();
    assert_eq!(patiently(conn.recv()).await.unwrap().unwrap(), "None");
    std::fs::remove_dir_all(&folder).unwrap();
}
