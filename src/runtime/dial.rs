//! A connection to a Docker daemon that is no local socket: docker itself makes it.
//!
//! `docker system dial-stdio` connects to whatever the user's context or variables name (TLS with client certificates, ssh,
//! plain tcp) and hands the bytes through. So there is one reading of contexts and certificates, docker's own, and the daemon
//! that is asked cannot be another than the one that builds.

use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::process::{Child, ChildStderr};
use tokio::sync::Mutex;

use super::command::{ToolCommand, read_tail};
use super::docker::user_docker_command;
use crate::environment::Environment;

/// How long docker may take to say why it could not connect, once the connection broke.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The body of a request, which bollard does not name.
trait Carries {
    type Body;
}

impl<B> Carries for hyper::Request<B> {
    type Body = B;
}

type Sender = SendRequest<<BollardRequest as Carries>::Body>;

/// A client whose bytes go through docker. Nothing is connected yet.
pub fn client(environment: &Environment, timeout: Duration) -> Result<Docker, Error> {
    let dialer = Arc::new(Dialer {
        command: user_docker_command().args(["system", "dial-stdio"]),
        environment: environment.clone(),
        idle: Mutex::new(None),
    });
    let transport = move |request| {
        let dialer = dialer.clone();
        async move { dialer.send(request).await }
    };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), timeout.as_secs(), API_DEFAULT_VERSION)
}

struct Dialer {
    command: ToolCommand,
    environment: Environment,
    /// The last connection: starting docker takes longer than any question.
    idle: Mutex<Option<Sender>>,
}

impl Dialer {
    async fn send(&self, request: BollardRequest) -> Result<Response<Incoming>, Error> {
        let (mut parts, body) = request.into_parts();
        // What a server wants: the path alone, and the host in its header.
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        parts.uri = path.parse::<Uri>().map_err(broken)?;
        parts.headers.insert(HOST, HeaderValue::from_static("docker"));
        let request = BollardRequest::from_parts(parts, body);
        let mut idle = self.idle.lock().await;
        // One whose last answer is still being read would make this one wait for it.
        if let Some(mut sender) = idle.take().filter(Sender::is_ready) {
            let answer = sender.send_request(request).await.map_err(broken)?;
            *idle = Some(sender);
            return Ok(answer);
        }
        let (mut sender, stderr) = self.connect().await?;
        match sender.send_request(request).await {
            Ok(answer) => {
                *idle = Some(sender);
                Ok(answer)
            }
            Err(error) => Err(last_words(stderr, error).await),
        }
    }

    async fn connect(&self) -> Result<(Sender, Option<ChildStderr>), Error> {
        let mut child = self.command.spawn_piped(&self.environment).map_err(broken)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("docker has no stdin and stdout"));
        };
        let stderr = child.stderr.take();
        let stream = TokioIo::new(tokio::io::join(stdout, stdin));
        let (sender, connection) = handshake(stream).await.map_err(broken)?;
        tokio::spawn(serve(connection, child));
        Ok((sender, stderr))
    }
}

/// Moves the bytes until one side is done, and then ends docker, which is killed when its handle goes.
async fn serve(connection: impl Future<Output = Result<(), hyper::Error>>, child: Child) {
    if let Err(error) = connection.await {
        tracing::debug!("the connection through docker ended: {error}");
    }
    drop(child);
}

/// docker says on stderr why it could not connect; the connection itself only broke.
async fn last_words(stderr: Option<ChildStderr>, error: hyper::Error) -> Error {
    let said = tokio::time::timeout(LAST_WORDS, read_tail(stderr)).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if said.is_empty() { broken(error) } else { broken(said) }
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::from(std::io::Error::other(why))
}
