//! Names of requests, by which their lines in logs are found.
//!
//! In scope: which names of others are taken over, and how one of our own is made of a number. Not in scope: who is believed, and
//! where the numbers come from (`serve/visit.rs`).

/// The longest name that is taken over, in bytes: a UUID has 36, and a trace of W3C 55.
const LEN_MAX: usize = 128;

/// A name that came from a proxy, where it is fit to be repeated in fields and logs.
pub fn taken_over(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&byte);
    (!text.is_empty() && text.len() <= LEN_MAX && text.bytes().all(is_fit)).then_some(text)
}

/// The name of the `count`th request of a process that chose `seed` at its start. Two of one process are never alike, for each
/// step of the mixing can be undone (splitmix64's finaliser); two of different processes hardly ever.
pub fn made(seed: u64, count: u64) -> String {
    let mut mixed = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", mixed ^ (mixed >> 31))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn which_names_are_taken_over() {
        for good in ["a", "7f3a-b_c.d:e=f+g/h@i", &"x".repeat(128), "Root=1-67891233-abcdef012345678912345678"] {
            assert_eq!(taken_over(good), Some(good));
        }
        assert_eq!(taken_over(" a\t"), Some("a"));
        for bad in ["", " ", "a b", "a,b", "a\r\nX: y", "\u{1b}[31m", "é", "\"", "{}", &"x".repeat(129)] {
            assert_eq!(taken_over(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_of_one_length_and_never_alike() {
        let names: HashSet<String> = (0..10_000).map(|count| made(42, count)).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 16 && taken_over(name).is_some()));
        assert_ne!(made(1, 0), made(2, 0));
    }
}
