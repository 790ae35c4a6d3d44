//! `repro push` to real registries: through TLS with a login, and over connections that break.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use repro::digest::Digest;
use serde_json::Value;

use crate::harness::{Bench, Way, lab, said, ways};
use crate::support::image_builder::{ImageBuilder, file, gzip, tar};

/// An image of a few layers that do not compress.
fn archive(bench: &Bench) -> (PathBuf, Digest) {
    let noise = |seed: u32| -> Vec<u8> {
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        };
        let mut state = seed;
        std::iter::from_fn(|| next(&mut state)).take(700_000).collect()
    };
    let layers = (1..5).map(|seed| gzip(tar([file(format!("noise{seed}"), noise(seed))])));
    let layout = layers.fold(ImageBuilder::oci(), ImageBuilder::layer).build();
    let path = bench.directory("pushed").join("image.tar");
    fs::write(&path, layout.tar()).unwrap();
    (path, layout.image.unwrap())
}

fn push(bench: &Bench, variables: &[(&str, &std::ffi::OsStr)], archive: &Path, more: &[&str]) -> Output {
    let mut command = bench.repro_with(Way::Docker, variables);
    command.args(["push", "--format", "json"]).arg(archive).args(more).output().unwrap()
}

fn sent(output: &Output) -> u64 {
    assert!(output.status.success(), "{}", said(output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["references"][0]["sent"].as_u64().unwrap()
}

/// Passes on to a registry. The first connections that bring more than a layer's half are closed in the middle.
fn breaking(registry: &str, breaks: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (registry, left) = (registry.to_owned(), Arc::new(AtomicUsize::new(breaks)));
    let shared = Arc::clone(&left);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&registry).unwrap();
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Write);
            });
            let left = Arc::clone(&shared);
            std::thread::spawn(move || pass_on(client, server, &left));
        }
    });
    (address, left)
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, breaks: &AtomicUsize) {
    let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        passed += count;
        let is_broken = passed > 300_000
            && breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_broken || server.write_all(&buffer[..count]).is_err() {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

#[test]
fn connections_that_break_lose_nothing() {
    if ways().is_empty() {
        return;
    }
    let bench = Bench::plain("push-breaking");
    let (archive, digest) = archive(&bench);
    let (address, left) = breaking(&lab("LAB_REGISTRY"), 3);
    let name = format!("pushed/breaking-{}:1", std::process::id());
    let output = push(&bench, &[], &archive, &[&format!("{address}/{name}")]);
    assert_eq!((sent(&output), left.load(Ordering::SeqCst)), (5, 0), "{}", said(&output));
    let reference = format!("{}/{name}", lab("LAB_REGISTRY"));
    for words in [&["digest", &reference][..], &["validate", "--remote", &reference]] {
        let crane = Command::new("crane").args(words).output().unwrap();
        assert!(crane.status.success(), "{}", said(&crane));
        assert!(words[0] != "digest" || said(&crane).contains(digest.hex()), "{}", said(&crane));
    }
    // One that always breaks is given up, and says so.
    let (address, _) = breaking(&lab("LAB_REGISTRY"), usize::MAX);
    let other = format!("{address}/pushed/broken-{}:1", std::process::id());
    let output = push(&bench, &[], &archive, &[&other]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
}

#[test]
fn a_private_authority_a_proxy_and_a_login() {
    if ways().is_empty() {
        return;
    }
    let bench = Bench::plain("push-private");
    let (archive, digest) = archive(&bench);
    let place = bench.directory("private");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let authority = place.join("ca.crt");
    let mut proxy = Command::new(lab("LAB_MIDDLE"))
        .args(["-listen", &format!("127.0.0.1:{port}"), "-user", "me:pass%word", "-ca"])
        .arg(&authority)
        .arg(format!("-host=registry.company.example=http://{}", lab("LAB_PRIVATE_REGISTRY")))
        .stderr(fs::File::create(place.join("log")).unwrap())
        .spawn()
        .unwrap();
    let written = || authority.exists() || Command::new("sleep").arg("0.1").status().is_err();
    assert!((0..100).any(|_| written()));
    let login = place.join("auth.json");
    // lab:swordfish
    fs::write(&login, r#"{"auths":{"registry.company.example":{"auth":"bGFiOnN3b3JkZmlzaA=="}}}"#).unwrap();
    let reference = format!("registry.company.example/pushed/private-{}:1", std::process::id());
    let way = format!("--proxy=http://me:pass%25word@127.0.0.1:{port}");
    let (ca, login) = (format!("--ca={}", authority.display()), login.as_os_str());
    let run = |login: &std::ffi::OsStr, more: &[&str]| {
        push(&bench, &[("REGISTRY_AUTH_FILE", login)], &archive, &[&[reference.as_str(), &way], more].concat())
    };
    let untrusted = run(login, &[]);
    let anonymous = run(place.join("none.json").as_os_str(), &[&ca]);
    let pushed = run(login, &[&ca]);
    let again = run(login, &[&ca]);
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert!(untrusted.status.code() == Some(4) && said(&untrusted).contains("--ca"), "{}", said(&untrusted));
    assert!(anonymous.status.code() == Some(4) && said(&anonymous).contains("docker login"), "{}", said(&anonymous));
    assert_eq!((sent(&pushed), sent(&again)), (5, 0), "{}", said(&pushed));
    assert!(said(&pushed).contains(digest.hex()) && !said(&pushed).contains("swordfish"));
}
