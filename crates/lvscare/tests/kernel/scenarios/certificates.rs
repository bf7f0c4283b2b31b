//! Scenarios of servers whose certificate is no longer good.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use serde_json::json;

use crate::harness::{Plane, Stage, TIMEOUT, figure};

/// A server comes to show an expired certificate, later one of another authority, then a good one again.
pub fn expired(plane: Plane, six: bool) {
    let mut stage = Stage::empty(plane, six, 3);
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let ca = stage.files.path().join("ca.crt");
    fs::write(&ca, ours.pem()).expect("write the authority");
    for place in 1..=3 {
        let identity = identity(&stage, &ours, place, "good", 4096);
        stage.serve(place, &[&identity[0], &identity[1]]);
    }
    // Handshakes of unoptimised programs take their time; how long is not what is tested here.
    stage.configure(&[1, 2, 3], &json!({ "scheme": "https", "ca": ca, "timeout": "3s" }));
    let daemon = stage.care_as_configured();
    stage.await_seen(&[1, 2, 3]);
    let bad = [identity(&stage, &ours, 2, "expired", 2001), identity(&stage, &theirs, 2, "strange", 4096)];
    let good = identity(&stage, &ours, 2, "good", 4096);
    for [certificate, key] in bad {
        let before = daemon.lines().len();
        // Connections that are open show nothing new, so they end.
        stage.actor(2).tell(&format!("identity {certificate} {key}"));
        stage.actor(2).tell("close");
        stage.actor(2).tell("open");
        stage.await_seen(&[1, 3]);
        daemon.await_line(before, "Down", TIMEOUT);
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(stage.seen(), stage.set(&[1, 3]), "it stays out");
        figure(&daemon.lines()[before..].join(" "));
        stage.actor(2).tell(&format!("identity {} {}", good[0], good[1]));
        stage.await_seen(&[1, 2, 3]);
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("an authority")
}

/// The files of a certificate for a server's address that is good until a year, and of its key.
fn identity(
    stage: &Stage,
    authority: &CertifiedIssuer<'static, KeyPair>,
    place: u8,
    name: &str,
    until: i32,
) -> [String; 2] {
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    let address: IpAddr = stage.server(place).ip();
    parameters.subject_alt_names.push(SanType::IpAddress(address));
    parameters.not_before = date_time_ymd(2000, 1, 1);
    parameters.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.signed_by(&key, authority).expect("a certificate");
    let path = |end: &str| -> PathBuf { stage.files.path().join(format!("s{place}-{name}.{end}")) };
    fs::write(path("crt"), certificate.pem()).expect("write the certificate");
    fs::write(path("key"), key.serialize_pem()).expect("write the key");
    [path("crt"), path("key")].map(|path| path.display().to_string())
}
