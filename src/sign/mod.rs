//! Who may have what, signed: CloudFront's URLs and cookies, and the playback tokens of this program.
//!
//! Everything here is pure: no I/O, no clock, no locks; times and addresses are arguments. The operating system's random numbers
//! blind each RSA signature against timing and do not show in it.

pub mod cloudfront;
pub mod token;
