//! What a build read, and who chose it.

use super::recipe::shown;
use crate::dockerfile::Dockerfile;
use crate::provenance::Material;
use crate::settings::BuildSettings;

/// Images that go by one name and were others when the image was published.
#[must_use]
pub fn moved(published: &[Material], rebuilt: &[Material]) -> Vec<String> {
    let name = |material: &Material| material.uri.split(['?', '#']).next().unwrap_or_default().to_owned();
    let platform = |material: &Material| {
        let query = material.uri.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find(|part| part.starts_with("platform=")).map(str::to_owned)
    };
    let mut moved = Vec::new();
    for before in published {
        let mut same =
            rebuilt.iter().filter(|now| name(now) == name(before) && platform(now) == platform(before)).peekable();
        let (Some(old), Some(now)) = (before.digest.get("sha256"), same.peek().copied()) else { continue };
        if let Some(new) = now.digest.get("sha256").filter(|_| same.all(|now| now.digest.get("sha256") != Some(old))) {
            moved.push(format!(
                "{} was {} when the image was built, and is {} now",
                shown(&name(before)),
                shown(old),
                shown(new)
            ));
        }
    }
    moved
}

/// Images that the Dockerfile names by an argument of which the image alone says what it is: not the source, but whoever pushed
/// the image chose what is built upon.
#[must_use]
pub fn chosen_images(settings: &BuildSettings) -> Vec<String> {
    let Ok(dockerfile) = Dockerfile::parse(&settings.dockerfile_bytes) else { return Vec::new() };
    let is_named = |name: &str| {
        let words = [format!("${name}"), format!("${{{name}")];
        dockerfile.instructions.iter().any(|one| {
            let base = if one.is("from") { one.arguments.as_str() } else { "" };
            let texts = one.flags.iter().map(String::as_str).chain([base]);
            texts.into_iter().any(|text| words.iter().any(|word| text.contains(word.as_str())))
        })
    };
    let taken = settings.from_image.iter().filter(|(flag, name, _)| flag == "build-arg" && is_named(name));
    let note = |name: &String| {
        let value = settings.build_args.get(name).map_or("", String::as_str);
        format!(
            "the Dockerfile builds upon ${name}, and only the image says that this is {}: look whether it is what the source means",
            shown(value)
        )
    };
    taken.map(|(_, name, _)| note(name)).collect()
}
