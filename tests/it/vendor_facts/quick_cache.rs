//! `quick_cache`: a map with a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use quick_cache::sync::{Cache, GuardResult};
use quick_cache::{OptionsBuilder, UnitWeighter, Weighter};

#[derive(Clone)]
struct ByLen;

impl Weighter<u32, Vec<u8>> for ByLen {
    fn weight(&self, _: &u32, value: &Vec<u8>) -> u64 {
        value.len() as u64
    }
}

#[test]
fn the_budget_is_held_after_every_insert() {
    let cache = Cache::with_weighter(100, 10_000, ByLen);
    for key in 0..5_000_u32 {
        cache.insert(key, vec![0; (key as usize * 37) % 400 + 1]);
        assert!(cache.weight() <= 10_000, "{} after {key}", cache.weight());
    }
    assert!(cache.weight() > 5_000, "and it is used: {}", cache.weight());
}

#[test]
fn what_is_asked_for_again_survives_a_walk() {
    let cache = Cache::new(1_000);
    for _ in 0..3 {
        for key in 0..100_u32 {
            if cache.get(&key).is_none() {
                cache.insert(key, ());
            }
        }
    }
    (1_000..20_000).for_each(|key| cache.insert(key, ()));
    let kept = (0..100).filter(|key| cache.get(key).is_some()).count();
    assert!(kept >= 90, "{kept} of 100");
}

#[test]
fn an_entry_heavier_than_a_shard_is_not_taken() {
    let options = OptionsBuilder::new().estimated_items_capacity(100).weight_capacity(1_000).shards(2).build().unwrap();
    let cache: Cache<u32, Vec<u8>, ByLen> = Cache::with_options(
        options,
        ByLen,
        quick_cache::DefaultHashBuilder::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    assert_eq!((cache.num_shards(), cache.shard_capacity()), (2, 500));
    cache.insert(1, vec![0; 100]);
    cache.insert(1, vec![0; 501]);
    assert_eq!((cache.get(&1), cache.weight()), (None, 0));
}

#[test]
fn remove_and_replace() {
    let cache = Cache::with_weighter(10, 1_000, ByLen);
    cache.insert(1, vec![1; 10]);
    cache.insert(1, vec![2; 20]);
    assert_eq!((cache.get(&1), cache.weight()), (Some(vec![2; 20]), 20));
    assert_eq!(cache.remove(&1), Some((1, vec![2; 20])));
    assert_eq!((cache.get(&1), cache.weight(), cache.remove(&1)), (None, 0, None));
}

#[test]
fn one_makes_a_value_and_a_dropped_guard_hands_that_on() {
    let cache: Arc<Cache<u32, u32, UnitWeighter>> = Arc::new(Cache::new(10));
    let GuardResult::Guard(first) = cache.get_value_or_guard(&1, None) else { panic!("it is there already") };
    let made = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (0..8)
        .map(|_| {
            let (cache, made) = (Arc::clone(&cache), Arc::clone(&made));
            thread::spawn(move || match cache.get_value_or_guard(&1, None) {
                GuardResult::Value(value) => value,
                GuardResult::Guard(guard) => {
                    made.fetch_add(1, Ordering::SeqCst);
                    guard.insert(7).unwrap();
                    7
                }
                GuardResult::Timeout => panic!("there is none"),
            })
        })
        .collect();
    drop(first);
    assert!(others.into_iter().all(|other| other.join().unwrap() == 7));
    assert_eq!(made.load(Ordering::SeqCst), 1);
}
