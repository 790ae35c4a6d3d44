//! The time in the header of gzip.

use super::inside::{self, all_words_known};
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "gzip-header", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content()?;
    let is_header =
        |part: &&crate::diff::model::Difference| inside::is_at(part, "gzip mtime") || inside::is_at(part, "gzip name");
    let headers = content.parts.iter().filter(is_header).count();
    if headers == 0 {
        return None;
    }
    let explanation = "gzip wrote the time or the name of the file that it packed into its header.";
    let fix = "Pack with `gzip -n`; in Python `gzip.GzipFile(…, mtime=0)`.";
    let is_whole = headers == content.parts.len() && content.more == 0 || all_words_known(place);
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}
