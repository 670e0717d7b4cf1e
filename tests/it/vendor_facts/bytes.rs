//! `bytes`: chunks are shared, not copied.

use bytes::Bytes;

#[test]
fn a_clone_and_a_slice_are_the_same_memory() {
    let chunk = Bytes::from(vec![7; 1 << 20]);
    assert_eq!(chunk.clone().as_ptr(), chunk.as_ptr());
    assert_eq!(chunk.slice(100..200).as_ptr(), chunk[100..].as_ptr());
}

#[test]
fn a_full_vec_becomes_bytes_without_a_copy() {
    let vec = vec![7; 1 << 20].into_boxed_slice().into_vec();
    let memory = vec.as_ptr();
    assert_eq!(Bytes::from(vec).as_ptr(), memory);
}

#[test]
fn a_slice_keeps_the_whole_chunk_alive() {
    let chunk = Bytes::from(vec![7; 1 << 20]);
    let slice = chunk.slice(..1);
    assert!(!chunk.is_unique());
    drop(slice);
    assert!(chunk.is_unique());
}

#[test]
#[should_panic(expected = "range end out of bounds")]
fn a_slice_past_the_end_panics() {
    Bytes::from_static(b"abc").slice(..4);
}
