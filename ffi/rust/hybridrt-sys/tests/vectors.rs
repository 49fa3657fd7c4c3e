//! Records of every type, good and spoiled, get the verdict of tests/vectors/records.json: with a
//! checksum of our own, so that the format is what it says, and with the library's.

use std::mem::offset_of;

use hybridrt_sys::*;
use serde_json::Value;

/// CRC32C (Castagnoli), bit by bit.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78; // reflected
    let step = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!seed, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

fn library_crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // SAFETY: pointer and length are of one slice.
    unsafe { hrt_crc32c(seed, bytes.as_ptr().cast(), bytes.len()) }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

/// Decides as docs/layout.md says.
fn is_valid(bytes: &[u8], uuid: &[u8], position: u64, crc: fn(u32, &[u8]) -> u32) -> bool {
    if bytes.len() < size_of::<hrt_record>() {
        return false;
    }
    let length = u32_at(bytes, offset_of!(hrt_record, length)) as usize;
    let is_pad = u32::from(bytes[offset_of!(hrt_record, type_)]) == HRT_RECORD_PAD;
    let end = if is_pad {
        size_of::<hrt_record>()
    } else {
        length
    };
    if length < size_of::<hrt_record>() || end > bytes.len() {
        return false;
    }
    // The body of a PAD is not covered, so its length is written twice.
    if is_pad && u64_at(bytes, offset_of!(hrt_record, key_hash)) != length as u64 {
        return false;
    }
    let seed = crc(crc(0, uuid), &position.to_le_bytes());
    u64_at(bytes, offset_of!(hrt_record, position)) == position
        && crc(seed, &bytes[offset_of!(hrt_record, sequence)..end])
            == u32_at(bytes, offset_of!(hrt_record, crc))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../tests/vectors/records.json"
    );
    let text = std::fs::read_to_string(path).expect("records.json is in the repository");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn both_checksums_are_the_known_one() {
    let vectors = vectors();
    let known = vectors["crc32c"].as_array().unwrap();
    assert!(!known.is_empty());
    for vector in known {
        let text = vector["text"].as_str().unwrap().as_bytes();
        let expected = vector["crc"].as_u64().unwrap() as u32;
        assert_eq!(
            (crc32c(0, text), library_crc32c(0, text)),
            (expected, expected)
        );
    }
}

#[test]
fn records_get_the_verdict_of_the_vectors() {
    let vectors = vectors();
    let uuid = unhex(vectors["uuid"].as_str().unwrap());
    let position = vectors["position"].as_u64().unwrap();
    let mut types = [false; HRT_RECORD_KEEP as usize + 1];
    for record in vectors["records"].as_array().unwrap() {
        let bytes = unhex(record["bytes"].as_str().unwrap());
        for crc in [crc32c, library_crc32c] {
            let verdict = is_valid(&bytes, &uuid, position, crc);
            assert_eq!(verdict, record["valid"], "{}", record["name"]);
        }
        let kind = usize::from(bytes[offset_of!(hrt_record, type_)]);
        types
            .get_mut(kind)
            .into_iter()
            .for_each(|seen| *seen = true);
    }
    assert!(
        types[1..].iter().all(|&seen| seen),
        "a record of each type: {types:?}"
    );
}
