//! What a verification costs beside the signature alone: a measurement, which nothing depends on.
//!
//! `cargo test --release -p switchboard-program -- --ignored --nocapture verifications` prints a line for each algorithm.

use super::algorithm::Algorithm;
use super::compact::Compact;
use super::keys::KeySet;
use super::section::JwtSection;
use super::sign::Signer;
use super::source::JwtSource;
use super::tests::{Issuer, section};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use std::process::Command;
use std::time::SystemTime;
use tokio::time::Instant;

/// Of each kind; between two of the other, so that what else the machine does falls on both.
const ROUNDS: usize = 50;
const TOGETHER: usize = 100;

/// How long `work` takes once, in µs. Not its CPU time, which some kernels count in ticks of 4 ms.
fn cost(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..TOGETHER).for_each(|_| work());
    began.elapsed().as_secs_f64() * 1e6 / TOGETHER as f64
}

/// The least: whatever else the machine does adds to it.
fn least(costs: Vec<f64>) -> f64 {
    costs.into_iter().fold(f64::INFINITY, f64::min)
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is what is measured")]
fn verifications_cost_little_more_than_their_signature() {
    let random = SystemRandom::new();
    let place = std::env::temp_dir().join(format!("switchboard-{}-measured.pem", std::process::id()));
    let path = place.to_str().expect("the path is UTF-8");
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path]);
    let (rsa, rsa_public) = (std::fs::read(path).expect("it is there"), openssl(&["pkey", "-in", path, "-pubout"]));
    std::fs::remove_file(path).expect("it was there");
    let secret = [7; 64];
    let base = section(&Issuer::new(Algorithm::EdDsa));
    for algorithm in Algorithm::ALL {
        let (signer, keys) = match algorithm {
            Algorithm::Hs256 => (Signer::read(&secret, Some(algorithm), &random).expect("long"), secret.to_vec()),
            Algorithm::Rs256 | Algorithm::Ps256 => {
                (Signer::read(&rsa, Some(algorithm), &random).expect("a key"), rsa_public.clone())
            }
            _ => {
                let issuer = Issuer::new(algorithm);
                let keys = issuer.keys(Some("k")).to_string();
                (issuer.signer, keys.into_bytes())
            }
        };
        let read = KeySet::read(&keys, &[algorithm]).expect("keys");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let Value::Object(claims) = Issuer::claims(json!({"iat": now, "exp": now + 3600, "jti": "0b6d2bd6-9b7f"}))
        else {
            unreachable!("claims")
        };
        let header = json!({"kid": "k", "typ": "JWT"}).as_object().expect("an object").clone();
        let token = signer.sign(header, &claims, &random).expect("signed");
        let key = read.iter().next().expect("a key").clone();
        let source = JwtSource::new(JwtSection { algorithms: vec![algorithm], read, ..base.clone() });
        let at = SystemTime::now();
        let parsed = Compact::parse(&token).expect("a token");
        let (mut whole, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            whole.push(cost(|| {
                let token = Compact::parse(&token).expect("a token");
                assert!(source.verify(&token, at).is_ok());
            }));
            bare.push(cost(|| assert!(parsed.is_signed_by(&key))));
        }
        let (whole, bare) = (least(whole), least(bare));
        println!(
            "{algorithm}: {whole:.1} µs ({:.0} a second), the signature alone {bare:.1} µs: {:.1} %",
            1e6 / whole,
            100.0 * bare / whole
        );
    }
}
