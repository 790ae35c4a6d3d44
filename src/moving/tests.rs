use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Given<'a> {
    files: &'a [(&'a str, &'a str)],
    arguments: &'a [(&'a str, &'a str)],
    contexts: &'a [&'a str],
    target: Option<&'a str>,
    frontend: Option<&'a str>,
}

fn found_in(text: &str, given: &Given) -> Vec<Moving> {
    let dockerfile = Dockerfile::parse(text.as_bytes()).unwrap();
    let arguments = given.arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let contexts = given.contexts.iter().map(|name| (*name).to_owned()).collect();
    let files =
        |path: &str| given.files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.as_bytes().to_vec());
    find(&Inputs {
        text: text.as_bytes(),
        dockerfile: &dockerfile,
        target: given.target,
        arguments: &arguments,
        contexts: &contexts,
        frontend: given.frontend,
        files: &files,
    })
}

/// The findings, as `LINE RULE`; a question mark is behind what may move.
fn ids(text: &str, given: &Given) -> Vec<String> {
    let mark = |severity| if severity == Severity::MayMove { "?" } else { "" };
    found_in(text, given)
        .iter()
        .map(|found| format!("{} {}{}", found.first_line, found.id, mark(found.severity)))
        .collect()
}

#[track_caller]
fn check(text: &str, given: &Given, expected: &[&str]) {
    assert_eq!(ids(text, given), expected, "{text}");
}

/// What one RUN has, without line numbers.
#[track_caller]
fn check_run(script: &str, files: &[(&str, &str)], expected: &[&str]) {
    let text = format!("FROM scratch\nWORKDIR /app\nCOPY . .\nRUN {script}\n");
    let found = ids(&text, &Given { files, ..Given::default() });
    let found: Vec<&str> = found.iter().filter_map(|line| line.split_once(' ')).map(|(_, id)| id).collect();
    assert_eq!(found, expected, "RUN {script}");
}

const DIGEST: &str = "@sha256:0123456789012345678901234567890123456789012345678901234567890123";
const COMMIT: &str = "0123456789012345678901234567890123456789";

#[test]
fn images() {
    let none = Given::default();
    for (text, expected) in [
        ("FROM debian", &["1 base-image"][..]),
        ("FROM debian:bookworm", &["1 base-image"]),
        ("FROM debian:bookworm-20240110", &["1 base-image?"]),
        ("FROM scratch", &[]),
        ("FROM --platform=$BUILDPLATFORM debian:12 AS a", &["1 base-image"]),
        ("FROM scratch AS a\nFROM a", &[]),
        ("FROM scratch AS a\nFROM A", &[]),
        ("FROM b\nFROM scratch AS b\nCOPY --from=0 x y", &["1 base-image"]),
        ("ARG V=12\nFROM debian:$V", &["2 base-image"]),
        ("ARG V\nFROM debian:$V", &["2 unresolved-image?"]),
        ("ARG V\nFROM debian:${V:-12}", &["2 base-image"]),
        ("FROM debian:$TARGETARCH", &["1 unresolved-image?"]),
        ("FROM scratch AS a-amd64\nFROM a-$TARGETARCH", &[]),
        ("FROM scratch\nCOPY --from=busybox:latest a b", &["2 copied-image"]),
        ("FROM scratch AS a\nFROM scratch\nCOPY --from=a a b\nCOPY --from=0 a b", &[]),
        ("FROM scratch\nRUN --mount=type=bind,from=busybox,target=/x a", &["2 mounted-image"]),
        ("FROM scratch AS a\nFROM scratch\nRUN --mount=from=a,target=/x a", &[]),
        ("FROM scratch\nRUN --mount=type=cache,target=/x a", &[]),
        ("FROM scratch\nONBUILD COPY --from=busybox a b", &["2 copied-image?"]),
        ("# syntax=docker/dockerfile:1\nFROM scratch", &["1 frontend-image"]),
        ("# a comment\n# syntax=docker/dockerfile:1\nFROM scratch", &[]),
        // What is not built is not read.
        ("FROM debian AS unused\nFROM scratch", &[]),
    ] {
        check(text, &none, expected);
    }
    for line in ["FROM debian", "ARG I=debian:12\nFROM $I", "ARG D\nFROM debian@$D", "FROM scratch\nCOPY --from=a/b"] {
        let text = if line.contains('$') { line.replace(":12", DIGEST) } else { format!("{line}{DIGEST} x y") };
        check(&text, &none, &[]);
    }
    check(&format!("# syntax=docker/dockerfile:1{DIGEST}\nFROM scratch"), &none, &[]);
}

#[test]
fn what_is_given_is_known() {
    let text = "ARG V\nFROM debian:$V";
    let pinned = format!("12{DIGEST}");
    check(text, &Given { arguments: &[("V", "12")], ..Given::default() }, &["2 base-image"]);
    check(text, &Given { arguments: &[("V", &pinned)], ..Given::default() }, &[]);
    check("FROM debian", &Given { contexts: &["debian"], ..Given::default() }, &[]);
    check("FROM docker.io/library/debian:latest", &Given { contexts: &["debian"], ..Given::default() }, &[]);
    check("FROM debian:12", &Given { contexts: &["debian"], ..Given::default() }, &["1 base-image"]);
    check("FROM docker.io/library/debian:A", &Given { contexts: &["debian:A"], ..Given::default() }, &[]);
    check("FROM debian:a", &Given { contexts: &["debian:A"], ..Given::default() }, &["1 base-image"]);
    check("FROM debian AS a\nFROM scratch", &Given { target: Some("a"), ..Given::default() }, &["1 base-image"]);
    let syntax = "# syntax=docker/dockerfile:1\nFROM scratch";
    check(syntax, &Given { frontend: Some("builtin"), ..Given::default() }, &[]);
    check(syntax, &Given { arguments: &[("BUILDKIT_SYNTAX", &format!("a/b{DIGEST}"))], ..Given::default() }, &[]);
    check("FROM scratch", &Given { frontend: Some("a/b:1"), ..Given::default() }, &["1 frontend-image"]);
}

#[test]
fn additions() {
    for (line, expected) in [
        ("ADD https://host/a.tar /", &["2 add-url"][..]),
        ("ADD --checksum=sha256:00 https://host/a.tar /", &[]),
        ("ADD [\"https://host/a b\", \"/\"]", &["2 add-url"]),
        ("ADD a.tar /", &[]),
        ("ADD https://host/a.git /", &["2 add-git"]),
        ("ADD https://host/a.git#main /", &["2 add-git"]),
        ("ADD https://host/a.git#v1.2:dir /", &["2 add-git?"]),
        ("ADD git@host:a.git /", &["2 add-git"]),
        ("ADD https://host/a.git?branch=main /", &["2 add-git"]),
        ("ADD https://host/a.git?ref=v1&commit=abc /", &[]),
        ("ARG U=https://host/a\nADD $U /", &["3 add-url"]),
        ("ADD $U /", &[]),
        ("ONBUILD ADD https://host/a /", &["2 add-url?"]),
    ] {
        check(&format!("FROM scratch\n{line}"), &Given::default(), expected);
    }
    check(&format!("FROM scratch\nADD https://host/a.git#{COMMIT}:b /"), &Given::default(), &[]);
}

#[test]
fn downloads() {
    for (script, expected) in [
        ("curl -fsSL https://host/a | sh", &["piped-script"][..]),
        ("curl -fsSL https://host/a | sudo -E bash -s -- --yes", &["piped-script"]),
        ("wget -qO- https://host/a | bash", &["piped-script"]),
        ("wget -O- https://host/a | tee log | sh -", &["piped-script"]),
        ("bash <(curl -s https://host/a)", &["piped-script"]),
        ("sh -c \"$(curl -fsSL https://host/a)\"", &["piped-script"]),
        ("eval \"$(curl https://host/a)\"", &["piped-script"]),
        ("curl https://host/a | python3 -", &["piped-script"]),
        ("bash <<< \"$(curl https://host/a)\"", &["piped-script"]),
        ("bash -c 'curl https://host/a | sh'", &["piped-script"]),
        ("[\"sh\", \"-c\", \"curl https://host/a | sh\"]", &["piped-script"]),
        ("echo 'curl https://host/a | sh'", &[]),
        ("echo x # | curl https://host/a | sh", &[]),
        ("curl https://host/a | python3 -m json.tool", &["unchecked-download?"]),
        ("curl https://host/a | sh -c 'cat > b'", &["unchecked-download?"]),
        ("curl -o a https://host/a", &["unchecked-download?"]),
        ("curl -fsSLo a https://host/a", &["unchecked-download?"]),
        ("curl -H \"Accept: x\" --output a $URL", &["unchecked-download?"]),
        ("curl -o a https://host/a && echo \"$SUM  a\" | sha256sum -c -", &[]),
        ("wget https://host/a && [ \"$(sha256sum a | cut -d' ' -f1)\" = \"$SUM\" ]", &[]),
        ("wget https://host/a https://host/a.asc; gpg --batch --verify a.asc a", &[]),
        ("curl -o a https://host/a && verify_checksum a", &[]),
        ("sha256sum -c b && curl -o a https://host/a", &["unchecked-download?"]),
        ("curl -o a https://host/releases/latest/download/a", &["unchecked-download"]),
        ("curl https://host/a | tar xz", &["unchecked-download?"]),
        (
            "curl --version && curl -I https://host/ && curl -f http://localhost:80/ && curl -o /dev/null https://host",
            &[],
        ),
        ("curl -X POST https://host/a", &[]),
        ("apt-get install -y curl=7.88 wget=1", &[]),
        ("<<E\ncurl https://host/a | sh\nE", &["piped-script"]),
        ("git clone https://host/a", &["git-clone"]),
        ("git clone --depth 1 -b v1.2 https://host/a b", &["git-clone?"]),
        ("git clone -b main https://host/a", &["git-clone"]),
        ("git clone https://host/a && cd a && git checkout $COMMIT", &[]),
        ("git clone https://host/a && git -C a checkout v1.2", &["git-clone?"]),
        ("git clone ./a b", &[]),
        ("echo git clone https://host/a", &[]),
    ] {
        check_run(script, &[], expected);
    }
    check_run(&format!("curl https://host/raw/{COMMIT}/a | sh"), &[], &[]);
    let both = format!(
        "git clone https://h/a && git clone https://h/b && git -C a checkout {COMMIT} && git -C b reset --hard {COMMIT}"
    );
    check_run(&both, &[], &[]);
    let checked = "FROM scratch\nRUN curl -o a https://host/a\nRUN sha256sum -c sums";
    check(checked, &Given::default(), &[]);
    let later = "ARG C=7c1566b\nFROM scratch\nARG C\nRUN git clone https://h/a\nRUN cd a && git checkout ${C} && make";
    check(later, &Given::default(), &[]);
    let other = "FROM scratch\nRUN curl -o a https://host/a\nRUN curl -o b https://host/b && sha256sum -c sums";
    check(other, &Given::default(), &["2 unchecked-download?"]);
}

#[test]
fn packages_of_distributions() {
    for (script, expected) in [
        ("apt-get update && apt-get install -y --no-install-recommends curl git", &["apt-packages"][..]),
        ("DEBIAN_FRONTEND=noninteractive apt-get -qqy install curl", &["apt-packages"]),
        ("apt install -t bookworm-backports curl", &["apt-packages"]),
        ("apt-get install -y curl=7.88.1-10", &[]),
        ("apt-get install -y curl=$CURL_VERSION git=1:*", &[]),
        ("apt-get install -y $PACKAGES $(cat packages)", &[]),
        ("xargs apt-get install -y < packages", &[]),
        ("apt-get install -y ./a.deb /tmp/b.deb", &[]),
        ("apt-get install --download-only curl", &[]),
        ("apt-get install -yd curl", &[]),
        ("apt-get --snapshot 20250101T000000Z install curl", &[]),
        ("echo apt-get install curl", &[]),
        ("echo 'x' && : apt-get install curl", &[]),
        ("apt-get update # apt-get install curl", &[]),
        ("apt-get remove curl", &[]),
        ("apt-get upgrade -y", &["system-upgrade"]),
        ("if true; then apt-get install -y curl; fi", &["apt-packages"]),
        ("sed -i s,deb.debian.org,snapshot.debian.org/archive/debian/20250101T000000Z, x && apt-get install curl", &[]),
        ("--mount=type=bind,source=apt,target=/etc/apt/sources.list.d apt-get install curl", &[]),
        ("--mount=type=cache,target=/var/lib/apt/lists apt-get install curl", &["apt-packages"]),
        ("p='curl git'; apt-get install $p", &["apt-packages"]),
        ("apk add --no-cache curl", &["apk-packages"]),
        ("apk add --no-cache -t .build-deps gcc=13.2-r0", &[]),
        ("apk add --virtual .deps 'curl~8' git=$GIT", &[]),
        ("apk add 'curl>8'", &["apk-packages"]),
        ("apk -U upgrade", &["system-upgrade"]),
        ("apk del curl", &[]),
        ("dnf install -y gcc", &["rpm-packages"]),
        ("yum -y install java-17-openjdk", &["rpm-packages"]),
        ("microdnf install -y gcc-11.4.1-3.el9 git-2.43.0", &[]),
        ("dnf install --releasever=2023.5.20240916 gcc", &[]),
        ("dnf -y update", &["system-upgrade"]),
        ("dnf install ./a.rpm", &[]),
        ("dnf install --enablerepo crb gcc-11.4.1", &[]),
        ("zypper -n in gcc", &["zypper-packages"]),
        ("zypper in -y gcc=13", &[]),
        ("pacman -Syu --noconfirm git", &["system-upgrade"]),
        ("pacman -S --noconfirm git", &["pacman-packages"]),
        ("pacman -Scc", &[]),
    ] {
        check_run(script, &[], expected);
    }
    let sources = |text: &'static str, files: &[(&str, &str)], expected: &[&str]| {
        check(text, &Given { files, ..Given::default() }, expected);
    };
    let copied = "FROM scratch\nCOPY sources.list /etc/apt/\nRUN apt-get install curl";
    sources(copied, &[("sources.list", "deb http://deb.debian.org")], &["3 apt-packages"]);
    sources(copied, &[("sources.list", "deb http://snapshot.debian.org")], &[]);
    sources(copied, &[], &[]);
    sources("FROM scratch AS a\nRUN repro-sources-list.sh\nFROM a\nRUN apt-get install curl", &[], &[]);
    let named = "FROM scratch\nARG M=http://snapshot.debian.org/x\nRUN echo \"deb ${M%/} x\" >/etc/apt/sources.list && apt-get install curl";
    sources(named, &[], &[]);
    let other = Given { arguments: &[("M", "http://deb.debian.org/debian")], ..Given::default() };
    check(named, &other, &["3 apt-packages"]);
    sources("FROM scratch\nSHELL [\"powershell\"]\nRUN apt-get install curl", &[], &[]);
    sources("FROM scratch\nONBUILD RUN apt-get install curl", &[], &["2 apt-packages?"]);
    sources("FROM scratch\nENV P=\"curl git\"\nRUN apt-get install $P", &[], &["3 apt-packages"]);
}

#[test]
fn packages_of_python() {
    let project = ("pyproject.toml", "[project]\nname = 'a'\ndependencies = ['flask', 'x==1']");
    for (script, files, expected) in [
        ("pip install flask", &[][..], &["pip-packages"][..]),
        ("pip install --no-cache-dir -U pip setuptools==1.2", &[], &["pip-packages"]),
        ("pip install flask==2.0", &[], &["pip-hashes?"]),
        ("pip install \"flask>=2,<3\"", &[], &["pip-packages"]),
        ("pip install flask==$V", &[], &["pip-hashes?"]),
        ("pip install $PACKAGES", &[], &[]),
        ("pip install --require-hashes -r r.txt", &[("r.txt", "flask")], &[]),
        ("pip install -r r.txt", &[("r.txt", "flask==1 \\\n  --hash=sha256:00\n# flask\n")], &[]),
        ("pip install -qr r.txt", &[("r.txt", "flask==1\n")], &["pip-hashes?"]),
        ("pip install -r r.txt", &[("r.txt", "a==1\nflask>1 # why\n")], &["pip-packages"]),
        ("pip install -r r.txt", &[("r.txt", "-r b.txt\n"), ("b.txt", "flask")], &["pip-packages"]),
        ("pip install -r r.txt", &[("r.txt", "-r r.txt\n")], &[]),
        ("pip install -r r.txt -c c.txt", &[("r.txt", "flask")], &[]),
        ("pip install -r r.txt", &[], &[]),
        ("uv pip install --system --some-option value --requirements r.txt", &[("r.txt", "a==1")], &["pip-hashes?"]),
        ("pip install --some-flag a b", &[], &["pip-packages"]),
        ("pip install .", &[project], &["pip-packages?"]),
        ("pip install --no-deps .", &[project], &[]),
        ("pip install ./a.whl", &[], &[]),
        ("PIP_NO_INDEX=1 pip install flask", &[], &[]),
        ("python3 -m pip install flask", &[], &["pip-packages"]),
        ("python3 -m venv v && v/bin/pip install flask", &[], &["pip-packages"]),
        ("uv pip install --system flask", &[], &["pip-packages"]),
        ("uv pip sync r.txt", &[("r.txt", "flask==1 --hash=sha256:00")], &[]),
        ("uv sync", &[("uv.lock", ""), project], &["python-lock?"]),
        ("uv sync", &[project], &["python-lock"]),
        ("uv sync --frozen --no-dev", &[("uv.lock", ""), project], &[]),
        ("uv sync --locked", &[("uv.lock", ""), project], &[]),
        ("uv tool install ruff", &[], &["pip-packages"]),
        ("pipx install poetry==1.8", &[], &[]),
        ("pipx install poetry", &[], &["pip-packages"]),
        ("poetry install", &[project], &["python-lock"]),
        ("poetry install --no-root", &[("poetry.lock", ""), project], &[]),
        ("pdm sync", &[("pdm.lock", ""), project], &[]),
        ("pipenv install", &[("Pipfile.lock", ""), ("Pipfile", "")], &["python-lock?"]),
        ("pipenv install --system --deploy", &[("Pipfile.lock", ""), ("Pipfile", "")], &[]),
        ("conda install -y -c conda-forge numpy", &[], &["conda-packages"]),
        ("conda install numpy=1.26=py_0", &[], &[]),
        ("conda create -n x --file e.lock", &[("e.lock", "@EXPLICIT\nhttps://a")], &[]),
        ("conda env create -f e.yml", &[("e.yml", "dependencies:\n  - numpy\n")], &["conda-packages"]),
        ("conda env create -f e.yml", &[("e.yml", "name: x\nchannels:\n  - a\ndependencies:\n  - numpy=1.2=x\n")], &[]),
        ("micromamba install -f conda-lock.yml", &[("conda-lock.yml", "package:\n- name: x")], &[]),
        ("echo pip install flask", &[], &[]),
    ] {
        check_run(script, files, expected);
    }
    let mounted = "FROM scratch\nWORKDIR /app\nRUN --mount=type=bind,source=uv.lock,target=uv.lock --mount=type=bind,source=pyproject.toml,target=pyproject.toml uv sync";
    check(mounted, &Given { files: &[("uv.lock", ""), project], ..Given::default() }, &["3 python-lock?"]);
    check(
        "FROM scratch\nENV UV_FROZEN=1\nCOPY . .\nRUN uv sync",
        &Given { files: &[project], ..Given::default() },
        &[],
    );
}

#[test]
fn packages_of_node() {
    let package = ("package.json", "{}");
    for (script, files, expected) in [
        ("npm ci", &[package, ("package-lock.json", "")][..], &[][..]),
        ("npm install", &[package, ("package-lock.json", "")], &["node-lock?"]),
        ("npm i --omit dev", &[package], &["node-lock"]),
        ("npm install", &[], &[]),
        ("npm install --no-package-lock", &[package, ("package-lock.json", "")], &["node-lock"]),
        ("npm install -g typescript", &[], &["npm-packages"]),
        ("npm i -g typescript@5.4.2 @angular/cli@17.0.1", &[], &[]),
        ("npm i -g @angular/cli", &[], &["npm-packages"]),
        ("npm i -g npm@latest", &[], &["npm-packages"]),
        ("npm i -g npm@^10", &[], &["npm-packages"]),
        ("npm i -g npm@$NPM", &[], &[]),
        ("npm install -g .", &[], &[]),
        ("npm install ./a.tgz", &[], &[]),
        ("npm run build", &[package], &[]),
        ("yarn", &[package, ("yarn.lock", "")], &["node-lock?"]),
        ("yarn install --frozen-lockfile", &[package, ("yarn.lock", "")], &[]),
        ("yarn install --immutable", &[package], &[]),
        ("yarn install", &[package], &["node-lock"]),
        ("yarn build", &[package], &[]),
        ("yarn global add serve", &[], &["npm-packages"]),
        ("pnpm install --frozen-lockfile", &[package], &[]),
        ("pnpm i", &[package, ("pnpm-lock.yaml", "")], &["node-lock?"]),
        ("pnpm add -g serve@14.2.0", &[], &[]),
        ("corepack enable && corepack prepare pnpm@latest --activate", &[], &["npm-packages"]),
        ("corepack prepare pnpm@9.1.0 --activate", &[], &[]),
        ("bun install", &[package, ("bun.lockb", "")], &["node-lock?"]),
        ("cd web && npm install", &[("web/package.json", "{}")], &["node-lock"]),
        ("npm --prefix web install", &[("web/package.json", "{}")], &["node-lock"]),
        ("cd $X && npm install", &[package], &[]),
    ] {
        check_run(script, files, expected);
    }
    let given = Given { files: &[package, ("package-lock.json", "")], ..Given::default() };
    check("FROM scratch\nWORKDIR /a\nCOPY package*.json ./\nRUN npm install", &given, &["4 node-lock?"]);
    check("FROM scratch\nWORKDIR /a\nCOPY package.json ./\nRUN npm install", &given, &["4 node-lock"]);
    check("FROM scratch\nWORKDIR /a\nCOPY --from=x . .\nRUN npm install", &given, &["3 copied-image"]);
}

#[test]
fn packages_of_other_languages() {
    let cargo = ("Cargo.toml", "[dependencies]\na = '1'");
    let module = ("go.mod", "module a\nrequire b v1.0.0");
    for (script, files, expected) in [
        ("cargo install ripgrep", &[][..], &["cargo-packages"][..]),
        ("cargo install --locked ripgrep", &[], &["cargo-packages"]),
        ("cargo install ripgrep --version 14.1.0", &[], &["cargo-packages?"]),
        ("cargo install --locked ripgrep@14.1.0", &[], &[]),
        ("cargo install --git https://host/a", &[], &["cargo-packages"]),
        ("cargo install --locked --git https://host/a --rev abc", &[], &[]),
        ("cargo install --path .", &[cargo], &["cargo-packages?"]),
        ("cargo install --locked --path .", &[cargo], &[]),
        ("cargo build --release", &[cargo], &["cargo-lock"]),
        ("cargo build --release", &[cargo, ("Cargo.lock", "")], &[]),
        ("cargo build", &[], &[]),
        ("rustup toolchain install stable", &[], &["rust-toolchain"]),
        ("rustup toolchain install 1.88.0 nightly-2025-06-01", &[], &[]),
        ("rustup target add x86_64-unknown-linux-musl", &[], &[]),
        ("go install example.com/x@latest", &[], &["go-packages"]),
        ("go install example.com/x@v1.2.3", &[], &[]),
        ("go install example.com/x@$V ./...", &[], &[]),
        ("go mod download", &[module], &["go-sum?"]),
        ("go mod download", &[module, ("go.sum", "")], &[]),
        ("go build ./...", &[("go.mod", "module a\n")], &[]),
        ("gem install bundler", &[], &["gem-packages"]),
        ("gem install bundler -v 2.5.0", &[], &[]),
        ("gem install bundler:2.5.0 --no-document", &[], &[]),
        ("bundle install", &[("Gemfile", "")], &["bundler-lock"]),
        ("bundle install", &[("Gemfile", ""), ("Gemfile.lock", "")], &[]),
        ("bundle exec rake", &[("Gemfile", "")], &[]),
        ("composer install", &[("composer.json", "{}")], &["composer-lock"]),
        ("composer install --no-dev", &[("composer.json", "{}"), ("composer.lock", "")], &[]),
        ("composer require a/b:^1", &[], &["composer-packages"]),
        ("composer require a/b:1.2.3", &[], &[]),
        ("composer update", &[], &["composer-lock"]),
        ("pecl install redis", &[], &["pecl-packages"]),
        ("pecl install redis-6.0.2", &[], &[]),
        (
            "mvn -B package",
            &[("pom.xml", "<dependencies><dependency><version>LATEST</version></dependency></dependencies>")],
            &["maven-versions"],
        ),
        (
            "./mvnw package",
            &[("pom.xml", "<dependencies><dependency><version>1.0</version></dependency></dependencies>")],
            &[],
        ),
        ("./gradlew build", &[("build.gradle", "implementation 'a:b:1.+'")], &["gradle-versions"]),
        ("gradle build", &[("build.gradle", "implementation 'a:b:1.+'"), ("gradle.lockfile", "")], &[]),
    ] {
        check_run(script, files, expected);
    }
}

#[test]
fn a_finding_names_its_lines_and_says_what_to_write() {
    let text = "FROM debian:12 AS x\n# why\nRUN set -e; \\\n  # a comment\n  apt-get update; \\\n  apt-get install -y \\\n    curl \\\n    git\nRUN <<E\nset -e\ncurl https://host/a |\n  sh\nE\n";
    let found = found_in(text, &Given::default());
    let lines: Vec<_> = found.iter().map(|found| (found.first_line, found.last_line, found.id)).collect();
    assert_eq!(lines, [(1, 1, "base-image"), (6, 8, "apt-packages"), (11, 12, "piped-script")]);
    assert_eq!(
        found[0].fix,
        "`FROM debian:12@sha256:DIGEST AS x`; `docker buildx imagetools inspect` shows the digest"
    );
    assert_eq!(found[1].what, "no version of `curl`, `git`");
    assert_eq!(found[2].what, "`sh` runs what comes from `https://host/a`");
    let json = serde_json::to_value(&found[1]).unwrap();
    assert_eq!(json["severity"], "moves");
    let text = "FROM scratch\nADD https://host/\u{1b}[2Ja b";
    assert_eq!(found_in(text, &Given::default())[0].what, "`https://host/\\u{1b}[2Ja`");
    let text = "FROM scratch\nADD --chown=1 https://host/a b";
    assert_eq!(found_in(text, &Given::default())[0].fix, "`ADD --chown=1 --checksum=sha256:DIGEST https://host/a b`");
}

#[test]
fn the_documentation_has_every_rule() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/moving-inputs.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = rows.map(|(id, _)| id).collect();
    let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(documented, rules);
}

/// A megabyte of what would take minutes if the work grew with the square of it.
#[test]
fn a_large_file_is_read() {
    let long_line = |piece: &str| format!("RUN {}\n", piece.repeat(60_000 / piece.len()));
    for piece in [
        "RUN apt-get install a b c && curl https://host/a | sh\n".to_owned(),
        "RUN git clone https://host/a && pip install a==1 -r r.txt\n".to_owned(),
        "FROM scratch AS a\n".to_owned(),
        "ENV A=$A$A$A B=b\nRUN echo $A $B ${A:-${B:-c}}\n".to_owned(),
        "ENV A=$A$A$A B=b\nFROM a AS a\n".to_owned(),
        "COPY r.txt r.txt\nRUN pip install -r r.txt\n".to_owned(),
        long_line("sh|"),
        long_line("$A"),
        long_line("(a;"),
        long_line("if "),
        long_line("echo $(a);"),
        long_line("git clone x://y;"),
        long_line("${"),
        long_line("curl x|sh -c 'a';"),
    ] {
        let text = format!("FROM scratch AS a\n{}", piece.repeat(((1 << 20) / piece.len()).clamp(1, 4_000)));
        let found = found_in(&text, &Given { files: &[("r.txt", "a")], ..Given::default() });
        assert!(found.len() <= MOVING_FINDINGS);
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if Dockerfile::parse(text.as_bytes()).is_ok() {
            let _ = found_in(&text, &Given::default());
        }
    }

    #[test]
    fn no_mix_of_words_panics(words in proptest::collection::vec(proptest::sample::select(vec![
        "\nRUN ", "\nFROM ", "\nCOPY ", "\nADD ", "\nENV ", "\nARG ", "\nONBUILD ", "\nWORKDIR ", " --from=", "--mount=", "apt-get ", "install ",
        "pip ", "-r ", "npm ", "curl ", "https://h/a.git#b?c ", "| ", "sh ", "-c ", "$(", ")", "`", "'", "\"", "$", "${A", ":-", "}", "<<E ", "\nE\n",
        "git ", "clone ", "cargo ", "go ", "get ", "@", "=", "\\\n", "\\", "é", "<(", "[[ ", "case ", "esac ", "in ", "conda ", "env ", "mvn ", "[", "]", "* ",
    ]), 0..60)) {
        let text = format!("FROM scratch{}", words.concat());
        if Dockerfile::parse(text.as_bytes()).is_ok() {
            let _ = found_in(&text, &Given { files: &[("a", "-r a\nb"), ("pom.xml", "<dependency><version>"), ("package.json", "")], ..Given::default() });
        }
    }
}
