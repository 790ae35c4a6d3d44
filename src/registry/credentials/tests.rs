use super::*;

const AUTH: &str = "dXNlcjpzZWNyZXQ="; // user:secret

fn file(text: &str) -> CredentialFile {
    serde_json::from_str(text).unwrap()
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: password.to_owned() }
}

fn entry(text: &str, registry: &str, repository: &str) -> Option<Credential> {
    file(text).entry_for(Path::new("config.json"), registry, repository).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn the_environment_names_the_files() {
    let files = |variables: &[(&str, &str)]| {
        let sources = CredentialSources::from_env(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        });
        sources.files().iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(files(&[]), [""; 0]);
    assert_eq!(files(&[("HOME", "/h")]), ["/h/.docker/config.json", "/h/.config/containers/auth.json"]);
    assert_eq!(
        files(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CONFIG_HOME", "/c")]),
        ["/d/config.json", "/r/containers/auth.json", "/c/containers/auth.json"]
    );
    assert_eq!(
        files(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json"), ("XDG_RUNTIME_DIR", "/r")]),
        ["/a.json", "/h/.docker/config.json"]
    );
    assert_eq!(files(&[("HOME", "/h"), ("DOCKER_CONFIG", "")])[0], "/h/.docker/config.json");
}

#[test]
fn finds_entries_as_docker_does() {
    let host = |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"{AUTH}"}}}}}}"#);
    for (key, registry, found) in [
        ("ghcr.io", "ghcr.io", true),
        ("https://ghcr.io", "ghcr.io", true),
        ("https://ghcr.io/v2/", "ghcr.io", true),
        ("http://ghcr.io/anything", "ghcr.io", true),
        ("ghcr.io/v1/", "ghcr.io", true),
        ("ghcr.io:443", "ghcr.io", false),
        ("ghcr.io.example.com", "ghcr.io", false),
        ("io", "ghcr.io", false),
        ("https://index.docker.io/v1/", "docker.io", true),
        ("index.docker.io", "docker.io", true),
        ("docker.io", "docker.io", true),
        ("https://registry-1.docker.io/v2/", "docker.io", true),
        ("https://index.docker.io/v1/", "index.docker.io.example.com", false),
        ("127.0.0.1:5000", "127.0.0.1:5000", true),
        ("127.0.0.1", "127.0.0.1:5000", false),
    ] {
        let expected = found.then(|| basic("user", "secret"));
        assert_eq!(entry(&host(key), registry, "a/b"), expected, "`{key}` for `{registry}`");
    }
}

#[test]
fn finds_the_longest_entry_as_podman_does() {
    let text = r#"{"auths":{
        "quay.io": {"username":"host","password":"x"},
        "quay.io/team": {"username":"team","password":"x"},
        "quay.io/team/app": {"username":"app","password":"x"},
        "ghcr.io/other": {"username":"other","password":"x"}
    }}"#;
    for (registry, repository, username) in [
        ("quay.io", "any", Some("host")),
        ("quay.io", "teams/app", Some("host")),
        ("quay.io", "team/x", Some("team")),
        ("quay.io", "team/app", Some("app")),
        ("quay.io", "team/app/x", Some("app")),
        ("quay.io", "team/apple", Some("team")),
        ("ghcr.io", "other/x", Some("other")),
        ("ghcr.io", "x", None),
        ("docker.io", "team/app", None),
    ] {
        assert_eq!(entry(text, registry, repository), username.map(|name| basic(name, "x")), "{registry}/{repository}");
    }
}

#[test]
fn decodes_every_kind_of_entry() {
    let one = |entry: &str| super::tests::entry(&format!(r#"{{"auths":{{"r":{entry}}}}}"#), "r", "a");
    assert_eq!(one(r#"{"auth":"dXNlcjpzZWNyZXQ"}"#), Some(basic("user", "secret")), "without padding");
    assert_eq!(one(r#"{"auth":"dXNlcjphOmI="}"#), Some(basic("user", "a:b")), "a colon in the password");
    assert_eq!(one(r#"{"username":"u","password":"p"}"#), Some(basic("u", "p")));
    assert_eq!(
        one(&format!(r#"{{"auth":"{AUTH}","identitytoken":"t"}}"#)),
        Some(Credential::IdentityToken("t".into()))
    );
    assert_eq!(one(r#"{"registrytoken":"t"}"#), Some(Credential::RegistryToken("t".into())));
    assert_eq!(one("{}"), None);
    assert_eq!(one(r#"{"username":"u"}"#), None);
    let bad = file(r#"{"auths":{"r":{"auth":"c2VjcmV0"}}}"#).entry_for(Path::new("f"), "r", "a").unwrap_err();
    assert_eq!(bad.to_string(), "the entry `r` of `f` cannot be decoded");
}

#[test]
fn a_broken_file_is_told_without_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, r#"{"auths":{"r":"hunter2"}}"#).unwrap();
    let good = directory.path().join("auth.json");
    std::fs::write(&good, r#"{"auths":{"r":{"username":"u","password":"p"}}}"#).unwrap();
    let missing = directory.path().join("missing.json");
    let lookup = block_on(CredentialSources::from_files(vec![missing, path, good], None).find("r", "a"));
    assert_eq!(lookup.credential, Some(basic("u", "p")), "the next file is asked");
    assert_eq!(lookup.problems.len(), 1);
    assert!(!lookup.problems[0].to_string().contains("hunter2"), "{}", lookup.problems[0]);
}

/// A directory with the helper `docker-credential-NAME`, a shell script.
fn helper(name: &str, script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("docker-credential-{name}"));
    // Written by a child: a file that another test's child inherits open for writing cannot be executed (ETXTBSY).
    let write = r#"printf '%s\n' '#!/bin/sh' "$1" >"$2" && chmod 755 "$2""#;
    let status = std::process::Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status();
    assert!(status.unwrap().success());
    directory
}

fn ask(config: &str, helpers: &Path, registry: &str) -> Lookup {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, config).unwrap();
    let search = std::env::join_paths([helpers, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    block_on(CredentialSources::from_files(vec![path], Some(search)).find(registry, "a/b"))
}

#[test]
fn asks_helpers_by_their_protocol() {
    let echo =
        helper("x", r#"read -r key || true; printf '{"ServerURL":"","Username":"user","Secret":"%s %s"}' "$1" "$key""#);
    for (config, registry, secret) in [
        (r#"{"credHelpers":{"ghcr.io":"x"}}"#, "ghcr.io", "get ghcr.io"),
        (r#"{"credsStore":"x"}"#, "ghcr.io", "get ghcr.io"),
        (r#"{"credsStore":"x"}"#, "docker.io", "get https://index.docker.io/v1/"),
        (r#"{"credsStore":"none","credHelpers":{"ghcr.io":"x"}}"#, "ghcr.io", "get ghcr.io"),
        (r#"{"credHelpers":{"docker.io":"x"}}"#, "docker.io", "get docker.io"),
    ] {
        let lookup = ask(config, echo.path(), registry);
        assert!(lookup.problems.is_empty(), "{:?}", lookup.problems);
        assert_eq!(lookup.credential, Some(basic("user", secret)), "{config}");
    }
    let token = helper("x", r#"printf '{"Username":"<token>","Secret":"t"}'"#);
    let lookup = ask(r#"{"credsStore":"x"}"#, token.path(), "r.io");
    assert_eq!(lookup.credential, Some(Credential::IdentityToken("t".to_owned())));
}

#[test]
fn a_helper_that_fails_is_told_and_passed_over() {
    let config = format!(r#"{{"credsStore":"x","auths":{{"r.io":{{"auth":"{AUTH}"}}}}}}"#);
    for (script, problem) in [
        ("echo 'credentials not found in native keychain'; exit 1", None),
        ("echo hunter2; exit 3", Some("credential helper `docker-credential-x`: exit status: 3")),
        ("echo hunter2", Some("credential helper `docker-credential-x`: its answer is not the JSON that it should be")),
    ] {
        let directory = helper("x", script);
        let lookup = ask(&config, directory.path(), "r.io");
        assert_eq!(lookup.credential, Some(basic("user", "secret")), "the file's own entry is used");
        assert_eq!(lookup.problems.first().map(ToString::to_string).as_deref(), problem);
    }
    let nothing = tempfile::tempdir().unwrap();
    let lookup = ask(r#"{"credsStore":"absent-helper"}"#, nothing.path(), "r.io");
    assert!(lookup.credential.is_none());
    assert!(
        lookup.problems[0].to_string().starts_with("credential helper `docker-credential-absent-helper`: No such file")
    );
    let lookup = ask(r#"{"credsStore":"../x"}"#, nothing.path(), "r.io");
    assert_eq!(lookup.problems[0].to_string(), "credential helper `docker-credential-../x`: the name is a path");
}

#[test]
fn debug_output_shows_no_secret() {
    for credential in [
        basic("user", "hunter2"),
        Credential::IdentityToken("hunter2".into()),
        Credential::RegistryToken("hunter2".into()),
    ] {
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}
