//! The wizard that ends in a registration file: pages of questions, and the file that follows from the answers.
//!
//! A page hands the answers of the pages before it on in its address. The broker checks the file with the answers so far, and
//! examples for the rest, so that a mistake is shown on the page on which it was made.

mod draft;
mod file;
mod platforms;
mod questions;
mod targets;

pub use draft::Draft;
#[cfg(test)]
pub(crate) use draft::KEYS;
pub use file::{Trial, file};
pub use questions::{Step, questions};

#[cfg(test)]
mod tests;
