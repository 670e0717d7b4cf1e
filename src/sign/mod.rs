//! Who may have what: CloudFront's signed URLs and cookies, the playback tokens of this program, the operator's token.
//!
//! Everything here is pure: no I/O, no clock, no locks; times and addresses are arguments. The operating system's random numbers
//! blind each RSA signature against timing and do not show in it.

pub mod bearer;
pub mod cloudfront;
pub mod token;
