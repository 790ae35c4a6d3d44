//! Reading from a registry that is honest, and from many that are not.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

#[path = "support/registry.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod support;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use repro::digest::Digest;
use repro::reference::ImageReference;
use repro::registry::{Blob, CredentialSources, Options, RegistryError, Repository, fetch_document, limits};
use support::{Auth, FakeRegistry, Fault};

const REPOSITORY: &str = "moby/buildkit";
const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// `user:hunter2`.
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn quick() -> Options {
    Options { retry_delay: Duration::from_millis(5), stall_timeout: Duration::from_millis(400), ..Options::default() }
}

fn open(registry: &FakeRegistry, options: Options) -> Repository {
    let reference: ImageReference = format!("{}/{REPOSITORY}", registry.host()).parse().unwrap();
    Repository::open(&reference, options).unwrap()
}

/// Options with the credentials `user:hunter2`, or what `entry` says, for this registry.
fn with_credentials(registry: &FakeRegistry, directory: &Path, entry: &str) -> Options {
    let path = directory.join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, registry.host())).unwrap();
    Options { credentials: CredentialSources::from_files(vec![path], None), ..quick() }
}

const USER: &str = r#"{"auth":"dXNlcjpodW50ZXIy"}"#;

fn pull_manifest(registry: &FakeRegistry, options: Options, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
    block_on(open(registry, options).manifest(digest)).map(|manifest| manifest.bytes)
}

/// A registry with one manifest and one blob of 300,000 bytes.
fn stocked() -> (FakeRegistry, Digest, Blob, Vec<u8>) {
    let registry = FakeRegistry::start();
    let manifest = registry.add_manifest(REPOSITORY, MANIFEST_TYPE, MANIFEST);
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let digest = registry.add_blob(REPOSITORY, &bytes);
    let blob = Blob { digest, size: bytes.len() as u64 };
    (registry, manifest, blob, bytes)
}

fn pull_to_file(registry: &FakeRegistry, options: Options, blob: &Blob) -> (Result<(), RegistryError>, Vec<u8>) {
    let mut file: File = tempfile::tempfile().unwrap();
    let result = block_on(open(registry, options).blob_to_file(blob, &mut file));
    let mut content = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut content).unwrap();
    (result, content)
}

#[test]
fn pulls_what_was_asked_for() {
    let (registry, manifest, blob, bytes) = stocked();
    assert_eq!(pull_manifest(&registry, quick(), &manifest).unwrap(), MANIFEST);
    let (result, content) = pull_to_file(&registry, quick(), &blob);
    result.unwrap();
    assert_eq!(content, bytes);
    assert_eq!(block_on(open(&registry, quick()).blob(&blob, 1 << 20)).unwrap(), bytes);
    assert!(registry.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn pulls_by_sha512() {
    let (registry, ..) = stocked();
    let mut hasher = repro::digest::Hasher::new(repro::digest::Algorithm::Sha512);
    hasher.update(MANIFEST);
    let digest = hasher.finish();
    registry.put(&format!("/v2/{REPOSITORY}/manifests/{digest}"), MANIFEST_TYPE, MANIFEST);
    assert_eq!(pull_manifest(&registry, quick(), &digest).unwrap(), MANIFEST);
}

#[test]
fn resolves_a_tag_to_the_digest_of_its_bytes() {
    let (registry, manifest, ..) = stocked();
    registry.put(&format!("/v2/{REPOSITORY}/manifests/v1"), MANIFEST_TYPE, MANIFEST);
    let resolved = block_on(open(&registry, quick()).resolve("v1")).unwrap();
    assert_eq!((resolved.digest, resolved.content_type.as_deref()), (manifest, Some(MANIFEST_TYPE)));
    let other = ("Docker-Content-Digest", Digest::of(b"other").to_string());
    registry.fail("/manifests/v1", Fault::Status(200, Some(other), "{}".to_owned()), 1);
    let error = block_on(open(&registry, quick()).resolve("v1")).unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}

#[test]
fn every_other_byte_is_an_error_that_names_both_digests() {
    let (registry, manifest, blob, bytes) = stocked();
    registry.fail("/manifests/", Fault::Body(br#"{"schemaVersion":3}"#.to_vec()), 1);
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    let other = Digest::of(br#"{"schemaVersion":3}"#);
    let expected = format!("manifest `{manifest}` from `{}` has digest `{other}`, not `{manifest}`", registry.host());
    assert_eq!(error.to_string(), expected);

    let mut changed = bytes;
    changed[150_000] ^= 1;
    registry.fail("/blobs/", Fault::Body(changed.clone()), 1);
    let (result, content) = pull_to_file(&registry, quick(), &blob);
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains(&blob.digest.to_string()) && message.contains(&Digest::of(&changed).to_string()),
        "{message}"
    );
    assert!(content.is_empty(), "nothing of it is kept");
    assert_eq!(registry.count("/blobs/"), 1, "wrong bytes are not asked for again");
}

#[test]
fn every_other_length_is_an_error() {
    let (registry, _, blob, bytes) = stocked();
    let longer = [bytes.as_slice(), b"x"].concat();
    for (fault, message) in [
        (Fault::Body(longer.clone()), "has at least 300001 bytes, its descriptor says 300000"),
        (Fault::Unsized(longer), "has at least 300001 bytes, its descriptor says 300000"),
        (Fault::Body(bytes[1..].to_vec()), "has only 299999 bytes, its descriptor says 300000"),
        (Fault::Unsized(bytes[1..].to_vec()), "has only 299999 bytes, its descriptor says 300000"),
        (Fault::Unsized(Vec::new()), "has only 0 bytes, its descriptor says 300000"),
        (Fault::Endless, "bytes, its descriptor says 300000"),
    ] {
        registry.fail("/blobs/", fault, 1);
        let (result, content) = pull_to_file(&registry, quick(), &blob);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(content.is_empty());
    }
    assert!(block_on(open(&registry, quick()).blob(&blob, 299_999)).is_err(), "refused unasked");
}

#[test]
fn manifests_have_a_ceiling() {
    let (registry, manifest, ..) = stocked();
    let large = vec![b' '; usize::try_from(limits::MANIFEST_BYTES).unwrap() + 1];
    for fault in [Fault::Body(large.clone()), Fault::Unsized(large), Fault::Endless] {
        registry.fail("/manifests/", fault, 1);
        let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
        assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn a_broken_connection_is_tried_again_and_then_told() {
    let (registry, _, blob, bytes) = stocked();
    registry.fail("/blobs/", Fault::Truncate(100_000), 2);
    let (result, content) = pull_to_file(&registry, quick(), &blob);
    result.unwrap();
    assert_eq!(content, bytes, "nothing of the broken attempts is left in the file");
    registry.fail("/blobs/", Fault::Truncate(100_000), 3);
    let (result, content) = pull_to_file(&registry, quick(), &blob);
    let error = result.unwrap_err();
    assert!(matches!(error, RegistryError::Broken { .. }), "{error}");
    assert!(content.is_empty());
    assert_eq!(registry.count("/blobs/"), 6);
}

#[test]
fn a_stalled_body_ends() {
    let (registry, manifest, blob, _) = stocked();
    for (part, fault) in
        [("/manifests/", Fault::Stall(3)), ("/manifests/", Fault::Mute), ("/blobs/", Fault::Stall(1000))]
    {
        registry.fail(part, fault, 1);
        let options = Options { connect_timeout: Duration::from_millis(200), ..quick() };
        let start = Instant::now();
        let error = if part == "/blobs/" {
            pull_to_file(&registry, options, &blob).0.unwrap_err()
        } else {
            pull_manifest(&registry, options, &manifest).unwrap_err()
        };
        assert!(matches!(error, RegistryError::Stalled { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_body_that_drips_ends() {
    let (registry, manifest, ..) = stocked();
    // Each byte comes soon enough, all of them never.
    let options = || Options { answer_timeout: Duration::from_millis(100), attempts: 1, ..quick() };
    registry.fail("/manifests/", Fault::Drip, 1);
    let error = pull_manifest(&registry, options(), &manifest);
    assert!(matches!(error, Err(RegistryError::Stalled { .. })), "{error:?}");
    let small = Blob { digest: registry.add_blob(REPOSITORY, &[b'x'; 100]), size: 100 };
    registry.fail("/blobs/", Fault::Drip, 1);
    let (result, content) = pull_to_file(&registry, options(), &small);
    let error = result.unwrap_err();
    assert!(matches!(error, RegistryError::Stalled { .. }), "{error}");
    assert!(content.is_empty());
}

#[test]
fn answers_without_end_are_refused() {
    let (registry, manifest, ..) = stocked();
    registry.fail("/manifests/", Fault::Announced(10 << 30), 1);
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    let told = format!("manifest `{manifest}` has {} bytes", 10_u64 << 30);
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}, {told}");
    registry.fail("/manifests/", Fault::Headers, 3);
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(matches!(error, RegistryError::Broken { .. }), "{error}");
    registry.fail(
        "/manifests/",
        Fault::Status(401, Some(("WWW-Authenticate", "Bearer ".repeat(5000))), String::new()),
        3,
    );
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(error.to_string().len() < 1000, "{error}");
}

#[test]
fn nobody_there_is_told() {
    let registry = FakeRegistry::start();
    let reference = format!("{}/x", registry.host()).parse().unwrap();
    drop(registry);
    let repository = Repository::open(&reference, quick()).unwrap();
    let error = block_on(repository.manifest(&Digest::of(b"x"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot reach `{}`: Connection refused (os error 111)", reference.registry())
    );
}

#[test]
fn statuses_are_told_with_the_registrys_words_and_a_hint() {
    let (registry, manifest, ..) = stocked();
    let absent = Digest::of(b"absent");
    let error = pull_manifest(&registry, quick(), &absent).unwrap_err();
    let host = registry.host();
    let words = "NAME_UNKNOWN repository [31m name not known";
    assert_eq!(error.to_string(), format!("`{host}` answers status 404 for manifest `{absent}`: {words}"));
    assert!(error.hint().contains("check repository and digest"));
    for (status, attempts, hint) in [
        (403, 1, "may not read"),
        (429, 3, "wait, or log in"),
        (500, 3, "in trouble"),
        (503, 3, "in trouble"),
        (418, 1, "address of a container registry"),
        (204, 1, "address of a container registry"),
    ] {
        let before = registry.count("/manifests/");
        registry.fail("/manifests/", Fault::Status(status, None, "<html>".to_owned()), attempts);
        let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
        assert_eq!(error.to_string(), format!("`{host}` answers status {status} for manifest `{manifest}`"));
        assert!(error.hint().contains(hint), "{status}: {}", error.hint());
        assert_eq!(registry.count("/manifests/") - before, attempts, "attempts at {status}");
    }
    let wait = |seconds: &str| Some(("Retry-After", seconds.to_owned()));
    registry.fail("/manifests/", Fault::Status(429, wait("0"), String::new()), 2);
    assert!(pull_manifest(&registry, quick(), &manifest).is_ok(), "overload passes");
    registry.fail("/manifests/", Fault::Status(429, wait("3600"), String::new()), 1);
    assert!(pull_manifest(&registry, quick(), &manifest).is_err(), "an hour is not waited");
}

#[test]
fn basic_credentials_go_to_the_registry_that_asks() {
    let (registry, manifest, ..) = stocked();
    registry.require(Auth::Basic(BASIC.to_owned()));
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    let told = "status 401 without credentials: UNAUTHORIZED authentication required";
    assert!(error.to_string().ends_with(told), "{error}");
    assert!(error.hint().contains("docker login"));

    let directory = tempfile::tempdir().unwrap();
    let options = with_credentials(&registry, directory.path(), USER);
    assert_eq!(pull_manifest(&registry, options, &manifest).unwrap(), MANIFEST);

    let wrong = with_credentials(&registry, directory.path(), r#"{"username":"user","password":"swordfish"}"#);
    let error = pull_manifest(&registry, wrong, &manifest).unwrap_err();
    assert!(error.to_string().contains("status 401 with the credentials found"), "{error}");
    assert!(!format!("{error}{error:?}").contains("swordfish"));
}

#[test]
fn credentials_are_not_sent_unasked() {
    let (registry, manifest, ..) = stocked();
    let directory = tempfile::tempdir().unwrap();
    let options = with_credentials(&registry, directory.path(), USER);
    pull_manifest(&registry, options, &manifest).unwrap();
    assert!(registry.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn a_token_is_fetched_once_and_used() {
    let (registry, manifest, blob, bytes) = stocked();
    let tokens = FakeRegistry::start();
    tokens.serve_tokens(Some(BASIC), r#"{"access_token":"t0k"}"#);
    registry.require(Auth::Token { realm: tokens.url("/token?x=y"), token: "t0k".to_owned() });
    let directory = tempfile::tempdir().unwrap();
    let repository = open(&registry, with_credentials(&registry, directory.path(), USER));
    block_on(async {
        assert_eq!(repository.manifest(&manifest).await.unwrap().bytes, MANIFEST);
        assert_eq!(repository.blob(&blob, 1 << 20).await.unwrap(), bytes);
    });
    let asked: Vec<String> = tokens.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/token?x=y&service=test+registry&scope=repository%3Amoby%2Fbuildkit%3Apull"]);
    let basic_at_the_registry =
        registry.requests().iter().any(|request| request.authorization.as_deref() == Some(BASIC));
    assert!(!basic_at_the_registry, "the password goes to the token server only");
}

#[test]
fn a_token_that_ran_out_is_fetched_anew() {
    let (registry, manifest, ..) = stocked();
    let tokens = FakeRegistry::start();
    let repository = open(&registry, quick());
    for token in ["one", "two"] {
        tokens.serve_tokens(None, &format!(r#"{{"token":"{token}"}}"#));
        registry.require(Auth::Token { realm: tokens.url("/token"), token: token.to_owned() });
        assert_eq!(block_on(repository.manifest(&manifest)).unwrap().bytes, MANIFEST);
    }
    assert_eq!(tokens.count("/token"), 2);
}

#[test]
fn an_identity_token_is_changed_into_an_access_token() {
    let (registry, manifest, ..) = stocked();
    let tokens = FakeRegistry::start();
    tokens.serve_tokens(None, r#"{"access_token":"t0k"}"#);
    registry.require(Auth::Token { realm: tokens.url("/token"), token: "t0k".to_owned() });
    let directory = tempfile::tempdir().unwrap();
    let options = with_credentials(&registry, directory.path(), r#"{"auth":"MDA6","identitytoken":"re fresh"}"#);
    assert_eq!(pull_manifest(&registry, options, &manifest).unwrap(), MANIFEST);
    let request = tokens.requests().remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/token"));
    assert_eq!(
        request.body,
        "grant_type=refresh_token&client_id=repro&service=test+registry&scope=repository%3Amoby%2Fbuildkit%3Apull&refresh_token=re+fresh"
    );
}

#[test]
fn a_token_server_that_lies_is_told() {
    let (registry, manifest, ..) = stocked();
    let tokens = FakeRegistry::start();
    registry.require(Auth::Token { realm: tokens.url("/token"), token: "t0k".to_owned() });
    for (body, reason) in [
        ("{}", "its answer holds no token"),
        ("<html>", "its answer holds no token"),
        (r#"{"token":"a\nb"}"#, "its token holds characters that no header can"),
    ] {
        tokens.serve_tokens(None, body);
        let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
        assert!(error.to_string().ends_with(reason), "{error}");
    }
    tokens.serve_tokens(None, r#"{"token":"wrong"}"#);
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    tokens.fail("/token", Fault::Endless, 1);
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    tokens.serve_tokens(Some("never"), "{}");
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(error.to_string().contains("401 without credentials: UNAUTHORIZED wrong password"), "{error}");
}

#[test]
fn passwords_go_to_no_unencrypted_or_redirected_token_server() {
    let (registry, manifest, ..) = stocked();
    let other = FakeRegistry::start();
    other.serve_tokens(None, r#"{"token":"t0k"}"#);
    let directory = tempfile::tempdir().unwrap();
    let options = || with_credentials(&registry, directory.path(), USER);
    for realm in ["http://example.com/token", "ftp://127.0.0.1/token", "http://user@127.0.0.1/token", "token"] {
        registry.require(Auth::Token { realm: realm.to_owned(), token: "t0k".to_owned() });
        let error = pull_manifest(&registry, options(), &manifest).unwrap_err();
        assert!(matches!(error, RegistryError::Token { .. }), "{realm}: {error}");
    }
    let tokens = FakeRegistry::start();
    tokens.fail("/token", Fault::Status(307, Some(("Location", other.url("/token"))), String::new()), 1);
    registry.require(Auth::Token { realm: tokens.url("/token"), token: "t0k".to_owned() });
    let error = pull_manifest(&registry, options(), &manifest).unwrap_err();
    assert!(error.to_string().contains("it redirects"), "{error}");
    assert!(other.requests().is_empty());
}

#[test]
fn redirects_are_followed_without_credentials() {
    let (registry, manifest, blob, bytes) = stocked();
    let storage = FakeRegistry::start();
    storage.put("/storage/blob", "x", &bytes);
    registry.require(Auth::Basic(BASIC.to_owned()));
    let directory = tempfile::tempdir().unwrap();
    let options = || with_credentials(&registry, directory.path(), USER);
    let to_storage = format!("/v2/{REPOSITORY}/blobs/elsewhere");
    // First within the registry, with the credentials, then to another host, without.
    let repository = open(&registry, options());
    block_on(repository.manifest(&manifest)).unwrap();
    registry.fail(&blob.digest.to_string(), Fault::Status(307, Some(("Location", to_storage)), String::new()), 1);
    let target = storage.url("/storage/blob?signature=hunter2");
    registry.fail("/blobs/elsewhere", Fault::Status(302, Some(("Location", target)), String::new()), 1);
    assert_eq!(block_on(repository.blob(&blob, 1 << 20)).unwrap(), bytes);
    let at_registry = registry.requests();
    let redirected = at_registry.iter().find(|request| request.target.ends_with("elsewhere")).unwrap();
    assert_eq!(redirected.authorization.as_deref(), Some(BASIC), "the registry itself gets them");
    let at_storage = storage.requests();
    assert_eq!(at_storage.len(), 1);
    assert_eq!(at_storage[0].authorization, None, "another host never does");
}

#[test]
fn another_host_that_asks_for_credentials_gets_none() {
    let (registry, _, blob, _) = stocked();
    let storage = FakeRegistry::start();
    storage.require(Auth::Basic(BASIC.to_owned()));
    let directory = tempfile::tempdir().unwrap();
    let options = with_credentials(&registry, directory.path(), USER);
    let target = storage.url("/v2/blob?signature=hunter2");
    registry.fail("/blobs/", Fault::Status(302, Some(("Location", target)), String::new()), 1);
    let error = pull_to_file(&registry, options, &blob).0.unwrap_err();
    assert!(matches!(error, RegistryError::Status { status: 401, .. }), "{error}");
    assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
    assert!(storage.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn a_document_is_asked_for_as_carefully() {
    let server = FakeRegistry::start();
    server.put("/recipe.toml", "text/plain", b"sde = 0\n");
    let directory = tempfile::tempdir().unwrap();
    let fetch =
        |address: &str| block_on(fetch_document(address, &with_credentials(&server, directory.path(), USER), 1000));
    assert_eq!(fetch(&server.url("/recipe.toml")).unwrap(), b"sde = 0\n");
    assert_eq!(fetch(&server.url("/recipe.toml?token=hunter2#L1")).unwrap(), b"sde = 0\n");
    for fault in [Fault::Body(vec![b' '; 1001]), Fault::Unsized(vec![b' '; 1001]), Fault::Endless] {
        server.fail("/recipe.toml", fault, 1);
        let error = fetch(&server.url("/recipe.toml")).unwrap_err();
        assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    }
    let target = "http://example.com/recipe.toml".to_owned();
    server.fail("/recipe.toml", Fault::Status(302, Some(("Location", target)), String::new()), 1);
    assert!(matches!(fetch(&server.url("/recipe.toml")).unwrap_err(), RegistryError::Redirect { .. }));
    for (address, why) in [
        (server.url("/none.toml"), "answers status 404"),
        ("http://example.com/recipe.toml?hunter2".to_owned(), "it is not encrypted"),
        ("https://user:hunter2@example.com/recipe.toml".to_owned(), "it holds a user name or a password"),
        ("https://user:hunter2@[".to_owned(), "makes no address"),
        ("https://a b/x?hunter2".to_owned(), "makes no address"),
        ("file:///etc/passwd".to_owned(), "makes no address"),
    ] {
        let error = fetch(&address).unwrap_err();
        assert!(error.to_string().contains(why), "{address}: {error}");
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
    }
    let wanted = Fault::Status(401, Some(("WWW-Authenticate", "Basic realm=x".to_owned())), String::new());
    server.fail("/recipe.toml", wanted, 1);
    assert!(fetch(&server.url("/recipe.toml")).unwrap_err().to_string().contains("answers status 401"));
    assert!(server.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn hostile_redirects_are_refused() {
    let (registry, _, blob, _) = stocked();
    let loop_to = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    for (target, times, reason) in [
        ("http://example.com/x?signature=hunter2".to_owned(), 1, "it is not encrypted and leaves this machine"),
        ("file:///etc/passwd".to_owned(), 1, "it is neither http nor https"),
        ("http://user:hunter2@127.0.0.1/".to_owned(), 1, "it holds a user name or a password"),
        ("http://[".to_owned(), 1, "the `Location` is no address"),
        (loop_to, 6, "more than 5 in a row"),
    ] {
        registry.fail("/blobs/", Fault::Status(302, Some(("Location", target)), String::new()), times);
        let error = pull_to_file(&registry, quick(), &blob).0.unwrap_err();
        assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
    }
    registry.fail("/blobs/", Fault::Status(302, None, String::new()), 1);
    let error = pull_to_file(&registry, quick(), &blob).0.unwrap_err();
    assert!(error.to_string().ends_with("there is no valid `Location`"), "{error}");
}

#[test]
fn an_unknown_kind_of_authentication_is_told() {
    let (registry, manifest, ..) = stocked();
    registry.require(Auth::Never("Negotiate".to_owned()));
    let error = pull_manifest(&registry, quick(), &manifest).unwrap_err();
    assert!(error.to_string().ends_with("not known here: `Negotiate`"), "{error}");
}

#[test]
fn a_ca_file_without_a_certificate_is_told() {
    let reference: ImageReference = "ghcr.io/moby/buildkit".parse().unwrap();
    for pem in [&b""[..], b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = Repository::open(&reference, Options { extra_roots: vec![pem.to_vec()], ..quick() }).unwrap_err();
        assert!(matches!(error, RegistryError::Client(_)), "{error}");
    }
}
