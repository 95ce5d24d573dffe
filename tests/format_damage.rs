//! Damage of every kind to small files: refused, or accepted as the one encoding of what they then say; never a
//! panic.

mod format_support;

use format_support::*;
use ottava::format;

fn files() -> [Vec<u8>; 2] {
    [format::write(&smallest(), &[]).expect("well formed"), packed_file()]
}

#[test]
fn truncated_at_every_length() {
    for file in files() {
        for len in 0..file.len() {
            refusal(&file[..len]);
            let mut sealed = file[..len].to_vec();
            format::reseal(&mut sealed);
            refusal(&sealed);
        }
    }
}

#[test]
fn every_byte_changed_is_noticed() {
    for file in files() {
        for at in 0..file.len() {
            for change in changes(file[at]) {
                let mut file = file.clone();
                file[at] = change;
                refusal(&file);
            }
        }
    }
}

#[test]
fn every_byte_changed_with_the_checksum_made_right() {
    let mut accepted = 0;
    for file in files() {
        for at in 0..file.len() {
            for change in changes(file[at]) {
                let mut file = file.clone();
                file[at] = change;
                format::reseal(&mut file);
                assert_canonical(&file);
                accepted += usize::from(read(&file).is_ok());
            }
        }
    }
    // Weights, names, scales: much of a file may be anything.
    assert!(accepted > 1000, "{accepted}");
}

/// Every flip of one bit, the extremes, the neighbours.
fn changes(byte: u8) -> impl Iterator<Item = u8> {
    let flips = (0..8).map(move |bit| byte ^ (1 << bit));
    let others = [0, 255, byte.wrapping_add(1), byte.wrapping_sub(1)];
    flips.chain(others).filter(move |&b| b != byte)
}

#[test]
fn every_field_at_its_extremes() {
    let extremes = [0, 1, 63, 64, i32::MAX as u64, u32::MAX as u64, i64::MAX as u64, u64::MAX - 63, u64::MAX];
    for file in files() {
        for at in (0..file.len() - 8).step_by(4) {
            for value in extremes {
                let mut file = file.clone();
                put(&mut file, at, &value.to_le_bytes());
                format::reseal(&mut file);
                assert_canonical(&file);
            }
        }
    }
}

#[test]
fn every_word_copied_over_every_other() {
    let file = &files()[1];
    let words = file.len() / 4;
    for from in 0..words {
        // A stride that is prime to the number of words visits them all without the square of the work.
        for to in (from % 7..words).step_by(7) {
            let mut file = file.clone();
            file.copy_within(from * 4..from * 4 + 4, to * 4);
            format::reseal(&mut file);
            assert_canonical(&file);
        }
    }
}
