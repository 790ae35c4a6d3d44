//! A document that lies on a web server, asked for as carefully as what is in a registry.

use reqwest::Url;

use super::http::{Http, host_of, without_query};
use super::{Options, RegistryError};

/// The bytes at an address, at most `limit` of them. Nobody's credentials are sent; plain http is spoken to loopback only.
pub async fn fetch_document(address: &str, options: &Options, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let wrong = |shown: String, reason: String| RegistryError::Address { registry: shown, reason };
    // In front of `@` a password may stand, behind `?` what opens a storage.
    let last = || {
        let shown = address.split(['?', '#']).next().unwrap_or_default();
        shown.rsplit('@').next().unwrap_or_default().to_owned()
    };
    let url = Url::parse(address).map_err(|error| wrong(last(), error.to_string()))?;
    let http = Http::new(&host_of(&url), options)?;
    if let Some(reason) = http.endpoint.refusal(&url) {
        return Err(wrong(without_query(&url), reason.to_owned()));
    }
    let mut answer = http.get(url, None, None, "the document").await?;
    if answer.status().as_u16() == 200 { answer.bytes(limit).await } else { Err(answer.into_status_error().await) }
}
