//! How a block looks as a file.
//!
//! In scope: its name, its header, and that what is read is what was written (pure). Not in scope: files (`disk`).
//!
//! ```text
//! name    32 hex digits of the object, a dash, the index in hex
//! header  magic 4 | CRC-32 of all that follows 4 | object 16 | index 8 | length 4      numbers little-endian
//! then    the bytes of the block
//! ```

use super::{BLOCK_LEN, BlockId, ObjectDigest};

/// Marks the format. Another format gets another one, and files of this one are then misses.
const MAGIC: [u8; 4] = *b"vgb1";

/// The length of the header in bytes.
pub(super) const HEADER_LEN: usize = 36;

/// The header in front of these bytes of a block.
pub(super) fn header(id: BlockId, block: &[u8]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&MAGIC);
    header[8..24].copy_from_slice(&id.object.0);
    header[24..32].copy_from_slice(&id.index.to_le_bytes());
    // A block is far shorter than 4 GiB.
    header[32..].copy_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes());
    let sum = checksum(&header, block);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Whether these bytes are the block of this name, whole and undamaged.
pub(super) fn is_intact(id: BlockId, found: &[u8; HEADER_LEN], block: &[u8]) -> bool {
    *found == header(id, block)
}

fn checksum(header: &[u8; HEADER_LEN], block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[8..]);
    crc.update(block);
    crc.finalize()
}

/// The name of a block's file.
pub(super) fn name(id: BlockId) -> String {
    format!("{:?}-{:x}", id.object, id.index)
}

/// The folder of a block's file: one of 256, so that none has more entries than a file system likes.
pub(super) fn folder(id: BlockId) -> String {
    format!("{:02x}", id.object.0[0] ^ id.index.to_le_bytes()[0])
}

/// The block whose file has this name; `None` where it is the name of none.
pub(super) fn parse_name(text: &str) -> Option<BlockId> {
    let (object, index) = text.split_once('-')?;
    let mut digest = [0; 16];
    if object.len() != 32 || !object.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(object.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let id = BlockId { object: ObjectDigest(digest), index: u64::from_str_radix(index, 16).ok()? };
    // Only the one spelling is ours: no sign, no capitals, no leading zeros.
    (name(id) == text).then_some(id)
}

/// How much room a file with a block of this length takes on disk, about: file systems give it in pages.
pub(super) fn room(block_len: usize) -> u64 {
    const PAGE_LEN: usize = 4096;
    ((HEADER_LEN + block_len.min(BLOCK_LEN)).div_ceil(PAGE_LEN) * PAGE_LEN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> BlockId {
        BlockId { object: ObjectDigest(*b"0123456789abcdef"), index }
    }

    #[test]
    fn a_name_is_read_back_and_no_other_is_taken_for_one() {
        for index in [0, 1, 255, 1 << 40, u64::MAX] {
            assert_eq!(parse_name(&name(id(index))), Some(id(index)));
            assert_eq!(folder(id(index)).len(), 2);
        }
        let good = name(id(10));
        assert_eq!(good, "30313233343536373839616263646566-a");
        for bad in [
            "",
            "-",
            "30313233343536373839616263646566",
            "30313233343536373839616263646566-",
            "30313233343536373839616263646566-A",
            "30313233343536373839616263646566-0a",
            "30313233343536373839616263646566-+a",
            "30313233343536373839616263646566-10000000000000000",
            "3031323334353637383961626364656-a",
            "3031323334353637383961626364656F-a",
            "+0313233343536373839616263646566-a",
            "ы313233343536373839616263646566-a",
            "30313233343536373839616263646566-a.tmp",
        ] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let block = b"sixteen bytes...".to_vec();
        let good = header(id(3), &block);
        assert!(is_intact(id(3), &good, &block));
        assert!(!is_intact(id(4), &good, &block), "under another name");
        assert!(!is_intact(id(3), &good, &block[..15]), "cut short");
        for bit in 0..HEADER_LEN * 8 {
            let mut header = good;
            header[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(id(3), &header, &block), "bit {bit} of the header");
        }
        for bit in 0..block.len() * 8 {
            let mut block = block.clone();
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(id(3), &good, &block), "bit {bit} of the block");
        }
    }

    #[test]
    fn the_room_of_a_file() {
        for (block_len, want) in [(0, 4096), (1, 4096), (4060, 4096), (4061, 8192), (BLOCK_LEN, 135_168)] {
            assert_eq!(room(block_len), want, "{block_len}");
        }
    }
}
