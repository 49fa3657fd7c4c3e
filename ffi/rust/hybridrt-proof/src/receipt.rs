//! Receipts: C2SP tlog-proof files.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tlog_tiles::{Hash, check_record, record_hash};

use crate::record::{check_entry, fits};
use crate::{Checkpoint, Fault, head};

fn parse_number(text: &str) -> Result<u64, Fault> {
    let number: u64 = text.parse()?;
    if number.to_string() == text {
        Ok(number)
    } else {
        Err("not a plain number".into())
    }
}

/// Checks the text of a receipt offline: that its entry is in the tree of the checkpoint in it.
/// With the bytes of the record itself, these have to be the ones that were signed.
///
/// # Errors
///
/// Says what does not hold. Every one of `keys` has to have signed.
pub fn verify_receipt(
    text: &[u8],
    record: Option<&[u8]>,
    keys: &[String],
) -> Result<Checkpoint, Fault> {
    let text = std::str::from_utf8(text)?;
    let (before, checkpoint) = text.split_once("\n\n").ok_or("a receipt has two parts")?;
    let lines: Vec<&str> = before.split('\n').collect();
    let [first, extra, index, hashes @ ..] = lines.as_slice() else {
        return Err("a line is missing from the receipt".into());
    };
    if *first != "c2sp.org/tlog-proof@v1" {
        return Err("not a receipt".into());
    }
    let extra = extra
        .strip_prefix("extra ")
        .ok_or("there is no extra line")?;
    let index = index
        .strip_prefix("index ")
        .ok_or("there is no index line")?;
    let entry = BASE64_STANDARD.decode(extra)?;
    let proof: Result<Vec<Hash>, _> = hashes.iter().map(|line| Hash::parse_hash(line)).collect();
    let signed = head::open(checkpoint.as_bytes(), keys)?;
    check_entry(&entry)?;
    let leaf = record_hash(&entry);
    let number = parse_number(index)?;
    check_record(&proof?, signed.size, Hash(signed.root), number, leaf)?;
    if let Some(record) = record {
        fits(&entry, record)?;
    }
    Ok(signed)
}
