//! A recipe of whoever published an image: a file, or a document on the web.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::cli::subject::until_interrupted;
use crate::cli::with_tokio;
use crate::failure::{ExitStatus, Failure, chain};
use crate::registry::{CredentialSources, Options, RegistryError, fetch_document};
use crate::runtime::registry_options;
use crate::settings::{LARGEST_FILE, RecipeText, RouteWords, SettingsError};

/// What is there.
pub fn read_recipe(word: &OsStr, route: &RouteWords) -> Result<RecipeText, Failure> {
    let address = word.to_str().filter(|text| text.starts_with("https://") || text.starts_with("http://"));
    let Some(address) = address else {
        return RecipeText::read(Path::new(word)).map_err(|error| SettingsError::from(error).into());
    };
    let bytes = with_tokio(async |environment, interrupt| {
        let route = route.resolve(environment)?;
        let options = Options { credentials: CredentialSources::none(), ..registry_options(environment, &route) };
        let fetched = until_interrupted(fetch_document(address, &options, LARGEST_FILE), interrupt).await?;
        fetched.map_err(|error| not_fetched(&error))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| Failure {
        status: ExitStatus::Unknown,
        message: format!("the recipe at `{}` is no text: {error}", shown(address)),
        hint: Some("give the address of the file itself, not of a page that shows it".to_owned()),
    })?;
    Ok(RecipeText { place: PathBuf::from(shown(address)), text })
}

/// The address without what may open a storage.
fn shown(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or(address)
}

fn not_fetched(error: &RegistryError) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("the recipe: {}", chain(error)),
        hint: Some("it takes an https address without a login, of one MiB at most; a file will do as well".to_owned()),
    }
}
