//! Reports as bytes: pure functions, one file a form.

pub mod doctor;
pub mod json;
pub mod kept;
pub mod text;
