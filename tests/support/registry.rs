//! A container registry on a loopback port, in this process, that can misbehave on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use repro::digest::Digest;

/// What the registry asks for before it serves anything below `/v2/`.
#[derive(Clone, Default)]
pub enum Auth {
    #[default]
    Open,
    /// This value of `Authorization`, announced as Basic.
    Basic(String),
    /// A token from the server at this address, announced as Bearer.
    Token { realm: String, token: String },
    /// This `WWW-Authenticate`, whatever is sent.
    Never(String),
}

/// How a request is answered instead of rightly.
#[derive(Clone)]
pub enum Fault {
    /// Status, one header, body.
    Status(u16, Option<(&'static str, String)>, String),
    /// These bytes, with their own length.
    Body(Vec<u8>),
    /// These bytes, without any length, ended by closing.
    Unsized(Vec<u8>),
    /// The right length, but the connection closes after this many bytes.
    Truncate(usize),
    /// The right length, but nothing comes after this many bytes.
    Stall(usize),
    /// Connected, and then nothing at all.
    Mute,
    /// Bytes without end.
    Endless,
    /// A length of that many bytes, and as many.
    Announced(u64),
    /// The right length, a byte now and then.
    Drip,
    /// Headers without end.
    Headers,
    /// Heard, and then the connection closes.
    Hangup,
    /// As it should be, but with this header in the answer.
    Told(&'static str, String),
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    pub authorization: Option<String>,
    pub content_type: String,
    pub bytes: Vec<u8>,
    pub body: String,
}

#[derive(Default)]
struct State {
    auth: Auth,
    /// Answers of `/token`, by the `Authorization` that must come with the request (none: any or none).
    token_for: Option<(Option<String>, String)>,
    documents: BTreeMap<String, (String, Vec<u8>)>,
    faults: Vec<(String, Fault, usize)>,
    requests: Vec<Request>,
}

/// The running registry; it stops when dropped.
pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl FakeRegistry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, stop) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, stopped) = (Arc::clone(&shared), Arc::clone(&stopped));
                std::thread::spawn(move || {
                    // A client that goes away in the middle is what some tests are about.
                    let _ = serve(connection, &shared, &stopped);
                });
            }
        });
        Self { address, state, stop }
    }

    /// `host:port`, as in a reference.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.put(&format!("/v2/{repository}/blobs/{digest}"), "application/octet-stream", bytes);
        digest
    }

    pub fn add_manifest(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.put(&format!("/v2/{repository}/manifests/{digest}"), media_type, bytes);
        digest
    }

    pub fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        self.lock().documents.insert(path.to_owned(), (media_type.to_owned(), bytes.to_vec()));
    }

    pub fn require(&self, auth: Auth) {
        self.lock().auth = auth;
    }

    /// Serves tokens under `/token`: `body`, if the request brings `authorization`.
    pub fn serve_tokens(&self, authorization: Option<&str>, body: &str) {
        self.lock().token_for = Some((authorization.map(str::to_owned), body.to_owned()));
    }

    /// Answers the next `times` requests whose target holds `part` with a fault.
    pub fn fail(&self, part: &str, fault: Fault, times: usize) {
        self.lock().faults.push((part.to_owned(), fault, times));
    }

    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Loses what is stored at a path.
    pub fn lose(&self, path: &str) {
        assert!(self.lock().documents.remove(path).is_some(), "{path} was not there");
    }

    /// What is stored at a path.
    pub fn document(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().documents.get(path).map(|(_, bytes)| bytes.clone())
    }

    /// How many requests held `part` in their target.
    pub fn count(&self, part: &str) -> usize {
        self.lock().requests.iter().filter(|request| request.target.contains(part)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut connection: TcpStream, state: &Mutex<State>, stop: &AtomicBool) -> std::io::Result<()> {
    let request = read_request(&connection)?;
    let path = request.target.split('?').next().unwrap_or_default().to_owned();
    let mut locked = state.lock().unwrap();
    locked.requests.push(request.clone());
    let position = locked.faults.iter().position(|(part, _, left)| *left > 0 && request.target.contains(part.as_str()));
    let fault = position.map(|index| {
        locked.faults[index].2 -= 1;
        locked.faults[index].1.clone()
    });
    let document = locked.documents.get(&path).cloned();
    let answer = if path == "/token" { token_answer(&locked, &request) } else { refusal(&locked, &request) };
    drop(locked);
    match (fault, answer) {
        (Some(Fault::Told(name, value)), None) if request.method != "GET" => {
            let (status, _, body) = written(&mut state.lock().unwrap(), &request, &path);
            reply(&mut connection, status, Some(&(name, value)), body.as_bytes())
        }
        (Some(fault), _) => misbehave(&mut connection, fault, document, stop),
        (None, Some((status, header, body))) => reply(&mut connection, status, header.as_ref(), body.as_bytes()),
        (None, None) if matches!(request.method.as_str(), "POST" | "PUT") => {
            let (status, header, body) = written(&mut state.lock().unwrap(), &request, &path);
            reply(&mut connection, status, header.as_ref(), body.as_bytes())
        }
        (None, None) => {
            let Some((media_type, bytes)) = document else {
                let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository\u001b[31m name not known"}]}"#;
                return reply(&mut connection, 404, None, body.as_bytes());
            };
            if request.method == "HEAD" {
                let head = head(200, Some(bytes.len()), Some(&("Content-Type", media_type)));
                return connection.write_all(head.as_bytes());
            }
            reply(&mut connection, 200, Some(&("Content-Type", media_type)), &bytes)
        }
    }
}

/// What becomes of an upload or of a document that is stored.
fn written(state: &mut State, request: &Request, path: &str) -> Reply {
    let query = request.target.split_once('?').map_or("", |(_, query)| query).replace("%3A", ":").replace("%2F", "/");
    let value =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    let Some((repository, rest)) = path.strip_prefix("/v2/").and_then(|path| {
        path.split_once("/blobs/uploads/")
            .map(|(name, rest)| (name, ("blob", rest)))
            .or_else(|| path.split_once("/manifests/").map(|(name, rest)| (name, ("manifest", rest))))
    }) else {
        return (404, None, String::new());
    };
    let digest = Digest::of(&request.bytes);
    match (request.method.as_str(), rest) {
        ("POST", ("blob", "")) => {
            let mounted = value("mount").zip(value("from")).and_then(|(digest, from)| {
                Some((digest.clone(), state.documents.get(&format!("/v2/{from}/blobs/{digest}"))?.clone()))
            });
            if let Some((digest, document)) = mounted {
                state.documents.insert(format!("/v2/{repository}/blobs/{digest}"), document);
                return (201, None, String::new());
            }
            let place = format!("/v2/{repository}/blobs/uploads/{}?state=secret", state.requests.len());
            (202, Some(("Location", place)), String::new())
        }
        ("PUT", ("blob", _)) if value("digest") == Some(digest.to_string()) => {
            let stored = ("application/octet-stream".to_owned(), request.bytes.clone());
            state.documents.insert(format!("/v2/{repository}/blobs/{digest}"), stored);
            (201, None, String::new())
        }
        ("PUT", ("manifest", name)) => {
            let stored = (request.content_type.clone(), request.bytes.clone());
            for name in [name, &digest.to_string()] {
                state.documents.insert(format!("/v2/{repository}/manifests/{name}"), stored.clone());
            }
            (201, Some(("Docker-Content-Digest", digest.to_string())), String::new())
        }
        _ => (
            400,
            None,
            r#"{"errors":[{"code":"DIGEST_INVALID","message":"not the digest of these bytes"}]}"#.to_owned(),
        ),
    }
}

type Reply = (u16, Option<(&'static str, String)>, String);

fn token_answer(state: &State, request: &Request) -> Option<Reply> {
    let (wanted, body) = state.token_for.as_ref()?;
    if wanted.is_some() && *wanted != request.authorization {
        return Some((401, None, r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#.to_owned()));
    }
    Some((200, None, body.clone()))
}

fn refusal(state: &State, request: &Request) -> Option<Reply> {
    let (wanted, challenge) = match &state.auth {
        Auth::Open => return None,
        Auth::Basic(value) => (value.clone(), "Basic realm=\"test\"".to_owned()),
        Auth::Token { realm, token } => {
            (format!("Bearer {token}"), format!("Bearer realm=\"{realm}\",service=\"test registry\",scope=\"ignored\""))
        }
        Auth::Never(challenge) => (String::new(), challenge.clone()),
    };
    if request.authorization.as_ref() == Some(&wanted) || !request.target.starts_with("/v2/") {
        return None;
    }
    Some((
        401,
        Some(("WWW-Authenticate", challenge)),
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.to_owned(),
    ))
}

fn read_request(connection: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut authorization, mut length, mut content_type) = (None, 0, String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            if name.eq_ignore_ascii_case("authorization") {
                authorization = Some(value.trim().to_owned());
            } else if name.eq_ignore_ascii_case("content-type") {
                value.trim().clone_into(&mut content_type);
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Request { method, target, authorization, content_type, bytes: body, body: text })
}

fn head(status: u16, length: Option<usize>, header: Option<&(&'static str, String)>) -> String {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    if let Some(length) = length {
        head = format!("{head}Content-Length: {length}\r\n");
    }
    if let Some((name, value)) = header {
        head = format!("{head}{name}: {value}\r\n");
    }
    head + "\r\n"
}

fn reply(
    connection: &mut TcpStream,
    status: u16,
    header: Option<&(&'static str, String)>,
    body: &[u8],
) -> std::io::Result<()> {
    connection.write_all(head(status, Some(body.len()), header).as_bytes())?;
    connection.write_all(body)
}

fn misbehave(
    connection: &mut TcpStream,
    fault: Fault,
    document: Option<(String, Vec<u8>)>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let bytes = document.map(|(_, bytes)| bytes).unwrap_or_default();
    let wait_for_the_end = || {
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    match fault {
        Fault::Told(..) | Fault::Hangup => {}
        Fault::Status(status, header, body) => reply(connection, status, header.as_ref(), body.as_bytes())?,
        Fault::Body(body) => reply(connection, 200, None, &body)?,
        Fault::Unsized(body) => {
            connection.write_all(head(200, None, None).as_bytes())?;
            connection.write_all(&body)?;
        }
        Fault::Truncate(after) => {
            connection.write_all(head(200, Some(bytes.len()), None).as_bytes())?;
            connection.write_all(&bytes[..after])?;
        }
        Fault::Stall(after) => {
            connection.write_all(head(200, Some(bytes.len()), None).as_bytes())?;
            connection.write_all(&bytes[..after])?;
            wait_for_the_end();
        }
        Fault::Mute => wait_for_the_end(),
        Fault::Announced(length) => {
            connection.write_all(format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            while !stop.load(Ordering::SeqCst) {
                connection.write_all(&[b' '; 8 << 10])?;
            }
        }
        Fault::Drip => {
            connection.write_all(head(200, Some(bytes.len()), None).as_bytes())?;
            for byte in bytes {
                connection.write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Fault::Headers => {
            connection.write_all(b"HTTP/1.1 200 X\r\n")?;
            while !stop.load(Ordering::SeqCst) {
                connection.write_all(format!("X-Header: {}\r\n", "x".repeat(1000)).as_bytes())?;
            }
        }
        Fault::Endless => {
            connection.write_all(head(200, None, None).as_bytes())?;
            while !stop.load(Ordering::SeqCst) {
                connection.write_all(&[b' '; 8 << 10])?;
            }
        }
    }
    Ok(())
}
