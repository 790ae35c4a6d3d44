//! From the challenge of a registry to the `Authorization` header that answers it.
//!
//! Credentials go to the registry itself (Basic) or to the token server that the registry names in a 401 of its own, never in
//! one that it redirected to. A token server may be another host: Docker Hub's is. It must be reached by https, or be on this
//! machine like the registry. Redirects of a token server are not followed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credentials::Credential;
use super::http::{Http, host_of, without_query};
use super::{RegistryError, limits};

/// What a registry asks for in `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password, straight to the registry.
    Basic,
    /// A token from the server at `realm` (distribution `docs/spec/auth/token.md`).
    Bearer { realm: String, service: Option<String> },
}

/// The first challenge of these headers that can be answered here.
pub(super) fn parse_challenge(headers: &HeaderMap) -> Result<Challenge, String> {
    let mut schemes = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = value.to_str().map_err(|_| "`WWW-Authenticate` is no text".to_owned())?;
        let challenges = http_auth::parse_challenges(text).map_err(|_| "`WWW-Authenticate` is malformed".to_owned())?;
        for challenge in challenges {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").ok_or_else(|| "a Bearer challenge names no realm".to_owned())?;
                return Ok(Challenge::Bearer { realm, service: parameter("service") });
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                return Ok(Challenge::Basic);
            }
            schemes.push(format!("`{}`", super::http::printable(challenge.scheme)));
        }
    }
    if schemes.is_empty() { Err("there is no `WWW-Authenticate`".to_owned()) } else { Err(schemes.join(", ")) }
}

/// Answers a challenge for what `scopes` allow. `None`: there is nothing to answer with.
pub(super) async fn answer(
    http: &Http,
    registry: &str,
    scopes: &[String],
    challenge: Challenge,
    credential: Option<&Credential>,
) -> Result<Option<HeaderValue>, RegistryError> {
    match (challenge, credential) {
        (_, Some(Credential::RegistryToken(token))) => bearer(token).map(Some).ok_or_else(|| RegistryError::Token {
            registry: registry.to_owned(),
            host: registry.to_owned(),
            reason: "the stored token holds characters that no header can".to_owned(),
        }),
        (Challenge::Basic, Some(Credential::Basic { username, password })) => Ok(Some(basic(username, password))),
        (Challenge::Basic, _) => Ok(None),
        (Challenge::Bearer { realm, service }, credential) => {
            let request = TokenRequest { registry, scopes, service, credential };
            request.fetch(http, &realm).await.map(Some)
        }
    }
}

struct TokenRequest<'a> {
    registry: &'a str,
    scopes: &'a [String],
    service: Option<String>,
    credential: Option<&'a Credential>,
}

impl TokenRequest<'_> {
    async fn fetch(&self, http: &Http, realm: &str) -> Result<HeaderValue, RegistryError> {
        let fault = |host: &str, reason: &str| RegistryError::Token {
            registry: self.registry.to_owned(),
            host: host.to_owned(),
            reason: reason.to_owned(),
        };
        let realm = Url::parse(realm).map_err(|_| fault("", "its realm is no address"))?;
        if let Some(reason) = http.endpoint.refusal(&realm) {
            return Err(fault(&without_query(&realm), reason));
        }
        let host = host_of(&realm);
        let (request, url) = self.request(http, realm);
        let mut reply = http.send(request, &url, "an access token", false).await?;
        match reply.status().as_u16() {
            200 => {}
            401 | 403 => return Err(self.refused(&host, &mut reply).await),
            300..=399 => return Err(fault(&host, "it redirects, which is not followed with credentials")),
            _ => return Err(reply.into_status_error().await),
        }
        let body = reply.bytes(limits::TOKEN_BYTES).await?;
        let token = parse_token(&body).ok_or_else(|| fault(&host, "its answer holds no token"))?;
        bearer(&token).ok_or_else(|| fault(&host, "its token holds characters that no header can"))
    }

    /// GET with Basic, or for an identity token the OAuth 2 form (distribution `docs/spec/auth/oauth.md`).
    fn request(&self, http: &Http, realm: Url) -> (reqwest::RequestBuilder, Url) {
        let mut url = realm;
        if let Some(Credential::IdentityToken(token)) = self.credential {
            let mut form = url.clone();
            form.set_query(None);
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "repro")
                .append_pair("service", self.service.as_deref().unwrap_or_default())
                .append_pair("scope", &self.scopes.join(" "))
                .append_pair("refresh_token", token);
            let body = form.query().unwrap_or_default().to_owned();
            let request = http.client().post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            return (request.body(body), url);
        }
        if let Some(service) = &self.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        for scope in self.scopes {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let mut request = http.client().get(url.clone());
        if let Some(Credential::Basic { username, password }) = self.credential {
            request = request.header(AUTHORIZATION, basic(username, password));
        }
        (request, url)
    }

    async fn refused(&self, host: &str, reply: &mut super::http::Answer) -> RegistryError {
        let tried = if self.credential.is_some() { "with the credentials found" } else { "without credentials" };
        RegistryError::Unauthorized {
            registry: self.registry.to_owned(),
            what: format!("an access token from `{host}`"),
            tried: tried.to_owned(),
            detail: reply.detail().await,
        }
    }
}

fn parse_token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Reply {
        token: Option<String>,
        access_token: Option<String>,
    }
    let reply: Reply = serde_json::from_slice(body).ok()?;
    reply.token.or(reply.access_token).filter(|token| !token.is_empty())
}

fn basic(username: &str, password: &str) -> HeaderValue {
    let encoded = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    // Invariant: base64 is ASCII, so this is a header value; an empty one would only be refused by the registry.
    sensitive(&encoded).unwrap_or_else(|| HeaderValue::from_static(""))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

/// Marked so that no debug output shows it.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&str]) -> Result<Challenge, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        parse_challenge(&headers)
    }

    #[test]
    fn reads_challenges() {
        let bearer = |realm: &str, service: Option<&str>| {
            Ok(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        assert_eq!(
            challenge(&[r#"Bearer realm="https://auth.example.com/token",service="registry",scope="a:b,c:d""#]),
            bearer("https://auth.example.com/token", Some("registry"))
        );
        assert_eq!(challenge(&[r#"bearer REALM="https://a/""#]), bearer("https://a/", None));
        assert_eq!(challenge(&[r#"Basic realm="Registry""#]), Ok(Challenge::Basic));
        assert_eq!(challenge(&[r#"Negotiate, Basic realm="Registry""#]), Ok(Challenge::Basic));
        assert_eq!(challenge(&["Negotiate", r#"Bearer realm="https://a/""#]), bearer("https://a/", None));
        assert_eq!(challenge(&["Negotiate"]), Err("`Negotiate`".to_owned()));
        assert_eq!(challenge(&[]), Err("there is no `WWW-Authenticate`".to_owned()));
        assert!(challenge(&["Bearer service=\"x\""]).is_err());
        assert!(challenge(&["\"\""]).is_err());
    }

    #[test]
    fn reads_tokens() {
        assert_eq!(parse_token(br#"{"token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(parse_token(br#"{"access_token":"b","expires_in":300}"#).as_deref(), Some("b"));
        assert_eq!(parse_token(br#"{"token":"a","access_token":"b"}"#).as_deref(), Some("a"));
        assert_eq!(parse_token(br#"{"token":""}"#), None);
        assert_eq!(parse_token(b"[]"), None);
    }

    #[test]
    fn a_token_with_a_line_break_is_no_header() {
        assert!(bearer("a\nb").is_none());
        assert!(format!("{:?}", basic("user", "secret")).contains("Sensitive"));
    }
}
