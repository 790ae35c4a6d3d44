//! Reports as bytes: pure functions, one file a form.

pub mod check;
pub mod ci;
pub mod diff;
pub mod diff_html;
pub mod doctor;
pub mod github;
pub mod html;
pub mod json;
pub mod kept;
pub mod matrix;
pub mod matrix_html;
pub mod sarif;
pub mod text;
pub mod verify;
